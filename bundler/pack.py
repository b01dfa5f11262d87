"""Volumes: where each file's bytes will lie, and the one pass that writes them.

The layout follows from names and sizes alone, so contents.json exists before the first byte is
written, and the same lock gives the same bytes on any machine.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from appliance.bundle import names
from appliance.bundle.archive import BLOCK, END, Part, has_header, header, padding, part_path
from appliance.bundle.beside import Beside
from appliance.bundle.contents import Contents, Entry, Volume
from appliance.errors import BadInput, DamagedBundle
from appliance.progress import Advance, Progress

CHUNK_BYTES = 4 * 1024 * 1024
SMALLEST_CUT_BYTES = 1024 * 1024
"""A file is not cut for less room than this: the next volume is begun instead."""
MOST_VOLUMES = 1000
"""`payload.000.tar` to `payload.999.tar`."""


@dataclass(frozen=True)
class Item:
    """One file to be packed."""

    path: str
    """Under the release folder at the site."""
    kind: str
    component: str
    licence: str
    source: Path
    sha256: str
    """As locked, or computed from the file where it was made here."""
    size: int
    """Bytes."""
    mode: int = 0o644


def lay_out(
    items: Sequence[Item],
    volume_bytes: int,
    held: Mapping[str, int] | None = None,
    runtime: str | None = None,
) -> Contents:
    """Where every byte of `items` will lie, in volumes of at most `volume_bytes`.

    held: SHA-256 to size of files that the site has; they are left out, and what remains is a delta.
    runtime: SHA-256 of runtime.tar.gz, which is required of the site too if it is held.

    Raises: BadInput, when a path is too long for a tar header, or the volumes would be too small or too many.
    """
    if volume_bytes < 2 * SMALLEST_CUT_BYTES:
        raise BadInput(
            "The volumes are too small.",
            why=f"{volume_bytes} bytes asked for, {2 * SMALLEST_CUT_BYTES} are the least",
            next_step="Give a larger --volume-size.",
        )
    volumes: list[int] = []  # the size of each so far, end blocks apart
    entries = []
    for item in sorted(items, key=lambda item: item.path):
        left_out = held is not None and held.get(item.sha256) == item.size
        places = [] if left_out else list(_places(item.size, volumes, volume_bytes))
        parts = tuple(Part(f"payload.{volume:03d}.tar", at, length) for volume, at, length in places)
        count = max(len(parts), 1)  # what is left out must fit too: the full bundle has the same paths
        if not all(has_header(part_path(item.path, i, count)) for i in range(count)):
            raise BadInput(
                f"{item.path} cannot be packed.",
                why="its path is too long for a tar header, or is not ASCII",
                next_step="Rename it at its source, or leave it out in the manifest.",
            )
        entries.append(
            Entry(
                item.path, item.kind, item.component, item.licence, item.size, item.sha256, item.mode, parts
            )
        )
    if len(volumes) > MOST_VOLUMES:
        raise BadInput(
            "There would be too many volumes.",
            why=f"{len(volumes)} of {volume_bytes} bytes, {MOST_VOLUMES} are the most that a bundle can have",
            next_step="Give a larger --volume-size.",
        )
    sizes = [Volume(f"payload.{i:03d}.tar", size + len(END)) for i, size in enumerate(volumes)]
    required = {entry.sha256 for entry in entries if not entry.parts}
    if runtime is not None and held is not None and runtime in held:
        required.add(runtime)
    return Contents(tuple(sizes), tuple(entries), tuple(sorted(required)))


def _places(size: int, volumes: list[int], volume_bytes: int) -> Iterator[tuple[int, int, int]]:
    """(volume, offset, length) of each part of a file of `size` bytes; `volumes` grows by it."""
    left = size
    while True:
        room = volume_bytes - len(END) - BLOCK - volumes[-1] if volumes else 0
        if not volumes or room < min(left, SMALLEST_CUT_BYTES):
            volumes.append(0)
            continue
        length = min(left, room - room % BLOCK if left > room else left, names.MEMBER_BYTES // BLOCK * BLOCK)
        yield len(volumes) - 1, volumes[-1] + BLOCK, length
        volumes[-1] += BLOCK + length + padding(length)
        left -= length
        if left == 0:
            return


def write_volumes(
    contents: Contents, items: Sequence[Item], folder: Path, progress: Progress
) -> dict[str, str]:
    """Write the volumes of `contents` into `folder`; name to SHA-256. Each source is read once.

    Raises: DamagedBundle, when a file's bytes are not those that the lock names.
    """
    sources = {item.path: item for item in items}
    hashes: dict[str, str] = {}
    with (
        progress.stage("writing volumes", total=sum(v.size for v in contents.volumes)) as advance,
        Beside() as volume_hashing,
        Beside() as file_hashing,
        ExitStack() as open_files,
    ):
        readers: dict[str, _Reader] = {}
        for volume in contents.volumes:
            with (folder / volume.name).open("xb") as file:
                out = _Hashing(file, advance, volume_hashing)
                for part, path, entry in contents.members(volume.name):
                    if entry.path not in readers:
                        readers[entry.path] = _Reader(sources[entry.path], open_files, file_hashing)
                    out.write(header(path, part.length, entry.mode))
                    for chunk in readers[entry.path].take(part.length):
                        out.write(chunk)
                    out.write(bytes(padding(part.length)))
                    if entry.parts[-1] is part:
                        readers.pop(entry.path).check_end()
                out.write(END)
            hashes[volume.name] = out.sha256
    return hashes


class _Hashing:
    """A file that is hashed as it is written."""

    def __init__(self, file: BinaryIO, advance: Advance, beside: Beside) -> None:
        self._file = file
        self._hasher = hashlib.sha256()
        self._advance = advance
        self._beside = beside

    def write(self, data: bytes) -> None:
        """Append."""
        self._beside.update(self._hasher, data)
        self._file.write(data)
        self._advance(len(data))

    @property
    def sha256(self) -> str:
        """Of everything written so far."""
        self._beside.catch_up()
        return self._hasher.hexdigest()


class _Reader:
    """A source, read front to back, whose hash is judged at its end."""

    def __init__(self, item: Item, open_files: ExitStack, beside: Beside) -> None:
        self._item = item
        self._file = open_files.enter_context(item.source.open("rb"))
        self._hasher = hashlib.sha256()
        self._beside = beside

    def take(self, length: int) -> Iterator[bytes]:
        """The next `length` bytes."""
        while length:
            chunk = self._file.read(min(CHUNK_BYTES, length))
            if not chunk:
                raise self._wrong()
            length -= len(chunk)
            self._beside.update(self._hasher, chunk)
            yield chunk

    def check_end(self) -> None:
        """Raises: DamagedBundle, when the file goes on or its hash is not the locked one."""
        self._beside.catch_up()
        if self._file.read(1) or self._hasher.hexdigest() != self._item.sha256:
            raise self._wrong()
        self._file.close()

    def _wrong(self) -> DamagedBundle:
        return DamagedBundle(
            f"{self._item.path} is not what was locked.",
            why="its bytes changed since they were fetched and checked",
            next_step="Remove the cache and build again.",
        )
