"""Files of rows to canonical rows: nothing is dropped without being counted and listed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appliance.data import alpaca, messages, table
from appliance.data.files import Source, open_sources
from appliance.data.judge import RowRefused
from appliance.errors import BadInput
from appliance.run.plan import DataFile, FormatName
from appliance.run.rows import Message, Problem, Row
from appliance.sentence import listed, say

SHOWN_PROBLEMS = 5


@dataclass(frozen=True)
class Format:
    """How the items of one format are judged."""

    messages: Callable[[Any], tuple[Message, ...]]
    ignored: Callable[[Any], set[str]]
    """Names of an item's fields that nothing is made of."""


def _beside(fields: Sequence[str]) -> Callable[[Any], set[str]]:
    """Names of what an item holds beside `fields`."""
    return lambda item: (
        {str(each) for each in item if each not in fields} if isinstance(item, dict) else set()
    )


FORMATS: dict[str, Format] = {
    "alpaca": Format(alpaca.alpaca_messages, _beside(alpaca.FIELDS)),
    "messages": Format(messages.chat_messages, messages.ignored_fields),
    "csv": Format(table.table_messages, _beside(table.FIELDS)),
}


@dataclass(frozen=True)
class FileReport:
    """What one file turned out to be."""

    path: str
    sha256: str
    format: str
    detected: bool
    """Whether the format was found by looking, not named in the plan."""
    encoding: str
    rows_in: int
    rows_out: int
    ignored_fields: tuple[str, ...]
    """Fields that some rows have and that nothing is made of."""


@dataclass(frozen=True)
class Reading:
    """Rows, and what became of those that are none: rows in = rows out + rows reported."""

    rows: tuple[Row, ...]
    problems: tuple[Problem, ...]
    files: tuple[FileReport, ...]


def read_files(files: Sequence[DataFile], *, system: str = "") -> Reading:
    """The rows of all files, in order; `system` goes before every row that has no system prompt of its own.

    Raises: BadInput, when a file cannot be read as a whole.
    """
    rows: list[Row] = []
    problems: list[Problem] = []
    reports: list[FileReport] = []
    for file in files:
        reading = read_file(Path(file.path), format=file.format, system=system)
        rows += reading.rows
        problems += reading.problems
        reports += reading.files
    return Reading(tuple(rows), tuple(problems), tuple(reports))


def read_file(path: Path, *, format: FormatName = "auto", system: str = "") -> Reading:
    """The rows of one file.

    Raises: BadInput, when it cannot be read as a whole: not there, an unknown encoding or format.
    """
    rows: list[Row] = []
    problems: list[Problem] = []
    reports: list[FileReport] = []
    for source in open_sources(path):
        name = detect_format(source) if format == "auto" else format
        form, before, total = FORMATS[name], len(rows), 0
        ignored: set[str] = set()
        for number, item in source.items():
            total += 1
            try:
                turns = _with_system(form.messages(item), system)
            except RowRefused as refused:
                problems.append(Problem(source.name, number, refused.field, refused.what, refused.fix))
            else:
                rows.append(Row(turns, source.name, source.sha256, number))
            ignored |= form.ignored(item)
        report = FileReport(
            str(source.path),
            source.sha256,
            name,
            format == "auto",
            source.encoding,
            total,
            len(rows) - before,
            tuple(sorted(ignored)),
        )
        reports.append(report)
    return Reading(tuple(rows), tuple(problems), tuple(reports))


def detect_format(source: Source) -> str:
    """The name of the format of a source's items.

    Raises: BadInput, when it looks like none.
    """
    first = next(iter(source.sample(1)), {})
    if source.container in ("json", "jsonl"):
        return "messages" if "messages" in first else "alpaca"
    if source.container in ("csv", "tsv"):
        return "csv"
    raise BadInput(
        say("The format of {path} is not known.", path=source.path),
        why="it begins like neither JSON nor a table with `prompt` and `completion`",
        next_step="Export it as Alpaca JSON, as OpenAI messages, or as a CSV with the columns prompt and "
        "completion.",
    )


def check_bad_share(rows: int, problems: Sequence[Problem], max_bad_share: float) -> None:
    """Stop where too many rows are refused, or none is left.

    Raises: BadInput, with the first problems.
    """
    total = rows + len(problems)
    if rows and len(problems) <= max_bad_share * total:
        return
    if not problems:
        raise BadInput(
            "There are no rows.",
            why="the files hold no rows",
            next_step="Name files with rows in the plan.",
        )
    lines: list[str] = [problem.sentence() for problem in problems[:SHOWN_PROBLEMS]]
    if len(problems) > SHOWN_PROBLEMS:
        lines.append(say("and {count} more", count=len(problems) - SHOWN_PROBLEMS))
    raise BadInput(
        say("{count} of {total} rows cannot be used.", count=len(problems), total=total),
        why=say(
            "at most {share:.0%} may be refused (data.max_bad_share):\n  {problems}",
            share=max_bad_share,
            problems=listed(lines, "\n  "),
        ),
        next_step="Correct these rows, or allow a larger share in the plan.",
    )


def _with_system(messages: tuple[Message, ...], system: str) -> tuple[Message, ...]:
    if not system or messages[0].role == "system":
        return messages
    return (Message("system", system), *messages)
