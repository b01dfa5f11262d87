"""Models from a hub, against the loopback hub: open and gated, honest, lying and busy."""

import hashlib
import json
import struct
from pathlib import Path

import msgspec
import pytest
from huggingface_hub import constants

from appliance.errors import BadInput, DamagedBundle, StepFailed
from appliance.progress import Silent, Terminal
from bundler.manifest import Model
from bundler.sources.download import Patience
from bundler.sources.hub import LockedModel, fetch_model, lock_model
from demo.hub_server import Lies, Request, list_folder, serve
from tests.hostile import good, hostile

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


@pytest.fixture(autouse=True)
def nobody_is_logged_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_OIDC_RESOURCE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))


QUICK = Patience(attempts=3, first_wait_s=0.001)


def locked(endpoint: str | None, cache: Path, **fields: object) -> LockedModel:
    model = Model(hub=NAME, **fields)  # type: ignore[arg-type]
    return lock_model(model, endpoint=endpoint, cache=cache, progress=Silent(), patience=QUICK)


def fetched(lock: LockedModel, endpoint: str | None, cache: Path, into: Path) -> list[Path]:
    return fetch_model(lock, endpoint=endpoint, cache=cache, into=into, progress=Silent(), patience=QUICK)


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


def cached(cache: Path, model: Path, name: str) -> Path:
    """Where the cache keeps a file of the model."""
    file = list_folder(model).files[name]
    return next(cache.rglob(file.sha256 or file.blob))


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_finds_a_flipped_byte_in_the_cache_and_fetches_again(model: Path, tmp_path: Path, name: str) -> None:
    cache = tmp_path / "cache"
    with serve({NAME: model}) as endpoint:
        lock = locked(endpoint, cache)
        fetched(lock, endpoint, cache, tmp_path / "one")
        victim = cached(cache, model, name)
        body = bytearray(victim.read_bytes())
        body[-1] ^= 1
        victim.write_bytes(body)
        fetched(lock, endpoint, cache, tmp_path / "two")
    assert (tmp_path / "two" / name).read_bytes() == (model / name).read_bytes()


def test_a_new_commit_with_the_same_weights_fetches_none(model: Path, tmp_path: Path) -> None:
    cache, asked = tmp_path / "cache", list[Request]()
    with serve({NAME: model}) as endpoint:
        fetched(locked(endpoint, cache), endpoint, cache, tmp_path / "one")
    (model / "README.md").write_text("Better explained.\n")
    with serve({NAME: model}, asked=asked) as endpoint:
        fetched(locked(endpoint, cache), endpoint, cache, tmp_path / "two")
    assert [each.path.rsplit("/", 1)[-1] for each in asked if "resolve" in each.path] == ["README.md"]


def test_refuses_a_file_cut_short(model: Path, tmp_path: Path) -> None:
    (model / "README.md").write_text("long " * 1000)
    lies = Lies(short=("README.md",))  # of the one byte that is asked for next, it sends none
    with serve({NAME: model}, lies=lies) as endpoint, pytest.raises(StepFailed) as caught:
        locked(endpoint, tmp_path / "cache")
    assert NAME in caught.value.what
    assert "the connection ended after 4999 of 5000 bytes" in caught.value.why


def test_goes_through_cuts_refusals_and_a_busy_hub(model: Path, tmp_path: Path) -> None:
    (model / "model.safetensors").write_bytes(safetensors(bytes(range(256)) * (12 << 12)))
    lies, asked = Lies(cut=("*.safetensors",), busy=("*.safetensors", "config.json")), list[Request]()
    with serve({NAME: model}, lies=lies, asked=asked) as endpoint:
        lock = locked(endpoint, tmp_path / "cache")
        fetched(lock, endpoint, tmp_path / "cache", tmp_path / "out")
    want = (model / "model.safetensors").read_bytes()
    assert (tmp_path / "out" / "model.safetensors").read_bytes() == want
    ranges = [each.headers["range"] for each in asked if "range" in each.headers and "/lfs/" in each.path]
    assert len(ranges) >= 1


