"""Until when something with rows in it may be kept: a date beside it, which a person set.

    retention.json   in a run's folder, or in that of a version of a data set

Nothing is removed by itself: what is overdue is shown, and a person removes it.
"""

import datetime
from pathlib import Path
from typing import Literal

import msgspec

from appliance.durable import write_whole
from appliance.errors import BadInput
from appliance.sentence import reason, say

NAME = "retention.json"


class Retention(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A date, and who set it."""

    until: datetime.date
    """The last day on which it may be kept."""
    set_by: str
    """The account."""
    set_at: str
    """UTC, RFC 3339."""
    format: Literal["islet-retention-1"] = "islet-retention-1"

    def is_overdue(self, today: datetime.date) -> bool:
        """Whether it should be gone by `today`."""
        return today > self.until


def today() -> datetime.date:
    """The day by which retention is judged: the one of the box's clock, in UTC."""
    return datetime.datetime.now(tz=datetime.UTC).date()


def read_day(text: str) -> datetime.date:
    """A day as a person types it, `2031-12-31`. Raises: BadInput."""
    try:
        return datetime.date.fromisoformat(text)
    except ValueError as error:
        raise BadInput(
            say("{text} is no date.", text=repr(text)),
            why=say("a date is written year-month-day"),
            next_step="Write it like 2031-12-31.",
        ) from error


def write_retention(folder: Path, until: datetime.date, *, by: str) -> Retention:
    """Set the last day for what lies in `folder`. Raises: OSError."""
    now = datetime.datetime.now(tz=datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    retention = Retention(until, by, now)
    write_whole(folder / NAME, msgspec.json.encode(retention) + b"\n", mode=0o640)
    return retention


def find_retention(folder: Path) -> Retention | None:
    """The day that was set for `folder`; None where none was.

    Raises: BadInput, when what lies there is none; OSError, when this account may not look.
    """
    try:
        content = (folder / NAME).read_bytes()
    except FileNotFoundError:
        return None
    try:
        return msgspec.json.decode(content, type=Retention)
    except msgspec.DecodeError as error:
        raise BadInput(
            say("{path} cannot be read.", path=folder / NAME),
            why=reason(error),
            next_step="Set the day again.",
        ) from error
