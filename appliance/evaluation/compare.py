"""Before and after: the same questions to the base alone and to the base with the run's adapter."""

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from appliance.errors import BadInput
from appliance.evaluation.ask import ask
from appliance.evaluation.bleu import bleu
from appliance.evaluation.judge import is_right, spoken
from appliance.evaluation.likelihood import AnswerLoss, answer_losses, perplexity
from appliance.evaluation.prompt import expected_text
from appliance.evaluation.questions import (
    Conversation,
    Questions,
    conversation,
    read_questions,
    trained_questions,
)
from appliance.evaluation.results import Answer, Scores, SetResult, Summary, write_results
from appliance.evaluation.rouge import rouge
from appliance.model.base import check_base, load_base, load_tokenizer, stop_ids
from appliance.model.same_base import check_base_sums
from appliance.progress import Progress, Silent
from appliance.run.folder import RunFolder, read_base
from appliance.run.plan import Plan, read_plan
from appliance.run.rows import Row
from appliance.sentence import Sentence, say

Measured = list[tuple[Answer, AnswerLoss]]
"""Every row's answer by one model, with what the expected one would have cost it."""

BASE = say("asking the base"), say("perplexity of the base")
TUNED = say("asking the tuned model"), say("perplexity of the tuned model")


def evaluate(run: RunFolder, progress: Progress | None = None) -> Summary:
    """Ask every set of the run before and after; the figures, which also stand in `evaluation/`.

    Whoever starts the process calls `appliance.model.offline.set_offline` before any library is imported.

    Raises: BadInput, when there is nothing to ask, a set has a bad row, the base cannot be used, or the
    run has no adapter yet; HostNotReady, when the answers cannot be written.
    """
    plan = read_plan(run.plan)
    if not (run.adapter / "adapter_model.safetensors").is_file():
        raise BadInput(
            say("{folder} has no adapter yet.", folder=run.root),
            why="there is nothing to compare the base with before training has ended",
            next_step="Train the run to its end first.",
        )
    check_base_sums(read_base(run), run.base_sums)
    sets = read_questions(run, plan)
    before, after = _measure_both(run, plan, sets, progress or Silent())
    trained = trained_questions(run)
    results = tuple(_result(each, before, after, trained) for each in sets)
    summary = Summary(results, plan.evaluation.max_new_tokens)
    write_results(run, [answer for answer, _ in before], [answer for answer, _ in after], summary)
    return summary


def _measure_both(
    run: RunFolder, plan: Plan, sets: Sequence[Questions], progress: Progress
) -> tuple[Measured, Measured]:
    """What the base, and then the base with the adapter on it, answers."""
    import torch
    from peft import PeftModel

    if plan.training.threads:
        torch.set_num_threads(plan.training.threads)
    base = read_base(run)
    check_base(base)
    tokenizer = load_tokenizer(base)
    model = _load_as_trained(base, plan)
    before = _measure(BASE, base, model, tokenizer, sets, plan, progress)
    tuned = PeftModel.from_pretrained(model, run.adapter).eval()
    return before, _measure(TUNED, base, tuned, tokenizer, sets, plan, progress)


def _load_as_trained(base: Path, plan: Plan) -> Any:
    """The base in the form that the adapter was trained over, so that before and after differ by it alone."""
    import torch

    model = load_base(base, nf4=plan.training.nf4)
    if torch.cuda.is_available() and not plan.training.nf4:  # a quantised one is there already
        model = model.to("cuda")
    return model


def _measure(
    stages: tuple[Sentence, Sentence],
    base: Path,
    model: Any,
    tokenizer: Any,
    sets: Sequence[Questions],
    plan: Plan,
    progress: Progress,
) -> Measured:
    rows = [row for each in sets for row in each.rows]
    asking, perplexity_of = stages
    with progress.stage(asking, total=len(rows), unit=say("answers")) as advance:
        texts = ask(
            model,
            tokenizer,
            rows,
            stop_ids=stop_ids(base, tokenizer),
            max_new_tokens=plan.evaluation.max_new_tokens,
            advance=advance,
        )
    with progress.stage(perplexity_of, total=len(rows), unit=say("answers")) as advance:
        losses = answer_losses(model, tokenizer, rows, advance=advance)
    expected = [expected_text(tokenizer, row) for row in rows]
    asked = [(each, row) for each in sets for row in each.rows]
    return [
        (_answer(each, row, wanted, text, loss), loss)
        for (each, row), wanted, text, loss in zip(asked, expected, texts, losses, strict=True)
    ]


def _answer(questions: Questions, row: Row, expected: str, text: str, loss: AnswerLoss) -> Answer:
    given, wanted = spoken(text), spoken(expected)
    overlap = rouge(given, wanted)
    return Answer(
        set=questions.name,
        file=row.file,
        row=row.row,
        question=row.question[-1].content,
        expected=expected,
        answer=text,
        right=is_right(text, expected, questions.judge),
        bleu=bleu([given], [wanted]),
        rouge_1=overlap.rouge_1,
        rouge_2=overlap.rouge_2,
        rouge_l=overlap.rouge_l,
        perplexity=perplexity([loss]),
    )


def _result(
    questions: Questions, before: Measured, after: Measured, trained: frozenset[Conversation]
) -> SetResult:
    ours, theirs = ([pair for pair in each if pair[0].set == questions.name] for each in (before, after))
    return SetResult(
        name=questions.name,
        judge=questions.judge,
        file=questions.path.name,
        sha256=questions.sha256,
        rows=questions.available,
        questions=len(questions.rows),
        right_before=sum(answer.right for answer, _ in ours),
        right_after=sum(answer.right for answer, _ in theirs),
        before=_scores(ours),
        after=_scores(theirs),
        trained_on=sum(conversation(row) in trained for row in questions.rows),
    )


def _scores(measured: Measured) -> Scores:
    answers = [answer for answer, _ in measured]
    return Scores(
        exact=fmean(is_right(each.answer, each.expected, "exact") for each in answers),
        bleu=bleu([spoken(each.answer) for each in answers], [spoken(each.expected) for each in answers]),
        rouge_1=fmean(each.rouge_1 for each in answers),
        rouge_2=fmean(each.rouge_2 for each in answers),
        rouge_l=fmean(each.rouge_l for each in answers),
        perplexity=perplexity([loss for _, loss in measured]),
    )
