"""Bytes of a text to UTF-8: the encoding is known and said, or the file is refused; never guessed.

UTF-8 with or without a mark, UTF-16 with one, or GB18030, which Chinese spreadsheets save by default. Which
one it is follows from a bounded look at the first place that is not ASCII; then every byte is decoded
strictly, once before the first row is given, so that no row is learned from a file that turns out damaged.
"""

import codecs
import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from appliance.data.files.content import CHUNK_BYTES, Content, chunks
from appliance.errors import BadInput
from appliance.sentence import say

COMMON_SHARE = 0.9
"""Share of a GB18030 text's Chinese characters that are in GB 2312, the everyday set. Text in another
encoding that happens to decode falls far below."""

BROKEN_SHARE = 0.1
"""Up to this share of undecodable places, a file is UTF-8 that was damaged, not another encoding."""

ZERO_SHARE = 0.001
"""More zero bytes than this, in the first piece, and the file is no text. A few are a row's own trouble."""

MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


@dataclass(frozen=True)
class Text:
    """What a text file turned out to be."""

    encoding: str
    mark: int
    """Bytes of the byte order mark, 0 for none."""
    sha256: str
    """Over all bytes, as `Content.open` gives them."""
    size: int
    """Bytes."""


@dataclass(frozen=True)
class Bytes:
    """Content that is in memory already."""

    path: Path
    held: bytes

    @property
    def name(self) -> str:
        """What reports call it."""
        return self.path.name

    @property
    def place(self) -> Path:
        """What errors call it."""
        return self.path

    def open(self) -> BinaryIO:
        """The bytes, from the beginning."""
        return io.BytesIO(self.held)


def look_at_text(content: Content) -> Text:
    """Read all of it once: its hash, its length, its encoding.

    Raises: BadInput, when it is no text, or damaged, or its encoding cannot be told: with the line.
    """
    with content.open() as stream:
        head = stream.read(CHUNK_BYTES)
        mark, encoding = next(((m, e) for m, e in MARKS if head.startswith(m)), (b"", "utf-8"))
        if not mark and head.count(0) > ZERO_SHARE * len(head):
            raise _no_text(content, head.index(0))
        scan = _Scan(encoding)
        scan.take(head[len(mark) :])
        digest, size = hashlib.sha256(head), len(head)
        for chunk in chunks(stream):
            digest.update(chunk)
            size += len(chunk)
            scan.take(chunk)
    fault = scan.end()
    if fault and mark:
        raise _damaged(content, encoding, fault)
    if fault and _is_gb18030(_sample(content, scan.ascii_chunks)):
        encoding, fault = "gb18030", _first_fault(content, "gb18030")
    if fault:
        raise _untold(content, fault)
    return Text(encoding, len(mark), digest.hexdigest(), size)


def open_text(content: Content, text: Text) -> BinaryIO:
    """The same text as UTF-8 without a mark."""
    stream = content.open()
    stream.read(text.mark)
    if text.encoding == "utf-8":
        return stream
    return io.BufferedReader(_Recoded(stream, text.encoding), CHUNK_BYTES)


def decode_text(content: bytes, source: Path) -> tuple[str, str]:
    """The text of `content`, without a byte order mark, and the name of its encoding.

    Raises: BadInput, as `look_at_text`.
    """
    held = Bytes(source, content)
    text = look_at_text(held)
    return content[text.mark :].decode(text.encoding), text.encoding


class _Scan:
    """Strict decoding of one chunk after the other, up to the first fault."""

    def __init__(self, encoding: str) -> None:
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._encoding = encoding
        self._line = 1
        self._ascii_so_far = encoding == "utf-8"
        self.ascii_chunks = 0
        """How many chunks came before the first that is not ASCII."""
        self.fault = 0
        """The line of the first undecodable place; 0 for none."""

    def take(self, chunk: bytes, final: bool = False) -> None:
        """The next chunk."""
        if self.fault:
            return
        if self._ascii_so_far and chunk.isascii():
            self.ascii_chunks += 1
            self._line += chunk.count(b"\n")
            return
        self._ascii_so_far = False
        try:
            self._line += self._decoder.decode(chunk, final).count("\n")
        except UnicodeDecodeError as error:
            before = error.object[: error.start].decode(self._encoding, "replace")
            self.fault = self._line + before.count("\n")

    def end(self) -> int:
        """The line of the first fault, now that all was taken; 0 for none."""
        self.take(b"", final=True)
        return self.fault


def _first_fault(content: Content, encoding: str) -> int:
    scan = _Scan(encoding)
    with content.open() as stream:
        for chunk in chunks(stream):
            scan.take(chunk)
    return scan.end()


def _sample(content: Content, skipped_chunks: int) -> bytes:
    """A piece of the file that begins with the first chunk that is not ASCII."""
    with content.open() as stream:
        for _ in range(skipped_chunks):
            stream.read(CHUNK_BYTES)
        return stream.read(CHUNK_BYTES)


def _is_gb18030(sample: bytes) -> bool:
    """Whether it is GB18030 beyond doubt: not UTF-8 with damage, and made of everyday characters."""
    text = sample.decode("utf-8", errors="replace")
    bad = text.count("\ufffd")
    good = sum(1 for character in text if character > "\x7f") - bad
    if bad <= BROKEN_SHARE * (good + bad):
        return False
    try:
        decoded = codecs.getincrementaldecoder("gb18030")().decode(sample)  # the last character may be cut
    except UnicodeDecodeError:
        return False
    beyond_ascii = "".join(character for character in decoded if character > "\x7f")
    common = len(beyond_ascii.encode("gb2312", errors="ignore")) // 2
    return common >= COMMON_SHARE * len(beyond_ascii)


class _Recoded(io.RawIOBase):
    """A stream in another encoding, read as UTF-8."""

    def __init__(self, stream: BinaryIO, encoding: str) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._left = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer)  # type: ignore[arg-type]
        while not self._left:
            chunk = self._stream.read(CHUNK_BYTES)
            self._left = self._decoder.decode(chunk, not chunk).encode("utf-8")
            if not chunk and not self._left:
                return 0
        count = min(len(view), len(self._left))
        view[:count] = self._left[:count]
        self._left = self._left[count:]
        return count

    def close(self) -> None:
        self._stream.close()
        super().close()


def _no_text(content: Content, position: int) -> BadInput:
    return BadInput(
        say("{source} is no text file.", source=content.place),
        why=say("it holds a zero byte at position {position}", position=position),
        next_step="Save it as CSV or JSON in UTF-8, and name that file.",
    )


def _untold(content: Content, line: int) -> BadInput:
    return BadInput(
        say("The encoding of {source} cannot be told.", source=content.place),
        why=say("line {line} is no UTF-8, and the whole is not clearly GB18030 either", line=line),
        next_step="Open it where it reads well, save it as UTF-8 (in Excel: 'CSV UTF-8'), and start again.",
    )


def _damaged(content: Content, encoding: str, line: int) -> BadInput:
    return BadInput(
        say("{source} is damaged.", source=content.place),
        why=say("its first bytes promise {encoding}, and line {line} is none", encoding=encoding, line=line),
        next_step="Open it where it reads well, save it as UTF-8 (in Excel: 'CSV UTF-8'), and start again.",
    )
