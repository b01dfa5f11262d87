"""What a person wants to know of a bundle folder before signing or sending it, and whether a site takes it.

The verdict is the verifier's own, as a new site would judge; here it is put beside what the folder says
of itself, and beside everything that keeps a site from taking it, not only the first thing found.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from appliance.bundle import names
from appliance.bundle.contents import Contents, Entry, parse_contents
from appliance.bundle.medium import Medium
from appliance.bundle.release import Release, parse_release
from appliance.bundle.root import Root, parse_root
from appliance.bundle.signature import verifies
from appliance.bundle.sums import parse_sums
from appliance.bundle.verify import check_bytes, check_runtime, check_set, clock, left_out_runtime
from appliance.errors import ApplianceError
from appliance.progress import Progress
from bundler import accept_notes
from bundler.advisories import Advisories, compare, is_version
from bundler.advisory_table import from_sbom
from bundler.licence import shown
from bundler.rules import Accept
from bundler.sign import verify_bundle
from bundler.stated import read_sbom

LARGEST = 20
UNSTATED = "not stated"
TARGET = "islet:target:"
"""What the SBOM's properties that tell of the target begin with."""


@dataclass(frozen=True)
class Kind:
    """Everything of one kind."""

    kind: str
    components: int
    files: int
    size: int
    """Bytes, those included that a delta leaves out."""
    left_out: int
    """Bytes that the site must have."""


@dataclass(frozen=True)
class Signature:
    """One signature file over SHA256SUMS."""

    keyid: str
    known: bool
    """Whether the newest root names it as a release key."""
    valid: bool


@dataclass(frozen=True)
class Inspection:
    """One folder, looked through."""

    release: Release
    contents: Contents
    target: dict[str, str]
    """Python, glibc and so on, as the SBOM says; empty where it does not."""
    packages: tuple[tuple[str, str], ...]
    """The conda packages in runtime.tar.gz and their licences, as the SBOM says."""
    root: Root | None
    """The newest on the folder."""
    signatures: tuple[Signature, ...]
    accepted: tuple[Accept, ...]
    """Exceptions from the content policy, as the SBOM says."""
    advisories: Advisories | None
    """Known vulnerabilities: as they were asked for now, else as the SBOM says; None where it does not."""
    missing: tuple[str, ...]
    """Why no site would take it, all reasons that can be told apart; empty when none was found."""
    refusal: ApplianceError | None
    """What the verifier says; None: a new site that believes the root takes it."""

    @property
    def valid(self) -> int:
        """How many different keys that may sign have signed."""
        return sum(signature.known and signature.valid for signature in self.signatures)


def inspect_bundle(
    folder: Path,
    anchor: str | None,
    progress: Progress,
    *,
    advisories: str | None = None,
    cache: Path | None = None,
) -> Inspection:
    """Look through the bundle in `folder`, reading every byte once.

    advisories: where known vulnerabilities are listed today, as `bundler.advisories.compare` takes it; None:
    what the bundle itself says. cache: where a list that is fetched is kept.

    Raises: UntrustedBundle, DamagedBundle, when it does not even say what it is; BadInput, when there is
    no such folder.
    """
    medium = Medium(folder)
    refusal: ApplianceError | None = None
    try:
        verify_bundle(folder, anchor, progress)
    except ApplianceError as error:
        refusal = error
    try:
        release = parse_release(medium.read_small(names.RELEASE, names.SMALL_BYTES))
        contents = parse_contents(medium.read_small(names.CONTENTS, names.CONTENTS_BYTES))
    except ApplianceError as error:
        raise refusal or error from None
    root = _newest_root(medium)
    signatures = _signatures(medium, root) if root is not None else ()
    stated = read_sbom(medium)
    missing = _missing(release, root, signatures, clock())
    if missing:  # the verifier stopped before it read a volume
        missing += _damage(medium, release, progress)
    packages = _packages(stated)
    known = from_sbom(stated)
    if advisories is not None:
        known = compare(
            _python_packages(contents, packages), advisories, cache=cache or folder, progress=progress
        )
    return Inspection(
        release=release,
        contents=contents,
        target=_target(stated),
        packages=packages,
        root=root,
        signatures=signatures,
        accepted=accept_notes.from_sbom(stated),
        advisories=known,
        missing=tuple(missing),
        refusal=refusal,
    )


def _python_packages(contents: Contents, conda: tuple[tuple[str, str], ...]) -> dict[str, str]:
    """Name to version of the wheels and, as far as their names agree, of the environment's packages."""
    stated = [name for name, _ in conda]
    stated += [entry.component for entry in contents.entries if entry.kind == "wheel"]
    return {
        name: version for name, _, version in (each.partition(" ") for each in stated) if is_version(version)
    }


def kinds(contents: Contents) -> list[Kind]:
    """What the volumes hold, by kind."""
    found = []
    for kind in sorted({entry.kind for entry in contents.entries}):
        entries = [entry for entry in contents.entries if entry.kind == kind]
        left_out = sum(entry.size for entry in entries if not entry.parts)
        size, count = sum(entry.size for entry in entries), len({entry.component for entry in entries})
        found.append(Kind(kind, count, len(entries), size, left_out))
    return found


def licences(found: Inspection) -> list[tuple[str, int]]:
    """Each licence with how many components state it; what is not stated comes first."""
    stated = {(entry.component, shown(entry.licence, UNSTATED)) for entry in found.contents.entries}
    stated |= {(name, shown(licence, UNSTATED)) for name, licence in found.packages}
    counts = Counter(licence for _, licence in stated)
    return sorted(counts.items(), key=lambda item: (item[0] != UNSTATED, -item[1], item[0]))


