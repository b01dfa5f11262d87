"""Making a lock: everything anew, or one thing anew and all else as it was.

What is named, new or changed in the manifest is resolved, with all else held where it was.
"""

import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import msgspec
from packaging.utils import canonicalize_name

from appliance.errors import BadInput
from appliance.progress import Progress
from bundler.advisories import compare
from bundler.converter import ConverterLock, lock_converter
from bundler.environment import python_packages
from bundler.keeping import CONVERTER, NO_LOCK, Old, asks_for, words
from bundler.lock import PARTS, Lock, LockedDataset, Part
from bundler.manifest import LOCAL, Dataset, Manifest, Target
from bundler.rules import Exceptions
from bundler.sources import cuda, file_sha256
from bundler.sources.conda import LockedRuntime, lock_runtime
from bundler.sources.extras import LockedExtra, lock_extras
from bundler.sources.hub import LockedModel, lock_model
from bundler.sources.indexes import Indexes
from bundler.sources.wheels import Known, LockedWheel, check_not_twice, lock_wheels

_Locked = TypeVar("_Locked")


def lock(
    manifest: Manifest,
    source: Path,
    *,
    hub_endpoint: str | None,
    cache: Path,
    progress: Progress,
    index: Sequence[str] = (),
    only: Collection[Part] = PARTS,
    old: Old | None = None,
    advisories: str | None = None,
) -> Lock:
    """Resolve every word of `manifest`, which was read from the file `source`.

    hub_endpoint: where models come from; None: what `HF_ENDPOINT` says, else the public hub.
    index: package indexes that the user gives, `URL` or `NAME=URL`.
    only: the parts to lock; the others are those of the old lock, or lacking.
    advisories: where known vulnerabilities are listed, as `bundler.advisories.compare` takes it.

    Raises: BadInput, when something named does not exist, does not fit the target or breaks the content
    policy; DamagedBundle, when a source serves bytes that differ from its own listing; StepFailed, when
    a source cannot be reached.
    """
    work = _Work(manifest, source, hub_endpoint, cache, progress, tuple(index), frozenset(only), old or Old())
    work.old.check_names(manifest)
    before = work.old.lock
    datasets = work.part("datasets", work.datasets, before.datasets)
    extras = work.part("extras", work.extras, before.extras)
    models = work.part("models", work.models, before.models)
    runtime = work.part("runtime", work.runtime, before.runtime)
    converter = work.part("converter", work.converter, before.converter)
    provided = work.provided(runtime)
    check_not_twice(manifest.wheels.requirements, provided)
    wheels = work.part("wheels", lambda: work.wheels(runtime, provided), before.wheels)
    _check_apart(wheels, provided)
    return Lock(
        format="islet-lock-1",
        created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        manifest_sha256=file_sha256(source),
        product=manifest.bundle.product,
        sender=manifest.bundle.sender,
        valid_days=manifest.bundle.valid_days,
        target=work.target,
        runtime=runtime,
        wheels=wheels,
        models=models,
        datasets=datasets,
        converter=converter,
        extras=extras,
        accept=manifest.accept,
        advisories=compare(
            provided | {wheel.name: wheel.version for wheel in wheels},
            advisories,
            cache=cache,
            progress=progress,
        ),
        lacks=tuple(part for part in PARTS if part in work.lacking),
        provided=provided,
        asked={key: asked for key, asked in work.asked.items() if key.split("/")[0] not in work.lacking},
    )


def resolved(target: Target) -> Target:
    """`target` with `local` replaced by what this interpreter, and its torch, are."""
    if target.python == LOCAL:
        python = f"{sys.version_info.major}.{sys.version_info.minor}"
        target = msgspec.structs.replace(target, python=python)
    if target.cuda == LOCAL:
        target = msgspec.structs.replace(target, cuda=cuda.of_this_python())
    return target


