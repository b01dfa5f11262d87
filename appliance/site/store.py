"""The store: every file once, under its sha256, read-only; releases hold hard links to it.

Bytes from a volume go into quarantine first. A file is published under its hash only when it has that hash,
and when all else in the volume is what contents.json implies: what is in the store was verified.
Folders are opened by handle and files created with O_EXCL and O_NOFOLLOW, so that nothing that
somebody left in the way is written through.
"""

import hashlib
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from appliance.bundle import names
from appliance.bundle.contents import Contents, Entry, Volume
from appliance.bundle.medium import Medium
from appliance.bundle.refusal import damaged_file, malformed
from appliance.bundle.stream import read_volume, walk_volume
from appliance.durable import sync_file
from appliance.errors import ApplianceError
from appliance.progress import Progress
from appliance.sentence import say
from appliance.site.arrival import Arrivals, stored_mode
from appliance.site.layout import Site


def fill_store(
    site: Site,
    medium: Medium,
    contents: Contents,
    hashes: dict[str, str],
    quarantine: Path,
    progress: Progress,
) -> None:
    """Read every volume that carries something the store lacks, once, and publish that; what a delta
    requires was checked before. A volume that was taken whole before a cut is not read again.

    Raises: DamagedBundle, when a volume or a file is not the signed one; UntrustedBundle, when
    contents.json contradicts the bytes; OSError, when the disk is full.
    """
    lacking = _lacking(site, contents, progress)
    left = {entry.path: entry.size for entry in lacking}
    volumes = wanted_volumes(contents, lacking)
    handle = os.open(quarantine, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with (
            Arrivals(handle) as arrivals,
            progress.stage(say("copying from the medium"), total=sum(v.size for v in volumes)) as advance,
        ):

            def keep(entry: Entry, piece: memoryview) -> None:
                if entry.path in left:
                    left[entry.path] -= len(piece)
                    arrivals.write(entry, piece, is_last=left[entry.path] == 0)

            for volume in volumes:
                agrees = walk_volume(volume.name, medium.chunks(volume.name, advance), contents, keep)
                whole = [entry for entry in lacking if left.get(entry.path) == 0]
                for entry in whole:
                    if entry.size == 0:  # no byte of it comes by
                        arrivals.write(entry, memoryview(b""), is_last=True)
                arrived = arrivals.finish()
                wrong = [entry for entry in whole if arrived[entry.path] != entry.sha256]
                if wrong or not agrees:
                    raise _contradiction(medium, contents, hashes, volume, wrong)
                for entry in whole:
                    del left[entry.path]
                    _publish(site, handle, entry)
    finally:
        os.close(handle)


def _contradiction(
    medium: Medium, contents: Contents, hashes: dict[str, str], volume: Volume, wrong: Sequence[Entry]
) -> ApplianceError:
    """What to say where bytes are not those of contents.json: the medium is damaged, or its signers erred.

    Reads the volumes that the wrong files lie in again, now hashing them whole.

    Raises: DamagedBundle, UntrustedBundle, when one of these is not the signed one, or contradicts
    contents.json beside its files.
    """
    again = {entry.path: hashlib.sha256() for entry in wrong}

    def hash_again(entry: Entry, piece: memoryview) -> None:
        if entry.path in again:
            again[entry.path].update(piece)

    for name in sorted({volume.name, *(part.volume for entry in wrong for part in entry.parts)}):
        read_volume(name, medium.chunks(name), contents, hashes[name], hash_again)
    for entry in wrong:
        if again[entry.path].hexdigest() != entry.sha256:
            why = say("the SHA-256 of {path} is not that of its bytes", path=entry.path)
            return malformed(names.CONTENTS, why)
    return damaged_file(volume.name)  # the medium gave other bytes the first time


def wanted_volumes(contents: Contents, lacking: Sequence[Entry]) -> list[Volume]:
    """The volumes that carry any of these files, in order."""
    wanted = {part.volume for entry in lacking for part in entry.parts}
    return [volume for volume in contents.volumes if volume.name in wanted]


def _lacking(site: Site, contents: Contents, progress: Progress) -> list[Entry]:
    """One entry for every hash that the store does not hold whole.

    What it holds is hashed again: a file that rotted on the disk is replaced, and does not get into
    one more release.
    """
    carried = [entry for entry in contents.entries if entry.parts]
    held = {e.sha256: e for e in carried if site.stored(e.sha256).exists()}
    with progress.stage(say("checking what is here"), total=sum(e.size for e in held.values())) as advance:
        for entry in held.values():
            if not is_whole(site.stored(entry.sha256), entry.sha256):
                site.stored(entry.sha256).unlink()
            advance(entry.size)
    wanted = {entry.sha256: entry for entry in reversed(carried)}
    return [e for e in carried if wanted[e.sha256] is e and not site.stored(e.sha256).exists()]


def is_whole(path: Path, sha256: str) -> bool:
    """Whether the file at `path` is plain and has this hash."""
    if path.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == sha256


def _publish(site: Site, quarantine: int, entry: Entry) -> None:
    """Move a whole file, whose hash was found right, into the store."""
    target = site.stored(entry.sha256)
    target.parent.mkdir(parents=True, exist_ok=True)
    os.rename(entry.sha256, target, src_dir_fd=quarantine)


def keep_runtime(site: Site, medium: Medium, sha256: str, quarantine: Path) -> None:
    """Have runtime.tar.gz in the store, whole: a later delta may leave it out.

    Taken from quarantine, where `install.sh` copied and hashed it; a release that is mended has it on the
    medium only.

    Raises: DamagedBundle, when the medium's is not the signed one; OSError, when the disk is full.
    """
    target = site.stored(sha256)
    if is_whole(target, sha256):
        return
    copy = quarantine / names.RUNTIME
    if not copy.exists():
        _copy(medium, names.RUNTIME, sha256, copy)
    copy.chmod(0o444)
    sync_file(copy)  # before it has its name: what is in the store is whole
    target.parent.mkdir(parents=True, exist_ok=True)
    copy.replace(target)


def _copy(medium: Medium, name: str, sha256: str, to: Path) -> None:
    hasher = hashlib.sha256()
    with to.open("xb") as file:
        for chunk in medium.chunks(name):
            hasher.update(chunk)
            file.write(chunk)
    if hasher.hexdigest() != sha256:
        raise damaged_file(name)


def link_release(site: Site, contents: Contents, release: Path) -> None:
    """Give every file of `contents` its name under `release`, as a hard link into the store."""
    for entry in contents.entries:
        link_file(site, entry, release)


def link_file(site: Site, entry: Entry, release: Path) -> None:
    """Give a stored file its name under `release`.

    Links share one mode: where another release, or another name, came first with another, it is a copy.
    """
    target, stored = release / entry.path, site.stored(entry.sha256)
    target.parent.mkdir(parents=True, exist_ok=True)
    mode = stored_mode(entry)
    if stored.stat().st_mode & 0o777 == mode:
        target.hardlink_to(stored)
    else:
        shutil.copyfile(stored, target)
        target.chmod(mode)
