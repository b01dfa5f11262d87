"""The second judge: everything `install.sh` checks, and what lies inside the volumes.

A bundle is what it claims only if, in this order:

1. every root on the medium is signed by enough root keys of its own and of the root before it,
   the chain meets the root that this site believes (or the anchor sheet), and the newest root
   has not expired;
2. SHA256SUMS is signed by enough different release keys of the newest root, and every signature
   file there is one of these and verifies;
3. SHA256SUMS keeps its grammar;
4. RELEASE is the one listed, is for this product, is not older than any this site has had, and
   has not expired;
5. the folder holds exactly the files listed, the signatures and the roots, all plain files; contents.json
   keeps its grammar, and where it requires runtime.tar.gz of the site, that file alone may be absent;
6. every file has its listed hash (installing, this is checked on the copy as it is made);
7. the volumes are what contents.json says;
8. runtime.tar.gz, where it is there, has the one form that the site's tar unfolds without surprise.

"Now" is never earlier than the newest signed date that this site has seen.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from appliance.bundle import names
from appliance.bundle.beside import Beside
from appliance.bundle.contents import Contents, parse_contents
from appliance.bundle.environment import check_environment
from appliance.bundle.medium import Medium, shown
from appliance.bundle.refusal import damaged_file, malformed, missing_file, untrusted
from appliance.bundle.release import Release, parse_release
from appliance.bundle.root import PublicKey, Root, parse_root
from appliance.bundle.signature import verifies
from appliance.bundle.stream import read_volume
from appliance.bundle.sums import parse_sums, volume_names
from appliance.progress import Progress, Silent
from appliance.sentence import say


def clock() -> str:
    """The system's time, as control files write it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


Acceptable = Literal["expired", "older"]
"""What may be wrong with a release that is installed all the same: it has expired; it is older than one that
this site has had."""


@dataclass(frozen=True)
class Trust:
    """What this site believes before it looks at the medium."""

    root: bytes | None = None
    """The newest root that was believed; None before the first install."""
    anchor: str | None = None
    """SHA-256 of the newest root, from the anchor sheet; counts only while `root` is None."""
    product: str | None = None
    number: int = 0
    """Highest number ever installed."""
    sums_sha256: str | None = None
    """SHA-256 of the SHA256SUMS that had that number."""
    newest_date: str = "0000-00-00T00:00:00Z"
    """Newest signed date seen."""
    now: str = field(default_factory=clock)
    accept: frozenset[Acceptable] = frozenset()
    """What the administrator takes upon himself, in words that go into the audit log. Never a root that has
    expired, never another list under a number that was had."""


@dataclass(frozen=True)
class Verified:
    """A bundle that was judged."""

    release: Release
    root: Root
    hashes: dict[str, str]
    """SHA256SUMS: name to SHA-256."""
    sums_sha256: str
    contents: Contents


def verify(medium: Medium, trust: Trust, progress: Progress | None = None) -> Verified:
    """Judge a whole bundle, reading every byte once; runtime.tar.gz twice, because its hash comes first.

    Raises: BadInput, UntrustedBundle, DamagedBundle: the first reason found, in the order above.
    """
    medium.check_bundle()
    root = check_roots(medium, trust)
    sums = medium.read_small(names.SUMS, names.SMALL_BYTES)
    check_signatures(medium, sums, root)
    hashes = parse_sums(sums)
    release = check_release(medium, hashes, hashlib.sha256(sums).hexdigest(), root, trust)
    contents = check_set(medium, hashes)
    check_bytes(medium, hashes, contents, progress or Silent())
    if left_out_runtime(medium, hashes, contents) is None:
        check_runtime(medium, hashes, release)
    return Verified(release, root, hashes, hashlib.sha256(sums).hexdigest(), contents)


def check_roots(medium: Medium, trust: Trust) -> Root:
    """Step 1. The newest root, believed. Raises: UntrustedBundle, DamagedBundle."""
    present = {int(m[1]): name for name in medium.names() if (m := names.ROOT.fullmatch(name))}
    texts = {version: medium.read_small(name, names.SMALL_BYTES) for version, name in sorted(present.items())}
    believed = parse_root(_root_name(trust.root), trust.root) if trust.root is not None else None
    if believed is None:
        _check_anchor(texts, trust.anchor)
    elif texts.get(believed.version, trust.root) != trust.root:
        raise untrusted(
            say("{name} is not the one this site believes.", name=believed.name), "its bytes differ"
        )
    chain = _chain(texts, believed)
    keys_before: Root | None = None
    for root in chain:
        # A medium's roots follow the believed one, or it stands among them, or they are from before it.
        if keys_before is None and believed is not None and root.version > believed.version:
            keys_before = believed
        _check_root_signatures(medium, root, texts[root.version], keys_before)
        keys_before = root
    newest = max([*chain, *([believed] if believed else [])], key=lambda root: root.version)
    if newest.expires < max(trust.now, trust.newest_date):
        raise untrusted(
            say("{name} has expired.", name=newest.name),
            say("it was good until {expires}", expires=newest.expires),
        )
    return newest


