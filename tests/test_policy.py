"""What a model and a wheel may hold: each refusal names the file and the rule."""

import json
import struct
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.bundle.safetensors import parse_header
from appliance.errors import BadInput
from bundler.policy import check_content, check_names
from bundler.wheel_policy import check_wheel
from tests.wheel_maker import write_wheel

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
        ("weights.npy", "files of this kind"),
        ("model.gguf", "files of this kind"),
        ("photo.png", "files of this kind"),
        ("../config.json", "a part of its path"),
        (".hidden.json", "a part of its path"),
        ("a//b.json", "a part of its path"),
        ("con\nfig.json", "its name has characters"),
        ("con\u202efig.json", "its name has characters"),
        ("Model.safetensors", "differs from model.safetensors in case only"),
    ],
)
def test_refuses_other_files_by_name(name: str, rule: str) -> None:
    with pytest.raises(BadInput) as caught:
        check_names("o/m", [WEIGHTS, name])
    assert name in caught.value.what
    assert rule in caught.value.why
    assert "leave_out" in caught.value.next_step


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
    (tmp_path / "x").write_text('{"attn_implementation": "sdpa", "model_type": "qwen3"}')
    check_content("o/m", "config.json", tmp_path / "x")


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe{}", b"[" * 100_000])
def test_refuses_what_is_not_json(tmp_path: Path, body: bytes) -> None:
    (tmp_path / "x").write_bytes(body)
    with pytest.raises(BadInput) as caught:
        check_content("o/m", "config.json", tmp_path / "x")
    assert "not JSON" in caught.value.why


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


def test_an_ordinary_wheel_passes(tmp_path: Path) -> None:
    check_wheel(
        write_wheel(
            tmp_path,
            {"distutils-precedence.pth": b"import os\n", "paths.pth": b"x/more\n", "x/a.pth": b"import x\n"},
        )
    )


@pytest.mark.parametrize(
    ("files", "options", "rule"),
    [
        ({"evil.pth": b"import os; os.system('id')\n"}, {}, "evil.pth runs code"),
        ({"evil.pth": b"\xef\xbb\xbfimport os\n"}, {}, "evil.pth runs code"),
        ({"x-1.0.data/purelib/evil.pth": b"import\tos\n"}, {}, "runs code"),
        ({"sitecustomize.py": b""}, {}, "sitecustomize.py: it would run at every start"),
        ({"x-1.0.data/platlib/usercustomize.py": b""}, {}, "it would run at every start"),
        ({"x/a.py": b"1"}, {"unlisted": ("x/a.py",)}, "x/a.py is not in its RECORD"),
        ({}, {"invented": ("x/b.py",)}, "x/b.py, which is not there"),
        ({"x/a.py": b"1"}, {"wrong": ("x/a.py",)}, "x/a.py is not what its RECORD says"),
        ({"../x.py": b""}, {}, "leads outside"),
        ({"/x.py": b""}, {}, "leads outside"),
        ({"y-1.0.dist-info/RECORD": b""}, {}, "2 RECORD files"),
    ],
)
def test_refuses_a_wheel_that_breaks_a_rule(
    tmp_path: Path, files: dict[str, bytes], options: dict[str, tuple[str, ...]], rule: str
) -> None:
    with pytest.raises(BadInput) as caught:
        check_wheel(write_wheel(tmp_path, files, **options))
    assert "x-1.0-py3-none-any.whl" in caught.value.what
    assert rule in caught.value.why


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_refuses_a_wheel_that_holds_a_file_twice(tmp_path: Path) -> None:
    path = write_wheel(tmp_path, {})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("x/__init__.py", b"evil")
    with pytest.raises(BadInput) as caught:
        check_wheel(path)
    assert "twice" in caught.value.why


def test_refuses_a_wheel_that_is_no_zip_file(tmp_path: Path) -> None:
    path = tmp_path / "x-1.0-py3-none-any.whl"
    path.write_bytes(b"not a zip")
    with pytest.raises(BadInput) as caught:
        check_wheel(path)
    assert "not a readable zip" in caught.value.why
