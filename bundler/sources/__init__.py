"""Where the bytes come from, one module a source; here is what they share: files checked by hash.

A source locks (resolves words to hashes) and fetches (gives exactly the locked bytes, or refuses).
"""

import hashlib
import os
from pathlib import Path

from appliance.errors import DamagedBundle

READ_BYTES = 4 << 20


def file_sha256(path: Path) -> str:
    """The SHA-256 of the file's bytes, 64 lower-case hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def wrong_bytes(name: str, *, expected: str, got: str) -> DamagedBundle:
    """The refusal of a fetched file whose bytes are not those that the source's listing or the lock names."""
    return DamagedBundle(
        f"The source served wrong bytes for {name}.",
        why=f"expected {expected}, got {got}",
        next_step="Fetch again: run the same command. If it stays so, lock again or ask its owner.",
    )


def place(source: Path, target: Path) -> None:
    """Make `target` lead to the bytes of `source`: a hard link where the disk allows it, else a symbolic one.

    Never a copy: gigabytes on another disk than the cache would need their room twice.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        target.symlink_to(source.resolve())
