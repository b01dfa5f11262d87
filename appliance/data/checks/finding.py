"""What a check finds: a code, how grave it is, where, what, and how to mend it. Never a row's own words."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from appliance.run.rows import Problem
from appliance.sentence import Sentence, as_sentence, say

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from appliance.data.checks.places import Places

Severity = Literal["refused", "warning", "note"]
"""`refused`: training does not take the row. `warning`: it harms the model or the measurement.
`note`: worth knowing."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One thing that a check looks for."""

    severity: Severity
    title: Sentence
    fix: Sentence


KINDS: dict[str, Kind] = {
    "unusable": Kind("refused", say("cannot be used"), say("correct the row, or delete it")),
    "too-long": Kind(
        "refused",
        say("longer than the model reads"),
        say("shorten it, or raise --max-tokens and training.pack_tokens together"),
    ),
    "control-tokens": Kind(
        "refused",
        say("a model's control tokens in the text"),
        say("remove them: `islet data clean --mend control-tokens`"),
    ),
    "template": Kind("refused", say("refused by the model's template"), say("change the row, or the model")),
    "no-stop": Kind(
        "refused",
        say("no stop token after the answer"),
        say("choose another model: this one would never stop"),
    ),
    "leakage": Kind(
        "warning",
        say("validation question that is also trained"),
        say("take it out of one side: figures of such a validation say too much"),
    ),
    "near-leakage": Kind(
        "warning",
        say("validation row nearly the same as a trained one"),
        say("take it out of one side: figures of such a validation say too much"),
    ),
    "conflicts": Kind(
        "warning",
        say("one question, different answers"),
        say("keep the right answer; or say in the question when which one holds"),
    ),
    "exact-duplicates": Kind(
        "warning", say("the same row again"), say("delete one: `islet data clean --drop exact-duplicates`")
    ),
    "near-duplicates": Kind(
        "warning",
        say("nearly the same row again"),
        say(
            "look at both, and keep both where they say different things: "
            "`islet data clean --drop near-duplicates` keeps the first"
        ),
    ),
    "empty": Kind("warning", say("an answer without content"), say("write the answer, or delete the row")),
    "cut-off": Kind("warning", say("an answer that is cut off"), say("complete it, or delete the row")),
    "question-is-answer": Kind(
        "warning", say("the answer repeats the question"), say("write the answer, or delete the row")
    ),
    "same-choice": Kind(
        "warning",
        say("the better answer is the worse one"),
        say("write two different answers, or delete the row"),
    ),
    "refusals": Kind(
        "warning",
        say("an answer that refuses"),
        say("write the answer; keep the row only where the model should refuse"),
    ),
    "wrong-language": Kind(
        "warning",
        say("another language than most answers"),
        say("translate it, or delete the row; keep it where both languages are wanted"),
    ),
    "thinking-mixed": Kind(
        "warning",
        say("thoughts in some answers only"),
        say("choose one: `islet data clean --mend thinking-mixed` removes the thoughts"),
    ),
    "template-marks": Kind(
        "warning",
        say("marks of a chat template in the text"),
        say("remove them: `islet data clean --mend template-marks`"),
    ),
    "unknown-tokens": Kind(
        "warning",
        say("characters that the model does not know"),
        say("write them otherwise, or choose another model"),
    ),
    "other-numbers": Kind(
        "note",
        say("the same but for its numbers"),
        say("look at both: keep them where the numbers are facts, delete one where they are not"),
    ),
    "too-short": Kind("note", say("a very short answer"), say("complete it, if more is to be learned")),
    "boilerplate": Kind(
        "note",
        say("the same opening or closing as many"),
        say("delete the phrase, if the model should not learn to say it each time"),
    ),
}
"""Every code, in the order in which findings are shown."""

SEVERITIES: dict[Severity, Sentence] = {
    "refused": say("REFUSED"),
    "warning": say("warning"),
    "note": say("note"),
}


FIELDS: dict[str, Sentence] = {
    "row": say("the row"),
    "question": say("the question"),
    "answer": say("the answer"),
    "rejected": say("the worse answer"),
    "system": say("the system prompt"),
    "user": say("an earlier question"),
    "assistant": say("an earlier answer"),
    "tool": say("a tool's result"),
    "text": say("the text"),
}
"""What a check names as the place in a row. Files call these parts in many ways."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One row with one fault."""

    code: str
    severity: Severity
    file: str
    row: int
    field: str
    what: str
    fix: str

    @property
    def field_name(self) -> str:
        """The field as a person calls it; one of the file's own stays as it is written there."""
        return self.field if self.code == "unusable" else FIELDS.get(self.field, self.field)

    def sentence(self, *, with_fix: bool) -> Sentence:
        """Where and what, in one line."""
        if with_fix:
            return Problem(self.file, self.row, self.field, self.what, self.fix).sentence()
        if self.field == "row":
            return say("{file}, row {row}: {what}", file=self.file, row=self.row, what=as_sentence(self.what))
        return say(
            "{file}, row {row}, {field}: {what}",
            file=self.file,
            row=self.row,
            field=self.field_name,
            what=as_sentence(self.what),
        )


@dataclass(frozen=True, slots=True)
class Hits:
    """All rows with one code, before words are made of them."""

    code: str
    at: "NDArray[np.int64]"
    """Numbers of rows in the order in which they were read, from 0, rising."""
    words: Callable[[int, "Places"], Sentence]
    """What is wrong with the row at a position of `at`."""
    field: str = "answer"
    twins: "NDArray[np.int64] | None" = None
    """Of each of these rows the earlier one that it says again; None for what is no matter of two rows."""
