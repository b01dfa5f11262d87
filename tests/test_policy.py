"""What a model may hold: each refusal names the file, the rule and what to do."""

import io
import json
import os
import pickle
import struct
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.bundle.safetensors import parse_header
from appliance.errors import BadInput
from bundler.disguise import is_pickle
from bundler.policy import check_content, check_extra, check_names

WEIGHTS = "model.safetensors"


@pytest.mark.parametrize(
    "name",
    [
        "config.json",
        "merges.txt",
        "tokenizer.model",
        "chat_template.jinja",
        "README.md",
        "LICENSE",
        "NOTICE.txt",
        "model-Q4_K_M.gguf",
    ],
)
def test_carries_weights_and_text(name: str) -> None:
    check_names("o/m", [WEIGHTS, name])


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("pytorch_model.bin", "a pickle can run any code"),
        ("original/consolidated.00.pth", "a pickle can run any code"),
        ("optimizer.pt", "a pickle can run any code"),
        ("modeling_evil.py", "a model brings no code"),
        ("kernel.so", "a model brings no code"),
        ("pytorch_model.BIN", "a pickle can run any code"),
        ("weights.npy", "a pickle can run any code"),
        ("weights.h5", "files of this kind"),
        ("photo.png", "files of this kind"),
        ("../config.json", "(rule path)"),
        (".hidden.json", "(rule path)"),
        ("a//b.json", "(rule path)"),
        ("con\nfig.json", "(rule path)"),
        ("con\u202efig.json", "(rule path)"),
        ("con fig.json", "(rule path)"),
        ("a/" * 130 + "b.json", "(rule path)"),
        ("Model.safetensors", "differs from model.safetensors in case only"),
    ],
)
def test_refuses_other_files_by_name(name: str, rule: str) -> None:
    with pytest.raises(BadInput) as caught:
        check_names("o/m", [WEIGHTS, name])
    assert name in caught.value.what
    assert rule in caught.value.why
    assert "leave_out" in caught.value.next_step


def test_refuses_a_listing_that_names_a_file_twice() -> None:
    with pytest.raises(BadInput, match="listed twice"):
        check_names("o/m", ["model.safetensors", "config.json", "model.safetensors"])
    with pytest.raises(BadInput, match="in case only"):
        check_names("o/m", ["model.safetensors", "Config.json", "config.json"])


def test_refuses_a_model_without_weights() -> None:
    with pytest.raises(BadInput):
        check_names("o/m", ["config.json"])


@pytest.mark.parametrize(
    "document",
    [
        {"auto_map": {}},
        {"text_config": {"layers": [{"auto_map": None}]}},
        {"trust_remote_code": False},
        {"_attn_implementation_internal": "sdpa"},
        {"attn_implementation": "someone/kernel"},
        {"attn_implementation": {"text": "someone/kernel:run"}},
        {"custom_generate": "someone/code"},
        {"custom_pipelines": {}},
        {"auto_mapping": {"base_model_class": "X", "parent_library": "os"}},
        {"megatron_core": "evil.core"},
    ],
)
def test_refuses_settings_that_bring_code(tmp_path: Path, document: dict[str, object]) -> None:
    file = tmp_path / "x"
    file.write_text(json.dumps(document))
    with pytest.raises(BadInput) as caught:
        check_content("o/m", "generation_config.json", file)
    assert "makes a loader run or fetch code" in caught.value.why


def test_sees_a_key_that_a_later_one_of_the_same_name_hides(tmp_path: Path) -> None:
    (tmp_path / "x").write_text('{"a": {"auto_map": 1}, "a": {}}')
    with pytest.raises(BadInput):
        check_content("o/m", "config.json", tmp_path / "x")


def test_a_token_may_be_called_anything(tmp_path: Path) -> None:
    (tmp_path / "x").write_text('{"auto_map": 7, "custom_made": 8}')
    check_content("o/m", "vocab.json", tmp_path / "x")


def test_ordinary_settings_pass(tmp_path: Path) -> None:
    document = {
        "attn_implementation": "sdpa",
        "model_type": "qwen3",
        "_name_or_path": "Qwen/Qwen3-8B",
        "auto_mapping": {"base_model_class": "X", "parent_library": "transformers.models.qwen3"},
        "megatron_core": "megatron.core",
        "homepage": "https://example.org/t/models",
    }
    (tmp_path / "x").write_text(json.dumps(document))
    check_content("o/m", "config.json", tmp_path / "x")