TOKEN = "hf_plantedPLANTEDplanted"


def everything_written(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("how", ["variable", "file"])
def test_a_gated_model_comes_with_the_users_token_which_goes_nowhere_else(
    model: Path,
    tmp_path: Path,
    how: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    if how == "variable":
        monkeypatch.setenv("HF_TOKEN", TOKEN)
    else:
        (tmp_path / "token").write_text(TOKEN + "\n")
    asked: list[Request] = []
    with serve({NAME: model}, gated={NAME: TOKEN}, asked=asked) as endpoint:
        lock = locked(endpoint, tmp_path / "cache")
        fetch_model(
            lock,
            endpoint=endpoint,
            cache=tmp_path / "cache",
            into=tmp_path / "out",
            progress=Terminal(),
            patience=QUICK,
        )
    own = [each for each in asked if each.address == endpoint]
    other = [each for each in asked if each.address != endpoint]
    assert all(each.headers["authorization"] == f"Bearer {TOKEN}" for each in own)
    assert other
    assert not any(TOKEN in str(each) for each in other)
    (tmp_path / "lock").write_bytes(msgspec.json.encode(lock))
    (tmp_path / "token").unlink(missing_ok=True)
    assert TOKEN.encode() not in everything_written(tmp_path)
    assert TOKEN not in "".join(capfd.readouterr())


@pytest.mark.parametrize("token", ["", "hf_anotherPLANTED"])
def test_a_gated_model_says_what_to_do(
    model: Path, tmp_path: Path, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", token)
    with serve({NAME: model}, gated={NAME: TOKEN}) as endpoint, pytest.raises(BadInput) as caught:
        locked(endpoint, tmp_path / "cache")
    assert caught.value.what == f"The model {NAME} is gated."
    assert ("may not have it" if token else "you are not logged in") in caught.value.why
    assert caught.value.next_step == (
        f"Accept the licence on the model's page, {endpoint}/{NAME}, log in with `hf auth login` "
        "(or set HF_TOKEN), then run the same command."
    )
    assert not token or token not in str(caught.value)


def test_a_mirror_is_one_setting(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serve({NAME: model}) as endpoint:
        monkeypatch.setattr(constants, "ENDPOINT", endpoint)  # what HF_ENDPOINT sets
        lock = locked(None, tmp_path / "cache")
        fetched(lock, None, tmp_path / "cache", tmp_path / "out")
    assert (tmp_path / "out" / "config.json").is_file()


@pytest.mark.parametrize(
    "listing",
    [
        b"not JSON",
        b'{"sha": "main", "siblings": []}',
        b'{"sha": "%b", "siblings": [{"rfilename": "a.json"}]}' % (b"a" * 40),
        b'{"sha": "%b", "siblings": [{"rfilename": "a.json", "size": 3, "blobId": "x"}]}' % (b"a" * 40),
        b'{"sha": "%b", "siblings": [{"rfilename": "w", "lfs": {"sha256": "x", "size": 1}}]}' % (b"a" * 40),
        b'{"sha": "%b", "siblings": "many"}' % (b"a" * 40),
    ],
)
def test_refuses_a_listing_that_is_none(tmp_path: Path, listing: bytes) -> None:
    with hostile() as server:
        server.url(f"/api/models/{NAME}/revision/main", good(listing))
        with pytest.raises(DamagedBundle) as caught:
            locked(server.address, tmp_path / "cache")
    assert caught.value.what == f"The source served wrong bytes for {NAME} (listing)."


def test_refuses_another_commit_than_the_one_asked_for(tmp_path: Path) -> None:
    with hostile() as server:
        listing = b'{"sha": "%b", "siblings": []}' % (b"a" * 40)
        server.url(f"/api/models/{NAME}/revision/{'b' * 40}", good(listing))
        with pytest.raises(DamagedBundle, match=f"expected the commit {'b' * 40}, got {'a' * 40}"):
            locked(server.address, tmp_path / "cache", revision="b" * 40)


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
