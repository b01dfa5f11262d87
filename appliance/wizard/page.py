"""What a page is, before anybody draws it: blocks to read, fields to fill, actions to take.

The flow makes pages; the fronts (full screen, numbered lines, answer file) show them. All text here is
`appliance.sentence` text in English: a front says it in the person's language. Knows no toolkit.
"""

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warn", "fail", "busy", "info"]
"""How something stands; always shown as a word in brackets, never by colour alone."""


@dataclass(frozen=True)
class Paragraph:
    """Running text."""

    text: str
    level: Level | None = None


@dataclass(frozen=True)
class Heading:
    """Opens a group of blocks."""

    text: str


@dataclass(frozen=True)
class Fact:
    """One line: what, and how it is."""

    label: str
    value: str
    level: Level | None = None
    why: str = ""
    """For what is not in order: why it matters, and what to do, shown under it."""
    next_step: str = ""


@dataclass(frozen=True)
class Facts:
    """Lines with their labels in one column."""

    rows: tuple[Fact, ...]


@dataclass(frozen=True)
class Table:
    """Columns; numbers stand right."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    right: frozenset[int] = frozenset()
    """Columns that are set to the right."""


@dataclass(frozen=True)
class Bar:
    """How far something is. done, total: in one unit; total 0: nobody can say."""

    label: str
    done: float
    total: float
    text: str = ""


@dataclass(frozen=True)
class Series:
    """One curve."""

    label: str
    mark: str
    """One ASCII character."""
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Chart:
    """Curves over optimizer steps."""

    label: str
    series: tuple[Series, ...]
    rows: int = 6
    """Height in lines."""


@dataclass(frozen=True)
class Histogram:
    """How often each class occurs, as bars of text."""

    label: str
    rows: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Piece:
    """A stretch of what the model sees."""

    text: str
    learned: bool
    """Whether the model learns to write it."""


@dataclass(frozen=True)
class Preview:
    """One row of the data as the model will see it. Patient text: never logged, selected or saved."""

    label: str
    pieces: tuple[Piece, ...]


@dataclass(frozen=True)
class Verbatim:
    """Lines to copy or to read as they are: commands, a Modelfile, the end of a log."""

    lines: tuple[str, ...]


Block = Paragraph | Heading | Facts | Table | Bar | Chart | Histogram | Preview | Verbatim


@dataclass(frozen=True)
class Option:
    """One thing that can be chosen."""

    value: str
    label: str
    note: str = ""
    """Behind the label, in short."""
    problem: str = ""
    """Why it cannot be chosen here; empty when it can."""


@dataclass(frozen=True)
class Field:
    """One question of a page, with its answer so far."""

    name: str
    label: str
    help: str
    kind: Literal["choice", "text", "number", "files", "yesno"]
    value: str
    """As typed: the option's value; `yes` or `no`; paths, one a line."""
    options: tuple[Option, ...] = ()
    """Of a choice."""
    columns: tuple[str, ...] = ()
    """Of a choice whose labels are cells of a table, parted by tabs: the header."""
    folder: str = ""
    """Of files: where to begin looking."""
    problem: str = ""
    """What is wrong with the value; empty when nothing is."""


@dataclass(frozen=True)
class Confirm:
    """Asked before an action that ends something. The answer that changes nothing comes first."""

    title: str
    lines: tuple[str, ...]
    stay: str
    go: str


@dataclass(frozen=True)
class Action:
    """One thing that can be done on a page."""

    name: str
    label: str
    key: str = ""
    """A function key: `f5`. Every action can be reached without it."""
    why_not: str = ""
    """Why it cannot be done now; empty when it can."""
    confirm: Confirm | None = None
    default: bool = False
    """What Enter does where no field takes it."""


@dataclass(frozen=True)
class Page:
    """Everything that a front shows at one time."""

    name: str
    title: str
    step: int
    """1 to `steps`; 0: not one of the numbered steps (home, done)."""
    steps: int
    help: tuple[str, ...]
    blocks: tuple[Block, ...]
    fields: tuple[Field, ...]
    actions: tuple[Action, ...]
    verdict: str
    """One line: how this page stands and what to do."""
    level: Level
    live: bool = False
    """Whether it changes by itself: ask again now and then."""
    private: bool = False
    """Whether it shows text from patients' rows."""
