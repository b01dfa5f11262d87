"""Openings and closings that many answers share: a model learns to say them each time."""

import re
from array import array
from collections.abc import Callable, Iterator

import numpy as np

from appliance.data.checks.batch import Batch, hash_of
from appliance.data.checks.finding import Hits
from appliance.data.checks.places import Places
from appliance.sentence import Sentence, say

SHARE = 0.1
LEAST = 20
"""A phrase is boilerplate where so large a share of the answers has it, and so many."""

LENGTHS = range(4, 201)
"""Characters of a sentence that may be a phrase."""

END = re.compile(r"[。！？!?\n]|\.(?=\s)")
LAST_BEGIN = re.compile(r".*(?:[。！？!?\n]|\.(?=\s))", re.DOTALL)
NONE = 0


class Phrases:
    """Looks at batches in order; keeps two hashes for each row."""

    def __init__(self) -> None:
        self._opening = array("Q")
        self._closing = array("Q")

    def look(self, batch: Batch) -> None:
        """Keep the first and the last sentence of each answer, as hashes."""
        for row, answer in zip(batch.rows, batch.answers, strict=True):
            usable = row.kind != "text"
            self._opening.append(_hash(opening(answer)) if usable else NONE)
            self._closing.append(_hash(closing(answer)) if usable else NONE)

    def hits(self) -> Iterator[Hits]:
        """Rows whose answer opens or closes as many others do."""
        for column, is_opening in ((self._opening, True), (self._closing, False)):
            hashes = np.array(column, dtype=np.uint64)
            kinds, inverse, counts = np.unique(hashes, return_inverse=True, return_counts=True)
            often = (counts >= max(LEAST, SHARE * len(hashes))) & (kinds != NONE)
            at = np.flatnonzero(often[inverse])
            yield Hits("boilerplate", at, _words(counts[inverse[at]].tolist(), is_opening))


def opening(answer: str) -> str:
    """The first sentence, where another follows; else nothing."""
    end = END.search(answer, 0, LENGTHS.stop)
    return answer[: end.end()].strip() if end and answer[end.end() :].strip() else ""


def closing(answer: str) -> str:
    """The last sentence, where another stands before it; else nothing."""
    answer = answer.rstrip()
    tail = answer[-LENGTHS.stop : -1]
    begin = LAST_BEGIN.match(tail)
    return answer[len(answer) - 1 - len(tail) + begin.end() :].strip() if begin else ""


def _hash(phrase: str) -> int:
    return hash_of(phrase.encode("utf-8", "surrogatepass")) if len(phrase) in LENGTHS else NONE


def _words(counts: list[int], is_opening: bool) -> Callable[[int, Places], Sentence]:
    def words(position: int, places: Places) -> Sentence:
        if is_opening:
            return say("opens with the same sentence as {count} answers", count=counts[position])
        return say("closes with the same sentence as {count} answers", count=counts[position])

    return words
