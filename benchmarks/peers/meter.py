"""Counts tokens and CPU time of any `transformers.Trainer`, in the same way in every peer's process.

All trainers measured here are subclasses of it, so two of its seams are enough: `training_step` (what
goes in, which loss comes out) and the end of an optimizer step (the clock). A run is an epoch and one
optimizer step more; timed is everything from the end of the first step to the end of the last, data
loading and optimizer included. Imports, set-up and what libraries do only once fall before.
"""

import json
import resource
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any

IGNORED = -100
"""What the peers label a token with that is not learned."""

VERSIONS_OF = ("torch", "transformers", "peft", "trl", "llamafactory")


def read_job() -> Any:
    """The job whose file is this process's argument, with its fields as attributes."""
    from argparse import Namespace

    return Namespace(**json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))


class Meter:
    """Installs itself on construction; `write` after training."""

    def __init__(self, job: Any) -> None:
        from transformers import AutoTokenizer, Trainer
        from transformers.trainer_callback import CallbackHandler

        self._result = Path(job.result)
        self._pad = AutoTokenizer.from_pretrained(job.base).pad_token_id
        self._inputs: list[dict[str, Any]] = []
        self._losses: list[Any] = []
        self._batches: list[int] = []
        self._ends: list[float] = []
        self._trainable = 0
        training_step, on_step_end = Trainer.training_step, CallbackHandler.on_step_end

        def metered_step(trainer: Any, model: Any, inputs: Any, *more: Any, **named: Any) -> Any:
            # Kept, and counted afterwards: the trainers take keys out of what they are given.
            self._inputs.append(dict(inputs))
            loss = training_step(trainer, model, inputs, *more, **named)
            self._losses.append(loss)
            if not self._trainable:
                self._trainable = sum(each.numel() for each in model.parameters() if each.requires_grad)
            return loss

        def metered_end(*arguments: Any, **named: Any) -> Any:
            control = on_step_end(*arguments, **named)
            self._batches.append(len(self._inputs))
            self._ends.append(time.process_time())
            return control

        Trainer.training_step = metered_step
        CallbackHandler.on_step_end = metered_end

    def write(self) -> None:
        """Write the counts as JSON."""
        import torch

        steps = [slice(*bounds) for bounds in zip([0, *self._batches], self._batches, strict=False)]
        if len(steps) < 3:
            raise RuntimeError(f"{len(steps)} optimizer steps are too few to leave one out")
        real = [int((each["input_ids"] != self._pad).sum()) for each in self._inputs]
        computed = [each["input_ids"].numel() for each in self._inputs]
        learned = [_learned(each) for each in self._inputs]
        losses = [float(loss) for loss in self._losses]
        epoch, timed = slice(0, self._batches[-2]), slice(self._batches[0], None)
        # Each optimizer step's losses add up to the mean over the tokens that it learns.
        nll = sum(sum(losses[step]) * sum(learned[step]) for step in steps[:-1])
        result = {
            "versions": {name: _version(name) for name in VERSIONS_OF},
            "threads": torch.get_num_threads(),
            "trainable_weights": self._trainable,
            "steps_per_epoch": len(steps) - 1,
            "epoch_real_tokens": sum(real[epoch]),
            "epoch_learned_tokens": sum(learned[epoch]),
            "epoch_mean_loss": nll / sum(learned[epoch]),
            "last_loss": sum(losses[steps[-1]]),
            "timed_real_tokens": sum(real[timed]),
            "timed_learned_tokens": sum(learned[timed]),
            "timed_positions": sum(computed[timed]),
            "timed_cpu_s": self._ends[-1] - self._ends[0],
            "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        }
        self._result.write_text(json.dumps(result, indent=2), encoding="utf-8")


def _learned(inputs: dict[str, Any]) -> int:
    """Tokens of a batch that are learned: Islet lists them, the others label the rest as ignored."""
    if "targets" in inputs:
        return int(inputs["targets"].numel())
    return int((inputs["labels"] != IGNORED).sum())


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
