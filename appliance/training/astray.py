"""Values that are no numbers any more: told as soon as they are seen, and never kept."""

from typing import Any

from appliance.errors import StepFailed
from appliance.sentence import say


def astray(why: str) -> StepFailed:
    """The failure of a run that cannot come to anything."""
    return StepFailed(
        "Training went astray.",
        why=why,
        next_step="Make a new run with a lower learning rate; checkpoints before this are kept.",
    )


def check_finite(model: Any, step: int) -> None:
    """Pass if every weight that is trained is a number after `step`.

    A loss tells of the weights before its step: one that broke them can have a loss like any other.

    Raises: StepFailed.
    """
    import torch

    weights = [each for each in model.parameters() if each.requires_grad]
    if not all(bool(torch.isfinite(weight).all()) for weight in weights):
        raise astray(say("weights of the adapter are no numbers any more after step {step}", step=step))
