"""What is in use here, and by whom: releases by runs and by programs, runs by workers and jobs.

A run keeps the path of its base model, which lies in the release that was in use when it was made; its
evaluation, merge and export read it there. A program that was started from a release loads more of it later.
"""

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from appliance.run.lock import find_worker
from appliance.sentence import Sentence, say
from appliance.site.layout import Site
from appliance.site.releases import installed_releases

_NOTE_BYTES = 10_000
ANY = -1
"""Instead of a release's number: which one cannot be told, so it may be any."""


def active_runs(site: Site) -> list[str]:
    """Names of the runs that a worker or a job is at work on now."""
    locks = (*site.runs.glob("*/worker.lock"), *site.runs.glob("*/jobs/*.lock"))
    busy = {lock.relative_to(site.runs).parts[0] for lock in locks if find_worker(lock) is not None}
    return sorted(busy)


def release_uses(site: Site) -> dict[int, list[Sentence]]:
    """Number of a release to what uses it, in words; nothing for one that nothing uses."""
    found: dict[int, list[Sentence]] = {}
    for number, reason in (*_bases(site), *program_uses(site, besides=())):
        for each in [number] if number != ANY else [one.number for one in installed_releases(site)]:
            found.setdefault(each, []).append(reason)
    return found


def _bases(site: Site) -> Iterator[tuple[int, Sentence]]:
    """The releases whose models runs were made on."""
    for note in sorted(site.runs.glob("*/base")):
        words = say("run {run} was made on a model of it", run=note.parent.name)
        try:
            number = _release_of(site, Path(_note(note).strip()))
        except (OSError, ValueError):  # another account's, or damaged: it may be any
            number = ANY
        if number is not None:
            yield number, words


def _note(path: Path) -> str:
    """A short plain file, whoever's: a pipe in its place holds nobody up. Raises: OSError, ValueError."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ValueError(path)
        return file.read(_NOTE_BYTES).decode("utf-8")


def program_uses(site: Site, *, besides: Iterable[int]) -> Iterator[tuple[int, Sentence]]:
    """The releases that programs run from, leaving out the processes in `besides`."""
    left_out = set(besides)
    needle = os.fsencode(f"{site.prefix}/")
    for process in sorted(Path("/proc").glob("[0-9]*"), key=lambda path: int(path.name)):
        if int(process.name) in left_out:
            continue
        words = say("process {pid} runs from it", pid=process.name)
        try:
            number = _release_of(site, (process / "exe").readlink())
        except PermissionError:  # another account's: its command line is all that can be seen
            if needle in _read(process / "cmdline"):
                yield ANY, words
        except OSError:
            continue  # it has ended, or is the kernel's
        else:
            if number is not None:
                yield number, words


def _release_of(site: Site, path: Path) -> int | None:
    """The number of the release that `path` lies in."""
    for prefix in (site.prefix, site.prefix.resolve()):
        folder = prefix / "releases"
        if path.is_relative_to(folder):
            first = path.relative_to(folder).parts[:1]
            return int(first[0]) if first and first[0].isdigit() else None
    return None


def ancestors(pid: int) -> Iterator[int]:
    """The process `pid`, the one that started it, and so on. Source: proc(5), field 4."""
    while pid > 1:
        yield pid
        stat = _read(Path(f"/proc/{pid}/stat")).rpartition(b")")[2].split()
        pid = int(stat[1]) if len(stat) > 1 else 0


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
