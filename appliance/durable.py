"""Writing so that a reader sees a file or a folder whole or not at all, also after a power cut.

Standard library only.
"""

import errno
import os
from pathlib import Path

DISK_FULL = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))
"""What a write fails with where there is no room: on the disk, in a quota, under a limit."""


def write_whole(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Put `content` at `path`: written aside in the same folder, synced, renamed.

    Raises: OSError, when the disk is full or not writable; what was at `path` before is still there.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        # Nobody else's until it has its mode: it may be a key, or a patient's words.
        handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(handle, mode)
            os.fsync(handle)
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


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
