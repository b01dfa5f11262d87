"""Three optimizer steps on the longest rows, to know memory and speed before hours are spent on them.

The model, the adapter and the trainer are those of a run; nothing is written.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec
import torch
from transformers import TrainerCallback

from appliance.errors import HostNotReady
from appliance.model.base import model_name
from appliance.model.memory import is_out_of_memory
from appliance.run.plan import Plan, TrainingChoice
from appliance.sentence import Sentence, say
from appliance.training.encode import Example
from appliance.training.loading import judge_memory, load_for_training
from appliance.training.looked import Device, Trial
from appliance.training.memory import SHARE
from appliance.training.packing import PackedDocuments
from appliance.training.trainer import PackedTrainer

STEPS = 3
MOST_PACKS_PER_STEP = 2
"""Packs of a trial's step: gradients that wait for more packs are there from the second on, and more of them
are no larger."""

NOWHERE = Path("/proc/self")
"""A folder that is there and takes no file: the Trainer wants one."""


class Teller(Protocol):
    """Where a trial says how far it is."""

    def stage(self, what: Sentence, total: int = 0) -> None:
        """Say what comes now."""

    def advance(self, amount: int) -> None:
        """Say how much more was done."""


class Repeated:
    """A schedule of a few packs, again and again."""

    def __init__(self, packs: Sequence[list[int]]) -> None:
        self._packs = packs

    def pack(self, number: int) -> list[int]:
        """Indices of the documents in the pack `number`."""
        return self._packs[number % len(self._packs)]


class Stopwatch(TrainerCallback):  # type: ignore[misc]  # transformers carries no types
    """Notes when each optimizer step ended, and keeps checkpoints from being written."""

    def __init__(self, teller: Teller) -> None:
        self._teller = teller
        self.trainer: PackedTrainer | None = None
        """Set once the trainer that this belongs to is made."""
        self.ended: list[tuple[float, int]] = []
        """(seconds, tokens seen), one an optimizer step."""

    def on_substep_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Say that a pack is through."""
        self._teller.advance(1)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
        """Note the time, once the device has done what it was given."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        if self.trainer is not None:
            self.trainer.micro_losses.clear()
            self.ended.append((time.monotonic(), self.trainer.tokens_seen))
        self._teller.advance(1)
        control.should_save = False
        return control


def try_training(
    plan: Plan, base: Path, examples: Sequence[Example], *, device: Device, free_bytes: int, teller: Teller
) -> Trial:
    """What a few steps of `plan` on the longest of `examples` take.

    Raises: BadInput, when the model cannot be read; HostNotReady, when it does not fit into memory, as the
    estimate says or as it turns out.
    """
    training = msgspec.structs.replace(
        plan.training, packs_per_step=min(plan.training.packs_per_step, MOST_PACKS_PER_STEP)
    )
    estimate = judge_memory(base, plan.training, examples, device=device, free_bytes=free_bytes)
    try:
        ended = _steps(training, base, examples, teller)
    except (MemoryError, OSError, RuntimeError) as error:
        if is_out_of_memory(error):
            raise _does_not_fit(plan.training, free_bytes) from None
        raise
    (begun, before), (over, after) = ended[0], ended[-1]
    tokens_per_s = (after - before) / max(over - begun, 1e-9)
    pack_tokens = (after - before) / ((STEPS - 1) * training.packs_per_step)
    peak_bytes = peak_memory_bytes(device)
    return Trial(
        device=device,
        steps=len(ended) - 1,
        step_s=pack_tokens * plan.training.packs_per_step / tokens_per_s,
        tokens_per_s=tokens_per_s,
        recomputed=plan.training.recompute_activations,
        peak_bytes=peak_bytes,
        estimated_bytes=None if estimate is None else estimate.total_bytes,
        free_bytes=free_bytes,
        fits=peak_bytes <= SHARE * free_bytes,
    )


def heaviest_packs(examples: Sequence[Example], capacity: int) -> list[list[int]]:
    """Two packs as full as they get: one of the longest documents, one of those with most to learn."""
    longest = sorted(range(len(examples)), key=lambda each: -len(examples[each].ids))
    densest = sorted(longest, key=lambda each: -examples[each].learned_tokens / len(examples[each].ids))
    return [_filled(examples, order, capacity) for order in (longest, densest)]


def peak_memory_bytes(device: Device) -> int:
    """The most that torch had allocated on the GPU, or this process ever held. Source: proc(5), VmHWM."""
    if device == "cuda":
        return int(torch.cuda.max_memory_allocated())
    lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


def _steps(
    training: TrainingChoice, base: Path, examples: Sequence[Example], teller: Teller
) -> list[tuple[float, int]]:
    """(seconds, tokens seen) at the end of each step."""
    if training.threads:
        torch.set_num_threads(training.threads)
    teller.stage(say("loading the model"))
    model = load_for_training(base, training)
    count = STEPS * training.packs_per_step
    teller.stage(say("trying three steps on the longest rows"), count)
    watch = Stopwatch(teller)
    watch.trainer = PackedTrainer(
        model,
        # Its own length, so that a plan's warm-up cannot contradict it; memory and time do not depend on it.
        msgspec.structs.replace(training, warmup_steps=0),
        PackedDocuments(examples, Repeated(heaviest_packs(examples, training.pack_tokens)), packs=count),
        folder=NOWHERE,
        steps=STEPS,
        base_name=model_name(base),
        callbacks=[watch],
        on_checkpoint=lambda checkpoint: None,
    )
    watch.trainer.train()
    return watch.ended


def _filled(examples: Sequence[Example], order: Sequence[int], capacity: int) -> list[int]:
    pack, room = [], capacity
    for index in order:
        if len(examples[index].ids) <= room:
            pack.append(index)
            room -= len(examples[index].ids)
    return pack


def _does_not_fit(training: TrainingChoice, free_bytes: int) -> HostNotReady:
    return HostNotReady(
        say("The trial ran out of memory."),
        why=say(
            "three steps of {tokens} tokens a pack took more than the {free:,.0f} MB that were free",
            tokens=training.pack_tokens,
            free=free_bytes / 1e6,
        ),
        next_step=say(
            "Choose shorter packs, recomputing, four bits or a smaller model; or end other programs."
        ),
    )
