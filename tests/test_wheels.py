"""Wheels: chosen for another machine from metadata alone, each from its own index; fetched, judged later."""

import base64
import hashlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from appliance.errors import BadInput, DamagedBundle, StepFailed
from appliance.progress import Silent
from bundler.manifest import Target, WheelIndex, Wheels
from bundler.sources.indexes import Indexes, built_in_index, is_bound
from bundler.sources.tags import best_wheel, ranks, uv_platform
from bundler.sources.wheels import Known, LockedWheel, fetch_wheels, lock_wheels
from tests.index_server import PackageIndex, serve_index
from tests.wheel_maker import write_wheel

# Neither the Python nor, on most machines, the GPU of whoever runs this.
TARGET = Target(python="3.9" if sys.version_info >= (3, 10) else "3.12", glibc="2.28", cuda="none")
WITH_GPU = msgspec.structs.replace(TARGET, cuda="12.8")


@pytest.fixture
def general(tmp_path: Path) -> Iterator[PackageIndex]:
    """The default index."""
    folder = tmp_path / "general"
    folder.mkdir()
    with serve_index(PackageIndex(folder)) as index:
        yield index


@pytest.fixture
def own(tmp_path: Path) -> Iterator[PackageIndex]:
    """An index that packages can be bound to."""
    folder = tmp_path / "own"
    folder.mkdir()
    with serve_index(PackageIndex(folder)) as index:
        yield index


def locked(
    general: PackageIndex,
    *requirements: str,
    target: Target = TARGET,
    bound: tuple[WheelIndex, ...] = (),
    known: Known | None = None,
    given: tuple[str, ...] = (),
) -> tuple[LockedWheel, ...]:
    """What `requirements` come to; caches and folders lie beside the default index's folder."""
    base = general.folder.parent
    wheels = Wheels(requirements, bound)
    indexes = Indexes(wheels, base, (general.url, *given))
    return lock_wheels(wheels, target, indexes, cache=base / "cache", progress=Silent(), known=known)


def fetched(
    general: PackageIndex,
    wheels: tuple[LockedWheel, ...],
    *,
    bound: tuple[WheelIndex, ...] = (),
    given: tuple[str, ...] = (),
) -> list[Path]:
    base = general.folder.parent
    indexes = Indexes(Wheels((), bound), base, (general.url, *given))
    return fetch_wheels(wheels, indexes, cache=base / "cache", into=base / "out", progress=Silent())


def names(wheels: tuple[LockedWheel, ...]) -> list[str]:
    return [f"{wheel.name} {wheel.version}" for wheel in wheels]


@pytest.mark.parametrize("as_json", [True, False])
@pytest.mark.parametrize("metadata", [True, False])
def test_locks_from_metadata_what_the_index_lists(
    general: PackageIndex, as_json: bool, metadata: bool
) -> None:
    general.as_json, general.metadata = as_json, metadata
    ballast = {"a/ballast.bin": bytes(range(256)) * 8000}
    paths = [
        write_wheel(general.folder, ballast, name="a", needs=("b>=1",)),
        write_wheel(general.folder, name="b", version="2.0"),
    ]
    write_wheel(general.folder, name="b", version="0.5")
    lock = locked(general, "a")
    assert [(wheel.name, wheel.version, wheel.licence, wheel.url) for wheel in lock] == [
        ("a", "1.0", "MIT", ""),
        ("b", "2.0", "MIT", ""),
    ]
    for wheel, path in zip(lock, paths, strict=True):
        body = path.read_bytes()
        assert (wheel.filename, wheel.size) == (path.name, len(body))
        assert wheel.sha256 == hashlib.sha256(body).hexdigest()
    moved = general.sent.get(f"/files/{paths[0].name}", 0)
    assert moved == 0 if metadata and as_json else moved < paths[0].stat().st_size / 4


