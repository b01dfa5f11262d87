"""Files on their way from the medium into quarantine: hashed and written beside what reads the medium.

One thread reads a volume and hashes it whole, one hashes and writes the files in it: a box with two cores
takes no longer than its slower disk. What waits between them is bounded, so memory does not grow.
"""

import hashlib
import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any

from appliance.bundle.contents import Entry

WAITING = 8
"""How many pieces may wait to be written: of at most `medium.CHUNK_BYTES` each, 32 MiB in all."""

WRITE_BACK_BYTES = 32 * 1024 * 1024
"""How much of a file gathers in memory before the disk begins to write it."""


class _Arriving:
    """One file. Open only while its bytes come."""

    def __init__(self, quarantine: int, entry: Entry) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        self._file = os.fdopen(os.open(entry.sha256, flags, 0o400, dir_fd=quarantine), "wb", buffering=0)
        self._mode = stored_mode(entry)
        self._hasher = hashlib.sha256()
        self._written = self._begun = 0

    def write(self, piece: bytes) -> None:
        """Append, and hash."""
        self._hasher.update(piece)
        rest = memoryview(piece)
        while rest:
            rest = rest[self._file.write(rest) :]
        self._written += len(piece)
        if self._written - self._begun >= WRITE_BACK_BYTES:
            # Has the kernel begin to write: the disk works now, not only at the end (mm/fadvise.c).
            os.posix_fadvise(self._file.fileno(), 0, self._written, os.POSIX_FADV_DONTNEED)
            self._begun = self._written

    def close(self) -> str:
        """Flush to the disk, with the mode that it keeps; the sha256 of what was written."""
        os.fchmod(self._file.fileno(), self._mode)  # synced with the bytes: others must be able to read it
        os.fsync(self._file.fileno())
        self._file.close()
        return self._hasher.hexdigest()


class Arrivals:
    """All files that are on their way. Leaving the context gives up what is not written yet."""

    def __init__(self, quarantine: int) -> None:
        self._quarantine = quarantine
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="islet-store")
        self._waiting: deque[Future[Any]] = deque()
        self._open: dict[str, _Arriving] = {}
        self._whole: dict[str, str] = {}

    def __enter__(self) -> "Arrivals":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown(wait=True, cancel_futures=True)

    def write(self, entry: Entry, piece: bytes, *, is_last: bool) -> None:
        """Take the next bytes of a file. Raises: OSError, when those before could not be written."""
        while len(self._waiting) >= WAITING:
            self._waiting.popleft().result()
        self._waiting.append(self._thread.submit(self._write, entry, piece, is_last))

    def finish(self) -> dict[str, str]:
        """Path to SHA-256 of every file that is whole since this was asked last, all of it on the disk.

        Raises: OSError, when something could not be written.
        """
        while self._waiting:
            self._waiting.popleft().result()
        whole, self._whole = self._whole, {}
        return whole

    def _write(self, entry: Entry, piece: bytes, is_last: bool) -> None:
        file = self._open.get(entry.path) or _Arriving(self._quarantine, entry)
        self._open[entry.path] = file
        file.write(piece)
        if is_last:  # closed at once: a volume may hold more files than may be open
            self._whole[entry.path] = self._open.pop(entry.path).close()


def stored_mode(entry: Entry) -> int:
    """Rights of a file in the store: read by all, written by none."""
    return 0o444 | entry.mode & 0o111
