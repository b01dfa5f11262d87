"""One process a piece of work: a lock that the system takes back when the process ends, however it ends."""

import errno
import fcntl
import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from appliance.errors import HostNotReady
from appliance.sentence import say

PATIENCE_S = 2.0
"""How long a new worker waits; who only asks whether the lock is taken holds it for an instant."""


@contextmanager
def worker_lock(
    path: Path, *, refusal: HostNotReady | None = None, patience_s: float = PATIENCE_S
) -> Iterator[None]:
    """Hold the lock at `path` for this process, recorded with its id and start time.

    refusal: what is raised when another worker has it; that the run is being trained, if None

    Raises: HostNotReady, when another worker still has it after `patience_s`.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o640)
    try:
        if not _take(handle, patience_s):
            raise refusal or in_use(path.parent)
        os.ftruncate(handle, 0)
        document = {"pid": os.getpid(), "started": start_time(os.getpid())}
        os.pwrite(handle, json.dumps(document).encode(), 0)
        yield
    finally:
        os.close(handle)


@contextmanager
def folder_lock(folder: Path, *, alone: bool, wait: bool = True) -> Iterator[int]:
    """Hold a folder of somebody else's, which needs only to be read for it; the open folder.

    Who makes a run holds its base model, with others, until it is noted; who removes a model, alone.

    Raises: OSError, when it cannot be opened; BlockingIOError, when another holds it and nobody waits.
    """
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | (0 if wait else fcntl.LOCK_NB))
        yield handle
    finally:
        os.close(handle)


def in_use(run: Path) -> HostNotReady:
    """The refusal of a second worker for the run in the folder `run`."""
    return HostNotReady(
        say("{run} is being trained already.", run=run),
        why=say("a worker holds its lock"),
        next_step=say("Watch that one, or stop it first."),
    )


def find_worker(path: Path) -> int | None:
    """Process id of the worker that holds the lock; None if nobody does.

    The id counts only while the lock is held and the process started when it was written: ids are
    given again.
    """
    try:
        # Root asks too, in folders of others: a link in its place leads nowhere, a pipe holds nobody up.
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if error.errno == errno.ELOOP:
            return None
        raise
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _recorded(handle)
        return None
    finally:
        os.close(handle)


def ask_to_end(path: Path) -> int | None:
    """Send SIGTERM to the worker that holds the lock; its process id, None if nobody does.

    The signal goes only to the process that holds the lock and was started when the lock says.

    Raises: HostNotReady, when it is another account's.
    """
    pid = find_worker(path)
    if pid is None:
        return None
    try:
        os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:
        return None
    except PermissionError as error:
        raise HostNotReady(
            say("This work was started from another account."),
            why=say("process {pid} is not yours", pid=pid),
            next_step=say("Ask who started it, or an administrator, to stop it."),
        ) from error
    return pid


def start_time(pid: int) -> int | None:
    """When a process started, in clock ticks since boot; None if there is none. Source: proc(5), field 22."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The second field is the program's name in brackets and may hold anything.
    return int(stat.rpartition(")")[2].split()[19])


def _take(handle: int, patience_s: float) -> bool:
    deadline = time.monotonic() + patience_s
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        else:
            return True


def _recorded(handle: int) -> int | None:
    try:
        document = json.loads(os.pread(handle, 1000, 0))
        pid, started = int(document["pid"]), int(document["started"])
    except (ValueError, KeyError, TypeError):
        return None
    return pid if start_time(pid) == started else None
