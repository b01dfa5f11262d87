"""The streaming merge, judged by multiplying a vector, by PEFT on the CPU, and by what it must refuse."""

import json
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from appliance.errors import BadInput, HostNotReady, StepFailed
from appliance.export.merge import (
    ROWS_ELEMENTS,
    check_room,
    lora_delta,
    merge,
    put_in_place,
    summed,
)
from appliance.progress import Silent
from tests.tiny import make_tiny_model, tiny_model

TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def make_adapter(base: Path, folder: Path, **settings: Any) -> Path:
    """An adapter with random matrices, made and saved by PEFT."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(1)
    config = LoraConfig(**{"r": 4, "lora_alpha": 7, "target_modules": TARGETS, **settings})
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(base), config)
    for name, weight in model.named_parameters():
        if "lora_" in name or "modules_to_save" in name:
            weight.data.add_(torch.randn_like(weight, dtype=torch.float32).to(weight.dtype), alpha=0.1)
    model.save_pretrained(folder)
    return folder


def merged_by_peft(base: Path, adapter: Path) -> dict[str, torch.Tensor]:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), adapter)
    return dict(model.merge_and_unload(safe_merge=False).state_dict())


def load_folder(folder: Path) -> dict[str, torch.Tensor]:
    tensors: dict[str, torch.Tensor] = {}
    for path in sorted(folder.glob("*.safetensors")):
        tensors.update(load_file(path))
    return tensors


@pytest.fixture(scope="module")
def plain_adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_adapter(tiny_model(), tmp_path_factory.mktemp("plain") / "adapter")


def altered(adapter: Path, into: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> Path:
    """A copy of an adapter with its tensors changed by `change`."""
    shutil.copytree(adapter, into)
    tensors = load_file(into / "adapter_model.safetensors")
    change(tensors)
    save_file(tensors, into / "adapter_model.safetensors")
    return into


def configured(adapter: Path, into: Path, **settings: Any) -> Path:
    """A copy of an adapter with other settings in adapter_config.json."""
    shutil.copytree(adapter, into)
    path = into / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **settings}))
    return into


def test_a_vector_through_the_merged_weight_is_base_plus_scaled_adapter() -> None:
    base = torch.tensor([[1.0, 2.0, 3.0], [0.0, -1.0, 4.0]])
    a = torch.tensor([[1.0, 0.0, 2.0]])
    b = torch.tensor([[3.0], [-2.0]])
    x = torch.tensor([1.0, 10.0, 100.0])
    # By hand, alpha 8 and rank 1: W x = (321, 390); A x = 201; 8 * B A x = (4824, -3216).
    assert (summed(base, lora_delta(a, b, 8.0), None) @ x).tolist() == [5145.0, -2826.0]


def test_the_sum_is_rounded_once() -> None:
    # bfloat16 has 8 bits: 256 + 1 rounds to 256, and two halves added one by one would stay at 256.
    base = torch.tensor([[256.0]], dtype=torch.bfloat16)
    merged = summed(base, lora_delta(torch.tensor([[1.0]]), torch.tensor([[1.5]]), 1.0), None)
    assert merged.dtype == torch.bfloat16
    assert merged.item() == 258.0


CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "rslora": {"use_rslora": True},
    "rank pattern": {"rank_pattern": {"q_proj": 2, r"layers\.1\.mlp\.up_proj": 6}},
    "alpha pattern": {"alpha_pattern": {"down_proj": 3, "layers.0.self_attn.v_proj": 11}},
    "patterns and rslora": {
        "rank_pattern": {"k_proj": 3},
        "alpha_pattern": {"k_proj": 5},
        "use_rslora": True,
    },
    "some layers": {"layers_to_transform": [1]},
    "dora": {"use_dora": True},
    "dora and rslora": {"use_dora": True, "use_rslora": True},
}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("case", CASES)
def test_equals_peft_to_the_bit(case: str, dtype: str, tmp_path: Path) -> None:
    base = make_tiny_model(tmp_path / "base", dtype=dtype, hidden=32, vocab=300)
    adapter = make_adapter(base, tmp_path / "adapter", **CASES[case])
    merge(base, adapter, tmp_path / "merged", Silent())
    ours, oracle, before = load_folder(tmp_path / "merged"), merged_by_peft(base, adapter), load_folder(base)
    assert ours.keys() == before.keys()
    for name, tensor in ours.items():
        assert tensor.dtype == getattr(torch, dtype)
        assert torch.equal(tensor, oracle[name]), name
    assert any(not torch.equal(ours[name], before[name]) for name in ours)


@pytest.mark.parametrize("settings", [{}, {"use_dora": True}], ids=["plain", "dora"])
def test_weights_that_are_written_in_several_pieces_equal_pefts(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    base = make_tiny_model(tmp_path / "base", dtype="bfloat16", hidden=1040, layers=1)
    largest = max(tensor.numel() for tensor in load_folder(base).values())
    assert largest > 2 * ROWS_ELEMENTS
    adapter = make_adapter(base, tmp_path / "adapter", modules_to_save=["norm"], **settings)
    merge(base, adapter, tmp_path / "merged", Silent())
    ours, oracle = load_folder(tmp_path / "merged"), merged_by_peft(base, adapter)
    assert all(torch.equal(ours[name], oracle[name]) for name in ours)


def test_takes_an_adapter_stored_in_sixteen_bits_as_peft_does(plain_adapter: Path, tmp_path: Path) -> None:
    def halve(tensors: dict[str, torch.Tensor]) -> None:
        tensors.update({name: tensor.bfloat16() for name, tensor in tensors.items()})

    adapter = altered(plain_adapter, tmp_path / "adapter", halve)
    merge(tiny_model(), adapter, tmp_path / "merged", Silent())
    ours, oracle = load_folder(tmp_path / "merged"), merged_by_peft(tiny_model(), adapter)
    assert all(torch.equal(ours[name], oracle[name]) for name in ours)


def dequantised_by_bitsandbytes(base: Path, into: Path) -> Path:
    """A copy of a base whose linear layers have the values that bitsandbytes gives back."""
    from bitsandbytes.functional import dequantize_4bit

    from appliance.model.base import load_base

    shutil.copytree(base, into)
    tensors = load_file(base / "model.safetensors")
    for name, weight in load_base(base, nf4=True).named_parameters():
        if hasattr(weight, "quant_state"):
            values = dequantize_4bit(weight.data, weight.quant_state)
            assert values.dtype == tensors[name].dtype
            tensors[name] = values
    save_file(tensors, into / "model.safetensors", metadata={"format": "pt"})
    return into


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("settings", [{}, {"use_rslora": True, "use_dora": True}], ids=["plain", "dora"])
def test_into_a_dequantised_base_equals_peft_on_what_bitsandbytes_gives_back(
    settings: dict[str, Any], dtype: str, tmp_path: Path
) -> None:
    base = make_tiny_model(tmp_path / "base", dtype=dtype, hidden=32, vocab=300)
    adapter = make_adapter(base, tmp_path / "adapter", **settings)
    merge(base, adapter, tmp_path / "merged", Silent(), dequantised=True)
    dequantised = dequantised_by_bitsandbytes(base, tmp_path / "dequantised")
    ours, oracle = load_folder(tmp_path / "merged"), merged_by_peft(dequantised, adapter)
    plain = merged_by_peft(base, adapter)
    changed = [name for name, tensor in ours.items() if not torch.equal(tensor, plain[name])]
    assert len(changed) == 2 * len(TARGETS)
    assert all(torch.equal(ours[name], oracle[name]) for name in ours)


def test_replaces_whole_modules_of_an_untied_base_as_peft_does(tmp_path: Path) -> None:
    base = make_tiny_model(tmp_path / "base", dtype="bfloat16", tied=False, hidden=32, vocab=300)
    adapter = make_adapter(base, tmp_path / "adapter", modules_to_save=["lm_head", "embed_tokens"])
    merge(base, adapter, tmp_path / "merged", Silent())
    ours, oracle, before = load_folder(tmp_path / "merged"), merged_by_peft(base, adapter), load_folder(base)
    assert all(torch.equal(ours[name], oracle[name]) for name in ours)
    assert not torch.equal(ours["lm_head.weight"], before["lm_head.weight"])


def test_merges_every_shard_of_a_base_in_several_files(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    base = make_tiny_model(tmp_path / "base", dtype="bfloat16")
    adapter = make_adapter(base, tmp_path / "adapter")
    whole = AutoModelForCausalLM.from_pretrained(base)
    (base / "model.safetensors").unlink()
    whole.save_pretrained(base, max_shard_size="60KB")
    assert len(list(base.glob("model-*.safetensors"))) > 2
    merge(base, adapter, tmp_path / "merged", Silent())
    ours, oracle = load_folder(tmp_path / "merged"), merged_by_peft(base, adapter)
    assert all(torch.equal(ours[name], oracle[name]) for name in ours)


def test_keeps_headers_settings_and_untouched_weights_byte_for_byte(
    plain_adapter: Path, tmp_path: Path
) -> None:
    base = tiny_model()
    result = merge(base, plain_adapter, tmp_path / "merged", Silent())
    for name in ("config.json", "generation_config.json", "tokenizer.json", "chat_template.jinja"):
        assert (result.folder / name).read_bytes() == (base / name).read_bytes()
    before, after = (folder / "model.safetensors" for folder in (base, result.folder))
    header = 8 + int.from_bytes(before.read_bytes()[:8], "little")
    assert after.read_bytes()[:header] == before.read_bytes()[:header]
    assert torch.equal(
        load_folder(result.folder)["model.embed_tokens.weight"],
        load_folder(base)["model.embed_tokens.weight"],
    )
    assert result.merged_tensors == 2 * len(TARGETS)
    assert {stat.S_IMODE(path.stat().st_mode) for path in result.folder.iterdir()} == {0o644}


def test_replaces_an_older_merge_and_the_rest_of_one_that_was_cut_off(
    plain_adapter: Path, tmp_path: Path
) -> None:
    (tmp_path / "merged.partial").mkdir()
    (tmp_path / "merged.partial" / "half").write_text("cut off")
    (tmp_path / "merged").mkdir()
    (tmp_path / "merged" / "stale").write_text("older")
    merge(tiny_model(), plain_adapter, tmp_path / "merged", Silent())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["merged"]
    assert not (tmp_path / "merged" / "stale").exists()
    assert not (tmp_path / "merged" / "half").exists()


def refused(base: Path, adapter: Path, tmp_path: Path) -> str:
    """The text of the refusal; nothing may have been written."""
    with pytest.raises(BadInput) as caught:
        merge(base, adapter, tmp_path / "out" / "merged", Silent())
    assert not (tmp_path / "out").exists()
    return str(caught.value)


def test_refuses_a_key_that_nothing_consumes(plain_adapter: Path, tmp_path: Path) -> None:
    def add(tensors: dict[str, torch.Tensor]) -> None:
        tensors["base_model.model.model.layers.0.self_attn.q_proj.lora_C.weight"] = torch.zeros(1)

    adapter = altered(plain_adapter, tmp_path / "adapter", add)
    assert "q_proj.lora_C.weight is not understood" in refused(tiny_model(), adapter, tmp_path)


def test_refuses_half_a_pair(plain_adapter: Path, tmp_path: Path) -> None:
    def drop(tensors: dict[str, torch.Tensor]) -> None:
        del tensors["base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight"]

    adapter = altered(plain_adapter, tmp_path / "adapter", drop)
    assert "only one of lora_A and lora_B" in refused(tiny_model(), adapter, tmp_path)


def test_refuses_lora_on_a_tied_head(tmp_path: Path) -> None:
    adapter = make_adapter(tiny_model(), tmp_path / "adapter", target_modules=["lm_head", "q_proj"])
    assert "embedding or output head" in refused(tiny_model(), adapter, tmp_path)

    def only_lora(tensors: dict[str, torch.Tensor]) -> None:
        for name in [name for name in tensors if "lora_" not in name]:
            del tensors[name]

    bare = altered(adapter, tmp_path / "bare", only_lora)
    assert "shares one weight" in refused(tiny_model(), bare, tmp_path)


def test_refuses_lora_on_an_embedding(tmp_path: Path) -> None:
    base = make_tiny_model(tmp_path / "base", tied=False)
    adapter = make_adapter(base, tmp_path / "adapter", target_modules=["embed_tokens", "q_proj"])
    assert "embed" in refused(base, adapter, tmp_path)


@pytest.mark.parametrize("module", ["lm_head", "embed_tokens"])
@pytest.mark.parametrize("tying", [False, True])
def test_refuses_a_whole_module_of_a_tied_pair(module: str, tying: bool, tmp_path: Path) -> None:
    adapter = make_adapter(
        tiny_model(), tmp_path / "adapter", modules_to_save=[module], ensure_weight_tying=tying
    )
    assert "shares one weight" in refused(tiny_model(), adapter, tmp_path)


def test_refuses_an_adapter_of_a_base_with_other_shapes(plain_adapter: Path, tmp_path: Path) -> None:
    base = make_tiny_model(tmp_path / "base", hidden=32)
    assert "in the base" in refused(base, plain_adapter, tmp_path)


def test_refuses_an_adapter_of_a_base_with_more_layers(tmp_path: Path) -> None:
    deep = make_tiny_model(tmp_path / "base", layers=3)
    adapter = make_adapter(deep, tmp_path / "adapter")
    assert "is not a weight of the base" in refused(tiny_model(), adapter, tmp_path)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"init_lora_weights": "pissa_niter_4"}, "changes the base model itself"),
        ({"init_lora_weights": "pissa"}, "changes the base model itself"),
        ({"init_lora_weights": "olora"}, "changes the base model itself"),
        ({"init_lora_weights": "loftq"}, "changes the base model itself"),
        ({"init_lora_weights": "corda"}, "changes the base model itself"),
        ({"init_lora_weights": "lora_ga"}, "changes the base model itself"),
        ({"lora_bias": True}, "lora_bias = True is not supported"),
        ({"peft_type": "IA3"}, "peft_type is not LORA"),
        ({"bias": "all"}, "biases"),
        ({"fan_in_fan_out": True}, "fan_in_fan_out"),
        ({"layer_replication": [[0, 2]]}, "layer_replication"),
        ({"r": 8}, "not of rank 8"),
        ({"r": True}, "r = True is not a positive number"),
        ({"use_dora": True}, "do not agree"),
        ({"something_new": 3}, "something_new = 3 is not supported"),
    ],
)
def test_refuses_an_adapter_that_cannot_be_merged_exactly(
    settings: dict[str, Any], words: str, plain_adapter: Path, tmp_path: Path
) -> None:
    adapter = configured(plain_adapter, tmp_path / "adapter", **settings)
    assert words in refused(tiny_model(), adapter, tmp_path)


def test_refuses_infinite_weights(plain_adapter: Path, tmp_path: Path) -> None:
    def spoil(tensors: dict[str, torch.Tensor]) -> None:
        tensors["base_model.model.model.layers.1.mlp.up_proj.lora_B.weight"][0, 0] = float("inf")

    adapter = altered(plain_adapter, tmp_path / "adapter", spoil)
    with pytest.raises(StepFailed, match="up_proj.weight is not finite"):
        merge(tiny_model(), adapter, tmp_path / "merged", Silent())
    assert not (tmp_path / "merged").exists()


def test_says_how_much_room_is_missing(tmp_path: Path) -> None:
    with pytest.raises(HostNotReady, match="needed"):
        check_room(tmp_path, 1 << 60)


def damaged_headers() -> dict[str, bytes]:
    """Safetensors files, each with one defect in its header."""

    def file(header: object, data: bytes = b"\0" * 8) -> bytes:
        text = header if isinstance(header, bytes) else json.dumps(header).encode()
        return len(text).to_bytes(8, "little") + text + data

    def entry(**changes: Any) -> dict[str, Any]:
        return {"dtype": "F32", "shape": [2], "data_offsets": [0, 8], **changes}

    return {
        "shorter than its length field": b"\0\0\0",
        "a header longer than the file": (1 << 40).to_bytes(8, "little") + b"{}",
        "not JSON": file(b"{nonsense"),
        "not an object": file([1]),
        "a name twice": file(b'{"a":1,"a":2}'),
        "offsets past the end": file({"a": entry(data_offsets=[0, 16], shape=[4])}),
        "a gap before the tensor": file({"a": entry(data_offsets=[4, 12])}, b"\0" * 12),
        "overlapping tensors": file({"a": entry(), "b": entry()}),
        "bytes after the last tensor": file({"a": entry()}, b"\0" * 9),
        "a size that is not its shape's": file({"a": entry(shape=[3])}),
        "a negative size": file({"a": entry(shape=[-1, -2])}),
        "an unknown type": file({"a": entry(dtype="PICKLE")}),
        "a boolean for a size": file({"a": entry(dtype="F64", shape=[True])}),
        "nested too deeply": file(b"[" * 100_000),
    }


@pytest.mark.parametrize("defect", damaged_headers())
def test_refuses_a_safetensors_file_with(defect: str, plain_adapter: Path, tmp_path: Path) -> None:
    adapter = tmp_path / "adapter"
    shutil.copytree(plain_adapter, adapter)
    (adapter / "adapter_model.safetensors").write_bytes(damaged_headers()[defect])
    assert "not a sound safetensors file" in refused(tiny_model(), adapter, tmp_path)


def test_a_folder_whose_replacing_was_cut_off_is_still_there_when_the_next_one_fails(tmp_path: Path) -> None:
    (tmp_path / "export.old").mkdir()  # what a kill between the two renames leaves
    (tmp_path / "export.old" / "m.gguf").write_bytes(b"weights")
    with pytest.raises(FileNotFoundError):
        put_in_place(tmp_path / "export.partial", tmp_path / "export")
    assert (tmp_path / "export" / "m.gguf").read_bytes() == b"weights"
