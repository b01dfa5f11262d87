"""What a file to be fetched must be, and how long to bear with who serves it: values, no I/O."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from bundler.sources.web import Source

MOST_BYTES = 1 << 36
"""64 GiB: what a server may send where nobody said how much it should be."""


@dataclass(frozen=True)
class Wanted:
    """A file: what it must be, and where it may be had."""

    name: str
    """For people."""
    sources: tuple[Source, ...] | Callable[[], tuple[Source, ...]]
    """Tried in this order. A function is asked when the file is not there already: to look them up."""
    size: int | None = None
    """Bytes; None: not known before."""
    sha256: str | None = None
    blob: str | None = None
    """The git blob id, for small files that a listing names by it; needs `size`."""
    most: int = MOST_BYTES
    """Bytes that are read at most where `size` is not known."""

    @property
    def is_pinned(self) -> bool:
        """Whether its bytes can be told from others."""
        return self.sha256 is not None or self.blob is not None


@dataclass(frozen=True)
class Got:
    """What was fetched."""

    sha256: str
    size: int
    """Bytes."""


@dataclass(frozen=True)
class Patience:
    """How long to bear with a server."""

    attempts: int = 6
    """Connections in a row that bring nothing."""
    first_wait_s: float = 1.0
    """Before the second attempt; doubled each time."""
    longest_wait_s: float = 120.0
    """Also when the server asks for more."""
    timeout_s: float = 60.0
    """Without a byte."""
    slow_s: float = 60.0
    """After this long with less than `slow_bytes`, a connection counts as broken."""
    slow_bytes: int = 4096


class Digest:
    """The hashes of what was received so far."""

    def __init__(self, wanted: Wanted) -> None:
        self._sha256 = hashlib.sha256()
        self._blob = hashlib.sha1(b"blob %d\0" % (wanted.size or 0), usedforsecurity=False)
        self._wanted = wanted

    def update(self, data: bytes) -> None:
        """Append."""
        self._sha256.update(data)
        if self._wanted.blob is not None:
            self._blob.update(data)

    @property
    def sha256(self) -> str:
        """64 hex digits."""
        return self._sha256.hexdigest()

    def problem(self) -> tuple[str, str] | None:
        """(expected, got) of a hash that is not the wanted one."""
        if self._wanted.sha256 not in (None, self.sha256):
            return str(self._wanted.sha256), self.sha256
        if self._wanted.blob not in (None, self._blob.hexdigest()):
            return f"git blob {self._wanted.blob}", f"git blob {self._blob.hexdigest()}"
        return None
