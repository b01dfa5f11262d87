"""The converter from its pinned source package: what is taken, and what is refused."""

import hashlib
import io
import json
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.errors import DamagedBundle, StepFailed
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
from bundler.manifest import Wheels
from bundler.sources.indexes import Indexes
from tests.converted import converter_folder
from tests.hostile import Hostile, good, hostile


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


def indexes(folder: Path) -> Indexes:
    return Indexes(Wheels(), folder)


def taken_out(lock: ConverterLock, folder: Path, into: Path) -> list[Path]:
    return fetch_converter(lock, folder / "cache", into, indexes(folder), Silent())


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
    taken = taken_out(lock, tmp_path, tmp_path / "out")
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
        taken_out(lock, tmp_path, tmp_path / "out")


def test_refuses_a_source_package_without_the_converter(tmp_path: Path) -> None:
    lock = cached_sdist(tmp_path / "cache", WHOLE[1:])
    with pytest.raises(StepFailed, match="does not hold convert_hf_to_gguf.py"):
        taken_out(lock, tmp_path, tmp_path / "out")


@pytest.fixture
def index(tmp_path: Path) -> Iterator[tuple[Hostile, ConverterLock, Indexes]]:
    """A server with a source package of our own making, its lock, and the index as the bundler sees it."""
    lock = cached_sdist(tmp_path / "origin", WHOLE)
    body = next((tmp_path / "origin").rglob(SDIST)).read_bytes()
    with hostile() as server:
        url = server.url(f"/files/{SDIST}", good(body))
        page = {"files": [{"filename": SDIST, "url": url, "hashes": {"sha256": lock.sha256}}]}
        server.url("/simple/llama-cpp-python/", good(json.dumps(page).encode()))
        yield server, lock, Indexes(Wheels(), tmp_path, (f"{server.address}/simple",))


def test_fetches_the_source_package_again_when_the_cache_is_damaged(
    index: tuple[Hostile, ConverterLock, Indexes], tmp_path: Path
) -> None:
    _, lock, indexes = index
    fetch_converter(lock, tmp_path / "cache", tmp_path / "one", indexes, Silent())
    path = tmp_path / "cache" / "sdists" / lock.sha256 / SDIST
    with path.open("r+b") as file:
        file.write(b"damaged")
    taken = fetch_converter(lock, tmp_path / "cache", tmp_path / "two", indexes, Silent())
    assert [str(each) for each in taken] == sorted(NEEDED)


def test_refuses_bytes_with_another_hash_than_the_locked_one(
    index: tuple[Hostile, ConverterLock, Indexes], tmp_path: Path
) -> None:
    _, lock, indexes = index
    other = replace(lock, sha256="0" * 64)
    with pytest.raises(DamagedBundle, match=f"expected {'0' * 64}, got {lock.sha256}"):
        fetch_converter(other, tmp_path / "cache", tmp_path / "out", indexes, Silent())
    assert not (tmp_path / "out").exists()


def test_only_what_is_pinned_is_locked(index: tuple[Hostile, ConverterLock, Indexes], tmp_path: Path) -> None:
    _, _, indexes = index
    with pytest.raises(DamagedBundle, match=f"expected {SIZE} bytes"):
        lock_converter(tmp_path / "cache", indexes, Silent())


@pytest.mark.slow
def test_the_pinned_package_holds_a_converter_that_runs() -> None:
    folder = converter_folder()
    for name in (*NEEDED, "convert_lora_to_gguf.py", "conversion/qwen.py"):
        assert (folder / name).is_file()
    assert "MIT" in (folder / "LICENSE").read_text()
    script = folder / "convert_hf_to_gguf.py"
    shown = subprocess.run([sys.executable, script, "--help"], capture_output=True, text=True, check=True)
    assert "--outtype" in shown.stdout
