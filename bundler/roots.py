"""Roots: who may sign, written down, and signed by enough of the root keys, old and new.

A folder of roots holds root.1, root.2, … with their signatures, and `people`: whose a key is, for the
people who work with it. Only roots and signatures go onto a medium.
"""

import hashlib
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from appliance.bundle import names
from appliance.bundle.medium import Medium
from appliance.bundle.root import PublicKey, Root, format_root, parse_root
from appliance.bundle.verify import Trust, check_roots
from appliance.durable import write_whole
from appliance.errors import BadInput, DamagedBundle, UntrustedBundle
from bundler.keys import read_public
from bundler.outplace import make_outfolder
from bundler.signer import Signer, write_signature
from bundler.tally import Tally, check_may_sign, check_others, count

ROOT_DAYS = 3650
"""How long a root is good unless told otherwise."""
PEOPLE = "people"
BEFORE_ALL = "0000-00-00T00:00:00Z"
_PERSON = re.compile(r"([0-9a-f]{16})  (.+)")


@dataclass(frozen=True)
class Change:
    """What a new root has that the one before has not; None and empty: as before."""

    add_root: tuple[Path, ...] = ()
    """Public keys."""
    add_release: tuple[Path, ...] = ()
    remove: tuple[str, ...] = ()
    """Key ids, of root and release keys alike."""
    root_threshold: int | None = None
    release_threshold: int | None = None


def newest_root(folder: Path) -> int:
    """The highest version of a root in `folder`; 0 if there is none."""
    found = (names.ROOT.fullmatch(path.name) for path in folder.glob("root.*"))
    return max((int(match[1]) for match in found if match), default=0)


def read_root(folder: Path, version: int | None = None) -> Root:
    """The root of that version, or the newest. Raises: BadInput, when there is none or it is malformed."""
    version = newest_root(folder) if version is None else version
    path = folder / f"root.{version}"
    if version == 0 or not path.is_file():
        raise BadInput(
            f"{folder} cannot be used.",
            why=f"there is no root.{version or 'N'} in it",
            next_step="Give the folder that `islet-bundle root init` made.",
        )
    try:
        return parse_root(path.name, path.read_bytes())
    except UntrustedBundle as error:
        raise BadInput(error.what, why=error.why, next_step="Take the root as it was made.") from None


def init_root(
    folder: Path,
    root_keys: Sequence[Path],
    release_keys: Sequence[Path],
    *,
    root_threshold: int = 1,
    release_threshold: int = 1,
    days: int = ROOT_DAYS,
) -> Path:
    """Write root.1 into `folder`, unsigned, naming these public keys; its path.

    Raises: BadInput, when there is a root, or no site would accept this one.
    """
    if newest_root(folder):
        raise BadInput(
            f"{folder} has root.{newest_root(folder)}.",
            why="root.1 is made once",
            next_step="Change keys with `islet-bundle root rotate`, or give another folder.",
        )
    keys = _read_keys((*root_keys, *release_keys))
    root = Root(
        1,
        _days_from_now(days),
        root_threshold,
        release_threshold,
        tuple(keys[path] for path in root_keys),
        tuple(keys[path] for path in release_keys),
    )
    return _write(folder, root, keys)


def rotate_root(folder: Path, change: Change, *, days: int = ROOT_DAYS) -> Path:
    """Write root.N+1 into `folder`, unsigned: root.N with `change`; its path.

    Raises: BadInput, when root.N does not count yet, a key to remove is not in it, or no site would
    accept the new one.
    """
    before = read_root(folder)
    check_counts(folder, expiry=False)  # an expired root is what a rotation puts right
    keys = _read_keys((*change.add_root, *change.add_release))
    known = {key.keyid for key in (*before.root_keys, *before.release_keys)}
    for keyid in change.remove:
        if keyid not in known:
            raise BadInput(
                f"The key {keyid} cannot be removed.",
                why=f"{before.name} does not name it",
                next_step="`islet-bundle root show` lists the key ids.",
            )
    root = Root(
        before.version + 1,
        _days_from_now(days),
        change.root_threshold or before.root_threshold,
        change.release_threshold or before.release_threshold,
        _without(before.root_keys, change.remove) + tuple(keys[path] for path in change.add_root),
        _without(before.release_keys, change.remove) + tuple(keys[path] for path in change.add_release),
    )
    return _write(folder, root, keys)


def check_may_sign_root(folder: Path, key: PublicKey) -> None:
    """Raises: BadInput, when `key` may not sign the newest root, or has, or another's signature fails."""
    root = read_root(folder)
    keys, by = _signers(folder, root)
    check_may_sign(folder / root.name, key, keys, by=by)
    check_others(folder / root.name, key, keys)


def root_text(folder: Path) -> bytes:
    """The newest root as it lies there. Raises: BadInput, when there is none."""
    return (folder / read_root(folder).name).read_bytes()


