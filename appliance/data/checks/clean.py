"""Rows with the named faults mended or left out, as a new file; every row that is left out is listed."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from appliance.data.checks.batch import answer_of, without_thoughts
from appliance.data.checks.check import Checked, Rows
from appliance.data.checks.finding import KINDS, Hits
from appliance.data.checks.marks import KNOWN, pattern_of
from appliance.data.written import check_free, check_place, with_report, write
from appliance.durable import whole_file
from appliance.run.rows import Message, Problem, Row

REPORT_ENDS = ".clean.json"
MENDABLE = ("control-tokens", "template-marks", "thinking-mixed")
DROPPABLE = tuple(code for code in KINDS if code != "unusable")
"""A row that cannot be used is always left out, and listed."""

OF_A_MODEL = ("too-long", "control-tokens", "template", "no-stop", "unknown-tokens")
OF_A_VALIDATION = ("leakage", "near-leakage")
"""What is found only where a model, or rows for validation, are named."""

AMONG_THEMSELVES = ("near-duplicates", "other-numbers")
"""What a row that is nearly one of the validation is not told: it is told as `near-leakage` alone."""

BY_DEFAULT = ("exact-duplicates", "empty")


@dataclass(frozen=True)
class Wishes:
    """What is done about which findings."""

    drop: Collection[str] = BY_DEFAULT
    mend: Collection[str] = ()
    controls: Sequence[str] = ()
    """The model's special tokens, for mending `control-tokens`."""


@dataclass
class Cleaned:
    """What became of the rows: rows in = rows out + rows listed."""

    dropped: list[dict[str, Any]] = field(default_factory=list)
    """Of each row that was left out: `file`, `row`, `codes`; of one that cannot be used why."""
    mended: list[dict[str, Any]] = field(default_factory=list)
    """The same of each row that was changed."""
    rows_in: int = 0
    rows_out: int = 0

    def counts(self) -> dict[str, int]:
        """Rows that were left out, by code; one with several counts for each."""
        return dict(Counter(code for each in self.dropped for code in each["codes"]))


def report_of(out: Path) -> Path:
    """Where the report on the rows at `out` is."""
    return out.with_name(out.name + REPORT_ENDS)


def check_out(out: Path) -> None:
    """Pass if rows can be written to `out`, and the report beside.

    Raises: BadInput, when one of them is there already, or the folder is not, or the name ends otherwise.
    """
    check_free(out)
    check_place(report_of(out))


def write_clean(
    out: Path, rows: Rows, checked: Checked, first: int, wishes: Wishes, alone: Checked | None = None
) -> Cleaned:
    """Write rows to `out` and the report beside.

    rows: those that are written; first: the number of the first of them in `checked`
    alone: what is found `AMONG_THEMSELVES`, where `checked` has a validation too

    Raises: BadInput, as `check_out`; HostNotReady, when the disk is full.
    """
    check_out(out)
    cleaned = Cleaned()
    if alone is None:
        hits = _hits(checked, first, wishes.drop)
    else:
        hits = _hits(checked, first, set(wishes.drop) - set(AMONG_THEMSELVES))
        hits += _hits(alone, 0, set(wishes.drop) & set(AMONG_THEMSELVES))
    write(out, _clean(rows(), _codes(hits), wishes, cleaned))
    with with_report(out):
        _write_report(out, cleaned, wishes)
    return cleaned


def mender_of(wishes: Wishes) -> Callable[[Row], Row]:
    """What mends one row; a row without the faults stays as it is."""
    changes: list[tuple[str, Callable[[str], str]]] = []
    tokens = (*wishes.controls, *KNOWN) if "template-marks" in wishes.mend else wishes.controls
    if tokens and {"control-tokens", "template-marks"} & set(wishes.mend):
        pattern = pattern_of(tokens)
        changes.append(("control tokens removed", lambda text: pattern.sub("", text)))
    if "thinking-mixed" in wishes.mend:
        changes.append(("thoughts removed", without_thoughts))

    def mend(row: Row) -> Row:
        for step, change in changes:
            new = _changed(row, change)
            if new != row:
                row = replace(new, steps=(*new.steps, step))
        return row

    return mend


