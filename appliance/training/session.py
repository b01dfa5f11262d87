"""One stretch of training in this process: from the newest checkpoint to the end, or to a request to stop."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from appliance.errors import BadInput
from appliance.model.base import check_base, load_tokenizer, model_name
from appliance.model.same_base import keep_base_sums
from appliance.run.events import EventLog
from appliance.run.folder import RunFolder
from appliance.run.plan import Plan, TrainingChoice
from appliance.sentence import say, to_document
from appliance.training.astray import astray
from appliance.training.checkpoint import Checkpoint, newest_checkpoint
from appliance.training.encode import Example
from appliance.training.loading import find_device, free_device_bytes, judge_memory, load_for_training
from appliance.training.lora import write_adapter
from appliance.training.packing import PackedDocuments, PackSchedule, total_steps
from appliance.training.prepare import Prepared, prepare
from appliance.training.reporter import Reporter
from appliance.training.stopping import StopRequest
from appliance.training.trainer import PackedTrainer, held_out_loss, warmup_steps


def train_run(
    run: RunFolder, plan: Plan, base: Path, events: EventLog, stop: StopRequest, *, adapter: Path
) -> bool:
    """Train to the end and write the adapter into the new folder `adapter`; False when asked to stop before.

    Raises: BadInput, for rows or a base that cannot be used; StepFailed, when the loss is no number any
    more; HostNotReady, when a checkpoint cannot be written.
    """
    if plan.training.threads:
        torch.set_num_threads(plan.training.threads)
    check_base(base)
    keep_base_sums(base, run.base_sums)
    tokenizer = load_tokenizer(base)
    prepared = prepare(run, plan, tokenizer)
    schedule = _schedule(prepared.train, plan.training)
    steps = total_steps(plan.training, schedule.packs_per_epoch)
    warmup_steps(plan.training, steps)  # a contradiction is said before the weights are read
    _say_data(events, prepared, schedule)
    if stop.asked:
        return False
    _check_memory(base, plan.training, prepared.train, events)
    model = load_for_training(base, plan.training)
    reporter = Reporter(events, stop, steps=steps, packs_per_epoch=schedule.packs_per_epoch)
    held_out = _held_out_packs(prepared.held_out, plan.training)

    def on_checkpoint(checkpoint: Checkpoint) -> None:
        events.append("checkpoint", step=checkpoint.step, folder=checkpoint.folder.name)
        if held_out is not None:
            loss = held_out_loss(model, held_out, trainer.args.device)
            if not math.isfinite(loss):
                raise astray(say("the held-out loss is no number at step {step}", step=checkpoint.step))
            events.append("held_out", step=checkpoint.step, loss=loss)

    trainer = PackedTrainer(
        model,
        plan.training,
        PackedDocuments(prepared.train, schedule, packs=steps * plan.training.packs_per_step),
        folder=run.checkpoints,
        steps=steps,
        base_name=model_name(base),
        callbacks=[reporter],
        on_checkpoint=on_checkpoint,
    )
    reporter.trainer = trainer
    start = _found_checkpoint(run, events)
    events.append("state", state="training", step=start.step if start else 0, steps=steps)
    trainer.train(resume_from_checkpoint=str(start.folder) if start else None)
    if trainer.state.global_step < steps:
        return False
    adapter.mkdir()
    write_adapter(model, adapter, base_name=model_name(base))
    return True


def _check_memory(
    base: Path, training: TrainingChoice, examples: Sequence[Example], events: EventLog
) -> None:
    """Say what the run will take. Raises: HostNotReady, when that is more than there is."""
    device = find_device()
    free_bytes = free_device_bytes(device)
    estimate = judge_memory(base, training, examples, device=device, free_bytes=free_bytes)
    if estimate is None:
        what = say("What the run takes of memory could not be estimated.")
        why = say("the model's config.json does not give its sizes by the usual names")
        events.append("warning", what=to_document(what), why=to_document(why))
        return
    events.append(
        "memory",
        device=device,
        free_bytes=free_bytes,
        total_bytes=estimate.total_bytes,
        lines=[{"name": line.name, "bytes": line.bytes} for line in estimate.lines],
    )


def _schedule(examples: Sequence[Example], training: TrainingChoice) -> PackSchedule:
    if not examples:
        raise BadInput(
            "There is nothing to learn.",
            why="every row was refused or held out",
            next_step="Add rows, or correct the refused ones listed in data/check.json.",
        )
    return PackSchedule(
        [len(example.ids) for example in examples], capacity=training.pack_tokens, seed=training.seed
    )


def _held_out_packs(examples: Sequence[Example], training: TrainingChoice) -> PackedDocuments | None:
    if not examples:
        return None
    schedule = _schedule(examples, training)
    return PackedDocuments(examples, schedule, packs=schedule.packs_per_epoch)


def _found_checkpoint(run: RunFolder, events: EventLog) -> Checkpoint | None:
    """Where to go on from, with a word about every newer checkpoint that was passed over."""
    checkpoint, damaged = newest_checkpoint(run.checkpoints)
    for damage in damaged:
        what = say("The checkpoint {name} was passed over.", name=damage.folder.name)
        events.append("warning", what=to_document(what), why=to_document(damage.why))
    if checkpoint is not None:
        events.append("resumed", step=checkpoint.step, folder=checkpoint.folder.name)
    return checkpoint


def _say_data(events: EventLog, prepared: Prepared, schedule: PackSchedule) -> None:
    check: Any = prepared.check
    events.append(
        "data",
        rows=check.train_rows,
        refused=check.refused_rows,
        held_out=check.held_out_rows,
        tokens=sum(len(example.ids) for example in prepared.train),
        learned_tokens=sum(example.learned_tokens for example in prepared.train),
        packs=schedule.packs_per_epoch,
        files=[
            {"path": file.path, "format": file.format, "detected": file.detected, "encoding": file.encoding}
            for file in check.files
        ],
    )
