"""Every value that a preset would choose."""

from appliance.sentence import say
from appliance.wizard.desk import Desk
from appliance.wizard.draft import Draft, with_value
from appliance.wizard.page import Option
from appliance.wizard.question import (
    Question,
    WrongAnswer,
    decimal_number,
    plan_question,
    show_number,
    whole_number,
    yes_or_no,
)
from appliance.wizard.step import Step
from appliance.wizard.steps.plan import plan_trouble, plan_verdict, settle_plan
from appliance.wizard.titles import TITLES

METHODS = {"lora": say("LoRA: over the base as it is"), "qlora": say("QLoRA: over the base in four bits")}


def _take_method(desk: Desk, text: str) -> Draft:
    if text not in METHODS:
        raise WrongAnswer("Choose one of the lines.")
    return desk.changed(plan=with_value(desk.draft.plan, "training.method", text))


def _has_steps(desk: Desk) -> bool:
    return desk.draft.plan.training.steps > 0


def _take_recompute(desk: Desk, text: str) -> Draft:
    plan = with_value(desk.draft.plan, "training.recompute_activations", yes_or_no(text))
    return desk.changed(plan=plan)


VALUES = Step(
    name="values",
    number=5,
    title=TITLES["values"],
    help=("Every value that a preset would choose. F1 in a field explains it.",),
    blocks=lambda desk: (),
    verdict=plan_verdict,
    questions=(
        Question(
            name="training.method",
            label="Method",
            help="Four bits take about a quarter of the memory of a 16-bit base, and cost a little quality.",
            kind="choice",
            show=lambda desk: desk.draft.plan.training.method,
            take=_take_method,
            options=lambda desk: tuple(Option(name, label) for name, label in METHODS.items()),
        ),
        plan_question(
            "training.epochs",
            "Passes over the rows",
            "How often every row is learned. 3 is usual.",
            kind="number",
            read=decimal_number,
            show=show_number,
            asked=lambda desk: not _has_steps(desk),
        ),
        plan_question(
            "training.steps",
            "Optimizer steps",
            "How many times the adapter is changed; 0: as many as the passes make.",
            kind="number",
            read=whole_number,
            asked=_has_steps,
        ),
        plan_question(
            "training.learning_rate",
            "Learning rate",
            "How far each step goes. 0.0002 is usual; halve it when the loss jumps.",
            kind="number",
            read=decimal_number,
            show=show_number,
        ),
        plan_question(
            "training.rank",
            "Rank",
            "Width of the adapter: 8 to 64 are usual.",
            kind="number",
            read=whole_number,
        ),
        plan_question(
            "training.alpha",
            "Alpha",
            "How strongly the adapter counts: twice the rank is usual.",
            kind="number",
            read=decimal_number,
            show=show_number,
        ),
        plan_question(
            "training.pack_tokens",
            "Longest row (tokens)",
            "A longer row is refused. Shorter takes less memory.",
            kind="number",
            read=whole_number,
        ),
        plan_question(
            "training.packs_per_step",
            "Packs a step",
            "How many packs of rows are learned together before the adapter is changed.",
            kind="number",
            read=whole_number,
        ),
        Question(
            name="training.recompute_activations",
            label="Compute again to save memory",
            help="Much less memory, slower by a third or more.",
            kind="yesno",
            show=lambda desk: "yes" if desk.draft.plan.training.recompute_activations else "no",
            take=_take_recompute,
        ),
    ),
    before=lambda desk: "plan",
    after=lambda desk: "result",
    settle=settle_plan,
    trouble=plan_trouble,
    live=lambda desk: desk.trial().running or desk.found() is None,
)
