"""Files on their way from the medium into quarantine: hashed, written and had on the disk beside what reads.

One thread reads the volume, one hashes the files in it, one writes them and one waits for the disk, so that
a box with two cores takes little longer than its slower disk. What waits between them is bounded, so memory
does not grow. Each file's pieces are hashed and written in the order in which they came.
"""

import hashlib
import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from types import TracebackType

from appliance.bundle.contents import Entry

WAITING = 32
"""How many pieces may wait to be hashed, and to be written: of at most `medium.CHUNK_BYTES` each."""

WRITE_BACK_BYTES = 32 * 1024 * 1024
"""How much of a file gathers in memory before the disk begins to write it."""

SYNCING = 32
"""How many whole files may wait for the disk; each is open meanwhile, and a box may allow few."""


class _Arriving:
    """One file. Open only while its bytes come, and until the disk has them."""

    def __init__(self, quarantine: int, entry: Entry) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        self._file = os.fdopen(os.open(entry.sha256, flags, 0o400, dir_fd=quarantine), "wb", buffering=0)
        self._mode = stored_mode(entry)
        self._written = self._begun = 0

    def write(self, piece: memoryview) -> None:
        """Append."""
        rest = piece
        while rest:
            rest = rest[self._file.write(rest) :]
        self._written += len(piece)
        if self._written - self._begun >= WRITE_BACK_BYTES:
            # Has the kernel begin to write: the disk works now, not only at the end (mm/fadvise.c).
            os.posix_fadvise(self._file.fileno(), 0, self._written, os.POSIX_FADV_DONTNEED)
            self._begun = self._written

    def sync(self) -> None:
        """Flush to the disk, with the mode that it keeps, and close."""
        os.fchmod(self._file.fileno(), self._mode)  # synced with the bytes: others must be able to read it
        os.fsync(self._file.fileno())
        self._file.close()


@dataclass
class _Coming:
    """What is known of a file whose last byte did not come yet."""

    hasher: "hashlib._Hash"
    file: _Arriving | None = None
    """Made by the thread that writes."""


class _Line:
    """A thread that does one thing after the other, `most` behind at the most."""

    def __init__(self, name: str, most: int) -> None:
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"islet-{name}")
        self._most = most
        self._waiting: deque[Future[None]] = deque()

    def add(self, work: Callable[[], None]) -> None:
        """Have it done, soon. Raises: what something done before raised."""
        while len(self._waiting) >= self._most:
            self._waiting.popleft().result()
        self._waiting.append(self._pool.submit(work))

    def catch_up(self) -> None:
        """Wait until everything is done. Raises: what any of it raised."""
        while self._waiting:
            self._waiting.popleft().result()

    def stop(self) -> None:
        """Give up what has not begun."""
        self._pool.shutdown(wait=True, cancel_futures=True)


class Arrivals:
    """All files that are on their way. Leaving the context gives up what is not written yet."""

    def __init__(self, quarantine: int) -> None:
        self._quarantine = quarantine
        self._hashing, self._writing = _Line("hash", WAITING), _Line("write", WAITING)
        self._syncing = _Line("sync", SYNCING)
        self._coming: dict[str, _Coming] = {}
        self._whole: dict[str, _Coming] = {}

    def __enter__(self) -> "Arrivals":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for line in (self._hashing, self._writing, self._syncing):
            line.stop()

    def write(self, entry: Entry, piece: memoryview, *, is_last: bool) -> None:
        """Take the next bytes of a file. Raises: OSError, when those before could not be written."""
        coming = self._coming.get(entry.path) or _Coming(hashlib.sha256())
        self._coming[entry.path] = coming
        self._hashing.add(partial(coming.hasher.update, piece))
        self._writing.add(partial(self._write, coming, entry, piece, is_last))
        if is_last:
            self._whole[entry.path] = self._coming.pop(entry.path)

    def finish(self) -> dict[str, str]:
        """Path to SHA-256 of every file that is whole since this was asked last, all of it on the disk.

        Raises: OSError, when something could not be written.
        """
        for line in (self._writing, self._syncing, self._hashing):
            line.catch_up()
        whole, self._whole = self._whole, {}
        return {path: coming.hasher.hexdigest() for path, coming in whole.items()}

    def _write(self, coming: _Coming, entry: Entry, piece: memoryview, is_last: bool) -> None:
        if coming.file is None:
            coming.file = _Arriving(self._quarantine, entry)
        coming.file.write(piece)
        if is_last:  # at once: a volume may hold more files than may be open
            self._syncing.add(coming.file.sync)


def stored_mode(entry: Entry) -> int:
    """Rights of a file in the store: read by all, written by none."""
    return 0o444 | entry.mode & 0o111
