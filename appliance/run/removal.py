"""Removing a folder of rows for good: out of sight at once, overwritten, then unlinked.

Killed at any point it is either whole under its name, or hidden under another and taken by the next removal.
Overwriting reaches the blocks that a file has now, on a file system that writes in place; what no program
reaches (a journal, spare blocks of a solid-state disk, backups) is for `appliance.site.reach` to say.
"""

import os
import re
import shutil
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
    written = 0
    for path in _files(gone):
        if path.lstat().st_nlink == 1:  # one that has another name is another's too
            written += _overwrite(path)
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


def _overwrite(path: Path) -> int:
    """Zeros over the whole file, on the disk before this returns; how many."""
    if not os.access(path, os.W_OK):
        path.chmod(0o600)
    with path.open("r+b", buffering=0) as file:
        length = file.seek(0, os.SEEK_END)
        file.seek(0)
        for start in range(0, length, CHUNK_BYTES):
            file.write(bytes(min(CHUNK_BYTES, length - start)))
        os.fsync(file.fileno())
    return length
