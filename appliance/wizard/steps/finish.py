"""After training: the same questions before and after, the files for Ollama, the report."""

import msgspec

from appliance.errors import ApplianceError
from appliance.evaluation.results import Answer, SetResult, Summary, read_answers, read_summary
from appliance.job import JobState, Kind, start_job, stop_job
from appliance.progress import amount_text
from appliance.report.facts import Parity
from appliance.run.plan import read_plan
from appliance.sentence import listed, say
from appliance.wizard.desk import Desk
from appliance.wizard.page import (
    Action,
    Bar,
    Block,
    Confirm,
    Fact,
    Facts,
    Heading,
    Level,
    Paragraph,
    Piece,
    Preview,
    Table,
    Verbatim,
)
from appliance.wizard.step import Step, Verdict, error_facts
from appliance.wizard.titles import TITLES


def _job_blocks(state: JobState) -> tuple[Block, ...]:
    """How far a job is, or why it ended without a result."""
    if state.state == "running":
        amount = amount_text(state.done, "B") if state.unit == "B" else ""
        if state.total and state.unit != "B":
            amount = say("{done:,} of {total:,}", done=state.done, total=state.total)
        return (Bar(state.stage or say("starting"), state.done, state.total, amount),)
    if state.state == "interrupted":
        return (
            Paragraph("It was ended from outside before it was through; nothing half-made was kept.", "warn"),
        )
    if state.error is not None:
        return (error_facts(state.error),)
    return ()


def _start(desk: Desk, kind: Kind) -> None:
    start_job(desk.run.run, kind, desk.site, desk.language)


def _stop_action(kind: Kind) -> Action:
    """The action that ends a job; what was there before it stays."""
    sure = Confirm(
        "Stop this?",
        (say("What is half-made is thrown away; what was there before stays."),),
        stay="Let it go on",
        go="Stop it",
    )
    return Action(f"stop-{kind}", "Stop", key="f6", confirm=sure)


def _stop_job(desk: Desk, kind: Kind) -> None:
    stop_job(desk.run.run, kind)


# Before and after


def _summary(desk: Desk) -> Summary | None:
    try:
        return read_summary(desk.run.run)
    except ApplianceError:
        return None


def _compare_blocks(desk: Desk) -> tuple[Block, ...]:
    state = desk.run.job("evaluate")
    if state.state == "running":
        lead = Paragraph("The same questions are asked to the base model and to yours.")
        return (lead, *_job_blocks(state))
    summary = _summary(desk)
    if summary is None:
        lead = Paragraph(
            "The same questions are asked to the base model and to yours, and the answers counted."
        )
        return (lead, *_job_blocks(state))
    if desk.local.get("shown") == "answers":
        return _answers(desk)
    return (_results(summary), *(_job_blocks(state) if state.state == "failed" else ()))


def _results(summary: Summary) -> Table:
    rows = tuple(
        (
            set_name(each.name),
            str(each.questions),
            f"{each.right_before / each.questions:.0%}",
            f"{each.right_after / each.questions:.0%}",
            _figure(each.before.perplexity),
            _figure(each.after.perplexity),
            f"{each.before.rouge_l:.2f}",
            f"{each.after.rouge_l:.2f}",
        )
        for each in summary.sets
    )
    columns = ("Questions", "Asked", "Right before", "after", "Perplexity", "after", "ROUGE-L", "after")
    return Table(columns, rows, right=frozenset(range(1, 8)))


def set_name(name: str) -> str:
    """What a set of questions is called; the run's own have names that can be said in any language."""
    return {"trained": say("learned rows"), "held-out": say("test rows")}.get(name, name)


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def _answers(desk: Desk) -> tuple[Block, ...]:
    """One question with what was expected and both answers."""
    try:
        pairs = read_answers(desk.run.run)
    except ApplianceError as error:
        return (error_facts(error),)
    index = int(desk.local.get("answer", 0)) % len(pairs)
    before, after = pairs[index]
    head = say(
        "Answer {number} of {count}: {set}", number=index + 1, count=len(pairs), set=set_name(before.set)
    )
    return (
        Heading(head),
        _text("Question", before.question),
        _text("Expected", before.expected),
        _text(_judged("Before", before), before.answer),
        _text(_judged("After", after), after.answer),
    )


