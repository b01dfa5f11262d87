"""The parity gate on real files: what passes, what each damage is called, and a second engine's view."""

import dataclasses
import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from appliance.bundle.gguf import read_gguf
from appliance.errors import StepFailed
from appliance.export.engine import load_engine
from appliance.export.gguf import FAMILIES, OutType, convert
from appliance.export.merge import merge
from appliance.export.parity import (
    QUESTIONS,
    TEXTS,
    Converted,
    Subject,
    check_parity,
    measure_parity,
    report_json,
)
from appliance.model.base import load_base, load_tokenizer
from appliance.model.chat import token_ids
from appliance.progress import Silent
from tests.converted import cache_folder, converter_folder
from tests.test_template import LLAMA3
from tests.tiny import make_tiny_model, make_tiny_tokenizer, write_json

pytestmark = pytest.mark.slow

LLAMA3_TOKENS = ("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")

SYSTEM = "你是医院的助手。Answer briefly."


def make_subject(folder: Path, *, dtype: str, outtype: OutType, tied: bool = True) -> Subject:
    """A tiny Qwen3 with a random adapter, merged and converted."""
    return tuned_subject(folder, make_tiny_model(folder / "base", dtype=dtype, tied=tied), outtype)


def tuned_subject(folder: Path, base: Path, outtype: OutType) -> Subject:
    """A base, a random adapter by PEFT, both merged by us and converted."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(3)
    plain = AutoModelForCausalLM.from_pretrained(base)
    types = {torch.float32: "F32", torch.bfloat16: "BF16"}
    stored = types[plain.dtype]
    model = get_peft_model(plain, LoraConfig(r=4, lora_alpha=7, target_modules="all-linear"))
    for name, weight in model.named_parameters():
        if "lora_" in name:
            weight.data.add_(torch.randn_like(weight), alpha=0.1)
    model.save_pretrained(folder / "adapter")
    merge(base, folder / "adapter", folder / "merged", Silent())
    gguf = folder / "model.gguf"
    convert(folder / "merged", converter_folder(), gguf, outtype, Silent(), name="tiny")
    ggufs = (Converted(gguf, outtype.upper()),)
    return Subject(base, folder / "adapter", folder / "merged", ggufs, stored, SYSTEM, ("儿科在几楼？",))


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    return make_subject(tmp_path_factory.mktemp("parity"), dtype="float32", outtype="f16")


@pytest.mark.parametrize(
    ("dtype", "outtype", "tied", "largest"),
    [
        # What was measured for the same engine and architecture, see appliance.export.parity.TOLERANCE.
        ("float32", "f32", True, 1e-4),
        ("float32", "f16", True, 5e-3),
        ("bfloat16", "bf16", False, 5e-2),
        ("bfloat16", "f16", True, 5e-3),
        ("bfloat16", "q8_0", True, 2e-1),
        ("float32", "q8_0", False, 2e-1),
    ],
)
def test_adapter_merged_and_gguf_are_one_model(
    dtype: str, outtype: OutType, tied: bool, largest: float, tmp_path: Path
) -> None:
    report = measure_parity(make_subject(tmp_path, dtype=dtype, outtype=outtype, tied=tied), Silent())
    check_parity(report)
    tokens, merged, gguf = report.comparisons
    assert report.first_difference is None
    assert tokens.largest_difference == 0
    assert gguf.largest_difference <= largest
    assert merged.largest_difference <= (1e-4 if dtype == "float32" else 5e-2)
    assert merged.positions == gguf.positions > 20
    assert json.loads(report_json(report))["comparisons"][2]["passed"] is True


def make_llama(folder: Path) -> Path:
    """A tiny untied Llama 3: its split pattern, its header tokens, and a token that begins every text."""
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = make_tiny_tokenizer(folder, template=LLAMA3)
    document = json.loads((folder / "tokenizer.json").read_text())
    family = next(each for each in FAMILIES if each.name == "llama-bpe")
    document["normalizer"] = None
    document["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = family.pattern
    document["model"]["ignore_merges"] = True
    first = len(tokenizer)
    special = {text: first + n for n, text in enumerate(LLAMA3_TOKENS)}
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    document["added_tokens"] += [{"id": n, "content": text, **flags} for text, n in special.items()]
    begin = LLAMA3_TOKENS[0]
    document["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": begin, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
        "special_tokens": {begin: {"id": begin, "ids": [special[begin]], "tokens": [begin]}},
    }
    write_json(folder / "tokenizer.json", document)
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": begin, "eos_token": "<|eot_id|>"}
    write_json(folder / "tokenizer_config.json", {**settings, "pad_token": "<|endoftext|>"})
    config = LlamaConfig(
        vocab_size=first + len(special),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=4096,
        rope_parameters={"rope_type": "default", "rope_theta": 500_000.0},
        bos_token_id=special[begin],
        eos_token_id=special["<|eot_id|>"],
    )
    torch.manual_seed(0)
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def test_a_llama_3_reads_the_modelfiles_prompt_as_it_was_trained(tmp_path: Path) -> None:
    subject = tuned_subject(tmp_path, make_llama(tmp_path / "base"), "f16")
    check_parity(measure_parity(subject, Silent()))
    data = bytearray(subject.ggufs[0].path.read_bytes())
    key = b"tokenizer.ggml.add_bos_token"
    value = data.index(key) + len(key) + 4  # after the value's type
    assert data[value] == 1
    data[value] = 0
    subject.ggufs[0].path.write_bytes(data)
    tokens = measure_parity(subject, Silent()).comparisons[0]
    assert not tokens.passed
    assert tokens.first.endswith("by the Modelfile's template")


def damaged_gguf(subject: Subject, into: Path, name: str, change: Callable[[bytes], bytes]) -> Subject:
    """The subject with one tensor of its GGUF changed in place; the file stays sound."""
    shutil.copy(subject.ggufs[0].path, into)
    tensor = next(tensor for tensor in read_gguf(into).tensors if tensor.name == name)
    with into.open("r+b") as file:
        file.seek(tensor.begin)
        data = change(file.read(tensor.end - tensor.begin))
        file.seek(tensor.begin)
        file.write(data)
    read_gguf(into)
    return dataclasses.replace(subject, ggufs=(Converted(into, "F16"),))


def swapped_halves(data: bytes) -> bytes:
    return data[len(data) // 2 :] + data[: len(data) // 2]


def swapped_halves_of_blocks(data: bytes) -> bytes:
    """The halves of a Q8_0 tensor in each other's place; a block has 34 bytes."""
    middle = len(data) // 34 // 2 * 34
    return data[middle:] + data[:middle]


