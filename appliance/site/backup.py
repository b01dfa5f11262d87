"""`islet backup`: data, runs, exports and the audit log, hashed, in a folder on another disk.

May be made while runs are active: a run that a worker or a job is at work on is left out whole, and named.
Every file is read once and stands in the backup with the hash of what was read; the list comes last, so
that a backup that was cut off is none. The private key of the audit log stays here: whoever has the backup
must not be able to write entries.
"""

import errno
import grp
import hashlib
import os
import pwd
import re
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from appliance.bundle.verify import clock
from appliance.durable import make_folder, remove_parts, sync_folder, write_whole
from appliance.errors import BadInput, HostNotReady
from appliance.progress import Advance, Progress, amount_text
from appliance.sentence import reason, say
from appliance.site import audit
from appliance.site.backup_list import LIST, SUMS, Backup, Saved, format_list, sums_line
from appliance.site.layout import Site
from appliance.site.lock import alone
from appliance.site.releases import current_release
from appliance.site.state_format import read_format
from appliance.site.use import active_runs

CHUNK_BYTES = 4 * 1024 * 1024
FILES = "files"
_LEFT_OUT = (".audit.", "audit.key", ".doctor-", ".restore.")
"""How names right under the state folder begin that no backup holds: locks, a private key, work at hand."""
_ASIDE = re.compile(r"\.backup\.json(\.sha256)?\.[0-9]+\.part")
"""What a list is called while it is written."""


@dataclass(frozen=True)
class Made:
    """A backup that was made."""

    folder: Path
    files: int
    size: int
    """Bytes of the files, each counted once for every place where it stands."""
    skipped: tuple[str, ...]
    sha256: str
    """Of its list: written down elsewhere, it shows any change."""


def make_backup(site: Site, folder: Path, progress: Progress) -> Made:
    """Back the state up into `folder`, which is made, or empty.

    Raises: BadInput, when the folder cannot take one; HostNotReady, when there is no room, a file cannot be
    read, or another command is at work here.
    """
    _check_place(site, folder)
    with alone(site, "backup"):
        now = current_release(site)
        audit.append(site.audit, "backup", folder=str(folder))
        paths, skipped = _choose(site)
        total = sum(_size(path) for path in paths)
        _make_place(folder)
        _check_room(folder, total)
        with progress.stage(say("backing up"), total=total) as advance:
            saved, odd = _save_all(site, folder / FILES, paths, advance)
        # A worker that came up meanwhile may have changed what was read before.
        late = {name for name in active_runs(site) if f"runs/{name}" not in skipped}
        kept = [each for each in saved if not _is_of(each.path, late)]
        told = tuple(sorted({*skipped, *odd, *(f"runs/{name}" for name in late)}))
        backup = Backup(clock(), now.product, now.number, read_format(site.state), told, tuple(kept))
        _remove_unlisted(folder / FILES, {each.sha256 for each in kept})
        data = format_list(backup)
        sha256 = hashlib.sha256(data).hexdigest()
        write_whole(folder / SUMS, sums_line(sha256))
        write_whole(folder / LIST, data)
    return Made(folder, sum(1 for e in kept if e.sha256), sum(e.size for e in kept), told, sha256)


def _is_of(path: str, runs: set[str]) -> bool:
    steps = path.split("/")
    return steps[0] == "runs" and len(steps) > 1 and steps[1] in runs


def _check_place(site: Site, folder: Path) -> None:
    """A folder outside the site that is not there, empty, or holds what a backup that was cut off left."""
    why = None
    if folder.resolve().is_relative_to(site.state.resolve()) or folder.resolve().is_relative_to(
        site.prefix.resolve()
    ):
        why = say("it lies in what is backed up")
    elif folder.exists() and not folder.is_dir():
        why = say("it is not a folder")
    elif folder.exists() and not _is_cut_off(folder):
        why = say("something lies in it already")
    if why:
        raise BadInput(
            say("No backup can be made in {folder}.", folder=folder),
            why=why,
            next_step="Give a new folder on another disk, one for each backup.",
        )


def _make_place(folder: Path) -> None:
    try:
        make_folder(folder)
        (folder / FILES).mkdir(exist_ok=True)
        remove_parts(folder)
    except PermissionError as error:
        raise HostNotReady(
            say("No backup can be made in {folder}.", folder=folder),
            why=reason(error),
            next_step="Give a folder where you may write, on another disk.",
        ) from error


def _is_cut_off(folder: Path) -> bool:
    """Whether a folder is empty or holds what a backup that was cut off left: the list comes last."""
    found = {path.name for path in folder.iterdir()}
    ours = {FILES, SUMS, *(name for name in found if _ASIDE.fullmatch(name))}
    return found <= ours and (not found or FILES in found)


