"""Python wheels: resolved and downloaded by pip, locked by file name and SHA-256.

pip is asked as the user runs it, so that the index, find-links and credentials that the user configured
hold. What it answers is judged before gigabytes move: wheels only, nothing for a GPU in a bundle without
one, nothing newer than the target's C library. What it downloads is hashed here.

This thin form resolves for the Python and platform of this machine only; the target must agree.
"""

import json
import os
import re
import shutil
import sys
import sysconfig
import urllib.parse
import zipfile
from collections.abc import Callable
from email.parser import BytesHeaderParser
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from appliance.errors import BadInput, StepFailed
from appliance.process import run
from appliance.progress import Progress
from bundler.manifest import Target, Wheels
from bundler.sources import check_file, file_sha256, place, wrong_bytes
from bundler.wheel_policy import check_wheel

GPU_PACKAGES = re.compile(r"nvidia[-_]|cuda[-_]|triton$|pytorch[-_]triton")
"""Names of packages that are of use with a CUDA device only."""

LEGACY_TAGS = {"manylinux2014": 17, "manylinux2010": 12, "manylinux1": 5}
"""Platform tags older than PEP 600, with the minor version of glibc 2 that each stands for."""


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
    """Where it was found, without credentials; empty for a local file. A hint: the hash decides."""


class _Found(msgspec.Struct, frozen=True):
    """One line of pip's answer."""

    name: str
    version: str
    url: str
    sha256: str
    licence: str

    @property
    def filename(self) -> str:
        return urllib.parse.unquote(urllib.parse.urlsplit(self.url).path.rsplit("/", 1)[-1])


def lock_wheels(
    wheels: Wheels, target: Target, *, cache: Path, progress: Progress
) -> tuple[LockedWheel, ...]:
    """Resolve the requirements, download the wheels into the cache and lock them.

    Raises: BadInput, when a requirement cannot be met, does not fit the target or breaks the content
    policy; DamagedBundle, when a wheel is not what the index lists.
    """
    if not wheels.requirements:
        return ()
    check_target(target)
    folder = cache / "wheels"
    folder.mkdir(parents=True, exist_ok=True)
    found = _resolve(wheels.requirements, target, folder, progress)
    check_fit(found, target)
    missing = [one for one in found if not _is_cached(folder / one.filename, one.sha256)]
    lines = [f"{one.url} --hash=sha256:{one.sha256}" for one in missing]
    _download(lines, target, folder, progress)
    return tuple(_locked(one, folder) for one in sorted(found, key=lambda one: one.filename))


def fetch_wheels(
    wheels: tuple[LockedWheel, ...], target: Target, *, cache: Path, into: Path, progress: Progress
) -> list[Path]:
    """Put exactly the locked wheels into the folder `into`; checked, also when already in the cache.

    Raises: BadInput, when a wheel breaks the content policy; DamagedBundle, when one is not the locked
    one; StepFailed, when pip cannot find a wheel with the locked hash.
    """
    folder = cache / "wheels"
    folder.mkdir(parents=True, exist_ok=True)
    missing = [wheel for wheel in wheels if not (folder / wheel.filename).is_file()]
    lines = [f"{wheel.name}=={wheel.version} --hash=sha256:{wheel.sha256}" for wheel in missing]
    _download(lines, target, folder, progress)
    placed = []
    with progress.stage("Check wheels", total=sum(wheel.size for wheel in wheels)) as advance:
        for wheel in wheels:
            source = folder / wheel.filename
            if not source.is_file():
                raise wrong_bytes(wheel.filename, expected="this file name", got="a wheel of another name")
            check_file(source, name=wheel.filename, sha256=wheel.sha256, size=wheel.size)
            check_wheel(source)
            place(source, into / wheel.filename)
            placed.append(into / wheel.filename)
            advance(wheel.size)
    return placed


def check_target(target: Target) -> None:
    """Pass if wheels for `target` can be resolved on this machine.

    Raises: BadInput, naming the field.
    """
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    if target.python != here:
        raise _unfit(
            f"target.python is {target.python}, this bundler runs on Python {here}",
            f"Run the bundler with Python {target.python}, or set target.python to '{here}'.",
        )
    if sysconfig.get_platform() != "linux-x86_64":
        raise _unfit(
            f"target.platform is {target.platform}, this machine is {sysconfig.get_platform()}",
            "Run the bundler on an x86_64 Linux machine.",
        )


def platform_options(target: Target) -> list[str]:
    """pip's options for the wheels that the target can run, whatever this machine's C library is.

    pip does not take `manylinux_2_28` to include older ones, so each is named. Source: PEP 600.
    """
    newest = int(target.glibc.split(".")[1])
    tags = [f"manylinux_2_{minor}" for minor in range(newest, 4, -1)]
    tags += [tag for tag, minor in LEGACY_TAGS.items() if minor <= newest]
    return [f"--platform={tag}_x86_64" for tag in [*tags, "linux"]]


def check_fit(found: list[_Found], target: Target) -> None:
    """Pass if what pip chose is for the target.

    Raises: BadInput, naming the package and the field of the manifest.
    """
    for one in found:
        if not one.filename.endswith(".whl"):
            raise _unfit(f"{one.filename} is not a wheel", "Require a version that is published as a wheel.")
        _check_gpu(one.name, target)
        needs = _glibc_needed(one.filename)
        if needs is not None and needs > int(target.glibc.split(".")[1]):
            raise _unfit(
                f"{one.filename} needs glibc 2.{needs}, target.glibc is {target.glibc}",
                "Require an older version of it, or raise target.glibc if every box has it.",
            )


