"""What a supervisor can be asked: one line of JSON, one line back, and the connection ends.

Strict and small: an unknown field, another type, a name with a slash, or a line longer than 8 KiB is refused.
"""

import re
from typing import Any, Literal

import msgspec

from appliance.errors import BadInput
from appliance.sentence import reason, say

SOCKET = "supervisor.sock"
"""In the state folder: found whatever the prefix is, and in a folder of root's nobody can replace it."""

MAX_BYTES = 8192
MAX_FACTS = 12
MAX_TEXT = 500
ASK_WITHIN_S = 5.0
"""How long a client may take to say its line."""

_RUN = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,127}")
_FACT = re.compile(r"[a-z][a-z0-9_]{0,31}")
RESERVED = frozenset(
    ("time", "event", "uid", "user", "login", "before", "by", "key", "key_was", "release", "release_sums")
)
"""Fields of an entry that only the supervisor writes, and the word by which it is told whose the entry is."""

RunState = Literal["queued", "starting", "running"]


class Start(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="do", tag="start"):
    """Start the run, or let it go on."""

    run: str
    """Name of its folder under `runs/`."""


class Stop(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="do", tag="stop"):
    """Have the run write a checkpoint and end; one that waits is taken out of the queue."""

    run: str


class Status(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="do", tag="status"):
    """Say what is at work and what waits."""


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="do", tag="record"):
    """Add an entry to the audit log, of the one who asks."""

    event: Literal["evaluate", "export", "report", "approve", "override", "dataset", "retention", "removal"]
    facts: dict[str, str | int]


Request = Start | Stop | Status | Record


class Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One run that the supervisor has in hand."""

    run: str
    uid: int
    state: RunState
    pid: int


class Answer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What comes back."""

    error: dict[str, Any] | None = None
    """An ApplianceError as `appliance.run.failure` writes it."""
    runs: tuple[Line, ...] = ()
    """To `start`: the run; to `status`: all that the one who asks may see."""
    done: bool = False
    """To `stop`: whether there was something to stop."""


def read_request(line: bytes) -> Request:
    """The request that a line is. Raises: BadInput, naming the field."""
    try:
        request: Request = msgspec.json.decode(line, type=Request)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:  # ValueError: no UTF-8
        raise _odd(reason(error)) from error
    if isinstance(request, Start | Stop) and not _RUN.fullmatch(request.run):
        raise _odd(say("`{field}` is no name of a run", field="run"))
    if isinstance(request, Record):
        _check_facts(request.facts)
    return request


def _check_facts(facts: dict[str, str | int]) -> None:
    if len(facts) > MAX_FACTS:
        raise _odd(say("there are more than {count} facts", count=MAX_FACTS))
    for name, value in facts.items():
        if not _FACT.fullmatch(name) or name in RESERVED:
            raise _odd(say("a fact cannot be called so"))
        if isinstance(value, str) and (len(value) > MAX_TEXT or not value.isprintable()):
            raise _odd(say("`{field}` is no line of text", field=name))
    if "run" in facts and not _RUN.fullmatch(str(facts["run"])):
        raise _odd(say("`{field}` is no name of a run", field="run"))


def _odd(why: str) -> BadInput:
    return BadInput(
        "The supervisor does not understand what it was asked.",
        why=why,
        next_step="Use the islet command of the release that is installed.",
    )
