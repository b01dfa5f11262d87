"""What becomes of an identifier: a placeholder, a false value, or, by a recorded decision, itself."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from appliance.data.privacy.detector import Detector
from appliance.data.privacy.kinds import PLACEHOLDERS, Found, Kind
from appliance.data.privacy.surrogates import Surrogates
from appliance.run.rows import Message, Row

Action = Literal["mask", "replace", "keep"]

_IDENTIFYING = (Kind.ID, Kind.RECORD, Kind.NAME)
"""Kinds that tell patients apart, the surest first."""


@dataclass(frozen=True)
class Redacted:
    """One row without identifiers, and what was done; positions and kinds, never text."""

    row: Row
    found: Counter[Kind]
    left: Counter[Kind]
    """What a second pass finds in the new text beside the false values that were put there."""


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
        """`row` with every message redacted; the same value becomes the same false value in all of them."""
        found = [self._detector.find(message.content) for message in row.messages]
        patient = _patient(row, found)
        messages, left = [], Counter[Kind]()
        for message, there in zip(row.messages, found, strict=True):
            text, put = self._rewrite(message.content, there, patient)
            messages.append(Message(message.role, text))
            left.update(self._left(text, put))
        counts = Counter(one.kind for there in found for one in there)
        return Redacted(replace(row, messages=tuple(messages)), counts, left)

    def _rewrite(self, text: str, found: Sequence[Found], patient: str) -> tuple[str, list[tuple[int, int]]]:
        """The new text, and where in it something was put or kept on purpose."""
        chinese = any("\u4e00" <= character <= "\u9fff" for character in text)
        parts, put, at, length = [], [], 0, 0
        for one in found:
            value = self._instead(text[one.start : one.end], one, patient, chinese=chinese)
            parts += [text[at : one.start], value]
            length += one.start - at
            put.append((length, length + len(value)))
            length += len(value)
            at = one.end
        return "".join([*parts, text[at:]]), put

    def _instead(self, value: str, found: Found, patient: str, *, chinese: bool) -> str:
        action = self._actions.get(found.kind, "mask")
        if action == "keep":
            return value
        false = (
            self._surrogates.instead(found.kind, value, patient)
            if action == "replace" and self._surrogates
            else None
        )
        return PLACEHOLDERS[found.kind][chinese] if false is None else false

    def _left(self, text: str, put: Sequence[tuple[int, int]]) -> Counter[Kind]:
        return Counter(
            one.kind
            for one in self._detector.find(text)
            if not any(start < one.end and one.start < end for start, end in put)
        )


def _patient(row: Row, found: Sequence[Sequence[Found]]) -> str:
    """What tells this row's patient from others: the surest identifier in it, else the row itself."""
    for kind in _IDENTIFYING:
        for message, there in zip(row.messages, found, strict=True):
            for one in there:
                if one.kind is kind:
                    return f"{kind}:{message.content[one.start : one.end]}"
    return f"row:{row.source_sha256}:{row.row}"
