"""Marks in a release's folder: which part of it is not to be believed until an installation mended it."""

from pathlib import Path

from appliance.durable import write_whole

STORE_MARK, RUNTIME_MARK = "store.damaged", "runtime.damaged"
"""Files in a release's folder; install.sh knows the second."""


def mark(release: Path, name: str) -> bool:
    """Note damage in the release's folder; whether this account may."""
    try:
        write_whole(release / name, b"found by islet doctor\n")
    except OSError:
        return False
    return True


def unmark(release: Path, name: str) -> None:
    """The damage is mended."""
    (release / name).unlink(missing_ok=True)


def is_marked(release: Path, name: str) -> bool:
    """Whether damage was noted and not mended yet."""
    return (release / name).exists()
