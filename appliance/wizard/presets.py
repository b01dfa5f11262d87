"""Presets: how long and how wide, in one word; and what of it fits this box."""

from dataclasses import dataclass

import msgspec

from appliance.run.plan import TrainingChoice
from appliance.training.looked import Look
from appliance.training.memory import MemoryEstimate, ModelShape, fitting
from appliance.wizard.draft import Preset

BALANCED = TrainingChoice()
"""Rank 16 on every linear layer, rate 2e-4, three passes. Source: LoRA Without Regret (Thinking Machines,
2025) for all layers and the rate; LLaMA-Factory's and Unsloth's documented defaults for the passes."""

PRESETS: dict[Preset, TrainingChoice] = {
    "quick": msgspec.structs.replace(BALANCED, rank=8, alpha=16.0, epochs=1.0),
    "balanced": BALANCED,
    "best": msgspec.structs.replace(BALANCED, rank=32, alpha=64.0, learning_rate=1e-4, epochs=5.0),
}


@dataclass(frozen=True)
class Fitted:
    """Settings as this box can run them."""

    training: TrainingChoice
    changed: bool
    """Whether they had to be changed to fit."""
    estimate: MemoryEstimate | None
    """None where the model's config does not give its sizes by the usual names."""
    fits: bool


def preset_settings(preset: Preset, current: TrainingChoice, context_tokens: int | None) -> TrainingChoice:
    """What `preset` means for a model that reads `context_tokens` at once; advanced: `current`, as it is."""
    if preset == "advanced":
        return current
    chosen = PRESETS[preset]
    wanted = max(chosen.pack_tokens, current.pack_tokens)  # longer, where somebody has longer rows
    limit = min(wanted, context_tokens or wanted)
    # What the presets do not speak of stays as an answer file said it.
    return msgspec.structs.replace(chosen, pack_tokens=limit, seed=current.seed, threads=current.threads)


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
