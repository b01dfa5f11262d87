"""How long rows are, and how much of them is learned, in characters."""

from array import array
from collections.abc import Iterable

import numpy as np

from appliance.data.checks.batch import Batch
from appliance.run.rows import Row


class Lengths:
    """Looks at batches in order; keeps four bytes for each row."""

    def __init__(self) -> None:
        self.lengths = array("I")
        self.total = 0
        self.learned = 0

    def look(self, batch: Batch) -> None:
        """Measure the rows of `batch`."""
        for row in batch.rows:
            length = len(row.text) + sum(len(message.content) for message in row.messages)
            self.lengths.append(length)
            self.total += length
            self.learned += _learned(row)


def bounds_of(lengths: Iterable[int]) -> tuple[tuple[int, int], ...]:
    """(at most so long, rows): each bound twice the one before; none below the shortest."""
    found = np.maximum(np.fromiter(lengths, dtype=np.int64), 1)
    if not len(found):
        return ()
    powers = np.ceil(np.log2(found)).astype(int)
    counts = np.bincount(powers)
    return tuple((1 << power, int(counts[power])) for power in range(powers.min(), powers.max() + 1))


def _learned(row: Row) -> int:
    taught = (turn for turn in row.messages if turn.role == "assistant" and turn.learned)
    return len(row.text) + sum(len(turn.content) for turn in taught)
