"""Wheels: resolved and downloaded by pip as it is, from a folder; judged before and after."""

import hashlib
import sys
from pathlib import Path

import msgspec
import pytest

from appliance.errors import BadInput, DamagedBundle, StepFailed
from appliance.progress import Silent
from bundler.manifest import Target, Wheels
from bundler.sources.wheels import LockedWheel, check_target, fetch_wheels, lock_wheels, platform_options
from tests.wheel_maker import write_wheel

HERE = Target(python=f"{sys.version_info.major}.{sys.version_info.minor}")


@pytest.fixture
def offers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip, as configured, takes wheels from and nowhere else."""
    folder = tmp_path / "offers"
    folder.mkdir()
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    return folder


def locked(cache: Path, *requirements: str, target: Target = HERE) -> tuple[LockedWheel, ...]:
    return lock_wheels(Wheels(requirements=requirements), target, cache=cache, progress=Silent())


def fetched(wheels: tuple[LockedWheel, ...], cache: Path, into: Path) -> list[Path]:
    return fetch_wheels(wheels, HERE, cache=cache, into=into, progress=Silent())


def test_locks_a_wheel_and_what_it_needs(offers: Path, tmp_path: Path) -> None:
    paths = [write_wheel(offers, name="a", needs=("b>=1",)), write_wheel(offers, name="b", version="2.0")]
    write_wheel(offers, name="b", version="0.5")
    lock = locked(tmp_path / "cache", "a")
    assert [(wheel.name, wheel.version, wheel.licence) for wheel in lock] == [
        ("a", "1.0", "MIT"),
        ("b", "2.0", "MIT"),
    ]
    for wheel, path in zip(lock, paths, strict=True):
        body = path.read_bytes()
        assert (wheel.filename, wheel.size) == (path.name, len(body))
        assert wheel.sha256 == hashlib.sha256(body).hexdigest()
        assert wheel.url == ""  # a path of this machine is not recorded


@pytest.mark.slow  # runs pip twice or more
def test_a_local_version_satisfies_an_exact_pin(offers: Path, tmp_path: Path) -> None:
    write_wheel(offers, name="torch", version="2.1+cpu")
    [wheel] = locked(tmp_path / "cache", "torch==2.1")
    assert wheel.version == "2.1+cpu"
    fetched((wheel,), tmp_path / "other-cache", tmp_path / "out")
    assert (tmp_path / "out" / wheel.filename).is_file()


def test_fetches_from_the_cache_when_the_index_is_gone(offers: Path, tmp_path: Path) -> None:
    path = write_wheel(offers, name="a")
    lock = locked(tmp_path / "cache", "a")
    path.unlink()
    [got] = fetched(lock, tmp_path / "cache", tmp_path / "out")
    assert hashlib.sha256(got.read_bytes()).hexdigest() == lock[0].sha256


@pytest.mark.slow  # runs pip twice or more
def test_says_that_the_locked_wheel_is_to_be_had_no_more(offers: Path, tmp_path: Path) -> None:
    lock = locked_one(offers, tmp_path)
    next(offers.iterdir()).unlink()
    with pytest.raises(StepFailed) as caught:
        fetched(lock, tmp_path / "empty", tmp_path / "out")
    assert "a==1.0" in caught.value.why


def locked_one(offers: Path, tmp_path: Path) -> tuple[LockedWheel, ...]:
    write_wheel(offers, name="a")
    return locked(tmp_path / "cache", "a")


@pytest.mark.slow  # runs pip twice or more
def test_refuses_another_wheel_of_the_same_name_and_version(offers: Path, tmp_path: Path) -> None:
    lock = locked_one(offers, tmp_path)
    write_wheel(offers, {"a/more.py": b"1"}, name="a")
    with pytest.raises(StepFailed) as caught:
        fetched(lock, tmp_path / "empty", tmp_path / "out")
    assert "DO NOT MATCH THE HASHES" in caught.value.why
    assert not list((tmp_path / "empty").rglob("*.whl"))


def test_refuses_a_cached_wheel_that_was_changed(offers: Path, tmp_path: Path) -> None:
    lock = locked_one(offers, tmp_path)
    cached = tmp_path / "cache" / "wheels" / lock[0].filename
    body = bytearray(cached.read_bytes())
    body[len(body) // 2] ^= 1
    cached.write_bytes(body)
    with pytest.raises(DamagedBundle) as caught:
        fetched(lock, tmp_path / "cache", tmp_path / "out")
    assert caught.value.why.startswith(f"expected {lock[0].sha256}, got ")


def test_refuses_a_wheel_that_runs_code_at_start(offers: Path, tmp_path: Path) -> None:
    write_wheel(offers, {"evil.pth": b"import os\n"}, name="a")
    with pytest.raises(BadInput) as caught:
        locked(tmp_path / "cache", "a")
    assert "evil.pth" in caught.value.why


@pytest.mark.parametrize("package", ["nvidia_cublas", "triton"])
def test_refuses_a_cuda_build_where_the_target_has_none(offers: Path, tmp_path: Path, package: str) -> None:
    write_wheel(offers, name="torch", needs=(package,))
    write_wheel(offers, name=package)
    with pytest.raises(BadInput) as caught:
        locked(tmp_path / "cache", "torch")
    assert "target.cuda is 'none'" in caught.value.why
    assert "torch" in caught.value.why
    assert not list((tmp_path / "cache").rglob("*.whl"))
    with_cuda = msgspec.structs.replace(HERE, cuda="13.0")
    assert len(locked(tmp_path / "cache", "torch", target=with_cuda)) == 2


@pytest.mark.slow  # runs pip twice or more
def test_takes_the_wheel_that_the_targets_c_library_runs(offers: Path, tmp_path: Path) -> None:
    write_wheel(offers, name="a", tag="py3-none-manylinux_2_34_x86_64")
    write_wheel(offers, name="a", tag="py3-none-manylinux_2_28_x86_64")
    [wheel] = locked(tmp_path / "cache", "a", target=msgspec.structs.replace(HERE, glibc="2.28"))
    assert "2_28" in wheel.filename
    with pytest.raises(BadInput):
        locked(tmp_path / "cache", "a", target=msgspec.structs.replace(HERE, glibc="2.17"))


def test_names_every_older_c_library_to_pip() -> None:
    options = platform_options(Target(python="3.12", glibc="2.17"))
    assert options[0] == "--platform=manylinux_2_17_x86_64"
    assert "--platform=manylinux2014_x86_64" in options
    assert "--platform=manylinux_2_18_x86_64" not in options


@pytest.mark.parametrize("requirement", ["absent", "a==9", "a @ file:///nowhere/a.tar.gz"])
def test_says_that_a_requirement_cannot_be_met(offers: Path, tmp_path: Path, requirement: str) -> None:
    write_wheel(offers, name="a")
    with pytest.raises(BadInput) as caught:
        locked(tmp_path / "cache", requirement)
    assert "wheels.requirements" in caught.value.next_step


def test_a_source_distribution_is_not_taken(offers: Path, tmp_path: Path) -> None:
    (offers / "a-1.0.tar.gz").write_bytes(b"")
    with pytest.raises(BadInput):
        locked(tmp_path / "cache", "a")


def test_refuses_a_target_of_another_python() -> None:
    with pytest.raises(BadInput) as caught:
        check_target(Target(python="3.5"))
    assert "target.python is 3.5" in caught.value.why


def test_nothing_required_needs_no_pip(tmp_path: Path) -> None:
    assert locked(tmp_path) == ()
