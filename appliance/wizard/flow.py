"""The journey: every step by name, in order."""

from typing import get_args

from appliance.wizard.draft import Asking
from appliance.wizard.step import Step
from appliance.wizard.steps.check import CHECK
from appliance.wizard.steps.choose import DATA, MODEL
from appliance.wizard.steps.columns import COLUMNS
from appliance.wizard.steps.compare import COMPARE
from appliance.wizard.steps.export import DONE, EXPORT
from appliance.wizard.steps.plan import PLAN
from appliance.wizard.steps.result import RESULT
from appliance.wizard.steps.review import REVIEW
from appliance.wizard.steps.run import TRAINING
from appliance.wizard.steps.start import HEALTH, HOME, LANGUAGE
from appliance.wizard.steps.values import VALUES

ORDER = (
    LANGUAGE,
    HOME,
    HEALTH,
    MODEL,
    DATA,
    COLUMNS,
    CHECK,
    PLAN,
    VALUES,
    RESULT,
    REVIEW,
    TRAINING,
    COMPARE,
    EXPORT,
    DONE,
)
STEPS: dict[str, Step] = {step.name: step for step in ORDER}
BEFORE_A_RUN: tuple[Asking, ...] = get_args(Asking)
"""Pages that fill the plan, in order; what comes after is about a run."""
AFTER_START = ("training", "compare", "export", "done")
