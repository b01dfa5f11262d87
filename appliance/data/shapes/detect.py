"""Which shape the rows of a file have, and which column is what: found in a sample, said with its reasons.

Nothing is guessed. A shape counts where rows hold all that it needs; where the same rows would do for two, or
two columns for one field, the file is refused with the candidates and with what settles it.
"""

import re
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from appliance.data.shapes import names
from appliance.data.shapes.answers import as_label
from appliance.data.shapes.sample import Sample, is_turns
from appliance.data.shapes.shape import Shape, ShapeName, Tags
from appliance.data.shapes.tags import find_tags
from appliance.errors import BadInput
from appliance.run.plan import DataFile
from appliance.sentence import Sentence, listed, say

LABEL_SHARE = 0.5
"""Share of a column's values that must say yes or no for it to be a label; others are refused by row."""

NEEDS_NO_QUOTES = re.compile(r"[\w=.]+")

MAPPED = "columns named by the plan"

FAMILY: Mapping[ShapeName, Mapping[str, tuple[str, ...]]] = {
    "alpaca": names.ALPACA,
    "pairs": names.PAIRS,
    "sharegpt": names.TURNS,
    "messages": names.TURNS,
    "text": names.TEXT,
}
DEFAULTS: Mapping[ShapeName, Mapping[str, str]] = {
    "alpaca": {"prompt": "instruction", "query": "input", "response": "output"},
    "pairs": {"prompt": "prompt", "response": "completion"},
    "sharegpt": {"messages": "conversations"},
    "messages": {"messages": "messages"},
    "text": {"text": "text"},
}
REQUIRED = ("prompt", "query", "response", "messages", "text")
LEADING = ("prompt", "response", "messages", "text")
"""Fields that say by themselves what a row is: nobody would leave them out."""

MARKS = ("chosen", "rejected", "kto_tag")
"""Fields that make a row more than a plain answer."""


@dataclass(frozen=True)
class Found:
    """How a file is read, and why."""

    shape: Shape
    why: Sentence
    columns: tuple[tuple[str, str], ...]
    """(field, column) for every field that some row of the sample has."""
    notices: tuple[Sentence, ...] = ()


def find_shape(sample: Sample, file: DataFile, path: Path, *, sparse: bool = False) -> Found:
    """How the rows that `sample` stands for are read; what `file` says comes before what is found.

    sparse: as in `Tags`

    Raises: BadInput, when nothing fits, or two things do.
    """
    asked = _asked_columns(sample, file, path)
    name, because = _shape_name(sample, file, asked, path)
    columns, notices = _columns(sample, name, asked, path)
    if name == "pairs" and not _has_both(sample, columns):
        raise _unknown(sample, path, [column for column in columns.values() if column in sample.names])
    if name == "alpaca" and _is_pretraining(sample, asked, columns):
        name, columns = "text", {"text": columns["prompt"]}
    tags = Tags(sparse=sparse)
    if name in ("sharegpt", "messages"):
        turns = next(filter(is_turns, sample.values(columns["messages"])), None)
        tags = find_tags(turns, name, file.tags, sparse=sparse)
        if file.format == "auto":
            name = "sharegpt" if (tags.role, tags.content) == ("from", "value") else "messages"
    steps = (MAPPED,) if any(asked.values()) else ()
    shape = Shape(name, columns, tags, _needs(sample, columns, asked), steps)
    used = tuple((field, column) for field, column in columns.items() if column in sample.filled)
    meanings = listed([meaning(field, column) for field, column in used])
    why = say("{evidence}; {columns}", evidence=because, columns=meanings) if used else because
    return Found(shape, why, used, tuple(notices))


def meaning(field: str, column: str) -> Sentence:
    """What a column is, in words."""
    said = {
        "prompt": say("`{column}` is the question", column=column),
        "query": say("`{column}` belongs to the question", column=column),
        "response": say("`{column}` is the answer", column=column),
        "thinking": say("`{column}` is what is thought before the answer", column=column),
        "history": say("`{column}` is what was said before", column=column),
        "system": say("`{column}` is the system prompt", column=column),
        "tools": say("`{column}` are the tools", column=column),
        "messages": say("`{column}` are the turns", column=column),
        "chosen": say("`{column}` is the better answer", column=column),
        "rejected": say("`{column}` is the worse answer", column=column),
        "kto_tag": say("`{column}` says whether the answer is good", column=column),
        "text": say("`{column}` is the text", column=column),
    }
    return said.get(field, say("`{column}` is no text", column=column))


def _asked_columns(sample: Sample, file: DataFile, path: Path) -> dict[str, str]:
    """The columns that the plan names, as the file writes them.

    Raises: BadInput, when one that every row must have is not there.
    """
    asked = {}
    for field, column in file.columns.items():
        if field == "messages" and not column:
            continue  # a conversation without turns is none: as if nothing were said
        found = sample.find(column) if column else ""
        if found is None and field in REQUIRED and not (field == "response" and file.columns.get("rejected")):
            raise BadInput(
                say("{path} has no column `{column}`.", path=path, column=column),
                why=say("its columns are {columns}", columns=sample.shown(sample.names)),
                next_step="Correct the name of the column.",
            )
        asked[str(field)] = column if found is None else found
    return asked


