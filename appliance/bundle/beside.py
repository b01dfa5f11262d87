"""Hashing beside other work: in one thread of its own, in order, a few pieces behind at most.

SHA-256 lets other threads run while it computes, so that reading, writing and a second hash go on meanwhile.
What comes out is the same; only the waiting is shorter. Standard library only.
"""

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Protocol

BEHIND = 2
"""Pieces that may wait; with what is in hand, all that is kept in memory."""


class Hasher(Protocol):
    """What `hashlib.sha256()` gives."""

    def update(self, data: bytes | memoryview, /) -> None:
        """Append."""


class Beside:
    """A thread that feeds hashers; leaving the context waits for it."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, "hashing")
        self._behind: deque[Future[None]] = deque()

    def __enter__(self) -> "Beside":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown()

    def update(self, hasher: Hasher, data: bytes | memoryview) -> None:
        """Have `hasher` append `data`, soon; nobody else may change either until `catch_up`."""
        while len(self._behind) >= BEHIND:
            self._behind.popleft().result()
        self._behind.append(self._pool.submit(hasher.update, data))

    def catch_up(self) -> None:
        """Wait until every hasher has everything."""
        while self._behind:
            self._behind.popleft().result()
