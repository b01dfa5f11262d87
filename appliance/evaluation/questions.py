"""What is asked: the plan's sets, and the run's own rows, trained and held out each by itself."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from appliance.data.canonical import read_rows
from appliance.data.kinds import of_kind
from appliance.data.read import FileReport, read_file
from appliance.data.registry.reference import check_unchanged
from appliance.data.tally import check_bad_share
from appliance.errors import BadInput
from appliance.run.folder import RunFolder
from appliance.run.plan import Plan
from appliance.run.rows import Row
from appliance.sentence import say

OWN_SETS = {"trained": ("train.parquet", 50), "held-out": ("held_out.parquet", 200)}
"""Name of a set made of the run's own rows: its file in `data/`, and how many rows are asked at most."""


Conversation = tuple[tuple[str, str], ...]
"""Roles and words."""


@dataclass(frozen=True)
class Questions:
    """A set of questions, read."""

    name: str
    judge: Literal["exact", "contains"]
    path: Path
    sha256: str
    available: int
    """Rows in the file."""
    rows: tuple[Row, ...]
    """Those that are asked."""


def read_questions(run: RunFolder, plan: Plan) -> list[Questions]:
    """Every set to be asked: the plan's, then the run's own where the plan has none of that name.

    Raises: BadInput, when a set has a bad row, or there is nothing to ask.
    """
    sets = []
    check_unchanged(plan.evaluation.sets)
    for choice in plan.evaluation.sets:
        path = Path(choice.path)
        reading = of_kind(read_file(path, system=plan.model.system), "chat")
        remedy = say("Correct these questions: every one is asked.")
        check_bad_share(len(reading.rows), len(reading.problems), reading.problems, 0.0, remedy=remedy)
        sha256 = _sha256(path, reading.files)
        sets.append(Questions(choice.name, choice.judge, path, sha256, len(reading.rows), reading.rows))
    named = {each.name for each in sets}
    for name, (file, most) in OWN_SETS.items():
        path = run.data / file
        if name not in named and path.is_file() and (rows := read_rows(path)):
            sha256 = _sha256(path, ())
            sets.append(Questions(name, "exact", path, sha256, len(rows), sample(rows, most)))
    if not sets:
        raise BadInput(
            "There are no questions to ask.",
            why="`evaluation.sets` is empty, and the run holds no rows of its own",
            next_step="Train the run, or add a set of questions to the plan and make a new run.",
        )
    return sets


def trained_questions(run: RunFolder) -> frozenset[Conversation]:
    """Every question that the run was trained on; none where its rows are not there any more."""
    path = run.data / OWN_SETS["trained"][0]
    return frozenset(conversation(row) for row in read_rows(path)) if path.is_file() else frozenset()


def conversation(row: Row) -> Conversation:
    """What stands before the last answer, without the system prompt and blanks around a turn."""
    turns = (turn for turn in row.question if turn.role != "system")
    return tuple((turn.role, turn.content.strip()) for turn in turns)


def _sha256(path: Path, files: Sequence[FileReport]) -> str:
    """SHA-256 of the file at `path`; of a folder, of the list of its `files` as sha256sum writes it."""
    if path.is_dir():
        lines = "".join(f"{file.sha256}  {file.name}\n" for file in files)
        return hashlib.sha256(lines.encode()).hexdigest()
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def sample(rows: Sequence[Row], most: int) -> tuple[Row, ...]:
    """At most `most` of the rows, in their order; the same ones every time, spread by their hashes."""
    if len(rows) <= most:
        return tuple(rows)
    keys = [hashlib.sha256(f"{row.source_sha256} {row.row}".encode()).digest() for row in rows]
    chosen = sorted(sorted(range(len(rows)), key=keys.__getitem__)[:most])
    return tuple(rows[index] for index in chosen)
