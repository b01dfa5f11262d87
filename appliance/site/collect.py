"""`islet gc`: releases and stored files that nothing needs, shown and then removed.

Never the release in use, nor as many before it as are kept for going back, nor one that a run or a program
uses, or that a run is being made on. Killed at any point, what is left is whole or counts for nothing: a
release first loses the file that vouches for it, and stored files go only when no whole release lists them.
The next `gc` takes the rest.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from appliance.bundle import names
from appliance.durable import sync_folder
from appliance.errors import HostNotReady
from appliance.progress import Progress
from appliance.run.lock import folder_lock
from appliance.run.removal import finish_removals
from appliance.sentence import Sentence, listed, say
from appliance.site import audit
from appliance.site.layout import Site
from appliance.site.lock import alone
from appliance.site.releases import Installed, current_release, installed_releases
from appliance.site.use import release_uses


@dataclass(frozen=True)
class Kept:
    """A release that stays, and why."""

    number: int
    why: Sentence


@dataclass(frozen=True)
class Collection:
    """What would be removed, and what stays."""

    releases: tuple[int, ...]
    """Whole releases that go."""
    cut_off: tuple[str, ...]
    """Names of release folders whose installation was cut off."""
    release_bytes: int
    """Of these folders, less what they share with the store."""
    files: tuple[Path, ...]
    """Stored files that no release which stays lists."""
    file_bytes: int
    kept: tuple[Kept, ...]

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to remove."""
        return not (self.releases or self.cut_off or self.files)


def plan_collection(site: Site, keep: int = 1) -> Collection:
    """What nothing needs, while `keep` releases before the one in use stay.

    Raises: HostNotReady, when no release is in use; UntrustedBundle, when the list of one that stays was
    changed, so that what it needs is not known.
    """
    now = current_release(site)
    whole = installed_releases(site)
    before = [one.number for one in whole if one.number < now.number][-keep:] if keep else []
    uses = release_uses(site)
    why: dict[int, Sentence] = {number: listed(reasons[:3]) for number, reasons in uses.items()}
    why |= {number: say("for going back") for number in before}
    why[now.number] = say("in use")
    gone = [one for one in whole if one.number not in why]
    made = [path for path in (site.prefix / "releases").glob("*") if names.NUMBER.fullmatch(path.name)]
    cut_off = sorted(set(made) - {one.folder for one in whole})
    files = _unlisted(site, [one for one in whole if one.number in why])
    return Collection(
        releases=tuple(one.number for one in gone),
        cut_off=tuple(path.name for path in cut_off),
        release_bytes=sum(_own_bytes(folder) for folder in (*(one.folder for one in gone), *cut_off)),
        files=tuple(files),
        file_bytes=sum(path.lstat().st_size for path in files),
        kept=tuple(Kept(one.number, why[one.number]) for one in whole if one.number in why),
    )


def _unlisted(site: Site, kept: list[Installed]) -> list[Path]:
    """Everything in the store that no release of `kept` lists."""
    needed = {site.stored(entry.sha256) for one in kept for entry in one.stored()}
    return sorted(path for path in site.store.glob("*/*") if path not in needed)


def _own_bytes(folder: Path) -> int:
    """What removing `folder` frees: files that have other links, into the store, free nothing by it."""
    total = 0
    for path, _, files in os.walk(folder):
        for name in files:
            status = (Path(path) / name).lstat()
            total += status.st_size if status.st_nlink == 1 else 0
    return total


def collect(site: Site, shown: Collection, keep: int, progress: Progress) -> None:
    """Remove what was shown, and write it into the audit log first.

    Raises: HostNotReady, when another command is at work here, or something came into use since.
    """
    with alone(site, "gc"), _held_models(site, shown):
        if plan_collection(site, keep) != shown:
            raise _changed()
        audit.append(
            site.audit,
            "gc",
            releases=", ".join(map(str, shown.releases)),
            files=len(shown.files),
            bytes=shown.release_bytes + shown.file_bytes,
        )
        for number in shown.releases:
            (site.release(number) / "installed.json").unlink()
            sync_folder(site.release(number))
        with progress.stage(say("removing"), total=shown.release_bytes + shown.file_bytes) as advance:
            for name in (*map(str, shown.releases), *shown.cut_off):
                shutil.rmtree(site.prefix / "releases" / name)
            advance(shown.release_bytes)
            for path in shown.files:
                advance(path.lstat().st_size)
                path.unlink()
        _take_leftovers(site)


@contextmanager
def _held_models(site: Site, shown: Collection) -> Iterator[None]:
    """Hold the models that go: who makes a run holds the one that it is made on until the run is noted.

    Raises: HostNotReady, when a run on one of them is being made.
    """
    with ExitStack() as held:
        for number in shown.releases:
            for folder in sorted((site.release(number) / "models").glob("**")):
                try:
                    held.enter_context(folder_lock(folder, alone=True, wait=False))
                except BlockingIOError:
                    raise _changed() from None
        yield


def _changed() -> HostNotReady:
    return HostNotReady(
        "What nothing needs is not the same any more.",
        why="a release, a run or a program came or went since it was shown",
        next_step="Run islet gc again and look at what it shows now.",
    )


def tidy(site: Site) -> None:
    """Remove what a killed command left that is neither release nor file: empty folders, its quarantine.

    Raises: HostNotReady, when another command is at work here.
    """
    with alone(site, "gc"):  # which removes quarantines that nobody holds
        _take_leftovers(site)


def _take_leftovers(site: Site) -> None:
    """Empty folders of the store, and runs and data sets whose coming or going was cut off."""
    _remove_empty_folders(site)
    for folder in (site.runs, *site.datasets.glob("[!.]*")):
        if folder.is_dir() and not folder.is_symlink():
            finish_removals(folder)


def _remove_empty_folders(site: Site) -> None:
    for folder in site.store.glob("*"):
        if not any(folder.iterdir()):
            folder.rmdir()