def sign_root(folder: Path, signer: Signer, shown: bytes | None = None) -> Path:
    """Add one signature to the newest root; the signature's path.

    shown: the root as the signer has seen it; no other one is signed.

    Raises: BadInput, StepFailed.
    """
    check_may_sign_root(folder, signer.public)
    path = folder / read_root(folder).name
    if shown is not None and path.read_bytes() != shown:
        raise BadInput(
            f"{path} is not what was shown.",
            why="the newest root changed meanwhile",
            next_step="Find out who writes there, and start again.",
        )
    return write_signature(path, signer)


def root_tallies(folder: Path, version: int | None = None) -> list[Tally]:
    """The signatures that a root needs: by its own root keys and by those of the root before."""
    root = read_root(folder, version)
    judges = [root] if root.version == 1 else [root, read_root(folder, root.version - 1)]
    return [
        count(
            folder / root.name,
            judge.root_keys,
            by=f"root keys of {judge.name}",
            needed=judge.root_threshold,
        )
        for judge in judges
    ]


def check_counts(folder: Path, *, expiry: bool = True) -> Root:
    """The newest root, judged with all before it as a site does.

    Raises: BadInput, saying why it does not count.
    """
    newest = read_root(folder)
    anchor = hashlib.sha256((folder / newest.name).read_bytes()).hexdigest()
    trust = Trust(anchor=anchor) if expiry else Trust(anchor=anchor, now=BEFORE_ALL)
    try:
        return check_roots(Medium(folder), trust)
    except (UntrustedBundle, DamagedBundle) as error:
        raise BadInput(
            f"{newest.name} cannot be used yet: {error.what}",
            why=error.why,
            next_step="`islet-bundle root show` says who has signed; `root sign` adds a signature, "
            "`root rotate` makes the next root.",
        ) from None


def copy_roots(roots: Path, folder: Path) -> None:
    """Put the roots and their signatures, and nothing else, beside a bundle."""
    if roots.resolve() == folder.resolve():
        return
    for path in sorted(roots.iterdir()):
        if names.ROOT.fullmatch(path.name) or names.ROOT_SIGNATURE.fullmatch(path.name):
            shutil.copyfile(path, folder / path.name)


def read_people(folder: Path) -> dict[str, str]:
    """Whose a key is, by key id, as `people` says; anybody may write there, and nothing is judged by it."""
    path = folder / PEOPLE
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
    return {match[1]: match[2].strip() for line in lines if (match := _PERSON.fullmatch(line))}


def describe_root(folder: Path, version: int | None = None) -> list[str]:
    """Who may sign what, how many must, until when, who has signed: in words."""
    root = read_root(folder, version)
    people = read_people(folder)
    lines = [f"{root.name}, good until {root.expires}", ""]
    for what, keys, needed in (
        ("A new root", root.root_keys, root.root_threshold),
        ("A release", root.release_keys, root.release_threshold),
    ):
        lines.append(f"{what} needs {needed} of these {len(keys)} keys; {_spare(len(keys) - needed)}")
        lines += [f"  {key.keyid}  {people.get(key.keyid, '')}".rstrip() for key in keys]
        lines.append("")
    tallies = root_tallies(folder, version)
    for tally in tallies:
        lines += tally.lines(people)
    return [*lines, "", verdict(root.name, tallies)]


def verdict(name: str, tallies: Sequence[Tally]) -> str:
    """Whether a root counts, in a sentence."""
    if all(tally.complete for tally in tallies):
        return f"{name} has every signature that it needs."
    return f"{name} does not count yet: no site believes it."


def _spare(spare: int) -> str:
    return f"{spare} may be lost" if spare else "none may be lost"


def _signers(folder: Path, root: Root) -> tuple[tuple[PublicKey, ...], str]:
    """Who may sign `root`: its own root keys and those of the root before."""
    if root.version == 1:
        return root.root_keys, f"root keys of {root.name}"
    before = read_root(folder, root.version - 1)
    others = tuple(key for key in before.root_keys if key not in root.root_keys)
    return root.root_keys + others, f"root keys of {root.name} and {before.name}"


def _write(folder: Path, root: Root, keys: dict[Path, PublicKey]) -> Path:
    text = format_root(root)
    try:
        parse_root(root.name, text)
    except UntrustedBundle as error:
        raise BadInput(
            "No site would accept this root.",
            why=error.why,
            next_step="Give other keys, thresholds or days.",
        ) from None
    make_outfolder(folder)
    people = {key.keyid: path.name.split(".")[0] for path, key in keys.items()} | read_people(folder)
    lines = [f"{keyid}  {name}\n" for keyid, name in people.items()]
    write_whole(folder / PEOPLE, "".join(lines).encode())
    path = folder / root.name
    write_whole(path, text)
    return path


def _read_keys(paths: Sequence[Path]) -> dict[Path, PublicKey]:
    return {path: read_public(path) for path in paths}


def _without(keys: tuple[PublicKey, ...], remove: tuple[str, ...]) -> tuple[PublicKey, ...]:
    return tuple(key for key in keys if key.keyid not in remove)


def _days_from_now(days: int) -> str:
    return (datetime.now(UTC) + timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")
