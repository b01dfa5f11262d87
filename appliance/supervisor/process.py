"""Processes of trainers: starting one, knowing it again after a restart, asking it to end."""

import os
import pwd
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from appliance.run.lock import start_time
from appliance.site.roles import groups_of
from appliance.supervisor.launch import worker_command

PATH = "/usr/local/bin:/usr/bin:/bin"
KEPT = ("LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "OMP_WAIT_POLICY", "TZ")
"""What of its own environment the supervisor passes on: an administrator's settings, none of a person's."""


def launch(run: Path, uid: int) -> "subprocess.Popen[bytes]":
    """Start the worker of `run` as the account `uid`: no shell, a clean environment, a session of its own.

    Raises: OSError; KeyError, when there is no such account; subprocess.SubprocessError.
    """
    command = [sys.executable, "-P", "-m", "appliance.supervisor.launch", str(run)]
    ours = os.geteuid() == uid
    groups = [] if ours else groups_of(uid)
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        env=environment(run, uid),
        start_new_session=True,
        umask=0o027,
        user=None if ours else uid,
        group=None if ours else groups[0],
        extra_groups=None if ours else groups,
    )


def environment(run: Path, uid: int) -> dict[str, str]:
    """All that a worker's environment holds. Caches go where the run is, and nowhere into a person's home."""
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = str(uid)
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    return {"PATH": PATH, "HOME": str(run), "USER": name, "LOGNAME": name, "LANG": "C.UTF-8", **kept}


def boot_id() -> str:
    """What is another after every boot. Source: random(4)."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def is_alive(pid: int, started: int) -> bool:
    """Whether the very process that was started then still runs; one that waits to be reaped does not."""
    if not pid or start_time(pid) != started:
        return False
    with suppress(OSError):
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        return stat.rpartition(")")[2].split()[0] not in ("Z", "X")
    return False


def ask_to_end(pid: int, started: int) -> bool:
    """SIGTERM to that very process; whether it was there. Its handle is taken before it is looked at."""
    try:
        handle = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        if not is_alive(pid, started):
            return False
        signal.pidfd_send_signal(handle, signal.SIGTERM)
    except ProcessLookupError:
        return False
    finally:
        os.close(handle)
    return True


def find_launched(run: Path, uid: int) -> int | None:
    """The process of the account `uid` that works on `run`: started, and not written down yet."""
    worker = worker_command(run)[-2:]
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with suppress(OSError):
            if entry.stat().st_uid != uid:
                continue
            words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
            if words[-1:] == worker[1:] and words[-2:-1] in ([worker[0]], ["appliance.supervisor.launch"]):
                return int(entry.name)
    return None
