"""A signed bundle as one file, for a data diode or a transfer portal: one plain ustar of the folder.

Its bytes follow from the folder's: names sorted, owner 0, time 0. Nothing is kept beside the file
itself, and every byte is judged as it passes.
"""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from appliance.bundle import names
from appliance.bundle.archive import END, header, padding
from appliance.bundle.medium import Medium
from appliance.bundle.refusal import damaged_file
from appliance.errors import BadInput
from appliance.progress import Progress
from bundler.outplace import check_outfile
from bundler.sign import verify_lists


def write_tar(folder: Path, file: Path, progress: Progress) -> str:
    """Write the signed bundle `folder` to `file`, whole or not at all; the name of the folder in it.

    Raises: BadInput, when it is not signed yet, `file` exists, lies inside or cannot be written, or a
    volume is too long for a tar header; UntrustedBundle, DamagedBundle, when the folder is not what its
    signers signed.
    """
    _check_place(folder, file)
    medium = Medium(folder)
    judged = verify_lists(folder, medium)
    top = f"{judged.release.product}-{judged.release.number}"
    sizes = {name: medium.size(name) for name in medium.names()}
    for name, size in sizes.items():
        if size > names.MEMBER_BYTES:
            raise BadInput(
                f"{name} does not fit into a tar.",
                why=f"it has {size} bytes, a plain tar header can state {names.MEMBER_BYTES}",
                next_step="Build with a smaller --volume-size.",
            )
    partial = file.with_name(file.name + ".partial")
    try:
        with (
            partial.open("wb") as out,
            progress.stage("writing the tar", total=sum(sizes.values())) as advance,
        ):
            for name in sorted(sizes):
                for chunk in _member(medium, f"{top}/{name}", name, sizes[name], judged.hashes.get(name)):
                    out.write(chunk)
                    advance(len(chunk))
            out.write(END)
            out.flush()
            os.fsync(out.fileno())
        partial.rename(file)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    return top


def _check_place(folder: Path, file: Path) -> None:
    check_outfile(file)
    if file.exists():
        raise BadInput(f"{file} exists.", why="nothing is written over", next_step="Give another FILE.")
    if folder.resolve() in file.resolve().parents:
        raise BadInput(
            f"{file} cannot be written.",
            why=f"it would lie in {folder}, and a bundle holds nothing else",
            next_step="Give a FILE outside the bundle.",
        )


def _member(medium: Medium, path: str, name: str, size: int, sha256: str | None) -> Iterator[bytes]:
    """Header, bytes and padding of one file. Raises: DamagedBundle, when it is not the listed one."""
    yield header(path, size, 0o644)
    hasher, length = hashlib.sha256(), 0
    for chunk in medium.chunks(name):
        hasher.update(chunk)
        length += len(chunk)
        yield chunk
    if length != size or (sha256 is not None and hasher.hexdigest() != sha256):
        raise damaged_file(name)
    yield bytes(padding(size))
