"""What a report is made of, whatever it is written in: sections of paragraphs, tables and a curve. Pure.

All text in here is plain. Each renderer escapes all of it, in one place.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from appliance.locale.voice import Voice


@dataclass(frozen=True)
class Paragraph:
    """A sentence or several."""

    text: str
    kind: Literal["plain", "caution", "quiet"] = "plain"
    """`caution`: something that the reader must not miss. `quiet`: a remark on what stands above."""


@dataclass(frozen=True)
class Column:
    """One column of a table."""

    title: str
    kind: Literal["text", "short", "number", "code", "prose"] = "text"
    """`short`: words that stay on one line. `code`: hashes and names, to be compared letter by letter.
    `prose`: text of the data, may be long."""


@dataclass(frozen=True)
class Table:
    """Rows of cells, as many in each as there are columns."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Pairs:
    """Names with their values."""

    rows: tuple[tuple[str, str], ...]
    dense: bool = False
    """Whether they are many and short, to be set in two columns where there is room."""


@dataclass(frozen=True)
class Curve:
    """Losses by step, for a picture. The figures stand in a table beside it, for who cannot see it."""

    losses: tuple[tuple[int, float], ...]
    held_out: tuple[tuple[int, float], ...]
    step_label: str
    loss_label: str
    raw_label: str
    mean_label: str
    """Of the mean of the last `running_window` steps."""
    held_out_label: str


@dataclass(frozen=True)
class Signatures:
    """Boxes to tick and lines to sign on."""

    decisions: tuple[str, ...]
    remarks: str
    columns: tuple[str, ...]
    roles: tuple[str, ...]


Block = Paragraph | Table | Pairs | Curve | Signatures


@dataclass(frozen=True)
class Section:
    """A heading with what stands under it."""

    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Document:
    """A whole report."""

    language: str
    """As in the `lang` attribute of HTML: `en`, `zh-CN`."""
    title: str
    subtitle: str
    notice: str
    """What whoever holds this document must know first."""
    sections: tuple[Section, ...]


def visible(text: str) -> str:
    """`text` with every character that cannot be seen, or turns the reading direction, written as its code.

    What is signed must be what is read: an override of direction can make `7618` look like `8167`.
    """
    return "".join(f"⟨U+{ord(each):04X}⟩" if _is_hidden(each) else each for each in text)


def shortened(text: str, most: int, say: Voice) -> str:
    """At most `most` characters of `text`; what is left out is counted."""
    text = text.strip()
    if len(text) <= most:
        return text
    return f"{text[:most].rstrip()}… {say('(+{count} characters)', count=len(text) - most)}"


def running_window(losses: Sequence[object]) -> int:
    """Over how many steps the mean of a curve runs: a twentieth of them, at least one."""
    return max(1, len(losses) // 20)


def _is_hidden(character: str) -> bool:
    return character not in "\n\t" and unicodedata.category(character) in ("Cc", "Cf", "Co", "Cn", "Cs")
