"""The lock: exactly which bytes a manifest's words meant on the day it was locked.

`build` takes only what the lock names and refuses any byte that differs. The document is canonical
JSON: the same lock is the same bytes. It holds no credentials and no path of this machine; addresses
in it are hints, hashes decide. No hash gets in that was not computed from bytes here or taken from the
source's own listing.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import msgspec

from appliance.errors import BadInput
from bundler.advisories import NOT_GIVEN, Advisories
from bundler.converter import ConverterLock
from bundler.manifest import MOST_DAYS, Target
from bundler.rules import Accept
from bundler.sources import file_sha256
from bundler.sources.conda import LockedRuntime
from bundler.sources.extras import LockedExtra
from bundler.sources.hub import LockedModel
from bundler.sources.wheels import LockedWheel

Part = Literal["datasets", "extras", "models", "runtime", "converter", "wheels"]
PARTS: tuple[Part, ...] = ("datasets", "extras", "models", "runtime", "converter", "wheels")
"""What is locked, in this order: a wrong name is told within a second, not after the wheels."""


class LockedDataset(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file of rows."""

    path: str
    """Relative to the manifest."""
    sha256: str
    size: int
    """Bytes."""
    licence: str


class Lock(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything of one bundle, pinned."""

    format: Literal["islet-lock-1"]
    created: str
    """When it was locked: `2026-11-21T08:00:00Z`. Every time inside the bundle comes from here."""
    manifest_sha256: str
    """Over the manifest's bytes: a lock belongs to one manifest."""
    product: str
    sender: str = ""
    """Who says to have made it."""
    valid_days: int
    target: Target
    """With `local` resolved."""
    runtime: LockedRuntime
    wheels: tuple[LockedWheel, ...]
    models: tuple[LockedModel, ...]
    datasets: tuple[LockedDataset, ...]
    converter: ConverterLock | None
    extras: tuple[LockedExtra, ...] = ()
    """Sorted by name."""
    accept: tuple[Accept, ...] = ()
    """Exceptions from the content policy, as the manifest makes them."""
    advisories: Advisories = Advisories(not_checked=NOT_GIVEN)
    """Known vulnerabilities of the Python packages, as far as they were looked for."""
    lacks: tuple[Part, ...] = ()
    """What is not locked yet: nothing is built from a lock that lacks something."""
    provided: dict[str, str] = {}
    """Python packages that the conda environment brings: canonical name to version."""
    asked: dict[str, str] = {}
    """What the manifest said of each part, as a SHA-256: a lock that is kept shows by it what has changed."""

    @property
    def created_s(self) -> int:
        """`created` in seconds since 1970."""
        return int(_parse_time(self.created).timestamp())


def check_complete(lock: Lock) -> None:
    """Pass if a bundle can be built from `lock`. Raises: BadInput, naming what it lacks."""
    if lock.lacks:
        raise BadInput(
            "The lock is not complete.",
            why=f"it lacks: {', '.join(lock.lacks)}",
            next_step="Complete it: `islet-bundle lock --keep MANIFEST`.",
        )


def read_lock(path: Path, manifest: Path | None = None) -> Lock:
    """The lock in the file at `path`; made from the file `manifest`, when that is given.

    Raises: BadInput, when it cannot be read, is no valid lock or belongs to another manifest.
    """
    try:
        lock = msgspec.json.decode(path.read_bytes(), type=Lock)
        _parse_time(lock.created)
    except OSError as error:
        raise BadInput(
            f"The lock {path} cannot be read.", why=str(error), next_step="Run `islet-bundle lock` first."
        ) from error
    except (msgspec.DecodeError, ValueError) as error:
        raise BadInput(
            f"The lock {path.name} is not valid.", why=str(error), next_step="Run `islet-bundle lock` again."
        ) from error
    for problem in _problems(lock):
        raise BadInput(
            f"The lock {path.name} is not valid.", why=problem, next_step="Run `islet-bundle lock` again."
        )
    if manifest is not None and file_sha256(manifest) != lock.manifest_sha256:
        raise BadInput(
            f"The lock {path.name} is not of the manifest {manifest.name}.",
            why="the manifest was changed after it was locked",
            next_step="Run `islet-bundle lock` again and read what it prints.",
        )
    return lock


def write_lock(lock: Lock, path: Path) -> None:
    """Write `lock` to `path`, whole or not at all; `read_lock` gives an equal value back."""
    body = msgspec.json.format(msgspec.json.encode(lock, order="deterministic"), indent=1) + b"\n"
    aside = path.with_name(path.name + ".new")
    aside.write_bytes(body)
    aside.replace(path)


class Row(msgspec.Struct, frozen=True):
    """One line of the table that a person reads before building."""

    component: str
    name: str
    version: str
    licence: str
    size: int
    """Bytes to fetch; a tool is a part of its source."""


def table(lock: Lock) -> list[Row]:
    """What will be carried, one row a component."""
    rows = [Row("model", m.hub, m.commit[:12], m.licence, sum(f.size for f in m.files)) for m in lock.models]
    rows += [Row("dataset", d.path, d.sha256[:12], d.licence, d.size) for d in lock.datasets]
    rows += [Row("extra", f"{e.name}/{e.file}", e.sha256[:12], e.licence, e.size) for e in lock.extras]
    rows += [Row("conda", p.name, p.version, p.licence, p.size) for p in lock.runtime.packages]
    rows += [Row("wheel", w.name, w.version, w.licence, w.size) for w in lock.wheels]
    if lock.converter is not None:
        tool = lock.converter
        rows.append(Row("tool source", "llama.cpp converter", tool.version, "MIT", tool.size))
    return rows


def _parse_time(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)


def _problems(lock: Lock) -> Iterator[str]:
    """What types cannot say. Names and hashes become names of files in the cache: none leads out of it."""
    yield from (f"{each!r} is not a SHA-256" for each in _hashes(lock) if not _is_hex(each, 64))
    files = [file for model in lock.models for file in model.files]
    yield from (
        f"{f.path}: {f.blob!r} is not a git blob" for f in files if not f.lfs and not _is_hex(f.blob, 40)
    )
    named = [extra.file for extra in lock.extras]
    named += [] if lock.converter is None else [lock.converter.sdist_name]
    for name in named:
        if re.search(r"[/\0]", name) or name in ("", ".", ".."):
            yield f"{name!r} is not a plain file name"
    if not 1 <= lock.valid_days <= MOST_DAYS:
        yield f"valid_days: {lock.valid_days} is not within 1 to {MOST_DAYS}"
    if any(row.size < 0 for row in table(lock)) or any(file.size < 0 for file in files):
        yield "a size is below 0"


def _is_hex(text: str, digits: int) -> bool:
    return re.fullmatch(rf"[0-9a-f]{{{digits}}}", text) is not None


def _hashes(lock: Lock) -> Iterator[str]:
    yield lock.manifest_sha256
    if lock.converter is not None:
        yield lock.converter.sha256
    yield from (package.sha256 for package in lock.runtime.packages)
    yield from (wheel.sha256 for wheel in lock.wheels)
    yield from (file.sha256 for model in lock.models for file in model.files)
    yield from (dataset.sha256 for dataset in lock.datasets)
    yield from (extra.sha256 for extra in lock.extras)
