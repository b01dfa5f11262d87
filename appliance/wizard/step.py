"""A step of the journey as data: what its page says, asks and offers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from appliance.errors import ApplianceError
from appliance.sentence import reason, say
from appliance.trace import kind_text
from appliance.wizard.desk import Desk
from appliance.wizard.page import Action, Block, Confirm, Fact, Facts, Level, Page
from appliance.wizard.question import Question, to_field

NUMBERED = 10
"""How many steps are counted, from the health of the box to the export."""


@dataclass(frozen=True)
class Verdict:
    """How a page stands, in one line."""

    level: Level
    text: str
    stops: bool = False
    """Whether Next must wait until this is mended."""


Taken = Callable[[Desk], str | None]
"""Does what an action says, and returns the name of the page to go to; None: stays. Raises ApplianceError."""


@dataclass(frozen=True)
class Step:
    """One page of the flow."""

    name: str
    number: int
    """1 to NUMBERED; 0: not counted."""
    title: str
    help: tuple[str, ...]
    blocks: Callable[[Desk], tuple[Block, ...]]
    verdict: Callable[[Desk], Verdict]
    questions: tuple[Question, ...] = ()
    after: Callable[[Desk], str] | None = None
    """Name of the page that Next goes to; None: there is no Next."""
    before: Callable[[Desk], str] | None = None
    """Name of the page that Back goes to; None: there is no Back."""
    settle: Callable[[Desk], None] = lambda desk: None
    """What Next still does before it goes on. Raises ApplianceError."""
    next_label: str = "Next"
    sure: Callable[[Desk], Confirm | None] = lambda desk: None
    """What is asked before Next; None: nothing."""
    actions: Callable[[Desk], tuple[Action, ...]] = lambda desk: ()
    """Beside Back, Next and Leave."""
    takes: Mapping[str, Taken] = field(default_factory=dict)
    """What each of these actions does."""
    trouble: Callable[[Desk], ApplianceError | None] = lambda desk: None
    """The error that keeps the page from being passed; None where there is none, or it is no error."""
    live: Callable[[Desk], bool] = lambda desk: False
    private: Callable[[Desk], bool] = lambda desk: False


def error_facts(error: ApplianceError) -> Facts:
    """The three lines of an error."""
    return Facts(
        (
            Fact("What happened", error.what, "fail"),
            Fact("Why", error.why),
            Fact("What to do", error.next_step),
        )
    )


def as_failure(error: Exception) -> ApplianceError:
    """What kept the wizard from finding something out; of a fault of our own its kind, never its words."""
    if isinstance(error, ApplianceError):
        return error
    return ApplianceError(
        "This could not be found out.",
        why=reason(error) if isinstance(error, OSError) else kind_text(error),
        next_step="Check again; `islet doctor` examines the installation.",
    )


def asked(step: Step, desk: Desk) -> list[Question]:
    """The questions that stand on the page now."""
    return [question for question in step.questions if question.asked(desk)]


def to_page(step: Step, desk: Desk) -> Page:
    """The step as a front shows it now."""
    fields = tuple(to_field(question, desk) for question in asked(step, desk))
    verdict = step.verdict(desk)
    wrong = next((each for each in fields if each.problem), None)
    if wrong is not None and not verdict.stops:
        verdict = Verdict("fail", wrong.problem, stops=True)
    return Page(
        name=step.name,
        title=step.title,
        step=step.number,
        steps=NUMBERED,
        help=step.help,
        blocks=step.blocks(desk),
        fields=fields,
        actions=_actions(step, desk, verdict),
        verdict=verdict.text,
        level=verdict.level,
        live=step.live(desk),
        private=step.private(desk),
    )


def _actions(step: Step, desk: Desk, verdict: Verdict) -> tuple[Action, ...]:
    """Back first, what the page offers between, Leave, and Next last."""
    own = step.actions(desk)
    taken = any(action.default for action in own)
    back = [Action("back", "Back")] if step.before else []
    onward = []
    if step.after:
        why_not = verdict.text if verdict.stops else ""
        sure = step.sure(desk)
        onward.append(Action("next", step.next_label, why_not=why_not, confirm=sure, default=not taken))
    return (*back, *own, Action("leave", "Save and leave", key="f9"), *onward)


def begin_anew(desk: Desk) -> Confirm | None:
    """What is asked before other answers take the place of those that were begun; None where none were."""
    if not desk.draft.is_begun:
        return None
    lines = (say("The answers that were begun are thrown away; runs stay as they are."),)
    return Confirm("Begin anew?", lines, stay="Keep the answers", go="Begin anew")
