"""Rows with a code, collected while batches go by; a number beside each says what words are made of it."""

from array import array
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from appliance.data.checks.finding import Hits
from appliance.data.checks.places import Places
from appliance.sentence import Sentence


class Spots:
    """Rows by code and field."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], tuple[array[int], array[int]]] = {}

    def add(self, code: str, field: str, row: int, number: int = 0) -> None:
        """Row `row` has it."""
        rows, numbers = self._found.setdefault((code, field), (array("Q"), array("Q")))
        rows.append(row)
        numbers.append(number)

    def hits(self, words: dict[str, Callable[[int], Sentence]]) -> Iterator[Hits]:
        """All of them; `words` makes of a code and a number what is wrong."""
        for (code, field), (rows, numbers) in self._found.items():
            order = np.argsort(np.array(rows, dtype=np.int64), kind="stable")
            at = np.array(rows, dtype=np.int64)[order]
            yield Hits(code, at, _words(words[code], np.array(numbers, dtype=np.int64)[order]), field)


def _words(make: Callable[[int], Sentence], numbers: NDArray[np.int64]) -> Callable[[int, Places], Sentence]:
    return lambda position, places: make(int(numbers[position]))
