"""Bytes that are packed in another file: a gzip file, a member of a zip archive. Bounded, and never on disk.

What unpacks to far more than text ever does is refused while it is read, whatever its headers promise.
"""

import gzip
import io
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from appliance.data.files.content import Content
from appliance.errors import BadInput
from appliance.sentence import say

LARGEST_RATIO = 200
"""Unpacked bytes for each packed one. Chinese notes make 3 to 10, generated logs 50; zip's limit is 1032."""

ALWAYS_BYTES = 64 << 20
"""So much may come out of any file."""

HELD_LIMIT_BYTES = 256 << 20
"""A packed workbook or Parquet file is read in memory, up to this size."""


@dataclass(frozen=True)
class _Within:
    """Bytes of a file in another form; called what the file is."""

    inner: Content

    @property
    def path(self) -> Path:
        """The file on disk."""
        return self.inner.path

    @property
    def name(self) -> str:
        """What reports call it."""
        return self.inner.name

    @property
    def place(self) -> Path:
        """What errors call it."""
        return self.inner.place


@dataclass(frozen=True)
class GzipContent(_Within):
    """What is packed in a gzip file."""

    packed_bytes: int

    def open(self) -> BinaryIO:
        """The unpacked bytes, from the beginning."""
        packed = self.inner.open()
        return _unpacked(gzip.GzipFile(fileobj=packed), self, self.packed_bytes, packed)


@dataclass(frozen=True)
class MemberContent:
    """A member of a zip archive."""

    archive: Content
    member: str
    """Its name as the archive's list has it."""
    name: str
    place: Path
    """What errors call it."""
    packed_bytes: int

    @property
    def path(self) -> Path:
        """The archive on disk."""
        return self.archive.path

    def open(self) -> BinaryIO:
        """The unpacked bytes, from the beginning."""
        stream = self.archive.open()
        try:
            member = zipfile.ZipFile(stream).open(self.member)  # noqa: SIM115  # closed with what it gives
        except (
            zipfile.BadZipFile,
            OSError,
            KeyError,
            ValueError,
            NotImplementedError,
            RuntimeError,
        ) as error:
            stream.close()
            raise damaged_archive(self.place, error) from None
        return _unpacked(member, self, self.packed_bytes, stream)


class HeldContent(_Within):
    """Packed bytes that must be read here and there, not front to back: in memory while they are open."""

    def open(self) -> BinaryIO:
        """The bytes, from the beginning.

        Raises: BadInput, when there are too many.
        """
        with self.inner.open() as stream:
            held = stream.read(HELD_LIMIT_BYTES + 1)
        if len(held) > HELD_LIMIT_BYTES:
            raise BadInput(
                say("{path} must be unpacked first.", path=self.place),
                why=say("{name} has more than {limit} bytes", name=self.name, limit=HELD_LIMIT_BYTES),
                next_step="Unpack it, and name the unpacked file.",
            )
        return io.BytesIO(held)


class _Unpacked(io.RawIOBase):
    """A stream that unpacks, with its failures in our words and its length bounded."""

    def __init__(self, stream: BinaryIO, content: Content, packed_bytes: int, below: BinaryIO) -> None:
        self._stream, self._content, self._below = stream, content, below
        self._left = max(ALWAYS_BYTES, LARGEST_RATIO * packed_bytes)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer)  # type: ignore[arg-type]
        try:
            chunk = self._stream.read(len(view))
        except (OSError, EOFError, zlib.error, zipfile.BadZipFile, RuntimeError, ValueError) as error:
            raise damaged_archive(self._content.place, error) from None
        self._left -= len(chunk)
        if self._left < 0:
            raise too_much(self._content.place)
        view[: len(chunk)] = chunk
        return len(chunk)

    def close(self) -> None:
        self._stream.close()
        self._below.close()
        super().close()


def _unpacked(stream: object, content: Content, packed_bytes: int, below: BinaryIO) -> BinaryIO:
    return io.BufferedReader(_Unpacked(stream, content, packed_bytes, below), 1 << 20)  # type: ignore[arg-type]


def damaged_archive(path: Path, error: Exception) -> BadInput:
    """The error for an archive that cannot be unpacked."""
    return BadInput(
        say("{source} is damaged.", source=path),
        why=say("it cannot be unpacked: {kind}", kind=type(error).__name__),
        next_step="Copy or export it again.",
    )


def too_much(path: Path) -> BadInput:
    """The error for an archive that was made to fill a disk."""
    return BadInput(
        say("{path} unpacks to far more than it should.", path=path),
        why=say("more than {ratio} times its own size came out of it", ratio=LARGEST_RATIO),
        next_step="Ask whoever sent it what it is. If it is right, unpack it, and name the unpacked files.",
    )
