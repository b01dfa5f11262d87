"""runtime.tar.gz: the conda environment, as a tar that has one form, so that nothing can hide in it.

It is the one archive that a site unfolds with a program not its own: `install.sh` gives it to the system's
tar, because nothing else is there yet. So it may hold only what every tar understands alike:

- one gzip member, nothing after it, and no more bytes in it than RELEASE's `disk-bytes`;
- ustar headers alone, each the very block that `archive.header` makes for it: files 644 or 755, folders 755,
  links 777, owner 0, one time; no extension, no hard link, no device, no sparse file;
- names of printable characters, sorted, so none stands twice; nothing lies below a file or a link;
- links relative, upward steps first and never above the top: by way of whatever others, each stays inside;
- two zero blocks, and the end.

`install.sh` judges what tar lists by the same rules before it unpacks, and what lies there afterwards.
"""

import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from appliance.bundle import names
from appliance.bundle.archive import BLOCK, END, header, padding
from appliance.bundle.refusal import malformed
from appliance.errors import UntrustedBundle

_STEP = re.compile(r"[!#-)+-.0-;=@-\[\]-_a-{}~]([ !#-)+-.0-;=@-\[\]-_a-{}~]*[!#-)+-.0-;=@-\[\]-_a-{}~])?")
"""Printable ASCII without what shells, Windows or tar's own listing give a meaning, `"*/<>?\\|` and the
backquote, and no space at either end. `install.sh` holds the same set."""
_PIECE_BYTES = 1 << 20
_GZIP = b"\x1f\x8b\x08\0"
"""gzip's magic, deflate, no optional field (RFC 1952, 2.3.1): a name would be one more thing to judge."""


@dataclass(frozen=True)
class Member:
    """One file, folder or link of the environment."""

    path: str
    """Relative to the runtime's folder, `/`-separated, without a slash at its end."""
    kind: str
    """`0` a file, `2` a link, `5` a folder: ustar's types."""
    size: int = 0
    """Bytes; 0 unless a file."""
    is_program: bool = False
    """Whether a file has mode 755."""
    link: str = ""
    """Where a link leads."""

    def header(self, time_s: int) -> bytes:
        """The one block that this member can have. Raises: ValueError, when none can hold it."""
        mode = {"2": 0o777, "5": 0o755}.get(self.kind, 0o755 if self.is_program else 0o644)
        path = f"{self.path}/" if self.kind == "5" else self.path
        return header(path, self.size, mode, kind=self.kind, link=self.link, time_s=time_s)

    def is_safe(self) -> bool:
        """Whether the name and, of a link, the target are such as may travel."""
        steps = self.path.split("/")
        if not all(_is_step(step) for step in steps):
            return False
        return self.kind != "2" or _stays_inside(self.link, len(steps) - 1)


def _is_step(step: str) -> bool:
    return _STEP.fullmatch(step) is not None and step not in (".", "..")


def _stays_inside(target: str, depth: int) -> bool:
    """Whether a link that lies `depth` folders deep leads to a place inside, by way of whatever other links.

    Upward steps count from the link's own folder, which is no link; after a downward step, which may be one,
    there are none.
    """
    steps = target.split("/")
    upward = 0
    while upward < len(steps) and steps[upward] == "..":
        upward += 1
    return upward <= depth and all(step == "." or _is_step(step) for step in steps[upward:])


def check_environment(chunks: Iterable[bytes], limit: int) -> None:
    """Judge runtime.tar.gz, whose hash is known to be right, in constant memory but for its names.

    limit: bytes that it may unfold to.

    Raises: UntrustedBundle: it is no whole gzip file, or too long, or holds something that it must not.
    """
    source = _Unfolded(chunks, limit)
    sound = _walk(source)
    # That it is cut off or too long is told before what is wrong in it, as install.sh does.
    if source.drain() or not sound:
        raise malformed(
            names.RUNTIME, "it holds something other than plain files, folders and links within itself"
        )


def _walk(source: "_Unfolded") -> bool:
    """Whether the members are what they must be, up to the end; stops at the first that is not."""
    leaves: set[str] = set()
    before = ""
    time_s: int | None = None
    while (block := source.take(BLOCK)) != bytes(BLOCK):
        found = _member(block)
        if found is None:
            return False
        member, its_time_s = found
        time_s = its_time_s if time_s is None else time_s
        sound = its_time_s == time_s and member.path > before and member.is_safe()
        if not sound or any(folder in leaves for folder in _parents(member.path)):
            return False
        before = member.path
        if member.kind != "5":
            leaves.add(member.path)
        if not source.skip(member.size) or any(source.take(padding(member.size))):
            return False
    return source.take(len(END) - BLOCK) == bytes(len(END) - BLOCK)


def _member(block: bytes) -> tuple[Member, int] | None:
    """The member, and its time in seconds, whose only possible header is `block`."""
    try:
        prefix, name, link = (_text(block[a:b]) for a, b in ((345, 500), (0, 100), (157, 257)))
        size, mode, time_s = (int(block[a:b], 8) for a, b in ((124, 135), (100, 107), (136, 147)))
        path = (f"{prefix}/{name}" if prefix else name).removesuffix("/")
        member = Member(path, chr(block[156]), size, mode == 0o755, link)
        if member.kind not in "025" or (member.kind != "0" and size) or (member.kind != "2" and link):
            return None
        if member.header(time_s) != block:
            return None
    except (ValueError, OverflowError):
        return None
    return member, time_s


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("ascii")


def _parents(path: str) -> Iterator[str]:
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path


class _Unfolded:
    """The bytes inside one gzip member, in the sizes asked for, and never more than the limit.

    Raises from every method: UntrustedBundle, when it is no gzip file, is cut off, or unfolds to too much.
    """

    def __init__(self, chunks: Iterable[bytes], limit: int) -> None:
        self._chunks = iter(chunks)
        self._left = limit
        self._zipped = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
        self._rest = memoryview(b"")
        self._start = b""

    def take(self, length: int) -> bytes:
        """The next `length` bytes; fewer at the end."""
        got = b""
        while len(got) < length and (piece := self._next(length - len(got))):
            got += piece
        return got

    def skip(self, length: int) -> bool:
        """Pass over the next `length` bytes; whether there were so many."""
        while length and (piece := self._next(length)):
            length -= len(piece)
        return length == 0

    def drain(self) -> bool:
        """Pass over all that is left, judging that it is whole; whether there was any."""
        found = False
        while self._next(_PIECE_BYTES):
            found = True
        return found

    def _next(self, length: int) -> bytes:
        if not self._rest:
            self._rest = memoryview(self._unfold())
        piece, self._rest = self._rest[:length], self._rest[length:]
        return bytes(piece)

    def _unfold(self) -> bytes:
        """The next run of bytes; none at the end."""
        while not self._zipped.eof:
            waiting = self._zipped.unconsumed_tail or next(self._chunks, b"")
            self._start += waiting[: len(_GZIP) - len(self._start)]
            if not _GZIP.startswith(self._start):
                raise _not_gzip()
            try:
                piece = self._zipped.decompress(waiting, _PIECE_BYTES)
            except zlib.error:
                raise _not_gzip() from None
            self._left -= len(piece)
            if self._left < 0:
                raise malformed(names.RUNTIME, "it unfolds to more than RELEASE says")
            if piece:
                return piece
            if not waiting and not self._zipped.eof:
                raise _not_gzip()
        if self._zipped.unused_data or next(self._chunks, b""):
            raise _not_gzip()
        return b""


def _not_gzip() -> UntrustedBundle:
    return malformed(names.RUNTIME, "it is not one whole gzip file")
