"""Python wheels: chosen for the target by uv, locked by file name and SHA-256, fetched by us.

At lock only metadata move. Hashes are those that the index lists, or computed from the bytes of a folder.
At build the locked file is fetched by its hint or by its name in the index that the package is bound to, and
the content policy is applied to its bytes.
"""

import urllib.parse
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from appliance.errors import BadInput, DamagedBundle, StepFailed
from appliance.progress import Progress
from bundler.manifest import Target, Wheels
from bundler.rules import Exceptions
from bundler.sources import place
from bundler.sources.cuda import check_cuda
from bundler.sources.download import Job, Source, Wanted, fetch_all
from bundler.sources.indexes import DEFAULT, Indexes, ListedFile
from bundler.sources.resolve import Pin, resolve
from bundler.sources.tags import best_wheel
from bundler.sources.web import shown
from bundler.sources.wheel_metadata import Metadata, parse_metadata, read_facts, wheel_size
from bundler.wheel_policy import check_wheel

AT_ONCE = 8
"""Small requests side by side."""

_Given = TypeVar("_Given")
_Made = TypeVar("_Made")


class LockedWheel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One wheel."""

    name: str
    version: str
    filename: str
    sha256: str
    size: int
    """Bytes."""
    licence: str
    url: str
    """Where it was found, without credentials. Empty for a folder, and for the default index, where it is
    looked up. A hint: the hash decides."""
    index: str = DEFAULT
    """The index that the package is bound to; empty for the default one."""


@dataclass(frozen=True)
class Known:
    """What is settled before the wheels are chosen."""

    python: str = ""
    """The Python of the conda environment, `3.12.11`; empty: only what the target says."""
    provided: Mapping[str, str] | None = None
    """Packages that the conda environment brings: canonical name to version."""
    kept: tuple[LockedWheel, ...] = ()
    """Wheels that stay as they are, if they are needed."""


def lock_wheels(
    wheels: Wheels,
    target: Target,
    indexes: Indexes,
    *,
    cache: Path,
    progress: Progress,
    known: Known | None = None,
) -> tuple[LockedWheel, ...]:
    """Choose the wheels that `wheels` comes to on the target, and lock them.

    Raises: BadInput, when a requirement cannot be met, does not fit the target or is in the conda
    environment already; DamagedBundle, when an index serves nonsense; StepFailed, when one cannot be read.
    """
    if not wheels.requirements:
        return ()
    known = known or Known()
    provided = dict(known.provided or {})
    check_not_twice(wheels.requirements, provided)
    with progress.stage("Choose wheels", total=None, unit="packages") as advance:
        pins = resolve(
            wheels.requirements,
            target,
            indexes,
            cache=cache,
            python=known.python or target.python,
            provided=provided,
            constraints=[f"{wheel.name}=={wheel.version}" for wheel in known.kept],
        )
        advance(len(pins))
    kept = {
        (str(canonicalize_name(wheel.name)), wheel.version): wheel
        for wheel in known.kept
        if _still_fits(wheel, target, indexes)
    }
    with progress.stage("Lock wheels", total=len(pins), unit="wheels") as advance:

        def lock_one(pin: Pin) -> tuple[LockedWheel, Metadata]:
            found = _lock_one(pin, kept.get((pin.name, pin.version)), target, indexes, cache)
            advance(1)
            return found

        locked = _side_by_side(lock_one, pins)
    check_cuda([(wheel.name, wheel.version, metadata.requires) for wheel, metadata in locked], target)
    return tuple(sorted((wheel for wheel, _ in locked), key=lambda wheel: wheel.filename))


def fetch_wheels(
    wheels: tuple[LockedWheel, ...],
    indexes: Indexes,
    *,
    cache: Path,
    into: Path,
    progress: Progress,
    exceptions: Exceptions | None = None,
) -> list[Path]:
    """Put exactly the locked wheels into the folder `into`; checked, also when already in the cache.

    Raises: BadInput, when a wheel breaks the content policy or its index does not have it; DamagedBundle,
    when one is not the locked one; StepFailed, when one cannot be had.
    """
    jobs = [Job(_wanted(wheel, indexes), cached_wheel(cache, wheel)) for wheel in wheels]
    fetch_all(jobs, what="Fetch wheels", progress=progress)
    with progress.stage("Check wheels", total=sum(wheel.size for wheel in wheels)) as advance:

        def check(wheel: LockedWheel) -> None:
            mark = cache / "judged" / f"wheel-{wheel.sha256}"
            check_wheel(cached_wheel(cache, wheel), exceptions, mark=mark)
            advance(wheel.size)

        _side_by_side(check, wheels)
    for wheel in wheels:
        place(cached_wheel(cache, wheel), into / wheel.filename)
    return [into / wheel.filename for wheel in wheels]


def check_not_twice(requirements: Iterable[str], provided: Mapping[str, str]) -> None:
    """Pass if nothing that is required as a wheel is in the conda environment too. Raises: BadInput."""
    for text in requirements:
        name = canonicalize_name(Requirement(text).name)
        if name in provided:
            raise BadInput(
                f"{name} would be in the runtime twice.",
                why=f"the conda environment brings {name} {provided[name]}, and wheels.requirements asks for "
                f"{text!r}; one would overwrite files of the other",
                next_step="Leave it out of wheels.requirements or of runtime.packages in the manifest.",
            )


def _still_fits(wheel: LockedWheel, target: Target, indexes: Indexes) -> bool:
    """Whether a locked wheel is for the target, and from the index that its package is bound to now."""
    fits = best_wheel([wheel.filename], wheel.version, target) is not None
    return fits and wheel.index == indexes.name_for(wheel.name)


def _lock_one(
    pin: Pin, kept: LockedWheel | None, target: Target, indexes: Indexes, cache: Path
) -> tuple[LockedWheel, Metadata]:
    """The lock's entry of a chosen version, and what the wheel says of itself."""
    file = _best_file(pin, kept, target, indexes)
    facts = read_facts(file, cache)
    metadata = parse_metadata(facts.metadata)
    if kept is not None:
        return kept, metadata
    if not file.sha256:
        raise BadInput(
            f"The wheel {file.name} cannot be locked.",
            why=f"{indexes.place(indexes.name_for(pin.name)).title} lists no SHA-256 for it",
            next_step="Use an index that lists SHA-256 hashes, or bind the package to a folder of wheels.",
        )
    name = indexes.name_for(pin.name)
    hint = shown(file.url) if name != DEFAULT and indexes.place(name).folder is None else ""
    size = wheel_size(file, facts)
    return LockedWheel(
        pin.name, pin.version, file.name, file.sha256, size, metadata.licence, hint, name
    ), metadata


