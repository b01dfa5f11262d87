"""How much memory a run will take, from names and shapes alone, and what fits where it would not.

Knows the model by its config.json and its safetensors headers; imports no torch. The formula counts
what autograd keeps for a LoRA adapter over a frozen base of the Llama family (Llama, Qwen, Mistral),
tensor by tensor as transformers 5 and PEFT 0.21 compute it; `tests/test_memory.py` holds it against
the tensors that autograd really keeps. Other architectures are counted as if they were of that family.

Against the peak resident size of whole runs on a CPU (models of 42 and 130 million weights, packs of
2,048 and 4,096 tokens, float32 and bfloat16, LoRA and QLoRA, with and without recomputing) it is 5 to
15 % above with one pack a step; with several packs a step, or QLoRA on one small model, it was 7 to 14 %
below, so a trial (`appliance.training.look`) has the last word. It has not been held against a GPU.
"""

import contextlib
import ctypes
import json
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Literal

import msgspec

from appliance.bundle.safetensors import DTYPE_BITS, read_safetensors
from appliance.errors import HostNotReady
from appliance.model.base import weight_files
from appliance.run.plan import TrainingChoice
from appliance.sentence import listed, say

SIZES = ("hidden_size", "num_attention_heads", "num_hidden_layers", "vocab_size")
"""Names in config.json that every estimate needs."""

SHARE = 0.9
"""How much of what is free a run may take."""

RUNTIME_BYTES = {"cpu": 600_000_000, "cuda": 300_000_000}
"""Libraries and their buffers. CPU: measured, resident after the imports. CUDA: an assumption."""

HEAP_TENSOR_BYTES = 32 * 1024 * 1024
"""glibc takes smaller blocks from a heap, and holes stay in it. Source: mallopt(3), M_MMAP_THRESHOLD."""

M_MMAP_THRESHOLD = -3
"""Source: glibc, malloc/malloc.h."""
MMAP_FROM_BYTES = 1_000_000

NF4_BYTES = 0.5 + 1 / 64 + 4 / (64 * 256)
"""Bytes a weight: 4 bits, an 8-bit scale for 64, a 32-bit one for 256 of these. Source: QLoRA, section 3."""

LOGIT_BYTES = 12
"""Bytes a logit at the peak: its log-probability and both gradients, in float32."""

SHORTEST_PACK = 256
"""Tokens; shorter packs than this are not offered: each step would be mostly overhead."""

F32 = 4
MEGABYTE = 1_000_000


@dataclass(frozen=True)
class ModelShape:
    """What the formula needs to know of a base. Sizes in elements, bytes where it says so."""

    hidden: int
    intermediate: int
    layers: int
    queries: int
    """Heads times their width."""
    keys: int
    """Key heads times their width."""
    vocabulary: int
    norms_queries: bool
    """Whether queries and keys are normed, as in Qwen3."""
    element_bytes: int
    """Bytes of one activation: the type that most weights are stored in."""
    linears: tuple[tuple[int, int], ...]
    """(out, in) of every linear layer but the head."""
    linear_bytes: int
    """Bytes of these, as stored."""
    other_bytes: int
    """Bytes of embeddings, head, norms and biases, as stored."""


@dataclass(frozen=True)
class Line:
    """One part of an estimate."""

    name: str
    bytes: int


@dataclass(frozen=True)
class MemoryEstimate:
    """The peak of a run, part by part."""

    lines: tuple[Line, ...]

    @property
    def total_bytes(self) -> int:
        """All parts together."""
        return sum(line.bytes for line in self.lines)


