"""How far a job is: its files in the run folder, and what they say. Cheap enough to be asked every second.

    RUN/jobs/KIND.lock     locked while the work goes on; holds its process id and start time
    RUN/jobs/KIND.jsonl    what happened since it was last started, as events (below)
    RUN/jobs/KIND.log      what the process and its libraries printed; for engineers

Kinds of events and their fields; texts are as `appliance.sentence.to_document` makes them:

- `started`: `pid`
- `stage`, `advance`: `what`, `done`, `total` (0: unknown), `unit`
- `finished`
- `failed`: `what`, `why`, `next_step`, `exit_code`
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from appliance.errors import ApplianceError
from appliance.run.events import Event, first_event, newest_events
from appliance.run.failure import error_of
from appliance.run.folder import RunFolder
from appliance.run.lock import find_worker
from appliance.sentence import from_document

Kind = Literal["evaluate", "export", "report"]


@dataclass(frozen=True)
class JobFiles:
    """The files of one kind of job on one run."""

    run: RunFolder
    kind: Kind

    @property
    def folder(self) -> Path:
        """Where they lie."""
        return self.run.root / "jobs"

    @property
    def lock(self) -> Path:
        """Locked while the work goes on."""
        return self.folder / f"{self.kind}.lock"

    @property
    def events(self) -> Path:
        """What happened since it was last started."""
        return self.folder / f"{self.kind}.jsonl"

    @property
    def log(self) -> Path:
        """What the process printed."""
        return self.folder / f"{self.kind}.log"


@dataclass(frozen=True)
class JobState:
    """How far a job is."""

    state: Literal["none", "running", "finished", "failed", "interrupted"] = "none"
    """none: never started; interrupted: its process ended without a word, or was asked to end."""
    stage: str = ""
    """The stage that it is in, or was in last: a sentence."""
    done: int = 0
    """Of this stage, in `unit`."""
    total: int = 0
    """Of this stage; 0 where that is not known."""
    unit: str = ""
    """`B` for bytes, or a word."""
    error: ApplianceError | None = None
    """Why it failed."""
    started: str = ""
    """UTC, RFC 3339; so is `ended`."""
    ended: str = ""
    """When it last said something; empty while it runs."""


def read_job(run: RunFolder, kind: Kind) -> JobState:
    """How far the job `kind` on `run` is, or how it ended."""
    files = JobFiles(run, kind)
    pid = None
    try:
        pid = find_worker(files.lock)  # asked first: what it wrote before it ended is then read below
        started = first_event(files.events)
        newest = next(iter(newest_events(files.events)), None)
    except OSError:  # another user's
        return JobState("running") if pid else JobState()
    if started is None or newest is None or (pid is not None and started.fields.get("pid") != pid):
        return JobState("running") if pid else JobState()  # it has only just come up
    return _state(started, newest, _stage(files.events), at_work=pid is not None)


def _state(started: Event, newest: Event, stage: Event | None, *, at_work: bool) -> JobState:
    fields = stage.fields if stage else {}
    ended = newest.kind in ("finished", "failed")
    if newest.kind == "finished":
        state: Literal["running", "finished", "failed", "interrupted"] = "finished"
    elif newest.kind == "failed":
        state = "failed"
    else:
        state = "running" if at_work else "interrupted"
    return JobState(
        state,
        stage=from_document(fields.get("what", "")),
        done=_count(fields.get("done")),
        total=_count(fields.get("total")),
        unit=str(fields.get("unit", "")),
        error=error_of(newest.fields) if newest.kind == "failed" else None,
        started=started.time,
        ended=newest.time if ended or not at_work else "",
    )


def _count(told: object) -> int:
    """A number of an event; 0 where the file was edited."""
    return told if isinstance(told, int) else 0


def _stage(events: Path) -> Event | None:
    """The newest event that says how far the work is."""
    return next((event for event in newest_events(events) if event.kind in ("stage", "advance")), None)
