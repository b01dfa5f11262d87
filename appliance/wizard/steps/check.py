"""What was found in the data, and rows as the model will see them."""

from pathlib import Path

from appliance.data.checks.finding import KINDS
from appliance.data.share import written_share
from appliance.errors import ApplianceError, BadInput
from appliance.sentence import listed, say
from appliance.training.looked import Look
from appliance.wizard.desk import Desk
from appliance.wizard.draft import Draft, with_value
from appliance.wizard.page import (
    Action,
    Bar,
    Block,
    Fact,
    Facts,
    Heading,
    Histogram,
    Level,
    Paragraph,
    Piece,
    Preview,
    Table,
)
from appliance.wizard.question import (
    Question,
    held_out_question,
    plan_question,
    whole_number,
    yes_or_no,
)
from appliance.wizard.step import Step, Verdict, error_facts
from appliance.wizard.titles import TITLES

SHOWN_PROBLEMS = 5
SHOWN_FIELDS = 8


def _check_blocks(desk: Desk) -> tuple[Block, ...]:
    state = desk.look()
    if state.error is not None:
        return _failed(state.error)
    if state.look is None:
        bar = Bar(state.stage or say("reading the files"), state.done, state.total or 0)
        return (Paragraph("The rows are read as the model will see them."), bar)
    if desk.local.get("shown") == "rows" and state.look.shown:
        return _rows(state.look, int(desk.local.get("row", 0)))
    return _findings(state.look)


def _failed(error: ApplianceError) -> tuple[Block, ...]:
    return (Paragraph("The data cannot be used as it is.", "fail"), error_facts(error))


def _findings(look: Look) -> tuple[Block, ...]:
    files = [
        Fact(
            Path(file.path).name,
            say(
                "{format}, {encoding}, {rows} rows, {used} usable",
                format=file.format,
                encoding=file.encoding or file.container,
                rows=file.rows_in,
                used=file.rows_out,
            ),
        )
        for file in look.files
    ]
    counts = [
        Fact("Rows to learn", str(look.rows - look.held_out), "ok" if look.rows else "fail"),
        Fact("Kept for test", str(look.held_out), "ok" if look.held_out else "info"),
        Fact("Too long", str(look.too_long), "warn" if look.too_long else "ok"),
        Fact("Cannot be used", str(look.problem_count), "warn" if look.problem_count else "ok"),
        Fact("Doubled", str(look.duplicates), "warn" if look.duplicates else "ok"),
        Fact("Same question, other answer", str(look.conflicts), "warn" if look.conflicts else "ok"),
        Fact(
            "Tokens",
            say(
                "{tokens:,}, of which {learned:,} are learned",
                tokens=look.tokens,
                learned=look.learned_tokens,
            ),
        ),
    ]
    blocks: list[Block] = [Facts((*files, *counts))]
    if look.problems:
        rows = tuple(
            (each.file, str(each.row), each.field, each.what, each.fix)
            for each in look.problems[:SHOWN_PROBLEMS]
        )
        blocks += [
            Heading("Rows that cannot be used"),
            Table(("File", "Row", "Field", "Problem", "What to do"), rows),
        ]
        if look.problem_count > len(rows):
            more = say(
                "and {count} more: `islet data check FILE --json` lists all",
                count=look.problem_count - len(rows),
            )
            blocks.append(Paragraph(more))
    blocks += [*_remarks(look), *_readings(look)]
    bounds = tuple((say("up to {tokens:,}", tokens=bound), count) for bound, count in look.lengths)
    blocks.append(Histogram("Length in tokens", bounds))
    return tuple(blocks)


def _remarks(look: Look) -> tuple[Block, ...]:
    """What else the checks found, and how to see which rows are meant."""
    if not (look.remarks or look.problem_count or look.duplicates or look.conflicts):
        return ()
    copy = Paragraph(
        "`islet data check FILE --annotate COPY` writes a copy of your file with what was found beside each "
        "row."
    )
    if not look.remarks:
        return (copy,)
    facts = [
        Fact(KINDS[code].title, say("{count:,} rows", count=count), _level(code))
        for code, count in look.remarks
    ]
    return (Heading("What else was found"), Facts(tuple(facts)), copy)


def _readings(look: Look) -> tuple[Block, ...]:
    """What each file was taken for and why, and what of it is not read."""
    facts, notices = [], []
    for file in look.files:
        if file.why:
            facts.append(Fact(Path(file.path).name, file.why))
        if file.ignored_fields:
            facts.append(Fact("Not read", listed(file.ignored_fields[:SHOWN_FIELDS])))
        notices += [Paragraph(notice, "info") for notice in file.notices]
    return (Heading("How the files were read"), Facts(tuple(facts)), *notices) if facts else tuple(notices)


def _level(code: str) -> Level:
    return "info" if KINDS[code].severity == "note" else "warn"


def _rows(look: Look, index: int) -> tuple[Block, ...]:
    row = look.shown[index % len(look.shown)]
    label = say("{file}, row {row}", file=row.file, row=row.row)
    pieces = tuple(Piece(piece.text, piece.learned) for piece in row.pieces)
    return (
        Paragraph("A row as the model sees it. What is marked is what it learns to write."),
        Preview(label, pieces),
    )


