"""From a run folder to an export folder, whole; and what is left when an export is blocked."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Literal

import pytest
import torch

from appliance.errors import ApplianceError, BadInput, HostNotReady, StepFailed
from appliance.export.package import check_memory, export
from appliance.model.same_base import check_base_sums, keep_base_sums
from appliance.progress import Silent
from appliance.run.folder import RunFolder
from appliance.run.plan import (
    DataChoice,
    DataFile,
    ExportChoice,
    ModelChoice,
    Plan,
    TrainingChoice,
    write_plan,
)
from tests.converted import converter_folder
from tests.tiny import make_tiny_model


def make_run(
    folder: Path,
    *,
    trained: bool = True,
    system: str = "你是医院的助手。",
    training: TrainingChoice | None = None,
    merge_into: Literal["dequantised", "original"] = "dequantised",
) -> RunFolder:
    """A run that has ended: plan, base, and a random adapter by PEFT."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    run = RunFolder(folder / "run")
    run.root.mkdir(parents=True)
    base = make_tiny_model(folder / "base", dtype="bfloat16")
    plan = Plan(
        format="islet-plan-1",
        name="clinic",
        model=ModelChoice(base=str(base), system=system),
        data=DataChoice(train=(DataFile(path="/nowhere/rows.json"),)),
        training=training or TrainingChoice(),
        export=ExportChoice(name="clinic", gguf=("f16", "q8_0"), merge_into=merge_into, num_ctx=1024),
    )
    write_plan(plan, run.plan)
    run.base.write_text(f"{base}\n")
    if trained:
        torch.manual_seed(3)
        model = get_peft_model(
            AutoModelForCausalLM.from_pretrained(base),
            LoraConfig(r=4, lora_alpha=7, target_modules="all-linear"),
        )
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.data.add_(torch.randn_like(weight), alpha=0.1)
        model.save_pretrained(run.adapter)
    return run


