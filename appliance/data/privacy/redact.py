"""What becomes of an identifier: a placeholder, a false value, or, by a recorded decision, itself."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from appliance.data.privacy.detector import Detector
from appliance.data.privacy.fields import Leaf, fields_of, with_fields
from appliance.data.privacy.kinds import PLACEHOLDERS, Found, Kind
from appliance.data.privacy.surrogates import Surrogates, as_one
from appliance.run.rows import Row

Action = Literal["mask", "replace", "keep"]

STEP: dict[Action, str] = {"mask": "identifiers masked", "replace": "identifiers replaced"}
"""What a row says of itself afterwards."""

_HAN = re.compile("[\u4e00-\u9fff]")
_IDENTIFYING = (Kind.ID, Kind.RECORD, Kind.NAME)
"""Kinds that tell patients apart, the surest first."""


@dataclass(frozen=True)
class Redacted:
    """One row without identifiers, and what was done; positions and kinds, never text."""

    row: Row
    found: Counter[Kind]
    left: Counter[Kind]
    """What a second pass finds in the new text beside the false values that were put there."""


@dataclass(frozen=True, slots=True)
class _Who:
    """What all texts of a row have in common."""

    patient: str
    is_chinese: bool
    """Whether there is Chinese in it: placeholders are too, then."""


class Redactor:
    """Takes identifiers out of rows.

    actions: by kind; a kind that is not named is masked. surrogates: needed where one is `replace`.
    """

    def __init__(
        self, detector: Detector, actions: Mapping[Kind, Action], surrogates: Surrogates | None = None
    ) -> None:
        self._detector = detector
        self._actions = actions
        self._surrogates = surrogates

    def redact(self, row: Row) -> Redacted:
        """`row` with every text redacted; the same value becomes the same false value in all of them."""
        fields = fields_of(row)
        leaves = [leaf for field in fields for leaf in field.leaves]
        found = self._find(leaves)
        if not any(found):
            return Redacted(row, Counter(), Counter())
        who = _Who(
            _patient(row, leaves, found), any(_HAN.search(leaf.before + leaf.value) for leaf in leaves)
        )
        rewritten = [self._rewrite(leaf.value, there, who) for leaf, there in zip(leaves, found, strict=True)]
        new = [Leaf(leaf.before, text) for leaf, (text, _) in zip(leaves, rewritten, strict=True)]
        values = iter([leaf.value for leaf in new])
        texts = [field.made_of([next(values) for _ in field.leaves]) for field in fields]
        counts = Counter(one.kind for there in found for one in there)
        left = self._left(new, [put for _, put in rewritten])
        return Redacted(self._with_steps(with_fields(row, texts), row, counts), counts, left)

    def _find(self, leaves: Sequence[Leaf]) -> list[list[Found]]:
        """What is found in the value of each leaf."""
        found = self._detector.find_in([leaf.before + leaf.value for leaf in leaves])
        return [list(_within(there, len(leaf.before))) for leaf, there in zip(leaves, found, strict=True)]

    def _with_steps(self, new: Row, old: Row, found: Counter[Kind]) -> Row:
        done = {STEP[action] for kind in found if (action := self._actions.get(kind, "mask")) != "keep"}
        return new if new == old else replace(new, steps=(*old.steps, *sorted(done)))

    def _rewrite(self, text: str, found: Sequence[Found], who: "_Who") -> tuple[str, list[tuple[int, int]]]:
        """The new text, and where in it something was put or kept on purpose."""
        parts, put, at, length = [], [], 0, 0
        for one in found:
            value = self._instead(text[one.start : one.end], one, who)
            parts += [text[at : one.start], value]
            length += one.start - at
            put.append((length, length + len(value)))
            length += len(value)
            at = one.end
        return "".join([*parts, text[at:]]), put

    def _instead(self, value: str, found: Found, who: "_Who") -> str:
        action = self._actions.get(found.kind, "mask")
        if action == "keep":
            return value
        false = (
            self._surrogates.instead(found.kind, value, who.patient)
            if action == "replace" and self._surrogates
            else None
        )
        return PLACEHOLDERS[found.kind][who.is_chinese] if false is None else false

    def _left(self, leaves: Sequence[Leaf], put: Sequence[Sequence[tuple[int, int]]]) -> Counter[Kind]:
        return Counter(
            one.kind
            for there, kept in zip(self._find(leaves), put, strict=True)
            for one in there
            if not any(start < one.end and one.start < end for start, end in kept)
        )


def _within(found: Sequence[Found], length: int) -> Iterator[Found]:
    """Findings behind the first `length` characters, counted from there."""
    for one in found:
        if one.end > length:
            yield one._replace(start=max(0, one.start - length), end=one.end - length)


def _patient(row: Row, leaves: Sequence[Leaf], found: Sequence[Sequence[Found]]) -> str:
    """What tells this row's patient from others: its group, its surest identifier, or the row itself."""
    if row.group:
        return f"group:{row.group}"
    for kind in _IDENTIFYING:
        for leaf, there in zip(leaves, found, strict=True):
            for one in there:
                if one.kind is kind:
                    return f"{kind}:{as_one(kind, leaf.value[one.start : one.end])}"
    return f"row:{row.source_sha256}:{row.row}"