def _shape_name(
    sample: Sample, file: DataFile, asked: Mapping[str, str], path: Path
) -> tuple[ShapeName, Sentence]:
    """(the shape, why)."""
    if file.format != "auto":
        return file.format, say("named so")
    for field, name in (
        ("messages", "messages"),
        ("text", "text"),
        ("response", "pairs"),
        ("prompt", "pairs"),
    ):
        if asked.get(field):
            return name, say("the columns are named")  # type: ignore[return-value]  # Literals of the line above
    fitting = _fitting(sample)
    counted = Counter(name for row in fitting for name in row)
    if not counted:
        return _by_name_alone(sample, path)
    (name, count), *others = counted.most_common()
    rivals = [
        other for other, rows in others if rows == count or any({name, other} <= row for row in fitting)
    ]
    if rivals:
        raise _two_shapes(path, sample, [name, *rivals])
    total = len(sample.items)
    said = say("{count} of the {total} rows that were looked at are so", count=count, total=total)
    return name, said if count < total else say("all {total} rows that were looked at are so", total=total)


def _fitting(sample: Sample) -> list[set[ShapeName]]:
    """The shapes that each row would do for; plain text only where no row would do for anything else."""
    alpaca, pairs = names.fields_of(names.ALPACA), names.fields_of(names.PAIRS)
    beside, text = names.fields_of(names.BESIDE), names.fields_of(names.TEXT)
    known = alpaca.keys() | pairs.keys() | beside.keys()
    turns = {each for each in sample.turn_columns() if names.plain(each) not in known}
    fitting: list[set[ShapeName]] = []
    for row in sample.rows:
        plain = {names.plain(column) for column in row}
        fits: set[ShapeName] = {"messages"} if row & turns else set()
        marks = {beside.get(name, "") for name in plain}
        rest = plain
        if _is_pair({alpaca.get(name, "") for name in plain}, marks):
            fits.add("alpaca")
            rest = plain - alpaca.keys()
        if _is_pair({pairs.get(name, "") for name in rest}, marks if rest is plain else set()) or (
            not fits and {"chosen", "rejected"} <= marks
        ):
            fits.add("pairs")
        fitting.append(fits)
    if any(fitting):
        return fitting
    return [{"text"} if any(names.plain(column) in text for column in row) else set() for row in sample.rows]


def _is_pair(fields: set[str], marks: set[str]) -> bool:
    """Whether there is a question, and an answer or two."""
    return bool(fields & {"prompt", "query"}) and (
        "response" in fields or ("rejected" in marks and "chosen" in marks)
    )


def _by_name_alone(sample: Sample, path: Path) -> tuple[ShapeName, Sentence]:
    """The shape that no row has whole but that the columns' names speak of: then each row says what it lacks.

    Raises: BadInput, when they speak of none.
    """
    lone: tuple[ShapeName, ...] = ("messages", "alpaca", "text")
    for name in lone:
        if sample.candidates(known for each in FAMILY[name].values() for known in each):
            return name, say("no row is whole, but the names of the columns are such")
    raise _unknown(sample, path, sample.candidates((*names.PROMPT, *names.RESPONSE)))


def _has_both(sample: Sample, columns: Mapping[str, str]) -> bool:
    """Whether there are columns for a question and for an answer, or for two that hold the question too."""
    asked, answers, pair = ("prompt", "query"), ("response", "chosen"), ("chosen", "rejected")
    there = {field for field, column in columns.items() if column in sample.names}
    return bool(there & {*asked} and there & {*answers}) or there >= {*pair}


def _unknown(sample: Sample, path: Path, half: Sequence[str]) -> BadInput:
    what = say("What the rows of {path} mean is not known.", path=path)
    columns = sample.shown(sample.names)
    known = {*names.PROMPT, *names.RESPONSE}
    empty = [each for each in sample.names if names.plain(each) in known and each not in sample.filled]
    if empty:
        return BadInput(
            what,
            why=say("nothing stands under {columns} in the rows looked at", columns=sample.shown(empty)),
            next_step="Fill it in, or say with --column which columns hold question and answer.",
        )
    if half:
        why = say("of the columns {columns} only {known} is known", columns=columns, known=sample.shown(half))
    else:
        why = say("of the columns {columns} none is known as a question or an answer", columns=columns)
    wrapped = _wrapped(sample)
    if wrapped:
        column = sample.shown([wrapped])
        how = say("The rows seem to stand in {column}: save that list as a file of its own.", column=column)
        return BadInput(what, why=why, next_step=how)
    return BadInput(what, why=why, next_step=_for_example(sample, half))


def _wrapped(sample: Sample) -> str:
    """Where the whole file is one object: the name in it under which a list of objects stands; else ""."""
    if len(sample.items) != 1:
        return ""
    lists = {name: value for name, value in sample.items[0].items() if isinstance(value, list)}
    rows = (name for name, value in lists.items() if value and all(isinstance(each, dict) for each in value))
    return next(rows, "")


