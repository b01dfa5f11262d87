"""What a run's events say in words: for commands, the wizard and the report alike. Pure.

The sentences are English and remember their parts: whoever shows them says them in the person's language.
"""

from collections.abc import Mapping
from typing import Any

from appliance.run.events import Event
from appliance.sentence import Sentence, from_document, say

STATES: Mapping[str, Sentence] = {
    "made": say("made"),
    "queued": say("waiting for its turn"),
    "starting": say("starting"),
    "running": say("at work"),
    "preparing": say("preparing"),
    "training": say("training"),
    "stopped": say("stopped"),
    "finished": say("finished"),
    "failed": say("failed"),
    "interrupted": say("interrupted"),
    "unreadable": say("unreadable"),
}
"""What `appliance.run.overview` and the events call a run's state, in words."""


def state_word(state: str) -> Sentence:
    """A run's state; one that is not known as it is written."""
    return STATES.get(state) or Sentence("{state}", {"state": state})


def event_sentence(event: Event) -> Sentence | None:
    """One event in words; None for what a log need not repeat."""
    f = event.fields
    match event.kind:
        case "state":
            return state_word(str(f["state"]))
        case "data":
            return say(
                "{rows} rows, {refused} refused, {learned} of {tokens} tokens to learn, {packs} packs",
                rows=f["rows"],
                refused=f["refused"],
                learned=f["learned_tokens"],
                tokens=f["tokens"],
                packs=f["packs"],
            )
        case "progress":
            return progress_sentence(f)
        case "held_out":
            return say("step {step}: held-out loss {loss:.3f}", step=f["step"], loss=f["loss"])
        case "checkpoint":
            return say("checkpoint at step {step}", step=f["step"])
        case "resumed":
            return say("resumed at step {step}", step=f["step"])
        case "warning":
            return say("warning: {what} {why}", what=from_document(f["what"]), why=from_document(f["why"]))
        case "failed":
            return say("failed: {what}", what=from_document(f["what"]))
    return None


def progress_sentence(fields: Mapping[str, Any]) -> Sentence:
    """Where training is, how well it does and how fast, from the fields of a `progress` event."""
    return say(
        "step {step} of {steps}: loss {loss:.3f}, {rate:.0f} tokens/s",
        step=fields["step"],
        steps=fields["steps"],
        loss=fields["loss"],
        rate=fields["tokens_per_s"],
    )
