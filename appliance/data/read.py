"""Files of rows to canonical rows: nothing is dropped without being counted and listed."""

import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from appliance.data.dataset_info import Entry, entry_of
from appliance.data.files import Source, open_sources
from appliance.data.judge import RowRefused
from appliance.data.shapes import Shape, has_turns, ignored_in_turns, ignored_of, parts_of
from appliance.data.shapes.detect import Found, find_shape
from appliance.data.shapes.sample import Sample
from appliance.data.taken import TakenItems
from appliance.errors import BadInput
from appliance.run.plan import DataFile, FormatName
from appliance.run.rows import Message, Problem, Row
from appliance.sentence import from_document, say, to_document

SAMPLE_ROWS = 100
"""Rows that stand for a file when its shape is looked for."""

MOST_IGNORED = 100
"""Names of unread fields that are collected; a file that has more uses values as names."""

_NO_UTF8 = "Cs"
"""Category of what stands for a byte of a name that is no UTF-8."""
_NOT_SHOWN = ("Cc", "Cf", _NO_UTF8)
"""Categories of control signs, and of those that turn or join what stands beside them."""

UNSEEN = Found(Shape("text", {}), say("no row could be looked at"), ())
"""For a file without a row that can be looked at; each that is there is refused with its own words."""


@dataclass(frozen=True)
class FileReport:
    """What one file turned out to be."""

    path: str
    sha256: str
    format: str
    """The shape of its rows; "" where none could be looked at."""
    detected: bool
    """Whether the shape was found by looking, not named in the plan."""
    encoding: str
    rows_in: int
    rows_out: int
    ignored_fields: tuple[str, ...]
    """Fields that some rows have and that nothing is made of; the first of them where there are very many."""
    name: str = ""
    """What problems call it; of a member of a folder or an archive, with the name of that."""
    container: str = ""
    sheet: str = ""
    why: str = ""
    """A sentence: why it was taken for this shape, and which column was taken for what."""
    columns: tuple[tuple[str, str], ...] = ()
    """(field, the file's column) for every field that some row has."""
    kinds: tuple[tuple[str, int], ...] = ()
    """(what rows teach, how many of them do)."""
    left_out: int = 0
    """Rows that were not looked at because fewer are wanted; they are not among `rows_in`."""
    notices: tuple[str, ...] = ()
    """Sentences: what else a reader should know."""


@dataclass(frozen=True)
class Reading:
    """Rows, and what became of those that are none: rows in = rows out + rows reported."""

    rows: tuple[Row, ...]
    problems: tuple[Problem, ...]
    files: tuple[FileReport, ...]


class RowStream:
    """The rows of one `DataFile` and what is wrong with the others, in their order, in constant memory.

    Each iteration reads the files anew; `reports` holds one report a source that was read to its end.
    """

    def __init__(self, entry: Entry, sources: Sequence[Source], system: str) -> None:
        self._entry, self._sources, self._system = entry, sources, system
        self.reports: list[FileReport] = []

    def __iter__(self) -> Iterator[Row | Problem]:
        self.reports.clear()
        for source in self._sources:
            yield from self._source(source)

    def _source(self, source: Source) -> Iterator[Row | Problem]:
        _check_name(source)
        entry = self._entry
        sample = source.sample(SAMPLE_ROWS)
        sparse = source.container in ("parquet", "arrow")
        found = find_shape(Sample(sample), entry.file, source.place, sparse=sparse) if sample else UNSEEN
        turns = has_turns(found.shape)
        kinds, total = Counter[str](), 0
        keys: set[tuple[str, ...]] = set()
        ignored: set[str] = set()
        items = TakenItems(source, entry.take)
        for number, item in items:
            total += 1
            if len(ignored) < MOST_IGNORED and not isinstance(item, RowRefused):
                if (names := tuple(item)) not in keys:
                    keys.add(names)
                    ignored |= ignored_of(item, found.shape)
                if turns:
                    ignored |= ignored_in_turns(item, found.shape)
            row = _row(source, number, item, found, self._system)
            if isinstance(row, Row):
                kinds[row.kind] += 1
            yield row
        self.reports.append(_report(source, entry, found, total, kinds, ignored, items.left_out))


