"""Of a source's items those that are wanted: all, fewer, or more than there are."""

import random
from collections.abc import Iterator
from typing import Any

from appliance.data.files import Source
from appliance.data.judge import RowRefused

SEED = 1
"""Of the draw: the same rows every time, so that a run can be repeated."""


class TakenItems:
    """(number, item) of a source, in order; `count` of them, drawn the same way every time, where it is set.

    Where more are wanted than there are, every one comes as often as it fits, and a draw fills the rest.
    Source of that meaning: LLaMA-Factory, src/llamafactory/data/loader.py, `num_samples`.
    """

    def __init__(self, source: Source, count: int | None) -> None:
        self._source, self._count = source, count
        self.left_out = 0
        """Items that were passed over, known at the end."""

    def __iter__(self) -> Iterator[tuple[int, dict[str, Any] | RowRefused]]:
        if self._count is None:
            yield from self._source.items()
            return
        total = sum(1 for _ in self._source.items())
        whole, rest = divmod(self._count, total) if total else (0, 0)
        drawn = set(random.Random(SEED).sample(range(total), rest))  # noqa: S311  # no secret hangs on it
        for position, (number, item) in enumerate(self._source.items()):
            times = whole + (position in drawn)
            self.left_out += not times
            for _ in range(times):
                yield number, item
