"""GGUF by the real converter, judged by the converter's own reader, and what is refused before and after."""

import json
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.bundle.gguf import read_gguf
from appliance.errors import BadInput, StepFailed
from appliance.export.gguf import OutType, convert, estimate_size, find_family
from appliance.progress import Silent
from tests.converted import converter_folder
from tests.tiny import make_tiny_model, make_tiny_tokenizer


def changed_tokenizer(folder: Path, change: Callable[[dict[str, object]], None]) -> Path:
    path = folder / "tokenizer.json"
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    return path


def with_pattern(pattern: str) -> Callable[[dict[str, object]], None]:
    def change(document: dict[str, object]) -> None:
        document["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = pattern  # type: ignore[index]

    return change


def test_knows_a_qwen_tokenizer_by_its_pattern(tmp_path: Path) -> None:
    make_tiny_tokenizer(tmp_path)
    family = find_family(tmp_path / "tokenizer.json")
    assert family is not None
    assert family.name == "qwen2"


def test_does_not_know_a_pattern_with_one_character_changed(tmp_path: Path) -> None:
    make_tiny_tokenizer(tmp_path)
    pattern = json.loads((tmp_path / "tokenizer.json").read_text())
    text = pattern["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"]
    assert find_family(changed_tokenizer(tmp_path, with_pattern(text.replace("'re", "'rf")))) is None


def test_does_not_take_merges_over_whole_words_for_qwens(tmp_path: Path) -> None:
    make_tiny_tokenizer(tmp_path)

    def change(document: dict[str, object]) -> None:
        document["model"]["ignore_merges"] = True  # type: ignore[index]

    assert find_family(changed_tokenizer(tmp_path, change)) is None


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
def test_refuses_a_model_that_brings_code(name: str, tmp_path: Path) -> None:
    model = make_tiny_model(tmp_path / "model")
    document = {**json.loads((model / name).read_text()), "auto_map": {"AutoConfig": "evil.Config"}}
    (model / name).write_text(json.dumps(document))
    with pytest.raises(BadInput, match="auto_map"):
        convert(model, tmp_path / "converter", tmp_path / "o.gguf", "f16", Silent(), name="x")


def test_says_that_the_converter_is_missing(tmp_path: Path) -> None:
    model = make_tiny_model(tmp_path / "model")
    with pytest.raises(BadInput, match="holds no converter"):
        convert(model, tmp_path, tmp_path / "o.gguf", "f16", Silent(), name="x")


def text(value: bytes) -> bytes:
    return struct.pack("<Q", len(value)) + value


def setting(key: bytes, value: bytes) -> bytes:
    return text(key) + struct.pack("<I", 8) + text(value)


def tensor(name: bytes, *, shape: tuple[int, ...] = (4,), kind: int = 0, offset: int = 0) -> bytes:
    sizes = struct.pack(f"<{len(shape)}Q", *shape)
    return text(name) + struct.pack("<I", len(shape)) + sizes + struct.pack("<IQ", kind, offset)


def gguf(
    *, settings: tuple[bytes, ...] = (), tensors: tuple[bytes, ...] = (), data: int = 64, version: int = 3
) -> bytes:
    head = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(settings)) + b"".join(settings + tensors)
    return head + b"\0" * (-len(head) % 32 + data)


SOUND = gguf(settings=(setting(b"general.name", b"x"),), tensors=(tensor(b"a"), tensor(b"b", offset=32)))

DAMAGED = {
    "nothing in it": b"",
    "another magic": b"GGML" + SOUND[4:],
    "an older version": gguf(version=2),
    "a cut header": SOUND[:60],
    "a cut tensor": SOUND[:-40],
    "a huge count of settings": b"GGUF" + struct.pack("<IQQ", 3, 0, 1 << 60),
    "a string past the end": gguf(settings=(text(b"k") + struct.pack("<IQ", 8, 1 << 20),)),
    "an array past the end": gguf(settings=(text(b"k") + struct.pack("<IIQ", 9, 4, 1 << 24),)),
    "an array of arrays": gguf(settings=(text(b"k") + struct.pack("<IIQ", 9, 9, 1),)),
    "an unknown value type": gguf(settings=(text(b"k") + struct.pack("<I", 99),)),
    "a setting twice": gguf(settings=(setting(b"k", b"1"), setting(b"k", b"2"))),
    "text that is not UTF-8": gguf(settings=(setting(b"k", b"\xff"),)),
    "a tensor past the end": gguf(tensors=(tensor(b"a", shape=(1 << 40,)),)),
    "an offset past the end": gguf(tensors=(tensor(b"a", offset=1 << 63),)),
    "an offset off the alignment": gguf(tensors=(tensor(b"a", offset=4),)),
    "sizes whose product is huge": gguf(tensors=(tensor(b"a", shape=(1 << 62, 1 << 62, 4)),)),
    "no dimension": gguf(tensors=(tensor(b"a", shape=()),)),
    "an empty dimension": gguf(tensors=(tensor(b"a", shape=(4, 0)),)),
    "an unknown tensor type": gguf(tensors=(tensor(b"a", kind=77),)),
    "a broken block": gguf(tensors=(tensor(b"a", shape=(33,), kind=8),)),
    "overlapping tensors": gguf(tensors=(tensor(b"a", shape=(16,)), tensor(b"b", offset=32))),
    "a tensor twice": gguf(tensors=(tensor(b"a"), tensor(b"a", offset=32))),
    "a bad alignment": gguf(settings=(text(b"general.alignment") + struct.pack("<II", 4, 33),)),
}


