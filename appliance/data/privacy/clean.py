"""Rows without identifiers as a new file, and the report of what was done: kinds and counts, never text."""

import hashlib
import json
import os
import secrets
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from appliance.data.privacy.detector import Detector
from appliance.data.privacy.kinds import Kind
from appliance.data.privacy.made_up import made_up_notes
from appliance.data.privacy.measure import measure
from appliance.data.privacy.redact import Action, Redactor
from appliance.data.privacy.surrogates import Surrogates
from appliance.data.read import Reading
from appliance.durable import write_whole
from appliance.errors import BadInput
from appliance.run.rows import Row
from appliance.sentence import reason, say

MEASURED_NOTES = 1000
REPORT_ENDS = ".privacy.json"


@dataclass(frozen=True)
class Wishes:
    """What a site wants done."""

    default: Action = "mask"
    keep: Mapping[Kind, str] = field(default_factory=dict)
    """Kinds that stay, each with the reason, which the report names."""
    names: tuple[str, ...] = ()
    """Names that the site knows; used here, written nowhere."""
    record_patterns: tuple[str, ...] = ()

    def action(self, kind: Kind) -> Action:
        """What becomes of identifiers of this kind."""
        return "keep" if kind in self.keep else self.default


@dataclass(frozen=True)
class KindCount:
    """What was found of one kind."""

    kind: Kind
    found: int
    rows: int
    action: Action
    left: int
    """What a second pass over the new rows found."""


@dataclass(frozen=True)
class Cleaned:
    """New rows, and what was found in the old ones."""

    rows: tuple[Row, ...]
    touched: tuple[int, ...]
    """Positions in `rows` of those in which something was found."""
    kinds: tuple[KindCount, ...]


def clean_rows(rows: Sequence[Row], wishes: Wishes) -> Cleaned:
    """Every row as `wishes` say. The key of false values is drawn here and forgotten here.

    Raises: BadInput, for a pattern that is none.
    """
    detector = Detector(names=wishes.names, record_patterns=wishes.record_patterns)
    actions = {kind: wishes.action(kind) for kind in Kind}
    redactor = Redactor(detector, actions, Surrogates(secrets.token_bytes(32)))
    done = [redactor.redact(row) for row in rows]
    found, left, with_kind = Counter[Kind](), Counter[Kind](), Counter[Kind]()
    for one in done:
        found.update(one.found)
        left.update(one.left)
        with_kind.update(set(one.found))
    kinds = tuple(
        KindCount(kind, found[kind], with_kind[kind], actions[kind], left[kind])
        for kind in Kind
        if found[kind] or left[kind]
    )
    touched = tuple(at for at, one in enumerate(done) if one.found)
    return Cleaned(tuple(one.row for one in done), touched, kinds)


@dataclass(frozen=True)
class Review:
    """What a person said of new rows that were shown to him."""

    looked_at: int
    objected: tuple[int, ...]
    """Numbers of the new rows in which he saw a person named."""


def write_clean(out: Path, reading: Reading, cleaned: Cleaned, wishes: Wishes, review: Review) -> Path:
    """Write the new rows to `out` as OpenAI messages, one a line, and the report beside; its path.

    Raises: BadInput, as `check_free`; OSError.
    """
    report = check_free(out)
    lines = [
        json.dumps(
            {"messages": [{"role": turn.role, "content": turn.content} for turn in row.messages]},
            ensure_ascii=False,
        )
        for row in cleaned.rows
    ]
    content = "".join(f"{line}\n" for line in lines).encode()
    document = _report(reading, cleaned, wishes, review, hashlib.sha256(content).hexdigest())
    write_whole(out, content, mode=0o600)
    write_whole(report, json.dumps(document, ensure_ascii=False, indent=1).encode() + b"\n", mode=0o600)
    return report


def check_free(out: Path) -> Path:
    """Pass if new rows can be written to `out`; the path of the report beside it.

    Raises: BadInput, when a file of that name is there, or the folder is not.
    """
    report = out.with_name(out.name + REPORT_ENDS)
    for path in (out, report):
        if path.exists():
            raise BadInput(
                say("{path} is there already.", path=path),
                why="nothing is written over",
                next_step="Give another name, or move the old file away.",
            )
    if not out.absolute().parent.is_dir():
        raise BadInput(
            say("{path} cannot be written.", path=out),
            why=say("there is no folder {folder}", folder=out.absolute().parent),
            next_step="Make the folder, or give a name in one that is there.",
        )
    return report


def _report(
    reading: Reading, cleaned: Cleaned, wishes: Wishes, review: Review, sha256: str
) -> dict[str, Any]:
    return {
        "format": "islet-privacy-1",
        "sources": [
            {"file": Path(file.path).name, "sha256": file.sha256, "rows": file.rows_in}
            for file in reading.files
        ],
        "rows_in": sum(file.rows_in for file in reading.files),
        "rows_out": len(cleaned.rows),
        "rows_refused": len(reading.problems),
        "rows_with_identifiers": len(cleaned.touched),
        "sha256": sha256,
        "identifiers": [asdict(kind) for kind in cleaned.kinds],
        "kept": [{"kind": kind, "reason": why} for kind, why in wishes.keep.items()],
        "names_listed": len(wishes.names),
        "record_patterns": list(wishes.record_patterns),
        "review": {"looked_at": review.looked_at, "objected": list(review.objected)},
        "measured": measured_document(),
    }


def measured_document() -> dict[str, Any]:
    """What the rules find of made-up notes, and what that does not show."""
    notes = made_up_notes(MEASURED_NOTES)
    alone, listed = measure(notes), measure(notes, with_names=True)
    return {
        "notes": MEASURED_NOTES,
        "kinds": [
            {"kind": one.kind, "there": one.there, "recall": round(one.recall, 4),
             "recall_with_name_list": round(other.recall, 4), "precision": round(one.precision, 4)}
            for one, other in zip(alone, listed, strict=True)
        ],
        "does_not_show": WHAT_IT_DOES_NOT_SHOW,
    }  # fmt: skip


WHAT_IT_DOES_NOT_SHOW = say(
    "These notes are made up. Yours are written otherwise, and more is missed in them: look at a sample, and "
    "give the names that your own system knows."
)


def forget(path: Path) -> None:
    """Overwrite and remove the file at `path`.

    What was copied elsewhere stays, and so may old blocks of a solid-state disk or a journal.

    Raises: BadInput, when that is not possible.
    """
    try:
        with path.open("r+b") as file:
            length = file.seek(0, os.SEEK_END)
            file.seek(0)
            file.write(b"\0" * length)
            file.flush()
            os.fsync(file.fileno())
        path.unlink()
    except OSError as error:
        raise BadInput(
            say("{path} could not be removed.", path=path),
            why=reason(error),
            next_step="Remove it by hand: it holds the names of patients.",
        ) from error
