"""Which known vulnerabilities the Python packages of a lock have, by advisories that the user gives.

Advisories are in the OSV format: a folder of JSON files, a zip of them, or the address of such a zip. They
are data of others: what cannot be read is counted and said. The result stands in the lock, so that a
bundle says the same whenever and wherever it is built. Compared are wheels and the Python packages of the
conda environment; programs and libraries of the environment, and models, are in no such list.

Format: https://ossf.github.io/osv-schema/, 1.7
"""

import hashlib
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from appliance.errors import BadInput, DamagedBundle, StepFailed
from appliance.progress import Progress
from bundler.sources.download import Patience, Source, Wanted, fetch
from bundler.sources.web import shown

ECOSYSTEM = "PyPI"
NOT_GIVEN = "no advisories were given when it was locked (islet-bundle lock --advisories)"
MAX_ZIP_BYTES = 4 << 30
MAX_DOCUMENT_BYTES = 8 << 20
SEVERITIES = {"CRITICAL": "critical", "HIGH": "high", "MODERATE": "medium", "MEDIUM": "medium", "LOW": "low"}
"""Words that advisories use, and those of CycloneDX."""
KINDS = frozenset({"introduced", "fixed", "last_affected", "limit"})
ORDER = ("critical", "high", "medium", "low", "")


