"""Checkpoints: complete and verified, or not there.

- A checkpoint is written aside, synced, given a manifest with the SHA-256 of every file, and renamed.
- Which one a run goes on from is decided by hashing: the newest that verifies. The stock resume takes
  the highest number and goes on in silence with fresh optimizer state where a file is missing.
- Older ones are deleted only after a newer one stands.
"""

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from appliance.durable import sync_file, sync_folder, write_whole
from appliance.errors import HostNotReady
from appliance.sentence import say

MANIFEST = "manifest.json"
REQUIRED = (
    "adapter_config.json",
    "adapter_model.safetensors",
    "optimizer.pt",
    "rng_state.pth",
    "scheduler.pt",
    "trainer_state.json",
)
"""What going on exactly as if nothing had happened takes."""

PREFIX = "step-"


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file of a checkpoint."""

    size: int
    """Bytes."""
    sha256: str


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`manifest.json`, written last."""

    step: int
    files: dict[str, Entry]


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that verified."""

    folder: Path
    step: int
    """Optimizer steps done."""


@dataclass(frozen=True)
class Damage:
    """A checkpoint that was passed over."""

    folder: Path
    why: str


def save_checkpoint(folder: Path, step: int, fill: Callable[[Path], None], *, keep: int) -> Checkpoint:
    """Write the checkpoint of `step` under `folder`; `fill` puts the files into the folder that it is given.

    Raises: HostNotReady, when the disk is full or not writable; the checkpoints before are as they were.
    """
    place = folder / f"{PREFIX}{step:08d}"
    aside = folder / f".{place.name}.part"
    try:
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        fill(aside)
        _seal(aside, step)
        if place.exists():
            # Only one that did not verify can be in the way: a run goes on from the newest that does.
            shutil.rmtree(place)
        aside.rename(place)
        sync_folder(folder)
    except OSError as error:
        shutil.rmtree(aside, ignore_errors=True)
        raise HostNotReady(
            say("The checkpoint of step {step} could not be written.", step=step),
            why=say("{folder}: {error}", folder=folder, error=error.strerror or error),
            next_step="Free some space there and start the run again; it goes on from the checkpoint before.",
        ) from error
    # A higher number did not verify, or the run would have gone on from there: it takes no one's place.
    for old in [path for path in _numbered(folder) if _step(path) <= step][keep:]:
        shutil.rmtree(old, ignore_errors=True)
    return Checkpoint(place, step)


def newest_checkpoint(folder: Path) -> tuple[Checkpoint | None, list[Damage]]:
    """The newest checkpoint that verifies, and the newer ones that do not."""
    damaged: list[Damage] = []
    for place in _numbered(folder):
        why = find_damage(place)
        if why is None:
            return Checkpoint(place, _step(place)), damaged
        damaged.append(Damage(place, why))
    return None, damaged


def find_damage(place: Path) -> str | None:
    """What is wrong with the checkpoint in `place`; None if nothing is."""
    try:
        manifest = msgspec.json.decode((place / MANIFEST).read_bytes(), type=Manifest)
    except FileNotFoundError:
        return say("{name} is missing", name=MANIFEST)
    except (OSError, msgspec.MsgspecError):
        return say("{name} is damaged", name=MANIFEST)
    if manifest.step != _step(place):
        return say("{name} belongs to step {step}", name=MANIFEST, step=manifest.step)
    for name in sorted({*REQUIRED, *manifest.files}):
        entry, path = manifest.files.get(name), place / name
        if entry is None or not path.is_file():
            return say("{name} is missing", name=name)
        try:
            whole = path.stat().st_size == entry.size and _sha256(path) == entry.sha256
        except OSError:  # a disk that gives no bytes back: the checkpoint before may still be whole
            whole = False
        if not whole:
            return say("{name} is damaged", name=name)
    return None


def _seal(folder: Path, step: int) -> None:
    """Sync every file, and write the manifest last."""
    files = {}
    for path in sorted(folder.iterdir()):
        sync_file(path)
        files[path.name] = Entry(path.stat().st_size, _sha256(path))
    write_whole(folder / MANIFEST, msgspec.json.format(msgspec.json.encode(Manifest(step, files)), indent=2))
    sync_folder(folder)


def _numbered(folder: Path) -> list[Path]:
    """Folders that are named like checkpoints, newest first."""
    found = [path for path in folder.glob(f"{PREFIX}*") if path.name.removeprefix(PREFIX).isdecimal()]
    return sorted(found, key=_step, reverse=True)


def _step(place: Path) -> int:
    """The step in the name of a checkpoint's folder."""
    return int(place.name.removeprefix(PREFIX))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
