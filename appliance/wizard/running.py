"""A run as the wizard sees it: read from its folder alone, a few new bytes of `events.jsonl` at a time."""

import contextlib
from collections import deque
from typing import Any, get_args

from appliance.errors import ApplianceError
from appliance.job import JobState, Kind, read_job
from appliance.run.events import Event, read_new_events
from appliance.run.failure import error_of
from appliance.run.folder import RunFolder
from appliance.run.lock import find_worker
from appliance.run.overview import AT_WORK
from appliance.run.told import event_sentence
from appliance.sentence import Sentence

TAIL_EVENTS = 50


class RunView:
    """What has happened in one run so far; `refresh` reads what is new."""

    def __init__(self, run: RunFolder) -> None:
        self.run = run
        self.state = "made"
        """made, preparing, training, stopped, finished, failed or interrupted."""
        self.progress: dict[str, Any] = {}
        """Fields of the newest `progress` event."""
        self.memory: dict[str, Any] = {}
        """Fields of the newest `memory` event."""
        self.losses: list[tuple[float, float]] = []
        """(step, loss), one an optimizer step; of a step trained twice after a kill, the later one."""
        self.held_out: list[tuple[float, float]] = []
        self.saved_step = 0
        """Step of the newest checkpoint."""
        self.failure: ApplianceError | None = None
        self.tail: deque[tuple[str, Sentence]] = deque(maxlen=TAIL_EVENTS)
        """(time, what happened), the newest last."""
        self.worker: int | None = None
        """Process id of the worker that holds the run."""
        self._offset = 0
        self._said = "made"
        self._said_by: object = None
        """Process id of the worker that told that state."""
        self._jobs: list[tuple[str, str, int]] = []

    def refresh(self) -> bool:
        """Read what is new; whether anything was.

        Raises: OSError, when the run is another user's.
        """
        self.worker = find_worker(
            self.run.lock
        )  # asked first: what it told before it ended is then read below
        events, self._offset = read_new_events(self.run.events, self._offset)
        for event in events:
            with contextlib.suppress(KeyError, TypeError, ValueError):  # edited: the others still count
                self._take(event)
        state = self._said
        if state in AT_WORK and self.worker is None:
            state = "interrupted"
        elif state not in AT_WORK and self.worker not in (None, self._said_by):
            state = "preparing"  # a worker that has only just come up
        jobs = [self._job_line(kind) for kind in get_args(Kind)]
        changed = bool(events) or state != self.state or jobs != self._jobs
        self.state, self._jobs = state, jobs
        return changed

    def _job_line(self, kind: Kind) -> tuple[str, str, int]:
        """What changes on a page while a job works; jobs tell it in files of their own."""
        job = self.job(kind)
        return job.state, job.stage, job.done

    @property
    def at_work(self) -> bool:
        """Whether a worker is training it now."""
        return self.state in AT_WORK

    def job(self, kind: Kind) -> JobState:
        """How far a job on this run is."""
        return read_job(self.run, kind)

    def _take(self, event: Event) -> None:
        fields = event.fields
        sentence = event_sentence(event)
        match event.kind:
            case "state":
                self._said, self._said_by = str(fields["state"]), fields.get("pid")
                if self._said in AT_WORK:
                    self.failure = None
            case "progress":
                self._add_losses(fields)
                self.progress = fields
            case "memory" if "free_bytes" in fields:
                self.memory = fields
            case "held_out":
                self.held_out.append((fields["step"], fields["loss"]))
            case "checkpoint":
                self.saved_step = fields["step"]
            case "failed":
                self.failure = error_of(fields)
        if sentence is not None and event.kind != "progress":
            self.tail.append((event.time, sentence))

    def _add_losses(self, fields: dict[str, Any]) -> None:
        losses = fields.get("losses") or [fields["loss"]]
        first = fields["step"] - len(losses) + 1
        while self.losses and self.losses[-1][0] >= first:
            self.losses.pop()
        self.losses += [(float(first + index), float(loss)) for index, loss in enumerate(losses)]
