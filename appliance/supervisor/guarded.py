"""Looking into a run folder that belongs to somebody else, as root: through handles, never through links.

Every name is opened relative to the handle of the folder before it, links refused, and what is opened must be
a plain file or folder of the trainer. What it says is the trainer's word.
"""

import hashlib
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from appliance.errors import BadInput, HostNotReady
from appliance.sentence import reason, say

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # a pipe in its place must not hold us up
TAIL_BYTES = 256 * 1024
ENDED = ("finished", "stopped", "failed")


@contextmanager
def opened_run(runs: Path, name: str, uid: int | None = None) -> Iterator[int]:
    """A handle of the run folder `name`, which belongs to the account `uid` (None: whose ever it is).

    Raises: BadInput, when there is none; HostNotReady, when it is another account's.
    """
    with _handle(os.open(runs, _FOLDER)) as parent:
        try:
            folder = os.open(name, _FOLDER, dir_fd=parent)
        except OSError as error:
            raise BadInput(
                say("There is no run {run}.", run=name),
                why=reason(error),
                next_step="Name one that `islet runs list` names.",
            ) from error
        with _handle(folder):
            owner = os.fstat(folder).st_uid
            if uid is not None and owner != uid:
                raise HostNotReady(
                    say("This run is somebody else's."),
                    why=say(
                        "{run} belongs to account {owner}, you are {uid}", run=name, owner=owner, uid=uid
                    ),
                    next_step="Ask who made it, or an administrator.",
                )
            yield folder


def share_run(folder: int, gid: int, mode: int) -> None:
    """Let the group `gid` read the run folder with this handle, and what will be made in it."""
    os.fchown(folder, -1, gid)
    os.fchmod(folder, mode)


def plan_sha256(folder: int) -> str:
    """SHA-256 of the run's plan; empty when there is none that can be read as one."""
    content = _content(folder, "plan.toml", 1_000_000)
    return hashlib.sha256(content).hexdigest() if content else ""


def told_state(folder: int) -> str:
    """The state that the run's events tell last; empty when they tell none."""
    for line in reversed(_content(folder, "events.jsonl", TAIL_BYTES).split(b"\n")):
        with suppress(ValueError, RecursionError):
            event = json.loads(line)
            if isinstance(event, dict) and event.get("kind") == "state":
                state = event.get("state")
                return state if state in (*ENDED, "preparing", "training") else ""
    return ""


def _content(folder: int, name: str, most: int) -> bytes:
    """The last `most` bytes of a plain file that belongs to whose the folder is; empty for anything else."""
    try:
        file = os.open(name, _FILE, dir_fd=folder)
    except OSError:
        return b""
    with _handle(file):
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.fstat(folder).st_uid:
            return b""
        return os.pread(file, most, max(0, status.st_size - most))


@contextmanager
def _handle(number: int) -> Iterator[int]:
    try:
        yield number
    finally:
        os.close(number)