def _glibc_needed(filename: str) -> int | None:
    """The minor version of glibc 2 that a wheel needs at least; None if its name does not say."""
    named = [int(minor) for minor in re.findall(r"manylinux_2_(\d+)_", filename)]
    named += [minor for tag, minor in LEGACY_TAGS.items() if f"{tag}_" in filename]
    return min(named, default=None)


def _resolve(requirements: tuple[str, ...], target: Target, folder: Path, progress: Progress) -> list[_Found]:
    """What pip would install for `requirements` into an empty environment."""
    report, wanted = folder / ".report.json", folder / ".requirements.txt"
    wanted.write_text("".join(f"{line}\n" for line in requirements))
    report.unlink(missing_ok=True)
    try:
        with progress.stage("Resolve wheels", total=None, unit="packages") as advance:
            # --platform needs --target; in a dry run nothing is written there.
            aside: list[str | Path] = ["--target", folder / ".target", *platform_options(target)]
            options = ["--dry-run", "--ignore-installed", "--report", report, *aside]
            _pip("install", *options, "-r", wanted, folder=folder, on_line=partial(_check_line, target))
            answer = json.loads(report.read_bytes())["install"]
            advance(len(answer))
    except StepFailed as error:
        raise BadInput(
            "The requirements cannot be met by wheels.",
            why=error.why,
            next_step="Correct wheels.requirements in the manifest, or pip's configuration of indexes.",
        ) from error
    return [_found(entry) for entry in answer]


def _check_line(target: Target, line: str) -> None:
    """Stop pip as soon as it says that it looks at a GPU package: some versions download what they look at.

    Raises: BadInput, naming the package.
    """
    looked_at = re.match(r"\s*Collecting ([A-Za-z0-9._-]+)", line)
    if looked_at:
        _check_gpu(looked_at[1], target)


def _check_gpu(name: str, target: Target) -> None:
    if target.cuda == "none" and GPU_PACKAGES.match(name.lower()):
        raise _unfit(
            f"target.cuda is 'none', but the requirements bring {name}: torch was found as a CUDA build",
            "Configure pip with an index or find-links that offers torch's CPU build, or set target.cuda.",
        )


def _found(entry: dict[str, Any]) -> _Found:
    metadata, download = entry["metadata"], entry["download_info"]
    sha256 = download.get("archive_info", {}).get("hashes", {}).get("sha256")
    name, version = metadata["name"], metadata["version"]
    if sha256 is None:
        raise BadInput(
            f"The wheel {name} {version} cannot be locked.",
            why="its index lists no SHA-256 for it",
            next_step="Use an index that lists SHA-256 hashes, or a find-links folder.",
        )
    return _Found(name, version, download["url"], sha256, _licence(metadata))


def _licence(metadata: dict[str, Any]) -> str:
    """The licence as the wheel's metadata names it, in one line."""
    text = metadata.get("license_expression") or metadata.get("license") or ""
    if 0 < len(text) <= 60 and "\n" not in text:
        return str(text)
    named = [line.split(" :: ")[-1] for line in metadata.get("classifier", []) if line.startswith("License")]
    return ", ".join(sorted(named)) or "unknown"


def _locked(one: _Found, folder: Path) -> LockedWheel:
    path = folder / one.filename
    if not path.is_file():
        raise wrong_bytes(one.filename, expected="this file name", got="a wheel of another name")
    size = path.stat().st_size
    check_file(path, name=one.filename, sha256=one.sha256, size=size)
    check_wheel(path)
    licence = one.licence if one.licence != "unknown" else _licence_in(path)
    return LockedWheel(one.name, one.version, one.filename, one.sha256, size, licence, _hint(one.url))


def _licence_in(path: Path) -> str:
    """The licence in the wheel's own metadata; pip's answer leaves out the newer field."""
    with zipfile.ZipFile(path) as archive:
        name = next(n for n in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", n))
        headers = BytesHeaderParser().parsebytes(archive.read(name))
    return str(headers.get("License-Expression") or "unknown")


def _hint(url: str) -> str:
    """`url` without credentials and query; the empty text for a local file."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "https"):
        return ""
    return urllib.parse.urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _is_cached(path: Path, sha256: str) -> bool:
    return path.is_file() and file_sha256(path) == sha256


def _download(lines: list[str], target: Target, folder: Path, progress: Progress) -> None:
    """Have pip download what `lines` of a requirements file name, each with its hash, into `folder`."""
    if not lines:
        return
    wanted = folder / ".requirements.txt"
    wanted.write_text("".join(f"{line}\n" for line in lines))
    before = {path.name for path in folder.glob("*.whl")}
    with progress.stage("Fetch wheels", total=len(lines), unit="wheels") as advance:

        def on_line(line: str) -> None:
            if line.strip().startswith("Saved "):
                advance(1)

        options = ("--no-deps", "--require-hashes", *platform_options(target))
        _pip("download", *options, "-r", wanted, "--dest", folder, folder=folder, on_line=on_line)
    # pip writes into the folder directly: a wheel it was not asked for must not stay.
    new = {path.name for path in folder.glob("*.whl")} - before
    if len(new) > len(lines):
        raise wrong_bytes("wheels", expected=f"{len(lines)} files", got=f"{len(new)} files")


def _pip(*args: str | Path, folder: Path, on_line: Callable[[str], None] = lambda line: None) -> None:
    """Run pip of this interpreter with the user's own configuration; its temporary files are in `folder`."""
    temporary = folder / ".tmp"
    temporary.mkdir(exist_ok=True)
    try:
        run(
            [sys.executable, "-m", "pip", *args[:1], "--only-binary", ":all:", "--no-input", *args[1:]],
            next_step="Check the network and `pip config list`, then run the same command.",
            on_line=on_line,
            env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "TMPDIR": str(temporary)},
        )
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _unfit(why: str, next_step: str) -> BadInput:
    return BadInput("The wheels do not fit the target.", why=why, next_step=next_step)
