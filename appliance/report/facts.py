"""What a run folder holds, read for a report. What is not there is Missing, with the reason."""

import hashlib
import importlib.metadata
import platform
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from appliance.data.canonical import Check, read_check
from appliance.errors import ApplianceError
from appliance.evaluation.results import Answer, Summary, read_answers, read_summary
from appliance.model.base import model_name
from appliance.model.same_base import changed_files
from appliance.progress import Advance, Progress
from appliance.report.gaps import Missing
from appliance.report.site_facts import SiteFacts
from appliance.report.story import Story, read_story
from appliance.run.folder import RunFolder, read_base
from appliance.run.plan import Plan, read_plan
from appliance.sentence import from_document, say

T = TypeVar("T")

PACKAGES = (
    *("islet", "torch", "transformers", "peft", "accelerate", "bitsandbytes"),
    *("tokenizers", "safetensors", "pyarrow", "xllamacpp"),
)
"""What computes anything in a run."""


class Comparison(msgspec.Struct, frozen=True):
    """One comparison in parity.json, as far as the report shows it."""

    stage: str
    compared: str
    positions: int
    largest_difference: float
    allowed_difference: float
    other_choices: int
    first: str
    passed: bool
    said: dict[str, Any] = {}  # msgspec copies it for each comparison
    """The parts of `compared` and `first`."""

    def __post_init__(self) -> None:
        """Make both sentences again, so that they can be said in another language."""
        for name in ("compared", "first"):
            if name in self.said:
                msgspec.structs.force_setattr(self, name, from_document(self.said[name]))


class Parity(msgspec.Struct, frozen=True):
    """parity.json, as far as the report shows it."""

    comparisons: tuple[Comparison, ...]
    first_difference: str | None
    engine: str
    ollama: str


@dataclass(frozen=True)
class HashedFile:
    """One file as it lies on the disk when the report is written."""

    name: str
    size: int
    """Bytes."""
    sha256: str


@dataclass(frozen=True)
class Facts:
    """Everything that a report says."""

    run: str
    """Name of the run's folder."""
    plan: Plan
    plan_sha256: str
    base_name: str
    base: tuple[HashedFile, ...] | Missing
    base_changed: tuple[str, ...]
    """Names of its files that are others now than when training began."""
    story: Story
    check: Check | Missing
    rows: tuple[HashedFile, ...]
    """The run's own data files."""
    summary: Summary | Missing
    answers: tuple[tuple[Answer, Answer], ...] | Missing
    """Every row, before and after."""
    parity: Parity | Missing
    parity_blocked: bool
    """Whether the parity gate blocked the export."""
    adapter: tuple[HashedFile, ...] | Missing
    merged: tuple[HashedFile, ...] | Missing
    export: tuple[HashedFile, ...] | Missing
    export_sums: dict[str, str]
    """SHA-256 by name, as the export's own SHA256SUMS says; empty when there is none."""
    versions: tuple[tuple[str, str], ...]
    site: SiteFacts

    @property
    def merged_elsewhere(self) -> bool:
        """Whether the adapter was merged into other values of the base than it was trained over."""
        return self.plan.training.nf4 and self.plan.export.merge_into == "original"


def read_facts(run: RunFolder, site: SiteFacts, progress: Progress) -> Facts:
    """All of it, with the files hashed anew.

    Raises: BadInput, when the plan cannot be read.
    """
    plan, base = read_plan(run.plan), read_base(run)
    folders = [base, run.data, run.adapter, run.merged, run.export]
    total = sum(path.stat().st_size for folder in folders for path in _files(folder))
    blocked = run.export.with_name(f"{run.export.name}.blocked")
    with progress.stage(say("hash what went in and came out"), total=total) as advance:
        base_files = _hashed(base, advance)
        return Facts(
            run=run.root.name,
            plan=plan,
            plan_sha256=hashlib.sha256(run.plan.read_bytes()).hexdigest(),
            base_name=model_name(base),
            base=base_files,
            base_changed=_base_changed(run, base_files),
            story=read_story(run),
            check=_check(run),
            rows=tuple(_hash(run.data, path, advance) for path in _files(run.data)),
            summary=_or_missing(lambda: read_summary(run)),
            answers=_or_missing(lambda: tuple(read_answers(run))),
            parity=_parity(run.export, blocked),
            parity_blocked=blocked.is_dir() and not run.export.is_dir(),
            adapter=_hashed(run.adapter, advance),
            merged=_hashed(run.merged, advance),
            export=_hashed(run.export, advance),
            export_sums=_sums(run.export / "SHA256SUMS"),
            versions=tuple(_versions()),
            site=site,
        )


def _base_changed(run: RunFolder, files: tuple[HashedFile, ...] | Missing) -> tuple[str, ...]:
    if isinstance(files, Missing) or not run.base_sums.is_file():
        return ()
    return tuple(changed_files(run.base_sums, {file.name: file.sha256 for file in files}))


def _or_missing(read: Callable[[], T]) -> T | Missing:
    try:
        return read()
    except ApplianceError as error:
        return Missing(error.why)


def _check(run: RunFolder) -> Check | Missing:
    try:
        return read_check(run.data / "check.json")
    except (OSError, msgspec.MsgspecError) as error:
        return Missing(_reason(error))


def _parity(export: Path, blocked: Path) -> Parity | Missing:
    folder = export if export.is_dir() else blocked
    try:
        return msgspec.json.decode((folder / "parity.json").read_bytes(), type=Parity)
    except (OSError, msgspec.MsgspecError) as error:
        return Missing(_reason(error))


def _reason(error: Exception) -> str:
    """Why, without the path of this box when the file is simply not there."""
    if isinstance(error, FileNotFoundError):
        return say("{name} is not there", name=Path(str(error.filename)).name)
    return str(error)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else []


def _hashed(folder: Path, advance: Advance) -> tuple[HashedFile, ...] | Missing:
    files = _files(folder)
    if not files:
        return _no_files(folder)
    return tuple(_hash(folder, path, advance) for path in files)


def _no_files(folder: Path) -> Missing:
    name = f"{folder.name}/"
    return Missing(
        say("{name} is empty", name=name) if folder.is_dir() else say("{name} is not there", name=name)
    )


def _hash(folder: Path, path: Path, advance: Advance) -> HashedFile:
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    size = path.stat().st_size
    advance(size)
    return HashedFile(path.relative_to(folder).as_posix(), size, sha256)


def _sums(path: Path) -> dict[str, str]:
    """SHA256SUMS as written by the export."""
    if not path.is_file():
        return {}
    lines = (
        line.split("  ", 1)
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines()
        if "  " in line
    )
    return {name: sha256 for sha256, name in lines}


def _versions() -> list[tuple[str, str]]:
    """Of what is installed where the report is written; a package that is not there is left out."""
    found = [("Python", platform.python_version())]
    for name in PACKAGES:
        try:
            found.append((name, importlib.metadata.version(name)))
        except importlib.metadata.PackageNotFoundError:
            continue
    return [*found, (platform.system(), f"{platform.release()} {platform.machine()}")]