def largest(contents: Contents) -> list[Entry]:
    """The largest files, by falling size."""
    return sorted(contents.entries, key=lambda entry: (-entry.size, entry.path))[:LARGEST]


def as_document(found: Inspection) -> dict[str, object]:
    """For a script."""
    release, refusal = found.release, found.refusal
    return {
        "product": release.product,
        "number": release.number,
        "created": release.created,
        "expires": release.expires,
        "disk_bytes": release.disk_bytes,
        "target": found.target,
        "kinds": [
            {
                "kind": k.kind,
                "components": k.components,
                "files": k.files,
                "size": k.size,
                "left_out": k.left_out,
            }
            for k in kinds(found.contents)
        ],
        "conda_packages": len(found.packages),
        "requires": list(found.contents.requires),
        "licences": [{"licence": licence, "components": count} for licence, count in licences(found)],
        "largest": [{"path": e.path, "size": e.size, "sha256": e.sha256} for e in largest(found.contents)],
        "root": found.root.version if found.root else None,
        "signatures": [{"keyid": s.keyid, "known": s.known, "valid": s.valid} for s in found.signatures],
        "signatures_valid": found.valid,
        "signatures_needed": found.root.release_threshold if found.root else None,
        "exceptions": msgspec.to_builtins(found.accepted),
        "advisories": msgspec.to_builtins(found.advisories),
        "missing": list(found.missing),
        "accepted": refusal is None,
        "exit_code": refusal.exit_code if refusal else 0,
        "refusal": {"what": str(refusal.what), "why": str(refusal.why), "next": str(refusal.next_step)}
        if refusal
        else None,
    }


def _newest_root(medium: Medium) -> Root | None:
    versions = [int(match[1]) for name in medium.names() if (match := names.ROOT.fullmatch(name))]
    if not versions:
        return None
    name = f"root.{max(versions)}"
    try:
        return parse_root(name, medium.read_small(name, names.SMALL_BYTES))
    except ApplianceError:
        return None  # the verdict says what is wrong with it


def _signatures(medium: Medium, root: Root) -> tuple[Signature, ...]:
    keys = {key.keyid: key for key in root.release_keys}
    found = []
    for name in medium.names():
        match = names.SUMS_SIGNATURE.fullmatch(name)
        if match is None:
            continue
        key, valid = keys.get(match[1]), False
        try:
            sums = medium.read_small(names.SUMS, names.SMALL_BYTES)
            valid = key is not None and verifies(key, medium.read_small(name, names.SIGNATURE_BYTES), sums)
        except ApplianceError:
            pass  # too long, or no plain file: not valid, and the verdict says so
        found.append(Signature(match[1], key is not None, valid))
    return tuple(found)


def _missing(release: Release, root: Root | None, signatures: tuple[Signature, ...], now: str) -> list[str]:
    """Why no site would take it, in words."""
    found = []
    if root is None:
        found.append("There is no root.N that can be read: `islet-bundle sign` puts the roots here.")
    else:
        count = sum(signature.known and signature.valid for signature in signatures)
        if count < root.release_threshold:
            word = "Not signed" if count == 0 else "Not signed by enough keys"
            found.append(f"{word}: {count} of {root.release_threshold} release keys of {root.name}.")
        if release.root_version > root.version:
            found.append(f"It needs root.{release.root_version}, the newest here is {root.name}.")
        if root.expires < now:
            found.append(f"{root.name} expired on {root.expires}: make and sign the next root.")
    for signature in signatures:
        if not signature.known:
            found.append(f"SHA256SUMS.sig.{signature.keyid} is by a key that may not sign: remove it.")
        elif not signature.valid:
            found.append(f"SHA256SUMS.sig.{signature.keyid} does not verify: remove it, sign again.")
    if release.expires < now:
        found.append(f"The release expired on {release.expires}: lock and build it again.")
    return found


def _damage(medium: Medium, release: Release, progress: Progress) -> list[str]:
    """What is wrong with the bytes, in words: the first thing found, as the verifier would find it."""
    try:
        hashes = parse_sums(medium.read_small(names.SUMS, names.SMALL_BYTES))
        contents = check_set(medium, hashes)
        check_bytes(medium, hashes, contents, progress)
        if left_out_runtime(medium, hashes, contents) is None:
            check_runtime(medium, hashes, release)
    except ApplianceError as error:
        return [f"{error.what} Copy the folder, or build it, again."]
    return []


def _target(sbom: dict[str, Any]) -> dict[str, str]:
    try:
        stated = {each["name"]: str(each["value"]) for each in sbom["metadata"]["properties"]}
    except (KeyError, TypeError):
        return {}
    return {name.removeprefix(TARGET): value for name, value in stated.items() if name.startswith(TARGET)}


def _packages(sbom: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    try:
        found = [each for each in sbom["components"] if each["bom-ref"].startswith("conda:")]
        return tuple((f"{each['name']} {each['version']}", _licence(each["licenses"])) for each in found)
    except (KeyError, TypeError, AttributeError):
        return ()


def _licence(choices: list[dict[str, Any]]) -> str:
    """The text of a component's licence, as `bundler.sbom` writes it."""
    if not choices:
        return ""
    licence = choices[0].get("license", {})
    return str(choices[0].get("expression") or licence.get("id") or licence.get("name") or "")
