"""From a lock to a finished, unsigned folder.

Everything is fetched into a cache and checked against the lock, written in one pass into a folder
with another name, judged by the appliance's own verifier, and renamed: a folder that has its final
name is whole. Times inside come from the lock, so the same lock gives the same bytes.
"""

import gzip
import hashlib
import shutil
import zipfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from appliance.bundle import names
from appliance.bundle.contents import format_contents
from appliance.bundle.medium import Medium
from appliance.bundle.release import Release, format_release, parse_release
from appliance.bundle.sums import format_sums, parse_sums
from appliance.bundle.verify import check_bytes, check_set
from appliance.progress import Progress
from bundler.build_room import build_room, check_room
from bundler.converter import fetch_converter
from bundler.listing import read_held
from bundler.lock import Lock, check_complete
from bundler.notes import bundle_notes
from bundler.own_wheel import build_own_wheel
from bundler.pack import Item, lay_out, write_volumes
from bundler.policy import check_extra
from bundler.rules import Exceptions
from bundler.sbom import format_sbom
from bundler.sources import file_sha256
from bundler.sources.beside import check_locked
from bundler.sources.conda import build_runtime
from bundler.sources.extras import fetch_extras
from bundler.sources.hub import fetch_model
from bundler.sources.indexes import Indexes
from bundler.sources.wheels import fetch_wheels
from bundler.workplace import SCRATCH, check_free, workplace

SOURCE = Path(__file__).parents[1]
"""The checkout that this bundler runs from: its install.sh and its own wheel go into the bundle."""

COMPILED_SHARE = 0.1
"""Room for compiled modules, as a share of the unpacked wheels; measured on the demo's wheels: 0.05."""


def build(
    lock: Lock,
    *,
    manifest_folder: Path,
    number: int,
    root_version: int,
    out: Path,
    cache: Path,
    volume_bytes: int,
    hub_endpoint: str | None,
    indexes: Indexes,
    progress: Progress,
    bases: Sequence[Path] = (),
) -> Release:
    """Make the bundle folder `out`, unsigned.

    indexes: where wheels are looked up.
    bases: what the site has (a bundle, its contents.json, an inventory); the bundle is a delta then.

    Raises: BadInput, when `out` exists, the lock does not fit or something breaks the content policy;
    DamagedBundle, when a source's bytes are not the locked ones; HostNotReady, when a disk lacks room;
    StepFailed, when a tool fails or another build is at work on `out`.
    """
    check_complete(lock)
    held = read_held(bases)  # before anything is fetched: a wrong name is told within a second
    check_free(out)
    check_room(build_room(lock, held, cache=cache, volume_bytes=volume_bytes), out=out, cache=cache)
    exceptions = Exceptions(lock.accept)
    with workplace(out) as partial:
        work = partial / SCRATCH
        items = list(_items(lock, manifest_folder, cache, work, hub_endpoint, indexes, exceptions, progress))
        # Before the volumes: what it unfolds on the way is gone when they need the room.
        build_runtime(
            lock.runtime,
            base=manifest_folder,
            cache=cache,
            work=work / "runtime",
            out=partial / names.RUNTIME,
            progress=progress,
            exceptions=exceptions,
        )
        shutil.rmtree(work / "runtime")
        exceptions.check_needed()
        runtime = file_sha256(partial / names.RUNTIME)
        contents = lay_out(items, volume_bytes, held, runtime)
        hashes = write_volumes(contents, items, partial, progress)
        (partial / names.CONTENTS).write_bytes(format_contents(contents))
        shutil.copyfile(SOURCE / names.INSTALLER, partial / names.INSTALLER)
        build_own_wheel(SOURCE, partial, work / "own")
        release = Release(
            product=lock.product,
            number=number,
            created=lock.created,
            expires=_expiry(lock),
            root_version=root_version,
            disk_bytes=_disk_bytes(partial / names.RUNTIME, items),
        )
        (partial / names.RELEASE).write_bytes(format_release(release))
        sources = {item.path: item.source for item in items}
        (partial / names.SBOM).write_bytes(format_sbom(lock, release, contents, sources, partial))
        notes = bundle_notes(lock, release, contents, partial)
        (partial / names.NOTES).write_text(notes, encoding="utf-8")
        shutil.rmtree(work)
        if contents.requires_runtime:
            (partial / names.RUNTIME).unlink()
        _list(partial, {**hashes, names.RUNTIME: runtime})
        check_built(partial, progress)
    return release


