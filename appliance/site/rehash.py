"""Hashing many files again, at low priority, in threads; what was cut off goes on where it was.

Priorities are those of the threads that hash: on Linux each has its own, and nothing else of the program
becomes slow. A file is remembered as good only in the round that is under way: once every file was judged,
the next round begins with nothing.
"""

import ctypes
import errno
import hashlib
import os
import platform
import stat
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from appliance.progress import Advance

THREADS = 2
CHUNK_BYTES = 1 << 18
"""Stays in the second-level cache between being read and being hashed."""
FORMAT = "islet-rehash-1"
ROUND_S = 7 * 24 * 3600
"""A round that was begun longer ago is begun anew: what was good then proves little now."""
REMEMBER_S = 2.0

_IOPRIO_SET = {"x86_64": 251, "aarch64": 30}
"""Numbers of ioprio_set(2), which the C library has no name for. Source: Linux, arch/*/entry/syscalls."""
_WHO_THREAD, _IDLE = 1, 3 << 13
"""IOPRIO_WHO_PROCESS with 0 for the calling thread; IOPRIO_CLASS_IDLE. Source: ioprio_set(2)."""


@dataclass(frozen=True)
class Item:
    """One file that must have a hash."""

    name: str
    """What a person knows it by."""
    path: Path
    sha256: str
    size: int
    """Bytes, as it should be."""


@dataclass(frozen=True)
class Rehashed:
    """What a round found."""

    damaged: tuple[Item, ...]
    """Other bytes, another length, not readable, no plain file."""
    missing: tuple[Item, ...]
    hashed_bytes: int
    """What was read this time."""
    remembered: int
    """Files that were hashed earlier in this round, before it was cut off."""


def file_sha256(path: Path, *, from_disk: bool = False) -> tuple[str, int]:
    """SHA-256 of a plain file, and its length in bytes.

    from_disk: let the system forget what it keeps of the file in memory, so that the disk itself is read.

    Raises: OSError, also for what is no plain file.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(handle, "rb", buffering=0) as file:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), str(path))
        if from_disk:
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_SEQUENTIAL)
        hasher, length = hashlib.sha256(), 0
        view = memoryview(bytearray(min(CHUNK_BYTES, status.st_size + 1)))
        while count := file.readinto(view):
            hasher.update(view[:count])
            length += count
        return hasher.hexdigest(), length


def be_polite() -> None:
    """Give the calling thread the lowest claim to processor and disk; nothing where that is not possible."""
    try:
        os.setpriority(os.PRIO_PROCESS, 0, 19)
        if number := _IOPRIO_SET.get(platform.machine()):
            ctypes.CDLL(None).syscall(number, _WHO_THREAD, 0, _IDLE)
    except OSError:
        return


class Round:
    """What was found good since a round began: a line a file, in a file that a kill leaves readable."""

    def __init__(self, path: Path | None, items: Sequence[Item], *, anew: bool = False) -> None:
        """path: where it is remembered; None, or where nothing can be written: nowhere."""
        self._path, self._identity, self._kept_at = path, _identity(items), time.monotonic()
        self._new: list[int] = []
        self.good: set[int] = set()
        if path is not None and not anew:
            self.good = {number for number in _read(path, self._identity) if number < len(items)}
        if not self.good:
            self._write(f"{FORMAT} {self._identity} {int(time.time())}\n", "w")

    def keep(self, number: int) -> None:
        """Remember the item with this number as good."""
        self._new.append(number)
        if time.monotonic() - self._kept_at >= REMEMBER_S:
            self.flush()

    def flush(self) -> None:
        """Write down what was found good since the last time."""
        self._write("".join(f"{number}\n" for number in self._new), "a")
        self._new.clear()
        self._kept_at = time.monotonic()

    def end(self) -> None:
        """The round is through: the next one begins with nothing."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    def _write(self, text: str, mode: str) -> None:
        if self._path is None:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open(mode, encoding="ascii") as file:
                file.write(text)
        except OSError:
            self._path = None  # a full disk, or another's folder: hashing goes on, and begins anew next time


def _identity(items: Iterable[Item]) -> str:
    lines = "".join(f"{item.sha256} {item.size} {item.path}\n" for item in items)
    return hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()


def _read(path: Path, identity: str) -> set[int]:
    """Numbers remembered in `path`; none when it is of another round, too old, or cut in the first line."""
    try:
        head, *lines = path.read_text(encoding="ascii").split("\n")
        name, whose, began = head.split(" ")
        if (name, whose) != (FORMAT, identity) or not 0 <= time.time() - int(began) < ROUND_S:
            return set()
    except (OSError, ValueError):
        return set()
    return {int(line) for line in lines[:-1] if line.isdigit()}  # the last one may be torn


def rehash(
    items: Sequence[Item],
    memory: Round,
    advance: Advance = lambda amount: None,
    *,
    from_disk: bool = False,
    threads: int = THREADS,
    prepare: Callable[[], None] = be_polite,
) -> Rehashed:
    """Hash every item that is not remembered as good. Cut off by an exception, it goes on next time.

    prepare: called in each thread first.
    """
    todo = [(number, item) for number, item in enumerate(items) if number not in memory.good]
    todo.sort(key=lambda each: -each[1].size)  # a big one at the end would leave the other thread idle
    damaged: list[Item] = []
    missing: list[Item] = []
    hashed = 0
    pool = ThreadPoolExecutor(threads, initializer=prepare)
    try:
        for (number, item), found in zip(
            todo, pool.map(lambda each: _judge(each[1], from_disk), todo), strict=True
        ):
            if found is None:
                missing.append(item)
            elif found == (item.sha256, item.size):
                memory.keep(number)
            else:
                damaged.append(item)
            hashed += found[1] if found else 0
            advance(item.size)
    except BaseException:
        memory.flush()
        raise
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    memory.end()
    return Rehashed(tuple(damaged), tuple(missing), hashed, len(items) - len(todo))


def _judge(item: Item, from_disk: bool) -> tuple[str, int] | None:
    """Hash and length; None when the file is not there, an empty hash when it cannot be read."""
    try:
        return file_sha256(item.path, from_disk=from_disk)
    except FileNotFoundError:
        return None
    except OSError:
        return "", 0
