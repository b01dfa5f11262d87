"""The lock: exactly which bytes a manifest's words meant on the day it was locked.

`build` takes only what the lock names and refuses any byte that differs. The document is canonical
JSON: the same lock is the same bytes. It holds no credentials and no path of this machine; addresses
in it are hints, hashes decide. No hash gets in that was not computed from bytes here or taken from the
source's own listing.
"""

import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import msgspec

from appliance.errors import BadInput
from appliance.progress import Progress
from bundler.converter import ConverterLock, lock_converter
from bundler.manifest import LOCAL, Dataset, Manifest, Target
from bundler.sources import file_sha256
from bundler.sources.conda import LockedRuntime, lock_runtime
from bundler.sources.hub import LockedModel, lock_model
from bundler.sources.wheels import LockedWheel, lock_wheels


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

    @property
    def created_s(self) -> int:
        """`created` in seconds since 1970."""
        return int(_parse_time(self.created).timestamp())


def lock(
    manifest: Manifest, source: Path, *, hub_endpoint: str | None, cache: Path, progress: Progress
) -> Lock:
    """Resolve every word of `manifest`, which was read from the file `source`.

    hub_endpoint: where models come from; None: what `HF_ENDPOINT` says, else the public hub.

    Raises: BadInput, when something named does not exist, does not fit the target or breaks the content
    policy; DamagedBundle, when a source serves bytes that differ from its own listing; StepFailed, when
    a source cannot be reached.
    """
    target = resolved(manifest.target)
    folder = source.parent
    # Quick ones first: a wrong name is told within a second, not after the wheels.
    datasets = tuple(_lock_dataset(folder, dataset) for dataset in manifest.datasets)
    models = tuple(
        lock_model(model, endpoint=hub_endpoint, cache=cache, progress=progress) for model in manifest.models
    )
    runtime = lock_runtime(manifest.runtime, target, base=folder, cache=cache, progress=progress)
    converter = lock_converter(cache, progress) if manifest.tools.converter else None
    wheels = lock_wheels(manifest.wheels, target, cache=cache, progress=progress)
    return Lock(
        format="islet-lock-1",
        created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        manifest_sha256=file_sha256(source),
        product=manifest.bundle.product,
        sender=manifest.bundle.sender,
        valid_days=manifest.bundle.valid_days,
        target=target,
        runtime=runtime,
        wheels=wheels,
        models=models,
        datasets=datasets,
        converter=converter,
    )


def resolved(target: Target) -> Target:
    """`target` with `local` replaced by this interpreter's version."""
    if target.python != LOCAL:
        return target
    return msgspec.structs.replace(target, python=f"{sys.version_info.major}.{sys.version_info.minor}")


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
    for sha256 in _hashes(lock):
        if re.fullmatch(r"[0-9a-f]{64}", sha256) is None:
            raise BadInput(
                f"The lock {path.name} is not valid.",
                why=f"{sha256!r} is not a SHA-256",
                next_step="Run `islet-bundle lock` again.",
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
    """Bytes to carry."""


def table(lock: Lock) -> list[Row]:
    """What will be carried, one row a component."""
    rows = [Row("model", m.hub, m.commit[:12], m.licence, sum(f.size for f in m.files)) for m in lock.models]
    rows += [Row("dataset", d.path, d.sha256[:12], d.licence, d.size) for d in lock.datasets]
    rows += [Row("conda", p.name, p.version, p.licence, p.size) for p in lock.runtime.packages]
    rows += [Row("wheel", w.name, w.version, w.licence, w.size) for w in lock.wheels]
    return rows


def _parse_time(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)


def _hashes(lock: Lock) -> Iterator[str]:
    yield lock.manifest_sha256
    yield from (package.sha256 for package in lock.runtime.packages)
    yield from (wheel.sha256 for wheel in lock.wheels)
    yield from (file.sha256 for model in lock.models for file in model.files)
    yield from (dataset.sha256 for dataset in lock.datasets)


def _lock_dataset(folder: Path, dataset: Dataset) -> LockedDataset:
    file = folder / dataset.path
    if not file.is_file():
        raise BadInput(
            f"The data set {dataset.path} is not there.",
            why=f"there is no file {file}",
            next_step="Correct datasets.path in the manifest; it is relative to the manifest.",
        )
    return LockedDataset(dataset.path, file_sha256(file), file.stat().st_size, dataset.licence)