def test_reads_settings_and_places(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(SOUND)
    file = read_gguf(tmp_path / "m.gguf")
    assert file.settings == {"general.name": "x"}
    assert [(t.name, t.type, t.end - t.begin) for t in file.tensors] == [("a", "F32", 16), ("b", "F32", 16)]
    assert file.tensors[1].begin - file.tensors[0].begin == 32


@pytest.mark.parametrize("defect", DAMAGED)
def test_refuses_a_gguf_with(defect: str, tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(DAMAGED[defect])
    with pytest.raises(BadInput, match="not a sound GGUF file"):
        read_gguf(tmp_path / "m.gguf")


READ_BY_THE_CONVERTERS_OWN_LIBRARY = """
import json, sys
sys.path.insert(0, sys.argv[1])
from gguf import GGUFReader
reader = GGUFReader(sys.argv[2])
fields = {name: field.contents() for name, field in reader.fields.items() if field.types[0].name != "ARRAY"}
tensors = [(t.name, t.tensor_type.name, int(t.data_offset), int(t.n_bytes)) for t in reader.tensors]
print(json.dumps([fields, tensors], default=str))
"""


@pytest.mark.slow
@pytest.mark.parametrize("outtype", ["f32", "f16", "bf16", "q8_0"])
def test_the_file_says_what_the_model_says(outtype: OutType, tmp_path: Path) -> None:
    model = make_tiny_model(tmp_path / "model", dtype="bfloat16")
    result = convert(model, converter_folder(), tmp_path / "out.gguf", outtype, Silent(), name="clinic")
    script = [sys.executable, "-c", READ_BY_THE_CONVERTERS_OWN_LIBRARY]
    shown = subprocess.run(
        [*script, converter_folder() / "gguf-py", result.path], capture_output=True, text=True, check=True
    )
    fields, tensors = json.loads(shown.stdout)
    assert result.pre_tokenizer == fields["tokenizer.ggml.pre"] == "qwen2"
    assert fields["general.architecture"] == "qwen3"
    assert fields["general.name"] == "clinic"
    assert fields["qwen3.rope.freq_base"] == 1_000_000.0
    assert fields["tokenizer.chat_template"] == (model / "chat_template.jinja").read_text()
    assert {t[1] for t in tensors} == {"F32", outtype.upper()}
    weights = sum(t[3] for t in tensors)
    assert estimate_size([model / "model.safetensors"], outtype) == weights
    file = read_gguf(result.path)
    assert all(file.settings[name] == fields[name] for name in file.settings)
    assert {(t.name, t.type, t.begin, t.end - t.begin) for t in file.tensors} == {
        tuple(each) for each in tensors
    }
    assert result.path.stat().st_mode & 0o777 == 0o644


@pytest.mark.slow
def test_refuses_to_guess_for_an_unknown_tokenizer(tmp_path: Path) -> None:
    model = make_tiny_model(tmp_path / "model")
    # A tokenizer class that takes the pre-tokenizer of tokenizer.json, as every one but Qwen2's does.
    changed_tokenizer(model, with_pattern(r"\p{L}+|\p{N}{2}|[^\p{L}\p{N}]+"))
    settings = model / "tokenizer_config.json"
    settings.write_text(settings.read_text().replace("Qwen2Tokenizer", "PreTrainedTokenizerFast"))
    with pytest.raises(StepFailed) as caught:
        convert(model, converter_folder(), tmp_path / "out.gguf", "f16", Silent(), name="x")
    assert "pre-tokenizer was not recognized" in str(caught.value)
    assert "a guess would give wrong tokens" in str(caught.value)


@pytest.mark.slow
def test_never_takes_an_installed_gguf_library_for_the_converters_own(tmp_path: Path) -> None:
    converter = tmp_path / "converter"
    shutil.copytree(converter_folder(), converter)
    shutil.rmtree(converter / "gguf-py")
    with pytest.raises(StepFailed):
        convert(
            make_tiny_model(tmp_path / "model"), converter, tmp_path / "o.gguf", "f16", Silent(), name="x"
        )


@pytest.mark.slow
def test_takes_nothing_from_pythons_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "transformers.py").write_text("raise SystemExit('wrong transformers')")
    monkeypatch.setenv("PYTHONPATH", os.fspath(tmp_path / "path"))
    model = make_tiny_model(tmp_path / "model")
    assert convert(model, converter_folder(), tmp_path / "o.gguf", "f16", Silent(), name="x").size > 200_000
