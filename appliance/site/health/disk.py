"""Room and mounts: every file system that Islet writes to, once, with the bytes that are needed there."""

import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from appliance.progress import amount_text
from appliance.sentence import listed, say
from appliance.site.health.finding import Finding

BLOCK_BYTES = 512
"""The unit of st_blocks. Source: stat(2)."""


@dataclass(frozen=True)
class Wish:
    """What will be written at one place."""

    name: str
    """What it is for: a sentence."""
    folder: Path
    """It need not exist yet."""
    needed_bytes: int
    must: bool
    """Whether nothing can go on without; else it is advice."""


def nearest(folder: Path) -> Path:
    """`folder`, or the nearest one above it that exists."""
    while not folder.is_dir():
        folder = folder.parent
    return folder


def taken_bytes(folder: Path) -> int:
    """What the plain files under `folder` take on their disk; links that they share with others included."""
    total = 0
    for place, _, names in os.walk(folder):
        total += sum(os.lstat(os.path.join(place, name)).st_blocks * BLOCK_BYTES for name in names)  # noqa: PTH118
    return total


def look_at_room(wishes: Iterable[Wish]) -> list[Finding]:
    """One finding a file system: what is wanted on the same one is added up."""
    together: dict[int, list[Wish]] = {}
    for wish in wishes:
        together.setdefault(nearest(wish.folder).stat().st_dev, []).append(wish)
    return [
        judge_room(group, shutil.disk_usage(nearest(group[0].folder)).free) for group in together.values()
    ]


def judge_room(wishes: list[Wish], free_bytes: int) -> Finding:
    """Whether all of `wishes`, on one file system, fit into what is free there."""
    needed = sum(wish.needed_bytes for wish in wishes)
    must = sum(wish.needed_bytes for wish in wishes if wish.must)
    each = [
        say(
            "{name} needs {bytes} at {folder}",
            name=w.name,
            bytes=amount_text(w.needed_bytes, "B"),
            folder=w.folder,
        )
        for w in wishes
        if w.needed_bytes
    ]
    return Finding(
        wishes[0].name if len(wishes) == 1 else say("room on the disk"),
        free_bytes >= needed,
        say("{free} free at {folder}", free=amount_text(free_bytes, "B"), folder=wishes[0].folder),
        listed(each),
        "Free space there, or move the folder to a larger disk.",
        blocking=free_bytes < must,
        code="disk.room",
        facts={"free_bytes": free_bytes, "needed_bytes": needed, "must_bytes": must},
    )


def look_at_mounts(prefix: Path, state: Path) -> list[Finding]:
    """Whether programs may run from the prefix, and both places may be written."""
    flags = {folder: os.statvfs(nearest(folder)).f_flag for folder in (prefix, state)}
    found = []
    if flags[prefix] & os.ST_NOEXEC:
        found.append(
            Finding(
                "mounts",
                False,
                say("{folder} lies on a disk that is mounted noexec", folder=prefix),
                "the programs are run from there",
                "Mount it without noexec, or install with --prefix on another disk.",
                blocking=True,
                code="disk.noexec",
            )
        )
    if flags[state] & os.ST_RDONLY:
        found.append(
            Finding(
                "mounts",
                False,
                say("{folder} lies on a disk that is mounted read-only", folder=state),
                "runs are made there",
                "Mount it for writing. If it turned read-only by itself it has errors: see the kernel's log.",
                blocking=True,
                code="disk.read_only",
            )
        )
    return found or [
        Finding("mounts", True, "programs may run from the software's folder", code="disk.noexec")
    ]
