"""The folder that a bundle is made in: beside its final place, held by one build, whole or gone.

- It is called `OUT.partial`, and gets the name `OUT` by one rename when everything in it is done.
- Who works in it holds a lock on it, which goes with the process, however that ends: a second build
  refuses, and what a killed one left is removed by the next.
- Temporary files of every tool go below it, never into the system's place for them.
- Ctrl-C, SIGTERM, a closed terminal and a full disk remove it.
"""

import fcntl
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from appliance.durable import DISK_FULL
from appliance.errors import BadInput, HostNotReady, StepFailed
from appliance.process import unwinds_on
from appliance.progress import amount_text

SCRATCH = "work"
"""The folder inside for what does not belong to the bundle."""

PATIENCE_S = 10
"""How long something may go on writing into a folder that is being removed."""


@contextmanager
def workplace(out: Path) -> Iterator[Path]:
    """An empty folder that is called `out` when the context ends well, and is gone when it does not.

    It holds an empty folder SCRATCH, for what shall not stay; whoever works in it removes that.

    Raises: BadInput, when `out` exists; StepFailed, when another build is at work on it; HostNotReady, when
    the disk is full.
    """
    partial = out.with_name(out.name + ".partial")
    check_free(out)
    with unwinds_on(signal.SIGTERM, signal.SIGHUP):
        yield from _worked_in(out, partial)


def _worked_in(out: Path, partial: Path) -> Iterator[Path]:
    """`partial`, ours and empty; at the end renamed to `out`, or removed."""
    try:
        handle = _claim(out, partial)
    except OSError as error:
        if error.errno in DISK_FULL:
            raise _full(out) from error
        raise BadInput(
            f"{out} cannot be made.",
            why=error.strerror or str(error),
            next_step="Give an --out in a folder that you may write to.",
        ) from error
    try:
        with _temporary_files_in(partial / SCRATCH / "tmp"):
            yield partial
        check_free(out)
        partial.rename(out)
    except BaseException as error:
        _remove(partial)
        if isinstance(error, OSError) and error.errno in DISK_FULL:
            raise _full(out) from error
        raise
    finally:
        os.close(handle)


def check_free(out: Path) -> None:
    """Pass if nothing is called `out`. Raises: BadInput."""
    if out.exists() or out.is_symlink():
        raise BadInput(
            f"{out} exists.", why="a finished bundle is never changed", next_step="Give another --out."
        )


def _claim(out: Path, partial: Path) -> int:
    """Make `partial` ours and empty; the handle that holds its lock. Raises: StepFailed, BadInput."""
    partial.mkdir(parents=True, exist_ok=True)
    handle = os.open(partial, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    is_ours = False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Between opening and locking, the build that was there may have finished and renamed it.
        if not os.path.samestat(os.fstat(handle), partial.lstat()):
            raise BlockingIOError
        is_ours = True
        check_free(out)
        for left in partial.iterdir():
            shutil.rmtree(left) if left.is_dir() and not left.is_symlink() else left.unlink()
        (partial / SCRATCH / "tmp").mkdir(parents=True)
    except (BlockingIOError, FileNotFoundError):
        os.close(handle)
        raise StepFailed(
            f"Another build is at work on {out}.",
            why=f"it holds {partial}",
            next_step="Wait until it has ended, or give another --out.",
        ) from None
    except BaseException:
        if is_ours:  # else it may be another build's, which is at work there
            _remove(partial)
        os.close(handle)
        raise
    return handle


def _remove(partial: Path) -> None:
    """Remove our folder; what a thread or a program of ours is still writing there comes to its end."""
    until = time.monotonic() + PATIENCE_S
    while True:
        shutil.rmtree(partial, ignore_errors=True)
        if not partial.exists() or time.monotonic() > until:
            return
        time.sleep(0.1)


@contextmanager
def _temporary_files_in(folder: Path) -> Iterator[None]:
    """Temporary files of this process and of what it starts go into `folder`."""
    named, cached = os.environ.get("TMPDIR"), tempfile.tempdir
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder.resolve())
    try:
        yield
    finally:
        tempfile.tempdir = cached
        if named is None:
            del os.environ["TMPDIR"]
        else:
            os.environ["TMPDIR"] = named


def _full(out: Path) -> HostNotReady:
    free = shutil.disk_usage(nearest(out)).free
    return HostNotReady(
        f"There is no room left for {out}.",
        why=f"the disk of {nearest(out)} is full; without this build {amount_text(free, 'B')} are free",
        next_step="Free space there, or give an --out on another disk; the cache is kept.",
    )


def nearest(path: Path) -> Path:
    """`path`, or the nearest folder above it that exists."""
    return next(folder for folder in (path.absolute(), *path.absolute().parents) if folder.is_dir())
