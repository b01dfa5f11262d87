"""The bytes of one file, which can be opened again and again and must not change in between."""

import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from appliance.errors import BadInput
from appliance.sentence import reason, say

CHUNK_BYTES = 1 << 20


class Content(Protocol):
    """Bytes to read: a file, or what is packed in one."""

    @property
    def path(self) -> Path:
        """The file on disk."""

    @property
    def name(self) -> str:
        """What reports call it."""

    @property
    def place(self) -> Path:
        """What errors call it: its path; of a member of an archive, with its name in it."""

    def open(self) -> BinaryIO:
        """The bytes, from the beginning.

        Raises: BadInput, when they cannot be read, or are not those that were looked at first.
        """


@dataclass(frozen=True)
class FileContent:
    """A plain file."""

    path: Path
    name: str
    stamp: tuple[int, ...]
    """Which file it was, how long and when written, at the first look."""

    @property
    def place(self) -> Path:
        """What errors call it."""
        return self.path

    def open(self) -> BinaryIO:
        """The bytes, from the beginning.

        Raises: BadInput, when the file cannot be read, or changed since the first look.
        """
        try:
            stream = self.path.open("rb")
        except OSError as error:
            raise unreadable(self.path, error) from error
        if _stamp(os.fstat(stream.fileno())) != self.stamp:
            stream.close()
            raise BadInput(
                say("{path} changed while it was read.", path=self.path),
                why="its size or its time is not what it was at the first look",
                next_step="Wait until nothing writes to it, and start again.",
            )
        return stream


def file_content(path: Path, name: str = "") -> FileContent:
    """The plain file at `path`.

    Raises: BadInput, when there is none, or it is no plain file.
    """
    try:
        found = path.stat()
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error
    if not stat.S_ISREG(found.st_mode):
        raise BadInput(
            say("{path} cannot be read.", path=path),
            why="it is no plain file",
            next_step="Name a file, or a folder of files.",
        )
    return FileContent(path, name or path.name, _stamp(found))


def chunks(stream: BinaryIO) -> Iterator[bytes]:
    """What is left of `stream`, a piece at a time."""
    while chunk := stream.read(CHUNK_BYTES):
        yield chunk


def digest(content: Content) -> tuple[str, int]:
    """The sha256 of all bytes, in hex, and how many there are."""
    made, size = hashlib.sha256(), 0
    with content.open() as stream:
        for chunk in chunks(stream):
            made.update(chunk)
            size += len(chunk)
    return made.hexdigest(), size


def unreadable(path: Path, error: Exception) -> BadInput:
    """The error for a file that the system does not give."""
    return BadInput(
        say("{path} cannot be read.", path=path),
        why=(isinstance(error, OSError) and error.strerror) or reason(error),
        next_step="Correct the path of the file, or its permissions.",
    )


def _stamp(found: os.stat_result) -> tuple[int, ...]:
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