def _check_room(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise HostNotReady(
            say("{folder} has too little room.", folder=folder),
            why=say(
                "{needed} needed, {free} free", needed=amount_text(needed, "B"), free=amount_text(free, "B")
            ),
            next_step="Free space there, or give a folder on a larger disk.",
        )


def _choose(site: Site) -> tuple[list[Path], list[str]]:
    """Every file and folder to save, folders first; and what is left out, in names of the state."""
    busy = set(active_runs(site))
    skipped = [f"runs/{name}" for name in busy]
    paths: list[Path] = []
    for top, folders, files in os.walk(site.state, onerror=_unreadable):
        here = Path(top)
        if here == site.state:
            folders[:] = [name for name in folders if not name.startswith(_LEFT_OUT)]
            files = [name for name in files if not name.startswith(_LEFT_OUT)]
        if here == site.runs:  # a run that is being made has a hidden name
            folders[:] = [name for name in folders if name not in busy and not name.startswith(".")]
        if site.datasets in (here, here.parent):  # as has a data set that comes, or goes
            folders[:] = [name for name in folders if not name.startswith(".")]
        folders.sort()
        # The signature of the audit log before the log: what is added in between is then only not signed yet.
        for path in (
            *(here / name for name in folders),
            *(here / name for name in sorted(files, reverse=True)),
        ):
            if stat.S_IFMT(path.lstat().st_mode) in (stat.S_IFREG, stat.S_IFDIR):
                paths.append(path)
            else:
                skipped.append(str(path.relative_to(site.state)))
    return paths, sorted(skipped)


def _unreadable(error: OSError) -> None:
    raise HostNotReady(
        say("{path} cannot be read.", path=error.filename),
        why=error.strerror or str(error),
        next_step="Run this as an account that may read all of the state, often root.",
    )


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size if path.is_file() else 0
    except FileNotFoundError:
        return 0


def _save_all(site: Site, store: Path, paths: list[Path], advance: Advance) -> tuple[list[Saved], list[str]]:
    """What was saved; what became no plain file since it was seen.

    Root reads folders of others here, who may put a link in the place of a folder.
    """
    saved, odd = [], []
    for path in paths:
        name = str(path.relative_to(site.state))
        try:
            with _opened(site.state, name) as handle:
                status, sha256, size = os.fstat(handle), "", 0
                if stat.S_ISREG(status.st_mode):
                    sha256, size = copy_hashed(handle, store / ".part", advance)
                    (store / ".part").rename(store / sha256)
                elif not stat.S_ISDIR(status.st_mode):
                    raise NotADirectoryError(path)
        except FileNotFoundError:
            continue  # a checkpoint that was thinned out since it was seen
        except PermissionError as error:
            _unreadable(error)
        except OSError as error:
            if error.errno not in (errno.ELOOP, errno.ENOTDIR, None):
                raise
            odd.append(name)
        else:
            saved.append(Saved(name, size, sha256, status.st_mode & 0o777, _owner(status), _group(status)))
    return saved, odd


@contextmanager
def _opened(state: Path, name: str) -> Iterator[int]:
    """A handle of what `name` is under the state folder, by way of folders only.

    Raises: OSError, with ELOOP or ENOTDIR where a link stands in the way.
    """
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
    handle = os.open(state, flags | os.O_DIRECTORY)
    try:
        *folders, last = name.split("/")
        for step, kind in (*((each, os.O_DIRECTORY) for each in folders), (last, 0)):
            inner = os.open(step, flags | os.O_NOFOLLOW | kind, dir_fd=handle)
            os.close(handle)
            handle = inner
        yield handle
    finally:
        os.close(handle)


def _remove_unlisted(store: Path, listed: set[str]) -> None:
    """What a backup that was cut off had saved and this one does not list: it may be gone here for good."""
    for path in store.iterdir():
        if path.name not in listed:
            path.unlink()
    sync_folder(store)


def copy_hashed(
    source: int,
    target: Path,
    advance: Callable[[int], None],
    settle: Callable[[int], None] = lambda handle: None,
) -> tuple[str, int]:
    """Copy an open file, never over a link, synced; the SHA-256 and the bytes of what was written.

    source: its handle, which stays open
    settle: gives the open copy what else is to survive a power cut with its bytes
    """
    hasher, size = hashlib.sha256(), 0
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
    with os.fdopen(os.open(target, flags, 0o600), "wb") as write:
        while chunk := os.read(source, CHUNK_BYTES):
            hasher.update(chunk)
            write.write(chunk)
            size += len(chunk)
            advance(len(chunk))
        write.flush()
        settle(write.fileno())
        os.fsync(write.fileno())
    return hasher.hexdigest(), size


def _owner(status: os.stat_result) -> str:
    with suppress(KeyError):
        return pwd.getpwuid(status.st_uid).pw_name
    return ""


def _group(status: os.stat_result) -> str:
    with suppress(KeyError):
        return grp.getgrgid(status.st_gid).gr_name
    return ""
