"""What a file's rows hold beside what is learned: columns that group rows, or tell them apart for a split.

A group's value may be a patient's number. It lives in memory while a command runs; what is kept of it is a
made-up name, counted in the order in which values come, from which nothing of the value can be made.
"""

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from appliance.data.canonical import is_canonical
from appliance.data.dataset_info import entry_of
from appliance.data.files import Source, open_sources
from appliance.data.judge import RowRefused
from appliance.errors import BadInput
from appliance.run.plan import DataFile
from appliance.run.rows import Problem, Row
from appliance.sentence import listed, say

SAMPLE_ROWS = 50

_SPOILT = re.compile(r"[+-]?[0-9](?:\.[0-9]+)?[Ee]\+[0-9]{2,3}")
"""A long number as a spreadsheet shows it, and writes it into a CSV: many numbers are one, then."""


class Column:
    """The values of one column of some files, by file and row."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._sources: dict[tuple[str, str], Source] = {}
        self._at = ("", "")
        self._values: dict[int, str | RowRefused] = {}

    def open(self, file: DataFile) -> None:
        """Look for the column in a file.

        Raises: BadInput, when it is not there.
        """
        path = Path(file.path)
        if is_canonical(path):
            raise BadInput(
                say("{path} has no column `{column}`.", path=path.name, column=self.name),
                why=say("it holds rows as they are learned; what stood beside them is gone"),
                next_step="Name the files that it was made of, or make it again with --group.",
            )
        entry = entry_of(file)
        sources = open_sources(Path(entry.file.path), sheet=entry.file.sheet)
        for source in sources:
            names = dict.fromkeys(name for item in source.sample(SAMPLE_ROWS) for name in item)
            if self.name not in names:
                raise BadInput(
                    say("{path} has no column `{column}`.", path=source.name, column=self.name),
                    why=say("its columns are {columns}", columns=listed([str(name) for name in names])),
                    next_step="Correct the name of the column.",
                )
            self._sources[source.name, source.sha256] = source

    def of(self, row: Row) -> str:
        """The value that stands beside `row`; "" where there is none, or none that is certain."""
        value = self.value(row)
        return "" if isinstance(value, RowRefused) else value

    def value(self, row: Row) -> str | RowRefused:
        """The same; why it is not certain, where a spreadsheet lost what was meant."""
        at = (row.file, row.source_sha256)
        if at != self._at:
            source = self._sources.get(at)
            self._at = at
            self._values = {}
            if source is not None:
                held = (
                    (number, item.get(self.name)) for number, item in source.items() if isinstance(item, dict)
                )
                self._values = {
                    number: value if isinstance(value, RowRefused) else str(value).strip()
                    for number, value in held
                    if value is not None and value == value  # NaN: a table of numbers has no other "nothing"
                }
        return self._values.get(row.row, "")


_LOST = say("is a number in powers of ten: the spreadsheet lost its last digits")
_FORMAT_AS_TEXT = say("format the column as text, then enter or export these numbers again")


def as_one(value: str) -> str:
    """What the ways of typing one number of a patient have in common: no width, case and blanks."""
    return "".join(unicodedata.normalize("NFKC", value).casefold().split())


class Groups:
    """Gives rows their group, by the values of a column."""

    def __init__(self, column: Column) -> None:
        self._column = column
        self._names: dict[str, str] = {}

    def through(self, items: Iterable[Row | Problem]) -> Iterator[Row | Problem]:
        """The same rows, each with its group; one whose group is not certain cannot be used."""
        for item in items:
            yield self._grouped(item) if isinstance(item, Row) else item

    def _grouped(self, row: Row) -> Row | Problem:
        value = self._column.value(row)
        if isinstance(value, str) and _SPOILT.fullmatch(value):
            value = RowRefused(self._column.name, _LOST, _FORMAT_AS_TEXT)
        if isinstance(value, RowRefused):
            return Problem(row.file, row.row, self._column.name, value.what, value.fix)
        value = as_one(value)
        if not value:
            return row  # of nobody
        name = self._names.get(value)
        if name is None:
            # Of the file's bytes, so that the same number from another file is another group's.
            text = f"{row.source_sha256}\0{len(self._names)}"
            name = self._names[value] = hashlib.sha256(text.encode()).hexdigest()[:16]
        return replace(row, group=name)