def _best_file(pin: Pin, kept: LockedWheel | None, target: Target, indexes: Indexes) -> ListedFile:
    """The one file to take of a chosen version. Raises: BadInput."""
    files = {file.name: file for file in indexes.page(pin.name)}
    best = best_wheel(files, pin.version, target) if kept is None else kept.filename
    if best is None or best not in files:
        where = indexes.place(indexes.name_for(pin.name)).title
        raise BadInput(
            "The wheels do not fit the target.",
            why=f"{where} has no wheel of {pin.name} {pin.version} for Python {target.python} and glibc "
            f"{target.glibc}"
            if kept is None
            else f"{where} does not have {kept.filename} any more",
            next_step="Require another version of it, or correct target in the manifest.",
        )
    file = files[best]
    if file.yanked is not None and kept is None:
        raise BadInput(
            f"The wheel {file.name} is refused.",
            why=f"its maker has taken it back: {file.yanked or 'no reason is given'}",
            next_step="Require another version of it (wheels.requirements in the manifest).",
        )
    return file


def _wanted(wheel: LockedWheel, indexes: Indexes) -> Wanted:
    """The wheel for the downloader, which asks for addresses only if the wheel is not in the cache."""
    return Wanted(wheel.filename, lambda: _sources(wheel, indexes), size=wheel.size, sha256=wheel.sha256)


def _sources(wheel: LockedWheel, indexes: Indexes) -> tuple[Source, ...]:
    """Where the wheel may be had: by its hint, unless a mirror was given, and by its name in its index."""
    hinted = (Source(wheel.url),) if wheel.url and not indexes.place(wheel.index).given else ()
    try:
        return (*hinted, _listed(wheel, indexes))
    except (BadInput, DamagedBundle, StepFailed):
        if not hinted:
            raise
        return hinted


def _listed(wheel: LockedWheel, indexes: Indexes) -> Source:
    where = indexes.place(indexes.name_for(wheel.name))
    file = next((file for file in indexes.page(wheel.name) if file.name == wheel.filename), None)
    if file is None:
        raise BadInput(
            f"The wheel {wheel.filename} is not there.",
            why=f"{where.title} does not list it",
            next_step="Give another index with --index, or lock again.",
        )
    if file.sha256 and file.sha256 != wheel.sha256:
        raise DamagedBundle(
            f"{wheel.filename} is another file now.",
            why=f"the lock has {wheel.sha256}, {where.title} lists {file.sha256}",
            next_step="Ask who runs the index, or lock again.",
        )
    return Source(file.url, may_be_file=where.folder is not None)


def cached_wheel(cache: Path, wheel: LockedWheel) -> Path:
    """Where a wheel is kept: by its hash, because indexes may have different files of one name."""
    name = urllib.parse.quote(wheel.filename, safe="+!")
    return cache / "wheels" / wheel.sha256 / name


def _side_by_side(act: Callable[[_Given], _Made], given: Sequence[_Given]) -> list[_Made]:
    """`act` on each, some at once; in the order given. Raises: what the first that failed raised."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        waiting = [pool.submit(act, one) for one in given]
        try:
            return [one.result() for one in waiting]
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
