"""`dataset:NAME@VERSION` in place of a path: in a plan and on the command line."""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

import msgspec

from appliance.data.registry.record import NAME, ROWS
from appliance.data.registry.store import Version, check_rows, find
from appliance.errors import BadInput
from appliance.run.plan import DataFile, Plan, QuestionSet
from appliance.sentence import say

PREFIX = "dataset:"

Rows = TypeVar("Rows", DataFile, QuestionSet)


def is_reference(text: str) -> bool:
    """Whether a path names a data set of the site."""
    return text.startswith(PREFIX)


def reference_of(path: Path, datasets: Path) -> str:
    """The `dataset:NAME@VERSION` of rows that are named by their path among the `datasets`; "" of others.

    Who picks the file means the data set: its day of removal counts, and who removes it is told of the run.
    """
    folder = path.resolve().parent
    of_site = path.name == ROWS and folder.parent.parent == datasets.resolve()
    if not (of_site and NAME.fullmatch(folder.parent.name) and folder.name.isdecimal()):
        return ""
    return f"{PREFIX}{folder.parent.name}@{folder.name}"


def read_reference(text: str) -> tuple[str, int | None]:
    """(name, version) of `NAME@VERSION` or `NAME`, with or without `dataset:`; None: the newest.

    Raises: BadInput, when it is no such name.
    """
    name, at, number = text.removeprefix(PREFIX).partition("@")
    if at and not (number.isascii() and number.isdigit() and int(number) > 0):
        raise BadInput(
            say("{text} names no version of a data set.", text=text),
            why=say("a version is a number from 1"),
            next_step="Write it like dataset:cardiology@3.",
        )
    return name, int(number) if at else None


def resolve(text: str, datasets: Path) -> Version:
    """The version that `text` names among the `datasets`, its rows being what was added.

    Raises: BadInput, when there is none; StepFailed, when its rows were changed; HostNotReady.
    """
    version = find(datasets, *read_reference(text))
    check_rows(version)
    return version


def place(plan: Plan, datasets: Path, beside: Path) -> tuple[Plan, tuple[Version, ...]]:
    """`plan` with the paths and hashes of the data sets that it names, and these.

    beside: where relative paths of the plan start

    Raises: as `resolve`.
    """
    used: list[Version] = []

    def placed(file: Rows) -> Rows:
        path = file.path
        named = path if is_reference(path) else reference_of(beside / Path(path).expanduser(), datasets)
        if not named:
            return file
        version = resolve(named, datasets)
        used.append(version)
        facts = {"registered": version.record.reference, "sha256": version.record.sha256}
        return msgspec.structs.replace(file, path=str(version.rows.resolve()), **facts)

    data = msgspec.structs.replace(plan.data, train=tuple(map(placed, plan.data.train)))
    asked = msgspec.structs.replace(plan.evaluation, sets=tuple(map(placed, plan.evaluation.sets)))
    return msgspec.structs.replace(plan, data=data, evaluation=asked), tuple(used)


def check_unchanged(files: Iterable[DataFile | QuestionSet]) -> None:
    """Pass if every file of a plan whose hash it keeps still has that.

    Raises: BadInput, naming the first that has not, or is gone.
    """
    for file in files:
        if file.sha256 and _sha256(Path(file.path)) != file.sha256:
            raise BadInput(
                say("{path} is not what the run was made from.", path=file.registered or file.path),
                why=say("its SHA-256 is not {sha256}, or it is gone", sha256=file.sha256),
                next_step="Make a new run, from a version that is there.",
            )


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""
