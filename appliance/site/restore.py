"""`islet restore`: put a backup back, on this box or another; nothing that is here is overwritten.

In order: the list is judged; every file is read and hashed; what stands here with other bytes is named, and
nothing is written then. Only afterwards files are copied, aside and hashed again, with their rights and
owners, and brought to the form that this release keeps. Then they get their names: a folder that is not here
by one rename, so that a run comes back whole or not at all; a file by a link, which fails where something
stands. Cut off, the same command goes on: what is here with the same bytes is left as it is.

The audit log of the backup does not replace this box's: it comes to lie beside it, with its signatures, and
this box's log names its head.
"""

import errno
import grp
import hashlib
import os
import pwd
import shutil
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from appliance.bundle.medium import CHUNK_BYTES
from appliance.durable import sync_folder, write_whole
from appliance.errors import HostNotReady
from appliance.progress import Advance, Progress, amount_text
from appliance.sentence import say
from appliance.site import audit
from appliance.site.backup import FILES, copy_hashed
from appliance.site.backup_list import Backup, Saved, damaged, read_list
from appliance.site.layout import Site
from appliance.site.lock import alone
from appliance.site.state_format import CURRENT, NOTE, PREFIX, check_forward, migrate

SHOWN = 3
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_LOG = "audit."
"""How the names of the audit log's files begin."""


@dataclass(frozen=True)
class Restoration:
    """What restoring a backup would do; it was read whole and every hash agreed."""

    backup: Backup
    sha256: str
    """Of its list."""
    new: tuple[Saved, ...]
    """Files and folders that are not here."""
    same: int
    """Files that are here already with the same bytes."""

    @property
    def new_bytes(self) -> int:
        """Room needed."""
        return sum(each.size for each in self.new)


def plan_restoration(site: Site, folder: Path, progress: Progress) -> Restoration:
    """Judge the backup in `folder` and compare it with what is here.

    Raises: BadInput, when it is none; DamagedBundle, when a byte is not as it was saved; HostNotReady, when
    it is of a newer form, something with other bytes stands in the way, or there is too little room.
    """
    backup, sha256 = read_list(folder)
    check_forward(backup.state_format, CURRENT)
    files = {each.sha256: each for each in backup.saved if each.sha256}
    with progress.stage(
        say("checking the backup"), total=sum(each.size for each in files.values())
    ) as advance:
        for each in files.values():
            _check_saved(folder, each, advance)
    wanted = [_placed(each, backup) for each in backup.saved if each.path != NOTE]
    missing = [each for each in wanted if not os.path.lexists(site.state / each.path)]
    absent = {each.path for each in missing}
    there = [each for each in wanted if each.path not in absent]
    other = [each.path for each in there if not _is_same(site.state / each.path, each)]
    if other:
        raise HostNotReady(
            "Something else stands where the backup belongs.",
            why=say(
                "not the same here: {files}",
                files=", ".join(other[:SHOWN]) + (", ..." if other[SHOWN:] else ""),
            ),
            next_step="Move it away, or restore into a site with another --state; nothing was changed.",
        )
    same = sum(1 for each in there if each.sha256)
    found = Restoration(backup, sha256, tuple(missing), same)
    free = shutil.disk_usage(site.state).free
    if free < found.new_bytes:
        raise HostNotReady(
            say("{folder} has too little room.", folder=site.state),
            why=say(
                "{needed} needed, {free} free",
                needed=amount_text(found.new_bytes, "B"),
                free=amount_text(free, "B"),
            ),
            next_step="Free space there; nothing was changed.",
        )
    return found


def restore(site: Site, folder: Path, plan: Restoration, progress: Progress) -> None:
    """Put back what is not here.

    Raises: DamagedBundle, when the backup changed since it was judged; HostNotReady, when another command is
    at work here, or something came to stand in the way.
    """
    with alone(site, "restore"):
        for left in site.state.glob(".restore.*"):
            shutil.rmtree(left)
        aside = site.state / f".restore.{os.getpid()}"
        aside.mkdir(mode=0o700)
        try:
            with progress.stage(say("restoring"), total=plan.new_bytes) as advance:
                for each in plan.new:
                    _copy(folder, each, aside / each.path, advance)
            write_whole(aside / NOTE, f"{PREFIX}{plan.backup.state_format}\n".encode())
            migrate(aside)
            (aside / NOTE).unlink()
            audit.append(site.audit, "restore", list_sha256=plan.sha256, created=plan.backup.created)
            wanted = {each.path: each for each in plan.new}
            _settle(aside, wanted)
            with _folder(aside) as new, _folder(site.state) as here:
                _merge(new, here, "", wanted)
        finally:
            shutil.rmtree(aside, ignore_errors=True)


@contextmanager
def _folder(path: Path) -> Iterator[int]:
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield handle
    finally:
        os.close(handle)


