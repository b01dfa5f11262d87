"""The worker: one process that trains one run. `python -m appliance.training.worker RUN`.

1. takes the run's lock; 2. goes offline, before any library that could talk is imported; 3. prepares
the data, or finds it prepared; 4. goes on from the newest checkpoint that verifies, and says so when
a newer one was passed over; 5. trains, telling `events.jsonl`; 6. writes the adapter.

SIGTERM and SIGINT end it after the current optimizer step, with a checkpoint. Whatever ends it, a
new worker goes on from the last checkpoint to the same adapter, to the bit.
"""

import contextlib
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

from appliance.durable import DISK_FULL, sync_folder
from appliance.errors import ApplianceError, HostNotReady
from appliance.model.memory import is_out_of_memory, leave_no_core
from appliance.model.offline import Refusal, go_offline
from appliance.run.events import EventLog, newest_events
from appliance.run.failure import failure_fields
from appliance.run.folder import RunFolder, open_run, read_base
from appliance.run.lock import worker_lock
from appliance.run.plan import Plan, read_plan
from appliance.sentence import say, to_document
from appliance.site.audit import append
from appliance.supervisor.client import is_supervised
from appliance.trace import kind_text, trace_text
from appliance.training.stopping import StopRequest


def main(arguments: list[str]) -> int:
    """Train the run named in `arguments`; the exit code."""
    leave_no_core()
    try:
        run = open_run(Path(arguments[0]))
        try:
            with worker_lock(run.lock):
                code = _owned(run)
        except OSError as error:  # the lock, or where events go, cannot be written
            raise as_told(run, error) from error
        _note_end(run)
        return code
    except ApplianceError as error:
        print(error, file=sys.stderr)
        return error.exit_code


def _owned(run: RunFolder) -> int:
    """Work while the lock is held, and leave the reason behind if it fails."""
    events = EventLog(run.events)
    try:
        _work(run, events)
    except Exception as error:
        return _failed(events, as_told(run, error))
    finally:
        events.close()
    return 0


def _note_end(run: RunFolder) -> None:
    """Say in the site's audit log how the run ended, where no supervisor sees that by itself."""
    state = run.root.parents[1]
    log = state / "audit.jsonl"
    if not log.exists() or is_supervised(state):
        return
    tells = next(
        (event.fields.get("state") for event in newest_events(run.events) if event.kind == "state"), ""
    )
    with contextlib.suppress(OSError):  # another account's log, or a full disk
        append(log, "train-end", run=run.root.name, run_tells=str(tells) or "nothing")


def _work(run: RunFolder, events: EventLog) -> None:
    """Everything from the plan to the adapter.

    Raises: ApplianceError, for what an operator can mend.
    """
    plan = read_plan(run.plan)
    set_threads(plan)

    def tell(refusal: Refusal) -> None:
        why = say("{event} to {address}", event=refusal.event, address=refusal.address)
        events.append("warning", what=to_document(say("A connection was refused.")), why=to_document(why))

    refused = go_offline(tell)
    stop = StopRequest()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop.ask)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # also where it was started by hand in a terminal
    from appliance.training.session import train_run  # the libraries come in here, not before

    events.append("state", state="preparing", pid=os.getpid())
    try:
        finished = run.adapter.is_dir() or _trained(run, plan, events, stop, train_run)
    finally:
        events.append("network", refused=len(refused))
    events.append("state", state="finished" if finished else "stopped", pid=os.getpid())
    events.sync()


def _trained(run: RunFolder, plan: Plan, events: EventLog, stop: StopRequest, train_run: Any) -> bool:
    """Train, and put the adapter in place by one rename; False when it was stopped before the end."""
    aside = run.root / ".adapter.part"
    shutil.rmtree(aside, ignore_errors=True)
    if not train_run(run, plan, read_base(run), events, stop, adapter=aside):
        return False
    aside.rename(run.adapter)
    sync_folder(run.root)
    return True


def set_threads(plan: Plan) -> None:
    """As many CPU threads as the plan says, before any library counts the cores; one GPU, not several."""
    if plan.training.threads:
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
            os.environ[name] = str(plan.training.threads)
    # With several in sight the Trainer would split batches over them in one process.
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "0")


def as_told(run: RunFolder, error: Exception) -> ApplianceError:
    """What an operator is told of `error`."""
    if isinstance(error, ApplianceError):
        return error
    if isinstance(error, OSError) and error.errno in DISK_FULL:
        return HostNotReady(
            "The disk is full.",
            why=say("{path}: {error}", path=error.filename or run.root, error=error.strerror),
            next_step="Free some space and start the run again; it goes on from the last checkpoint.",
        )
    if is_out_of_memory(error):
        return HostNotReady(
            say("Training ran out of memory."),
            why=say("a step took more than was free"),
            next_step=say(
                "End other programs and start the run again, which goes on from the last checkpoint; or make "
                "a new run with shorter packs (training.pack_tokens), training.recompute_activations = true "
                'or training.method = "qlora".'
            ),
        )
    return _own_bug(run, error)


def _own_bug(run: RunFolder, error: Exception) -> ApplianceError:
    """A failure that nobody foresaw: its places go into the worker's log, one line to the operator.

    Its message goes nowhere: it may hold words of a row.
    """
    print(trace_text(error), file=sys.stderr)
    return ApplianceError(
        "Training ended by an error of the program itself.",
        why=kind_text(error),
        next_step=say("Start the run again; if it fails in the same place, hand in {log}.", log=run.log),
    )


def _failed(events: EventLog, error: ApplianceError) -> int:
    print(error, file=sys.stderr)
    with contextlib.suppress(OSError):  # a full disk takes no event either
        events.append("failed", **failure_fields(error))
        events.append("state", state="failed", pid=os.getpid())
        events.sync()
    return error.exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