def _root_name(text: bytes) -> str:
    """The name that a believed root's own version line gives it."""
    lines = text.split(b"\n")
    return "root." + (
        lines[1].removeprefix(b"version: ").decode("ascii", "replace") if len(lines) > 1 else ""
    )


def _check_anchor(texts: dict[int, bytes], anchor: str | None) -> None:
    if not texts:
        raise missing_file("root.1")
    newest = max(texts)
    sha256 = hashlib.sha256(texts[newest]).hexdigest()
    if sha256 != anchor:
        raise untrusted(
            say("root.{version} is not the one on the anchor sheet.", version=newest),
            "its SHA-256 is another",
        )


def _chain(texts: dict[int, bytes], believed: Root | None) -> list[Root]:
    """The roots on the medium in order, without a gap, meeting the believed one."""
    versions = sorted(texts)
    if believed is not None and versions and versions[0] > believed.version + 1:
        raise untrusted(
            say("root.{after} does not follow root.{before}.", after=versions[0], before=believed.version),
            "a root between is missing",
        )
    for before, after in zip(versions, versions[1:], strict=False):
        if after != before + 1:
            raise untrusted(
                say("root.{after} does not follow root.{before}.", after=after, before=before),
                "a root between is missing",
            )
    return [parse_root(f"root.{version}", texts[version]) for version in versions]


def _check_root_signatures(medium: Medium, root: Root, text: bytes, before: Root | None) -> None:
    """The threshold of its own root keys and of the root before; no signature that fails."""
    signers = _signers(medium, root.name, text, _merged(root.root_keys, before.root_keys if before else ()))
    for judge in (root, before):
        if judge is None:
            continue
        count = len(signers & {key.keyid for key in judge.root_keys})
        if count < judge.root_threshold:
            raise untrusted(
                say("{name} is not signed by enough root keys of {judge}.", name=root.name, judge=judge.name),
                say("{count} of {needed} needed", count=count, needed=judge.root_threshold),
            )


def check_signatures(medium: Medium, sums: bytes, root: Root) -> None:
    """Step 2. Raises: UntrustedBundle."""
    count = len(_signers(medium, names.SUMS, sums, root.release_keys))
    if count < root.release_threshold:
        raise untrusted(
            say("SHA256SUMS is not signed by enough release keys of {judge}.", judge=root.name),
            say("{count} of {needed} needed", count=count, needed=root.release_threshold),
        )


def _merged(first: tuple[PublicKey, ...], second: tuple[PublicKey, ...]) -> tuple[PublicKey, ...]:
    return first + tuple(key for key in second if key not in first)


def _signers(medium: Medium, name: str, document: bytes, keys: tuple[PublicKey, ...]) -> set[str]:
    """Key ids of the different keys that signed `document`; a signature file that fails is refused."""
    by_id = {key.keyid: key for key in keys}
    signers = set()
    for file in medium.names():
        if not file.startswith(f"{name}.sig."):
            continue
        key = by_id.get(file.removeprefix(f"{name}.sig."))
        if key is None:
            raise untrusted(
                say("{file} is by a key that may not sign {name}.", file=shown(file), name=name),
                "its root does not name the key",
            )
        if not verifies(key, medium.read_small(file, names.SIGNATURE_BYTES), document):
            raise untrusted(
                say("{file} does not verify.", file=file),
                say("it was not made over this {name} by the key it names", name=name),
            )
        signers.add(key.keyid)
    return signers


def check_release(
    medium: Medium, hashes: dict[str, str], sums_sha256: str, root: Root, trust: Trust
) -> Release:
    """Step 4. Raises: UntrustedBundle, DamagedBundle."""
    release = parse_release(medium.read_checked(names.RELEASE, hashes[names.RELEASE], names.SMALL_BYTES))
    if release.root_version > root.version:
        raise untrusted(
            say("This release needs root.{version}.", version=release.root_version),
            say("the newest here is {name}", name=root.name),
        )
    if trust.product is not None and release.product != trust.product:
        raise untrusted(
            say("This bundle is {product}.", product=release.product),
            say("this site runs {product}", product=trust.product),
        )
    if release.number < trust.number and "older" not in trust.accept:
        raise untrusted(
            say("Release {number} is older than this site.", number=release.number),
            say("it has had release {number}", number=trust.number),
        )
    if release.number == trust.number and sums_sha256 != trust.sums_sha256:
        raise untrusted(
            say("This is another release {number}.", number=release.number),
            "this site has had that number with another list",
        )
    if release.expires < max(trust.now, trust.newest_date) and "expired" not in trust.accept:
        raise untrusted(
            say("Release {number} has expired.", number=release.number),
            say("it was good until {expires}", expires=release.expires),
        )
    return release


