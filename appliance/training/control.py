"""Starting, watching and stopping a worker from another process. Imports no torch."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from appliance.data.registry.reference import place
from appliance.errors import BadInput, HostNotReady, StepFailed
from appliance.model.base import check_base, context_tokens, resolve_base
from appliance.run.events import Event, follow_events, read_new_events
from appliance.run.failure import error_of as error_of
from appliance.run.folder import RunFolder, create_run
from appliance.run.lock import ask_to_end, find_worker, in_use
from appliance.run.plan import Plan, absolute, read_plan
from appliance.sentence import say

START_PATIENCE_S = 60.0
TAIL_LINES = 20


def prepare_run(
    plan_file: Path,
    runs_dir: Path,
    models_dir: Path,
    *,
    judge: Callable[[Plan, Path], object] = lambda plan, base: None,
) -> RunFolder:
    """A new run of the plan in `plan_file`, its base found among the models in `models_dir` and judged.

    Data sets that the plan names lie beside the runs; the run keeps their hashes, and their rows no longer
    than they may be kept.

    judge: called with the plan and the base's folder before the run is made; raises what would only be
    refused after hours of training otherwise.

    Raises: BadInput, for a plan, a base or a file of rows that cannot be used; StepFailed, when the rows of
    a data set were changed; HostNotReady, when no run folder can be made.
    """
    beside = plan_file.resolve().parent
    plan, used = place(read_plan(plan_file), runs_dir.with_name("datasets"), beside)
    plan = absolute(plan, beside)
    base = resolve_base(plan.model.base, models_dir)
    check_base(base)
    check_pack(plan.training.pack_tokens, base)
    judge(plan, base)
    days = [version.retention for version in used if version.retention]
    first = min(days, key=lambda day: day.until, default=None)
    return create_run(plan, runs_dir, base=base, beside=beside, keep=first)


def check_pack(pack_tokens: int, base: Path) -> None:
    """Judge the plan's pack length against the model in `base`.

    Raises: BadInput, when a row could become longer than the model was made for.
    """
    limit = context_tokens(base)
    if limit is not None and pack_tokens > limit:
        raise BadInput(
            "The plan asks for more than the model can read at once.",
            why=say(
                "`training.pack_tokens` is {tokens}; {base} was made for {limit} tokens",
                tokens=pack_tokens,
                base=base.name,
                limit=limit,
            ),
            next_step=say(
                "Set training.pack_tokens to {limit} or less, or choose a model that reads more.", limit=limit
            ),
        )


def start_detached(run: RunFolder) -> int:
    """Start a worker in a session of its own, or let it go on; its process id, once it owns the run.

    Closing the terminal does not touch it. What it prints goes to `worker.log`.

    Raises: HostNotReady, when one is at work already; StepFailed, when it does not come up.
    """
    return _start(run).pid


def train(run: RunFolder, on_event: Callable[[Event], None] = lambda event: None) -> None:
    """Train `run` to its end in a worker, handing each new event to `on_event`.

    An interrupt (Ctrl-C) stops the worker with a checkpoint, and is passed on.

    Raises: the worker's own error; StepFailed, when it was stopped or died.
    """
    from_byte = told_bytes(run)
    worker = _start(run)
    try:
        for event in follow_events(run.events, ended=lambda: worker.poll() is not None, from_byte=from_byte):
            on_event(event)
    except KeyboardInterrupt:
        worker.send_signal(signal.SIGTERM)
        worker.wait()
        raise
    check_outcome(run, from_byte=from_byte)


def watch(run: RunFolder, on_event: Callable[[Event], None]) -> None:
    """Hand every event of `run`, old and new, to `on_event`, until no worker is at work."""
    for event in follow_events(run.events, ended=lambda: find_worker(run.lock) is None):
        on_event(event)


def stop(run: RunFolder, *, patience_s: float = 600.0) -> bool:
    """Have the worker checkpoint and end; whether there was one.

    Raises: HostNotReady, when it is another account's; StepFailed, when it has not ended after `patience_s`.
    """
    pid = ask_to_end(run.lock)
    if pid is None:
        return False
    deadline = time.monotonic() + patience_s
    while find_worker(run.lock) == pid:
        if time.monotonic() > deadline:
            raise StepFailed(
                "The worker does not stop.",
                why=say("process {pid} is still at work after {seconds:.0f} s", pid=pid, seconds=patience_s),
                next_step="Wait for its current step, or end the process; its last checkpoint is intact.",
            )
        time.sleep(0.1)
    return True


def told_bytes(run: RunFolder) -> int:
    """How long the run's events are."""
    return run.events.stat().st_size if run.events.exists() else 0


def check_outcome(run: RunFolder, *, from_byte: int) -> None:
    """Judge a run whose worker has ended, by what that worker told.

    from_byte: where its events begin; those before are of an earlier one

    Raises: the error that the worker left behind; StepFailed, when it was stopped, or ended without a word.
    """
    events, _ = read_new_events(run.events, from_byte)
    state = next((event.fields.get("state") for event in reversed(events) if event.kind == "state"), None)
    if state == "finished":
        return
    if state == "stopped":
        kept = any(run.checkpoints.glob("step-*"))
        raise StepFailed(
            "Training was stopped before its end.",
            why=say("the worker was asked to stop, and left a checkpoint")
            if kept
            else say("the worker was asked to stop before its first checkpoint"),
            next_step=say("Start the run again; it goes on from there.")
            if kept
            else say("Start the run again; it begins anew."),
        )
    failure = next((event.fields for event in reversed(events) if event.kind == "failed"), None)
    if state == "failed" and failure is not None:
        raise error_of(failure)
    raise StepFailed(
        "The worker ended without a word.",
        why=say("its last lines:\n  {lines}", lines="\n  ".join(_tail(run.log))),
        next_step="Start the run again; it goes on from the last checkpoint.",
    )


def not_up(run: RunFolder) -> StepFailed:
    """The failure of a worker that ended before it told anything."""
    return StepFailed(
        "The worker did not come up.",
        why=say("its last lines:\n  {lines}", lines="\n  ".join(_tail(run.log))),
        next_step="Run `islet doctor`, which checks the installation.",
    )


def _start(run: RunFolder) -> "subprocess.Popen[bytes]":
    if find_worker(run.lock) is not None:
        raise in_use(run.root)
    told = told_bytes(run)
    with run.log.open("ab") as log:
        worker = subprocess.Popen(
            # -P: the current folder must not be able to replace a module.
            [sys.executable, "-P", "-m", "appliance.training.worker", str(run.root)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    deadline = time.monotonic() + START_PATIENCE_S
    while worker.poll() is None and find_worker(run.lock) != worker.pid:
        if time.monotonic() > deadline:
            worker.kill()
            worker.wait()
            break
        time.sleep(0.02)
    if worker.poll() == HostNotReady.exit_code and find_worker(run.lock) is not None:
        raise in_use(run.root)  # another was started in the same moment, and was first
    if worker.poll() not in (None, 0) and told_bytes(run) == told:
        raise not_up(run)
    return worker


def _tail(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()[-TAIL_LINES:]
    except OSError:
        return []
