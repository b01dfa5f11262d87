"""Tables with a prompt and a completion column (and, if wanted, a system column), as CSV."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from appliance.data.judge import RowRefused, conversation, required_text, text_of
from appliance.errors import BadInput
from appliance.run.rows import Message
from appliance.sentence import say

REQUIRED = ("prompt", "completion")
FIELDS = (*REQUIRED, "system")
DELIMITERS = ",;\t"
"""What spreadsheets separate cells with, by the country they are set to."""

CELL_LIMIT = 10_000_000
"""Characters in one cell; more means that a quote was never closed."""


def table_items(text: str, source: Path) -> Iterator[tuple[int, Any]]:
    """(row, fields by column) for every row under the header; a ragged row is a RowRefused.

    Raises: BadInput, when there is no header with both columns, or a quote is never closed.
    """
    csv.field_size_limit(CELL_LIMIT)
    header_line = text.partition("\n")[0]
    delimiter = next((each for each in DELIMITERS if _header(header_line, each)), None)
    if delimiter is None:
        raise BadInput(
            say("{source} has no columns `prompt` and `completion`.", source=source),
            why=say("its first line is {line}", line=repr(header_line.strip()[:80])),
            next_step="Name the two columns so in the first row.",
        )
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    columns = [name.strip().lower() for name in next(reader)]
    row, line = 1, reader.line_num
    try:
        for row, cells in enumerate(reader, start=2):
            line = reader.line_num
            if not any(cell.strip() for cell in cells):
                continue  # a blank line is no row
            yield row, _fields(columns, cells)
    except csv.Error as error:
        raise BadInput(
            say("{source} is no proper CSV.", source=source),
            why=say("after row {row} (line {line}): {error}", row=row, line=line, error=error),
            next_step='Close every quote; write a quote inside a cell twice ("").',
        ) from error


def table_messages(item: Any) -> tuple[Message, ...]:
    """The conversation in one row.

    Raises: RowRefused, naming the column.
    """
    if isinstance(item, RowRefused):
        raise item
    turn = (required_text(item, "prompt"), required_text(item, "completion"))
    return conversation(text_of(item, "system"), [turn])


def _header(line: str, delimiter: str) -> bool:
    names = [name.strip().strip('"').lower() for name in line.split(delimiter)]
    return all(names.count(column) == 1 for column in REQUIRED)


def _fields(columns: list[str], cells: list[str]) -> Any:
    if len(cells) != len(columns):
        what = say("has {there} cells where the header has {wanted}", there=len(cells), wanted=len(columns))
        return RowRefused("row", what, "put cells that hold a comma in quotes")
    return dict(zip(columns, cells, strict=True))
