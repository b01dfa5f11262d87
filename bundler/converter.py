"""llama.cpp's converter from safetensors to GGUF, taken from a pinned source package.

The converter and its `gguf` library must be of one llama.cpp tree; the only package that carries that tree
whole is the source package of llama-cpp-python. It is fetched by pip, judged by its sha256, and
only the converter's own files are taken out of it. Nothing of it is run here, except that pip asks
the package's build backend for its metadata, after it has compared the hash.
"""

import hashlib
import re
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

from appliance import process
from appliance.errors import StepFailed
from appliance.progress import Progress

PACKAGE = "llama-cpp-python"
VERSION = "0.3.36"
SDIST = f"llama_cpp_python-{VERSION}.tar.gz"
SHA256 = "832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e"
SIZE = 76_589_250
"""Bytes of the source package."""

TREE = f"llama_cpp_python-{VERSION}/vendor/llama.cpp/"
"""Where llama.cpp lies in the source package."""

WANTED = re.compile(
    r"convert_hf_to_gguf\.py|convert_lora_to_gguf\.py|LICENSE|conversion/[A-Za-z0-9_]+\.py"
    r"|gguf-py/LICENSE|gguf-py/gguf/(?:[A-Za-z0-9_]+\.py|py\.typed)"
)
"""The files that are taken, by their names inside TREE."""

NEEDED = ("convert_hf_to_gguf.py", "conversion/base.py", "gguf-py/gguf/__init__.py", "LICENSE")
MAX_FILE_BYTES = 4_000_000
"""The largest of these files has 0.8 MB; anything far beyond that is not what was pinned."""

CHUNK_BYTES = 1 << 20
NEXT_STEP = "Check the connection to the package index, then run `islet-bundle lock` again."


@dataclass(frozen=True)
class ConverterLock:
    """Exactly which source package the converter is taken from."""

    version: str
    """Version of llama-cpp-python."""
    sdist_name: str
    sha256: str
    size: int
    """Bytes."""


def lock_converter(cache: Path, progress: Progress) -> ConverterLock:
    """The pinned source package, fetched into `cache` and judged by its bytes.

    Raises: StepFailed, when it cannot be fetched or is not what is pinned.
    """
    lock = ConverterLock(VERSION, SDIST, SHA256, SIZE)
    if not _is_cached(lock, cache):
        with progress.stage("fetch the GGUF converter", total=lock.size) as advance:
            _download(lock, cache)
            advance(lock.size)
    return lock


def fetch_converter(lock: ConverterLock, cache: Path, into: Path) -> list[Path]:
    """Write the converter's files under `into`; their paths relative to it, sorted.

    The source package is taken from `cache`, and fetched into it when it is not there; its bytes
    are compared with the lock in either case.

    Raises: StepFailed, when it cannot be fetched, is not what is locked, or lacks a file.
    """
    if not _is_cached(lock, cache):
        _download(lock, cache)
    taken: dict[str, Path] = {}
    with tarfile.open(_cached(lock, cache), mode="r:gz") as archive:
        for member in archive:
            name = member.name.removeprefix(TREE)
            if not member.name.startswith(TREE) or WANTED.fullmatch(name) is None:
                continue
            if not member.isreg() or member.size > MAX_FILE_BYTES or name in taken:
                raise _failure(lock, f"{member.name} is not a plain file of the size expected")
            taken[name] = _write_member(archive, member, into, name)
    missing = [name for name in NEEDED if name not in taken]
    if missing:
        raise _failure(lock, f"it does not hold {', '.join(missing)}")
    return sorted(taken.values())


def _write_member(archive: tarfile.TarFile, member: tarfile.TarInfo, into: Path, name: str) -> Path:
    """Write one file under its judged name; its path relative to `into`."""
    source = archive.extractfile(member)
    if source is None:
        raise RuntimeError("a plain file was asked for")
    target = into / name
    target.parent.mkdir(parents=True, exist_ok=True)
    with source, target.open("xb") as file:
        file.write(source.read())
    target.chmod(0o644)
    return Path(name)


def _cached(lock: ConverterLock, cache: Path) -> Path:
    """Where the source package lies in the cache: by its hash, so that another one never takes its place."""
    return cache / "sdists" / lock.sha256 / lock.sdist_name


def _is_cached(lock: ConverterLock, cache: Path) -> bool:
    """Whether the cache holds it, by its bytes; anything else under its name is removed."""
    path = _cached(lock, cache)
    if not path.exists():
        return False
    if _is_locked(lock, path):
        return True
    path.unlink()
    return False


def _is_locked(lock: ConverterLock, path: Path) -> bool:
    """Whether the file at `path` has the size and the sha256 of the lock."""
    if path.stat().st_size != lock.size:
        return False
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest() == lock.sha256


def _download(lock: ConverterLock, cache: Path) -> None:
    """Fetch the source package by pip, which compares the hash first, then compare it ourselves."""
    target = _cached(lock, cache)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as name:
        aside = Path(name)
        pins = aside / "pins.txt"
        pins.write_text(f"{PACKAGE}=={lock.version} --hash=sha256:{lock.sha256}\n", encoding="utf-8")
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "download"]
        take_source = ["--no-deps", "--no-binary", PACKAGE, "--require-hashes"]
        process.run([*pip, *take_source, "--dest", aside, "--requirement", pins], next_step=NEXT_STEP)
        fetched = aside / lock.sdist_name
        if not fetched.is_file() or not _is_locked(lock, fetched):
            raise _failure(lock, "what pip fetched has another name, size or sha256")
        fetched.replace(target)


def _failure(lock: ConverterLock, why: str) -> StepFailed:
    """The source package is not what it should be."""
    return StepFailed(f"{lock.sdist_name} is not the source package expected.", why=why, next_step=NEXT_STEP)