def check_set(medium: Medium, hashes: dict[str, str]) -> Contents:
    """Step 5; what is inside. Raises: UntrustedBundle, for a file too many; DamagedBundle, one too few."""
    present = medium.names()
    for name in present:
        medium.check_plain(name)
        if name not in hashes and not _is_control(name, present):
            raise untrusted(
                say("{name} is not in the signed list.", name=shown(name)), "a bundle holds nothing else"
            )
    for name in sorted(hashes):
        if name not in present and name != names.RUNTIME:
            raise missing_file(name)
    data = medium.read_checked(names.CONTENTS, hashes[names.CONTENTS], names.CONTENTS_BYTES)
    contents = check_contents(data, hashes)
    if names.RUNTIME not in present and not contents.requires_runtime:
        raise missing_file(names.RUNTIME)
    return contents


def _is_control(name: str, present: list[str]) -> bool:
    """Whether a file is one that the list cannot name: the list, roots, and signatures of these.

    None of a root that is not there: nobody judged it.
    """
    if signature := names.ROOT_SIGNATURE.fullmatch(name):
        return f"root.{signature[1]}" in present
    return name == names.SUMS or any(
        grammar.fullmatch(name) is not None for grammar in (names.ROOT, names.SUMS_SIGNATURE)
    )


def left_out_runtime(medium: Medium, hashes: dict[str, str], contents: Contents) -> str | None:
    """The hash of runtime.tar.gz where the medium leaves it to the site, as it may; else None."""
    is_there = not contents.requires_runtime or names.RUNTIME in medium.names()
    return None if is_there else hashes[names.RUNTIME]


def check_bytes(medium: Medium, hashes: dict[str, str], contents: Contents, progress: Progress) -> None:
    """Steps 6 and 7, reading every file there once. Raises: UntrustedBundle, DamagedBundle."""
    left_out = {names.RUNTIME} if left_out_runtime(medium, hashes, contents) else set()
    for name in sorted(set(hashes) - set(volume_names(hashes)) - {names.CONTENTS} - left_out):
        hasher = hashlib.sha256()
        for chunk in medium.chunks(name):
            hasher.update(chunk)
        if hasher.hexdigest() != hashes[name]:
            raise damaged_file(name)
    files = {entry.path: hashlib.sha256() for entry in contents.entries}
    with (
        progress.stage(say("reading the volumes"), total=sum(v.size for v in contents.volumes)) as advance,
        Beside() as beside,
    ):
        for volume in contents.volumes:
            read_volume(
                volume.name,
                medium.chunks(volume.name, advance),
                contents,
                hashes[volume.name],
                lambda entry, piece: beside.update(files[entry.path], piece),
            )
        beside.catch_up()
    for entry in contents.entries:
        if entry.parts and files[entry.path].hexdigest() != entry.sha256:
            raise malformed(
                names.CONTENTS, say("the SHA-256 of {path} is not that of its bytes", path=entry.path)
            )


def check_contents(data: bytes, hashes: dict[str, str]) -> Contents:
    """The contents, whose volumes are those listed, and whose one hash more is the runtime's.

    Raises: UntrustedBundle.
    """
    contents = parse_contents(data)
    if [volume.name for volume in contents.volumes] != volume_names(hashes):
        raise malformed(names.CONTENTS, "its volumes are not those of SHA256SUMS")
    if contents.requires_runtime and hashes[names.RUNTIME] not in contents.requires:
        raise malformed(names.CONTENTS, say("{where} is not valid", where="requires"))
    return contents


def check_runtime(medium: Medium, hashes: dict[str, str], release: Release) -> None:
    """Step 8, on the very bytes that were signed. Raises: UntrustedBundle, DamagedBundle."""
    hasher = hashlib.sha256()

    def hashed() -> Iterator[bytes]:
        for chunk in medium.chunks(names.RUNTIME):
            hasher.update(chunk)
            yield chunk

    chunks = hashed()
    try:
        check_environment(chunks, release.disk_bytes)
    finally:
        for _ in chunks:
            pass
        if hasher.hexdigest() != hashes[names.RUNTIME]:
            raise damaged_file(names.RUNTIME)