def find_shape(base: Path) -> ModelShape | None:
    """The shape of the model in the folder `base`, which was judged by `check_base`.

    None, when its config does not give its sizes by the usual names: then nothing can be estimated.

    Raises: BadInput, when a safetensors header is not sound.
    """
    document: dict[str, Any] = json.loads((base / "config.json").read_bytes())
    config: dict[str, Any] = {**document, **document.get("text_config", {})}
    if any(not isinstance(config.get(name), int) for name in SIZES):
        return None
    hidden, heads = int(config["hidden_size"]), int(config["num_attention_heads"])
    width = int(config.get("head_dim") or hidden // heads)
    tensors = [each for path in weight_files(base) for each in read_safetensors(path).tensors]
    linears = [each for each in tensors if _is_linear(each.name, each.shape)]
    linear_bytes = sum(each.end - each.begin for each in linears)
    largest = max(tensors, key=lambda each: prod(each.shape))
    return ModelShape(
        hidden=hidden,
        intermediate=int(config.get("intermediate_size") or 4 * hidden),
        layers=int(config["num_hidden_layers"]),
        queries=heads * width,
        keys=int(config.get("num_key_value_heads") or heads) * width,
        vocabulary=int(config["vocab_size"]),
        norms_queries=any(each.name.endswith("q_norm.weight") for each in tensors),
        element_bytes=DTYPE_BITS[largest.dtype] // 8,
        linears=tuple((each.shape[0], each.shape[1]) for each in linears),
        linear_bytes=linear_bytes,
        other_bytes=sum(each.end - each.begin for each in tensors) - linear_bytes,
    )


def estimate_memory(
    training: TrainingChoice,
    shape: ModelShape,
    *,
    tokens: int,
    learned_tokens: int,
    device: Literal["cpu", "cuda"] = "cpu",
) -> MemoryEstimate:
    """The peak of training, in bytes.

    tokens: in the longest pack; learned_tokens: the most that one pack may hold
    """
    adapter = sum(training.rank * (out + inner) for out, inner in shape.linears)
    linear_weights = sum(out * inner for out, inner in shape.linears)
    weights = round(linear_weights * NF4_BYTES) if training.nf4 else shape.linear_bytes
    layer = tokens * _layer_bytes(shape, training)
    kept = tokens * shape.hidden * shape.element_bytes
    recomputed = training.recompute_activations
    activations = shape.layers * kept + layer if recomputed else shape.layers * layer
    # The logits are gone when the gradients run back through the last layer, so only the larger counts.
    backward = 4 * tokens * shape.intermediate * F32
    logits = LOGIT_BYTES * learned_tokens * shape.vocabulary
    widest = tokens * shape.intermediate * F32
    lines = [
        Line(say("base weights"), weights + shape.other_bytes),
        Line(say("adapter"), adapter * F32),
        Line(say("its gradients"), adapter * F32),
        Line(say("optimizer"), 2 * adapter * F32),
        Line(say("activations"), activations),
        Line(say("logits, or gradients in passing"), max(logits, backward)),
        Line(say("libraries"), RUNTIME_BYTES[device]),
    ]
    if device == "cpu" and not recomputed and widest < HEAP_TENSOR_BYTES:
        lines.append(Line(say("holes in the heap"), activations))
    return MemoryEstimate(tuple(lines))


def alternatives(training: TrainingChoice, longest: int) -> Iterator[tuple[TrainingChoice, str]]:
    """Settings that take less, the least harm first, each with what to write into the plan.

    longest: tokens of the longest row, which a pack must hold

    Shorter packs come first: with as many more of them a step it is the same step. Recomputing takes
    time, and four bits change the model.
    """
    methods: list[Literal["lora", "qlora"]] = ["qlora"] if training.nf4 else ["lora", "qlora"]
    for method in methods:
        for recompute in sorted({training.recompute_activations, True}):
            tokens, packs = training.pack_tokens, training.packs_per_step
            while tokens == training.pack_tokens or tokens >= max(longest, SHORTEST_PACK):
                choice = msgspec.structs.replace(
                    training,
                    method=method,
                    recompute_activations=recompute,
                    pack_tokens=tokens,
                    packs_per_step=packs,
                )
                if choice != training:
                    yield choice, _differences(training, choice)
                tokens, packs = tokens // 2, packs * 2


def _differences(old: TrainingChoice, new: TrainingChoice) -> str:
    """What `new` has that `old` has not, as lines of a plan's `[training]`."""
    before, after = msgspec.to_builtins(old), msgspec.to_builtins(new)
    changed = {name: value for name, value in after.items() if before[name] != value}
    return ", ".join(f"{name} = {json.dumps(value)}" for name, value in changed.items())


@dataclass(frozen=True)
class Fit:
    """What was asked for, and what of it fits."""

    asked: MemoryEstimate
    """Of the settings as they were asked for."""
    choice: TrainingChoice | None
    """These settings, or the first of `alternatives` that fits; None when none does."""
    estimate: MemoryEstimate
    """Of `choice`; of what was asked for when there is none."""
    changes: str
    """What to write into the plan; empty when nothing must be changed."""


def fitting(
    training: TrainingChoice,
    shape: ModelShape,
    *,
    longest: int,
    tokens: int,
    learned_tokens: int,
    free_bytes: int,
    device: Literal["cpu", "cuda"] = "cpu",
) -> Fit:
    """The settings nearest to `training` that take at most nine tenths of what is free.

    longest: tokens of the longest row; tokens, learned_tokens: of the fullest pack; free_bytes: on the device
    """

    def judged(choice: TrainingChoice) -> MemoryEstimate:
        share = min(1.0, choice.pack_tokens / max(tokens, 1))
        most = min(tokens, choice.pack_tokens)
        learned = min(learned_tokens, max(round(learned_tokens * share), 1))
        return estimate_memory(choice, shape, tokens=most, learned_tokens=learned, device=device)

    asked = judged(training)
    for choice, changes in ((training, ""), *alternatives(training, longest)):
        estimate = judged(choice)
        if estimate.total_bytes <= SHARE * free_bytes:
            return Fit(asked, choice, estimate, changes)
    return Fit(asked, None, asked, "")


def check_memory(
    training: TrainingChoice,
    shape: ModelShape,
    *,
    longest: int,
    tokens: int,
    learned_tokens: int,
    free_bytes: int,
    device: Literal["cpu", "cuda"] = "cpu",
) -> MemoryEstimate:
    """The estimate of a run, which fits; arguments as of `fitting`.

    Raises: HostNotReady, when it takes more than nine tenths of what is free, naming what would fit.
    """
    found = fitting(
        training,
        shape,
        longest=longest,
        tokens=tokens,
        learned_tokens=learned_tokens,
        free_bytes=free_bytes,
        device=device,
    )
    if found.choice == training:
        return found.asked
    estimate = found.asked
    where = say("this GPU") if device == "cuda" else say("this box")
    parts = [say("{part} {size}", part=each.name, size=_megabytes(each.bytes)) for each in estimate.lines]
    raise HostNotReady(
        "The run does not fit into memory.",
        why=say(
            "it takes about {needed}, and {share:.0%} of what is free on {where} is {free}: {parts}",
            needed=_megabytes(estimate.total_bytes),
            share=SHARE,
            where=where,
            free=_megabytes(round(SHARE * free_bytes)),
            parts=listed(parts),
        ),
        next_step=say(
            "Make a run with these in the plan's [training]: {changes}; or end other programs.",
            changes=found.changes,
        )
        if found.choice
        else say("Choose a smaller model, or end other programs."),
    )


def close_the_heap() -> None:
    """Have glibc give every larger block back as soon as it is free, for as long as the process lives.

    Else what is computed again leaves holes between what is kept, as large as all that was saved
    (measured: 1,350 of 1,680 MB). It costs time, so only runs that were asked to save memory do it.
    """
    with contextlib.suppress(AttributeError):  # another C library has no mallopt, and no such heap
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, MMAP_FROM_BYTES)


