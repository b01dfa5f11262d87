"""From facts to the sections of a report, in the order read. Pure."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from appliance.locale.voice import Voice
from appliance.report.answers import answer_sections, evaluation_section, lost
from appliance.report.blocks import Document, Pairs, Paragraph, Section, Signatures
from appliance.report.data import counts, data_section
from appliance.report.facts import Facts
from appliance.report.figures import flattened, moment, share
from appliance.report.files import file_sections
from appliance.report.gaps import Missing, gap
from appliance.report.parity import parity_section
from appliance.report.record import record_section
from appliance.report.training import training_section
from appliance.run.plan import TrainingChoice
from appliance.site.approval import SUMS, decision_sentence, newest_decision


def to_document(facts: Facts, say: Voice, *, now: datetime) -> Document:
    """The whole report, written at `now` (UTC), in the language of `say`."""
    return Document(
        language=say.language.replace("_", "-"),
        title=say("Training report: {name}", name=facts.plan.name),
        subtitle=say("Run {run}. Written {time}.", run=facts.run, time=moment(now.isoformat(), say)),
        notice=say(
            "Confidential: this document shows rows of the training data and answers of the model on "
            "purpose. Handle it like the data."
        ),
        sections=(
            _what(facts, say),
            data_section(facts, say),
            _plan(facts, say),
            training_section(facts, say),
            evaluation_section(facts, say),
            *answer_sections(facts, say),
            parity_section(facts, say),
            *file_sections(facts, say),
            record_section(facts, say),
            _signatures(facts, say),
        ),
    )


def _what(facts: Facts, say: Voice) -> Section:
    story, refused = facts.story, facts.story.refused_connections
    state = say(
        "{state}, {step} of {steps} steps", state=_state(story.state, say), step=story.step, steps=story.steps
    )
    rows = [
        (say("Base model"), facts.base_name),
        (say("Method"), _method(facts.plan.training, say)),
        (say("State of the training"), state),
        *_results(facts, say),
        *_approval(facts, say),
        (
            say("Connections tried and refused in training"),
            say("not recorded") if refused is None else str(refused),
        ),
    ]
    said = say(
        "A language model was tuned on this site, without a network, from the base and the rows named below. "
        "This report states what went in, how it was trained, what the model answered before and after, "
        "whether the exported files are the model that was trained, and what came out. Every figure is read "
        "from the run's own records; files are hashed anew for the report, unless a note says otherwise. It "
        "does not say that the model is right: that is for the people who sign it."
    )
    gaps = (gap(name, value, say) for name, value in _named(facts, say) if isinstance(value, Missing))
    return Section(say("What this is"), (Paragraph(said), Pairs(tuple(rows)), *gaps))


def _method(training: TrainingChoice, say: Voice) -> str:
    figures = {"rank": training.rank, "alpha": training.alpha}
    if training.nf4:
        return say("QLoRA (base in four bits, NF4), rank {rank}, alpha {alpha}", **figures)
    return say("LoRA, rank {rank}, alpha {alpha}", **figures)


def _state(state: str, say: Voice) -> str:
    """What the worker said last, as a reader of the report understands it."""
    states = {
        "": say("never began"),
        "preparing": say("not finished (preparing)"),
        "training": say("not finished (training, or cut off)"),
        "stopped": say("stopped before its end"),
        "finished": say("finished"),
        "failed": say("failed"),
    }
    return states.get(state, state)


def _results(facts: Facts, say: Voice) -> list[tuple[str, str]]:
    """Rows, right answers and parity in short, as far as they are known."""
    rows = []
    if not isinstance(facts.check, Missing):
        counted = say(
            "{read} read, {trained} trained, {held_out} held out, {refused} refused", **counts(facts.check)
        )
        rows.append((say("Rows"), counted))
    if not isinstance(facts.summary, Missing):
        for each in facts.summary.sets:
            right = say(
                "{before} before, {after} after",
                before=share(each.right_before, each.questions, say),
                after=share(each.right_after, each.questions, say),
            )
            rows.append((say("Right answers in “{set}”", set=each.name), right))
    if not isinstance(facts.answers, Missing):
        losses = say("{part} of {whole}", part=len(lost(facts.answers)), whole=len(facts.answers))
        rows.append((say("Right before, wrong after"), losses))
    if not isinstance(facts.parity, Missing):
        first = facts.parity.first_difference
        verdict = say("yes, in every comparison")
        if facts.merged_elsewhere:
            verdict = say("the adapter, over the unquantised base: see “Parity”")
        if first:
            verdict = say("no: blocked at stage “{stage}”", stage=first)
        rows.append((say("Exported files are the trained model"), verdict))
    return rows


def _approval(facts: Facts, say: Voice) -> list[tuple[str, str]]:
    """What the audit log says of the export that lies there now; nothing where either is not known."""
    if isinstance(facts.site.audit, Missing) or isinstance(facts.export, Missing):
        return []
    sums = next((file.sha256 for file in facts.export if file.name == SUMS), "")
    decision = newest_decision(facts.site.audit.of_run, facts.run, sums)
    if decision is None:
        return [(say("Approval"), say("not approved when this was written"))]
    return [(say("Approval"), say.again(decision_sentence(decision)))]


def _named(facts: Facts, say: Voice) -> Sequence[tuple[str, object]]:
    """Everything that can be missing, by its name."""
    return [
        (say("the base model's files"), facts.base),
        (say("the check of the data"), facts.check),
        (say("the adapter"), facts.adapter),
        (say("the evaluation"), facts.summary),
        (say("the answers"), facts.answers),
        (say("the merged model"), facts.merged),
        (say("the export"), facts.export),
        (say("the parity report"), facts.parity),
        (say("the installed release"), facts.site.release),
        (say("the audit log"), facts.site.audit),
    ]


def _plan(facts: Facts, say: Voice) -> Section:
    document = msgspec.to_builtins(facts.plan)
    if facts.plan.training.steps:
        del document["training"]["epochs"]  # which says nothing then
    said = say(
        "All choices of the run, those left at their defaults included. SHA-256 of plan.toml: {sha256}.",
        sha256=facts.plan_sha256,
    )
    return Section(say("Plan"), (Paragraph(said), Pairs(tuple(flattened(document)), dense=True)))


def _signatures(facts: Facts, say: Voice) -> Section:
    said = say(
        "Who signs has read this report and judged the answers above for the use intended. The signature "
        "stands for the run {run} and the files with the hashes listed under “What came out”, and no others.",
        run=facts.run,
    )
    sign = Signatures(
        decisions=(
            say("released for the use intended"),
            say("released under the conditions written below"),
            say("not released"),
        ),
        remarks=say("Use intended, conditions, remarks"),
        columns=(say("Role"), say("Name"), say("Date"), say("Signature")),
        roles=(say("Trained by"), say("Reviewed by (quality)"), say("Released by")),
    )
    return Section(say("Decision and signatures"), (Paragraph(said), sign))
