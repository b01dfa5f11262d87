"""A wheel's own metadata without its gigabytes: the file beside it (PEP 658), or a few pieces of the zip.

What is read here chooses versions and names licences; the wheel's bytes are judged by their hash when they
are fetched. Kept in the cache by the wheel's SHA-256 and address.
"""

import hashlib
import io
import re
import tempfile
import urllib.parse
import urllib.request
import zipfile
import zlib
from dataclasses import dataclass
from email.message import Message
from pathlib import Path

from appliance.errors import DamagedBundle, StepFailed
from bundler.sources import wrong_bytes
from bundler.sources.download import Source, fetch_text
from bundler.sources.indexes import ListedFile
from bundler.sources.web import Answer, Failure, opened, shown
from bundler.wheel_policy import read_headers

MAX_METADATA_BYTES = 16 << 20
BLOCK_BYTES = 128 << 10
"""What is asked for at once: the end of most wheels, with directory and metadata, fits into one."""
MAX_WHOLE_BYTES = 64 << 20
"""A wheel up to this size is fetched whole for its metadata where the server sends no parts."""
TIMEOUT_S = 60.0
ATTEMPTS = 4
_KEPT_LINE = re.compile(rb"([0-9]{1,18}) ([0-9a-f]{64})")
"""Before what is kept: bytes of the wheel, 0 if not known, and the SHA-256 of what follows."""


@dataclass(frozen=True)
class Facts:
    """What can be had of a wheel without fetching it."""

    metadata: bytes
    """METADATA."""
    size: int | None
    """Bytes of the wheel; None: not learnt on the way."""


@dataclass(frozen=True)
class Metadata:
    """What a wheel says of itself."""

    licence: str
    """As its maker wrote it, in one line; `unknown` if it says none."""
    requires: tuple[str, ...]
    """What it needs: lines of `Requires-Dist`."""


def read_facts(file: ListedFile, cache: Path) -> Facts:
    """METADATA of the wheel `file`, fetched without the rest of it.

    Raises: DamagedBundle, when the index serves other metadata than it lists, or the wheel has none;
    StepFailed, when they cannot be had.
    """
    kept = _kept_at(file, cache) if file.sha256 else None
    held = None if kept is None else _held(kept, file)
    if held is not None:
        return held
    facts = Facts(_beside(file), file.size) if file.has_metadata else _inside(file)
    if kept is not None:
        _keep(kept, facts)
    return facts


def parse_metadata(body: bytes) -> Metadata:
    """What METADATA says. Source: the core metadata specification, 2.4."""
    headers = read_headers(body)
    return Metadata(_licence(headers), tuple(headers.get_all("Requires-Dist") or ()))


def wheel_size(file: ListedFile, facts: Facts) -> int:
    """Bytes of the wheel as its index says, or as its server does. Raises: StepFailed."""
    return file.size or facts.size or _Remote(file).size


def _kept_at(file: ListedFile, cache: Path) -> Path:
    """Where it is kept: by address too, so that no index can say something of another one's wheel."""
    return cache / "metadata" / hashlib.sha256(f"{file.sha256} {file.url}".encode()).hexdigest()


def _held(path: Path, file: ListedFile) -> Facts | None:
    """What is kept of `file`; None where it is not the bytes that were written, or not those listed now."""
    if not path.is_file():
        return None
    line, _, body = path.read_bytes().partition(b"\n")
    found, digest = _KEPT_LINE.fullmatch(line), hashlib.sha256(body).hexdigest()
    if found is None or found[2].decode() != digest or file.metadata_sha256 not in ("", digest):
        return None
    return Facts(body, int(found[1]) or None)