@pytest.mark.parametrize(
    ("document", "rule"),
    [
        ({"_name_or_path": "/home/alice/oncology"}, "private-address"),
        ({"base_model_name_or_path": "C:\\Users\\alice\\model"}, "private-address"),
        ({"name_or_path": "\\\\share\\models"}, "private-address"),
        ({"nested": [{"tokenizer_file": "~/.cache/x.json"}]}, "private-address"),
        ({"source": "http://gitlab.hospital.internal/x"}, "private-address"),
        ({"source": "http://10.1.2.3:8080/x"}, "private-address"),
        ({"source": "http://nexus/x"}, "private-address"),
        ({"source": "https://alice:Tr0ub4dor@example.org/x"}, "credential"),
        ({"source": "https:\\/\\/alice:Tr0ub4dor@example.org"}, "credential"),
        ({"channel": "https://conda.example.org/t/ab-1234567/main"}, "credential"),
        ({"file": "https://bucket.example.org/x?X-Amz-Signature=0123456789abcdef"}, "credential"),
        ({"token": "hf_" + "aB3" * 11}, "credential"),
        ({"token": "api_org_" + "aB3" * 11}, "credential"),
        ({"token": "github_pat_" + "aB3_" * 11}, "credential"),
        ({"token": "pypi-AgE" + "aB3-" * 11}, "credential"),
        ({"key": "AIza" + "aB3-x" * 7}, "credential"),
    ],
)
def test_refuses_what_gives_a_secret_or_a_private_place_away(
    tmp_path: Path, document: dict[str, object], rule: str
) -> None:
    (tmp_path / "x").write_text(json.dumps(document).replace("\\\\/", "\\/"))
    with pytest.raises(BadInput) as caught:
        check_content("o/m", "config.json", tmp_path / "x")
    assert f"(rule {rule})" in caught.value.why
    for secret in ("Tr0ub4dor", "1234567", "0123456789abcdef", "hf_"):
        assert secret not in str(caught.value)