def _layer_bytes(shape: ModelShape, training: TrainingChoice) -> int:
    """Bytes a token that autograd keeps in one layer.

    PEFT casts what enters an adapter to float32: over a 16-bit base every adapter keeps a copy of its own,
    over a float32 one those that read the same values share them.
    """
    hidden, wide, queries, keys = shape.hidden, shape.intermediate, shape.queries, shape.keys
    element = shape.element_bytes
    readers = 2 if element == F32 else 5  # of the two norms' outputs: q, k, v and gate, up
    norms = 2 * hidden + (queries + keys if shape.norms_queries else 0)
    attention = element * (2 * queries + 2 * keys)
    gate_and_up = element * 3 * wide
    inputs = F32 * (readers * hidden + queries + wide)
    adapters = F32 * 7 * training.rank
    masks = 0
    if training.dropout:
        # Each adapter drops values of its own: a mask (of floats on a CPU), and a copy of what is left.
        masks = 2 * F32 * (5 * hidden + queries + wide) - inputs
    return F32 * norms + attention + gate_and_up + inputs + adapters + masks


def _is_linear(name: str, shape: tuple[int, ...]) -> bool:
    return len(shape) == 2 and name.endswith(".weight") and "embed" not in name and "lm_head" not in name


def _megabytes(size: int) -> str:
    return f"{size / MEGABYTE:,.0f} MB"
