"""The first rows of a file, looked at together: which columns they have, and what is in them."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from appliance.data.shapes.names import CONTENT_TAGS, ROLE_TAGS, plain
from appliance.sentence import Sentence, listed, say

LONGEST_SHOWN = 24
SHOWN_COLUMNS = 20
LOOKS_LIKE_DATA = re.compile(r"\d{5,}|[。？！；?!;]")
"""A first row that holds no names holds somebody's data, which no message may repeat."""


class Sample:
    """Rows that stand for a file."""

    def __init__(self, items: Sequence[Mapping[str, Any]]) -> None:
        self.items = items
        self.names: list[str] = list(dict.fromkeys(str(name) for item in items for name in item))
        """Every column, in the order of its first row."""
        self.rows = [frozenset(name for name, value in item.items() if not is_empty(value)) for item in items]
        """The columns of each row that hold something."""
        self.filled = frozenset().union(*self.rows)

    def candidates(self, names: Iterable[str], *, besides: Iterable[str] = ()) -> list[str]:
        """Columns with one of these names that hold something anywhere; else those that are there at all."""
        wanted, other = {plain(name) for name in names}, set(besides)
        there = [name for name in self.names if plain(name) in wanted and name not in other]
        return [name for name in there if name in self.filled] or there

    def find(self, column: str) -> str | None:
        """A column as the file writes it, by its name as a person may write it; None when there is none."""
        if column in self.names:
            return column
        return next((name for name in self.names if plain(name) == plain(column)), None)

    def values(self, column: str) -> list[Any]:
        """What a column holds, where it holds something."""
        return [item[column] for item, row in zip(self.items, self.rows, strict=True) if column in row]

    def count(self, column: str) -> int:
        """In how many rows it holds something."""
        return sum(column in row for row in self.rows)

    def turn_columns(self) -> list[str]:
        """Columns that hold lists of turns in half of the rows at least: one that is spoilt says nothing."""
        return [name for name in self.names if name in self.filled and self._holds_turns(name)]

    def _holds_turns(self, column: str) -> bool:
        values = self.values(column)
        return 2 * sum(map(is_turns, values)) >= len(values)

    def shown(self, columns: Iterable[str]) -> Sentence:
        """The names of columns, for a message; one that looks like a row's text by its place alone."""
        return listed([self._shown(column) for column in list(columns)[:SHOWN_COLUMNS]])

    def can_show(self, column: str) -> bool:
        """Whether the name of a column is one, and not the text of a row in a file without names."""
        return len(column) <= LONGEST_SHOWN and not LOOKS_LIKE_DATA.search(column)

    def _shown(self, column: str) -> str:
        if self.can_show(column):
            return say("`{column}`", column=column)
        return say("column {number}", number=self.names.index(column) + 1)


def is_empty(value: Any) -> bool:
    """Whether a value says nothing."""
    return value is None or value == [] or value == {} or (isinstance(value, str) and not value.strip())


def is_turns(value: Any) -> bool:
    """Whether a value looks like a list of turns, also as the JSON text that a table holds."""
    if isinstance(value, str):
        start = value.lstrip()[:200]
        return start.startswith("[") and any(f'"{tag}"' in start for tag in ROLE_TAGS)
    if not isinstance(value, list) or not value or not isinstance(value[0], dict):
        return False
    return any(tag in value[0] for tag in ROLE_TAGS) and any(
        tag in value[0] for tag in (*CONTENT_TAGS, "tool_calls")
    )