class Finding(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One vulnerability of one package."""

    package: str
    version: str
    id: str
    """As the first advisory names it: `GHSA-…`, `PYSEC-…`."""
    aliases: tuple[str, ...]
    """What else it is called: `CVE-…`."""
    severity: str
    """`critical`, `high`, `medium`, `low`; empty if no advisory says."""
    summary: str
    """One line."""
    fixed: tuple[str, ...]
    """Versions that no longer have it."""


class Advisories(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a comparison with advisories came to."""

    not_checked: str = ""
    """Why nothing was compared; empty if it was."""
    source: str = ""
    """The file's name or its address, without credentials."""
    sha256: str = ""
    """Of the file; of a folder, over its files' names and hashes."""
    newest: str = ""
    """When the newest advisory was last changed: how old the list is."""
    read: int = 0
    """Advisories on Python packages."""
    unread: int = 0
    """Files that are no advisory, or one that cannot be understood."""
    compared: int = 0
    """Packages of the lock."""
    found: tuple[Finding, ...] = ()
    """The worst first."""


class _Package(msgspec.Struct, frozen=True):
    ecosystem: str = ""
    name: str = ""


class _Range(msgspec.Struct, frozen=True):
    type: str
    events: tuple[dict[str, str], ...] = ()


class _Affected(msgspec.Struct, frozen=True):
    package: _Package = _Package()
    ranges: tuple[_Range, ...] = ()
    versions: tuple[str, ...] = ()
    database_specific: Any = None


class _Advisory(msgspec.Struct, frozen=True):
    id: str
    modified: str
    withdrawn: str | None = None
    aliases: tuple[str, ...] = ()
    summary: str = ""
    details: str = ""
    affected: tuple[_Affected, ...] = ()
    database_specific: Any = None


@dataclass(frozen=True)
class _Given:
    """Advisories as they lie on this disk."""

    title: str
    sha256: str
    bodies: Iterable[bytes]


def compare(
    packages: Mapping[str, str],
    where: str | None,
    *,
    cache: Path,
    progress: Progress,
    patience: Patience | None = None,
) -> Advisories:
    """What the advisories at `where` say of `packages`, name to version.

    where: a folder, a zip, a JSON file or the address of a zip; None: none were given. An address that
    cannot be reached leaves the packages unchecked, and the result says so.

    Raises: BadInput, when a path is not there or holds no advisories.
    """
    if where is None:
        return Advisories(not_checked=NOT_GIVEN)
    with progress.stage("Compare advisories", total=None, unit="advisories") as advance:
        try:
            given = _given(where, cache, progress, patience)
        except (StepFailed, DamagedBundle) as error:
            return Advisories(not_checked=f"{shown(where)} could not be read: {error.why}")
        read = unread = 0
        newest, findings = "", list[Finding]()
        versions = {str(canonicalize_name(name)): version for name, version in packages.items()}
        for body in given.bodies:
            try:
                advisory = msgspec.json.decode(body, type=_Advisory)
                found = list(_findings(advisory, versions))
            except (msgspec.DecodeError, UnicodeDecodeError, InvalidVersion):
                unread += 1
                continue
            if any(affected.package.ecosystem == ECOSYSTEM for affected in advisory.affected):
                read += 1
                newest = max(newest, advisory.modified)
                findings += found
                advance(1)
    if not read:
        raise BadInput(
            f"{given.title} holds no advisories on Python packages.",
            why=f"{unread} files in it could not be read as OSV"
            if unread
            else "it has none in the OSV format",
            next_step="Give a folder or zip of OSV advisories for the ecosystem PyPI.",
        )
    worst_first = sorted(_merged(findings), key=lambda f: (ORDER.index(f.severity), f.package, f.id))
    return Advisories("", given.title, given.sha256, newest, read, unread, len(versions), tuple(worst_first))


def is_affected(version: str, affected: Any) -> bool:
    """Whether `version` is one that `affected` names. Raises: InvalidVersion.

    A local part (`2.10.0+cu128`) is a build of the same code: the public version counts.
    Source: OSV schema, "Evaluation".
    """
    public = Version(Version(version).public)
    if any(_version(named) == public for named in affected.versions):
        return True
    return any(_in_range(public, each.events) for each in affected.ranges if each.type == "ECOSYSTEM")


def is_version(text: str) -> bool:
    """Whether `text` is a version of a Python package."""
    return _version(text) is not None


def _in_range(version: Version, events: Iterable[Mapping[str, str]]) -> bool:
    inside = False
    moments = [(k, text) for event in events for k, text in event.items() if k in KINDS and text != "*"]
    # Of two events at one version, the one that ends the range counts.
    for kind, text in sorted(moments, key=lambda m: (_bound(m[1]), m[0] != "introduced")):
        bound = _bound(text)
        if kind == "introduced" and bound <= version:
            inside = True
        elif (kind in ("fixed", "limit") and bound <= version) or (
            kind == "last_affected" and bound < version
        ):
            inside = False
    return inside


def _bound(text: str) -> Version:
    return Version("0.dev0") if text == "0" else Version(text)


def _version(text: str) -> Version | None:
    """A listed version; old releases have names that are no versions, and none of ours is one."""
    try:
        return Version(text)
    except InvalidVersion:
        return None


def _findings(advisory: _Advisory, versions: Mapping[str, str]) -> Iterator[Finding]:
    if advisory.withdrawn:
        return
    for affected in advisory.affected:
        name = canonicalize_name(affected.package.name)
        if affected.package.ecosystem != ECOSYSTEM or name not in versions:
            continue
        if not is_affected(versions[name], affected):
            continue
        yield Finding(
            package=name,
            version=versions[name],
            id=advisory.id,
            aliases=tuple(sorted(set(advisory.aliases))),
            severity=_severity(affected.database_specific) or _severity(advisory.database_specific),
            summary=_one_line(advisory.summary or advisory.details),
            fixed=_fixed(affected),
        )


def _fixed(affected: _Affected) -> tuple[str, ...]:
    found = {
        event["fixed"]
        for each in affected.ranges
        if each.type == "ECOSYSTEM"
        for event in each.events
        if "fixed" in event
    }
    return tuple(sorted(found, key=_bound))


def _severity(document: Any) -> str:
    word = document.get("severity") if isinstance(document, dict) else None
    return SEVERITIES.get(word.upper(), "") if isinstance(word, str) else ""


def _one_line(text: str) -> str:
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return line if len(line) <= 160 else line[:157] + "..."


def _merged(findings: Iterable[Finding]) -> list[Finding]:
    """One for each vulnerability of a package: several databases write of the same one."""
    merged: list[Finding] = []
    for finding in sorted(findings, key=lambda f: (f.package, f.id)):
        names = {finding.id, *finding.aliases}
        same = next((f for f in merged if f.package == finding.package and names & {f.id, *f.aliases}), None)
        if same is None:
            merged.append(finding)
            continue
        merged[merged.index(same)] = msgspec.structs.replace(
            same,
            aliases=tuple(sorted((names | set(same.aliases)) - {same.id})),
            severity=min(same.severity, finding.severity, key=ORDER.index),
            fixed=tuple(sorted({*same.fixed, *finding.fixed}, key=_bound)),
        )
    return merged


def _given(where: str, cache: Path, progress: Progress, patience: Patience | None) -> _Given:
    """The advisories at `where`. Raises: BadInput; StepFailed, DamagedBundle, for an address."""
    if where.startswith(("http://", "https://")):
        name = hashlib.sha256(shown(where).encode()).hexdigest()[:16]
        path = cache / "advisories" / f"{name}.zip"
        wanted = Wanted("the advisories", (Source(where),), most=MAX_ZIP_BYTES)
        got = fetch(wanted, path, note=progress.note, patience=patience)
        return _Given(shown(where), got.sha256, _in_zip(path, shown(where)))
    path = Path(where)
    if path.is_dir():
        files = sorted(path.rglob("*.json"), key=lambda file: file.relative_to(path).as_posix())
        digest = hashlib.sha256()
        for file in files:
            line = f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.relative_to(path).as_posix()}\n"
            digest.update(line.encode())
        bodies = (file.read_bytes() for file in files if file.stat().st_size <= MAX_DOCUMENT_BYTES)
        return _Given(path.resolve().name, digest.hexdigest(), bodies)
    if not path.is_file():
        raise BadInput(
            f"The advisories {where} are not there.",
            why="it is neither a folder, nor a file, nor an address",
            next_step="Give a folder or zip of OSV advisories, or the address of such a zip.",
        )
    with path.open("rb") as opened:
        sha256 = hashlib.file_digest(opened, "sha256").hexdigest()
    if zipfile.is_zipfile(path):
        return _Given(path.name, sha256, _in_zip(path, path.name))
    return _Given(path.name, sha256, [path.read_bytes()])


def _in_zip(path: Path, title: str) -> Iterator[bytes]:
    """The JSON files of a zip. Raises: BadInput, when it is none."""
    try:
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                if info.filename.endswith(".json") and info.file_size <= MAX_DOCUMENT_BYTES:
                    yield archive.read(info)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, OSError) as error:
        raise BadInput(
            f"The advisories {title} cannot be read.",
            why=f"it is no whole zip: {error}",
            next_step="Fetch them again, or give a folder of OSV advisories.",
        ) from error
