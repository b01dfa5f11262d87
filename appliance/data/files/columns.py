"""The header of a table and the rows under it: a name for every cell, or words for why there is none.

A header is refused where taking it would be a guess: a name twice, a title above the names, rows without any
names. A row is refused where its cells cannot be given to the names.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appliance.data.judge import RowRefused
from appliance.errors import BadInput
from appliance.sentence import say

LONGEST_NAME = 100
"""Characters; what is longer is the text of a row."""

_READS_LIKE_DATA = re.compile(r"[。！？!?…]$|^[\d.,:/%+-]+$|\d{5}")
"""A sentence, a number, a date, a long number: one such name may be a question of a form, all are none."""

NAME_THEM = say("Write the names of the columns into the first row, one for each column.")


@dataclass(frozen=True)
class Columns:
    """The names of a table's columns, as they are written; "" where a column between others has none."""

    names: tuple[str, ...]
    row: int
    """The row they stand in."""
    all_named: bool

    def fields(self, cells: Sequence[Any]) -> dict[str, Any] | RowRefused:
        """Values by name; a row with other than as many cells as there are columns is refused."""
        width = len(self.names)
        if len(cells) == width and self.all_named:
            return dict(zip(self.names, cells, strict=True))
        if len(cells) != width:
            if len(cells) < width or any(cells[width:]):
                what = say("has {there} cells where the header has {wanted}", there=len(cells), wanted=width)
                return RowRefused("row", what, "put cells that hold a comma in quotes")
            cells = cells[:width]  # empty cells at the right of the last name
        found = dict(zip(self.names, cells, strict=True))
        if "" in found:
            for position, (name, cell) in enumerate(zip(self.names, cells, strict=True), start=1):
                if not name and cell:
                    what = say("has a value in column {position}, which has no name", position=position)
                    return RowRefused("row", what, "name that column in the first row, or empty it")
            del found[""]
        return found


def read_columns(header: Sequence[str], below: Sequence[str], row: int, source: Path) -> Columns:
    """The columns that `header` names, which stands in `row`.

    below: the cells of the first row under it

    Raises: BadInput, when these are no names, or a name stands twice.
    """
    names = [" ".join(name.replace("\ufeff", "").split()) for name in header]
    while names and not names[-1]:
        del names[-1]
    if not names:
        raise _no_names(source, row, say("its cells are empty"))
    if sum(map(bool, names)) == 1 < sum(map(bool, below)) and len(below) > 1:
        raise BadInput(
            say("{source} has a title where the names of the columns must be.", source=source),
            why=say("row {row} has one cell that is not empty, the row below it has more", row=row),
            next_step="Delete the rows above the names of the columns.",
        )
    if any(len(name) > LONGEST_NAME for name in names):
        raise _no_names(source, row, say("a cell of it has more than {limit} characters", limit=LONGEST_NAME))
    if all(_READS_LIKE_DATA.search(name) for name in names if name):
        raise _no_names(source, row, say("its cells read like those of a row"))
    check_names(names, source, unnamed=True)
    return Columns(tuple(names), row, all(names))


def check_names(names: Sequence[str], source: Path, *, unnamed: bool = False) -> None:
    """Stop where one name stands over two columns, or cannot be shown on a screen.

    unnamed: whether several columns may have none

    Raises: BadInput.
    """
    if not "".join(names).isprintable():
        raise BadInput(
            say("{source} has a column whose name cannot be shown.", source=source),
            why="it holds control characters, or half an emoji",
            next_step="Name the column anew, of letters, digits and spaces.",
        )
    firsts: dict[str, int] = {}
    for position, name in enumerate(names):
        if firsts.setdefault(name, position) < position and (name or not unnamed):
            raise BadInput(
                say("{source} has two columns of one name.", source=source),
                why=say(
                    "columns {first} and {second} are named alike",
                    first=firsts[name] + 1,
                    second=position + 1,
                ),
                next_step="Give each column a name of its own, or delete the column that is not wanted.",
            )


def _no_names(source: Path, row: int, why: str) -> BadInput:
    return BadInput(
        say("{source} has no names of columns.", source=source),
        why=say("row {row} must hold them: {why}", row=row, why=why),
        next_step=NAME_THEM,
    )