def test_takes_the_one_wheel_that_the_target_runs_best(general: PackageIndex) -> None:
    short = TARGET.python.replace(".", "")
    tags = [
        "py3-none-any",
        f"cp{short}-cp{short}-manylinux_2_17_x86_64.manylinux2014_x86_64",
        f"cp{short}-cp{short}-manylinux_2_28_x86_64",
        f"cp{short}-cp{short}-manylinux_2_34_x86_64",
        f"cp{short}-cp{short}-manylinux_2_28_aarch64",
        f"cp{short}-cp{short}-musllinux_1_2_x86_64",
        f"cp{short}-cp{short}-win_amd64",
        "cp313-cp313-manylinux_2_28_x86_64",
    ]
    for tag in tags:
        write_wheel(general.folder, name="a", tag=tag)
    [wheel] = locked(general, "a")
    assert wheel.filename == f"a-1.0-{tags[2]}.whl"
    [older] = locked(general, "a", target=msgspec.structs.replace(TARGET, glibc="2.17"))
    assert older.filename == f"a-1.0-{tags[1]}.whl"


def test_goes_back_to_the_version_that_the_targets_c_library_runs(general: PackageIndex) -> None:
    write_wheel(general.folder, name="a", version="2.0", tag="py3-none-manylinux_2_39_x86_64")
    write_wheel(general.folder, name="a", version="1.0", tag="py3-none-manylinux_2_28_x86_64")
    assert names(locked(general, "a")) == ["a 1.0"]


def test_a_higher_version_elsewhere_is_never_seen(general: PackageIndex, own: PackageIndex) -> None:
    write_wheel(general.folder, name="inhouse", version="99.0")
    write_wheel(own.folder, name="inhouse", version="1.0", needs=("b", "inhouse-core"))
    write_wheel(general.folder, name="inhouse_core", version="99.0")
    write_wheel(own.folder, name="inhouse_core", version="1.0")
    write_wheel(own.folder, name="b", version="99.0")
    write_wheel(general.folder, name="b", version="1.0")
    bound = (WheelIndex("own", own.url, ("Inhouse*",)),)
    lock = locked(general, "inhouse", bound=bound)
    assert names(lock) == ["b 1.0", "inhouse 1.0", "inhouse-core 1.0"]
    assert [wheel.index for wheel in lock] == ["", "own", "own"]
    assert [bool(wheel.url) for wheel in lock] == [False, True, True]
    assert not [path for path in general.asked if "inhouse" in path]
    assert not [path for path in own.asked if path.startswith("/simple/b")]


def test_does_not_fall_through_to_another_index(general: PackageIndex, own: PackageIndex) -> None:
    write_wheel(general.folder, name="a")
    with pytest.raises(BadInput) as caught:
        locked(general, "a", bound=(WheelIndex("own", own.url, ("a",)),))
    assert caught.value.why.startswith("the index 'own' does not have a;")


@pytest.mark.parametrize(
    ("pattern", "package", "bound"),
    [
        ("torch", "torch", True),
        ("torch", "torchvision", False),
        ("NVIDIA_*", "nvidia-cublas-cu12", True),
        ("zope.interface", "zope-interface", True),
        ("*-clinic", "tools-clinic", True),
    ],
)
def test_a_pattern_binds_names_however_they_are_written(pattern: str, package: str, bound: bool) -> None:
    assert is_bound(WheelIndex("own", "./wheels", (pattern,)), package) is bound


def test_refuses_a_package_that_two_indexes_bind(general: PackageIndex, own: PackageIndex) -> None:
    write_wheel(own.folder, name="a")
    bound = (WheelIndex("own", own.url, ("a",)), WheelIndex("other", own.url, ("a*",)))
    with pytest.raises(BadInput) as caught:
        locked(general, "a", bound=bound)
    assert caught.value.why == "wheels.index: own and other name it"


def test_a_folder_beside_the_manifest_is_an_index(general: PackageIndex, tmp_path: Path) -> None:
    folder = tmp_path / "wheels"
    folder.mkdir()
    path = write_wheel(folder, name="torch", version="2.1+cpu", needs=("b",))
    write_wheel(folder, name="b", version="9.0")
    write_wheel(general.folder, name="torch", version="2.1")
    write_wheel(general.folder, name="b")
    bound = (WheelIndex("here", "./wheels", ("torch",)),)
    lock = locked(general, "torch==2.1", bound=bound)
    assert names(lock) == ["b 1.0", "torch 2.1+cpu"]
    assert (lock[1].sha256, lock[1].url) == (hashlib.sha256(path.read_bytes()).hexdigest(), "")
    assert [path.name for path in fetched(general, lock, bound=bound)] == [wheel.filename for wheel in lock]
    with pytest.raises(BadInput) as caught:
        locked(general, "torch", bound=(WheelIndex("here", "./nowhere", ("torch",)),))
    assert str(tmp_path / "nowhere") in caught.value.why


