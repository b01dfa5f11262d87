"""The memory planner: against what autograd really keeps, and what it says where a run does not fit."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from appliance.errors import HostNotReady
from appliance.model.base import load_base
from appliance.model.memory import free_memory_bytes
from appliance.run.plan import TrainingChoice
from appliance.training import attention
from appliance.training.encode import Example
from appliance.training.lora import add_adapter
from appliance.training.memory import (
    ModelShape,
    check_memory,
    estimate_memory,
    find_shape,
)
from appliance.training.packing import collate, most_learned
from appliance.training.trainer import learned_loss
from tests.runs import events_of, losses_of, make_run
from tests.test_training import train_here, weights
from tests.tiny import make_tiny_model, tiny_model

TOKENS, LEARNED = 1024, 64
DOCUMENTS = [Example(tuple(range(3, 259)), (False,) * (256 - LEARNED // 4) + (True,) * (LEARNED // 4))] * 4


def shape_of(folder: Path) -> ModelShape:
    shape = find_shape(folder)
    assert shape is not None
    return shape


def line(training: TrainingChoice, folder: Path, name: str, **more: Any) -> int:
    """One part of the estimate for TOKENS tokens."""
    estimate = estimate_memory(training, shape_of(folder), tokens=TOKENS, learned_tokens=LEARNED, **more)
    (size,) = [each.bytes for each in estimate.lines if each.name == name]
    return size


def kept_by_autograd(model: Any) -> int:
    """Bytes of all different tensors that autograd keeps for the way back, those of the head aside."""
    weights = {each.untyped_storage().data_ptr() for each in model.parameters()}
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        place = tensor.untyped_storage().data_ptr()
        if place not in weights and tensor.shape[-1:] != (model.config.vocab_size,):
            kept[place] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        learned_loss(model, collate(DOCUMENTS))
    return sum(each.untyped_storage().nbytes() for each in kept.values())


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("method", ["lora", "qlora"])
def test_the_activations_are_what_autograd_keeps(tmp_path: Path, dtype: str, method: Any) -> None:
    folder = make_tiny_model(tmp_path, hidden=256, layers=3, dtype=dtype)
    training = TrainingChoice(method=method, rank=8)
    attention.register()
    model = add_adapter(load_base(folder, attention=attention.SEGMENTS, nf4=training.nf4), training).train()
    assert line(training, folder, "activations") == pytest.approx(kept_by_autograd(model), rel=0.03)


def test_dropout_keeps_masks_and_copies_which_are_counted_too() -> None:
    training = TrainingChoice(rank=8, dropout=0.1)
    attention.register()
    model = add_adapter(load_base(tiny_model(), attention=attention.SEGMENTS), training).train()
    assert line(training, tiny_model(), "activations") == pytest.approx(kept_by_autograd(model), rel=0.1)


@pytest.mark.parametrize("method", ["lora", "qlora"])
def test_the_weights_are_what_is_loaded(tmp_path: Path, method: Any) -> None:
    folder = make_tiny_model(tmp_path, tied=False, hidden=256, dtype="bfloat16")
    training = TrainingChoice(method=method, rank=8, alpha=16.0)
    model = load_base(folder, nf4=training.nf4)
    loaded = sum(each.nbytes for each in model.parameters())
    for each in model.parameters():
        state = getattr(each, "quant_state", None)
        loaded += state.absmax.nbytes + state.state2.absmax.nbytes if state is not None else 0
    assert line(training, folder, "base weights") == pytest.approx(loaded, rel=0.01)
    tuned = add_adapter(model, training)
    adapter = sum(each.nbytes for each in tuned.parameters() if each.requires_grad)
    assert line(training, folder, "adapter") == adapter
    assert line(training, folder, "optimizer") == 2 * adapter


def check(training: TrainingChoice, folder: Path, free_bytes: int) -> Any:
    return check_memory(
        training,
        shape_of(folder),
        longest=200,
        tokens=training.pack_tokens,
        learned_tokens=training.pack_tokens // 2,
        free_bytes=free_bytes,
    )


def test_a_run_that_takes_more_than_nine_tenths_is_refused_with_what_would_fit(tmp_path: Path) -> None:
    folder = make_tiny_model(tmp_path, hidden=256, layers=3)
    training = TrainingChoice(pack_tokens=4096)
    total = check(training, folder, 10**12).total_bytes
    assert check(training, folder, round(total / 0.9) + 1).total_bytes == total
    with pytest.raises(HostNotReady, match="does not fit into memory") as refused:
        check(training, folder, round(total / 0.9) - 10)
    assert refused.value.exit_code == 5
    assert "activations" in refused.value.why
    assert "pack_tokens = 2048, packs_per_step = 2;" in refused.value.next_step
    # 720 MB may be taken, 600 of them by the libraries: only the shortest packs that hold the rows do it.
    with pytest.raises(HostNotReady) as refused:
        check(training, folder, 720_000_000)
    assert "pack_tokens = 512" in refused.value.next_step or "pack_tokens = 256" in refused.value.next_step
    with pytest.raises(HostNotReady) as refused:
        check(training, folder, 1_000_000)
    assert refused.value.next_step.startswith("Choose a smaller model")


def test_the_most_that_a_pack_teaches_is_bounded_by_its_best_rows() -> None:
    rows = [Example((1,) * 10, (False,) * 9 + (True,)), Example((1,) * 10, (False,) * 2 + (True,) * 8)]
    assert [most_learned(rows, capacity) for capacity in (5, 10, 15, 100)] == [4, 8, 9, 9]


def test_a_model_that_names_its_sizes_otherwise_is_not_estimated(tmp_path: Path) -> None:
    folder = make_tiny_model(tmp_path)
    text = (folder / "config.json").read_text()
    (folder / "config.json").write_text(text.replace('"hidden_size"', '"n_embd"'))
    assert find_shape(folder) is None


def test_free_memory_is_some_of_what_the_box_has() -> None:
    total = next(
        int(each.split()[1]) * 1024
        for each in Path("/proc/meminfo").read_text().splitlines()
        if each.startswith("MemTotal")
    )
    assert 0 < free_memory_bytes() <= total


def test_a_control_groups_limit_counts_and_what_it_read_of_files_is_free(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("32000000\n")
    (tmp_path / "memory.current").write_text("30000000\n")
    (tmp_path / "memory.stat").write_text(
        "anon 9000000\nfile 21000000\nactive_file 1000000\ninactive_file 19000000\n"
    )
    assert free_memory_bytes(tmp_path) == 22_000_000
    (tmp_path / "memory.max").write_text("max\n")
    assert free_memory_bytes(tmp_path) > 22_000_000


def test_weights_that_lie_there_a_second_time_are_not_counted_twice(tmp_path: Path) -> None:
    folder = make_tiny_model(tmp_path)
    alone = find_shape(folder)
    shutil.copy(folder / "model.safetensors", folder / "consolidated.safetensors")
    assert find_shape(folder) == alone


def test_computing_activations_again_changes_nothing_and_the_run_says_its_estimate(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"steps": 4, "dropout": 0.1, "packs_per_step": 2}
    plain = make_run(tmp_path / "plain", **settings)
    again = make_run(tmp_path / "again", recompute_activations="true", **settings)
    assert train_here(plain)
    assert train_here(again)
    assert losses_of(again) == losses_of(plain)
    assert weights(again) == weights(plain)
    (said,) = events_of(plain, "memory")
    assert said["device"] == ("cuda" if torch.cuda.is_available() else "cpu")
    assert said["total_bytes"] == sum(each["bytes"] for each in said["lines"])
    assert said["total_bytes"] < said["free_bytes"]
    (less,) = events_of(again, "memory")
    assert less["total_bytes"] < said["total_bytes"]
