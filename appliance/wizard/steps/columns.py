"""How a file is read, where that is not certain: which sheet, which entry, which column is what.

One file at a time, the first that is not settled. Its first rows are shown, so the page is private.
"""

from pathlib import Path
from typing import Any

import msgspec

from appliance.data.first_look import Column, FirstLook
from appliance.run.plan import DataFile, FieldName
from appliance.sentence import listed, say
from appliance.wizard.cells import one_line
from appliance.wizard.desk import Desk
from appliance.wizard.draft import Draft, with_value
from appliance.wizard.page import Action, Block, Fact, Facts, Level, Option, Paragraph
from appliance.wizard.question import Question, WrongAnswer
from appliance.wizard.step import Step, Verdict, as_failure, error_facts
from appliance.wizard.titles import TITLES

PAIR: tuple[FieldName, ...] = ("prompt", "response")
TWO_COLUMNS = "two columns"
"""Stands for no column of conversations."""

NOTHING = FirstLook()


def _look(desk: Desk, file: DataFile) -> FirstLook | None:
    """What was seen of `file`; None while it is looked at."""
    looked = desk.first_look(file)
    return FirstLook(error=as_failure(looked.error)) if looked.error is not None else looked.value


def _current(desk: Desk) -> DataFile | None:
    """The file that the page is about: the one that was chosen on it, else the first that is not settled."""
    files = desk.draft.plan.data.train
    chosen = desk.local.get("file")
    unsettled = (file for file in files if (seen := _look(desk, file)) and not seen.settled)
    named = next((file for file in files if file.path == chosen), None)
    return named or next(unsettled, None) or next(iter(files), None)


def _seen(desk: Desk) -> FirstLook:
    """What was seen of the current file; nothing while it is looked at."""
    file = _current(desk)
    return (file and _look(desk, file)) or NOTHING


def _columns(desk: Desk) -> tuple[Column, ...]:
    """The columns that may be asked about: not of conversations that are understood."""
    seen = _seen(desk)
    understood = seen.found is not None and seen.found.shape.name in ("sharegpt", "messages", "text")
    return () if understood and not _named(desk) else seen.columns


def _named(desk: Desk) -> dict[Any, str]:
    """The columns that were answered so far."""
    file = _current(desk)
    return dict(file.columns) if file else {}


def _turn_columns(desk: Desk) -> list[Column]:
    return [column for column in _columns(desk) if column.holds_turns]


def _asks_pair(desk: Desk) -> bool:
    columns = [column for column in _columns(desk) if not column.holds_turns]
    return len(columns) > 1 and "messages" not in _named(desk)


def _with(desk: Desk, **answer: Any) -> Draft:
    """The draft with another answer about the current file."""
    file, plan = _current(desk), desk.draft.plan
    files = tuple(
        msgspec.structs.replace(each, **answer) if each is file else each for each in plan.data.train
    )
    return desk.changed(plan=with_value(plan, "data.train", files))


def _take_file(desk: Desk, text: str) -> Draft:
    _check_listed(text, [file.path for file in desk.draft.plan.data.train])
    desk.local["file"] = text
    return desk.draft


def _take_dataset(desk: Desk, text: str) -> Draft:
    _check_listed(text, _seen(desk).datasets)
    return _with(desk, dataset=text, sheet="", columns={})


def _take_sheet(desk: Desk, text: str) -> Draft:
    _check_listed(text, _seen(desk).sheets)
    return _with(desk, sheet=text, columns={})


def _take_turns(desk: Desk, text: str) -> Draft:
    _check_listed(text, [TWO_COLUMNS, *(column.name for column in _turn_columns(desk))])
    return _with(desk, columns={} if text == TWO_COLUMNS else {"messages": text})


def _take_column(field: FieldName) -> Any:
    def take(desk: Desk, text: str) -> Draft:
        _check_listed(text, [column.name for column in _columns(desk)])
        named = _named(desk)
        if text in [column for name, column in named.items() if name not in PAIR]:
            raise WrongAnswer("This column is read as something else already.")
        (partner,) = (name for name in PAIR if name != field)
        if (
            _column(desk, partner) == text
        ):  # they change places: nothing else could mend a file of two columns
            named.pop(partner, None)
            named |= {partner: before} if (before := _column(desk, field)) else {}
        return _with(desk, columns={**named, field: text})

    return take


def _check_listed(text: str, names: Any) -> None:
    if text not in names:
        raise WrongAnswer("Choose one of the lines.")


def _column(desk: Desk, field: FieldName) -> str:
    """The column that was answered, else the one that was found."""
    found = _seen(desk).found
    return _named(desk).get(field) or (dict(found.columns).get(field, "") if found else "")


def _show_column(field: FieldName) -> Any:
    return lambda desk: _column(desk, field)


def _column_options(desk: Desk) -> tuple[Option, ...]:
    return tuple(_option(column) for column in _columns(desk) if not column.holds_turns)


def _option(column: Column) -> Option:
    first = one_line(" | ".join(column.shown)).replace("\t", " ")
    return Option(column.name, say("{name}\t{rows}", name=one_line(column.name), rows=first))