def _judged(when: str, answer: Answer) -> str:
    return say("{when} (right)", when=when) if answer.right else say("{when} (not right)", when=when)


def _text(label: str, text: str) -> Preview:
    return Preview(label, (Piece(text, learned=False),))


def _gained(summary: Summary) -> tuple[Level, str]:
    """What the figures say in one line."""
    worse = [each for each in summary.sets if each.right_after < each.right_before]
    better = [each for each in summary.sets if each.right_after > each.right_before]
    if worse:
        return "warn", say(
            "Worse than before on: {sets}. Look at the answers before you go on.",
            sets=_names(worse),
        )
    if not better:
        return "warn", say("No set gained. Look at the answers; more passes or more rows may help.")
    return "ok", say("Better than before on: {sets}.", sets=_names(better))


def _names(sets: list[SetResult]) -> str:
    return listed([set_name(each.name) for each in sets])


def _compare_verdict(desk: Desk) -> Verdict:
    state = desk.run.job("evaluate")
    if state.state == "running":
        return Verdict("busy", "This goes on when you leave.", stops=True)
    if state.state == "failed":
        return Verdict("fail", "The comparison failed; read above what to do.")
    summary = _summary(desk)
    if summary is None:
        return Verdict("info", "Press Compare. You may also go on without it.")
    return Verdict(*_gained(summary))


def _compare_actions(desk: Desk) -> tuple[Action, ...]:
    if desk.run.job("evaluate").state == "running":
        return (_stop_action("evaluate"),)
    if _summary(desk) is None:
        return (Action("compare", "Compare", key="f5", default=True),)
    again = Action("compare", "Compare again", key="f5")
    if desk.local.get("shown") == "answers":
        return (Action("figures", "Figures", key="f3"), Action("another", "Another answer", key="f6"), again)
    return (Action("answers", "See answers", key="f3"), again)


def _show(desk: Desk, what: str) -> None:
    desk.local["shown"] = what


def _another(desk: Desk) -> None:
    desk.local["answer"] = int(desk.local.get("answer", 0)) + 1


COMPARE = Step(
    name="compare",
    number=9,
    title=TITLES["compare"],
    help=(
        "Learned rows show whether it learned, test rows whether it understood. Right: the answer equals the "
        "expected one.",
        "Perplexity: how surprised the model is by the expected answer; lower is better. ROUGE-L: how much "
        "of the wording agrees, 0 to 1.",
    ),
    blocks=_compare_blocks,
    verdict=_compare_verdict,
    before=lambda desk: "training",
    after=lambda desk: "export",
    actions=_compare_actions,
    takes={
        "compare": lambda desk: _start(desk, "evaluate"),
        "stop-evaluate": lambda desk: _stop_job(desk, "evaluate"),
        "answers": lambda desk: _show(desk, "answers"),
        "figures": lambda desk: _show(desk, "figures"),
        "another": _another,
    },
    live=lambda desk: desk.run.job("evaluate").state == "running",
    private=lambda desk: desk.local.get("shown") == "answers",
)


# Export


def _is_exported(desk: Desk) -> bool:
    return (desk.run.run.export / "Modelfile").is_file()


def _export_blocks(desk: Desk) -> tuple[Block, ...]:
    state = desk.run.job("export")
    plan = read_plan(desk.run.run.plan)
    facts = Facts(
        (
            Fact("Name in Ollama", plan.export.name),
            Fact("Model file", ", ".join(plan.export.gguf)),
            Fact("Written to", str(desk.run.run.export)),
        )
    )
    lead = Paragraph(
        "Base and adapter become one model; it is converted for Ollama, and all forms are asked the same."
    )
    if state.state == "running" or not _is_exported(desk):
        return (lead, facts, *_job_blocks(state))
    return (facts, *_parity(desk), *(_job_blocks(state) if state.state == "failed" else ()))


