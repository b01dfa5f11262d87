"""Whether this box can do the work: every finding at once, each with what, why and next.

Looks, changes nothing, imports nothing heavy.
"""

import os
import shutil
from dataclasses import dataclass

from appliance.bundle.verify import clock
from appliance.errors import StepFailed
from appliance.process import run
from appliance.progress import amount_text
from appliance.sentence import say
from appliance.site.layout import Site
from appliance.site.trust import read_trust

ROOM_BYTES = 10_000_000_000
"""A run of an 8 B model leaves about twice this; a tiny one far less. Below it, a warning."""
MEMORY_BYTES = 8_000_000_000


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    name: str
    good: bool
    what: str
    why: str = ""
    next_step: str = ""
    blocking: bool = False
    """Whether nothing can be done here before it is mended: the wizard does not go on. What only makes work
    slow, or a later step doubtful, does not block."""


def look_at_box(site: Site) -> list[Finding]:
    """Room, memory, processors, GPU, clock, rights."""
    return [
        *[
            _room(name, folder)
            for name, folder in ((say("room for software"), site.prefix), (say("room for runs"), site.state))
        ],
        _memory(),
        _gpu(),
        _clock(site),
        _rights(site),
    ]


def _room(name: str, folder: os.PathLike[str]) -> Finding:
    free = shutil.disk_usage(folder).free
    return Finding(
        name,
        free >= ROOM_BYTES,
        say("{free} free at {folder}", free=amount_text(free, "B"), folder=folder),
        say("an export of a real model needs more than {room}", room=amount_text(ROOM_BYTES, "B")),
        "Free space there, or move the folder to a larger disk.",
    )


def _memory() -> Finding:
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    cores = len(os.sched_getaffinity(0))
    return Finding(
        "memory and cores",
        total >= MEMORY_BYTES,
        say("{total} of memory, {cores} cores", total=amount_text(total, "B"), cores=cores),
        say("loading a model needs {memory} or more", memory=amount_text(MEMORY_BYTES, "B")),
        "Add memory, or choose a smaller model.",
    )


def _gpu() -> Finding:
    """What the driver says; a box without a GPU is slow, not broken."""
    if shutil.which("nvidia-smi") is None:
        return Finding("GPU", True, "no driver found: training runs on the processor")
    query = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    cards: list[str] = []
    try:
        run(query, on_line=cards.append, next_step="Load or repair the driver.")
    except StepFailed as error:
        return Finding("GPU", False, "the driver does not answer", error.why, error.next_step)
    return Finding("GPU", True, "; ".join(cards))


def _clock(site: Site) -> Finding:
    seen, now = read_trust(site).newest_date, clock()
    return Finding(
        "clock",
        now >= seen,
        now,
        say("a release signed {seen} is installed already, so it is later than that", seen=seen),
        "Set the clock; expiry is judged by the later of the two meanwhile.",
    )


def _rights(site: Site) -> Finding:
    user, good = os.getuid(), os.access(site.runs, os.W_OK)
    return Finding(
        "rights",
        good,
        say("user {user} may write {folder}", user=user, folder=site.runs)
        if good
        else say("user {user} may not write {folder}", user=user, folder=site.runs),
        "runs are made there",
        "Use an account that may write there.",
        blocking=not good,
    )
