"""llama.cpp's converter from safetensors to GGUF, taken from a pinned source package.

The converter and its `gguf` library must be of one llama.cpp tree; the only package that carries that tree
whole is the source package of llama-cpp-python. It is fetched from the index that wheels come from, judged by
its sha256, and only the converter's own files are taken out of it. Nothing of it is run here.
"""

import re
import tarfile
from dataclasses import dataclass
from pathlib import Path

from appliance.errors import StepFailed
from appliance.progress import Progress
from bundler.sources.download import Job, Source, Wanted, fetch_all
from bundler.sources.indexes import Indexes

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


def lock_converter(cache: Path, indexes: Indexes, progress: Progress) -> ConverterLock:
    """The pinned source package, fetched into `cache` and judged by its bytes.

    Raises: DamagedBundle, when it is not what is pinned; StepFailed, when it cannot be fetched.
    """
    lock = ConverterLock(VERSION, SDIST, SHA256, SIZE)
    fetch_all([_job(lock, cache, indexes)], what="Fetch the GGUF converter", progress=progress)
    return lock


def fetch_converter(
    lock: ConverterLock, cache: Path, into: Path, indexes: Indexes, progress: Progress
) -> list[Path]:
    """Write the converter's files under `into`; their paths relative to it, sorted.

    The source package is taken from `cache`, and fetched into it when it is not there; its bytes
    are compared with the lock in either case.

    Raises: DamagedBundle, when it is not what is locked; StepFailed, when it cannot be had or lacks a file.
    """
    job = _job(lock, cache, indexes)
    fetch_all([job], what="Fetch the GGUF converter", progress=progress)
    taken: dict[str, Path] = {}
    with tarfile.open(job.target, mode="r:gz") as archive:
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


def _job(lock: ConverterLock, cache: Path, indexes: Indexes) -> Job:
    """What brings the source package into the cache: by its hash, so that no other one takes its place."""

    def sources() -> tuple[Source, ...]:
        return tuple(Source(file.url) for file in indexes.page(PACKAGE) if file.name == lock.sdist_name)

    wanted = Wanted(lock.sdist_name, sources, size=lock.size, sha256=lock.sha256)
    return Job(wanted, cached_source(lock, cache))


def cached_source(lock: ConverterLock, cache: Path) -> Path:
    """Where the source package is kept."""
    return cache / "sdists" / lock.sha256 / lock.sdist_name


def _failure(lock: ConverterLock, why: str) -> StepFailed:
    """The source package is not what it should be."""
    return StepFailed(f"{lock.sdist_name} is not the source package expected.", why=why, next_step=NEXT_STEP)
