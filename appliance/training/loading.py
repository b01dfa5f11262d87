"""The model as it is trained, and whether it fits: what a run and a trial of it begin with."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from appliance.model.base import load_base, model_name
from appliance.model.memory import free_memory_bytes
from appliance.run.plan import TrainingChoice
from appliance.training import attention
from appliance.training.apart import check_apart
from appliance.training.encode import Example
from appliance.training.looked import Device
from appliance.training.lora import add_adapter
from appliance.training.memory import (
    MemoryEstimate,
    check_memory,
    close_the_heap,
    find_shape,
)
from appliance.training.packing import most_learned


def find_device() -> Device:
    """Where training happens on this box."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def free_device_bytes(device: Device) -> int:
    """What `device` can give now."""
    return int(torch.cuda.mem_get_info()[0]) if device == "cuda" else free_memory_bytes()


def judge_memory(
    base: Path, training: TrainingChoice, examples: Sequence[Example], *, device: Device, free_bytes: int
) -> MemoryEstimate | None:
    """What training on `examples` will take, which fits; None where the model's config does not say enough.

    Raises: HostNotReady, when it is more than there is.
    """
    shape = find_shape(base)
    if shape is None:
        return None
    return check_memory(
        training,
        shape,
        longest=max(len(example.ids) for example in examples),
        tokens=min(training.pack_tokens, sum(len(example.ids) for example in examples)),
        learned_tokens=most_learned(examples, training.pack_tokens),
        free_bytes=free_bytes,
        device=device,
    )


def load_for_training(base: Path, training: TrainingChoice) -> Any:
    """The model in the folder `base` with a new adapter on it.

    Raises: BadInput, when the weights cannot be read, or the model cannot be trained on packed rows.
    """
    if training.recompute_activations:
        close_the_heap()
    attention.register()
    model = load_base(base, attention=attention.SEGMENTS, nf4=training.nf4)
    check_apart(model, model_name(base))
    return add_adapter(model, training)