@pytest.mark.slow
def test_packs_a_run_for_ollama(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    result = export(run, converter_folder(), Silent())
    names = ["Modelfile", "README.md", "SHA256SUMS", "clinic-f16.gguf", "clinic-q8_0.gguf", "parity.json"]
    assert sorted(path.name for path in run.export.iterdir()) == names
    assert {path.stat().st_mode & 0o777 for path in run.export.iterdir()} == {0o644}
    subprocess.run(["sha256sum", "-c", "--strict", "SHA256SUMS"], cwd=run.export, check=True)
    modelfile = (run.export / "Modelfile").read_text()
    assert modelfile.startswith("FROM ./clinic-f16.gguf\n")
    assert "PARAMETER num_ctx 1024\n" in modelfile
    assert 'SYSTEM """你是医院的助手。"""\n' in modelfile
    assert "ollama create clinic -f Modelfile" in (run.export / "README.md").read_text()
    parity = json.loads((run.export / "parity.json").read_text())
    assert parity["first_difference"] is None
    assert parity["ollama"] == "not present"
    assert [each["passed"] for each in parity["comparisons"]] == [True] * 5
    assert [path.name for path in result.ggufs] == ["clinic-f16.gguf", "clinic-q8_0.gguf"]
    assert result.gguf_bytes == sum(path.stat().st_size for path in result.ggufs)
    assert result.ggufs[1].stat().st_size < result.ggufs[0].stat().st_size
    assert sorted(path.name for path in run.root.iterdir()) == [
        "adapter",
        "base",
        "export",
        "merged",
        "plan.toml",
    ]
    for path in run.export.iterdir():
        assert str(tmp_path).encode() not in path.read_bytes()


@pytest.mark.slow
def test_an_adapter_trained_in_four_bits_goes_into_the_base_that_the_plan_names(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    into: dict[str, dict[str, torch.Tensor]] = {}
    for choice in ("dequantised", "original"):
        run = make_run(tmp_path / choice, training=TrainingChoice(method="qlora"), merge_into=choice)
        result = export(run, converter_folder(), Silent())
        # Against the base as it was in training, or as it is stored.
        assert result.parity.first_difference is None
        into[choice] = load_file(run.merged / "model.safetensors")
    name = "model.layers.0.mlp.up_proj.weight"
    assert not torch.equal(into["dequantised"][name], into["original"][name])


@pytest.mark.slow
def test_a_blocked_export_leaves_its_report_and_no_gguf(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    converter = tmp_path / "converter"
    shutil.copytree(converter_folder(), converter)
    # A converter that swaps two projections of the same shape: the file is sound, the model another.
    mapping = converter / "gguf-py" / "gguf" / "tensor_mapping.py"
    text = mapping.read_text()
    first, second = '"model.layers.{bid}.self_attn.k_proj"', '"model.layers.{bid}.self_attn.v_proj"'
    assert first in text
    assert second in text
    mapping.write_text(text.replace(first, "@").replace(second, first).replace("@", second))
    with pytest.raises(StepFailed, match="The export is blocked: stage `gguf` differs"):
        export(run, converter, Silent())
    assert not run.export.exists()
    assert [path.name for path in (run.root / "export.blocked").iterdir()] == ["parity.json"]
    assert json.loads((run.root / "export.blocked" / "parity.json").read_text())["first_difference"] == "gguf"
    export(run, converter_folder(), Silent())
    assert not (run.root / "export.blocked").exists()


def refused_before_the_merge(run: RunFolder, error: type[ApplianceError]) -> str:
    """The text of the refusal; nothing may have been written."""
    before = sorted(path.name for path in run.root.iterdir())
    with pytest.raises(error) as caught:
        export(run, run.root, Silent())
    assert sorted(path.name for path in run.root.iterdir()) == before
    return str(caught.value)


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "config.json"])
def test_refuses_a_base_of_the_same_shapes_that_the_run_was_not_trained_over(
    name: str, tmp_path: Path
) -> None:
    run = make_run(tmp_path)
    base = Path(run.base.read_text().strip())
    keep_base_sums(base, run.base_sums)
    check_base_sums(base, run.base_sums)
    data = bytearray((base / name).read_bytes())
    data[-20] ^= 1
    (base / name).write_bytes(data)
    assert f"{name} is another file than it was then" in refused_before_the_merge(run, BadInput)


def test_says_that_there_is_no_room_for_the_files_before_it_writes(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    base = Path(run.base.read_text().strip())
    # A shard of holes: as long as 4 TB of weights, and taking no room itself.
    size = 4 << 40
    header = json.dumps({"extra.weight": {"dtype": "BF16", "shape": [size >> 1], "data_offsets": [0, size]}})
    with (base / "extra.safetensors").open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header.encode())
        file.truncate(8 + len(header) + size)
    shards = {"a": "model.safetensors", "extra.weight": "extra.safetensors"}
    (base / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))
    refusal = refused_before_the_merge(run, HostNotReady)
    assert "has too little room" in refusal
    assert "needed" in refusal


def test_refuses_a_run_without_an_adapter(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="it has no adapter yet"):
        export(make_run(tmp_path, trained=False), tmp_path, Silent())


def test_refuses_a_system_prompt_before_anything_is_merged(tmp_path: Path) -> None:
    run = make_run(tmp_path, system="5\u00a0mg")
    with pytest.raises(BadInput, match="U\\+00A0"):
        export(run, tmp_path, Silent())
    assert not run.merged.exists()


def test_refuses_before_merging_what_could_not_be_compared_in_the_memory_there_is(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    base = make_tiny_model(tmp_path / "base", dtype="bfloat16")
    weights = sum(each.numel() for each in AutoModelForCausalLM.from_pretrained(base).parameters())
    check_memory(base, 4 * weights)
    with pytest.raises(HostNotReady, match="does not fit into memory"):
        check_memory(base, 4 * weights - 1)
