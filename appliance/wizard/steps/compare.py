"""The same questions before and after."""

from appliance.errors import ApplianceError
from appliance.evaluation.results import Answer, SetResult, Summary, read_answers, read_summary
from appliance.sentence import listed, say
from appliance.wizard.desk import Desk
from appliance.wizard.page import (
    Action,
    Block,
    Heading,
    Level,
    Paragraph,
    Piece,
    Preview,
    Table,
)
from appliance.wizard.step import Step, Verdict, error_facts
from appliance.wizard.steps.jobs import begin_job, end_job, job_blocks, stop_action
from appliance.wizard.titles import TITLES


def _summary(desk: Desk) -> Summary | None:
    try:
        return read_summary(desk.run.run)
    except ApplianceError:
        return None


def _compare_blocks(desk: Desk) -> tuple[Block, ...]:
    state = desk.run.job("evaluate")
    if state.state == "running":
        lead = Paragraph("The same questions are asked to the base model and to yours.")
        return (lead, *job_blocks(state))
    summary = _summary(desk)
    if summary is None:
        lead = Paragraph(
            "The same questions are asked to the base model and to yours, and the answers counted."
        )
        return (lead, *job_blocks(state))
    if desk.local.get("shown") == "answers":
        return _answers(desk)
    return (*_results(summary), *(job_blocks(state) if state.state == "failed" else ()))


def _results(summary: Summary) -> tuple[Block, ...]:
    rows = tuple(
        (
            set_name(each.name),
            str(each.questions),
            _both(f"{each.right_before / each.questions:.0%}", f"{each.right_after / each.questions:.0%}"),
            _both(_figure(each.before.perplexity), _figure(each.after.perplexity)),
            _both(f"{each.before.rouge_l:.2f}", f"{each.after.rouge_l:.2f}"),
        )
        for each in summary.sets
    )
    columns = ("Questions", "Asked", "Right", "Perplexity", "ROUGE-L")
    return (Paragraph("Each figure: before -> after."), Table(columns, rows, right=frozenset(range(1, 5))))


def _both(before: str, after: str) -> str:
    return f"{before} -> {after}"


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
    if not pairs:
        return ()
    index = int(desk.local.get("answer", 0)) % len(pairs)
    before, after = pairs[index]
    head = say(
        "Answer {number} of {count}: {set}", number=index + 1, count=len(pairs), set=set_name(before.set)
    )
    return (
        Heading(head),
        _text("Question", before.question),
        _text("Expected", before.expected),
        _text(_judged(say("Before"), before), before.answer),
        _text(_judged(say("After"), after), after.answer),
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
        return (stop_action("evaluate"),)
    if _summary(desk) is None:
        return (Action("compare", "Compare", key="f5", default=True),)
    again = Action("compare", "Compare again", key="f5")
    if desk.local.get("shown") == "answers":
        return (Action("figures", "Figures", key="f3"), Action("another", "Another answer", key="f6"), again)
    return (Action("answers", "See answers", key="f3"), again)


def _show(desk: Desk, what: str) -> None:
    desk.local["shown"] = what


def _hide(desk: Desk) -> None:
    desk.local.pop("shown", None)


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
        "compare": lambda desk: begin_job(desk, "evaluate"),
        "stop-evaluate": lambda desk: end_job(desk, "evaluate"),
        "answers": lambda desk: _show(desk, "answers"),
        "figures": _hide,
        "another": _another,
    },
    trouble=lambda desk: desk.run.job("evaluate").error,
    live=lambda desk: desk.run.job("evaluate").state == "running",
    private=lambda desk: desk.local.get("shown") == "answers",
)
