"""One sheet of a workbook, row by row, by the standard library's XML reader: nothing but cells is taken in.

Formulas are never computed, links to other files never followed, and a document type (which could make text
of nothing) is refused. A far-off cell costs nothing: rows hold only cells that are there.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO
from xml.parsers import expat

from appliance.data.files import cell
from appliance.data.files.content import CHUNK_BYTES, chunks

LAST_ROW, LAST_COLUMN = 1_048_576, 16_384
"""Source: ECMA-376; Excel's specifications and limits."""

MERGED_LIMIT = 200_000
_MERGED = re.compile(
    rb"<(?:\w+:)?mergeCell\s[^<>]*?ref=[\"']([A-Z]{1,3})(\d{1,7}):([A-Z]{1,3})(\d{1,7})[\"']"
)
_LONGEST_MERGED = 200
"""Bytes of one such element."""

Cells = dict[int, cell.Value]
"""Values by column, from 0; cells that are empty are not in it."""


class DamagedSheet(ValueError):
    """What is there is no sheet."""


@dataclass
class Merged:
    """Cells that were made one: which columns go on in the rows below, and which rows are spanned."""

    down: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    """By first row: (column, last row)."""
    wide: list[tuple[int, int]] = field(default_factory=list)
    """(first row, last row) of rows with cells that span several columns: sorted, none touches the next."""

    def is_wide(self, row: int) -> bool:
        """Whether a cell of `row` spans several columns."""
        at = bisect_right(self.wide, (row, LAST_ROW))
        return at > 0 and row <= self.wide[at - 1][1]


def read_merged(stream: BinaryIO) -> Merged:
    """The merged cells of a sheet, which stand behind its rows.

    Raises: DamagedSheet, when there are absurdly many.
    """
    merged, tail, count = Merged(), b"", 0
    for chunk in chunks(stream):
        piece = tail + chunk
        last = 0
        for found in _MERGED.finditer(piece):
            last = found.end()
            count += 1
            left, right = column_of(found[1].decode()), column_of(found[3].decode())
            first, end = int(found[2]), int(found[4])
            if left == right:
                merged.down.setdefault(first, []).append((left, end))
            else:
                merged.wide.append((first, end))
        tail = piece[max(last, len(piece) - _LONGEST_MERGED) :]
        if count > MERGED_LIMIT:
            raise DamagedSheet("merged cells")
    merged.wide = _united(merged.wide)
    return merged


def _united(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same rows, in spans that do not overlap."""
    united: list[tuple[int, int]] = []
    for first, last in sorted(spans):
        if united and first <= united[-1][1] + 1:
            united[-1] = (united[-1][0], max(last, united[-1][1]))
        else:
            united.append((first, last))
    return united


def read_rows(
    stream: BinaryIO, strings: Sequence[str], formats: Sequence[cell.Format | None]
) -> Iterator[tuple[int, Cells]]:
    """(number, cells) for every row that holds something; merged cells as they are stored.

    strings, formats: what cells refer to by number

    Raises: DamagedSheet, ValueError, IndexError, expat.ExpatError, when it is none.
    """
    parser = _Parser(strings, formats)
    while chunk := stream.read(CHUNK_BYTES // 8):
        yield from parser.take(chunk)
    yield from parser.take(b"", final=True)


def column_of(letters: str) -> int:
    """The column that a spreadsheet calls `letters`, from 0."""
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - 64
    return number - 1


class _Parser:
    """Takes a sheet's XML in pieces, gives its rows."""

    def __init__(self, strings: Sequence[str], formats: Sequence[cell.Format | None]) -> None:
        self._strings, self._formats = strings, formats
        self._rows: list[tuple[int, Cells]] = []
        self._row, self._column = 0, -1
        self._cells: Cells = {}
        self._kind, self._style, self._formula, self._phonetic = "n", 0, False, False
        self._text: list[str] = []
        self._columns: dict[str, int] = {}
        self._parser = plain_parser()
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end

    def take(self, chunk: bytes, final: bool = False) -> list[tuple[int, Cells]]:
        """The rows that end in the next piece."""
        self._parser.Parse(chunk, final)
        rows, self._rows = self._rows, []
        return rows

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        match name.rpartition(":")[2]:
            case "c":
                self._begin_cell(attributes)
            case "v" | "t" if not self._phonetic:
                self._parser.CharacterDataHandler = self._text.append
            case "f":
                self._formula = True
            case "row":
                number = int(attributes.get("r", self._row + 1))
                if not self._row < number <= LAST_ROW:
                    raise DamagedSheet("row number")
                self._row, self._column, self._cells = number, -1, {}
            case "rPh":
                self._phonetic = True

    def _begin_cell(self, attributes: dict[str, str]) -> None:
        place = attributes.get("r")
        if place is None:
            self._column += 1
        else:
            letters = place.rstrip("0123456789")
            if letters not in self._columns:
                self._columns[letters] = column_of(letters)
            self._column = self._columns[letters]
        if not 0 <= self._column < LAST_COLUMN:
            raise DamagedSheet("column")
        self._kind, self._formula = attributes.get("t", "n"), False
        self._style = int(attributes.get("s", 0))
        self._text.clear()

    def _end(self, name: str) -> None:
        match name.rpartition(":")[2]:
            case "v" | "t":
                self._parser.CharacterDataHandler = None
            case "rPh":
                self._phonetic = False
            case "c":
                value = self._value("".join(self._text))
                if value and not (isinstance(value, str) and value.isspace()):
                    self._cells[self._column] = value
            case "row":
                if self._cells:
                    self._rows.append((self._row, self._cells))

    def _value(self, text: str) -> cell.Value:
        if not text:
            return cell.missing_result() if self._formula and self._kind != "str" else ""
        match self._kind:
            case "s":
                if (at := int(text)) < 0:
                    raise DamagedSheet("shared text")
                return self._strings[at]
            case "n":
                format_ = self._formats[self._style] if self._style < len(self._formats) else None
                return cell.number_value(text, format_)
            case "b":
                return "TRUE" if text == "1" else "FALSE"
            case "e":
                return cell.error_value(text)
        return cell.text_value(text)  # str: a formula's; inlineStr; d: a date as text


def plain_parser() -> Any:
    """A reader of XML that refuses a document type: entities are how a small file makes a huge one."""
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = _refuse_document_type
    return parser


def _refuse_document_type(*_: object) -> None:
    raise DamagedSheet("document type")
