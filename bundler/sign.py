"""Signing a finished folder, and the anchor sheet that travels by another road."""

import hashlib
import shutil
from pathlib import Path

from appliance.bundle import names
from appliance.bundle.medium import Medium
from appliance.bundle.release import parse_release
from appliance.bundle.root import parse_root
from appliance.bundle.verify import Trust, Verified, verify
from appliance.errors import BadInput
from appliance.progress import Progress
from bundler.keys import newest_root, write_signature


def sign_bundle(folder: Path, roots: Path, key: Path, passphrase: bytes | None) -> Path:
    """Add one signature to a built folder, with the roots beside it; the signature's path.

    Raises: BadInput, when there is no built bundle or no root, or the key may not sign releases.
    """
    sums = folder / names.SUMS
    newest = newest_root(roots)
    if not sums.is_file() or newest == 0:
        raise BadInput(
            f"{folder if newest else roots} cannot be used.",
            why="there is no SHA256SUMS" if newest else "there is no root.N",
            next_step="Give a folder that `build` finished and the folder that `root` made.",
        )
    for path in sorted(roots.glob("root.*")):
        if names.ROOT.fullmatch(path.name) or names.ROOT_SIGNATURE.fullmatch(path.name):
            shutil.copyfile(path, folder / path.name)
    root = parse_root(f"root.{newest}", (roots / f"root.{newest}").read_bytes())
    signature = write_signature(sums, key, passphrase)
    keyid = signature.name.rpartition(".")[2]
    if keyid not in {public.keyid for public in root.release_keys}:
        signature.unlink()
        raise BadInput(
            f"{key} may not sign releases.",
            why=f"root.{newest} does not name it as a release key",
            next_step="Sign with a release key of that root.",
        )
    return signature


def verify_bundle(folder: Path, anchor: str | None, progress: Progress) -> Verified:
    """Judge a signed folder as a new site would, believing the newest root on it unless `anchor` is given.

    Raises: UntrustedBundle, DamagedBundle.
    """
    newest = newest_root(folder)
    if anchor is None and newest:
        anchor = hashlib.sha256((folder / f"root.{newest}").read_bytes()).hexdigest()
    return verify(Medium(folder), Trust(anchor=anchor), progress)


def anchor_sheet(folder: Path) -> str:
    """The page that two people compare at the site, as plain text to print.

    Raises: BadInput, when `folder` is not a signed bundle.
    """
    newest = newest_root(folder)
    if newest == 0 or not (folder / names.RELEASE).is_file():
        raise BadInput(
            f"{folder} is not a signed bundle.",
            why="it has no root.N or no RELEASE",
            next_step="Run `islet-bundle sign` first.",
        )
    release = parse_release((folder / names.RELEASE).read_bytes())
    rows = [_hash_lines(folder / name) for name in (names.INSTALLER, f"root.{newest}")]
    return SHEET.format(
        product=release.product, number=release.number, created=release.created, hashes="\n".join(rows)
    )


def _hash_lines(path: Path) -> str:
    """A file's SHA-256 in groups of eight, four groups a line."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    groups = [digest[i : i + 8] for i in range(0, 64, 8)]
    return f"  {path.name}\n      {' '.join(groups[:4])}\n      {' '.join(groups[4:])}\n"


SHEET = """\
ISLET ANCHOR SHEET                                    send this by another road than the disk
{product}, release {number}, made {created}

{hashes}
At the site, before the first installation, two people:

  1. copy both files from the medium to the box:     cp MEDIUM/install.sh MEDIUM/root.* /root/
  2. have the box hash its own copies:               sha256sum /root/install.sh /root/root.*
  3. compare every group with this sheet, aloud;
  4. run the copy:                                   sh /root/install.sh --anchor "ROOT'S SHA-256" MEDIUM

If one group differs, stop, and call the sender at a number that you already had.

Compared by ______________________   and ______________________   on ______________
"""
