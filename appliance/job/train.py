"""Training on a site: by the supervisor where there is one, else in a detached process of this account's."""

import time
from collections.abc import Callable
from contextlib import suppress

from appliance.errors import HostNotReady, StepFailed
from appliance.run.events import Event, follow_events
from appliance.run.folder import RunFolder
from appliance.run.lock import find_worker
from appliance.sentence import say
from appliance.site.layout import Site
from appliance.supervisor import client
from appliance.supervisor.protocol import Line
from appliance.supervisor.record import record
from appliance.training import control

ASK_EVERY_S = 1.0
STOP_PATIENCE_S = 600.0


def start_training(run: RunFolder, site: Site) -> None:
    """Start the run, or let it go on; it outlives this process, and waits its turn where others train.

    Raises: HostNotReady, when it is at work already or this account may not; StepFailed, when it does not
    come up.
    """
    if not _is_supervised(run, site):
        _note_start(run, site)
        control.start_detached(run)
        return
    told = control.told_bytes(run)
    line = client.start(site.state, run.root.name)
    if line.state != "queued":
        _await_worker(run, site, told)


def train(run: RunFolder, site: Site, on_event: Callable[[Event], None]) -> None:
    """Train the run to its end, handing each new event to `on_event`; Ctrl-C stops it with a checkpoint.

    Raises: as `start_training`; the worker's own error; StepFailed, when it was stopped or died.
    """
    if not _is_supervised(run, site):
        _note_start(run, site)
        control.train(run, on_event)
        return
    from_byte = control.told_bytes(run)
    start_training(run, site)
    try:
        for event in follow_events(run.events, ended=_Ended(run, site), from_byte=from_byte):
            on_event(event)
    except KeyboardInterrupt:
        stop_training(run, site)
        raise
    control.check_outcome(run, from_byte=from_byte)


def stop_training(run: RunFolder, site: Site) -> bool:
    """Have the run write a checkpoint and end; whether it was at work, or waiting for its turn.

    Raises: HostNotReady, when it is another account's and this one is no administrator; StepFailed, when it
    does not end.
    """
    if not _is_supervised(run, site):
        return control.stop(run)
    done = client.stop(site.state, run.root.name)
    deadline = time.monotonic() + STOP_PATIENCE_S
    while _line(run, site) is not None:
        if time.monotonic() > deadline:
            raise StepFailed(
                "The worker does not stop.",
                why=say("the supervisor has it at work after {seconds:.0f} s", seconds=STOP_PATIENCE_S),
                next_step="Wait for its current step, or end the process; its last checkpoint is intact.",
            )
        time.sleep(0.2)
    return done


def _is_supervised(run: RunFolder, site: Site) -> bool:
    """Whether a supervisor has this run in hand: its site has one, and it lies where that looks."""
    return client.is_supervised(site.state) and run.root.parent == site.runs.resolve()


def _note_start(run: RunFolder, site: Site) -> None:
    record(site, "train", run=run.root.name, how="continued" if run.events.exists() else "new")


def _line(run: RunFolder, site: Site) -> Line | None:
    """What the supervisor has in hand of this run; administrators and its trainer are told."""
    return next((line for line in client.status(site.state) if line.run == run.root.name), None)


def _await_worker(run: RunFolder, site: Site, told: int) -> None:
    """Wait until the worker holds its lock, or has ended; what it tells is in the run's events.

    told: bytes of the events before it was started

    Raises: StepFailed, when it ended and told nothing.
    """
    deadline = time.monotonic() + control.START_PATIENCE_S
    while _line(run, site) is not None:
        if find_worker(run.lock) is not None or time.monotonic() > deadline:
            return
        time.sleep(0.1)
    if control.told_bytes(run) == told:
        raise control.not_up(run)


class _Ended:
    """Whether a run is neither at work nor waiting, asked of the supervisor every now and then."""

    def __init__(self, run: RunFolder, site: Site) -> None:
        self._run = run
        self._site = site
        self._asked = 0.0

    def __call__(self) -> bool:
        if time.monotonic() - self._asked < ASK_EVERY_S:
            return False
        self._asked = time.monotonic()
        # A supervisor that is being started again does not answer for a moment; the run goes on.
        with suppress(HostNotReady):
            return _line(self._run, self._site) is None
        return False