def _clean(
    rows: Iterable[Row | Problem], codes: dict[int, list[str]], wishes: Wishes, cleaned: Cleaned
) -> Iterator[Row]:
    mend, number = mender_of(wishes), -1
    for row in rows:
        cleaned.rows_in += 1
        if isinstance(row, Problem):
            why = {"field": row.field, "what": row.what}
            cleaned.dropped.append({"file": row.file, "row": row.row, "codes": ["unusable"], **why})
            continue
        number += 1
        place = {"file": row.file, "row": row.row}
        if number in codes:
            cleaned.dropped.append({**place, "codes": codes[number]})
            continue
        new = mend(row)
        if new is not row and _is_emptied(row, new):
            cleaned.dropped.append({**place, "codes": ["empty"]})
            continue
        if new is not row:
            cleaned.mended.append({**place, "steps": list(new.steps[len(row.steps) :])})
        cleaned.rows_out += 1
        yield new


def _is_emptied(old: Row, new: Row) -> bool:
    """Whether nothing but what was removed was the answer, or a turn: no row is learned without one."""
    before, after = (_turns(row) for row in (old, new))
    lost = (
        was.content and not turn.content and not turn.calls for was, turn in zip(before, after, strict=True)
    )
    return any(lost) or not answer_of(new)


def _turns(row: Row) -> tuple[Message, ...]:
    return (*row.messages, row.rejected) if row.rejected else row.messages


def _hits(checked: Checked, first: int, drop: Collection[str]) -> list[Hits]:
    """What is found of the codes to drop, in the order of the codes, rows counted from `first`."""
    found = (hits for code in DROPPABLE if code in drop for hits in checked.hits if hits.code == code)
    return [
        replace(hits, at=hits.at - first, twins=None if hits.twins is None else hits.twins - first)
        for hits in found
    ]


def _codes(dropped: Sequence[Hits]) -> dict[int, list[str]]:
    """Number of each row that is left out, with the codes that it is left out for.

    Of rows that say the same, one stays that is left out for nothing else, where there is one.
    """
    found: dict[int, list[str]] = {}
    for hits in dropped:
        if hits.twins is None:
            for row in np.unique(hits.at).tolist():
                if hits.code not in (codes := found.setdefault(row, [])):
                    codes.append(hits.code)
    pairs = (
        (row, twin, hits.code)
        for hits in dropped
        if hits.twins is not None
        for row, twin in zip(hits.at.tolist(), hits.twins.tolist(), strict=True)
    )
    stands_for: dict[int, int] = {}
    for row, twin, code in sorted(pairs):
        while twin in stands_for:
            twin = stands_for[twin]
        if row in found:
            found[row].append(code)
        elif twin in found:
            stands_for[twin] = row
        elif twin != row:
            stands_for[row], found[row] = twin, [code]
    return found


def _changed(row: Row, change: Callable[[str], str]) -> Row:
    """`row` with every text in it changed; one that stays the same keeps its outer spaces too."""

    def changed(message: Message) -> Message:
        return replace(message, content=_kept_or(message.content, change(message.content)))

    return replace(
        row,
        messages=tuple(map(changed, row.messages)),
        rejected=changed(row.rejected) if row.rejected else None,
        text=_kept_or(row.text, change(row.text)),
    )


def _kept_or(old: str, new: str) -> str:
    return old if new.strip() == old.strip() else new.strip()


def _write_report(out: Path, cleaned: Cleaned, wishes: Wishes) -> None:
    digest = hashlib.sha256()
    with out.open("rb") as file:
        for chunk in iter(lambda: file.read(1 << 20), b""):
            digest.update(chunk)
    head = {
        "format": "islet-clean-1",
        "rows_in": cleaned.rows_in,
        "rows_out": cleaned.rows_out,
        "sha256": digest.hexdigest(),
        "drop": sorted(wishes.drop),
        "mend": sorted(wishes.mend),
        "counts": cleaned.counts(),
    }
    with whole_file(report_of(out), mode=0o600) as sink:
        sink.write(json.dumps(head, ensure_ascii=False, indent=1).removesuffix("\n}").encode())
        for name, lines in (("mended", cleaned.mended), ("dropped", cleaned.dropped)):
            listed = ",\n".join(f"  {json.dumps(each, ensure_ascii=False)}" for each in lines)
            sink.write(f',\n "{name}": [\n{listed}\n ]'.encode())
        sink.write(b"\n}\n")
