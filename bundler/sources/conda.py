"""The conda environment: solved once, for the target and not for this machine; installed from the lock.

py-rattler solves and installs, conda-pack makes the tree relocatable, and what travels is a gzip tar that is
the same bytes wherever and whenever it was built with one zlib (`bundler.sources.runtime_archive`). Every
package is checked against the lock's SHA-256 by us, because py-rattler does not check file://.
"""

import asyncio
import json
import re
import urllib.parse
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from appliance.errors import BadInput, StepFailed
from appliance.progress import Progress
from bundler.manifest import Runtime, Target
from bundler.rules import Exceptions
from bundler.sources import file_sha256
from bundler.sources.download import Got, Job, Source, Wanted, fetch, fetch_all
from bundler.sources.runtime_archive import write_canonical
from bundler.sources.web import shown, without_secrets

KERNEL = "4.18"
"""Linux version assumed of every target: that of RHEL 8."""


class LockedPackage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One conda package."""

    name: str
    version: str
    build: str
    subdir: str
    """`linux-64` or `noarch`."""
    file_name: str
    sha256: str
    size: int
    """Bytes."""
    licence: str
    url: str
    """Where it was found, without credentials; relative to the manifest for a folder there. A hint."""


class LockedRuntime(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The conda environment."""

    specs: tuple[str, ...]
    """What was asked for."""
    virtual_packages: tuple[str, ...]
    """What the target was taken to have: `__glibc=2.28=0`."""
    packages: tuple[LockedPackage, ...]
    """Sorted by name."""


def lock_runtime(
    runtime: Runtime,
    target: Target,
    *,
    base: Path,
    cache: Path,
    progress: Progress,
    held: Sequence[str] = (),
) -> LockedRuntime:
    """Solve the environment for `target`, fetch its packages into the cache and lock them.

    base: the manifest's folder, which relative channels are relative to. held: packages that stay as they
    are if they are needed, `python ==3.12.11 0`.

    Raises: BadInput, when a channel is not there or nothing in it meets the manifest; DamagedBundle, when
    a package is not what its channel lists; StepFailed, when a channel cannot be reached.
    """
    specs = (f"python {target.python}.*", "pip", *runtime.packages)
    virtual = virtual_packages(target)
    with progress.stage("Solve the environment", total=None, unit="packages") as advance:
        records = _solve(runtime.channels, specs, virtual, target.platform, base, cache, held)
        advance(len(records))
    local = any(channel.startswith((".", "/", "file:")) for channel in runtime.channels)
    jobs = [_listed_job(record, cache, may_be_file=local) for record in records]
    got = fetch_all(jobs, what="Fetch conda packages", progress=progress)
    packages = [_locked(record, file, base) for record, file in zip(records, got, strict=True)]
    names = tuple(f"{name}={version}={build}" for name, version, build in virtual)
    return LockedRuntime(specs, names, tuple(sorted(packages, key=lambda package: package.name)))


def virtual_packages(target: Target) -> list[tuple[str, str, str]]:
    """What the solver takes the target to have, as (name, version, build); this machine is not looked at."""
    found = [
        ("__unix", "0", "0"),
        ("__linux", KERNEL, "0"),
        ("__glibc", target.glibc, "0"),
        ("__archspec", "1", "x86_64"),
    ]
    return found if target.cuda == "none" else [*found, ("__cuda", target.cuda, "0")]


def build_runtime(
    runtime: LockedRuntime,
    *,
    base: Path,
    cache: Path,
    work: Path,
    out: Path,
    progress: Progress,
    exceptions: Exceptions | None = None,
) -> None:
    """Write the environment of the lock to `out` as a gzip tar; the same packages give the same bytes.

    base: the manifest's folder. work: an empty folder on a disk with room for the unpacked environment.

    Raises: DamagedBundle, when a package is not the locked one; StepFailed, when a step of the build fails.
    """
    jobs = [_job(package, base, cache) for package in runtime.packages]
    fetch_all(jobs, what="Fetch conda packages", progress=progress)
    work = work.resolve()
    prefix, packed = work / "env", work / "env.tar"
    with progress.stage("Install and pack the environment", total=None, unit="packages") as advance:
        _install(runtime, prefix, work / "pkgs", cache)
        _pack(prefix, packed)
        advance(len(runtime.packages))
    with progress.stage("Compress the environment", total=packed.stat().st_size) as advance:
        forbidden = str(work).encode()
        write_canonical(packed, out, forbidden=forbidden, advance=advance, exceptions=exceptions)


def fetch_package(package: LockedPackage, *, base: Path, cache: Path) -> Path:
    """The locked package in the cache, checked.

    Raises: DamagedBundle, when its bytes are not the locked ones; StepFailed, when it cannot be fetched.
    """
    job = _job(package, base, cache)
    fetch(job.wanted, job.target)
    return job.target


def _job(package: LockedPackage, base: Path, cache: Path) -> Job:
    """What brings a locked package into the cache."""

    def sources() -> tuple[Source, ...]:
        if not package.url:
            raise StepFailed(
                f"The conda package {package.file_name} is not in the cache.",
                why="the lock does not say where it can be fetched",
                next_step="Lock again on this machine, or copy the cache of the machine that locked.",
            )
        # Only a channel in a folder beside the manifest is locked without a scheme.
        url = urllib.parse.urljoin(base.resolve().as_uri() + "/", package.url)
        return (Source(url, may_be_file=not urllib.parse.urlsplit(package.url).scheme),)

    wanted = Wanted(package.file_name, sources, size=package.size, sha256=package.sha256)
    return Job(wanted, cached_package(cache, package.subdir, package.file_name))


