"""Rows without identifiers as a new file, and the report of what was done: kinds and counts, never text."""

import hashlib
import json
import os
import secrets
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from appliance.data.privacy.detector import Detector
from appliance.data.privacy.kinds import Kind
from appliance.data.privacy.measure import measured_document
from appliance.data.privacy.redact import Action, Redactor
from appliance.data.privacy.spread import Spread
from appliance.data.privacy.surrogates import Surrogates
from appliance.data.written import check_free, check_place, with_report, write
from appliance.durable import write_whole
from appliance.errors import BadInput
from appliance.run.rows import Problem, Row
from appliance.sentence import listed, reason, say

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
    looked_at: int = 0
    """New rows that a person is to look at."""

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
    """What was found in rows, and what is to be looked at of the new ones."""

    rows: int
    refused: int
    """Rows that could not be used; they are not among `rows`."""
    touched: int
    """Rows in which something was found."""
    kinds: tuple[KindCount, ...]
    sources: tuple[tuple[str, str, int], ...]
    """(name without identifiers, sha256, rows) of each file that rows came from."""
    sample: tuple[tuple[int, Row], ...]
    """(number among the new rows, from 1; the row): spread over those in which something was found and the
    others alike."""


class Cleaning:
    """Rows one at a time as `wishes` say, and what was found in all of them.

    The key of false values is drawn here and forgotten with it.

    Raises: BadInput, for a pattern that is none.
    """

    def __init__(self, wishes: Wishes) -> None:
        self._wishes = wishes
        detector = Detector(names=wishes.names, record_patterns=wishes.record_patterns)
        actions = {kind: wishes.action(kind) for kind in Kind}
        self._redactor = Redactor(detector, actions, Surrogates(secrets.token_bytes(32)))
        self._found, self._left, self._with_kind = Counter[Kind](), Counter[Kind](), Counter[Kind]()
        self._sources = Counter[tuple[str, str]]()
        self._rows = self._refused = self._touched = 0
        self._changed, self._untouched = Spread[Row](wishes.looked_at), Spread[Row](wishes.looked_at)

    def through(self, rows: Iterable[Row | Problem]) -> Iterator[Row]:
        """The new rows, in order; what is wrong with the others is counted."""
        for row in rows:
            if isinstance(row, Problem):
                self._refused += 1
                continue
            done = self._redactor.redact(row)
            self._rows += 1
            self._sources[done.row.file, done.row.source_sha256] += 1
            (self._changed if done.found else self._untouched).add(self._rows, done.row)
            if done.found:
                self._touched += 1
                self._found.update(done.found)
                self._left.update(done.left)
                self._with_kind.update(set(done.found))
            yield done.row

    def result(self) -> Cleaned:
        """What was found in the rows so far."""
        kinds = tuple(
            KindCount(
                kind, self._found[kind], self._with_kind[kind], self._wishes.action(kind), self._left[kind]
            )
            for kind in Kind
            if self._found[kind] or self._left[kind]
        )
        sources = tuple((file, sha256, count) for (file, sha256), count in self._sources.items())
        return Cleaned(self._rows, self._refused, self._touched, kinds, sources, self._sample())

    def _sample(self) -> tuple[tuple[int, Row], ...]:
        """Half of the rows that are looked at had nothing that was found: what is missed stands there."""
        wanted = self._wishes.looked_at
        untouched = self._untouched.taken(max(wanted // 2, wanted - self._changed.held))
        changed = self._changed.taken(wanted - len(untouched))
        return tuple(sorted((*changed, *untouched), key=lambda each: each[0]))


@dataclass(frozen=True)
class Review:
    """What a person said of new rows that were shown to him."""

    looked_at: int
    objected: tuple[int, ...]
    """Numbers of the new rows in which he saw a person named."""


def write_clean(
    out: Path, rows: Iterable[Row | Problem], wishes: Wishes, look: Callable[[Cleaned], Review]
) -> Cleaned:
    """Write the new rows to `out` and the report beside, or nothing at all.

    look: what a person says of the new rows, asked before they are at their place; what it raises stops all

    Raises: BadInput, as `check_both_free`, and when a person saw somebody named; HostNotReady, when the disk
    is full.
    """
    check_both_free(out)
    cleaning = Cleaning(wishes)
    reviews: list[Review] = []

    def looked_at() -> Iterator[Row]:
        yield from cleaning.through(rows)
        reviews.append(look(cleaning.result()))
        check_review(reviews[0])

    write(out, looked_at())
    cleaned = cleaning.result()
    with with_report(out):
        with out.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        document = json.dumps(_report(cleaned, wishes, reviews[0], sha256), ensure_ascii=False, indent=1)
        write_whole(report_of(out), document.encode() + b"\n", mode=0o600)
    return cleaned


def look_for(rows: Iterable[Row | Problem], wishes: Wishes) -> Cleaned:
    """What names somebody in rows; nothing is written. Raises: BadInput, for a pattern that is none."""
    cleaning = Cleaning(wishes)
    for _ in cleaning.through(rows):
        pass
    return cleaning.result()


def check_review(review: Review) -> None:
    """Pass if the person saw nobody named. Raises: BadInput."""
    if not review.objected:
        return
    numbers = listed([str(number) for number in review.objected])
    raise BadInput(
        say("{count} of the rows that you looked at still name a person.", count=len(review.objected)),
        why=say("the rows {numbers}; nothing was written", numbers=numbers),
        next_step="Give the names (--names) or your record numbers (--record-number), and start again.",
    )


def report_of(out: Path) -> Path:
    """Where the report on the rows at `out` is."""
    return out.with_name(out.name + REPORT_ENDS)


def check_both_free(out: Path) -> None:
    """Pass if rows can be written to `out`, and the report beside. Raises: BadInput."""
    check_free(out)
    check_place(report_of(out))


def _report(cleaned: Cleaned, wishes: Wishes, review: Review, sha256: str) -> dict[str, Any]:
    return {
        "format": "islet-privacy-1",
        "sources": [{"file": file, "sha256": digest, "rows": rows} for file, digest, rows in cleaned.sources],
        "rows_in": cleaned.rows + cleaned.refused,
        "rows_out": cleaned.rows,
        "rows_refused": cleaned.refused,
        "rows_with_identifiers": cleaned.touched,
        "sha256": sha256,
        "identifiers": [asdict(kind) for kind in cleaned.kinds],
        "kept": [{"kind": kind, "reason": why} for kind, why in wishes.keep.items()],
        "names_listed": len(wishes.names),
        "record_patterns": list(wishes.record_patterns),
        "review": {"looked_at": review.looked_at, "objected": list(review.objected)},
        "measured": measured_document(),
    }


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
