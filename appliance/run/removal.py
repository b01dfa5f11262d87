"""Removing a folder of rows for good: out of sight at once, overwritten, then unlinked.

Killed at any point it is either whole under its name, or hidden under another and taken by the next removal.
Overwriting reaches the blocks that a file has now, on a file system that writes in place; what no program
reaches (a journal, spare blocks of a solid-state disk, backups) is for `appliance.site.reach` to say.
"""

import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from appliance.durable import sync_folder

_LEFT = re.compile(r"\..+\.([0-9]+)\.gone|\.new\.([0-9]+)")
"""Names of folders that go, and of those that come: with the number of the process at work on them."""
CHUNK_BYTES = 1 << 20


def remove_folder(folder: Path) -> int:
    """Remove `folder` and all in it; the bytes that were overwritten.

    Raises: OSError, when it cannot be: `folder` is then still there, or hidden and taken the next time.
    """
    finish_removals(folder.parent)
    gone = folder.with_name(f".{folder.name}.{os.getpid()}.gone")
    folder.rename(gone)
    sync_folder(folder.parent)
    return _take_away(gone)


def finish_removals(parent: Path) -> None:
    """Remove what a removal or an addition that was cut off left in `parent`, as far as it is this account's.

    What belongs to a living process stays.
    """
    for path in parent.glob(".*"):
        match = _LEFT.fullmatch(path.name)
        if match and not Path("/proc", match[1] or match[2]).exists() and not path.is_symlink():
            with suppress(OSError):
                _take_away(path)


def folder_bytes(folder: Path) -> int:
    """Bytes of all plain files in `folder`."""
    return sum(path.lstat().st_size for path in _files(folder))


def _take_away(gone: Path) -> int:
    """Through handles, never through a link: root does this in folders of others, who may change them."""
    written = 0
    for _, _, names, folder in os.fwalk(gone):
        for name in names:
            with suppress(FileNotFoundError):
                written += _overwrite(name, folder)
    shutil.rmtree(gone)
    sync_folder(gone.parent)
    return written


def _files(folder: Path) -> Iterator[Path]:
    """Plain files below `folder`; no link is followed."""
    for top, _, names in os.walk(folder):
        for name in names:
            path = Path(top) / name
            if path.is_file() and not path.is_symlink():
                yield path


def _overwrite(name: str, folder: int) -> int:
    """Zeros over the whole of a plain file, on the disk before this returns; how many.

    Nothing is written to one that has another name: it is another's too. folder: its handle
    """
    held = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    try:
        status, same = os.fstat(held), f"/proc/self/fd/{held}"
        if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
            return 0
        if not os.access(same, os.W_OK):
            os.chmod(same, 0o600)  # noqa: PTH101  (the open file, whatever has its name now)
        with os.fdopen(os.open(same, os.O_WRONLY | os.O_CLOEXEC), "wb", buffering=0) as file:
            for start in range(0, status.st_size, CHUNK_BYTES):
                file.write(bytes(min(CHUNK_BYTES, status.st_size - start)))
            os.fsync(file.fileno())
    finally:
        os.close(held)
    return status.st_size
