"""Lines of text that fit a terminal, where a Chinese character takes two cells."""

import re
import unicodedata

WIDTH = 80
"""Cells of a terminal's line."""

_PIECE = re.compile(r"\s+|[^\s\u2e80-\uffef]+|[\u2e80-\uffef]")
"""A gap, a word, or one Chinese character: between them a line may end."""
_CLOSING = "，。：；、）！？"
"""A line begins with none of these."""


def printable(text: str) -> str:
    """`text` with `?` for what would act on a terminal or turn its lines round; ends of lines stay."""
    return "".join(char if char == "\n" or not _acts(char) else "?" for char in text)


def _acts(char: str) -> bool:
    """Whether a character is none to be seen: control, direction, half of a pair, end of a paragraph."""
    category = unicodedata.category(char)
    return category[0] == "C" or category in ("Zl", "Zp")


def cells(text: str) -> int:
    """How many cells of a terminal's line `text` takes."""
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)


def wrapped(text: str, *, indent: str = "") -> str:
    """`text` in lines of at most WIDTH cells, where no word is longer; `indent` before all but the first."""
    lines = [""]
    pieces = _PIECE.findall(text)
    for at, piece in enumerate(pieces):
        follower = pieces[at + 1] if at + 1 < len(pieces) and pieces[at + 1] in _CLOSING else ""
        if cells(lines[-1] + piece + follower) <= WIDTH:
            lines[-1] += piece
        elif not piece.isspace():
            lines[-1] = lines[-1].rstrip()
            lines.append(indent + piece)
    return "\n".join(lines).rstrip()
