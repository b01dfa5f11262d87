"""A PEFT LoRA adapter as stored: which modules it changes, with which matrices and which scale.

Knows PEFT's file format, not PEFT. What cannot be merged exactly is refused here, by name:
nothing of an adapter is ever left out silently. No torch.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appliance.bundle.safetensors import SafetensorsFile, Tensor, read_safetensors
from appliance.errors import BadInput
from appliance.sentence import reason, say

PREFIX = "base_model.model."
"""What PEFT puts before every name of the base (peft.utils.save_and_load)."""

PLAIN_INITS = (True, False, "gaussian", "eva", "orthogonal")
"""Initial values that leave the base as it is. PiSSA, OLoRA, CorDA, LoftQ and LoRA-GA change it."""

# fmt: off
UNDERSTOOD = {
    "alpha_pattern", "auto_mapping", "base_model_name_or_path", "bias", "ensure_weight_tying",
    "exclude_modules", "fan_in_fan_out", "inference_mode", "init_lora_weights", "layers_pattern",
    "layers_to_transform", "lora_alpha", "lora_dropout", "megatron_core", "modules_to_save",
    "peft_type", "peft_version", "qalora_group_size", "r", "rank_pattern", "revision", "runtime_config",
    "target_modules", "task_type", "use_dora", "use_rslora", "eva_config",
}
# fmt: on
"""Names of LoraConfig (peft 0.21) that are used below, or that change training only."""


@dataclass(frozen=True)
class LoraMatrices:
    """The change of one module's weight: `scale · B·A`, with a row norm `magnitude` for DoRA."""

    a: Tensor
    """Shape (rank, in)."""
    b: Tensor
    """Shape (out, rank)."""
    scale: float
    """alpha / rank, or alpha / sqrt(rank) for rsLoRA (arXiv 2312.03732)."""
    magnitude: Tensor | None
    """Shape (out,), for DoRA (arXiv 2402.09353)."""


@dataclass(frozen=True)
class Adapter:
    """An adapter, every tensor of it assigned to a tensor of the base."""

    file: SafetensorsFile
    lora: Mapping[str, LoraMatrices]
    """By the name of the base's tensor, `model.layers.0.mlp.up_proj.weight`."""
    replaced: Mapping[str, Tensor]
    """Whole tensors of the base that the adapter replaces (PEFT's modules_to_save)."""


def read_adapter(folder: Path) -> Adapter:
    """The adapter in `folder`.

    Raises: BadInput, when it is not LoRA, uses something that cannot be merged exactly, or holds a
    tensor that is not understood.
    """
    config = _read_config(folder / "adapter_config.json")
    file = read_safetensors(folder / "adapter_model.safetensors")
    parts: dict[str, dict[str, Tensor]] = {}
    replaced: dict[str, Tensor] = {}
    for tensor in file.tensors:
        module, part = _split(file.path, tensor.name)
        if part == "whole":
            replaced[module] = tensor
        else:
            parts.setdefault(module, {})[part] = tensor
    lora = {
        f"{module}.weight": _matrices(file.path, config, module, found) for module, found in parts.items()
    }
    if not lora and not replaced:
        raise adapter_refusal(file.path, "it holds no tensor")
    return Adapter(file, lora, replaced)


def adapter_refusal(path: Path, why: str) -> BadInput:
    """The refusal of the adapter file at `path`."""
    return BadInput(
        say("{path} cannot be merged.", path=path),
        why=why,
        next_step="Train a plain LoRA adapter on the linear layers of this base.",
    )


def _read_config(path: Path) -> dict[str, Any]:
    """adapter_config.json, refused where it asks for more than a LoRA that can be merged exactly."""
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise adapter_refusal(path, reason(error)) from error
    if not isinstance(config, dict) or config.get("peft_type") != "LORA":
        raise adapter_refusal(path, "peft_type is not LORA")
    for name, value in config.items():
        if name not in UNDERSTOOD and value not in (None, False, {}, []):
            raise adapter_refusal(
                path, say("{name} = {value} is not supported", name=name, value=repr(value))
            )
    if config.get("init_lora_weights", True) not in PLAIN_INITS:
        raise adapter_refusal(
            path,
            say(
                "init_lora_weights = {value} changes the base model itself",
                value=repr(config["init_lora_weights"]),
            ),
        )
    if config.get("fan_in_fan_out") or config.get("bias", "none") != "none":
        raise adapter_refusal(path, "fan_in_fan_out and trained biases are not supported")
    for name in ("r", "lora_alpha"):
        value = config.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
            raise adapter_refusal(
                path, say("{name} = {value} is not a positive number", name=name, value=repr(value))
            )
    return config


LORA_PARTS = {
    ".lora_A.weight": "a",
    ".lora_B.weight": "b",
    ".lora_magnitude_vector": "magnitude",
    ".lora_magnitude_vector.weight": "magnitude",
}


def _split(path: Path, name: str) -> tuple[str, str]:
    """A key of the adapter as (name in the base, part); part is a key of LORA_PARTS' values or `whole`."""
    if name.startswith(PREFIX):
        inner = name.removeprefix(PREFIX)
        for suffix, part in LORA_PARTS.items():
            if inner.endswith(suffix):
                return inner.removesuffix(suffix), part
        if "lora_" not in inner and ".base_layer." not in inner and ".modules_to_save." not in inner:
            return inner, "whole"
        if "lora_embedding" in inner or ".base_layer." in inner:
            # PEFT stores the base layer too where it tunes embeddings, or a head that is tied to them.
            raise adapter_refusal(
                path, say("{name}: LoRA on an embedding or output head is not merged exactly", name=name)
            )
    raise adapter_refusal(path, say("{name} is not understood", name=name))


def _matrices(
    path: Path, config: Mapping[str, Any], module: str, found: Mapping[str, Tensor]
) -> LoraMatrices:
    """The matrices of one module with their scale, ranks checked against the configuration."""
    a, b, magnitude = found.get("a"), found.get("b"), found.get("magnitude")
    if a is None or b is None:
        raise adapter_refusal(path, say("{module} has only one of lora_A and lora_B", module=module))
    if bool(config.get("use_dora")) != (magnitude is not None):
        raise adapter_refusal(
            path, say("{module} and use_dora do not agree about a magnitude vector", module=module)
        )
    rank = _by_pattern(config.get("rank_pattern"), module, config["r"])
    alpha = _by_pattern(config.get("alpha_pattern"), module, config["lora_alpha"])
    if len(a.shape) != 2 or len(b.shape) != 2 or a.shape[0] != rank or b.shape[1] != rank:
        raise adapter_refusal(
            path,
            say(
                "{module} has matrices {b} and {a}, not of rank {rank}",
                module=module,
                b=b.shape,
                a=a.shape,
                rank=rank,
            ),
        )
    for tensor in found.values():
        if tensor.dtype not in ("F32", "F16", "BF16"):
            raise adapter_refusal(
                path, say("{name} is stored as {dtype}", name=tensor.name, dtype=tensor.dtype)
            )
    return LoraMatrices(
        a, b, alpha / math.sqrt(rank) if config.get("use_rslora") else alpha / rank, magnitude
    )


def _by_pattern(patterns: Mapping[str, Any] | None, module: str, default: Any) -> Any:
    """The value of the first pattern that ends `module` (peft.utils.other.get_pattern_key)."""
    for pattern, value in (patterns or {}).items():
        if re.match(rf"(.*\.)?({pattern})$", module):
            return value
    return default
