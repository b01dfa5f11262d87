"""One pass over a volume: every header checked, file bytes handed on as they pass, all of it hashed if asked.

Every byte of a volume follows from contents.json: headers, padding and end are the ones implied, and files
have their hashes. So whoever checks these has checked the volume; its own hash tells besides whether it is
the medium or the signed documents that are wrong.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator

from appliance.bundle.archive import BLOCK, END, header, padding
from appliance.bundle.contents import Contents, Entry
from appliance.bundle.refusal import damaged_file, untrusted
from appliance.sentence import say

OnBytes = Callable[[Entry, memoryview], None]
"""Called with each run of a file's bytes, in order; a file's parts may span volumes."""


def read_volume(
    name: str, chunks: Iterable[bytes], contents: Contents, sha256: str, on_bytes: OnBytes
) -> None:
    """Read volume `name` once, front to back, hashing it and giving each file's bytes to `on_bytes`.

    What `on_bytes` was given counts only when this returns: the volume's hash is known at its end.

    Raises: DamagedBundle, when the volume is not the signed one, in bytes or in length.
    UntrustedBundle, when it is the signed one and a header contradicts contents.json.
    """
    hasher = hashlib.sha256()

    def hashed() -> Iterator[bytes]:
        for chunk in chunks:
            hasher.update(chunk)
            yield chunk

    agrees = walk_volume(name, hashed(), contents, on_bytes)
    if hasher.hexdigest() != sha256:
        raise damaged_file(name)
    if not agrees:
        raise untrusted(
            say("{name} and contents.json contradict each other.", name=name),
            "a tar header is not the one listed",
        )


def walk_volume(name: str, chunks: Iterable[bytes], contents: Contents, on_bytes: OnBytes) -> bool:
    """Read volume `name` once, front to back, giving each file's bytes to `on_bytes`.

    Whether everything beside the files' bytes is what contents.json implies. What `on_bytes` was given counts
    only then, and when a file's own hash agrees.

    Raises: DamagedBundle, when the volume has not the length that it must have.
    """
    source = _Source(name, chunks)
    agrees = True
    for part, path, entry in contents.members(name):
        agrees &= source.take(BLOCK) == header(path, part.length, entry.mode)
        for piece in source.pieces(part.length):
            on_bytes(entry, piece)
        agrees &= not any(source.take(padding(part.length)))
    agrees &= source.take(len(END)) == END
    source.check_end()
    return agrees


class _Source:
    """Chunks of any size, taken in the sizes asked for."""

    def __init__(self, name: str, chunks: Iterable[bytes]) -> None:
        self._name = name
        self._chunks = iter(chunks)
        self._rest = memoryview(b"")

    def _fill(self) -> None:
        chunk = next(self._chunks, None)
        if chunk is None:
            raise damaged_file(self._name)
        self._rest = memoryview(chunk)

    def pieces(self, length: int) -> Iterator[memoryview]:
        """The next `length` bytes, as they come; not copied."""
        while length:
            if not self._rest:
                self._fill()
            piece, self._rest = self._rest[:length], self._rest[length:]
            length -= len(piece)
            yield piece

    def take(self, length: int) -> bytes:
        """The next `length` bytes, whole."""
        return b"".join(self.pieces(length))

    def check_end(self) -> None:
        """Raises: DamagedBundle, when anything follows."""
        if self._rest or next(self._chunks, None) is not None:
            raise damaged_file(self._name)
