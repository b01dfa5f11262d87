"""What a bundle, a lock or a site holds, file by file, read from whichever of them one has.

Nothing here is trusted: what a base says too much, the site finds missing and refuses.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from appliance.bundle import names
from appliance.bundle.contents import FORMAT as CONTENTS_FORMAT
from appliance.bundle.contents import parse_contents
from appliance.bundle.medium import Medium
from appliance.bundle.release import parse_release
from appliance.bundle.sums import parse_sums, wheel_name
from appliance.errors import BadInput
from bundler.lock import Lock, read_lock

INVENTORY_FORMAT = "islet-inventory-1"
PAYLOAD_KINDS = frozenset({"dataset", "extra", "model", "tool", "wheel"})
_LOCKED_KINDS = {
    "datasets": "dataset",
    "extras": "extra",
    "models": "model",
    "wheels": "wheel",
    "runtime": "conda",
    "converter": "tool source",
}
"""What the parts of a lock list."""

_NEXT = "Give a bundle's folder, its contents.json, a lock, or what `islet inventory --json` printed."


@dataclass(frozen=True)
class Listed:
    """One file, or one package."""

    kind: str
    """One of the payload's kinds; a folder also has `runtime`, `appliance`; a lock `conda`, `tool source`."""
    name: str
    version: str
    """Empty where the source says none."""
    licence: str
    path: str
    sha256: str
    size: int
    """Bytes; 0 of a runtime.tar.gz that a delta leaves to the site."""


@dataclass(frozen=True)
class Listing:
    """What one source lists."""

    title: str
    """The release in words: `islet-demo release 2`."""
    kinds: frozenset[str]
    """The kinds that this source can tell."""
    files: tuple[Listed, ...]
    held: dict[str, int]
    """SHA-256 to size of all payload files and of runtime.tar.gz, a site's other releases included."""


Sha256 = Annotated[str, msgspec.Meta(pattern=f"^{names.SHA256.pattern}$")]
Count = Annotated[int, msgspec.Meta(ge=0)]


class _InventoryFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    path: str
    kind: Literal["dataset", "extra", "model", "runtime", "tool", "wheel"]
    component: str
    licence: str
    size: Count
    sha256: Sha256