def _turn_options(desk: Desk) -> tuple[Option, ...]:
    two = Option(TWO_COLUMNS, say("{name}\t{rows}", name=say("two columns"), rows=say("question, answer")))
    return (*map(_option, _turn_columns(desk)), two)


def _names(names: tuple[str, ...]) -> tuple[Option, ...]:
    return tuple(Option(name, one_line(name)) for name in names)


def _blocks(desk: Desk) -> tuple[Block, ...]:
    file = _current(desk)
    if file is None:
        return (Paragraph("No file is chosen."),)
    seen = _look(desk, file)
    name = one_line(Path(file.path).name)
    if seen is None:
        return (Paragraph(say("The first rows of {file} are being read.", file=name), "busy"),)
    if seen.found is not None:
        level: Level = "ok" if seen.settled else "warn"
        return (Facts((Fact("File", name), Fact("Taken for", seen.found.why, level))),)
    if seen.error is None:
        return (Facts((Fact("File", name),)),)
    if not _can_be_asked(desk):
        return (error_facts(seen.error),)
    return (
        Facts(
            (Fact("File", name), Fact("Not certain", seen.error.what, "warn"), Fact("Why", seen.error.why))
        ),
    )


def _can_be_asked(desk: Desk) -> bool:
    """Whether an answer on this page may settle the file."""
    seen = _seen(desk)
    return bool(len(seen.datasets) > 1 or len(seen.sheets) > 1 or _asks_pair(desk) or _turn_columns(desk))


def _verdict(desk: Desk) -> Verdict:
    files = desk.draft.plan.data.train
    looks = [_look(desk, file) for file in files]
    if not files:
        return Verdict("info", "Choose one file or more with questions and answers.", stops=True)
    if any(seen is None for seen in looks):
        return Verdict("busy", "Reading the first rows.", stops=True)
    unsettled = [
        Path(file.path).name for file, seen in zip(files, looks, strict=True) if seen and not seen.settled
    ]
    if not unsettled:
        return Verdict("ok", "Every file is understood.")
    if not _can_be_asked(desk):
        return Verdict("fail", "Go back and choose another file, or mend this one.", stops=True)
    names = listed([one_line(name) for name in unsettled])
    return Verdict("info", say("Say how to read {files}.", files=names), stops=True)


COLUMNS = Step(
    name="columns",
    number=3,
    title=TITLES["columns"],
    help=(
        "A file is read as it says itself: by the names of its columns and by what its rows hold. Where two "
        "ways are possible, or none is known, you are asked; nothing is guessed.",
        "Behind each column stand its first rows. They are shown to you only: they are in no log.",
        "Columns that you do not name here are not learned, except a system prompt and the like by their "
        "usual names; the next page lists what was ignored.",
    ),
    blocks=_blocks,
    verdict=_verdict,
    questions=(
        Question(
            name="file",
            label="File",
            help="Which file the answers below are about.",
            kind="choice",
            show=lambda desk: file.path if (file := _current(desk)) else "",
            take=_take_file,
            options=lambda desk: tuple(
                Option(file.path, one_line(Path(file.path).name)) for file in desk.draft.plan.data.train
            ),
            asked=lambda desk: len(desk.draft.plan.data.train) > 1,
        ),
        Question(
            name="dataset",
            label="Entry",
            help="Which entry of the dataset_info.json: it names a file and says how that is read.",
            kind="choice",
            show=lambda desk: file.dataset if (file := _current(desk)) else "",
            take=_take_dataset,
            options=lambda desk: _names(_seen(desk).datasets),
            asked=lambda desk: len(_seen(desk).datasets) > 1,
        ),
        Question(
            name="sheet",
            label="Sheet",
            help="Which sheet of the workbook holds the rows.",
            kind="choice",
            show=lambda desk: file.sheet if (file := _current(desk)) else "",
            take=_take_sheet,
            options=lambda desk: _names(_seen(desk).sheets),
            asked=lambda desk: len(_seen(desk).sheets) > 1,
        ),
        Question(
            name="messages",
            label="Conversation",
            help="The column that holds whole conversations; or two columns, one with the question and one "
            "with the answer.",
            kind="choice",
            show=lambda desk: _named(desk).get("messages", TWO_COLUMNS if _named(desk) else ""),
            take=_take_turns,
            options=_turn_options,
            columns=("Column", "First rows"),
            asked=lambda desk: bool(_turn_columns(desk)),
        ),
        Question(
            name="prompt",
            label="Question",
            help="The column that holds what is asked.",
            kind="choice",
            show=_show_column("prompt"),
            take=_take_column("prompt"),
            options=_column_options,
            columns=("Column", "First rows"),
            asked=_asks_pair,
        ),
        Question(
            name="response",
            label="Answer",
            help="The column that holds what the model shall learn to answer.",
            kind="choice",
            show=_show_column("response"),
            take=_take_column("response"),
            options=_column_options,
            columns=("Column", "First rows"),
            asked=_asks_pair,
        ),
    ),
    before=lambda desk: "data",
    after=lambda desk: "check",
    actions=lambda desk: (Action("again", "Check again", key="f5"),),
    takes={"again": lambda desk: desk.look_again()},
    live=lambda desk: any(_look(desk, file) is None for file in desk.draft.plan.data.train),
    private=lambda desk: bool(_columns(desk)),
)
