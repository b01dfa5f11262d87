"""Signing a finished folder: what it is, whether it is still what was built, one signature more.

k of n signers sign at different times and places. Each reads the whole folder, so that nobody signs a
list whose files are others; each adds one small file, which can also travel alone.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from appliance.bundle import names
from appliance.bundle.contents import Contents
from appliance.bundle.medium import Medium
from appliance.bundle.release import Release
from appliance.bundle.root import PublicKey, Root
from appliance.bundle.sums import parse_sums
from appliance.bundle.verify import (
    Trust,
    Verified,
    check_bytes,
    check_release,
    check_roots,
    check_set,
    check_signatures,
    verify,
)
from appliance.durable import write_whole
from appliance.errors import BadInput, DamagedBundle, UntrustedBundle
from appliance.progress import Progress, amount_text
from bundler import accept_notes
from bundler.roots import check_counts, copy_roots, newest_root, read_people
from bundler.rules import Accept
from bundler.signer import Signer, signature_by
from bundler.stated import read_sbom
from bundler.tally import Tally, check_may_sign, check_others, count, signature_path


@dataclass(frozen=True)
class Unsigned:
    """A built folder that was read whole, and may be signed."""

    folder: Path
    roots: Path
    root: Root
    release: Release
    contents: Contents
    sums: bytes
    medium_bytes: int
    """Size of the listed files that are there."""
    medium_files: int
    """How many these are."""
    accepted: tuple[Accept, ...]
    """Exceptions from the content policy, as the SBOM says."""

    def lines(self) -> list[str]:
        """What would be signed, in words."""
        release, sizes = self.release, _sizes_by_kind(self.contents)
        digest = hashlib.sha256(self.sums).hexdigest()
        lines = [
            f"{release.product}, release {release.number}",
            f"  made        {release.created}",
            f"  expires     {release.expires}",
            f"  on disk     {amount_text(self.medium_bytes, 'B')}, {self.medium_files} files",
        ]
        for kind in sorted(sizes):
            files = "1 file" if len(sizes[kind]) == 1 else f"{len(sizes[kind])} files"
            lines.append(f"  {kind + 's':<12}{files}, {amount_text(sum(sizes[kind]), 'B')}")
        if self.contents.requires:
            lines.append(f"  delta       needs {len(self.contents.requires)} files that the site must have")
        lines += [f"  SHA256SUMS  {grouped(digest)[0]}", f"              {grouped(digest)[1]}"]
        for at, line in enumerate(accept_notes.lines(self.accepted)):
            lines.append(f"  {'' if at else 'EXCEPTIONS':<12}{line}")
        if (self.folder / names.NOTES).is_file():
            lines.append(f"  read        {self.folder / names.NOTES}")
        return lines


def check_signer(folder: Path, roots: Path, key: PublicKey) -> Root:
    """The newest root, which names `key` as a release key that has not signed `folder` yet.

    Quick: reads no volume.

    Raises: BadInput, when there is no built bundle, no root that counts, or the key may not sign.
    """
    sums = folder / names.SUMS
    if not sums.is_file():
        raise BadInput(
            f"{folder} cannot be used.",
            why="there is no SHA256SUMS in it",
            next_step="Give a folder that `islet-bundle build` finished.",
        )
    root = check_counts(roots)
    for path in sorted(folder.glob("root.*")):
        if names.ROOT.fullmatch(path.name) and not _same(path, roots / path.name):
            raise BadInput(
                f"{path} is not the one in {roots}.",
                why="a site would judge the release by other keys",
                next_step="Find out which folder of roots is the newest, and give that one.",
            )
    by = f"release keys of {root.name}"
    check_may_sign(sums, key, root.release_keys, by=by)
    check_others(sums, key, root.release_keys)
    return root


def read_unsigned(folder: Path, roots: Path, progress: Progress) -> Unsigned:
    """Read a built folder whole, as a site will, before anybody signs it.

    Raises: BadInput, when there is no root that counts. UntrustedBundle, DamagedBundle, when the folder
    is not what was built.
    """
    root, medium = check_counts(roots), Medium(folder)
    try:
        sums = medium.read_small(names.SUMS, names.SMALL_BYTES)
        hashes = parse_sums(sums)
        release = check_release(medium, hashes, hashlib.sha256(sums).hexdigest(), root, Trust())
        contents = check_set(medium, hashes)
        check_bytes(medium, hashes, contents, progress)
    except (UntrustedBundle, DamagedBundle) as error:
        raise type(error)(
            error.what, why=error.why, next_step="Do not sign it. Build it, or copy it, again."
        ) from None
    sizes = [medium.size(name) for name in medium.names() if name in hashes]
    accepted = accept_notes.from_sbom(read_sbom(medium))
    return Unsigned(folder, roots, root, release, contents, sums, sum(sizes), len(sizes), accepted)


def add_signature(unsigned: Unsigned, signer: Signer) -> Path:
    """Sign what was read, put the roots beside it; the signature's path.

    Raises: BadInput, when the key may not sign, the signature fails, or SHA256SUMS is another by now.
    StepFailed, when the signing command fails.
    """
    check_signer(unsigned.folder, unsigned.roots, signer.public)
    sums = unsigned.folder / names.SUMS
    if sums.read_bytes() != unsigned.sums:
        raise BadInput(
            f"{sums} changed while it was read.",
            why="what was shown is not what lies there",
            next_step="Find out who writes there, and start again.",
        )
    signature = signature_by(signer, unsigned.sums)
    copy_roots(unsigned.roots, unsigned.folder)
    path = signature_path(sums, signer.public)
    write_whole(path, signature)
    return path


def release_tally(folder: Path, root: Root) -> Tally:
    """The signatures over a folder's SHA256SUMS."""
    return count(
        folder / names.SUMS,
        root.release_keys,
        by=f"release keys of {root.name}",
        needed=root.release_threshold,
    )


