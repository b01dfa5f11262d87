"""QLoRA: what is quantised, what is computed, and that nothing changes between training and its end."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from appliance.errors import BadInput
from appliance.model.base import load_base, load_tokenizer, load_with_adapter
from appliance.model.nf4 import as_trained
from appliance.run.events import EventLog
from appliance.run.folder import read_base
from appliance.run.plan import TrainingChoice, read_plan
from appliance.training import attention
from appliance.training.lora import add_adapter
from appliance.training.packing import PackedDocuments, PackSchedule
from appliance.training.prepare import prepare
from appliance.training.session import train_run
from appliance.training.stopping import StopRequest
from appliance.training.trainer import held_out_loss, learned_loss
from tests.runs import events_of, losses_of, make_run
from tests.test_training import train_here, weights
from tests.tiny import make_tiny_model, tiny_model

NF4 = [
    -1.0,
    -0.6961928009986877,
    -0.5250730514526367,
    -0.39491748809814453,
    -0.28444138169288635,
    -0.18477343022823334,
    -0.09105003625154495,
    0.0,
    0.07958029955625534,
    0.16093020141124725,
    0.24611230194568634,
    0.33791524171829224,
    0.44070982933044434,
    0.5626170039176941,
    0.7229568362236023,
    1.0,
]
"""The sixteen levels, from the QLoRA paper, arXiv 2305.14314, appendix E."""

QLORA = TrainingChoice(method="qlora", rank=4, alpha=12.0)


def is_packed(parameter: Tensor) -> bool:
    return parameter.dtype == torch.uint8


def test_a_quantised_weight_has_the_papers_levels_times_a_scale_for_each_block_of_64() -> None:
    torch.manual_seed(0)
    weight = torch.randn(96, 128) * 0.02
    blocks, wanted = as_trained(weight).reshape(-1, 64), weight.reshape(-1, 64)
    scales = blocks.abs().amax(1, keepdim=True)
    levels = torch.tensor(NF4)
    nearest = levels[((wanted / wanted.abs().amax(1, keepdim=True))[..., None] - levels).abs().argmin(-1)]
    assert ((blocks / scales - nearest).abs() < 1e-6).float().mean() > 0.999
    # The scales themselves are in 8 bits.
    assert (scales / wanted.abs().amax(1, keepdim=True) - 1).abs().max() < 0.03
    assert torch.equal(as_trained(weight.bfloat16()), as_trained(weight.bfloat16().float()))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_all_linear_layers_but_the_head_are_quantised_and_each_has_an_adapter(
    tmp_path: Path, dtype: str
) -> None:
    from bitsandbytes.functional import dequantize_4bit
    from safetensors.torch import load_file

    folder = make_tiny_model(tmp_path, tied=False, dtype=dtype)
    stored = load_file(folder / "model.safetensors")
    model = load_base(folder, nf4=True)
    packed = {name: each for name, each in model.named_parameters() if is_packed(each)}
    assert set(packed) == {name for name in stored if name.endswith("_proj.weight")}
    assert len(packed) == 2 * 7
    for name, each in packed.items():
        got = dequantize_4bit(each.data, each.quant_state)
        assert torch.equal(got, as_trained(stored[name]).to(got.dtype))
    tuned = add_adapter(model, QLORA)
    trained = {name: each for name, each in tuned.named_parameters() if each.requires_grad}
    assert {each.dtype for each in trained.values()} == {torch.float32}
    layers = {name.split(".lora_")[0].removeprefix("base_model.model.") for name in trained}
    assert layers == {name.removesuffix(".weight") for name in packed}


def test_asking_the_model_in_between_changes_neither_its_answers_nor_its_gradients() -> None:
    attention.register()
    model = add_adapter(load_base(tiny_model(), attention=attention.SEGMENTS, nf4=True), QLORA)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.constant_(parameter, 0.01)
    from appliance.training.encode import Example

    example = Example(tuple(range(3, 60)), (False,) * 20 + (True,) * 37)
    packs = PackedDocuments([example], PackSchedule([57], capacity=64, seed=1), packs=1)

    def gradients() -> list[Tensor]:
        model.train()
        model.zero_grad()
        learned_loss(model, packs[0]).backward()
        return [each.grad.clone() for each in model.parameters() if each.requires_grad]

    before = gradients()
    first = held_out_loss(model, packs, torch.device("cpu"))
    after = gradients()
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))
    assert held_out_loss(model, packs, torch.device("cpu")) == first
    with torch.no_grad():
        model.train()
        assert float(learned_loss(model, packs[0])) / 37 == first


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.slow
def test_a_stopped_run_goes_on_to_the_same_bits_with_adapters_in_float32(tmp_path: Path, dtype: str) -> None:
    from safetensors.torch import load_file

    base = make_tiny_model(tmp_path / "base", dtype=dtype)
    settings = {"method": '"qlora"', "steps": 6, "dropout": 0.1, "checkpoint_every_steps": 4}
    whole = make_run(tmp_path / "whole", base=base, held_out_share=0.2, **settings)
    assert train_here(whole)
    losses = losses_of(whole)
    assert losses[6] < losses[1] - 0.3
    halves = make_run(tmp_path / "halves", base=base, held_out_share=0.2, **settings)
    asked = StopRequest()

    class StopAtTheFirstStep(EventLog):
        """Asks for the end when training has begun, as a signal would."""

        def append(self, kind: str, **fields: object) -> None:
            super().append(kind, **fields)
            if fields.get("state") == "training":
                asked.ask()

    plan = read_plan(halves.plan)
    events = StopAtTheFirstStep(halves.events)
    assert not train_run(halves, plan, read_base(halves), events, asked, adapter=halves.adapter)
    assert train_here(halves)
    assert [each["step"] for each in events_of(halves, "resumed")] == [1]
    assert weights(halves) == weights(whole)
    assert losses_of(halves) == losses
    tensors = load_file(halves.adapter / "adapter_model.safetensors").values()
    assert {each.dtype for each in tensors} == {torch.float32}


def test_the_adapter_loaded_again_scores_what_the_run_said_at_its_end(tmp_path: Path) -> None:
    run = make_run(tmp_path, held_out_share=0.2, method='"qlora"', steps=6)
    assert train_here(run)
    model = load_with_adapter(read_base(run), run.adapter, attention=attention.SEGMENTS, nf4=True)
    held_out = prepare(run, read_plan(run.plan), load_tokenizer(read_base(run))).held_out
    schedule = PackSchedule([len(each.ids) for each in held_out], capacity=256, seed=1)
    packs = PackedDocuments(held_out, schedule, packs=schedule.packs_per_epoch)
    said = events_of(run, "held_out")[-1]["loss"]
    assert held_out_loss(model, packs, torch.device("cpu")) == said
    plain = load_with_adapter(read_base(run), run.adapter, attention=attention.SEGMENTS)
    assert held_out_loss(plain, packs, torch.device("cpu")) != said


def test_refuses_a_base_that_is_quantised_already(tmp_path: Path) -> None:
    import json

    base = make_tiny_model(tmp_path / "base")
    config = json.loads((base / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "gptq", "bits": 4}
    (base / "config.json").write_text(json.dumps(config))
    with pytest.raises(BadInput) as refused:
        make_run(tmp_path, base=base, method='"qlora"', steps=2)
    assert "quantised already" in refused.value.why
    assert not (tmp_path / "runs").exists()
