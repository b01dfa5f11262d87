"""One at a time: who may change what is installed here, and who is at it already.

Two locks, because `install.sh` runs before there is a Python and has no `flock` that every box has:

- a folder `quarantine.PID` under the prefix says that this process is at work; it counts while the process
  lives. `install.sh` makes one too, and looks for others after it has made its own;
- the kernel's lock on `.lock`, which is let go of when the process ends, however it ends.

Installing holds the folder from its first line and the kernel's lock in its Python part; every other command
takes both.
"""

import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from appliance.bundle import names
from appliance.errors import HostNotReady
from appliance.run.lock import start_time
from appliance.sentence import reason, say
from appliance.site.layout import Site

MARK = ".at-work"
"""In a quarantine folder: `START COMMAND`, so that a process that got the number anew does not count."""
_OURS = re.compile(r"quarantine\.[1-9][0-9]{0,8}")
"""What is called otherwise is somebody else's; install.sh holds the same."""
_WAIT = "Wait until it has ended."


@contextmanager
def alone(site: Site, command: str) -> Iterator[None]:
    """Be the only one that changes what is installed; `command` is what others are told is at work.

    Raises: HostNotReady, when another is at work, or this account may not write here.
    """
    with ExitStack() as held:
        try:
            held.enter_context(kernel_lock(site, command))
            held.enter_context(_folder(site, command))
        except PermissionError as error:
            raise HostNotReady(
                say("{folder} cannot be written.", folder=site.prefix),
                why=reason(error),
                next_step="Run this as the account that installed Islet here, often root.",
            ) from error
        yield


@contextmanager
def kernel_lock(site: Site, command: str) -> Iterator[None]:
    """Hold the site's lock; the kernel lets go of it when this process ends, however it ends.

    Raises: HostNotReady, when another process has it, with that process' number.
    """
    path = site.prefix / ".lock"
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600), "r+b") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            who = lock.read(100).decode("ascii", "replace").split()
            raise _at_work(site, *(who if len(who) == 2 else ("?", "install"))) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()} {command}\n".encode())
        lock.flush()
        yield


@contextmanager
def _folder(site: Site, command: str) -> Iterator[None]:
    mine = site.prefix / f"quarantine.{os.getpid()}"
    shutil.rmtree(mine, ignore_errors=True)  # of a process that had this number before a power cut
    mine.mkdir(mode=0o700)
    try:
        (mine / MARK).write_text(f"{start_time(os.getpid())} {command}\n", encoding="ascii")
        for other in site.prefix.glob("quarantine.*"):
            if other == mine or not is_quarantine(other):
                continue
            if found := _who_made(other):
                raise _at_work(site, other.suffix[1:], found)
            shutil.rmtree(other, ignore_errors=True)  # of a command that was killed
        for cut in site.prefix.glob("releases/*"):
            if not names.NUMBER.fullmatch(cut.name) or (cut / "installed.json").exists():
                continue
            if pid := find_named(cut):
                raise _at_work(site, str(pid), "install")
        yield
    finally:
        shutil.rmtree(mine, ignore_errors=True)


def is_quarantine(path: Path) -> bool:
    """Whether `path` is what a process of ours is at work in, or was."""
    return _OURS.fullmatch(path.name) is not None


def _who_made(folder: Path) -> str | None:
    """The command whose quarantine this is, while it or what it started lives; None if nobody does."""
    pid = folder.suffix[1:]
    if pid.isdigit():
        mark = (folder / MARK).read_text(encoding="ascii").split() if (folder / MARK).is_file() else []
        if len(mark) == 2 and mark[0] == str(start_time(int(pid))):
            return mark[1]
        if b"install.sh" in _command_line(Path("/proc", pid)):
            return "install"
    return "install" if find_named(folder) else None


def find_named(folder: Path) -> int | None:
    """A running program that was given a path in `folder`, whoever runs it: its process id."""
    needle = os.fsencode(f"{folder}/")
    for process in Path("/proc").glob("[0-9]*"):
        if needle in _command_line(process) and int(process.name) != os.getpid():
            return int(process.name)
    return None


def _command_line(process: Path) -> bytes:
    try:
        return (process / "cmdline").read_bytes()
    except OSError:
        return b""  # it has ended


def _at_work(site: Site, pid: str, command: str) -> HostNotReady:
    return HostNotReady(
        say("Another install is running here.")
        if command == "install"
        else say("islet {command} is running here.", command=command),
        why=say("process {pid} is at work in {prefix}", pid=pid, prefix=site.prefix),
        next_step=_WAIT,
    )