def tally_lines(unsigned: Unsigned) -> list[str]:
    """How many of how many have signed, who is wanted, and what to do next."""
    tally = release_tally(unsigned.folder, unsigned.root)
    lines = tally.lines(read_people(unsigned.roots))
    if tally.complete:
        return [*lines, "Every signature that a site needs is there: `islet-bundle verify`, then `anchor`."]
    return [*lines, "No site installs it yet: carry the folder to the next signer."]


def verify_bundle(folder: Path, anchor: str | None, progress: Progress) -> Verified:
    """Judge a signed folder as a new site would, believing the newest root on it unless `anchor` is given.

    Raises: UntrustedBundle, DamagedBundle.
    """
    newest = newest_root(folder)
    if anchor is None and newest:
        anchor = hashlib.sha256((folder / f"root.{newest}").read_bytes()).hexdigest()
    return verify(Medium(folder), Trust(anchor=anchor), progress)


def verify_lists(folder: Path, medium: Medium) -> Verified:
    """Judge a signed folder as `verify_bundle` does, but for the bytes of the files that it lists.

    medium: `folder`, open.

    Raises: BadInput, when nobody has signed it; UntrustedBundle, DamagedBundle.
    """
    newest = newest_root(folder)
    if newest == 0:
        raise BadInput(
            f"{folder} is not signed.",
            why="it holds no root.N",
            next_step="Run `islet-bundle sign` first: a site takes nothing else.",
        )
    believed = medium.read_small(f"root.{newest}", names.SMALL_BYTES)
    trust = Trust(anchor=hashlib.sha256(believed).hexdigest())
    root = check_roots(medium, trust)
    sums = medium.read_small(names.SUMS, names.SMALL_BYTES)
    check_signatures(medium, sums, root)
    hashes, sums_sha256 = parse_sums(sums), hashlib.sha256(sums).hexdigest()
    release = check_release(medium, hashes, sums_sha256, root, trust)
    return Verified(release, root, hashes, sums_sha256, check_set(medium, hashes))


def grouped(sha256: str) -> tuple[str, str]:
    """A SHA-256 in groups of eight, in two lines of four."""
    groups = [sha256[i : i + 8] for i in range(0, 64, 8)]
    return " ".join(groups[:4]), " ".join(groups[4:])


def _sizes_by_kind(contents: Contents) -> dict[str, list[int]]:
    sizes: dict[str, list[int]] = {}
    for entry in contents.entries:
        sizes.setdefault(entry.kind, []).append(entry.size)
    return sizes


def _same(first: Path, second: Path) -> bool:
    return second.is_file() and first.read_bytes() == second.read_bytes()
