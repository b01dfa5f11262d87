"""What work on a run leaves behind while it goes on: its lock, and its events in `RUN/jobs/`."""

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

from appliance.durable import DISK_FULL
from appliance.errors import ApplianceError, HostNotReady
from appliance.job.state import JobFiles, Kind
from appliance.model.memory import is_out_of_memory, leave_no_core
from appliance.process import unwinds_on
from appliance.progress import Advance, Progress
from appliance.run.events import EventLog
from appliance.run.failure import failure_fields, place_of
from appliance.run.folder import RunFolder
from appliance.run.lock import PATIENCE_S, worker_lock
from appliance.sentence import Sentence, say, to_document

TELL_EVERY_S = 0.25

BUSY: dict[Kind, Sentence] = {
    "evaluate": say("This run is being evaluated already."),
    "export": say("This run is being exported already."),
    "report": say("The report of this run is being written already."),
}


class Record:
    """A `Progress` that appends events, and passes everything on to another one."""

    def __init__(self, events: EventLog, shown: Progress) -> None:
        self._events = events
        self._shown = shown

    @contextmanager
    def stage(self, what: str, *, total: int | None, unit: str = "B") -> Iterator[Advance]:
        """Open a stage that is told and shown."""
        done, told = 0, time.monotonic()

        def tell(kind: str) -> None:
            with contextlib.suppress(OSError):  # the work may need no more room than there is
                self._events.append(kind, what=to_document(what), done=done, total=total or 0, unit=unit)

        with self._shown.stage(what, total=total, unit=unit) as show:

            def advance(amount: int) -> None:
                nonlocal done, told
                done += amount
                show(amount)
                if time.monotonic() - told >= TELL_EVERY_S:
                    told = time.monotonic()
                    tell("advance")

            tell("stage")
            yield advance
            tell("advance")

    def note(self, text: str) -> None:
        """Pass it on; events tell of stages only."""
        self._shown.note(text)


@contextmanager
def at_work(
    run: RunFolder, kind: Kind, shown: Progress, *, patience_s: float = PATIENCE_S
) -> Iterator[Progress]:
    """Hold the lock of `kind` on `run`; the value tells its events, from the first on, and `shown`.

    What ends the work is told: that it is finished, or its error. An interrupt and SIGTERM are not: such
    work counts as interrupted. SIGTERM unwinds, so that files aside and other programs go with it.

    patience_s: how long to wait for another who is at it

    Raises: HostNotReady, when another still is, when nothing can be written there or the disk is full.
    """
    leave_no_core()
    files = JobFiles(run, kind)
    try:
        files.folder.mkdir(mode=0o750, exist_ok=True)
        with worker_lock(files.lock, refusal=busy(kind), patience_s=patience_s), unwinds_on(signal.SIGTERM):
            files.events.unlink(missing_ok=True)
            with contextlib.closing(EventLog(files.events)) as events:
                events.append("started", pid=os.getpid())
                yield from _told(events, Record(events, shown))
    except OSError as error:
        if error.errno in DISK_FULL:
            raise _disk_full(error) from error
        if str(error.filename or "").startswith(str(files.folder)):
            raise not_writable(error) from error
        raise


def busy(kind: Kind) -> HostNotReady:
    """The refusal of a second one."""
    return HostNotReady(
        BUSY[kind],
        why=say("a process holds its lock"),
        next_step=say("Wait until it is done, or stop it first."),
    )


def _told(events: EventLog, record: Record) -> Iterator[Progress]:
    """Give `record` away once, and tell how that ended."""
    try:
        yield record
    except ApplianceError as error:
        _tell_failure(events, error)
        raise
    except Exception as error:
        if is_out_of_memory(error):
            _tell_failure(events, short := _out_of_memory())
            raise short from error
        if isinstance(error, OSError) and error.errno in DISK_FULL:
            _tell_failure(events, _disk_full(error))
        else:
            _tell_failure(events, _own_bug(error))
        raise
    events.append("finished")
    events.sync()


def _tell_failure(events: EventLog, error: ApplianceError) -> None:
    with contextlib.suppress(OSError):  # a full disk takes no event either
        events.append("failed", **failure_fields(error))
        events.sync()


def not_writable(error: OSError) -> HostNotReady:
    """The refusal of a run folder that takes no job."""
    return HostNotReady(
        say("Nothing can be written into the run folder."),
        why=say("{path}: {reason}", path=error.filename, reason=error.strerror or str(error)),
        next_step=say("Start it as the user whose run it is, or have the folder made writable."),
    )


def _disk_full(error: OSError) -> HostNotReady:
    return HostNotReady(
        say("The disk is full."),
        why=say("{path}: {reason}", path=error.filename or "", reason=error.strerror or str(error)),
        next_step=say("Free some space and start again."),
    )


def _out_of_memory() -> HostNotReady:
    return HostNotReady(
        say("The work ran out of memory."),
        why=say("the model took more than was free"),
        next_step=say("End other programs and start it again."),
    )


def _own_bug(error: Exception) -> ApplianceError:
    """A failure that nobody foresaw: its kind and place, but not its words, which may quote a row."""
    return ApplianceError(
        say("The work ended by an error of the program itself."),
        why=say("{kind} at {place}", kind=type(error).__name__, place=place_of(error)),
        next_step=say("Start it again; if it fails in the same place, hand in the logs of the run."),
    )