class _InventoryRelease(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    number: Count
    created: str
    sums_sha256: Sha256
    files: tuple[_InventoryFile, ...]


class _Inventory(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: Literal["islet-inventory-1"]
    product: str
    current: Count
    releases: tuple[_InventoryRelease, ...]


def read_held(bases: Sequence[Path]) -> dict[str, int]:
    """SHA-256 to size of every payload file, and of every runtime.tar.gz, that any of `bases` has.

    Raises: BadInput, when one is neither a bundle, nor its contents.json, nor an inventory.
    """
    held: dict[str, int] = {}
    for base in bases:
        listing = read_listing(base)
        if not listing.kinds >= PAYLOAD_KINDS:
            raise BadInput(
                f"{base} cannot be a base.",
                why="it is a lock, which says what shall be packed, not what a site has",
                next_step="Give a bundle's folder, its contents.json, or what the site exported.",
            )
        held |= listing.held
    return held


def read_listing(path: Path) -> Listing:
    """What the bundle folder, contents.json, lock or inventory at `path` lists.

    Raises: BadInput, when it is none of these; UntrustedBundle, DamagedBundle, when a bundle's list
    breaks its format or is not the listed one.
    """
    if path.is_dir():
        return _of_folder(path)
    try:
        data = path.read_bytes()
        document = json.loads(data)
        found = document.get("format") if isinstance(document, dict) else None
    except OSError as error:
        raise BadInput(
            f"{path} cannot be read.", why=error.strerror or str(error), next_step=_NEXT
        ) from error
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{path} lists no files.", why=f"it is not JSON: {error}", next_step=_NEXT) from error
    if found == CONTENTS_FORMAT:
        files = tuple(_payload(parse_contents(data).entries))
        return Listing(path.name, PAYLOAD_KINDS, files, _hashes(files))
    if found == "islet-lock-1":
        return _of_lock(read_lock(path))
    if found == INVENTORY_FORMAT:
        return _of_inventory(path, data)
    raise BadInput(f"{path} lists no files.", why=f"its format is {found!r}", next_step=_NEXT)


def _of_folder(folder: Path) -> Listing:
    medium = Medium(folder)
    hashes = parse_sums(medium.read_small(names.SUMS, names.SMALL_BYTES))
    contents = parse_contents(
        medium.read_checked(names.CONTENTS, hashes[names.CONTENTS], names.CONTENTS_BYTES)
    )
    release = parse_release(medium.read_checked(names.RELEASE, hashes[names.RELEASE], names.SMALL_BYTES))
    payload = tuple(_payload(contents.entries))
    own, there = wheel_name(hashes), medium.names()
    parts = (("runtime", names.RUNTIME, ""), ("appliance", own, own.split("-")[1]))
    rest = tuple(
        Listed(kind, kind, version, "", name, hashes[name], medium.size(name) if name in there else 0)
        for kind, name, version in parts
    )
    title = f"{release.product} release {release.number}"
    held = _hashes((*payload, rest[0]))
    return Listing(title, PAYLOAD_KINDS | {"runtime", "appliance"}, payload + rest, held)


def _of_lock(lock: Lock) -> Listing:
    files = [
        Listed(
            "model",
            model.hub,
            model.commit[:12],
            model.licence,
            f"models/{model.hub}/{f.path}",
            f.sha256,
            f.size,
        )
        for model in lock.models
        for f in model.files
    ]
    files += [
        Listed("wheel", w.name, w.version, w.licence, f"wheels/{w.filename}", w.sha256, w.size)
        for w in lock.wheels
    ]
    files += [
        Listed("dataset", Path(d.path).name, "", d.licence, f"datasets/{Path(d.path).name}", d.sha256, d.size)
        for d in lock.datasets
    ]
    files += [
        Listed("extra", e.name, "", e.licence, f"extras/{e.name}/{e.file}", e.sha256, e.size)
        for e in lock.extras
    ]
    files += [
        Listed("conda", p.name, f"{p.version} {p.build}", p.licence, p.file_name, p.sha256, p.size)
        for p in lock.runtime.packages
    ]
    if (tool := lock.converter) is not None:
        name = "llama.cpp converter"
        files.append(
            Listed("tool source", name, tool.version, "MIT", tool.sdist_name, tool.sha256, tool.size)
        )
    kinds = frozenset(kind for part, kind in _LOCKED_KINDS.items() if part not in lock.lacks)
    return Listing(f"{lock.product} locked {lock.created}", kinds, tuple(files), _hashes(files))


def _of_inventory(path: Path, data: bytes) -> Listing:
    try:
        inventory = msgspec.json.decode(data, type=_Inventory)
    except msgspec.DecodeError as error:
        raise BadInput(f"The inventory {path.name} is not valid.", why=str(error), next_step=_NEXT) from error
    by_number = {release.number: tuple(_payload(release.files)) for release in inventory.releases}
    title = f"{inventory.product} release {inventory.current}, at the site"
    held = _hashes(file for files in by_number.values() for file in files)
    files = by_number.get(inventory.current, ())
    return Listing(title, PAYLOAD_KINDS | {file.kind for file in files}, files, held)


def _payload(files: Iterable[Any]) -> Iterator[Listed]:
    """Files as contents.json and the inventory list them."""
    for file in files:
        name, version = file.component, ""
        if file.kind == "wheel":
            name, _, version = file.component.partition(" ")
        yield Listed(file.kind, name, version, file.licence, file.path, file.sha256, file.size)


def _hashes(files: Iterable[Listed]) -> dict[str, int]:
    return {file.sha256: file.size for file in files}