def stream(file: DataFile, *, system: str = "") -> RowStream:
    """The rows of `file`; `system` goes before every row that has no system prompt of its own.

    Raises: BadInput, when it cannot be read as a whole; the iteration raises it too.
    """
    from appliance.data.canonical import KeptRows, is_canonical  # which stands on this module

    entry = entry_of(file)
    path = Path(entry.file.path)
    if entry.take is None and is_canonical(path):
        return KeptRows(path, system, entry.file.registered or path.name)
    return RowStream(entry, open_sources(path, sheet=entry.file.sheet), system)


def read_files(files: Sequence[DataFile], *, system: str = "") -> Reading:
    """The rows of all files, in order, in memory.

    Raises: BadInput, as `stream`.
    """
    rows: list[Row] = []
    problems: list[Problem] = []
    reports: list[FileReport] = []
    for file in files:
        streamed = stream(file, system=system)
        for each in streamed:
            if isinstance(each, Row):
                rows.append(each)
            else:
                problems.append(each)
        reports += streamed.reports
    return Reading(tuple(rows), tuple(problems), tuple(reports))


def read_file(path: Path, *, format: FormatName = "auto", system: str = "") -> Reading:
    """The rows of one file.

    Raises: BadInput, as `stream`.
    """
    return read_files([DataFile(str(path), format)], system=system)


def report_document(report: FileReport) -> dict[str, Any]:
    """`report` for a JSON document, its sentences with their parts."""
    notices = [to_document(each) for each in report.notices]
    return {**asdict(report), "why": to_document(report.why), "notices": notices}


def report_of(document: Mapping[str, Any]) -> FileReport:
    """What `report_document` was given."""
    why = from_document(document.get("why", ""))
    notices = tuple(from_document(each) for each in document.get("notices", ()))
    plain = msgspec.convert({**document, "why": "", "notices": ()}, type=FileReport)
    return replace(plain, why=why, notices=notices)


def _check_name(source: Source) -> None:
    """Pass if plans, reports and screens can hold the name of the file, and nothing in it acts on a terminal.

    Raises: BadInput.
    """
    odd = any(unicodedata.category(sign) in _NOT_SHOWN for sign in source.name)
    if odd or any(unicodedata.category(sign) == _NO_UTF8 for sign in str(source.path)):
        raise BadInput(
            say("The name of a file cannot be shown: {name}", name=ascii(source.name)),
            why="it holds control characters, or is no UTF-8; plans and reports could not hold it",
            next_step="Give the file another name.",
        )


def _row(
    source: Source, number: int, item: dict[str, Any] | RowRefused, found: Found, system: str
) -> Row | Problem:
    try:
        if isinstance(item, RowRefused):
            raise item
        parts = parts_of(item, found.shape)
    except RowRefused as refused:
        return Problem(source.name, number, refused.field, refused.what, refused.fix)
    messages = parts.messages
    if system and messages and messages[0].role != "system":
        messages = (Message("system", system), *messages)
    return Row(
        messages,
        source.name,
        source.sha256,
        number,
        parts.tools,
        parts.rejected,
        parts.label,
        parts.text,
        parts.steps,
    )


def _report(
    source: Source,
    entry: Entry,
    found: Found,
    total: int,
    kinds: Mapping[str, int],
    ignored: set[str],
    left_out: int,
) -> FileReport:
    return FileReport(
        path=str(source.path),
        sha256=source.sha256,
        format="" if found is UNSEEN else found.shape.name,
        detected=entry.file.format == "auto",
        encoding=source.encoding,
        rows_in=total,
        rows_out=sum(kinds.values()),
        ignored_fields=tuple(sorted(ignored)[:MOST_IGNORED]),
        name=source.name,
        container=source.container,
        sheet=source.sheet,
        why=found.why,
        columns=found.columns,
        kinds=tuple(sorted(kinds.items())),
        left_out=left_out,
        notices=(*entry.notices, *source.notes, *found.notices),
    )
