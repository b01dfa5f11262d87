"""The audit log: JSON lines, each with the SHA-256 of the line before."""

import fcntl
import hashlib
import json
import os
from datetime import UTC, datetime
from pathlib import Path

FIRST = "0" * 64
"""What the first entry names as the hash before it."""


def append(log: Path, event: str, **facts: str | int) -> None:
    """Add one entry, flushed to the disk. Facts say what was done; never what a patient said.

    Raises: OSError, when the log cannot be written.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(log, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o640), "r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        lines = file.read().splitlines()
        before = hashlib.sha256(lines[-1]).hexdigest() if lines else FIRST
        entry = {
            "time": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "event": event,
            "uid": os.getuid(),
            **facts,
            "before": before,
        }
        file.write(json.dumps(entry, sort_keys=True, ensure_ascii=False).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())
