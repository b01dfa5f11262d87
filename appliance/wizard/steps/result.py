"""What the run, the model and its files are called."""

import re
from pathlib import Path

from appliance.run.plan import EXPORT_NAME, RUN_NAME, ExportChoice, Plan
from appliance.sentence import say
from appliance.wizard.desk import Desk
from appliance.wizard.draft import Draft, with_value
from appliance.wizard.page import Option, Paragraph
from appliance.wizard.question import (
    Question,
    WrongAnswer,
    plan_question,
)
from appliance.wizard.step import Step, Verdict
from appliance.wizard.titles import TITLES

GGUF_CHOICES: dict[str, tuple[str, ...]] = {"f16": ("f16",), "q8_0": ("q8_0",), "both": ("f16", "q8_0")}
GGUF_LABELS = {
    "f16": say("16 bits: as trained"),
    "q8_0": say("8 bits: half the size, hardly different"),
    "both": say("both; Ollama gets the first"),
}


def suggested_name(plan: Plan) -> str:
    """A run's name from its first file's; `run` where that has no Latin letter."""
    stem = _slug(Path(plan.data.train[0].path).stem, 40) if plan.data.train else ""
    return stem if RUN_NAME.fullmatch(stem) else "run"


def named(plan: Plan) -> Plan:
    """`plan` with the names that nobody has given yet: the run's from the data, Ollama's from both."""
    if plan.name:
        return plan
    plan = with_value(plan, "name", suggested_name(plan))
    for_ollama = _slug(f"{Path(plan.model.base).name}-{plan.name}", 80)
    if plan.export == ExportChoice() and EXPORT_NAME.fullmatch(for_ollama):
        plan = with_value(plan, "export.name", for_ollama)
    return plan


def _slug(text: str, longest: int) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower())[:longest].strip("-")


def _take_gguf(desk: Desk, text: str) -> Draft:
    if text not in GGUF_CHOICES:
        raise WrongAnswer("Choose one of the lines.")
    return desk.changed(plan=with_value(desk.draft.plan, "export.gguf", GGUF_CHOICES[text]))


def _gguf_options(desk: Desk) -> tuple[Option, ...]:
    options = [Option(name, GGUF_LABELS[name]) for name in GGUF_CHOICES]
    own = desk.draft.plan.export.gguf
    if own not in GGUF_CHOICES.values():
        options.append(Option("own", ", ".join(own)))  # what an answer file says beside these
    return tuple(options)


def _shown_gguf(desk: Desk) -> str:
    own = desk.draft.plan.export.gguf
    return next((name for name, types in GGUF_CHOICES.items() if types == own), "own")


RESULT = Step(
    name="result",
    number=6,
    title=TITLES["result"],
    help=("What the run, the model and its files will be called. Nothing in Ollama is replaced by itself.",),
    blocks=lambda desk: (Paragraph("What the run is called, and what comes out of it."),),
    verdict=lambda desk: Verdict("ok", "These names can be used."),
    questions=(
        plan_question(
            "name",
            "Name of the run",
            "1 to 40 lower-case letters, digits and `-`. It names the folder of the run.",
        ),
        plan_question(
            "export.name",
            "Name in Ollama",
            "1 to 80 lower-case letters, digits, `.`, `_` and `-`. It also names the files.",
        ),
        Question(
            name="export.gguf",
            label="Model file",
            help="16 bits hold the model as it was trained. 8 bits take half the room and memory.",
            kind="choice",
            show=_shown_gguf,
            take=_take_gguf,
            options=_gguf_options,
        ),
    ),
    before=lambda desk: "values" if desk.draft.preset == "advanced" else "plan",
    after=lambda desk: "review",
)
