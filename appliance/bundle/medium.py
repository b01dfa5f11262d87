"""Reading the medium: plain files of one flat folder, opened by its handle, never through a link."""

import errno
import hashlib
import os
import re
import stat
import string
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from appliance.bundle.names import RELEASE, SUMS
from appliance.bundle.refusal import damaged_file, malformed, missing_file, unreadable_file, untrusted
from appliance.errors import BadInput, UntrustedBundle
from appliance.sentence import say

CHUNK_BYTES = 2 * 1024 * 1024
"""Small enough to be hashed and written while it is still in the processor's cache."""
FORGET_BYTES = 32 * 1024 * 1024
"""How much of a file stays in the page cache: it is read once, and new pages cost more than used ones."""
_HIDDEN_LAST = re.compile(rb"\.\..", re.DOTALL)
_PLAIN = frozenset(string.ascii_letters + string.digits + "._-")


class Medium:
    """The folder that holds a bundle. Whoever made it may change it while it is read.

    Its handle is closed when the object goes.
    """

    def __init__(self, folder: Path) -> None:
        """Open the folder. Raises: BadInput, when it is not one."""
        try:
            self._handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise BadInput(
                say("{folder} is not a folder that can be read.", folder=folder),
                why=error.strerror or str(error),
                next_step="Give the folder that holds SHA256SUMS.",
            ) from error
        self._folder = folder
        weakref.finalize(self, os.close, self._handle)

    def check_bundle(self) -> None:
        """Raises: BadInput, when nothing of a bundle is here: another folder was meant, or another disk."""
        if not {RELEASE, SUMS} & set(self.names()):
            raise BadInput(
                say("{medium} holds no bundle.", medium=self._folder),
                why="neither RELEASE nor SHA256SUMS is in it",
                next_step="Mount the medium, and name the folder on it that has RELEASE in it.",
            )

    def names(self) -> list[str]:
        """Every name in the folder, in the order in which install.sh meets them."""
        return sorted(os.listdir(self._handle), key=_place)  # noqa: PTH208  (a handle, not a path)

    def check_plain(self, name: str) -> None:
        """Raises: UntrustedBundle, when `name` is not a plain file."""
        if not stat.S_ISREG(os.stat(name, dir_fd=self._handle, follow_symlinks=False).st_mode):
            raise not_plain(name)

    def size(self, name: str) -> int:
        """Bytes of the file called `name`. Raises: DamagedBundle, UntrustedBundle, as `open` does."""
        with self.open(name) as file:
            return os.fstat(file.fileno()).st_size

    def open(self, name: str) -> BinaryIO:
        """The file called `name`, for reading.

        Raises: DamagedBundle, when it is missing; UntrustedBundle, when it is not a plain file.
        """
        try:
            handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=self._handle)
        except FileNotFoundError:
            raise missing_file(name) from None
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EIO):
                raise unreadable_file(name) from None
            raise not_plain(name) from None
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            raise not_plain(name)
        return os.fdopen(handle, "rb")

    def read_small(self, name: str, cap: int) -> bytes:
        """The whole of a control file of at most `cap` bytes. Raises: UntrustedBundle, when it is longer."""
        with self.open(name) as file:
            is_long = os.fstat(file.fileno()).st_size > cap
            data = b"" if is_long else _read(file, name, cap + 1)
        if is_long or len(data) > cap:
            raise malformed(name, say("it is longer than {cap} bytes", cap=cap))
        return data

    def read_checked(self, name: str, sha256: str, cap: int) -> bytes:
        """The whole of a listed file. Raises: DamagedBundle, when its bytes are not the signed ones."""
        data = self.read_small(name, cap)
        if hashlib.sha256(data).hexdigest() != sha256:
            raise damaged_file(name)
        return data

    def chunks(self, name: str, on_read: Callable[[int], None] = lambda length: None) -> Iterator[bytes]:
        """The bytes of a file, front to back; `on_read` hears how many came each time."""
        come = forgotten = 0
        with self.open(name) as file:
            while chunk := _read(file, name, CHUNK_BYTES):
                come += len(chunk)
                on_read(len(chunk))
                yield chunk
                if come - forgotten >= FORGET_BYTES:
                    os.posix_fadvise(file.fileno(), 0, come, os.POSIX_FADV_DONTNEED)
                    forgotten = come


def _read(file: BinaryIO, name: str, length: int) -> bytes:
    """The next bytes of `name`. Raises: DamagedBundle, when the medium does not give them."""
    try:
        return file.read(length)
    except OSError:
        raise unreadable_file(name) from None


def not_plain(name: str) -> UntrustedBundle:
    """The refusal of a link, a folder, a pipe."""
    return untrusted(say("{name} is not a plain file.", name=shown(name)), "a bundle holds plain files only")


def _place(name: str) -> tuple[int, bytes]:
    """Where a shell's `.[!.]* ..?* *` puts a name, byte by byte: the first reason found is the one told."""
    raw = os.fsencode(name)
    hidden = 1 if _HIDDEN_LAST.match(raw) else 0
    return (hidden if raw.startswith(b".") else 2), raw


def shown(name: str) -> str:
    """A name from the medium as it may be printed: every odd byte is replaced by `?`."""
    return "".join(chr(b) if chr(b) in _PLAIN else "?" for b in os.fsencode(name))
