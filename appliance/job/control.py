"""Starting and stopping a job from another process."""

import os
import subprocess
import sys
import time

from appliance.errors import HostNotReady, StepFailed
from appliance.job.record import busy, not_writable
from appliance.job.state import JobFiles, Kind
from appliance.locale import VARIABLE, Language
from appliance.run.events import first_event
from appliance.run.folder import RunFolder
from appliance.run.lock import ask_to_end, find_worker
from appliance.sentence import say
from appliance.site.layout import Site

START_PATIENCE_S = 60.0
STOP_PATIENCE_S = 60.0
TAIL_LINES = 20


def start_job(run: RunFolder, kind: Kind, site: Site, language: Language | None = None) -> int:
    """Start a job in a session of its own; its process id, once it holds its lock.

    Closing the terminal does not touch it. How it goes on, and how it ended, says `read_job`.
    language: of the report that an export ends with; None: as the environment says

    Raises: HostNotReady, when one is at work already or nothing can be written; StepFailed, when it does
    not come up.
    """
    files = JobFiles(run, kind)
    try:
        if find_worker(files.lock) is not None:
            raise busy(kind)
        child = _popen(files, site, language)
    except OSError as error:
        raise not_writable(error) from error
    deadline = time.monotonic() + START_PATIENCE_S
    while child.poll() is None and find_worker(files.lock) != child.pid:
        if time.monotonic() > deadline:
            child.kill()
            child.wait()
            break
        time.sleep(0.02)
    started = first_event(files.events)
    if child.poll() is None or (started is not None and started.fields.get("pid") == child.pid):
        return child.pid
    if child.returncode == HostNotReady.exit_code and find_worker(files.lock) is not None:
        raise busy(kind)  # another was started in the same moment, and was first
    raise StepFailed(
        say("The work did not come up."),
        why=say("its last lines:\n  {lines}", lines="\n  ".join(_tail(files))),
        next_step=say("Run `islet doctor`, which checks the installation."),
    )


def stop_job(run: RunFolder, kind: Kind) -> bool:
    """Have the job end; whether there was one. What was there before it was started stays whole.

    Raises: HostNotReady, when it is another account's; StepFailed, when it has not ended after a minute.
    """
    lock = JobFiles(run, kind).lock
    pid = ask_to_end(lock)
    if pid is None:
        return False
    deadline = time.monotonic() + STOP_PATIENCE_S
    while find_worker(lock) == pid:
        if time.monotonic() > deadline:
            raise StepFailed(
                say("The work does not stop."),
                why=say(
                    "process {pid} is still at it after {seconds:.0f} s", pid=pid, seconds=STOP_PATIENCE_S
                ),
                next_step=say("Wait for its current step, or end the process."),
            )
        time.sleep(0.05)
    return True


def _popen(files: JobFiles, site: Site, language: Language | None) -> "subprocess.Popen[bytes]":
    run, kind = files.run.root.resolve(), files.kind
    # -P: the current folder must not be able to replace a module.
    command = [sys.executable, "-P", "-m", "appliance.job", str(run), kind]
    command += ["--prefix", str(site.prefix.absolute()), "--state", str(site.state.absolute())]
    files.folder.mkdir(mode=0o750, exist_ok=True)
    log = os.open(files.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, VARIABLE: language} if language else None,
        )
    finally:
        os.close(log)


def _tail(files: JobFiles) -> list[str]:
    try:
        return files.log.read_text(encoding="utf-8", errors="replace").splitlines()[-TAIL_LINES:]
    except OSError:
        return []
