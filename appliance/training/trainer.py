"""The one trainer: a thin `transformers.Trainer` over packed sequences.

What differs from the stock class, and why:

- one packed sequence is one batch, in the order that the schedule gives; documents never see each
  other (`appliance.training.attention`), and no attention mask is ever passed;
- the vocabulary head runs on the positions that are learned from, not on all of them;
- the loss is the mean over the learned tokens of the whole optimizer step;
- checkpoints are ours (`appliance.training.checkpoint`);
- nothing is read back from the device between two reports.
"""

import io
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from appliance.durable import write_whole
from appliance.errors import BadInput
from appliance.run.plan import TrainingChoice
from appliance.sentence import say
from appliance.training.astray import check_finite
from appliance.training.checkpoint import Checkpoint, save_checkpoint
from appliance.training.lora import load_adapter, write_adapter
from appliance.training.packing import PackedDocuments

MOST_WARMUP_STEPS = 10


def training_arguments(training: TrainingChoice, folder: Path, *, steps: int) -> TrainingArguments:
    """The Trainer's settings for the plan."""
    on_gpu = torch.cuda.is_available()
    return TrainingArguments(
        output_dir=str(folder),
        max_steps=steps,
        per_device_train_batch_size=1,
        gradient_accumulation_steps=training.packs_per_step,
        learning_rate=training.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=warmup_steps(training, steps),
        gradient_checkpointing=training.recompute_activations,
        gradient_checkpointing_kwargs={"use_reentrant": False},
        weight_decay=training.weight_decay,
        max_grad_norm=training.max_grad_norm,
        seed=training.seed,
        train_sampling_strategy="sequential",
        save_strategy="steps",
        save_steps=training.checkpoint_every_steps,
        logging_strategy="no",
        logging_nan_inf_filter=False,
        eval_strategy="no",
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_num_workers=0,
        dataloader_pin_memory=on_gpu,
        average_tokens_across_devices=False,
        use_cpu=not on_gpu,
    )


def warmup_steps(training: TrainingChoice, steps: int) -> int:
    """Optimizer steps in which the learning rate rises, in a run of `steps`.

    Raises: BadInput, when the plan asks for as many as the run has.
    """
    if training.warmup_steps < 0:
        return min(MOST_WARMUP_STEPS, steps // 10)
    if training.warmup_steps >= max(steps, 1):
        raise BadInput(
            "The plan contradicts itself.",
            why=say(
                "`training.warmup_steps` is {warmup}, and the run has {steps} steps",
                warmup=training.warmup_steps,
                steps=steps,
            ),
            next_step="Leave warmup_steps out of the plan, or train for longer.",
        )
    return training.warmup_steps


class PackedTrainer(Trainer):  # type: ignore[misc]  # transformers carries no types
    """Trains an adapter on packed sequences."""

    loss_is_scaled_for_ga = True
    control: Any

    def __init__(
        self,
        model: Any,
        training: TrainingChoice,
        packs: PackedDocuments,
        *,
        folder: Path,
        steps: int,
        base_name: str,
        callbacks: list[TrainerCallback],
        on_checkpoint: Callable[[Checkpoint], None],
    ) -> None:
        """folder: where checkpoints go; steps: optimizer steps in all."""
        super().__init__(
            model=model,
            args=training_arguments(training, folder, steps=steps),
            train_dataset=packs,
            data_collator=lambda batch: batch[0],
            callbacks=callbacks,
        )
        self.remove_callback(PrinterCallback)
        self._folder = folder
        self._keep = training.keep_checkpoints
        self._base_name = base_name
        self._on_checkpoint = on_checkpoint
        self.tokens_seen = 0
        """Tokens put through the model since the process started."""
        self.micro_losses: list[Tensor] = []
        """The parts of the current optimizer step's loss, on the device."""

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Tensor:
        """Cross entropy summed over the learned tokens, as a share of those of the whole optimizer step."""
        if num_items_in_batch is None:
            raise RuntimeError("the loss needs the number of learned tokens in the step")
        loss = learned_loss(model, inputs) / num_items_in_batch
        self.tokens_seen += inputs["input_ids"].numel()
        self.micro_losses.append(loss.detach())
        return loss

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        """Not counted: walking over all parameters at every step costs a small model more than it tells."""
        return 0

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Hand values to the callbacks; the history is `events.jsonl`, not the checkpoint."""
        self.control = self.callback_handler.on_log(self.args, self.state, self.control, logs)

    def _get_num_items_in_batch(self, batch_samples: list[dict[str, Any]], device: torch.device) -> int:
        return sum(len(batch["targets"]) for batch in batch_samples)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        step = self.state.global_step
        check_finite(self.model, step)
        checkpoint = save_checkpoint(self._folder, step, self._fill, keep=self._keep)
        self._on_checkpoint(checkpoint)

    def _fill(self, folder: Path) -> None:
        write_adapter(self.model, folder, base_name=self._base_name)
        write_whole(folder / "optimizer.pt", _serialized(self.optimizer.state_dict()))
        write_whole(folder / "scheduler.pt", _serialized(self.lr_scheduler.state_dict()))
        write_whole(folder / "rng_state.pth", _serialized(random_state()))
        self.state.save_to_json(str(folder / "trainer_state.json"))

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        load_adapter(self.model, Path(resume_from_checkpoint))


def learned_loss(model: Any, inputs: dict[str, Any]) -> Tensor:
    """Cross entropy summed over the learned tokens of one packed sequence, in float32: a scalar.

    inputs: as `appliance.training.packing.collate` makes them
    """
    targets = inputs["targets"]
    rest = {name: value for name, value in inputs.items() if name != "targets"}
    logits = model(**rest, use_cache=False).logits[0]
    if logits.size(0) != targets.size(0):
        raise RuntimeError("this architecture does not compute its head on chosen positions")
    return F.cross_entropy(logits.float(), targets, reduction="sum")


def held_out_loss(model: Any, packs: PackedDocuments, device: torch.device) -> float:
    """Mean loss per learned token over all packs, without training on them."""
    was_training = model.training
    model.eval()
    total, tokens = 0.0, 0
    with torch.no_grad():
        for number in range(len(packs)):
            inputs = {
                name: value.to(device) if isinstance(value, Tensor) else value
                for name, value in packs[number].items()
            }
            total += float(learned_loss(model, inputs))
            tokens += len(inputs["targets"])
    model.train(was_training)
    return total / tokens


def random_state() -> dict[str, Any]:
    """The state of every generator, in the form that the Trainer restores."""
    state: dict[str, Any] = {
        "python": random.getstate(),
        "numpy": numpy.random.get_state(),
        "cpu": torch.random.get_rng_state(),
    }
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.random.get_rng_state()
    return state


def _serialized(value: Any) -> bytes:
    """What `torch.save` writes, as bytes: so that a full disk is an OSError like everywhere else."""
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()
