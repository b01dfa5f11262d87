"""What a training run tells while it runs, and where it stops when it is asked to."""

import math
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import TrainerCallback

from appliance.run.events import EventLog
from appliance.sentence import say, to_document
from appliance.training.astray import astray
from appliance.training.stopping import StopRequest

if TYPE_CHECKING:
    from appliance.training.trainer import PackedTrainer

REPORT_EVERY_S = 0.5


class Reporter(TrainerCallback):  # type: ignore[misc]  # transformers carries no types
    """Appends `progress` events about twice a second, and stops the run when it is asked to."""

    def __init__(self, events: EventLog, stop: StopRequest, *, steps: int, packs_per_epoch: int) -> None:
        self._events = events
        self._stop = stop
        self._steps = steps
        self._packs_per_epoch = packs_per_epoch
        self._losses: list[torch.Tensor] = []
        self._reported_at = time.monotonic()
        self._reported_step = 0
        self._reported_tokens = 0
        self._warned = False
        self.trainer: PackedTrainer | None = None
        """Set once the trainer that this belongs to is made."""

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Start the clock."""
        self._reported_at = time.monotonic()
        self._reported_step = state.global_step

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
        """Keep the step's loss on the device; decide whether it is time to report, save or stop."""
        trainer = self._trainer()
        self._losses.append(torch.stack(trainer.micro_losses).sum())
        trainer.micro_losses.clear()
        if self._stop.asked:
            control.should_save = True
            control.should_training_stop = True
        due = time.monotonic() - self._reported_at >= REPORT_EVERY_S
        # A loss that is no number is noticed in the report, which comes before the checkpoint.
        if due or control.should_save or control.should_training_stop or state.global_step == 1:
            control.should_log = True
        return control

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float], **_: Any) -> None:
        """Read the losses back and append one event.

        Raises: StepFailed, when a loss is no number.
        """
        if not self._losses:
            return  # the Trainer's closing summary
        losses = torch.stack(self._losses).tolist()
        self._losses.clear()
        if not all(map(math.isfinite, losses)):
            raise astray(say("the loss is no number any more near step {step}", step=state.global_step))
        self._append(state.global_step, args, losses, logs)

    def _append(self, step: int, args: Any, losses: list[float], logs: dict[str, float]) -> None:
        trainer, now = self._trainer(), time.monotonic()
        took_s = max(now - self._reported_at, 1e-9)
        steps_per_s = (step - self._reported_step) / took_s
        tokens_per_s = (trainer.tokens_seen - self._reported_tokens) / took_s
        grad_norm = float(logs.get("grad_norm", math.nan))
        if "grad_norm" in logs and not math.isfinite(grad_norm):
            self._warn_of_gradients(step)
        self._events.append(
            "progress",
            step=step,
            steps=self._steps,
            epoch=round(step * args.gradient_accumulation_steps / self._packs_per_epoch, 3),
            loss=sum(losses) / len(losses),
            losses=losses,
            learning_rate=logs.get("learning_rate"),
            grad_norm=grad_norm if math.isfinite(grad_norm) else None,
            tokens_per_s=round(tokens_per_s, 1),
            eta_s=round((self._steps - step) / steps_per_s, 1) if steps_per_s else None,
            memory_bytes=memory_bytes(),
        )
        self._reported_at, self._reported_step = now, step
        self._reported_tokens = trainer.tokens_seen

    def _warn_of_gradients(self, step: int) -> None:
        """Say once that steps teach nothing: gradients without a finite length are scaled to nothing."""
        if not self._warned:
            what = say("The gradients are no numbers any more near step {step}.", step=step)
            why = say("such a step teaches nothing; a lower learning rate or another base may help")
            self._events.append("warning", what=to_document(what), why=to_document(why))
        self._warned = True

    def _trainer(self) -> "PackedTrainer":
        if self.trainer is None:
            raise RuntimeError("the reporter belongs to no trainer yet")
        return self.trainer


def memory_bytes() -> int:
    """What the run holds: the peak on the GPU, where there is one, else the process's memory now."""
    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    resident_pages = int(Path("/proc/self/statm").read_text().split()[1])
    return resident_pages * os.sysconf("SC_PAGE_SIZE")