def _listed_job(record: Any, cache: Path, *, may_be_file: bool) -> Job:
    """What brings a solved package into the cache; with the hash that its channel lists, if it lists one."""
    listed = None if record.sha256 is None else record.sha256.hex()
    sources = (Source(record.url, may_be_file=may_be_file),)
    wanted = Wanted(record.file_name, sources, size=record.size, sha256=listed)
    return Job(wanted, cached_package(cache, record.subdir, record.file_name))


def cached_package(cache: Path, subdir: str, file_name: str) -> Path:
    """Where a package is kept. Raises: BadInput, when its name is not plain."""
    if "/" in file_name or not re.fullmatch(r"[a-z0-9-]+", subdir):
        raise BadInput(
            f"The conda package {subdir}/{file_name} is refused.",
            why="its name is not a plain file name",
            next_step="Lock again, from a channel that you trust.",
        )
    return cache / "conda" / subdir / file_name


def _solve(
    channels: tuple[str, ...],
    specs: tuple[str, ...],
    virtual: list[tuple[str, str, str]],
    platform: str,
    base: Path,
    cache: Path,
    held: Sequence[str],
) -> list[Any]:
    from rattler import BuildString, Channel, Gateway, GenericVirtualPackage, PackageName, Version, solve
    from rattler.exceptions import GatewayError, SolverError

    async def answer() -> list[Any]:
        return list(
            await solve(
                [Channel(_channel_address(channel, base)) for channel in channels],
                list(specs),
                gateway=Gateway(cache_dir=cache / "conda" / "repodata"),
                platforms=[platform, "noarch"],
                constraints=list(held),
                virtual_packages=[
                    GenericVirtualPackage(PackageName(n), Version(v), BuildString(b)) for n, v, b in virtual
                ],
            )
        )

    try:
        return asyncio.run(answer())
    except SolverError as error:
        raise BadInput(
            "The conda environment cannot be solved for the target.",
            why=without_secrets(str(error)),
            next_step="Correct runtime.packages, runtime.channels or [target] in the manifest.",
        ) from error
    except GatewayError as error:
        raise StepFailed(
            "A conda channel could not be read.",
            why=without_secrets(str(error)),
            next_step="Check runtime.channels in the manifest and the network, then run the same command.",
        ) from error


def _channel_address(channel: str, base: Path) -> str:
    """What the solver is given for a channel as the manifest names it."""
    if not channel.startswith((".", "/")):
        return channel
    folder = (base / channel).resolve()
    if not folder.is_dir():
        raise BadInput(
            f"The conda channel {channel} is not there.",
            why=f"there is no folder {folder}",
            next_step="Correct runtime.channels in the manifest; a folder is relative to the manifest.",
        )
    return folder.as_uri()


def _locked(record: Any, file: Got, base: Path) -> LockedPackage:
    """The lock's entry of a solved package that was fetched."""
    return LockedPackage(
        name=record.name.normalized,
        version=str(record.version),
        build=str(record.build),
        subdir=record.subdir,
        file_name=record.file_name,
        sha256=file.sha256,
        size=file.size,
        licence=record.license or "unknown",
        url=_hint(record.url, base),
    )


def _hint(url: str, base: Path) -> str:
    """`url` without credentials; relative to the folder `base` where it lies below it."""
    if urllib.parse.urlsplit(url).scheme == "file":
        home = base.resolve().as_uri() + "/"
        return url.removeprefix(home) if url.startswith(home) else ""
    return shown(url)


def _install(runtime: LockedRuntime, prefix: Path, unpacked: Path, cache: Path) -> None:
    """Install the locked packages from the cache into `prefix`, without solving."""
    from rattler import PackageCache, RepoDataRecord, ValidationMode, install

    async def act() -> None:
        records = []
        for package in runtime.packages:
            path = cached_package(cache, package.subdir, package.file_name)
            records.append(await RepoDataRecord.from_package_archive(path))
        store = PackageCache.new_layered([unpacked], False, ValidationMode.full())
        await install(records, prefix, show_progress=False, package_cache=store, execute_link_scripts=False)

    try:
        asyncio.run(act())
    except Exception as error:  # py-rattler's errors share no base; some are panics of its core
        raise StepFailed(
            "The conda environment could not be installed.",
            why=str(error),
            next_step="Lock again; if it stays so, two packages do not fit together.",
        ) from error


def clobbered(prefix: Path) -> list[str]:
    """Files of conda packages that differ from what was installed: conda-pack would pack the originals."""
    found = []
    for meta in sorted((prefix / "conda-meta").glob("*.json")):
        for entry in json.loads(meta.read_bytes())["paths_data"]["paths"]:
            path, want = prefix / entry["_path"], entry.get("sha256_in_prefix") or entry.get("sha256")
            if not path.exists() or (want and not path.is_symlink() and file_sha256(path) != want):
                found.append(entry["_path"])
    return found


def _pack(prefix: Path, out: Path) -> None:
    """Make the environment relocatable: a tar with conda-unpack in it."""
    import conda_pack

    changed = clobbered(prefix)
    if changed:
        raise StepFailed(
            "The conda environment is not what its packages hold.",
            why=f"two packages bring the same file, or one was changed: {', '.join(changed[:5])}",
            next_step="Leave one of the two packages out of the manifest, then lock again.",
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "error"
            )  # a lost package cache would only be a warning, and leak the prefix
            # CACHEDIR.TAG makes backup programs skip the environment, and gets the prefix into conda-unpack.
            unwanted = [("exclude", "CACHEDIR.TAG"), ("exclude", "*/__pycache__/*")]
            conda_pack.pack(prefix=str(prefix), output=str(out), format="tar", force=True, filters=unwanted)
    except (conda_pack.CondaPackException, UserWarning) as error:
        raise StepFailed(
            "The conda environment could not be packed.",
            why=str(error),
            next_step="Remove the work folder and run the same command.",
        ) from error
