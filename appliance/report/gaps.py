"""What a report should say and cannot: it says that, and why. Nothing is ever made up in its place."""

from dataclasses import dataclass

from appliance.locale.voice import Voice
from appliance.report.blocks import Paragraph


@dataclass(frozen=True)
class Missing:
    """Stands where a fact would."""

    why: str


def gap(what: str, missing: Missing, say: Voice) -> Paragraph:
    """The sentence that says so."""
    return Paragraph(say("Missing: {what} ({why}).", what=what, why=say.again(missing.why)), "caution")
