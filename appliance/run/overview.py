"""All runs of a site at a glance, each in a line; cheap for hundreds of them.

A state or a step is near the end of `events.jsonl`, so events are read from there, the newest first, until
both are known.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from appliance.run.events import Event, first_event, newest_events
from appliance.run.folder import RunFolder
from appliance.run.lock import find_worker

AT_WORK = ("preparing", "training")
"""States that hold only while a worker does."""

IMPLIED = {"data": "preparing", "memory": "preparing", "progress": "training", "checkpoint": "training"}
"""What a worker is at when it tells these: the event that says so need not be looked for."""


@dataclass(frozen=True)
class RunLine:
    """One run."""

    name: str
    """Of its folder."""
    state: str
    """As in the events; besides, `made`: never begun; `interrupted`: its worker died; `unreadable`."""
    step: int = 0
    """Optimizer steps done; 0 before the first was told."""
    steps: int = 0
    """Of the whole run; 0 as long as nobody knows."""
    loss: float | None = None
    """Mean since the report before the last."""
    started: str = ""
    """When its worker first said something: UTC, RFC 3339; empty when it never did."""


def list_runs(runs_dir: Path) -> list[RunLine]:
    """The runs in `runs_dir` by name, so the newest last; none when there is no such folder."""
    return [line for root in sorted(runs_dir.glob("*")) if (line := _line(root)) is not None]


def _line(root: Path) -> RunLine | None:
    run = RunFolder(root)
    try:
        if not run.plan.is_file():
            return None
        line = _told(root.name, newest_events(run.events))
        if line.state == "made":
            return line
        state = "interrupted" if line.state in AT_WORK and find_worker(run.lock) is None else line.state
        first = first_event(run.events)
        return RunLine(line.name, state, line.step, line.steps, line.loss, first.time if first else "")
    except (OSError, ValueError, KeyError, TypeError):  # another user's, or edited: the others still count
        return RunLine(root.name, "unreadable")


def _told(name: str, newest_first: Iterable[Event]) -> RunLine:
    state, steps = "", 0
    for event in newest_first:
        fields = event.fields
        state = state or str(fields["state"] if event.kind == "state" else IMPLIED.get(event.kind, ""))
        steps = steps or int(fields.get("steps", 0))
        if event.kind == "progress" and state:
            return RunLine(name, state, int(fields["step"]), steps, float(fields["loss"]))
    return RunLine(name, state or "made", steps=steps)
