"""The adapter: PEFT's settings derived from the plan, and the adapter as files."""

import json
from pathlib import Path
from typing import Any

from appliance.durable import write_whole
from appliance.errors import StepFailed
from appliance.run.plan import TrainingChoice
from appliance.sentence import say

WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"


def lora_config(training: TrainingChoice) -> Any:
    """PEFT's LoraConfig for the plan: every linear layer but the vocabulary head.

    Embeddings and head stay as they are: on models that tie them an adapter there cannot be merged.
    """
    from peft import LoraConfig

    return LoraConfig(
        r=training.rank,
        lora_alpha=training.alpha,
        lora_dropout=training.dropout,
        target_modules="all-linear",
        bias="none",
        task_type="CAUSAL_LM",
    )


def add_adapter(model: Any, training: TrainingChoice) -> Any:
    """`model` with a fresh adapter on it, the only part that is trained, in float32 whatever the base is."""
    import torch
    from peft import get_peft_model

    torch.manual_seed(training.seed)
    tuned = get_peft_model(model, lora_config(training), autocast_adapter_dtype=True)
    for parameter in tuned.parameters():
        if parameter.requires_grad:
            # A 16-bit adapter loses small steps, and would come back from a checkpoint in another precision.
            parameter.data = parameter.data.float()
    return tuned


def write_adapter(model: Any, folder: Path, *, base_name: str) -> None:
    """Write the adapter in PEFT's format. `base_name` stands for the base: no path of this box is recorded.

    Raises: OSError, when the disk is full.
    """
    from peft import get_peft_model_state_dict
    from safetensors.torch import save

    tensors = {
        name: tensor.detach().cpu().contiguous() for name, tensor in get_peft_model_state_dict(model).items()
    }
    write_whole(folder / WEIGHTS, save(tensors, metadata={"format": "pt"}))
    document = model.peft_config[model.active_adapter].to_dict()
    document["base_model_name_or_path"] = base_name
    document["inference_mode"] = True
    text = json.dumps(document, indent=2, sort_keys=True, default=_listed)
    write_whole(folder / CONFIG, text.encode() + b"\n")


def load_adapter(model: Any, folder: Path) -> None:
    """Put the adapter weights in `folder` into `model`, which has the same adapter, all of them.

    Raises: StepFailed, when the names differ.
    """
    from peft import get_peft_model_state_dict, set_peft_model_state_dict
    from safetensors.torch import load_file

    tensors = load_file(folder / WEIGHTS)
    expected = set(get_peft_model_state_dict(model))
    if set(tensors) != expected:
        odd = sorted(set(tensors) ^ expected)
        raise StepFailed(
            say("The adapter in {folder} does not fit the model.", folder=folder),
            why=say("{count} names differ, the first is {name}", count=len(odd), name=odd[0]),
            next_step="Make a new run; this one's base model was exchanged.",
        )
    set_peft_model_state_dict(model, tensors)


def _listed(value: Any) -> Any:
    """PEFT keeps names in sets, whose order is chance, and some choices as enums."""
    if isinstance(value, set | frozenset):
        return sorted(value)
    return getattr(value, "value", str(value))