@pytest.mark.parametrize(
    "name", ["blk.0.attn_q.weight", "blk.1.attn_k.weight", "blk.1.ffn_down.weight", "token_embd.weight"]
)
def test_names_the_gguf_when_one_of_its_tensors_is_another(
    name: str, subject: Subject, tmp_path: Path
) -> None:
    report = measure_parity(damaged_gguf(subject, tmp_path / "d.gguf", name, swapped_halves), Silent())
    assert report.first_difference == "gguf"
    with pytest.raises(StepFailed, match="stage `gguf` differs"):
        check_parity(report)


@pytest.mark.parametrize("name", ["blk.0.attn_q.weight", "blk.1.ffn_down.weight", "token_embd.weight"])
def test_names_the_file_of_two_whose_tensor_is_another(name: str, subject: Subject, tmp_path: Path) -> None:
    gguf = tmp_path / "sound.gguf"
    convert(subject.merged, converter_folder(), gguf, "q8_0", Silent(), name="tiny")
    sound = Converted(gguf, "Q8_0")
    damaged = damaged_gguf(
        dataclasses.replace(subject, ggufs=(sound,)), tmp_path / "d.gguf", name, swapped_halves_of_blocks
    )
    both = dataclasses.replace(subject, ggufs=(sound, Converted(damaged.ggufs[0].path, "Q8_0")))
    report = measure_parity(both, Silent())
    assert [each.passed for each in report.comparisons] == [True, True, True, True, False]
    with pytest.raises(StepFailed, match=r"stage `gguf` differs \(merged folder, d.gguf in llama.cpp\)"):
        check_parity(report)


def test_names_the_merge_when_one_of_its_tensors_is_the_bases(subject: Subject, tmp_path: Path) -> None:
    merged = tmp_path / "merged"
    shutil.copytree(subject.merged, merged)
    tensors = load_file(merged / "model.safetensors")
    name = "model.layers.1.mlp.up_proj.weight"
    tensors[name] = load_file(subject.base / "model.safetensors")[name]
    save_file(tensors, merged / "model.safetensors", metadata={"format": "pt"})
    gguf = tmp_path / "m.gguf"
    convert(merged, converter_folder(), gguf, "f16", Silent(), name="tiny")
    report = measure_parity(
        dataclasses.replace(subject, merged=merged, ggufs=(Converted(gguf, "F16"),)), Silent()
    )
    assert report.first_difference == "merged"
    assert report.comparisons[2].passed  # the conversion itself was right


def test_names_the_merge_when_it_was_into_another_base_than_the_one_trained_over(
    subject: Subject, tmp_path: Path
) -> None:
    report = measure_parity(dataclasses.replace(subject, nf4=True), Silent())
    assert report.first_difference == "merged"
    merged, gguf = tmp_path / "merged", tmp_path / "m.gguf"
    merge(subject.base, subject.adapter, merged, Silent(), dequantised=True)
    convert(merged, converter_folder(), gguf, "f16", Silent(), name="tiny")
    right = dataclasses.replace(subject, nf4=True, merged=merged, ggufs=(Converted(gguf, "F16"),))
    check_parity(measure_parity(right, Silent()))


