"""What a download goes into until its bytes hold: a file beside the target, or memory.

A part belongs to whoever holds its lock, so that two bundlers on one cache do not write into one file. The
lock goes with its process, however that ends; the part stays, and whoever comes next goes on from it.
"""

import errno
import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from appliance.errors import HostNotReady
from appliance.progress import amount_text

CHUNK_BYTES = 1 << 20


class Memory:
    """Where a small body goes."""

    def __init__(self) -> None:
        self.body = bytearray()

    @property
    def size(self) -> int:
        """Bytes so far."""
        return len(self.body)

    def write(self, data: bytes) -> None:
        """Append."""
        self.body += data

    def clear(self) -> None:
        """Begin anew."""
        self.body.clear()

    def read_all(self) -> Iterator[bytes]:
        """Everything so far."""
        yield bytes(self.body)


class Part:
    """The file that a download goes into, open and locked."""

    def __init__(self, path: Path, file: int) -> None:
        self._path = path
        self._file = file
        self._published = False
        self.size = os.fstat(file).st_size
        """Bytes so far."""

    def write(self, data: bytes) -> None:
        """Append."""
        view = memoryview(data)
        while view:
            view = view[os.pwrite(self._file, view, self.size + len(data) - len(view)) :]
        self.size += len(data)

    def clear(self) -> None:
        """Begin anew."""
        os.ftruncate(self._file, 0)
        self.size = 0

    def read_all(self) -> Iterator[bytes]:
        """Everything so far, piece by piece."""
        at = 0
        while piece := os.pread(self._file, CHUNK_BYTES, at):
            yield piece
            at += len(piece)

    def publish(self, target: Path) -> None:
        """Give it its final name."""
        self._path.rename(target)
        self._published = True

    def close(self) -> None:
        """Leave nothing where nothing was received."""
        if self.size == 0 and not self._published:
            self._path.unlink(missing_ok=True)


Store = Memory | Part


def part_path(target: Path) -> Path:
    """Where a download for `target` is kept until it is whole."""
    return target.with_name(f".{target.name}.part")


@contextmanager
def locked_part(target: Path, wait: Callable[[], None]) -> Iterator[Part]:
    """The part beside `target`, ours until the context ends; an empty one goes then.

    wait: called while another bundler holds it; returns after a moment, or raises to give up.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    path = part_path(target)
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        try:
            if _is_ours(file, path):
                part = Part(path, file)
                try:
                    yield part
                finally:
                    part.close()
                return
        finally:
            os.close(file)
        wait()


def _is_ours(file: int, path: Path) -> bool:
    """Whether we hold the lock of the file that is open and still has the name `path`."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.EINVAL):
            raise
        return True  # a share without locks: the hash still decides
    try:
        return os.path.samestat(os.fstat(file), path.lstat())
    except FileNotFoundError:  # published or removed in the meantime
        return False


@contextmanager
def room_for(target: Path) -> Iterator[None]:
    """Turn a full disk into what the operator does next."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        free = shutil.disk_usage(target.parent).free
        raise HostNotReady(
            f"There is no room for {target.name}.",
            why=f"the disk of {target.parent} is full ({amount_text(free, 'B')} free)",
            next_step="Free space there, or give --cache on another disk: it goes on where it stopped.",
        ) from error
