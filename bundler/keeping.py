"""What of an earlier lock stays, and what is resolved anew: by what was named, and by what the manifest said.

A part stays, to the byte, when the manifest says of it what it said then and nothing in it was named.
"""

import hashlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from appliance.errors import BadInput
from bundler.lock import PARTS, Lock, Part
from bundler.manifest import Manifest, Target
from bundler.sources.conda import LockedRuntime

CONVERTER = "converter"
"""Its name for `--upgrade`."""

NO_LOCK = Lock(
    format="islet-lock-1",
    created="",
    manifest_sha256="",
    product="",
    valid_days=0,
    target=Target(python=""),
    runtime=LockedRuntime((), (), ()),
    wheels=(),
    models=(),
    datasets=(),
    converter=None,
    lacks=PARTS,
)
"""A lock in which nothing is locked yet."""

_Locked = TypeVar("_Locked")


@dataclass(frozen=True)
class Old:
    """What an earlier lock leaves of the choice."""

    lock: Lock = NO_LOCK
    """Kept as far as it goes."""
    upgrade: frozenset[str] = frozenset()
    """What is resolved anew all the same: names of wheels, conda packages, models, data sets, extras,
    `converter`."""

    def kept(self, key: str, name: str, asked: Mapping[str, str], found: _Locked | None) -> _Locked | None:
        """`found` of the old lock, if the manifest says of it what it said then and it was not named.

        key: of `asked`, which is what `words` gives for the manifest.
        """
        same = self.lock.asked.get(key) == asked[key]
        return found if same and name not in self.upgrade else None

    def has(self, part: Part, asked: Mapping[str, str]) -> bool:
        """Whether the old lock has all of `part` as the manifest asks for it now."""
        return part not in self.lock.lacks and _of(part, asked) == _of(part, self.lock.asked)

    def check_names(self, manifest: Manifest) -> None:
        """Pass if everything that shall be resolved anew is there. Raises: BadInput."""
        known = set(_names(manifest, self.lock))
        for name in sorted(self.upgrade):
            if name not in known and canonicalize_name(name) not in known:
                raise BadInput(
                    f"There is no {name} to resolve anew.",
                    why="neither the lock nor the manifest names it",
                    next_step="Name a wheel, a conda package, a model, a data set, an extra, or 'converter'.",
                )


def words(manifest: Manifest, target: Target) -> dict[str, str]:
    """What `manifest` asks for, thing by thing: `PART` or `PART/NAME` to a SHA-256 of its words.

    target: with `local` resolved.
    """
    asked: dict[str, Any] = {f"datasets/{each.path}": each for each in manifest.datasets}
    asked |= {f"extras/{each.name}": each for each in manifest.extras}
    asked |= {f"models/{each.hub}": each for each in manifest.models}
    asked["runtime"] = (manifest.runtime, target)
    if manifest.tools.converter:
        asked[CONVERTER] = True
    if manifest.wheels.requirements:
        asked["wheels"] = (manifest.wheels, target)
    return {key: hashlib.sha256(msgspec.json.encode(each)).hexdigest() for key, each in asked.items()}


def asks_for(part: Part, asked: Mapping[str, str]) -> bool:
    """Whether the manifest whose words are `asked` wants anything of `part`."""
    return bool(_of(part, asked))


def without(lock: Lock, parts: Collection[Part]) -> Lock:
    """`lock`, lacking `parts`: they are resolved anew, and the others stay."""
    emptied = {part: getattr(NO_LOCK, part) for part in parts}
    return msgspec.structs.replace(
        lock,
        **emptied,
        lacks=tuple(part for part in PARTS if part in lock.lacks or part in parts),
        provided={} if "runtime" in parts else lock.provided,
        asked={key: each for key, each in lock.asked.items() if key.split("/")[0] not in parts},
    )


def _of(part: Part, asked: Mapping[str, str]) -> dict[str, str]:
    return {key: each for key, each in asked.items() if key.split("/")[0] == part}


def _names(manifest: Manifest, lock: Lock) -> Iterator[str]:
    """What may be named."""
    yield CONVERTER
    yield from (model.hub for model in manifest.models)
    yield from (dataset.path for dataset in manifest.datasets)
    yield from (extra.name for extra in manifest.extras)
    yield from (canonicalize_name(Requirement(text).name) for text in manifest.wheels.requirements)
    yield from (canonicalize_name(wheel.name) for wheel in lock.wheels)
    yield from (package.name for package in lock.runtime.packages)
