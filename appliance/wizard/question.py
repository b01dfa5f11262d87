"""A question: one field of a page, how its answer is shown, read and judged. Data and pure functions."""

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from appliance.run.plan import field_problem
from appliance.sentence import say
from appliance.wizard.draft import Draft, value_at, with_value
from appliance.wizard.page import Field, Option

if TYPE_CHECKING:
    from appliance.wizard.desk import Desk


class WrongAnswer(Exception):
    """An answer that cannot be taken; says why in one sentence."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


@dataclass(frozen=True)
class Question:
    """One question. `take` returns the draft with the answer in it."""

    name: str
    """The plan's field that it fills (`training.rank`), or a name of its own."""
    label: str
    help: str
    kind: Literal["choice", "text", "number", "files", "yesno"]
    show: Callable[["Desk"], str]
    """The answer so far, as typed."""
    take: Callable[["Desk", str], Draft]
    """Raises: WrongAnswer."""
    options: Callable[["Desk"], tuple[Option, ...]] = lambda desk: ()
    columns: tuple[str, ...] = ()
    asked: Callable[["Desk"], bool] = lambda desk: True
    """Whether it stands on the page now."""
    problem: Callable[["Desk"], str] = lambda desk: ""
    """What is wrong with the answer so far; empty when nothing is."""
    folder: Callable[["Desk"], str] = lambda desk: ""
    """Of files: where to begin looking."""


def to_field(question: Question, desk: "Desk") -> Field:
    """The question as a front shows it now."""
    return Field(
        name=question.name,
        label=question.label,
        help=question.help,
        kind=question.kind,
        value=question.show(desk),
        options=question.options(desk),
        columns=question.columns,
        folder=question.folder(desk),
        problem=question.problem(desk),
    )


def plan_question(
    field: str,
    label: str,
    help: str,
    *,
    kind: Literal["text", "number"] = "text",
    read: Callable[[str], Any] = str.strip,
    asked: Callable[["Desk"], bool] = lambda desk: True,
    show: Callable[[Any], str] = str,
    wrong: str = "",
) -> Question:
    """A question for one field of the plan, judged by the plan's own rules.

    wrong: said of every answer that cannot be taken, where the plan's own words are of another unit
    """

    def take(desk: "Desk", text: str) -> Draft:
        try:
            plan = with_value(desk.draft.plan, field, read(text))
        except WrongAnswer as error:
            raise WrongAnswer(wrong or error.why) from error
        if problem := field_problem(plan, field):
            raise WrongAnswer(wrong or _rule(problem))
        return desk.changed(plan=plan)

    def problem(desk: "Desk") -> str:
        found = field_problem(desk.draft.plan, field)
        return (wrong or _rule(found)) if found else ""

    return Question(
        name=field,
        label=label,
        help=help,
        kind=kind,
        show=lambda desk: show(value_at(desk.draft.plan, field)),
        take=take,
        asked=asked,
        problem=problem,
    )


def _rule(rule: str) -> str:
    return say("This {rule}.", rule=rule)


def whole_number(text: str) -> int:
    """What was typed as a whole number; full-width digits and separators count.

    Raises: WrongAnswer.
    """
    try:
        return int(_typed(text))
    except ValueError:
        raise WrongAnswer("Type a whole number, in digits.") from None


def decimal_number(text: str) -> float:
    """What was typed as a number: `0.0002`, `2e-4`.

    Raises: WrongAnswer.
    """
    try:
        return float(_typed(text))
    except ValueError:
        raise WrongAnswer("Type a number: 0.0002 or 2e-4.") from None


def percent(text: str) -> float:
    """A share that was typed in percent.

    Raises: WrongAnswer.
    """
    return round(decimal_number(text.replace("%", "").replace("％", "")) / 100, 6)


def _typed(text: str) -> str:
    """Typed figures as ASCII: with a Chinese input method on, １，５ arrives for 1,5."""
    return unicodedata.normalize("NFKC", text).strip().replace(",", "").replace("_", "")


def show_number(value: float) -> str:
    """A number as a person would type it: `0.0002`, `3`."""
    return f"{value:g}"


def yes_or_no(text: str) -> bool:
    """Raises: WrongAnswer."""
    known = {"yes": True, "no": False}
    if text.strip().lower() not in known:
        raise WrongAnswer("Answer yes or no.")
    return known[text.strip().lower()]


def held_out_question(asked: Callable[["Desk"], bool] = lambda desk: True) -> Question:
    """How many of the rows are kept for test: part of the plan, and of a check that finds none to keep."""
    return plan_question(
        "data.held_out_share",
        "Keep for test (%)",
        "Rows that the model never learns from: they show whether it has understood or only repeats. "
        "0 to 50.",
        kind="number",
        read=percent,
        show=lambda share: show_number(100 * share),
        asked=asked,
        wrong="Type a share in percent, from 0 to 50.",
    )
