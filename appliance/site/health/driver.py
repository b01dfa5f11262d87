"""What the driver of the graphics cards says, asked of a process of its own."""

import json
import pwd
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from appliance.site.health.nvml import SUCCESS

PATIENCE_S = 30.0
"""A card that is being reset answers after seconds; a driver that hangs, never."""
NO_ANSWER = -1
"""No nvmlReturn_t: the process that asked did not come back with an answer."""

NVIDIA, DISPLAY = "0x10de", "0x03"
"""PCI vendor, and the class of display and 3D controllers."""

_ASK = """
import runpy, sys
sys.path[:] = sys.argv[1:]
runpy.run_module("appliance.site.health.nvml", run_name="__main__")
"""


@dataclass(frozen=True)
class Holder:
    """A program that computes on a card."""

    pid: int
    used_bytes: int | None
    """None: the driver does not say."""


@dataclass(frozen=True)
class Card:
    """One graphics card."""

    index: int
    error: int
    """nvmlReturn_t of what kept it from being looked at; 0: nothing."""
    name: str = ""
    total_bytes: int = 0
    free_bytes: int = 0
    capability: str = ""
    """CUDA compute capability, `9.0`; empty when not known."""
    ecc: bool | None = None
    """Whether error correction is on; None where the card has none."""
    uncorrected: int = 0
    """Memory errors since the driver was loaded that could not be corrected."""
    slices: tuple[int, ...] | None = None
    """Bytes of each MIG slice; None when the card is whole."""
    holders: tuple[Holder, ...] = ()


@dataclass(frozen=True)
class Driver:
    """What the driver says; `error` is the nvmlReturn_t that ended the look, 0 when nothing did."""

    error: int
    version: str = ""
    cuda: str = ""
    """Newest CUDA that it supports whole, `12.8`."""
    cards: tuple[Card, ...] = ()


def ask_driver(patience_s: float = PATIENCE_S) -> Driver:
    """Ask the driver, in a process that may hang or crash without harm here."""
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-B", "-c", _ASK, *filter(None, sys.path)],
            capture_output=True,
            timeout=patience_s,
            stdin=subprocess.DEVNULL,
        )
        return read_answer(json.loads(done.stdout))
    except (OSError, subprocess.TimeoutExpired, ValueError, KeyError, TypeError):
        return Driver(NO_ANSWER)


def read_answer(answer: dict[str, object]) -> Driver:
    """What `appliance.site.health.nvml` printed.

    Raises: KeyError, TypeError, ValueError, when it is not that.
    """
    cuda = _int(answer["cuda"])
    cards = answer["cards"]
    if not isinstance(cards, list):
        raise TypeError("cards")
    version = f"{cuda // 1000}.{cuda % 1000 // 10}" if cuda else ""
    return Driver(_int(answer["error"]), str(answer["driver"]), version, tuple(_card(each) for each in cards))


def _card(answer: dict[str, object]) -> Card:
    index, error = _int(answer["index"]), _int(answer["error"])
    if error != SUCCESS:
        return Card(index, error, name=str(answer["name"]))
    capability, ecc, slices, holders = (answer[k] for k in ("capability", "ecc", "slices", "processes"))
    return Card(
        index,
        error,
        name=str(answer["name"]),
        total_bytes=_int(answer["total"]),
        free_bytes=_int(answer["free"]),
        capability=".".join(map(str, capability)) if isinstance(capability, list) else "",
        ecc=ecc[0] == 1 if isinstance(ecc, list) else None,
        uncorrected=_int(answer["uncorrected"] or 0),
        slices=tuple(map(_int, slices)) if isinstance(slices, list) else None,
        holders=tuple(Holder(_int(e["pid"]), e["used"]) for e in holders)
        if isinstance(holders, list)
        else (),
    )


def _int(value: object) -> int:
    if not isinstance(value, int):
        raise TypeError(value)
    return value


def has_card(devices: Path = Path("/sys/bus/pci/devices")) -> bool:
    """Whether an NVIDIA display or 3D controller is on the bus, whatever drives it."""
    return any(
        _line(device / "vendor") == NVIDIA and _line(device / "class").startswith(DISPLAY)
        for device in (devices.iterdir() if devices.is_dir() else ())
    )


def _line(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""


def program_of(pid: int, proc: Path = Path("/proc")) -> tuple[str, str]:
    """Name and owner of a process; empty when it is not seen from here."""
    try:
        program = (proc / str(pid) / "comm").read_text(encoding="utf-8", errors="replace").strip()
        uid = (proc / str(pid)).stat().st_uid
    except OSError:
        return "", ""
    try:
        return program, pwd.getpwuid(uid).pw_name
    except KeyError:
        return program, str(uid)