@pytest.mark.parametrize(
    "body",
    [
        b'{"x": "https://bucket.example.org/x?a=1\\u0026X-Amz-Signature=0123456789abcdef"}',  # Go
        b'["https:\\u002f\\u002falice:Tr0ub4dor@example.org/x"]',
        '{"x": "https://alice:Tr0ub4dor@example.org/x"}'.encode("utf-16"),
    ],
)
def test_a_credential_is_found_however_json_writes_its_signs(tmp_path: Path, body: bytes) -> None:
    (tmp_path / "x").write_bytes(body)
    with pytest.raises(BadInput, match="rule credential"):
        check_content("o/m", "config.json", tmp_path / "x")


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe{}", b"[" * 100_000])
def test_refuses_what_is_not_json(tmp_path: Path, body: bytes) -> None:
    (tmp_path / "x").write_bytes(body)
    with pytest.raises(BadInput) as caught:
        check_content("o/m", "config.json", tmp_path / "x")
    assert "not JSON" in caught.value.why


class Call:
    """Unpickles by calling `os.system`."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("true",)


def pickled(protocol: int, value: object = None) -> bytes:
    return pickle.dumps(Call() if value is None else value, protocol)


def zipped(name: str) -> bytes:
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as archive:
        archive.writestr(name, pickled(2))
    return body.getvalue()


PICKLES = {f"protocol {n}": pickled(n) for n in range(pickle.HIGHEST_PROTOCOL + 1)} | {
    f"plain data, protocol {n}": pickled(n, {"a": [1, 2]}) for n in range(pickle.HIGHEST_PROTOCOL + 1)
}
PICKLES |= {
    "protocol 0, with rubbish after the call": pickled(0)[:-1] + b"\xff rubbish",
    "torch.save, before 1.6": pickle.dumps(119547037146038801333356, 2) + pickled(2),
    "INST": b"(S'true'\nios\nsystem\n.",
    "torch.save": zipped("archive/data.pkl"),
    "a zip after other bytes": b"# Model card\n" + zipped("archive/data.pkl"),
}


@pytest.mark.parametrize("path", ["README.md", "merges.txt", "tokenizer.model", "LICENSE", WEIGHTS, "m.gguf"])
@pytest.mark.parametrize("name", PICKLES)
def test_a_pickle_is_seen_under_every_name(tmp_path: Path, name: str, path: str) -> None:
    (tmp_path / "x").write_bytes(PICKLES[name])
    with pytest.raises(BadInput) as caught:
        check_content("o/m", path, tmp_path / "x")
    assert "(rule pickle)" in caught.value.why
    assert path in caught.value.what


@pytest.mark.parametrize(
    "text",
    [
        "12. A list\n13. goes on\n",
        "import os\nos.system\n",
        "copyright 2026\nthe authors\n",
        "in no event\nshall the authors\n",
        "X is a letter",
        "0123456789.",
        "(c) 2026\n",
        "",
        "# 模型卡\n说明。\n",
        "}.\n",
    ],
)
def test_prose_is_no_pickle(tmp_path: Path, text: str) -> None:
    (tmp_path / "x").write_text(text, encoding="utf-8")
    check_content("o/m", "README.md", tmp_path / "x")
    assert not is_pickle(text.encode())


@given(st.text(max_size=300), st.integers(0, pickle.HIGHEST_PROTOCOL))
def test_any_text_is_judged_and_any_pickled_text_is_a_pickle(text: str, protocol: int) -> None:
    assert is_pickle(text.encode("utf-8", "surrogatepass")) in (True, False)
    assert is_pickle(pickle.dumps(text, protocol))


@pytest.mark.parametrize(
    ("body", "rule"),
    [
        (b"\x7fELF\x02\x01\x01", "code"),
        (b"#!/bin/sh\nid\n", "code"),
        (b"MZ\x90\0", "code"),
        (b"\x1f\x8b\x08\0", "disguise"),
        (b"\x93NUMPY\x01\0", "disguise"),
        (b"\x89HDF\r\n\x1a\n", "pickle"),
        (b"\0" * 257 + b"ustar\x0000", "disguise"),
        (b"text\x00more", "text"),
    ],
)
def test_a_text_holds_text(tmp_path: Path, body: bytes, rule: str) -> None:
    (tmp_path / "x").write_bytes(body)
    with pytest.raises(BadInput) as caught:
        check_content("o/m", "NOTICE", tmp_path / "x")
    assert f"(rule {rule})" in caught.value.why


def test_a_licence_in_an_older_encoding_passes(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes("Copyright \xa9 J\xe4ger\r\n".encode("latin-1"))
    check_content("o/m", "LICENSE", tmp_path / "x")


def test_a_sentencepiece_vocabulary_passes(tmp_path: Path) -> None:
    piece = b"\x0a\x03</s>"[:5] + b"\x15\0\0\0\0"
    fields = b"".join(b"\x0a" + bytes([len(piece)]) + piece for _ in range(3)) + b"\x12\x02\x18\x01"
    (tmp_path / "x").write_bytes(fields)
    check_content("o/m", "tokenizer.model", tmp_path / "x")
    (tmp_path / "x").write_bytes(fields + b"\x0a\x7f")
    with pytest.raises(BadInput):
        check_content("o/m", "tokenizer.model", tmp_path / "x")


def gguf(offset: int = 0, data: bytes = bytes(32)) -> bytes:
    """A GGUF file with one tensor of 8 F32 that begins at `offset` of the data."""
    info = struct.pack("<Q", 1) + b"t" + struct.pack("<IQIQ", 1, 8, 0, offset)
    header = b"GGUF" + struct.pack("<IQQ", 3, 1, 0) + info
    return header + bytes(-len(header) % 32) + data


def test_gguf_weights_are_judged_by_their_bounds(tmp_path: Path) -> None:
    check_names("o/m", ["m.gguf"])
    (tmp_path / "x").write_bytes(gguf())
    check_content("o/m", "m.gguf", tmp_path / "x")
    for body in (gguf(offset=32), gguf(offset=1 << 62), gguf(data=bytes(31)), gguf()[:-40], b"GGUF"):
        (tmp_path / "x").write_bytes(body)
        with pytest.raises(BadInput) as caught:
            check_content("o/m", "m.gguf", tmp_path / "x")
        assert "(rule weights)" in caught.value.why


def test_an_extra_that_is_weights_is_sound(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(gguf())
    check_extra("model", "m.gguf", tmp_path / "x")
    (tmp_path / "x").write_bytes(gguf(offset=32))
    check_extra("driver", "installer.run", tmp_path / "x")
    for name in ("m.gguf", "m.safetensors"):
        with pytest.raises(BadInput) as caught:
            check_extra("model", name, tmp_path / "x")
        assert name in caught.value.what
        assert "(rule weights)" in caught.value.why


def header_problem(header: bytes, data_bytes: int) -> str | None:
    try:
        parse_header(header, data_bytes)
    except ValueError as error:
        return str(error)
    return None


def tensor(first: int, last: int, dtype: str = "F32", shape: list[int] | None = None) -> dict[str, object]:
    return {
        "dtype": dtype,
        "shape": [(last - first) // 4] if shape is None else shape,
        "data_offsets": [first, last],
    }


@pytest.mark.parametrize(
    ("header", "data_bytes", "problem"),
    [
        ({"a": tensor(0, 8), "b": tensor(8, 12)}, 12, None),
        ({"b": tensor(8, 12), "a": tensor(0, 8), "__metadata__": {"format": "pt"}}, 12, None),
        ({"a": tensor(0, 0, shape=[0, 5])}, 0, None),
        ({"a": tensor(0, 4, dtype="F4", shape=[8])}, 4, None),
        ({"a": tensor(0, 8)}, 12, "need 8 bytes, the file has 12"),
        ({"a": tensor(0, 8)}, 4, "need 8 bytes, the file has 4"),
        ({"a": tensor(0, 8), "b": tensor(4, 12)}, 12, "overlap or leave a gap"),
        ({"a": tensor(0, 4), "b": tensor(8, 12)}, 12, "overlap or leave a gap"),
        ({"a": tensor(4, 8)}, 8, "overlap or leave a gap"),
        ({"a": tensor(0, 8, shape=[3])}, 8, "'a' is not described"),
        ({"a": tensor(0, 8, shape=[-2, -1])}, 8, "'a' is not described"),
        ({"a": tensor(0, 8, dtype="OBJECT")}, 8, "'a' is not described"),
        ({"a": tensor(0, 8, shape=[True, 2])}, 8, "'a' is not described"),
        ({"a": {**tensor(0, 8), "extra": 1}}, 8, "'a' is not described"),
        ({"a": [0, 8]}, 8, "'a' is not described"),
        ({"__metadata__": {"n": 1}}, 0, "__metadata__ is not text"),
        ([], 0, "not an object"),
    ],
)
def test_a_header_describes_exactly_the_bytes_that_follow(
    header: object, data_bytes: int, problem: str | None
) -> None:
    got = header_problem(json.dumps(header).encode(), data_bytes)
    assert got is None if problem is None else got is not None and problem in got


def test_refuses_a_header_that_names_a_tensor_twice() -> None:
    one = json.dumps(tensor(0, 4))
    assert header_problem(f'{{"a": {one}, "a": {one}}}'.encode(), 4) == (
        "its header is not JSON: a name appears twice"
    )


@pytest.mark.parametrize("length", [0, 1, 10**8 + 1, 2**63, 2**64 - 1])
def test_refuses_a_header_length_that_cannot_be(tmp_path: Path, length: int) -> None:
    (tmp_path / "x").write_bytes(struct.pack("<Q", length))
    with pytest.raises(BadInput):
        check_content("o/m", WEIGHTS, tmp_path / "x")


@given(st.binary(max_size=200))
def test_any_header_is_judged_without_a_crash(body: bytes) -> None:
    # No header without a tensor accounts for bytes that follow it.
    assert header_problem(body, 1) is not None
    assert header_problem(b'{"a": ' + body + b"}", 4) is not None or b"data_offsets" in body


def test_the_library_reads_what_passes(tmp_path: Path) -> None:
    numpy = pytest.importorskip("numpy")
    safetensors = pytest.importorskip("safetensors.numpy")
    arrays = {"a": numpy.zeros((3, 5), numpy.float16), "b": numpy.ones(7, numpy.int64)}
    safetensors.save_file(arrays, tmp_path / "x", metadata={"format": "pt"})
    check_content("o/m", WEIGHTS, tmp_path / "x")
