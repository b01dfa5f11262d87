"""The manifest is read strictly; the lock is written canonically."""

import hashlib
import sys
from pathlib import Path

import msgspec
import pytest

from appliance.errors import BadInput
from appliance.progress import Silent
from bundler.converter import ConverterLock
from bundler.lock import Lock, LockedDataset, read_lock, table, write_lock
from bundler.locking import lock, resolved
from bundler.manifest import Target, read_manifest
from bundler.sources.conda import LockedPackage, LockedRuntime
from bundler.sources.extras import LockedExtra
from bundler.sources.hub import LockedFile, LockedModel
from bundler.sources.wheels import LockedWheel
from demo.hub_server import serve
from tests.test_conda import HERE, write_channel

GOOD = """
[bundle]
product = "islet-hospital"
valid_days = 30
[target]
python = "3.12"
platform = "linux-64"
glibc = "2.31"
cuda = "12.8"
[runtime]
channels = ["conda-forge"]
packages = ["ollama"]
[wheels]
requirements = ["torch==2.10.*"]
[[models]]
hub = "Qwen/Qwen3-8B"
revision = "v1"
licence = "apache-2.0"
leave_out = ["*.png"]
[[datasets]]
path = "general.jsonl"
[tools]
converter = false
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "manifest.toml"
    path.write_text(GOOD)
    return path


def test_reads_every_field(file: Path) -> None:
    manifest = read_manifest(file)
    assert (manifest.bundle.product, manifest.bundle.valid_days) == ("islet-hospital", 30)
    assert (manifest.target.python, manifest.target.glibc, manifest.target.cuda) == ("3.12", "2.31", "12.8")
    assert (manifest.runtime.channels, manifest.runtime.packages) == (("conda-forge",), ("ollama",))
    assert manifest.wheels.requirements == ("torch==2.10.*",)
    [model] = manifest.models
    assert (model.hub, model.revision, model.licence, model.leave_out) == (
        "Qwen/Qwen3-8B",
        "v1",
        "apache-2.0",
        ("*.png",),
    )
    assert [dataset.path for dataset in manifest.datasets] == ["general.jsonl"]
    assert manifest.tools.converter is False


def test_the_manifest_of_the_demonstration_is_valid() -> None:
    manifest = read_manifest(Path(__file__).parent.parent / "manifests" / "demo.toml")
    assert manifest.target.cuda == "local"
    assert manifest.wheels.index[0].packages == ("torch",)
    assert manifest.tools.converter is True


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("valid_days = 30", "valid_day = 30", "valid_day"),
        ("valid_days = 30", 'valid_days = "30"', "$.bundle.valid_days"),
        ("valid_days = 30", "valid_days = true", "$.bundle.valid_days"),
        ("valid_days = 30", "valid_days = 0", "bundle.valid_days"),
        ('"islet-hospital"', '"Islet Hospital"', "bundle.product"),
        ("valid_days = 30", 'sender = "A\\nB"', "bundle.sender"),
        ("valid_days = 30", "sender = 5", "$.bundle.sender"),
        ('python = "3.12"', 'python = "2.7"', "target.python"),
        ('python = "3.12"', "", "python"),
        ('"linux-64"', '"win-64"', "$.target.platform"),
        ('"2.31"', '"3"', "target.glibc"),
        ('"12.8"', '"yes"', "target.cuda"),
        ('["conda-forge"]', "[]", "runtime.channels"),
        ('"torch==2.10.*"', '"--index-url=http://x"', "wheels.requirements[0]"),
        ('"Qwen/Qwen3-8B"', '"Qwen3-8B"', "models[0].hub"),
        ('"Qwen/Qwen3-8B"', '"../../etc"', "models[0].hub"),
        ("[tools]", "[[datasets]]\npath='x/general.jsonl'\n[tools]", "datasets"),
        ("[tools]", "[[datasets]]\npath='x/General.jsonl'\n[tools]", "but for case"),
        ('"general.jsonl"', '"general zh.jsonl"', "datasets[0].path"),
        ('"general.jsonl"', '"病例.jsonl"', "datasets[0].path"),
        ('"general.jsonl"', '"/srv/li/general.jsonl"', "datasets[0].path"),
        ('"general.jsonl"', '"~/general.jsonl"', "not relative to the manifest"),
        ("[tools]", "[surprise]\n[tools]", "surprise"),
        ("[tools]", "[tools", "manifest"),
    ],
)
def test_refuses_a_field_that_is_unknown_or_wrong_and_names_it(
    file: Path, old: str, new: str, named: str
) -> None:
    assert old in GOOD
    file.write_text(GOOD.replace(old, new))
    with pytest.raises(BadInput) as caught:
        read_manifest(file)
    assert named in caught.value.why or named in caught.value.what
    assert str(file) in caught.value.next_step


def test_says_that_the_file_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BadInput) as caught:
        read_manifest(tmp_path / "none.toml")
    assert "none.toml" in caught.value.what


def test_local_is_the_python_that_runs() -> None:
    assert resolved(Target(python="local")).python == f"3.{sys.version_info.minor}"
    assert resolved(Target(python="3.12")).python == "3.12"


def a_lock(manifest_sha256: str) -> Lock:
    return Lock(
        format="islet-lock-1",
        created="2026-11-21T08:00:00Z",
        manifest_sha256=manifest_sha256,
        product="islet-hospital",
        valid_days=30,
        target=Target(python="3.12", glibc="2.31", cuda="12.8"),
        runtime=LockedRuntime(
            ("python 3.12.*",),
            ("__glibc=2.31=0",),
            (LockedPackage("python", "3.12.1", "0", "linux-64", "p.conda", "1" * 64, 7, "PSF-2.0", ""),),
        ),
        wheels=(LockedWheel("x", "1", "x-1-py3-none-any.whl", "2" * 64, 5, "MIT", ""),),
        models=(
            LockedModel(
                "Qwen/Qwen3-8B",
                "a" * 40,
                "apache-2.0",
                (
                    LockedFile("config.json", 10, "3" * 64, "b" * 40, lfs=False),
                    LockedFile("model.safetensors", 30, "4" * 64, "c" * 40, lfs=True),
                ),
            ),
        ),
        datasets=(LockedDataset("general.jsonl", "5" * 64, 3, "unknown"),),
        converter=None,
    )


def test_a_lock_comes_back_as_it_was_and_as_the_same_bytes(file: Path, tmp_path: Path) -> None:
    written = a_lock(hashlib.sha256(file.read_bytes()).hexdigest())
    write_lock(written, tmp_path / "a.lock")
    assert read_lock(tmp_path / "a.lock", file) == written
    write_lock(read_lock(tmp_path / "a.lock"), tmp_path / "b.lock")
    assert (tmp_path / "a.lock").read_bytes() == (tmp_path / "b.lock").read_bytes()
    # `date -u -d 2026-11-21T08:00:00Z +%s`
    assert written.created_s == 1795248000


def test_refuses_the_lock_of_another_manifest(file: Path, tmp_path: Path) -> None:
    write_lock(a_lock("0" * 64), tmp_path / "a.lock")
    with pytest.raises(BadInput) as caught:
        read_lock(tmp_path / "a.lock", file)
    assert caught.value.why == "the manifest was changed after it was locked"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"2222', '"222g'),
        ('"created": "2026', '"created": "26'),
        ('"islet-lock-1"', '"islet-lock-9"'),
        ('"valid_days": 30', '"valid_days": 3651'),
        ('"bbbb', '"../b'),
        ('"size": 10', '"size": -10'),
    ],
)
def test_refuses_a_lock_that_is_not_valid(tmp_path: Path, old: str, new: str) -> None:
    path = tmp_path / "a.lock"
    write_lock(a_lock("0" * 64), path)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(BadInput):
        read_lock(path)


@pytest.mark.parametrize("name", ["../../x.run", "/x.run", "..", "", "x\0.run"])
def test_a_lock_names_no_file_outside_the_cache(tmp_path: Path, name: str) -> None:
    extra = LockedExtra("driver", name, "https://drivers.example/x.run", "", "6" * 64, 1, "", "")
    tool = ConverterLock("0.1", name, "7" * 64, 1)
    for changed in ({"extras": (extra,)}, {"converter": tool}):
        write_lock(msgspec.structs.replace(a_lock("0" * 64), **changed), tmp_path / "a.lock")
        with pytest.raises(BadInput, match="is not a plain file name"):
            read_lock(tmp_path / "a.lock")


def test_the_table_has_a_row_for_every_component() -> None:
    rows = table(a_lock("0" * 64))
    assert [(row.component, row.name, row.size) for row in rows] == [
        ("model", "Qwen/Qwen3-8B", 40),
        ("dataset", "general.jsonl", 3),
        ("conda", "python", 7),
        ("wheel", "x", 5),
    ]


def test_locks_every_kind_of_source_and_records_no_path_of_this_machine(tmp_path: Path) -> None:
    site = tmp_path / "site"
    write_channel(site / "channel")
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text("{}")
    (model / "model.safetensors").write_bytes(b"\x02\0\0\0\0\0\0\0{}")
    (site / "rows.jsonl").write_text('{"instruction": "?", "output": "!"}\n')
    (site / "m.toml").write_text(f"""
[bundle]
product = "islet-test"
[target]
python = "{HERE}"
[runtime]
channels = ["./channel"]
[[models]]
hub = "o/m"
[[datasets]]
path = "rows.jsonl"
licence = "CC0-1.0"
[tools]
converter = false
""")
    with serve({"o/m": model}) as hub:
        made = lock(
            read_manifest(site / "m.toml"),
            site / "m.toml",
            hub_endpoint=hub,
            cache=tmp_path / "cache",
            progress=Silent(),
        )
    write_lock(made, site / "m.lock")
    assert read_lock(site / "m.lock", site / "m.toml") == made
    assert [row.component for row in table(made)] == ["model", "dataset", "conda", "conda"]
    assert str(tmp_path) not in (site / "m.lock").read_text()
    assert hub not in (site / "m.lock").read_text()


def test_says_that_a_data_set_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "m.toml").write_text(GOOD)
    with pytest.raises(BadInput) as caught:
        lock(
            read_manifest(tmp_path / "m.toml"),
            tmp_path / "m.toml",
            hub_endpoint=None,
            cache=tmp_path / "cache",
            progress=Silent(),
        )
    assert caught.value.what == "The data set general.jsonl is not there."
