"""One source of items: a file, a member of an archive, or a sheet of a workbook."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from appliance.data.judge import RowRefused
from appliance.sentence import Sentence

Container = Literal["json", "jsonl", "csv", "tsv", "xlsx", "parquet", "arrow", "text"]
"""How items are packed. `json`: a list, or objects one after another over several lines."""

Items = Iterator[tuple[int, dict[str, Any] | RowRefused]]


@dataclass(frozen=True)
class Source:
    """Where items come from, and what was found at the first look."""

    name: str
    """What reports show: `rows.csv`, `folder/rows.csv`, `archive.zip/rows.csv`."""
    path: Path
    """The file on disk: of a member, its archive."""
    container: Container
    encoding: str
    """Of text; "" where there is none."""
    sha256: str
    """64 lower-case hex digits, over the file's bytes; of a member of an archive, over that member's."""
    size: int
    """Bytes of the same."""
    read: Callable[[], Items] = field(repr=False, compare=False)
    """The items, from the beginning."""
    sheet: str = ""
    """Of a workbook: which one."""
    notes: tuple[Sentence, ...] = ()
    """What the reader should know: what beside this was not read."""

    @property
    def place(self) -> Path:
        """What errors call it: its path; of a member of an archive, with its name in it."""
        within = self.name.removeprefix(f"{self.path.name}/")
        return self.path if within == self.name else self.path / within

    def items(self) -> Items:
        """(number, fields by name or why the row is refused), in order, in constant memory; again and again.

        The number is the one that a person counts: see `Row.row`.

        Raises: BadInput, when the rest cannot be told apart: damage, an unclosed quote, a file that changed.
        """
        return self.read()

    def sample(self, count: int) -> list[dict[str, Any]]:
        """The first `count` items that are not refused.

        Raises: BadInput, as `items`.
        """
        return list(islice((item for _, item in self.items() if isinstance(item, dict)), count))
