"""What `events.jsonl` tells of a run's training, put together for a report."""

import math
from dataclasses import dataclass

from appliance.errors import BadInput
from appliance.run.events import Event, read_events
from appliance.run.folder import RunFolder
from appliance.sentence import from_document, say


@dataclass(frozen=True)
class Story:
    """One run's training, over all its stretches."""

    state: str
    """The last that the worker said, a state of `appliance.run.events`; empty when it never began."""
    began: str
    """UTC, RFC 3339; empty when it never began."""
    ended: str
    """Time of the last event."""
    step: int
    steps: int
    losses: tuple[tuple[int, float], ...]
    """By optimizer step; of steps done twice, after a kill, the last."""
    held_out: tuple[tuple[int, float], ...]
    learned_tokens: int | None
    """Tokens that the model was taught to write, in one pass over the rows."""
    tokens_per_s: float | None
    """Mean of what was reported."""
    memory_bytes: int | None
    """The most that was reported."""
    resumed: tuple[int, ...]
    """Steps that training went on from."""
    refused_connections: int | None
    """Connections beyond this box that were tried and refused, over all stretches that said so."""
    warnings: tuple[tuple[str, str, str], ...]
    """Time, what, why; failures are among them."""


def read_story(run: RunFolder) -> Story:
    """The story so far.

    Raises: BadInput, when an event lacks a figure that every worker writes: somebody changed the file.
    """
    try:
        return _story(read_events(run.events))
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise BadInput(
            "What the run tells of its training cannot be read.",
            why=say("{path} holds an event without its figures", path=run.events),
            next_step="Put the file back from a backup; what the run learned does not depend on it.",
        ) from error


def _story(events: list[Event]) -> Story:
    progress = [event.fields for event in events if event.kind == "progress"]
    starts = [event.fields for event in events if event.kind == "state" and "steps" in event.fields]
    data = [event.fields for event in events if event.kind == "data"]
    refused = [int(event.fields["refused"]) for event in events if event.kind == "network"]
    return Story(
        state=next((str(e.fields["state"]) for e in reversed(events) if e.kind == "state"), ""),
        began=events[0].time if events else "",
        ended=events[-1].time if events else "",
        step=max((int(fields["step"]) for fields in progress), default=0),
        steps=int(starts[-1]["steps"]) if starts else 0,
        losses=_losses(events),
        held_out=_held_out(events),
        learned_tokens=int(data[-1]["learned_tokens"]) if data else None,
        tokens_per_s=sum(float(f["tokens_per_s"]) for f in progress) / len(progress) if progress else None,
        memory_bytes=max((int(fields["memory_bytes"]) for fields in progress), default=None),
        resumed=tuple(int(event.fields["step"]) for event in events if event.kind == "resumed"),
        refused_connections=sum(refused) if refused else None,
        warnings=tuple(
            (
                event.time,
                from_document(event.fields.get("what", "")),
                from_document(event.fields.get("why", "")),
            )
            for event in events
            if event.kind in ("warning", "failed")
        ),
    )


def _losses(events: list[Event]) -> tuple[tuple[int, float], ...]:
    losses: dict[int, float] = {}
    for event in events:
        if event.kind == "progress":
            each = event.fields["losses"]
            losses.update(enumerate(map(float, each), start=int(event.fields["step"]) - len(each) + 1))
    return tuple((step, loss) for step, loss in sorted(losses.items()) if math.isfinite(loss))


def _held_out(events: list[Event]) -> tuple[tuple[int, float], ...]:
    held_out = {int(e.fields["step"]): float(e.fields["loss"]) for e in events if e.kind == "held_out"}
    return tuple((step, loss) for step, loss in sorted(held_out.items()) if math.isfinite(loss))
