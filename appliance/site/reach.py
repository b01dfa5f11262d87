"""What removing something reaches on this disk, and what it does not: said to whoever removes patients' rows.

Looks at how what is below a folder is encrypted. `fscrypt`: the folder, by its file system. `disk`: the whole
disk (LUKS, dm-crypt). Either way who has no key reads nothing, and who has it may still find blocks that are
free; destroying that key (`fscrypt destroy`, `cryptsetup erase`) is what reaches all of them, and is not done
from here, because everything else goes with it. Changes nothing. Linux only.
"""

import array
import fcntl
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from appliance.sentence import Sentence, say

Encryption = Literal["fscrypt", "disk", "none", "unknown"]

GET_POLICY = 0xC0096616
"""FS_IOC_GET_ENCRYPTION_POLICY_EX, `_IOWR('f', 22, __u8[9])`. Source: Linux, include/uapi/linux/fscrypt.h."""
_POLICY_BYTES = 24
DEEPEST = 8
"""Devices under devices that are looked at: a partition, LUKS, LVM, RAID."""


@dataclass(frozen=True)
class Reach:
    """What is known of the disk below a folder."""

    encryption: Encryption
    device: str = ""
    """Name of the block device, where there is one: `dm-1`."""
    spins: bool | None = None
    """Whether it is a disk with platters; None where the kernel does not say."""


def find_reach(folder: Path, *, sys: Path = Path("/sys")) -> Reach:
    """How the disk below `folder` is encrypted.

    sys: where the kernel shows its devices
    """
    number = folder.stat().st_dev
    device = sys / "dev" / "block" / f"{os.major(number)}:{os.minor(number)}"
    below = _below(device, DEEPEST)
    name = device.resolve().name if below else ""
    spins = _spins(below)
    if _has_policy(folder):
        return Reach("fscrypt", name, spins)
    if not below:  # btrfs, ZFS, a network or memory: no device that the kernel names
        return Reach("unknown")
    return Reach("disk" if any(_is_crypt(each) for each in below) else "none", name, spins)


def _below(device: Path, deepest: int) -> list[Path]:
    """The device and every one that it lies on."""
    if not device.exists() or deepest == 0:
        return []
    found = [device]
    for slave in sorted(device.glob("slaves/*")):
        found += _below(slave.resolve(), deepest - 1)
    return found


def _is_crypt(device: Path) -> bool:
    """Whether device mapper encrypts here: its UUID says who made it. Source: cryptsetup, libdevmapper.c."""
    return _text(device / "dm" / "uuid").startswith("CRYPT-")


def _spins(devices: list[Path]) -> bool | None:
    """What the lowest device says of itself; of a partition its disk."""
    for device in reversed(devices):
        for place in (device, device.resolve().parent):
            said = _text(place / "queue" / "rotational")
            if said:
                return said == "1"
    return None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""


def _has_policy(folder: Path) -> bool:
    """Whether the file system encrypts what is in this folder."""
    answer = array.array("B", _POLICY_BYTES.to_bytes(8, "little") + bytes(_POLICY_BYTES))
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return False
    try:
        fcntl.ioctl(handle, GET_POLICY, answer, True)
    except OSError:
        return False
    finally:
        os.close(handle)
    return True


def reach_sentences(reach: Reach) -> tuple[Sentence, ...]:
    """What deletion reaches and what it does not, in words."""
    return (*_OF_DISK[reach.encryption], *((_SPARE,) if reach.spins is not True else ()), *_NEVER)


_WITH_KEY = say("Who has that key may still read blocks that are free, until they are written over.")
_OF_DISK: dict[Encryption, tuple[Sentence, ...]] = {
    "fscrypt": (
        say("The folder is encrypted by its file system: nobody reads what is left without its key."),
        _WITH_KEY,
    ),
    "disk": (
        say("The disk is encrypted as a whole: nobody reads what is left on it without its key."),
        _WITH_KEY,
    ),
    "none": (
        say("The disk is not encrypted: free blocks and the journal may still hold rows for who has it."),
    ),
    "unknown": (
        say("Whether the disk is encrypted could not be found out: think of it as one that is not."),
    ),
}
_SPARE = say("A solid-state disk may keep old blocks that no program can overwrite.")
_NEVER = (
    say("Not reached: backups, copies on other media and in runs, models that were trained or exported."),
)
