"""Models from a hub: huggingface_hub as it is, against the loopback hub, honest and lying."""

import hashlib
import json
import struct
import subprocess
from pathlib import Path

import pytest

from appliance.errors import BadInput, DamagedBundle, StepFailed
from appliance.progress import Silent
from bundler.manifest import Model
from bundler.sources.hub import LockedModel, fetch_model, git_blob_id, lock_model
from demo.hub_server import Lies, list_folder, serve

NAME = "clinic/tiny"


def safetensors(values: bytes = b"\1\2\3\4" * 4) -> bytes:
    header = {"w": {"dtype": "F32", "shape": [len(values) // 4], "data_offsets": [0, len(values)]}}
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + values


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    (folder / "extra").mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(safetensors())
    (folder / "config.json").write_text('{"architectures": ["Qwen3ForCausalLM"], "hidden_size": 8}')
    (folder / "tokenizer.json").write_text('{"model": {"vocab": {"auto_map": 1}}}')
    (folder / "README.md").write_text("A model.\n")
    (folder / ".gitattributes").write_text("*.safetensors filter=lfs\n")
    (folder / "extra" / "notes.txt").write_text("two\n")
    return folder


def locked(endpoint: str, cache: Path, **fields: object) -> LockedModel:
    return lock_model(Model(hub=NAME, **fields), endpoint=endpoint, cache=cache, progress=Silent())  # type: ignore[arg-type]


def fetched(lock: LockedModel, endpoint: str, cache: Path, into: Path) -> list[Path]:
    return fetch_model(lock, endpoint=endpoint, cache=cache, into=into, progress=Silent())


def test_locks_the_commit_and_the_hash_of_every_file(model: Path, tmp_path: Path) -> None:
    with serve({NAME: model}) as endpoint:
        lock = locked(endpoint, tmp_path / "cache")
    assert lock.commit == list_folder(model).commit
    assert lock.licence == "apache-2.0"
    want = {
        path.relative_to(model).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in model.rglob("*")
        if path.is_file() and path.name != ".gitattributes"
    }
    assert {file.path: file.sha256 for file in lock.files} == want
    assert [file.path for file in lock.files] == sorted(want)


def test_does_not_download_weights_to_lock_them(model: Path, tmp_path: Path) -> None:
    with serve({NAME: model}) as endpoint:
        locked(endpoint, tmp_path / "cache")
    assert not list((tmp_path / "cache").rglob("*.safetensors"))


def test_fetches_the_locked_bytes_and_needs_no_hub_the_second_time(model: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    with serve({NAME: model}) as endpoint:
        lock = locked(endpoint, cache)
        fetched(lock, endpoint, cache, tmp_path / "one")
    paths = fetched(lock, endpoint, cache, tmp_path / "two")
    assert [path.relative_to(tmp_path / "two").as_posix() for path in paths] == [f.path for f in lock.files]
    for path in paths:
        assert path.read_bytes() == (model / path.relative_to(tmp_path / "two")).read_bytes()
        assert not path.is_symlink()


def test_the_blob_id_is_gits_own() -> None:
    # `printf 'hello\n' | git hash-object --stdin`
    assert git_blob_id(b"hello\n") == "ce013625030ba8dba906f756967f9e9ca394464a"


def test_the_commit_depends_on_the_content_alone(model: Path) -> None:
    before = list_folder(model).commit
    (model / "README.md").touch()
    assert list_folder(model).commit == before
    (model / "README.md").write_text("Another model.\n")
    assert list_folder(model).commit != before


@pytest.mark.parametrize("name", ["config.json", "README.md"])
def test_refuses_to_lock_wrong_bytes_of_a_small_file(model: Path, tmp_path: Path, name: str) -> None:
    with serve({NAME: model}, lies=Lies(wrong=(name,))) as endpoint, pytest.raises(DamagedBundle) as caught:
        locked(endpoint, tmp_path / "cache")
    assert f"{NAME}/{name}" in caught.value.what
    assert "git blob" in caught.value.why


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "config.json"])
def test_refuses_wrong_bytes_at_fetch_and_takes_right_ones_afterwards(
    model: Path, tmp_path: Path, name: str
) -> None:
    with serve({NAME: model}) as endpoint:
        lock = locked(endpoint, tmp_path / "other-cache")
    cache = tmp_path / "cache"
    with serve({NAME: model}, lies=Lies(wrong=(name,))) as endpoint, pytest.raises(DamagedBundle) as caught:
        fetched(lock, endpoint, cache, tmp_path / "out")
    want = hashlib.sha256((model / name).read_bytes()).hexdigest()
    assert caught.value.what == f"The source served wrong bytes for {NAME}/{name}."
    assert caught.value.why.startswith(f"expected {want}, got ")
    with serve({NAME: model}) as endpoint:
        fetched(lock, endpoint, cache, tmp_path / "out")


def test_refuses_a_cached_file_that_was_changed(model: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    with serve({NAME: model}) as endpoint:
        lock = locked(endpoint, cache)
        fetched(lock, endpoint, cache, tmp_path / "one")
        victim = next(cache.rglob("snapshots/*/model.safetensors")).resolve()
        victim.write_bytes(safetensors(b"\0" * 16))
        with pytest.raises(DamagedBundle):
            fetched(lock, endpoint, cache, tmp_path / "two")


@pytest.mark.slow  # the client retries for seconds
def test_refuses_a_file_cut_short(model: Path, tmp_path: Path) -> None:
    (model / "README.md").write_text("long " * 1000)
    lies = Lies(short=("README.md",))
    with (
        serve({NAME: model}, lies=lies) as endpoint,
        pytest.raises((DamagedBundle, StepFailed)) as caught,
    ):
        locked(endpoint, tmp_path / "cache")
    assert NAME in caught.value.what


def test_refuses_pickled_weights_by_name_before_any_download(model: Path, tmp_path: Path) -> None:
    (model / "pytorch_model.bin").write_bytes(b"\x80\x04N.")
    with serve({NAME: model}) as endpoint, pytest.raises(BadInput) as caught:
        locked(endpoint, tmp_path / "cache")
    assert caught.value.what == f"The model {NAME} is refused because of pytorch_model.bin."
    assert not (tmp_path / "cache").exists()


def test_leaves_out_what_the_manifest_says(model: Path, tmp_path: Path) -> None:
    (model / "extra" / "weights.pth").write_bytes(b"\x80\x04N.")
    with serve({NAME: model}) as endpoint:
        lock = locked(endpoint, tmp_path / "cache", leave_out=("extra/*",))
    assert not any(file.path.startswith("extra/") for file in lock.files)


def test_refuses_auto_map_in_a_configuration(model: Path, tmp_path: Path) -> None:
    (model / "config.json").write_text('{"auto_map": {"AutoModel": "modeling.Evil"}}')
    with serve({NAME: model}) as endpoint, pytest.raises(BadInput) as caught:
        locked(endpoint, tmp_path / "cache")
    assert "config.json" in caught.value.what
    assert "auto_map" in caught.value.why


@pytest.mark.parametrize(("hub", "revision"), [("clinic/none", "main"), (NAME, "no-such-branch")])
def test_says_which_model_is_not_there(model: Path, tmp_path: Path, hub: str, revision: str) -> None:
    with serve({NAME: model}) as endpoint, pytest.raises(BadInput) as caught:
        lock_model(Model(hub=hub, revision=revision), endpoint=endpoint, cache=tmp_path, progress=Silent())
    assert hub in caught.value.what


def test_says_that_the_hub_cannot_be_reached(tmp_path: Path) -> None:
    with serve({}) as endpoint:
        pass
    with pytest.raises(StepFailed) as caught:
        locked(endpoint, tmp_path / "cache")
    assert "HF_ENDPOINT" in caught.value.next_step


def test_git_agrees_on_a_blob_id_where_there_is_git(tmp_path: Path) -> None:
    body = bytes(range(256)) * 3
    (tmp_path / "file").write_bytes(body)
    got = subprocess.run(
        ["git", "hash-object", tmp_path / "file"], capture_output=True, text=True, check=True
    )
    assert got.stdout.strip() == git_blob_id(body)