def check_built(folder: Path, progress: Progress) -> None:
    """What a site checks of a folder, signatures apart. Raises: UntrustedBundle, DamagedBundle."""
    medium = Medium(folder)
    hashes = parse_sums(medium.read_small(names.SUMS, names.SMALL_BYTES))
    parse_release(medium.read_checked(names.RELEASE, hashes[names.RELEASE], names.SMALL_BYTES))
    contents = check_set(medium, hashes)
    check_bytes(medium, hashes, contents, progress)


def _items(
    lock: Lock,
    manifest_folder: Path,
    cache: Path,
    work: Path,
    hub_endpoint: str | None,
    indexes: Indexes,
    exceptions: Exceptions,
    progress: Progress,
) -> Iterator[Item]:
    """Every file of the payload, fetched and checked."""
    for dataset in lock.datasets:  # first: they are there, or nothing need be fetched
        check_locked("The data set", dataset.path, manifest_folder / dataset.path, dataset.sha256)
    for model in lock.models:
        folder = work / "models" / model.hub
        fetch_model(
            model,
            endpoint=hub_endpoint,
            cache=cache,
            into=folder,
            progress=progress,
            exceptions=exceptions,
        )
        for file in model.files:
            path = f"models/{model.hub}/{file.path}"
            yield Item(path, "model", model.hub, model.licence, folder / file.path, file.sha256, file.size)
    fetch_wheels(
        lock.wheels, indexes, cache=cache, into=work / "wheels", progress=progress, exceptions=exceptions
    )
    for wheel in lock.wheels:
        source = work / "wheels" / wheel.filename
        component = f"{wheel.name} {wheel.version}"
        yield Item(
            f"wheels/{wheel.filename}", "wheel", component, wheel.licence, source, wheel.sha256, wheel.size
        )
    if lock.converter is not None:
        folder = work / "tools" / "llama.cpp"
        for name in fetch_converter(lock.converter, cache, folder, indexes, progress):
            path, source = f"tools/llama.cpp/{name.as_posix()}", folder / name
            size = source.stat().st_size
            yield Item(path, "tool", "llama.cpp converter", "MIT", source, file_sha256(source), size)
    sources = fetch_extras(lock.extras, base=manifest_folder, cache=cache, progress=progress)
    for extra, source in zip(lock.extras, sources, strict=True):
        check_extra(extra.name, extra.file, source)
        path = f"extras/{extra.name}/{extra.file}"
        yield Item(path, "extra", extra.name, extra.licence, source, extra.sha256, extra.size)
    for dataset in lock.datasets:
        source = manifest_folder / dataset.path
        yield Item(
            f"datasets/{source.name}",
            "dataset",
            source.name,
            dataset.licence,
            source,
            dataset.sha256,
            dataset.size,
        )


def _expiry(lock: Lock) -> str:
    until = datetime.fromtimestamp(lock.created_s, UTC) + timedelta(days=lock.valid_days)
    return until.strftime("%Y-%m-%dT%H:%M:%SZ")


def _disk_bytes(runtime: Path, items: list[Item]) -> int:
    """Room that an install needs: store, unpacked runtime and wheels, runtime.tar.gz in quarantine too."""
    unpacked = 0
    with gzip.open(runtime, "rb") as file:
        while chunk := file.read(1 << 22):
            unpacked += len(chunk)
    wheels = 0
    for item in items:
        if item.kind == "wheel":
            with zipfile.ZipFile(item.source) as wheel:
                wheels += sum(info.file_size for info in wheel.infolist())
    payload = sum(item.size for item in items)
    return payload + unpacked + int(wheels * (1 + COMPILED_SHARE)) + 2 * runtime.stat().st_size


def _list(folder: Path, known: dict[str, str]) -> None:
    """Write SHA256SUMS over everything in `folder`, and what is `known` already, absent or not."""
    hashes = dict(known)
    for path in folder.iterdir():
        if path.name not in hashes:
            with path.open("rb") as file:
                hashes[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
    (folder / names.SUMS).write_bytes(format_sums(hashes))
