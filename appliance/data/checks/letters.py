"""Text as rows of numbers: what makes two texts the same, and which letters they are made of.

A text's letters are its characters in NFKC, without case, spaces and marks. Marks that carry a fact stay:
the point inside a number, + and - of a finding, % and the arrows of a laboratory report. All texts of a
batch are worked on at once; a loop over characters in Python would take minutes for a million rows.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

NOTHING, HAN, LATIN, DIGIT, SIGN, OTHER = range(6)
"""Classes of characters; OTHER are letters of other scripts."""

SIGNS = "+±<>≤≥=%‰↑↓"
HYPHENS = "-\u2212\uff0d"
"""Kept, as `-`, only where no letter and no digit stands before them: as a sign, not inside a word."""

POINT, HYPHEN = ord("."), ord("-")
UNICODE_END = 0x110000
HAN_RANGES = ((0x3400, 0x4DC0), (0x4E00, 0xA000), (0xF900, 0xFB00), (0x20000, 0x323B0))
"""CJK ideographs with their extensions and compatibility forms. Source: Unicode 15.1, Blocks.txt."""


@dataclass(frozen=True, slots=True)
class Letters:
    """The letters of several texts, one after another."""

    codes: NDArray[np.uint32]
    """Code points."""
    classes: NDArray[np.uint8]
    """As long as `codes`."""
    starts: NDArray[np.int64]
    """Where each text begins in `codes`, and last where all end: one more than there are texts."""

    def of(self, text: int) -> NDArray[np.uint32]:
        """The letters of one text."""
        return self.codes[self.starts[text] : self.starts[text + 1]]

    def counts(self, kind: int) -> NDArray[np.int64]:
        """How many letters of class `kind` each text has."""
        total = np.concatenate(([0], np.cumsum(self.classes == kind, dtype=np.int64)))
        return np.diff(total[self.starts])

    def units(self) -> NDArray[np.int64]:
        """Length of each text in letters, a Han character counted as two."""
        return np.diff(self.starts) + self.counts(HAN)


def letters_of(texts: Sequence[str]) -> Letters:
    """The letters of `texts`."""
    folded, classes = _tables()
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    raw = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    codes, kinds = folded[raw], classes[raw]
    starts = np.concatenate(([0], np.cumsum(lengths)))
    _keep_marks_in_context(codes, kinds, starts)
    kept = kinds != NOTHING
    new = np.concatenate(([0], np.cumsum(kept, dtype=np.int64)))
    return Letters(codes[kept], kinds[kept], new[starts])


def numbers_of(letters: Letters) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """(code points, starts) of the digits and signs alone; the first of a number is told from one within."""
    is_number = (letters.classes == DIGIT) | (letters.classes == SIGN)
    at = np.flatnonzero(is_number)
    codes = letters.codes[at].copy()
    begins = np.ones(len(at), dtype=bool)
    begins[1:] = np.diff(at) != 1
    codes[begins] += UNICODE_END
    total = np.concatenate(([0], np.cumsum(is_number, dtype=np.int64)))
    return codes, total[letters.starts]


def is_han(character: str) -> bool:
    """Whether it is a Chinese character."""
    return any(first <= ord(character) < end for first, end in HAN_RANGES)


def _keep_marks_in_context(
    codes: NDArray[np.uint32], kinds: NDArray[np.uint8], starts: NDArray[np.int64]
) -> None:
    """Keep the point before a digit, and the hyphen that follows no letter or digit of the same text."""
    points = np.flatnonzero(codes == POINT)
    points = points[points + 1 < len(codes)]
    kinds[points[kinds[points + 1] == DIGIT]] = SIGN
    hyphens = np.flatnonzero(codes == HYPHEN)
    before = kinds[np.maximum(hyphens, 1) - 1]
    first = np.isin(hyphens, starts)
    free = first | (before == NOTHING) | (before == SIGN)
    kinds[hyphens[free]] = SIGN


@cache
def _tables() -> tuple[NDArray[np.uint32], NDArray[np.uint8]]:
    """(letter, class) of every code point; the class decides whether it stays."""
    folded = np.arange(UNICODE_END, dtype=np.uint32)
    classes = np.zeros(UNICODE_END, dtype=np.uint8)
    for code in range(0x10000):
        _enter(code, folded, classes)
    for first, end in HAN_RANGES:
        classes[first:end] = HAN
    for hyphen in HYPHENS:
        folded[ord(hyphen)], classes[ord(hyphen)] = HYPHEN, NOTHING
    folded[ord("．")] = POINT
    return folded, classes


def _enter(code: int, folded: NDArray[np.uint32], classes: NDArray[np.uint8]) -> None:
    plain = unicodedata.normalize("NFKC", chr(code)).casefold()
    if len(plain) == 1:
        folded[code] = ord(plain)
    character = plain[:1]
    if len(plain) == 1 and plain in SIGNS:
        classes[code] = SIGN
    elif character.isdigit():
        classes[code] = DIGIT
    elif character.isalpha():
        classes[code] = LATIN if unicodedata.name(character, "").startswith("LATIN") else OTHER
