"""Writing so that a reader sees a file or a folder whole or not at all, also after a power cut.

Standard library only.
"""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

DISK_FULL = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))
"""What a write fails with where there is no room: on the disk, in a quota, under a limit."""

DISK_FAULTS = DISK_FULL | {errno.EIO, errno.EROFS}
"""What a write fails with where the disk, not what is written or who writes, is the cause."""

_PART = re.compile(r"\..+\.([0-9]+)\.part")
"""The name under which `whole_file` writes aside; it holds the number of the process."""


def write_whole(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Put `content` at `path`: written aside in the same folder, synced, renamed.

    Raises: OSError, when the disk is full or not writable; what was at `path` before is still there.
    """
    with whole_file(path, mode=mode) as file:
        file.write(content)


@contextmanager
def whole_file(path: Path, *, mode: int = 0o644) -> Iterator[BinaryIO]:
    """A file to write to, which is at `path` once the block has ended well; else nothing has changed there.

    Raises: OSError, when the disk is full or not writable; what was at `path` before is still there.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        # Nobody else's until it has its mode: it may be a key, or a patient's words.
        handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fchmod(handle, mode)
            os.fsync(handle)
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def remove_parts(folder: Path) -> None:
    """Remove what `whole_file` left in `folder` where it was killed; what a living process writes stays."""
    for path in folder.glob(".*.part"):
        match = _PART.fullmatch(path.name)
        if match and not _is_alive(match[1]):
            with suppress(OSError):  # somebody else's, who removes it when he writes here again
                path.unlink(missing_ok=True)


def _is_alive(pid: str) -> bool:
    """Whether a process may still write. One that was killed and that its parent has not asked for may not:
    it keeps its number, for ever in a container whose first process asks for none.
    """
    try:
        stat = Path("/proc", pid, "stat").read_bytes()  # proc(5)
    except (FileNotFoundError, ProcessLookupError):
        return False
    except OSError:
        return True
    return stat.rpartition(b")")[2].split()[0] not in (b"Z", b"X")


def make_folder(folder: Path) -> None:
    """Make `folder` and those above it that are not there, and make all their names survive a power cut.

    Raises: OSError, when one cannot be made.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for parent in folder.parents:  # those that are there may have been made by a run that was cut off
        with suppress(PermissionError):  # somebody else's, which may be entered and not read
            sync_folder(parent)


def sync_disk(folder: Path) -> None:
    """Make everything on the file system of `folder` survive a power cut, whoever wrote it.

    One pass for thousands of files that tar and pip wrote. `sync` would do the same for every disk of the
    box, the medium too, and would not tell of a write that failed; this does, from Linux 5.8 on (syncfs(2)).

    Raises: OSError, when something could not be written.
    """
    import ctypes  # of use here alone, and not to be paid for by every command

    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(handle) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(folder))
    finally:
        os.close(handle)


def sync_file(path: Path) -> None:
    """Make the bytes of the file at `path` survive a power cut."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` survive a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def switch_link(link: Path, target: str) -> None:
    """Make `link` point to `target` by one rename: readers see the old target or the new one."""
    aside = link.with_name(f".{link.name}.new")
    aside.unlink(missing_ok=True)
    aside.symlink_to(target)
    aside.rename(link)
    sync_folder(link.parent)