def _keep(path: Path, facts: Facts) -> None:
    """Write whole or not at all; two threads may keep the same. What a power cut tears, its hash tells."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        digest = hashlib.sha256(facts.metadata).hexdigest()
        file.write(f"{facts.size or 0} {digest}\n".encode() + facts.metadata)
    Path(file.name).replace(path)


def _licence(headers: Message) -> str:
    """In the order of how exact they are: the expression, a short text, the classifiers."""
    for field, most in (("License-Expression", 1000), ("License", 60)):
        text = str(headers.get(field) or "").strip()
        if 0 < len(text) <= most and text.isprintable() and text.upper() != "UNKNOWN":
            return text
    named = [str(line) for line in headers.get_all("Classifier") or () if str(line).startswith("License")]
    return ", ".join(sorted(line.split(" :: ")[-1] for line in named)) or "unknown"


def _beside(file: ListedFile) -> bytes:
    """Source: PEP 658."""
    body = fetch_text(f"The metadata of {file.name}", Source(f"{file.url}.metadata"), most=MAX_METADATA_BYTES)
    got = hashlib.sha256(body).hexdigest()
    if file.metadata_sha256 and got != file.metadata_sha256:
        raise wrong_bytes(f"{file.name}.metadata", expected=file.metadata_sha256, got=got)
    return body


def _inside(file: ListedFile) -> Facts:
    """Read from the zip, in place."""
    source = _path(file) or _Remote(file)
    size = source.size if isinstance(source, _Remote) else file.size
    try:
        with zipfile.ZipFile(source) as archive:
            [name] = [n for n in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", n)]
            if archive.getinfo(name).file_size > MAX_METADATA_BYTES:
                raise ValueError("its METADATA is too large")
            return Facts(archive.read(name), size)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError, EOFError, zlib.error) as error:
        raise DamagedBundle(
            f"The metadata of {file.name} cannot be read.",
            why=f"it is no wheel: {error}",
            next_step="Require another version, or ask who runs the index.",
        ) from error


def _path(file: ListedFile) -> Path | None:
    """Where a wheel of a folder lies; only folders list `file:` addresses."""
    parts = urllib.parse.urlsplit(file.url)
    return Path(urllib.request.url2pathname(parts.path)) if parts.scheme == "file" else None


class _Remote(io.RawIOBase):
    """A file at an address, of which only what is read is fetched, in blocks."""

    def __init__(self, file: ListedFile) -> None:
        self._name = file.name
        self._source = Source(file.url)
        self._at = 0
        self._blocks: dict[int, bytes] = {}
        self.size = 0
        """Bytes of the whole file."""
        self._fill(0, 0)

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """Where the next read begins."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """As of any file."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.size}[whence]
        self._at = max(base + offset, 0)
        return self._at

    def read(self, size: int = -1) -> bytes:
        """As of any file; blocks that are missing are fetched in one request."""
        end = self.size if size is None or size < 0 else min(self._at + size, self.size)
        if end <= self._at:
            return b""
        first, last = self._at // BLOCK_BYTES, (end - 1) // BLOCK_BYTES
        missing = [block for block in range(first, last + 1) if block not in self._blocks]
        if missing:
            self._fill(missing[0], missing[-1])
        found = b"".join(self._blocks[block] for block in range(first, last + 1))
        piece = found[self._at - first * BLOCK_BYTES : end - first * BLOCK_BYTES]
        self._at = end
        return piece

    def _fill(self, first: int, last: int) -> None:
        """Fetch the blocks from `first` to `last`; all of them, if the server sends no parts."""
        start = first * BLOCK_BYTES
        begin, body = self._ask(start, (last + 1) * BLOCK_BYTES - start)
        for at in range(0, len(body), BLOCK_BYTES):
            self._blocks[begin // BLOCK_BYTES + at // BLOCK_BYTES] = body[at : at + BLOCK_BYTES]

    def _ask(self, start: int, length: int) -> tuple[int, bytes]:
        """(where in the file they begin, the bytes asked for, or more). Raises: StepFailed."""
        reason = ""
        for _ in range(ATTEMPTS):
            try:
                with opened(self._source, start=start, length=length, timeout_s=TIMEOUT_S) as answer:
                    return answer.start, self._taken(answer, start, length)
            except Failure as failure:
                reason = failure.why
                if not failure.again:
                    break
        raise StepFailed(
            f"The metadata of {self._name} could not be fetched.",
            why=f"{shown(self._source.url)}: {reason}",
            next_step="Use an index that offers metadata beside its wheels (PEP 658), or a folder of wheels.",
        )

    def _taken(self, answer: Answer, start: int, length: int) -> bytes:
        """The bytes of an answer. Raises: Failure."""
        if answer.total is None:
            raise Failure("the server does not say how long it is", again=False)
        self.size = answer.total
        if answer.start != start and answer.total > MAX_WHOLE_BYTES:
            raise Failure("the server cannot send a part of a file", again=False)
        wanted = min(length, answer.total - start) if answer.start == start else answer.total
        body = bytearray()
        while len(body) < wanted and (piece := answer.read(wanted - len(body))):
            body += piece
        if len(body) < wanted:
            raise Failure("the connection broke off", again=True)
        return bytes(body)
