"""What else a site needs, carried as it is: a driver's installer, an archive, documents.

A person gives the address and the hash; the bytes are compared with it when they are locked. Extras are
never unpacked, judged or run, here or at the site: they are files for people.
"""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from appliance.errors import BadInput
from appliance.progress import Progress
from bundler.manifest import Extra
from bundler.sources import file_sha256
from bundler.sources.beside import check_locked
from bundler.sources.download import Job, Source, Wanted, fetch_all
from bundler.sources.web import shown


class LockedExtra(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file."""

    name: str
    """The folder that it lies in: `extras/NAME/FILE`."""
    file: str
    """A plain file name."""
    url: str
    """Where it is fetched; empty for a file beside the manifest."""
    path: str
    """Relative to the manifest; empty for an address."""
    sha256: str
    size: int
    """Bytes."""
    licence: str
    note: str
    """What it is for, in the words of who wrote the manifest."""


def lock_extras(
    extras: Sequence[Extra], *, base: Path, cache: Path, progress: Progress
) -> tuple[LockedExtra, ...]:
    """Fetch every extra into the cache and lock it.

    base: the manifest's folder.

    Raises: BadInput, when a file is not there or has another hash than the manifest says; DamagedBundle,
    when an address serves another one; StepFailed, when it serves none.
    """
    local = {extra.name: _lock_file(extra, base) for extra in extras if extra.path}
    remote = [extra for extra in extras if extra.url]
    if remote:
        jobs = [
            _job(each.name, each.url, each.sha256, None, _cached(each.sha256, each.file_name, cache))
            for each in remote
        ]
        got = fetch_all(jobs, what="Fetch extras", progress=progress)
        for extra, file in zip(remote, got, strict=True):
            local[extra.name] = _locked(extra, file.sha256, file.size)
    return tuple(local[name] for name in sorted(local))


def fetch_extras(extras: Sequence[LockedExtra], *, base: Path, cache: Path, progress: Progress) -> list[Path]:
    """Where the bytes of each locked extra lie now, in the order given; checked, also when cached before.

    Raises: DamagedBundle, when bytes are not the locked ones; StepFailed, when an address does not give them.
    """
    remote = [extra for extra in extras if extra.url]
    jobs = [_job(each.name, each.url, each.sha256, each.size, cached_extra(each, cache)) for each in remote]
    if jobs:
        fetch_all(jobs, what="Fetch extras", progress=progress)
    fetched = {extra.name: job.target for extra, job in zip(remote, jobs, strict=True)}
    for extra in extras:
        if extra.path:
            fetched[extra.name] = base / extra.path
            check_locked("The extra", extra.name, fetched[extra.name], extra.sha256)
    return [fetched[extra.name] for extra in extras]


def cached_extra(extra: LockedExtra, cache: Path) -> Path:
    """Where a locked extra that has an address is kept."""
    return _cached(extra.sha256, extra.file, cache)


def _cached(sha256: str, file: str, cache: Path) -> Path:
    return cache / "extras" / sha256 / file


def _job(name: str, url: str, sha256: str, size: int | None, target: Path) -> Job:
    wanted = Wanted(f"the extra {name} ({target.name})", (Source(url),), size=size, sha256=sha256)
    return Job(wanted, target)


def _lock_file(extra: Extra, base: Path) -> LockedExtra:
    path = base / extra.path
    if not path.is_file():
        raise BadInput(
            f"The extra {extra.name} is not there.",
            why=f"there is no file {path}",
            next_step="Correct extras.path in the manifest; it is relative to the manifest.",
        )
    sha256 = file_sha256(path)
    if extra.sha256 not in ("", sha256):
        raise BadInput(
            f"The extra {extra.name} is another file than the manifest says.",
            why=f"{path} has the SHA-256 {sha256}, extras.sha256 is {extra.sha256}",
            next_step="Compare it with what its publisher says; correct the file or extras.sha256.",
        )
    return _locked(extra, sha256, path.stat().st_size)


def _locked(extra: Extra, sha256: str, size: int) -> LockedExtra:
    url = shown(extra.url) if extra.url else ""
    return LockedExtra(extra.name, extra.file_name, url, extra.path, sha256, size, extra.licence, extra.note)