def _for_example(sample: Sample, known: Sequence[str]) -> Sentence:
    """How to say which column is what, with the file's own names where they can only be these two."""
    filled = [each for each in sample.names if each in sample.filled]
    named = filled if len(filled) == 2 and not known else []
    if named and all(sample.can_show(each) for each in named):
        options = _options(("prompt", named[0]), ("response", named[1]))
    else:
        options = _options(*((field, _one_of(sample, meant)) for field, meant in names.PAIRS.items()))
    how = say(
        "Say which is which, for example: {options}; in a plan: columns.prompt and columns.response.",
        options=listed(options, " "),
    )
    if all(isinstance(value, str) for item in sample.items for value in item.values()):  # a table
        return say("{how} If the first row holds no names, write them above it first.", how=how)
    return how


def _one_of(sample: Sample, meant: Sequence[str]) -> str:
    """The one column of the file that is known by such a name; else a word that stands for it."""
    there = sample.candidates(meant)
    return there[0] if len(there) == 1 and sample.can_show(there[0]) else "NAME"


def _options(*columns: tuple[str, str]) -> list[str]:
    """The options that name columns, as a shell takes them."""
    texts = [f"{field}={column}" for field, column in columns]
    return [f"--column {text if NEEDS_NO_QUOTES.fullmatch(text) else shlex.quote(text)}" for text in texts]


def _columns(
    sample: Sample, name: ShapeName, asked: Mapping[str, str], path: Path
) -> tuple[dict[str, str], list[Sentence]]:
    """(the column of each field, what the reader should know): named ones, found ones, and the usual ones.

    Raises: BadInput, when two columns would do for one field.
    """
    columns = {field: column for field, column in asked.items() if column}
    notices: list[Sentence] = []
    own = FAMILY[name]
    if name in ("sharegpt", "messages") and "messages" not in asked and len(sample.turn_columns()) == 1:
        own = {"messages": tuple(sample.turn_columns())}
    for field, known in {**own, **(names.BESIDE if name != "text" else {})}.items():
        if field in asked or (field == "kto_tag" and "rejected" in columns):
            continue
        found = sample.candidates(known, besides=columns.values())
        if field == "kto_tag":
            found = [each for each in found if each == "kto_tag" or _may_be_label(sample, each)]
        if len(found) > 1:
            raise _two_columns(path, sample, field, found)
        if found:
            columns[field] = found[0]
            if field not in LEADING and any(asked.values()) and found[0] in sample.filled:
                notices.append(_by_default(field, found[0]))
    usual = {**DEFAULTS[name], **{field: known[0] for field, known in names.BESIDE.items()}}
    taken = set(columns.values())
    for field, column in usual.items():
        if field not in columns and field not in asked and column not in taken:
            columns[field] = column
    return columns, notices


def _by_default(field: str, column: str) -> Sentence:
    said = meaning(field, column)
    return say("{meaning}, by its name: to leave it out, say --column {field}=", meaning=said, field=field)


def _may_be_label(sample: Sample, column: str) -> bool:
    """Whether what a column holds says yes or no; one that is empty so far may yet."""
    values = sample.values(column)
    said = sum(as_label(value) is not None for value in values)
    return said >= LABEL_SHARE * len(values)


def _is_pretraining(sample: Sample, asked: Mapping[str, str], columns: Mapping[str, str]) -> bool:
    """Whether only `prompt` is named, and the rows have no answer: LLaMA-Factory's way to name plain text."""
    named = {field for field, column in asked.items() if column}
    return (
        "prompt" in named
        and not named & {"query", "response", "chosen", "rejected", "history"}
        and not any(columns.get(field) in sample.names for field in ("response", "chosen", "rejected"))
    )


def _needs(sample: Sample, columns: Mapping[str, str], asked: Mapping[str, str]) -> frozenset[str]:
    """The marks that every row must have: those that the plan names, and those that the whole sample has."""
    total = len(sample.items)
    return frozenset(
        field
        for field in MARKS
        if asked.get(field) or (total and field in columns and sample.count(columns[field]) == total)
    )


def _two_shapes(path: Path, sample: Sample, rivals: list[ShapeName]) -> BadInput:
    evidence = []
    for name in rivals:
        known = [each for names_ in FAMILY[name].values() for each in names_]
        there = sample.turn_columns() if name == "messages" else sample.candidates(known)
        evidence.append(say("as {shape}: {columns}", shape=name, columns=sample.shown(there)))
    return BadInput(
        say("The rows of {path} can be read in more than one way.", path=path),
        why=listed(evidence, "; "),
        next_step=say(
            "Say which: {options}; in a plan: format.",
            options=listed([f"--format {name}" for name in rivals], " or "),
        ),
    )


def _two_columns(path: Path, sample: Sample, field: str, found: list[str]) -> BadInput:
    options = _options(*((field, column) for column in found if sample.can_show(column)))
    return BadInput(
        say("The rows of {path} can be read in more than one way.", path=path),
        why=say("{columns} would each do for {field}", columns=sample.shown(found), field=field),
        next_step=say("Say which: {options}; in a plan: columns.", options=listed(options, " or ")),
    )
