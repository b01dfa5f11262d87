"""A few of many, spread evenly over all of them, without knowing how many there will be."""

from typing import Generic, TypeVar

Item = TypeVar("Item")


class Spread(Generic[Item]):
    """Keeps every first, then every second, every fourth … item: never more than twice as many as wanted."""

    def __init__(self, wanted: int) -> None:
        self._wanted = wanted
        self._kept: list[tuple[int, Item]] = []
        self._step, self._seen = 1, 0

    def add(self, number: int, item: Item) -> None:
        """The next item, with its own number."""
        if self._wanted and self._seen % self._step == 0:
            self._kept.append((number, item))
            if len(self._kept) > 2 * self._wanted:
                self._kept = self._kept[::2]
                self._step *= 2
        self._seen += 1

    @property
    def held(self) -> int:
        """How many there are to take: as many as were wanted, or fewer."""
        return min(self._wanted, len(self._kept))

    def taken(self, count: int) -> tuple[tuple[int, Item], ...]:
        """`count` items, or all that there are, with their numbers."""
        count = min(count, self.held)
        return tuple(self._kept[at * len(self._kept) // count] for at in range(count))