@dataclass
class _Work:
    """One lock in the making."""

    manifest: Manifest
    source: Path
    hub_endpoint: str | None
    cache: Path
    progress: Progress
    index: tuple[str, ...]
    only: frozenset[Part]
    old: Old

    def __post_init__(self) -> None:
        self.folder = self.source.parent
        self.target = resolved(self.manifest.target)
        self.indexes = Indexes(self.manifest.wheels, self.folder, self.index)
        self.lacking: set[Part] = set()
        self.asked = words(self.manifest, self.target)

    def part(self, part: Part, make: Callable[[], _Locked], before: _Locked) -> _Locked:
        """What the new lock has of `part`: made now, taken from the old one, or lacking and empty."""
        if part in self.only or not asks_for(part, self.asked):
            return make()
        if self.old.has(part, self.asked):
            return before
        self.lacking.add(part)
        empty: _Locked = getattr(NO_LOCK, part)
        return empty

    def kept(self, key: str, name: str, found: _Locked | None) -> _Locked | None:
        """`found` of the old lock, if it may stay."""
        return self.old.kept(key, name, self.asked, found)

    def datasets(self) -> tuple[LockedDataset, ...]:
        """Every data set."""
        before = {dataset.path: dataset for dataset in self.old.lock.datasets}
        return tuple(
            self.kept(f"datasets/{dataset.path}", dataset.path, before.get(dataset.path))
            or _lock_dataset(self.folder, dataset)
            for dataset in self.manifest.datasets
        )

    def extras(self) -> tuple[LockedExtra, ...]:
        """Every extra."""
        before = {extra.name: extra for extra in self.old.lock.extras}
        kept = {
            extra.name: self.kept(f"extras/{extra.name}", extra.name, before.get(extra.name))
            for extra in self.manifest.extras
        }
        new = [extra for extra in self.manifest.extras if kept[extra.name] is None]
        made = lock_extras(new, base=self.folder, cache=self.cache, progress=self.progress)
        held = [extra for extra in kept.values() if extra is not None]
        return tuple(sorted([*held, *made], key=lambda extra: extra.name))

    def models(self) -> tuple[LockedModel, ...]:
        """Every model."""
        before = {model.hub: model for model in self.old.lock.models}
        return tuple(
            self.kept(f"models/{model.hub}", model.hub, before.get(model.hub))
            or lock_model(
                model,
                endpoint=self.hub_endpoint,
                cache=self.cache,
                progress=self.progress,
                exceptions=Exceptions(self.manifest.accept),
            )
            for model in self.manifest.models
        )

    def runtime(self) -> LockedRuntime:
        """The conda environment."""
        before = self.old.lock.runtime
        held = [package for package in before.packages if package.name not in self.old.upgrade]
        whole = bool(held) and len(held) == len(before.packages)
        kept = self.kept("runtime", "runtime", before if whole else None)
        return kept or lock_runtime(
            self.manifest.runtime,
            self.target,
            base=self.folder,
            cache=self.cache,
            progress=self.progress,
            held=[f"{package.name} =={package.version} {package.build}" for package in held],
        )

    def converter(self) -> ConverterLock | None:
        """The converter to GGUF, if the manifest wants one."""
        if not self.manifest.tools.converter:
            return None
        kept = self.kept(CONVERTER, CONVERTER, self.old.lock.converter)
        return kept or lock_converter(self.cache, self.indexes, self.progress)

    def provided(self, runtime: LockedRuntime) -> dict[str, str]:
        """The Python packages of the conda environment."""
        if self.old.lock.runtime == runtime:
            return self.old.lock.provided
        return python_packages(runtime, base=self.folder, cache=self.cache)

    def wheels(self, runtime: LockedRuntime, provided: dict[str, str]) -> tuple[LockedWheel, ...]:
        """Every wheel: as it was, if nothing about it was named or changed."""
        if not self.manifest.wheels.requirements:
            return ()
        before = self.old.lock.wheels
        named = {canonicalize_name(name) for name in self.old.upgrade}
        held = tuple(wheel for wheel in before if canonicalize_name(wheel.name) not in named | set(provided))
        if kept := self.kept("wheels", "wheels", before if held == before else None):
            return kept
        python = next((package.version for package in runtime.packages if package.name == "python"), "")
        return lock_wheels(
            self.manifest.wheels,
            self.target,
            self.indexes,
            cache=self.cache,
            progress=self.progress,
            known=Known(python, provided, held),
        )


def _check_apart(wheels: Iterable[LockedWheel], provided: Mapping[str, str]) -> None:
    """Pass if no wheel of an old lock is in the conda environment by now. Raises: BadInput."""
    for wheel in wheels:
        if canonicalize_name(wheel.name) in provided:
            raise BadInput(
                f"{wheel.name} would be in the runtime twice.",
                why=f"the conda environment brings {provided[canonicalize_name(wheel.name)]}, and "
                f"{wheel.filename} is locked; one would overwrite files of the other",
                next_step="Lock the wheels too: `islet-bundle lock --keep MANIFEST`.",
            )


def _lock_dataset(folder: Path, dataset: Dataset) -> LockedDataset:
    file = folder / dataset.path
    if not file.is_file():
        raise BadInput(
            f"The data set {dataset.path} is not there.",
            why=f"there is no file {file}",
            next_step="Correct datasets.path in the manifest; it is relative to the manifest.",
        )
    return LockedDataset(dataset.path, file_sha256(file), file.stat().st_size, dataset.licence)
