"""A supervisor of this account's own, as a process: for tests that need no other account."""

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from appliance.errors import HostNotReady
from appliance.supervisor import client


def long_state(tmp_path: Path) -> Path:
    """The state folder of a site of this account, under a path longer than a socket's may be."""
    folder = tmp_path / ("long " * 12) / ("状态" * 10)
    (folder / "runs").mkdir(parents=True)
    return folder


def until(holds: Callable[[], object], what: str) -> None:
    """Wait for `what`."""
    deadline = time.monotonic() + 180
    while not holds():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.05)


@contextlib.contextmanager
def supervisor(state: Path) -> Iterator["subprocess.Popen[str]"]:
    """A supervisor that answers."""
    process = start_supervisor(state)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def start_supervisor(state: Path) -> "subprocess.Popen[str]":
    command = [
        sys.executable,
        "-P",
        "-m",
        "appliance.supervisor",
        "--prefix",
        str(state),
        "--state",
        str(state),
    ]
    with (state / "supervisor.log").open("a") as log:
        process = subprocess.Popen(command, text=True, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    until(lambda: answers(state) or process.poll() is not None, "an answer")
    assert process.poll() is None, (state / "supervisor.log").read_text()
    return process


def answers(state: Path) -> bool:
    try:
        client.status(state)
    except HostNotReady:
        return False
    return True
