"""What a report should say and cannot: it says that, and why. Nothing is ever made up in its place."""

from dataclasses import dataclass

from appliance.report.blocks import Paragraph
from appliance.report.words import Words


@dataclass(frozen=True)
class Missing:
    """Stands where a fact would."""

    why: str


def gap(what: str, missing: Missing, words: Words) -> Paragraph:
    """The sentence that says so."""
    return Paragraph(words.missing.format(what, missing.why), "caution")
