"""Adding a version: rows stream into a folder aside, are counted and judged, and appear by one rename."""

import datetime
import errno
import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from appliance.data.canonical import write_rows
from appliance.data.registry.record import (
    GONE,
    RECORD,
    ROWS,
    Maker,
    Origin,
    Record,
    check_name,
    check_words,
    write_document,
)
from appliance.data.registry.store import Version, numbered, read_version
from appliance.data.tally import Tally
from appliance.durable import sync_folder
from appliance.errors import ApplianceError, BadInput, HostNotReady
from appliance.run.lock import folder_lock
from appliance.run.removal import finish_removals
from appliance.run.retention import write_retention
from appliance.run.rows import Problem, Row
from appliance.sentence import reason, say

SHARED_NAME, SHARED_VERSION = 0o3770, 0o2750
"""Modes where trainers share the folder: all may add versions, nobody takes away another's, all may read."""
OWN = 0o700
_SHARED = 0o2000
"""The bit by which a folder hands its group on: `islet roles create` sets it."""


@dataclass(frozen=True)
class Wish:
    """What a new version is to be."""

    name: str
    made_by: Maker
    made_from: tuple[str, ...]
    note: str = ""
    until: datetime.date | None = None
    """Until when it may be kept."""
    max_bad_share: float = 0.0
    """Share of rows, 0 to 1, that may be refused."""


def add(datasets: Path, wish: Wish, items: Iterable[Row | Problem]) -> tuple[Version, Tally]:
    """A new version of the data set `wish.name` with the rows among `items`; there whole or not at all.

    Raises: BadInput, when no row is left, more are refused than may be, or the same rows are there already;
    HostNotReady, when the folder cannot be written.
    """
    check_name(wish.name)
    tally = Tally()
    home = datasets / wish.name
    aside = home / f".new.{os.getpid()}"
    try:
        shared = bool(datasets.stat().st_mode & _SHARED)
        home.mkdir(exist_ok=True)
        with suppress(PermissionError):  # somebody else's, who made it right
            home.chmod(SHARED_NAME if shared else OWN)
        finish_removals(home)
        try:
            aside.mkdir(mode=OWN)
            write_rows(aside / ROWS, tally.checked(items, wish.max_bad_share))
            record = _record(aside, wish, tally)
            with folder_lock(home, alone=True):  # of two who add the same rows, the second sees the first's
                version = _publish(home, aside, record, wish, shared=shared)
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)
            with suppress(OSError):
                home.rmdir()
            raise
    except OSError as error:
        raise HostNotReady(
            say("No data set could be added in {folder}.", folder=datasets),
            why=reason(error),
            next_step="Make the folder writable and free some space, or ask an administrator.",
        ) from error
    return version, tally


def _record(aside: Path, wish: Wish, tally: Tally) -> Record:
    with (aside / ROWS).open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return Record(
        name=wish.name,
        version=0,
        created=now(),
        made_by=wish.made_by,
        made_from=wish.made_from,
        note=check_words(wish.note),
        sha256=sha256,
        size=(aside / ROWS).stat().st_size,
        rows=tally.rows,
        refused=tally.refused,
        kinds=dict(sorted(tally.kinds.items())),  # type: ignore[arg-type]  # kinds of rows
        groups=len(tally.groups),
        steps=tuple(tally.steps),
        origins=tuple(Origin(file, sha, rows) for (file, sha), rows in tally.origins.items()),
    )


def _publish(home: Path, aside: Path, record: Record, wish: Wish, *, shared: bool) -> Version:
    """Give the version that lies `aside` the next number, by one rename."""
    same = next((each for each in _versions(home) if each.record.sha256 == record.sha256), None)
    if same is not None:
        raise BadInput(
            say("These rows are there already, as {reference}.", reference=same.record.reference),
            why=say("their SHA-256 is the same, {sha256}", sha256=record.sha256),
            next_step="Use that version.",
        )
    retention = write_retention(aside, wish.until, by=wish.made_by.user) if wish.until else None
    while True:
        numbered = msgspec.structs.replace(record, version=_next_number(home))
        write_document(aside / RECORD, numbered)
        aside.chmod(SHARED_VERSION if shared else OWN)
        target = home / str(numbered.version)
        try:
            aside.rename(target)  # onto a folder that is not empty it fails: nothing is written over
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise
        else:
            sync_folder(home)
            sync_folder(home.parent)
            return Version(target, numbered, retention)


def _next_number(home: Path) -> int:
    """One more than any version that is or was there."""
    numbers = [path.name.removesuffix(GONE) for path in home.iterdir()]
    return max((int(number) for number in numbers if number.isdecimal()), default=0) + 1


def _versions(home: Path) -> Iterator[Version]:
    """Those that can be read."""
    for path in numbered(home):
        with suppress(OSError, ApplianceError):
            if path.name.isdecimal():
                yield read_version(path)


def now() -> str:
    """This moment: UTC, RFC 3339."""
    return datetime.datetime.now(tz=datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
