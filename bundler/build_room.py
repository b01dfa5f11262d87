"""Whether the disks have room for a build, judged before anything is fetched or written.

What the lock pins is counted to the byte: downloads that the cache lacks, and the volumes as they will be.
The conda environment is unfolded on the way, and its size is estimated from that of its packages.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from appliance.errors import HostNotReady
from appliance.progress import amount_text
from bundler.converter import cached_source
from bundler.lock import Lock
from bundler.pack import lay_out
from bundler.room import CONDA_PACKED, CONDA_UNFOLDED, planned_items
from bundler.sources.conda import cached_package
from bundler.sources.extras import cached_extra
from bundler.sources.hub import cached_file
from bundler.sources.wheels import cached_wheel
from bundler.workplace import nearest

OTHER_BYTES = 8 << 20
"""The appliance's own wheel, lists, pages, folders."""


@dataclass(frozen=True)
class BuildRoom:
    """Bytes that a build writes."""

    download: int
    """Into the cache: what it lacks."""
    volumes: int
    runtime: int
    """runtime.tar.gz, an estimate."""
    unfolded: int
    """The conda environment while it is packed: its packages unfolded, and one tar. It goes before the
    volumes are written. An estimate."""

    @property
    def out(self) -> int:
        """At most at one time beside the finished folder."""
        return OTHER_BYTES + self.runtime + max(self.volumes, self.unfolded)


def build_room(lock: Lock, held: Mapping[str, int], *, cache: Path, volume_bytes: int) -> BuildRoom:
    """What building `lock` will write; `held`: SHA-256 to size of what a delta leaves out.

    Raises: BadInput, when the volumes are too small.
    """
    conda = sum(package.size for package in lock.runtime.packages)
    volumes = lay_out(planned_items(lock), volume_bytes, held or None).volumes
    return BuildRoom(
        download=sum(size for path, size in _fetched(lock, cache) if not path.is_file()),
        volumes=sum(volume.size for volume in volumes),
        runtime=int(conda * CONDA_PACKED),
        unfolded=int(2 * conda * CONDA_UNFOLDED),
    )


def check_room(room: BuildRoom, *, out: Path, cache: Path) -> None:
    """Pass if every disk that is written to has the room. Raises: HostNotReady, naming each that has not."""
    wanted: dict[int, list[tuple[str, Path, int]]] = {}
    for what, place, size in (("the cache", cache, room.download), ("the bundle", out, room.out)):
        folder = nearest(place)
        wanted.setdefault(folder.stat().st_dev, []).append((what, folder, size))
    short = []
    for needs in wanted.values():
        needed, free = sum(size for _, _, size in needs), _free_bytes(needs[0][1])
        if needed > free:
            parts = ", ".join(f"{size} bytes for {what}" for what, _, size in needs if size)
            short.append(
                f"{needs[-1][1]}: {parts} needed, {free} free ({amount_text(needed - free, 'B')} short)"
            )
    if short:
        raise HostNotReady(
            "There is too little room to build.",
            why="; ".join(short),
            next_step="Free space there, or give --out or --cache on another disk. Nothing was written.",
        )


def _free_bytes(folder: Path) -> int:
    """What a user without privileges may still write."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def _fetched(lock: Lock, cache: Path) -> list[tuple[Path, int]]:
    """Where each download lies once it is there, and its size; each once."""
    found = {cached_file(file, cache): file.size for model in lock.models for file in model.files}
    found |= {cached_wheel(cache, wheel): wheel.size for wheel in lock.wheels}
    found |= {cached_package(cache, p.subdir, p.file_name): p.size for p in lock.runtime.packages}
    found |= {cached_extra(extra, cache): extra.size for extra in lock.extras if extra.url}
    if lock.converter is not None:
        found[cached_source(lock.converter, cache)] = lock.converter.size
    return list(found.items())