def _parity(desk: Desk) -> tuple[Block, ...]:
    try:
        parity = msgspec.json.decode((desk.run.run.export / "parity.json").read_bytes(), type=Parity)
    except (OSError, msgspec.MsgspecError):
        return (Paragraph("The comparison of the forms cannot be read.", "warn"),)
    rows = tuple(
        (
            each.compared,
            str(each.positions),
            f"{each.largest_difference:.2g}",
            f"{each.allowed_difference:.2g}",
            say("same") if each.passed else say("DIFFERENT"),
        )
        for each in parity.comparisons
    )
    head = Heading("The same prompts through the model in each of its forms")
    return (
        head,
        Table(("Compared", "Places", "Difference", "Allowed", ""), rows, right=frozenset({1, 2, 3})),
    )


def _export_verdict(desk: Desk) -> Verdict:
    state = desk.run.job("export")
    if state.state == "running":
        return Verdict("busy", "This goes on when you leave.", stops=True)
    if state.state == "failed" and not _is_exported(desk):
        return Verdict("fail", "The export failed; read above what to do.", stops=True)
    if not _is_exported(desk):
        return Verdict("info", "Press Export now.", stops=True)
    return Verdict("ok", "All forms of the model answer the same.")


def _export_actions(desk: Desk) -> tuple[Action, ...]:
    if desk.run.job("export").state == "running":
        return (_stop_action("export"),)
    if _is_exported(desk):
        return (Action("export", "Export again", key="f5"),)
    return (Action("export", "Export now", key="f5", default=True),)


EXPORT = Step(
    name="export",
    number=10,
    title=TITLES["export"],
    help=(
        "Merges base and adapter, converts to GGUF, writes the Modelfile, and sends fixed prompts through "
        "every form. If one differs, nothing leaves the run.",
        "Models that Ollama has now are not touched.",
    ),
    blocks=_export_blocks,
    verdict=_export_verdict,
    before=lambda desk: "compare",
    after=lambda desk: "done",
    actions=_export_actions,
    takes={
        "export": lambda desk: _start(desk, "export"),
        "stop-export": lambda desk: _stop_job(desk, "export"),
    },
    live=lambda desk: desk.run.job("export").state == "running",
)


# Done


def _done_blocks(desk: Desk) -> tuple[Block, ...]:
    run = desk.run.run
    plan = read_plan(run.plan)
    report = run.root / "report" / "report.html"
    state = desk.run.job("report")
    lines = (
        f"cd {run.export}",
        "sha256sum -c SHA256SUMS",
        f"ollama create {plan.export.name} -f Modelfile",
        f"ollama run {plan.export.name}",
    )
    facts = [
        Fact("Run", run.root.name),
        Fact("Files", str(run.export)),
        Fact(
            "Report",
            str(report) if report.is_file() else say("not written yet"),
            "ok" if report.is_file() else "warn",
        ),
    ]
    return (
        Facts(tuple(facts)),
        Heading("On the machine that has Ollama, in that folder:"),
        Verbatim(lines),
        Paragraph("The report is for the quality officer, to print and sign. It shows rows of your data."),
        *(_job_blocks(state) if state.state in ("running", "failed") else ()),
    )


def _done_actions(desk: Desk) -> tuple[Action, ...]:
    return (
        Action("report", "Write the report again", key="f5"),
        Action("home", "Home", default=True),
    )


DONE = Step(
    name="done",
    number=0,
    title=TITLES["done"],
    help=(
        "README.md in the export folder has the same lines. Everything about the run stays in its folder.",
    ),
    blocks=_done_blocks,
    verdict=lambda desk: Verdict("ok", "All done. Nothing left this machine."),
    before=lambda desk: "export",
    actions=_done_actions,
    takes={"report": lambda desk: _start(desk, "report"), "home": lambda desk: "home"},
    live=lambda desk: desk.run.job("report").state == "running",
)
