"""What is to be written beside the rows of a file, in their order, and the file's own text."""

import codecs
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO

from appliance.data.files import Source

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
"""A spreadsheet takes a cell that begins so for a formula, or strips the first and looks again.
Source: OWASP, CSV Injection."""

MARKS = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class Remarks:
    """A text for some rows, asked for in the order of the rows."""

    def __init__(self, found: Iterable[tuple[int, str]]) -> None:
        """found: (row, text), rows rising"""
        self._found = iter(found)
        self._next = next(self._found, None)
        self.left = 0
        """Remarks that found no place."""

    def at(self, row: int) -> str:
        """What is to be written beside `row`; "" for nothing."""
        self._skip_to(row)
        if self._next is None or self._next[0] != row:
            return ""
        text = self._next[1]
        self._next = next(self._found, None)
        return text

    def end(self) -> int:
        """How many remarks found no place, now that all rows were asked for."""
        self._skip_to(None)
        return self.left

    def _skip_to(self, row: int | None) -> None:
        while self._next is not None and (row is None or self._next[0] < row):
            self.left += 1
            self._next = next(self._found, None)


Write = Callable[[Source, BinaryIO, str, Remarks], None]
"""Writes a copy of a source's file with a column of that name, and the remarks in it."""


def text_of(source: Source) -> tuple[bytes, str]:
    """(byte order mark or nothing, the text after it) of the file that a source is."""
    raw = source.path.read_bytes()
    mark = next((each for each in MARKS if raw.startswith(each)), b"")
    return mark, raw[len(mark) :].decode(source.encoding)


def safe_cell(text: str) -> str:
    """`text` so that no spreadsheet takes it for a formula."""
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text


def free_name(wanted: str, is_taken: Callable[[str], bool]) -> str:
    """`wanted`, with a number behind it where something has that name already."""
    name, number = wanted, 1
    while is_taken(name):
        number += 1
        name = f"{wanted} {number}"
    return name


def numbered(spans: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int, int]]:
    """(number from 1, start, end)."""
    for number, (start, end) in enumerate(spans, start=1):
        yield number, start, end