def _check_verdict(desk: Desk) -> Verdict:
    state = desk.look()
    if state.error is not None:
        return Verdict("fail", "Go back and choose other files, or mend these and check again.", stops=True)
    look = state.look
    if look is None:
        return Verdict("busy", "Checking the data.", stops=True)
    if not look.rows:
        return Verdict("fail", _nothing_left(look), stops=True)
    if _refused_stop(desk, look):
        told = "Mend these rows and check again, or answer that the others are used."
        return Verdict("fail", told, stops=True)
    if _none_held_out(desk):
        told = "No row is left to test with: too few different questions. Add rows, or keep 0 %."
        return Verdict("fail", told, stops=True)
    if look.problem_count or look.duplicates or look.conflicts or _is_warned(look):
        return Verdict("warn", "The data can be used; read what is marked.")
    return Verdict("ok", "The data can be used.")


def _is_warned(look: Look) -> bool:
    return any(_level(code) == "warn" for code, _ in look.remarks)


def _nothing_left(look: Look) -> str:
    if not look.too_long:
        return say("There is no row to learn from.")
    return say(
        "Every row is too long: let longer ones in, the longest has {tokens:,} tokens.",
        tokens=look.longest_refused_tokens,
    )


def _refused_stop(desk: Desk, look: Look) -> bool:
    share = written_share(desk.draft.plan.data.max_bad_share)
    return look.problem_count > share * (look.rows + look.problem_count)


def _needed_share(look: Look) -> float:
    """The smallest share, in thousandths, that lets these rows be refused."""
    total = look.rows + look.problem_count
    return min(1.0, -(-1000 * look.problem_count // total) / 1000)


def _shown_skip(desk: Desk) -> str:
    """The answer, as far as it was given for these rows: it says nothing of more that were found since."""
    look = desk.found()
    covered = look is None or not _refused_stop(desk, look)
    return "yes" if desk.draft.plan.data.max_bad_share > 0 and covered else "no"


def _take_skip(desk: Desk, text: str) -> Draft:
    wanted, look = yes_or_no(text), desk.found()
    share = _needed_share(look) if look is not None and wanted else 0.0
    return desk.changed(plan=with_value(desk.draft.plan, "data.max_bad_share", share))


def _has_refused(desk: Desk) -> bool:
    look = desk.found()
    return look is not None and look.problem_count > 0 and look.rows > 0


def _none_held_out(desk: Desk) -> bool:
    """Whether rows were to be kept for test, and none can be."""
    look = desk.found()
    return (
        look is not None and look.rows > 0 and not look.held_out and desk.draft.plan.data.held_out_share > 0
    )


def _too_long(desk: Desk) -> bool:
    """Whether rows were refused that the model could read if the plan let them in."""
    look, model = desk.found(), desk.model()
    if look is None or not look.too_long or model is None:
        return False
    return model.context_tokens is None or look.pack_tokens < model.context_tokens


def _check_actions(desk: Desk) -> tuple[Action, ...]:
    again = Action("again", "Check again", key="f5")
    look = desk.found()
    if look is None or not look.shown:
        unread = isinstance(desk.look().error, BadInput)
        return (Action("columns", "Say how it is read", key="f7", default=unread), again)
    if desk.local.get("shown") == "rows":
        return (Action("findings", "Findings", key="f3"), Action("another", "Another row", key="f6"), again)
    return (Action("rows", "See rows", key="f3"), Action("columns", "How it is read", key="f7"), again)


def _show(desk: Desk, what: str) -> None:
    desk.local["shown"] = what


def _hide(desk: Desk) -> None:
    desk.local.pop("shown", None)


def _another(desk: Desk) -> None:
    desk.local["row"] = int(desk.local.get("row", 0)) + 1


CHECK = Step(
    name="check",
    number=4,
    title=TITLES["check"],
    help=(
        "Every row is read, rendered with the chat template of the chosen model and counted. Nothing is "
        "dropped without being listed.",
        "A row that is longer than the model reads at once is refused, never cut.",
        "Rows are shown to you only: they are in no log, and cannot be selected or copied.",
    ),
    blocks=_check_blocks,
    verdict=_check_verdict,
    questions=(
        Question(
            name="data.max_bad_share",
            label="Go on without the rows that cannot be used",
            help="They are listed in the run's check report; the others are used.",
            kind="yesno",
            show=_shown_skip,
            take=_take_skip,
            asked=_has_refused,
        ),
        plan_question(
            "training.pack_tokens",
            "Longest row (tokens)",
            "Some rows are longer than this and are refused. Longer takes more memory.",
            kind="number",
            read=whole_number,
            asked=_too_long,
        ),
        held_out_question(asked=_none_held_out),
    ),
    before=lambda desk: "data",
    after=lambda desk: "plan",
    actions=_check_actions,
    takes={
        "again": lambda desk: desk.look_again(),
        "columns": lambda desk: "columns",
        "rows": lambda desk: _show(desk, "rows"),
        "findings": _hide,
        "another": _another,
    },
    trouble=lambda desk: desk.look().error,
    live=lambda desk: desk.look().look is None,
    private=lambda desk: desk.local.get("shown") == "rows",
)