def stored_text(text: str) -> bytes:
    return len(text).to_bytes(8, "little") + text.encode()


@pytest.mark.parametrize(
    ("ours", "other"),
    [
        (stored_text("a") + stored_text("b"), stored_text("b") + stored_text("a")),
        (b"<|im_start|>assistant\\n' }}", b"<|im_start|>assistent\\n' }}"),
    ],
    ids=["two tokens in each other's place", "another template"],
)
def test_names_the_tokens_when_the_gguf_reads_text_otherwise(
    ours: bytes, other: bytes, subject: Subject, tmp_path: Path
) -> None:
    data = subject.ggufs[0].path.read_bytes()
    assert data.count(ours) == 1
    (tmp_path / "o.gguf").write_bytes(data.replace(ours, other))
    other_gguf = (Converted(tmp_path / "o.gguf", "F16"),)
    report = measure_parity(dataclasses.replace(subject, ggufs=other_gguf), Silent())
    assert report.first_difference == "tokens"
    with pytest.raises(StepFailed, match="stage `tokens` differs"):
        check_parity(report)


def in_node(folder: Path, request: dict[str, object]) -> Any:
    """What node-llama-cpp answers; installed once into the cache folder, without running its scripts."""
    source = Path(__file__).parent / "engine_node"
    wanted = hashlib.sha256((source / "package.json").read_bytes()).hexdigest()
    engine = cache_folder() / f"engine_node-{wanted[:16]}"
    if shutil.which("npm") is None:
        pytest.fail("npm is missing: install Node 20 with npm (Debian: apt install nodejs npm)")
    if not (engine / "installed").exists():
        shutil.copytree(source, engine, dirs_exist_ok=True)
        options = ["--ignore-scripts", "--omit=optional", "--no-audit", "--no-fund", "--no-package-lock"]
        succeed(["npm", "install", *options], engine)
        (engine / "installed").touch()
    shutil.copy(source / "evaluate.mjs", engine)
    (folder / "request.json").write_text(json.dumps(request))
    return json.loads(succeed(["node", "evaluate.mjs", str(folder / "request.json")], engine))


def succeed(command: list[str], folder: Path) -> str:
    """What a program prints; its error output is the test's failure."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(("outtype", "largest"), [("f32", 1e-4), ("f16", 5e-3)])
def test_a_second_engine_gives_the_same_tokens_and_logits(
    outtype: OutType, largest: float, subject: Subject, tmp_path: Path
) -> None:
    gguf = tmp_path / "m.gguf"
    convert(subject.merged, converter_folder(), gguf, outtype, Silent(), name="tiny")
    tokenizer, model = load_tokenizer(subject.merged), load_base(subject.merged, dtype="float32")
    texts = [
        *TEXTS,
        *QUESTIONS,
        "<|im_start|>user\n中英 mixed 2024年, isn't it?<|im_end|>\n<|im_start|>assistant\n",
    ]
    expected = [token_ids(tokenizer, text) for text in texts]
    walks = [{"prompt": ids[:-3], "continuation": ids[-3:]} for ids in expected if len(ids) > 8]
    answer = in_node(tmp_path, {"gguf": str(gguf), "texts": texts, "walks": walks})
    assert answer["tokens"] == expected
    for walk, steps in zip(walks, answer["steps"], strict=True):
        with torch.inference_mode():
            logits = model(torch.tensor([walk["prompt"] + walk["continuation"]])).logits[0, -4:-1]
        for ours, theirs in zip(logits, steps, strict=True):
            found = torch.zeros(len(ours)).index_put_(
                (torch.tensor([token for token, _ in theirs]),), torch.tensor([logit for _, logit in theirs])
            )
            assert len(theirs) == len(ours)
            assert (ours - found).abs().max() <= largest


def test_says_why_llama_cpp_cannot_load_a_file(tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_bytes(b"GGUF" + b"\0" * 100)
    with pytest.raises(StepFailed, match="cannot load x.gguf"), load_engine(tmp_path / "x.gguf", context=64):
        pass


def test_nothing_in_the_current_folder_runs_in_the_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted = tmp_path / "socket.py"
    planted.write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StepFailed), load_engine(tmp_path / "none.gguf", context=64):
        pytest.fail("there is no such file")
    assert not (tmp_path / "ran").exists()


def test_the_engine_listens_on_no_port(subject: Subject) -> None:
    def ports() -> set[str]:
        tables = [Path("/proc/net/tcp"), Path("/proc/net/tcp6")]
        rows = [
            row.split() for table in tables if table.exists() for row in table.read_text().splitlines()[1:]
        ]
        return {row[1] for row in rows if row[3] == "0A" and row[7] == str(0)}

    before = ports()
    with load_engine(subject.ggufs[0].path, context=64) as engine:
        assert engine.tokenize("a")
        assert ports() <= before