def _placed(saved: Saved, backup: Backup) -> Saved:
    """The audit log beside this box's, under the date of the backup; everything else where it was."""
    if "/" in saved.path or not saved.path.startswith(_LOG):
        return saved
    stamp = backup.created.replace(":", "")
    return Saved(
        f"audit-restored-{stamp}-{saved.path}", saved.size, saved.sha256, 0o440, saved.owner, saved.group
    )


def _check_saved(folder: Path, saved: Saved, advance: Advance) -> None:
    hasher, size = hashlib.sha256(), 0
    try:
        with os.fdopen(_opened(folder, saved), "rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                hasher.update(chunk)
                size += len(chunk)
                advance(len(chunk))
    except OSError:
        raise damaged(saved.path) from None
    if (hasher.hexdigest(), size) != (saved.sha256, saved.size):
        raise damaged(saved.path)


def _is_same(path: Path, saved: Saved) -> bool:
    """Whether what stands at `path` is what was saved; rights and owners do not count."""
    if not saved.sha256 or path.is_symlink():
        return not saved.sha256 and path.is_dir() and not path.is_symlink()
    if not path.is_file() or path.stat().st_size != saved.size:
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == saved.sha256


def _copy(folder: Path, saved: Saved, target: Path, advance: Advance) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if not saved.sha256:
        target.mkdir(exist_ok=True)
        return
    try:
        source = _opened(folder, saved)
    except OSError:
        raise damaged(saved.path) from None
    try:
        found = copy_hashed(source, target, advance, lambda handle: _give(handle, saved))
    finally:
        os.close(source)
    if found != (saved.sha256, saved.size):
        raise damaged(saved.path)


def _opened(folder: Path, saved: Saved) -> int:
    """A handle of the file in the backup. Raises: OSError, also where it is a link."""
    return os.open(folder / FILES / saved.sha256, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)


def _settle(aside: Path, wanted: dict[str, Saved]) -> None:
    """Give the folders under `aside` their rights, and make all names survive a power cut."""
    for top, _, _ in os.walk(aside, topdown=False):
        if saved := wanted.get(str(Path(top).relative_to(aside))):
            _give(top, saved, more=stat.S_IRWXU)  # a folder that its owner may not write cannot be moved
        sync_folder(Path(top))


def _merge(aside: int, here: int, place: str, wanted: dict[str, Saved]) -> None:
    """Give everything in the folder `aside` its name in the folder `here`, which is `place` of the state.

    By their handles: a folder that is here may belong to somebody who puts a link in its place meanwhile.
    """
    for name in sorted(os.listdir(aside)):  # noqa: PTH208  (a handle, not a path)
        path = f"{place}/{name}" if place else name
        try:
            if not stat.S_ISDIR(os.stat(name, dir_fd=aside, follow_symlinks=False).st_mode):
                os.link(name, name, src_dir_fd=aside, dst_dir_fd=here, follow_symlinks=False)
                continue
            try:
                inner = os.open(name, _FOLDER, dir_fd=here)
            except FileNotFoundError:
                os.rename(name, name, src_dir_fd=aside, dst_dir_fd=here)
                _narrow(here, name, place, wanted)
                continue
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTDIR, errno.ELOOP):
                raise
            raise HostNotReady(
                "Something else stands where the backup belongs.",
                why=say("not the same here: {files}", files=path),
                next_step="Move it away and run the same command again: it goes on.",
            ) from error
        outer = os.open(name, _FOLDER, dir_fd=aside)
        try:
            _merge(outer, inner, path, wanted)
        finally:
            os.close(outer)
            os.close(inner)
    os.fsync(here)


def _narrow(here: int, name: str, place: str, wanted: dict[str, Saved]) -> None:
    """Take from folders that arrived what they had for the move only."""
    for top, _, _, folder in os.fwalk(name, topdown=False, dir_fd=here):
        saved = wanted.get(f"{place}/{top}" if place else top)
        if saved and saved.mode & stat.S_IRWXU != stat.S_IRWXU:
            os.fchmod(folder, saved.mode)


def _give(place: str | int, saved: Saved, *, more: int = 0) -> None:
    """Rights, and where root restores, the owner by name: numbers differ from box to box.

    place: a path or an open file; more: rights beside those that were saved
    """
    if os.geteuid() == 0:
        os.chown(place, _id(saved.owner, ((e.pw_name, e.pw_uid) for e in pwd.getpwall())), -1)
        os.chown(place, -1, _id(saved.group, ((e.gr_name, e.gr_gid) for e in grp.getgrall())))
    os.chmod(place, saved.mode | more)  # noqa: PTH101  (an open file has no path)


def _id(name: str, known: Iterable[tuple[str, int]]) -> int:
    """The number of the account or group of this name; -1, which changes nothing, where there is none."""
    return next((number for each, number in known if each == name), -1)