def test_this_machines_settings_are_not_looked_at(
    general: PackageIndex, own: PackageIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_wheel(general.folder, name="a")
    write_wheel(own.folder, name="a", version="9.0")
    (tmp_path / "uv.toml").write_text(f'extra-index-url = ["{own.url}"]\n')
    (tmp_path / "pip.conf").write_text(f"[global]\nindex-url = {own.url}\n")
    for name in (
        "UV_INDEX",
        "UV_DEFAULT_INDEX",
        "UV_EXTRA_INDEX_URL",
        "PIP_INDEX_URL",
        "PIP_EXTRA_INDEX_URL",
    ):
        monkeypatch.setenv(name, own.url)
    for name in ("UV_FIND_LINKS", "PIP_FIND_LINKS"):
        monkeypatch.setenv(name, str(own.folder))
    monkeypatch.setenv("UV_CONFIG_FILE", str(tmp_path / "uv.toml"))
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    monkeypatch.chdir(tmp_path)
    assert names(locked(general, "a")) == ["a 1.0"]
    assert own.asked == []
    assert built_in_index() != own.url


def test_a_mirror_is_one_setting_and_its_credentials_stay_with_it(
    general: PackageIndex, own: PackageIndex
) -> None:
    write_wheel(own.folder, name="a", needs=("b",))
    write_wheel(general.folder, name="b")
    general.user = base64.b64encode(b"who:secret").decode()
    mirror = general.url.replace("http://", "http://who:secret@")
    bound = (WheelIndex("own", "https://nowhere.invalid/simple", ("a",)),)
    lock = locked(general, "a", bound=bound, given=(mirror, f"own={own.url}"))
    assert names(lock) == ["a 1.0", "b 1.0"]
    assert "secret" not in str(lock)
    assert len(fetched(general, lock, bound=bound, given=(mirror, f"own={own.url}"))) == 2
    with pytest.raises(StepFailed) as caught:
        locked(general, "b")
    assert "401" in caught.value.why


@pytest.mark.parametrize("given", ["other=http://127.0.0.1/simple", "ftp://127.0.0.1/simple", "./wheels"])
def test_refuses_an_index_that_is_none(tmp_path: Path, given: str) -> None:
    with pytest.raises(BadInput):
        Indexes(Wheels(), tmp_path, (given,))


@pytest.mark.parametrize("package", ["nvidia_cublas", "triton", "cuda_bindings"])
def test_refuses_a_cuda_build_where_the_target_has_none(general: PackageIndex, package: str) -> None:
    write_wheel(general.folder, name="torch", needs=(package,))
    write_wheel(general.folder, name=package)
    with pytest.raises(BadInput) as caught:
        locked(general, "torch")
    assert caught.value.why.startswith("target.cuda is 'none', but the requirements bring ")
    assert "Bind torch to an index with CPU builds" in caught.value.next_step
    assert len(locked(general, "torch", target=WITH_GPU)) == 2


# What torch needed in the general registry: 2.10.0, 2.11.0 and 2.15.0, x86_64 Linux.
GENERAL = {
    "12.8": "nvidia-cuda-runtime-cu12==12.8.90; platform_system == 'Linux'",
    "13.0": "cuda-toolkit[cublas,cudart]==13.0.2; platform_system == 'Linux'",
    "13.2": "cuda-toolkit==13.2.1; platform_system == 'Linux'",
}


@pytest.mark.parametrize(("built", "fits"), [("12.8", True), ("13.0", False), ("13.2", False)])
def test_refuses_a_torch_for_a_newer_cuda(general: PackageIndex, built: str, fits: bool) -> None:
    need = GENERAL[built]
    name, version = re.split(r"\[.*\]==|==", need.split(";")[0])
    write_wheel(general.folder, name="torch", needs=(need,))
    write_wheel(general.folder, name=name.replace("-", "_"), version=version)
    if fits:
        assert len(locked(general, "torch", target=WITH_GPU)) == 2
        return
    with pytest.raises(BadInput) as caught:
        locked(general, "torch", target=WITH_GPU)
    assert f"torch 1.0 is built for CUDA {built}, target.cuda is '12.8'" in caught.value.why
    assert "an older torch" in caught.value.next_step
    assert "[[wheels.index]]" in caught.value.next_step


@pytest.mark.parametrize(("version", "fits"), [("2.1+cu128", True), ("2.1+cu130", False), ("2.1+cpu", False)])
def test_reads_a_builds_own_name(general: PackageIndex, version: str, fits: bool) -> None:
    write_wheel(general.folder, name="torch", version=version)
    if fits:
        assert names(locked(general, "torch", target=WITH_GPU)) == [f"torch {version}"]
        return
    with pytest.raises(BadInput) as caught:
        locked(general, "torch", target=WITH_GPU)
    assert f"torch {version} is" in caught.value.why


def test_refuses_a_wheel_without_a_listed_hash(general: PackageIndex) -> None:
    general.hashes = False
    write_wheel(general.folder, name="a")
    with pytest.raises(BadInput) as caught:
        locked(general, "a")
    assert caught.value.why == "the default index lists no SHA-256 for it"


@pytest.mark.parametrize("as_json", [True, False])
def test_does_not_take_what_its_maker_took_back(general: PackageIndex, as_json: bool) -> None:
    general.as_json = as_json
    write_wheel(general.folder, name="a", version="1.0")
    bad = write_wheel(general.folder, name="a", version="2.0")
    general.yanked[bad.name] = "loses data"
    assert names(locked(general, "a")) == ["a 1.0"]
    with pytest.raises(BadInput) as caught:
        locked(general, "a==2.0")
    assert caught.value.why == "its maker has taken it back: loses data"


def test_a_source_distribution_is_not_taken(general: PackageIndex) -> None:
    (general.folder / "a-1.0.tar.gz").write_bytes(b"")
    with pytest.raises(BadInput) as caught:
        locked(general, "a")
    assert "a" in caught.value.why
    assert not [path for path in general.asked if path.endswith(".tar.gz")]


@pytest.mark.parametrize("requirement", ["absent", "a==9", "a[extra]>3"])
def test_says_that_a_requirement_cannot_be_met(general: PackageIndex, requirement: str) -> None:
    write_wheel(general.folder, name="a")
    with pytest.raises(BadInput) as caught:
        locked(general, requirement)
    assert "wheels.requirements" in caught.value.next_step
    assert "127.0.0.1" not in caught.value.why


@pytest.mark.parametrize("size", [0, 10, None])
def test_what_is_kept_of_a_wheel_is_read_again_when_its_bytes_changed(
    general: PackageIndex, size: int | None
) -> None:
    write_wheel(general.folder, name="a", needs=("b",))
    write_wheel(general.folder, name="b")
    assert names(locked(general, "a")) == ["a 1.0", "b 1.0"]
    for kept in (general.folder.parent / "cache" / "metadata").iterdir():
        text = kept.read_bytes().replace(b"Requires-Dist: b", b"Requires-Dist: c")
        kept.write_bytes(text if size is None else bytes(size))  # a power cut leaves zeros, or nothing
    assert names(locked(general, "a")) == ["a 1.0", "b 1.0"]


def test_refuses_metadata_that_are_not_the_listed_ones(general: PackageIndex) -> None:
    path = write_wheel(general.folder, name="a")
    general.wrong[f"{path.name}.metadata"] = b"Metadata-Version: 2.4\nName: a\nVersion: 1.0\n"
    with pytest.raises(DamagedBundle) as caught:
        locked(general, "a")
    assert f"{path.name}.metadata" in caught.value.what


def test_reads_a_small_wheel_whole_where_the_server_sends_no_parts(general: PackageIndex) -> None:
    general.metadata = general.ranges = general.sizes = False
    path = write_wheel(general.folder, {"a/b.bin": bytes(300_000)}, name="a")
    [wheel] = locked(general, "a")
    assert (wheel.licence, wheel.size) == ("MIT", path.stat().st_size)


def test_no_index_can_say_something_of_another_ones_wheel(general: PackageIndex, own: PackageIndex) -> None:
    path = write_wheel(general.folder, name="a", needs=("b",))
    write_wheel(general.folder, name="b")
    (own.folder / path.name).write_bytes(path.read_bytes())
    own.metadata_of = lambda path: b"Metadata-Version: 2.4\nName: a\nVersion: 1.0\n"  # type: ignore[method-assign]
    assert names(locked(general, "a", bound=(WheelIndex("own", own.url, ("a",)),))) == ["a 1.0"]
    assert names(locked(general, "a")) == ["a 1.0", "b 1.0"]


def test_what_the_conda_environment_brings_is_not_brought_again(general: PackageIndex) -> None:
    write_wheel(general.folder, name="torch", needs=("setuptools>=70",))
    write_wheel(general.folder, name="setuptools", version="84.0")
    assert names(locked(general, "torch", known=Known(provided={"setuptools": "80.9.0"}))) == ["torch 1.0"]
    with pytest.raises(BadInput) as caught:
        locked(general, "torch", known=Known(provided={"setuptools": "65.0"}))
    assert "the conda environment brings setuptools 65.0" in caught.value.why
    with pytest.raises(BadInput) as caught:
        locked(general, "setuptools>=70", known=Known(provided={"setuptools": "80.9.0"}))
    assert "twice" in caught.value.what


def test_refuses_a_wheel_that_needs_another_python(general: PackageIndex) -> None:
    metadata = b"Metadata-Version: 2.4\nName: a\nVersion: 1.0\nRequires-Python: >=3.9.7\n"
    write_wheel(general.folder, {"a-1.0.dist-info/METADATA": metadata}, name="a")
    assert names(locked(general, "a", known=Known(python="3.9.20"))) == ["a 1.0"]
    with pytest.raises(BadInput) as caught:
        locked(general, "a", known=Known(python="3.9.2"))
    assert "Python" in caught.value.why


def test_keeps_what_was_locked(general: PackageIndex) -> None:
    write_wheel(general.folder, name="a", needs=("b", "c"))
    for name in ("b", "c"):
        write_wheel(general.folder, name=name, version="1.0")
    before = locked(general, "a")
    for name in ("b", "c"):
        write_wheel(general.folder, name=name, version="2.0")
    assert names(locked(general, "a")) == ["a 1.0", "b 2.0", "c 2.0"]
    kept = Known(kept=tuple(wheel for wheel in before if wheel.name != "b"))
    after = locked(general, "a", known=kept)
    assert names(after) == ["a 1.0", "b 2.0", "c 1.0"]
    assert (after[0], after[2]) == (before[0], before[2])


def test_fetches_by_name_what_is_locked_and_then_needs_no_index(general: PackageIndex) -> None:
    path = write_wheel(general.folder, name="a")
    lock = locked(general, "a")
    [got] = fetched(general, lock)
    assert hashlib.sha256(got.read_bytes()).hexdigest() == lock[0].sha256
    path.unlink()
    general.asked.clear()
    assert fetched(general, lock) == [got]
    assert general.asked == []


def test_looks_a_wheel_up_where_its_hint_does_not_hold(general: PackageIndex, own: PackageIndex) -> None:
    write_wheel(own.folder, name="a")
    bound = (WheelIndex("own", own.url, ("a",)),)
    [wheel] = locked(general, "a", bound=bound)
    moved = msgspec.structs.replace(wheel, url=wheel.url.replace("/files/", "/gone/"))
    assert len(fetched(general, (moved,), bound=bound)) == 1


def test_says_that_the_locked_wheel_is_to_be_had_no_more(general: PackageIndex) -> None:
    path = write_wheel(general.folder, name="a")
    lock = locked(general, "a")
    path.unlink()
    with pytest.raises(BadInput) as caught:
        fetched(general, lock)
    assert caught.value.why == "the default index does not list it"


def test_refuses_another_wheel_of_the_same_name_and_version(general: PackageIndex) -> None:
    write_wheel(general.folder, name="a")
    lock = locked(general, "a")
    write_wheel(general.folder, {"a/more.py": b"1"}, name="a")
    with pytest.raises(DamagedBundle) as caught:
        fetched(general, lock)
    assert lock[0].sha256 in caught.value.why
    general.hashes = False
    with pytest.raises(DamagedBundle):
        fetched(general, lock)
    assert not list((general.folder.parent / "cache").rglob("*.whl"))


def test_refuses_wrong_bytes_and_fetches_a_damaged_cache_anew(general: PackageIndex) -> None:
    path = write_wheel(general.folder, name="a")
    lock = locked(general, "a")
    good = path.read_bytes()
    general.wrong[path.name] = good[:-1] + b"?"
    with pytest.raises(DamagedBundle) as caught:
        fetched(general, lock)
    assert f"expected {lock[0].sha256}" in caught.value.why
    del general.wrong[path.name]
    [got] = fetched(general, lock)
    cached = general.folder.parent / "cache" / "wheels" / lock[0].sha256 / path.name
    cached.unlink()
    cached.write_bytes(good[:-1] + b"!")
    assert fetched(general, lock)[0].read_bytes() == good == got.read_bytes()


def test_refuses_a_wheel_that_runs_code_at_start_when_its_bytes_are_there(general: PackageIndex) -> None:
    write_wheel(general.folder, {"evil.pth": b"import os\n"}, name="a")
    lock = locked(general, "a")
    with pytest.raises(BadInput) as caught:
        fetched(general, lock)
    assert "evil.pth" in caught.value.why


def test_nothing_required_needs_no_index(tmp_path: Path) -> None:
    indexes = Indexes(Wheels(), tmp_path, ("http://127.0.0.1:9/simple",))
    assert lock_wheels(Wheels(), TARGET, indexes, cache=tmp_path, progress=Silent()) == ()


def test_an_index_cannot_name_a_file_of_this_machine(general: PackageIndex, tmp_path: Path) -> None:
    path = write_wheel(tmp_path, name="a")
    page = f'<a href="{path.as_uri()}#sha256={"0" * 64}">{path.name}</a>'
    general.page = lambda name: page.encode()  # type: ignore[method-assign]
    with pytest.raises(BadInput) as caught:
        locked(general, "a")
    assert "does not have a" in caught.value.why


def test_the_order_of_tags_is_pips() -> None:
    pip = pytest.importorskip("pip._internal.utils.compatibility_tags")
    platforms = [f"manylinux_2_{minor}_x86_64" for minor in range(28, 4, -1)] + ["linux_x86_64"]
    ours = [str(tag) for tag in ranks(Target(python="3.12", glibc="2.28"))]
    theirs = [str(tag) for tag in pip.get_supported("312", platforms, "cp", ["cp312"])]
    assert set(theirs) <= set(ours)
    assert [tag for tag in ours if tag in set(theirs)] == theirs


@pytest.mark.parametrize(
    ("glibc", "platform"),
    [("2.17", "2_17"), ("2.27", "2_17"), ("2.30", "2_28"), ("2.35", "2_35"), ("2.41", "2_40")],
)
def test_names_a_c_library_to_uv_that_the_target_has(glibc: str, platform: str) -> None:
    assert uv_platform(Target(python="3.12", glibc=glibc)) == f"x86_64-manylinux_{platform}"


def test_a_later_build_of_the_same_wheel_is_better() -> None:
    files = [
        "a-1.0-py3-none-any.whl",
        "a-1.0-2-py3-none-any.whl",
        "a-1.0-10-py3-none-any.whl",
        "a-1.1-py3-none-any.whl",
    ]
    assert best_wheel(files, "1.0", TARGET) == files[2]
    assert best_wheel(["a-1.0-cp39-cp39-win_amd64.whl", "nonsense.whl"], "1.0", TARGET) is None
