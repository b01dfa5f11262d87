"""Tables as text: CSV and TSV, with whatever separates the cells."""

import csv
import io
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any, TextIO

from appliance.data.files.columns import read_columns
from appliance.data.judge import RowRefused
from appliance.errors import BadInput
from appliance.sentence import say

DELIMITERS = ("\t", ",", ";", "|")
"""What cells are separated with, by the program and the country it is set to."""

CELL_LIMIT = 10_000_000
"""Characters in one cell; more means that a quote was never closed."""

LINE_LIMIT = 64 << 20
"""Characters in one line; more is no row, but a file whose line ends were lost, and would fill the memory."""

LOOKED_ROWS = 20
"""Rows that are looked at to tell the delimiter."""

Item = tuple[int, dict[str, Any] | RowRefused]


def table_items(text: TextIO, source: Path, delimiter: str) -> Iterator[Item]:
    """(row, fields by column) for every row under the header that is not empty.

    text: opened with newline=""; rows are counted as a spreadsheet does, so the header is row 1

    Raises: BadInput, when there is no header, a quote is never closed, or a line is absurdly long.
    """
    csv.field_size_limit(CELL_LIMIT)
    reader = csv.reader(_lines(text, source), delimiter=delimiter, strict=True)
    numbered = enumerate(reader, start=1)
    row, line = 0, 0
    try:
        row, header = next(((n, cells) for n, cells in numbered if _is_filled(cells)), (0, []))
        first = next(((n, cells) for n, cells in numbered if _is_filled(cells)), (0, []))
        columns = read_columns(header, first[1], row, source)
        for row, cells in chain([first], numbered):
            if not cells or not (cells[0].strip() or _is_filled(cells)):
                continue
            line = reader.line_num
            if cells == header:
                yield row, RowRefused("row", "is the header again", "delete the row")
            else:
                yield row, columns.fields(cells)
    except csv.Error as error:
        raise BadInput(
            say("{source} is no proper CSV.", source=source),
            why=say("after row {row} (line {line}): {error}", row=row, line=line, error=error),
            next_step='Close every quote; write a quote inside a cell twice ("").',
        ) from None


def _lines(text: TextIO, source: Path) -> Iterator[str]:
    """The lines of `text`. Raises: BadInput, when one is absurdly long."""
    number = 0
    while line := text.readline(LINE_LIMIT + 1):
        number += 1
        if len(line) > LINE_LIMIT:
            raise BadInput(
                say("{source} is no proper CSV.", source=source),
                why=say("line {line} has more than {limit} characters", line=number, limit=LINE_LIMIT),
                next_step="Export it again, with each row on a line of its own.",
            )
        yield line


def find_delimiter(sample: str, whole: bool, source: Path) -> str:
    """What separates the cells of a table that begins with `sample`; "" when nothing does.

    whole: whether the sample is the whole table, and its last row not cut

    Raises: BadInput, when two would do.
    """
    fitting = {}
    for delimiter in DELIMITERS:
        rows = _first_rows(sample, delimiter, whole)
        if rows and len(rows[0]) > 1:
            fitting[delimiter] = sum(len(cells) == len(rows[0]) for cells in rows) / len(rows)
    best = [each for each, share in fitting.items() if share == max(fitting.values())]
    if len(best) > 1:
        raise BadInput(
            say("What separates the cells of {source} cannot be told.", source=source),
            why=say("{first} and {second} would both do", first=repr(best[0]), second=repr(best[1])),
            next_step="Put cells that hold one of them in quotes, or save the table as .xlsx.",
        )
    return best[0] if best else ""


def is_even(sample: str, whole: bool, delimiter: str) -> bool:
    """Whether there are two rows or more in `sample`, each of as many cells as the first, and of several."""
    rows = _first_rows(sample, delimiter, whole)
    return len(rows) > 1 and len(rows[0]) > 1 and len({len(cells) for cells in rows}) == 1


def _first_rows(sample: str, delimiter: str, whole: bool) -> list[list[str]]:
    reader = csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter)
    try:
        rows = [cells for cells in islice(reader, LOOKED_ROWS + 1) if _is_filled(cells)]
    except csv.Error:  # a cell of absurd length: the reading itself says so with its row
        return []
    cut = not whole and len(rows) <= LOOKED_ROWS
    return rows[:-1] if cut and len(rows) > 1 else rows[:LOOKED_ROWS]


def _is_filled(cells: list[str]) -> bool:
    """Whether a row holds more than white space; a blank line is no row."""
    return bool(cells) and (bool(cells[0].strip()) or any(cell.strip() for cell in cells))
