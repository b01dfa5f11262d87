"""The folder of the data sets: finding a version, listing all, judging whether one is what was added."""

import datetime
import hashlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from appliance.data.registry.record import (
    GONE,
    NAME,
    RECORD,
    ROWS,
    Record,
    Removed,
    check_name,
    read_document,
)
from appliance.errors import ApplianceError, BadInput, HostNotReady, StepFailed
from appliance.run.retention import Retention, find_retention, write_retention
from appliance.sentence import reason, say


@dataclass(frozen=True)
class Version:
    """A version that is there."""

    folder: Path
    record: Record
    retention: Retention | None

    @property
    def rows(self) -> Path:
        """Its rows."""
        return self.folder / ROWS


@dataclass(frozen=True)
class Listing:
    """All that is in the folder."""

    versions: tuple[Version, ...]
    """By name, the newest last."""
    removed: tuple[Removed, ...]
    unreadable: tuple[str, ...]
    """`NAME/VERSION` of those that this account may not read, or that are damaged; `NAME` where it may see no
    version."""


def list_all(datasets: Path) -> Listing:
    """Every version of every data set, and what was removed; nothing where there is no folder.

    Raises: HostNotReady, when this account may not look.
    """
    versions: list[Version] = []
    removed: list[Removed] = []
    unreadable: list[str] = []
    try:
        homes = sorted(path for path in datasets.iterdir() if NAME.fullmatch(path.name))
    except FileNotFoundError:
        homes = []
    except OSError as error:
        raise HostNotReady(
            say("{path} cannot be read.", path=datasets),
            why=reason(error),
            next_step="Ask an administrator to add you to the group islet-train.",
        ) from error
    for home in homes:
        try:
            paths = numbered(home)
        except NotADirectoryError:  # a file that lies beside the data sets
            continue
        except OSError:
            unreadable.append(home.name)
            continue
        for path in paths:
            try:
                if path.name.endswith(GONE):
                    removed.append(read_document(path, Removed))
                else:
                    versions.append(read_version(path))
            except (OSError, ApplianceError):
                unreadable.append(f"{home.name}/{path.name}")
    return Listing(tuple(versions), tuple(removed), tuple(unreadable))


def find(datasets: Path, name: str, version: int | None = None) -> Version:
    """A version, the newest where none is named; its record is read, its rows are not.

    Raises: BadInput, when it is not there; StepFailed, when its record is damaged; HostNotReady, when this
    account may not read it.
    """
    check_name(name)
    home = datasets / name
    wanted = f"{name}@{version}" if version else name
    try:
        numbers = [int(path.name) for path in numbered(home) if path.name.isdecimal()]
        number = version or max(numbers, default=0)
        if number not in numbers:
            raise _absent(home, wanted, number)
        return read_version(home / str(number))
    except OSError as error:
        raise _unreadable(wanted, error) from error


def check_rows(version: Version) -> None:
    """Pass if the rows are what was added.

    Raises: StepFailed, when they are not; HostNotReady, when they are gone, or not this account's to read.
    """
    try:
        with version.rows.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise _unreadable(version.record.reference, error) from error
    if sha256 != version.record.sha256:
        raise StepFailed(
            say("The rows of {reference} are not what was added.", reference=version.record.reference),
            why=say(
                "their SHA-256 is {found}, {stated} was recorded", found=sha256, stated=version.record.sha256
            ),
            next_step="Restore them from a backup, or remove this version; do not train on it.",
        )


def keep_until(version: Version, until: datetime.date, *, by: str) -> Version:
    """Set the day until which a version may be kept. Raises: HostNotReady."""
    try:
        return replace(version, retention=write_retention(version.folder, until, by=by))
    except OSError as error:
        raise HostNotReady(
            say("The data set {reference} cannot be changed.", reference=version.record.reference),
            why=reason(error),
            next_step="Ask who added it, or an administrator.",
        ) from error


def _unreadable(reference: str, error: OSError) -> HostNotReady:
    return HostNotReady(
        say("The data set {reference} cannot be read.", reference=reference),
        why=reason(error),
        next_step="Ask who added it, or an administrator.",
    )


def _absent(home: Path, wanted: str, number: int) -> BadInput:
    """Why there is no such version: it was removed, others are there, or nothing is."""
    why = say("there is no data set of that name")
    with suppress(OSError, ApplianceError):
        gone = read_document(home / f"{number}{GONE}", Removed)
        why = say("it was removed on {day}: {reason}", day=gone.removed[:10], reason=gone.reason)
        return BadInput(say("There is no data set {reference}.", reference=wanted), why=why, next_step=_LIST)
    there = [path.name for path in numbered(home) if path.name.isdecimal()]
    if there:
        why = say("its versions are {versions}", versions=", ".join(there))
    return BadInput(say("There is no data set {reference}.", reference=wanted), why=why, next_step=_LIST)


_LIST = say("Name one that `islet data list` names.")


def read_version(folder: Path) -> Version:
    """The version in `folder`. Raises: StepFailed, when its record is damaged, or another's; OSError."""
    record = read_document(folder / RECORD, Record)
    if (record.name, str(record.version)) != (folder.parent.name, folder.name):
        raise StepFailed(
            say("{path} cannot be read.", path=folder / RECORD),
            why=say("it is the record of {reference}", reference=repr(record.reference)),
            next_step="Put it back from a backup, or have an administrator remove the folder.",
        )
    return Version(folder, record, find_retention(folder))


def numbered(home: Path) -> Sequence[Path]:
    """Versions that are or were there, by number; none where there is no folder."""
    try:
        found = [path for path in home.iterdir() if path.name.removesuffix(GONE).isdecimal()]
    except FileNotFoundError:
        return ()
    return sorted(found, key=lambda path: int(path.name.removesuffix(GONE)))
