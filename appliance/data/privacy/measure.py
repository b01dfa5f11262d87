"""How much the rules find of what is known to be there.

Found counts an identifier of which no character is left uncovered, whatever kind the rules took it for.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from appliance.data.privacy.detector import Detector
from appliance.data.privacy.kinds import Kind
from appliance.data.privacy.made_up import Note, made_up_notes
from appliance.sentence import say

MEASURED_NOTES = 1000


@dataclass(frozen=True)
class Measured:
    """One kind."""

    kind: Kind
    there: int
    found: int
    """Of those, completely covered."""
    findings: int
    right: int
    """Of those, on something that is an identifier."""

    @property
    def recall(self) -> float:
        """Share of what is there that is found; 1 when nothing is there."""
        return self.found / self.there if self.there else 1.0

    @property
    def precision(self) -> float:
        """Share of findings that are right; 1 when nothing is found."""
        return self.right / self.findings if self.findings else 1.0


def measure(notes: list[Note], *, with_names: bool = False) -> list[Measured]:
    """By kind; `with_names`: the site gives its list of names, as it can from its own system."""
    detector = Detector(names={name for note in notes for name in note.names} if with_names else ())
    there, found, findings, right = (Counter[Kind]() for _ in range(4))
    for note in notes:
        spans = detector.find(note.text)
        covered = {at for one in spans for at in range(one.start, one.end)}
        for kind, start, end in note.truth:
            there[kind] += 1
            found[kind] += all(at in covered for at in range(start, end))
        for one in spans:
            findings[one.kind] += 1
            right[one.kind] += any(one.start < end and start < one.end for _, start, end in note.truth)
    return [Measured(kind, there[kind], found[kind], findings[kind], right[kind]) for kind in Kind]


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
