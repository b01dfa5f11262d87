"""Every sentence of a report, in one place: another language is one more value of `Words`.

`{}` stand for figures, in this order in every language.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Words:
    """The sentences. Their defaults are English."""

    language: str = "en"

    title: str = "Training report: {}"
    subtitle: str = "Run {}. Written {}."
    notice: str = (
        "Confidential: this document shows rows of the training data and answers of the model on purpose. "
        "Handle it like the data."
    )
    missing: str = "Missing: {} ({})."
    more_characters: str = "(+{} characters)"
    none: str = "none"
    not_recorded: str = "not recorded"
    utc: str = "{} UTC"
    of: str = "{} of {}"
    arrow: str = "{} → {}"
    share: str = "{}/{} ({} %)"
    hidden: str = "Characters that cannot be seen, or turn the reading direction, are written as ⟨U+code⟩."

    what: str = "What this is"
    what_text: str = (
        "A language model was tuned on this site, without a network, from the base and the rows named below. "
        "This report states what went in, how it was trained, what the model answered before and after, "
        "whether the exported files are the model that was trained, and what came out. Every figure is read "
        "from the run's own records; files are hashed anew for the report, unless a note says otherwise. It "
        "does not say that the model is right: that is for the people who sign it."
    )
    base: str = "Base model"
    method: str = "Method"
    lora: str = "LoRA, rank {}, alpha {}"
    qlora: str = "QLoRA (base in four bits, NF4), rank {}, alpha {}"
    state: str = "State of the training"
    states: tuple[tuple[str, str], ...] = (
        ("", "never began"),
        ("preparing", "not finished (preparing)"),
        ("training", "not finished (training, or cut off)"),
        ("stopped", "stopped before its end"),
        ("finished", "finished"),
        ("failed", "failed"),
    )
    steps_done: str = "{}, {} of {} steps"
    rows_short: str = "Rows"
    rows_text: str = "{} read, {} trained, {} held out, {} refused"
    right_short: str = "Right answers in “{}”"
    right_text: str = "{} before, {} after"
    lost_short: str = "Right before, wrong after"
    parity_short: str = "Exported files are the trained model"
    parity_yes: str = "yes, in every comparison"
    parity_no: str = "no: blocked at stage “{}”"
    refused_short: str = "Connections tried and refused in training"

    data: str = "Data"
    file: str = "File"
    format: str = "Format"
    detected: str = "{} (detected)"
    rows_in: str = "Rows in"
    rows_out: str = "Usable as read"
    rows_refused: str = "Refused in reading"
    sha256: str = "SHA-256"
    rows_sum: str = "{} rows read = {} trained + {} held out + {} refused, in reading or by the model."
    ignored: str = "{}: fields that nothing is made of: {}."
    refused_title: str = "Refused rows, {} of {} shown:"
    row: str = "Row"
    field: str = "Field"
    problem: str = "What is wrong"
    fix: str = "What to do"

    plan: str = "Plan"
    plan_text: str = (
        "All choices of the run, those left at their defaults included. SHA-256 of plan.toml: {}."
    )

    training: str = "Training"
    began: str = "Began"
    ended: str = "Last event"
    steps: str = "Optimizer steps"
    learned_tokens: str = "Tokens learned in one pass"
    speed: str = "Mean speed"
    speed_text: str = "{} tokens/s"
    memory: str = "Most memory reported"
    resumed: str = "Went on from a checkpoint at step"
    first_loss: str = "Loss at the first step"
    last_loss: str = "Loss, mean of the last {} steps"
    held_out_last: str = "Held-out loss, last"
    held_out_best: str = "Held-out loss, lowest"
    at_step: str = "{} at step {}"
    held_out_rose: str = (
        "The held-out loss was lowest at step {} and rose after it: the model began to learn its rows by "
        "heart. Fewer steps may serve better."
    )
    no_held_out: str = "No rows were held out, so nothing was measured on rows that the model did not see."
    no_losses: str = "No step was reported."
    step: str = "Step"
    loss: str = "Loss"
    held_out_loss: str = "Held-out loss"
    each_step: str = "each step"
    running_mean: str = "mean of the last {} steps"
    warnings: str = "Warnings and failures:"
    time: str = "Time"
    why: str = "Why"

    evaluation: str = "Before and after"
    evaluation_text: str = (
        "The same questions to the base alone and to the tuned model, answered greedily, at most {} new "
        "tokens. Each figure is given before → after, over n questions."
    )
    figures: str = (
        "Right: equal to the expected answer, or, where a set is judged by “contains”, holding it; in such a "
        "set BLEU and ROUGE compare a whole answer with a part of one and say little. BLEU: 0 to 100, as "
        "sacrebleu with tok:zh, eff:yes. ROUGE: F1 over characters of Chinese and words of other languages, "
        "0 to 1. Perplexity: of the expected answers and the tokens that end them; 1 is certain."
    )
    questions: str = "Questions"
    judge: str = "Judged by"
    asked: str = "n"
    asked_of: str = "{} of {}"
    right: str = "Right"
    exact: str = "Equal"
    perplexity: str = "Perplexity"

    rows: str = "Answers in “{}”"
    rows_shown: str = (
        "{} of {} rows shown, rows that got worse first. Right before and wrong after: {}. All rows stand in "
        "evaluation/before.jsonl and evaluation/after.jsonl."
    )
    question: str = "Question"
    expected: str = "Expected"
    before: str = "Before"
    after: str = "After"
    verdict: str = "Verdict"
    is_right: str = "right"
    is_wrong: str = "wrong"

    parity: str = "Parity"
    parity_text: str = (
        "The same prompts through adapter, merged model and GGUF. Differences are of natural "
        "log-probabilities; for templates and tokenizers, the number of texts that differ. Engine: {}. "
        "Ollama: {}."
    )
    parity_blocked: str = "The export was blocked: the forms of the model differ. First at: {}."
    compared: str = "Compared"
    places: str = "Places"
    largest: str = "Largest difference"
    allowed: str = "Allowed"
    other_choices: str = "Other likeliest token"
    verdict_same: str = "same"
    verdict_differs: str = "DIFFERS"
    first_off: str = "First that is off in {}: {}."

    hashes_in: str = "What went in"
    hashes_out: str = "What came out"
    part: str = "Part"
    size: str = "Bytes"
    note: str = "Note"
    part_base: str = "base"
    part_plan: str = "plan"
    part_source: str = "source"
    part_rows: str = "rows"
    part_questions: str = "questions"
    part_release: str = "release"
    part_adapter: str = "adapter"
    part_merged: str = "merged"
    part_export: str = "export"
    as_read: str = "as read for training"
    as_asked: str = "as read for the questions"
    in_release: str = "signed in release {}"
    not_in_release: str = "in no signed release here"
    as_in_sums: str = "as in its SHA256SUMS"
    not_as_in_sums: str = "NOT as in its SHA256SUMS"
    the_run_data: str = "the run's rows"
    the_base: str = "the base model's files"
    the_adapter: str = "the adapter"
    the_merged: str = "the merged model"
    the_export: str = "the export"
    the_data_check: str = "the check of the data"
    the_evaluation: str = "the evaluation"
    the_answers: str = "the answers"
    the_parity: str = "the parity report"
    the_release: str = "the installed release"
    the_audit: str = "the audit log"

    record: str = "Site, software and record"
    release: str = "Release in use"
    release_text: str = "{} {}, made {}"
    sums: str = "SHA-256 of its SHA256SUMS"
    audit_head: str = "Audit log, head of the chain"
    audit_entries: str = "Audit log, entries"
    audit_text: str = "{}, the chain holds; {} torn by a power cut"
    audit_of_run: str = "Entries of the audit log that name this run:"
    event: str = "Event"
    who: str = "uid"
    facts: str = "Facts"
    versions: str = "Software where this report was written"

    signatures: str = "Decision and signatures"
    signatures_text: str = (
        "Who signs has read this report and judged the answers above for the use intended. The signature "
        "stands for the run {} and the files with the hashes listed under “What came out”, and no others."
    )
    decisions: tuple[str, ...] = (
        "released for the use intended",
        "released under the conditions written below",
        "not released",
    )
    remarks: str = "Use intended, conditions, remarks"
    sign_columns: tuple[str, ...] = ("Role", "Name", "Date", "Signature")
    roles: tuple[str, ...] = ("Trained by", "Reviewed by (quality)", "Released by")


ENGLISH = Words()
