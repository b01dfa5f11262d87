"""Presets: how long and how wide, in one word; and what of it fits this box."""

import math
from dataclasses import dataclass

import msgspec

from appliance.run.plan import TrainingChoice
from appliance.training.looked import Look, estimate_packs
from appliance.training.memory import MemoryEstimate, ModelShape, fitting
from appliance.wizard.draft import Preset

BALANCED = TrainingChoice()
"""Rank 16 on every linear layer, rate 2e-4, three passes: the documented defaults of LLaMA-Factory and
Unsloth; every linear layer after LoRA Without Regret (Thinking Machines, 2025)."""

PRESETS: dict[Preset, TrainingChoice] = {
    "quick": msgspec.structs.replace(BALANCED, rank=8, alpha=16.0, epochs=1.0),
    "balanced": BALANCED,
    "best": msgspec.structs.replace(BALANCED, rank=32, alpha=64.0, learning_rate=1e-4, epochs=5.0),
}

FEWEST_STEPS: dict[Preset, int] = {"quick": 20, "balanced": 100, "best": 200}
"""Optimizer steps below which an adapter has hardly moved: few rows are learned in more passes."""
MOST_PASSES = 30
"""Beyond this, rows are only repeated word for word."""

RATE, RATE_HIDDEN, RATE_EXPONENT = 5e-4, 2000, 0.781
"""Learning rate of LoRA on every linear layer: 5e-5, ten times that for an adapter, times (2000 / hidden
size) to the power 0.781, so that a small model takes larger steps; 2.9e-4 for a hidden size of 4096. Source:
Tinker's documentation, supervised learning, hyperparameters, with the exponent of the Llama family; the same
page gives Qwen a flatter one, under which larger models would take larger rates than these."""


@dataclass(frozen=True)
class Fitted:
    """Settings as this box can run them."""

    training: TrainingChoice
    changed: bool
    """Whether they had to be changed to fit."""
    estimate: MemoryEstimate | None
    """None where the model's config does not give its sizes by the usual names."""
    fits: bool


def preset_settings(
    preset: Preset,
    current: TrainingChoice,
    *,
    context_tokens: int | None = None,
    shape: ModelShape | None = None,
    look: Look | None = None,
) -> TrainingChoice:
    """What `preset` means for a model and, once they are known, its rows; advanced: `current`, as it is.

    context_tokens: what the model reads at once; None where its config does not say
    """
    if preset == "advanced":
        return current
    chosen = PRESETS[preset]
    wanted = max(chosen.pack_tokens, current.pack_tokens)  # longer, where somebody has longer rows
    limit = min(wanted, context_tokens or wanted)
    rate = chosen.learning_rate
    if shape is not None:
        rate *= RATE * (RATE_HIDDEN / shape.hidden) ** RATE_EXPONENT / BALANCED.learning_rate
    passes = chosen.epochs
    if look is not None and (packs := estimate_packs(look, limit)):
        passes = max(passes, min(MOST_PASSES, math.ceil(FEWEST_STEPS[preset] / packs)))
    # What the presets do not speak of stays as an answer file said it.
    return msgspec.structs.replace(
        chosen,
        pack_tokens=limit,
        learning_rate=float(f"{rate:.1e}"),
        epochs=float(passes),
        seed=current.seed,
        threads=current.threads,
    )


def fit(training: TrainingChoice, shape: ModelShape | None, look: Look) -> Fitted:
    """`training`, or the least harmful change of it that fits into nine tenths of what is free."""
    if shape is None:
        return Fitted(training, False, None, True)
    found = fitting(
        training,
        shape,
        longest=look.longest_tokens,
        tokens=min(training.pack_tokens, look.tokens),
        learned_tokens=look.most_learned,
        free_bytes=look.free_bytes,
        device=look.device,
    )
    if found.choice is None:
        return Fitted(training, False, found.asked, False)
    return Fitted(found.choice, found.choice != training, found.estimate, True)
