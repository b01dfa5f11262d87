"""The plan: every choice of one run, written by the wizard or by hand, read by `islet train --plan`.

Read once, strictly: an unknown field or a wrong type is refused with its name. Never changed
after the run has started. PEFT and Trainer settings are derived from it, each in one place.
"""

from pathlib import Path
from typing import Literal

import msgspec

from appliance.errors import BadInput

FORMAT = "islet-plan-1"


class ModelChoice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which model is tuned, and how it is addressed."""

    base: str
    """Name of an installed model (`org/name`), or the path of a folder that holds one."""
    system: str = ""
    """System prompt, trained with every row that has none of its own and written into the Modelfile."""


class DataFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file of training rows."""

    path: str
    """Absolute, or relative to the plan file."""
    format: Literal["alpaca", "csv", "auto"] = "auto"
    """How the rows are written; `auto` detects it and the report says what was found."""


class DataChoice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is learned from."""

    train: tuple[DataFile, ...]
    held_out_share: float = 0.0
    """Share of the rows, 0 to 0.5, kept out of training for the validation loss."""
    max_bad_share: float = 0.0
    """Share of rows, 0 to 1, that may be refused before the run stops."""


class TrainingChoice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How it is learned. Defaults are the preset *balanced*."""

    method: Literal["lora"] = "lora"
    rank: int = 16
    alpha: float = 32.0
    dropout: float = 0.0
    learning_rate: float = 2e-4
    epochs: float = 3.0
    """Passes over the training rows; ignored when `steps` is set."""
    steps: int = 0
    """Optimizer steps; 0: as many as `epochs` makes."""
    warmup_steps: int = 10
    pack_tokens: int = 2048
    """Longest packed sequence, in tokens; a longer row is reported and refused, never cut."""
    packs_per_step: int = 1
    """Packed sequences an optimizer step (gradient accumulation)."""
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    checkpoint_every_steps: int = 50
    keep_checkpoints: int = 2
    seed: int = 1
    threads: int = 0
    """CPU threads; 0: as many as the box has. Fixed threads make a run repeatable to the bit."""


class QuestionSet(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Questions with the answers expected, asked before and after."""

    name: str
    path: str
    """An Alpaca JSON or a prompt/completion CSV: absolute, or relative to the plan file."""
    judge: Literal["exact", "contains"] = "exact"
    """`exact`: the answer equals the expected text (outer spaces aside). `contains`: it holds it."""


class EvaluationChoice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is asked before and after."""

    sets: tuple[QuestionSet, ...] = ()
    max_new_tokens: int = 128


class ExportChoice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What leaves the run."""

    name: str = "islet-model"
    """Name of the model in Ollama and of the files."""
    gguf: Literal["f16", "bf16", "f32"] = "f16"
    num_ctx: int = 0
    """Context length in tokens written into the Modelfile; 0: the model's own, at most 8192."""


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All choices of one run."""

    format: Literal["islet-plan-1"]
    name: str
    """Short name of the run: lower-case letters, digits and `-`."""
    model: ModelChoice
    data: DataChoice
    training: TrainingChoice = msgspec.field(default_factory=TrainingChoice)
    evaluation: EvaluationChoice = msgspec.field(default_factory=EvaluationChoice)
    export: ExportChoice = msgspec.field(default_factory=ExportChoice)


def read_plan(path: Path) -> Plan:
    """The plan in the file at `path`, judged.

    Raises: BadInput, when the file cannot be read, a field is unknown or has a wrong type, or a value
    is out of range; the message names the field.
    """
    raise NotImplementedError


def write_plan(plan: Plan, path: Path) -> None:
    """Write `plan` as TOML; `read_plan` gives an equal value back."""
    raise NotImplementedError


__all__ = ["BadInput"]
