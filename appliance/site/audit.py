"""The audit log: JSON lines, each with the SHA-256 of the line before.

Who can write the file can write it anew, whole, with a chain that fits: the head, written down
elsewhere (in a report, on an exported copy), is what shows it. A line that a power cut tore stays,
is counted, and the chain goes on over its bytes.

An entry about what the box runs is written before it is done: a kill may leave an entry of something
that did not come to be, and was then done again, but never a change without an entry.
"""

import fcntl
import hashlib
import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from appliance.errors import StepFailed
from appliance.sentence import say

FIRST = "0" * 64
"""What the first entry names as the hash before it."""


@dataclass(frozen=True)
class Checked:
    """A log whose chain holds."""

    entries: list[dict[str, Any]]
    torn: int
    """Lines that a power cut left incomplete."""
    head: str
    """SHA-256 of the last line: who knows it can tell whether anything before was changed."""


def append(log: Path, event: str, **facts: str | int) -> None:
    """Add one entry, flushed to the disk. Facts say what was done; never what a patient said.

    Raises: OSError, when the log cannot be written.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(log, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o640), "r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        text = file.read()
        entry = {
            "time": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "event": event,
            "uid": os.getuid(),
            **facts,
            "before": _head(text.splitlines()),
        }
        line = json.dumps(entry, sort_keys=True, ensure_ascii=False).encode() + b"\n"
        file.write(line if text.endswith(b"\n") or not text else b"\n" + line)
        file.flush()
        os.fsync(file.fileno())


def check(log: Path) -> Checked:
    """Follow the chain from the first entry to the last.

    Raises: StepFailed, naming the first line that does not fit, when something was changed, removed
    or put in between.
    """
    lines = log.read_bytes().splitlines() if log.exists() else []
    entries = []
    for number, line in enumerate(lines, start=1):
        try:
            entry = json.loads(line)
        except ValueError:
            continue  # torn; what follows names its bytes, so it cannot be taken away unseen
        if not isinstance(entry, dict) or entry.get("before") != _head(lines[: number - 1]):
            raise StepFailed(
                "The audit log does not hold together.",
                why=say("line {number} does not follow from the line before it", number=number),
                next_step="Keep the file as it is and show it to the security officer.",
            )
        entries.append(entry)
    return Checked(entries, len(lines) - len(entries), _head(lines))


def _head(lines: list[bytes]) -> str:
    return hashlib.sha256(lines[-1]).hexdigest() if lines else FIRST
