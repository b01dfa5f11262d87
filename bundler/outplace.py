"""Where a command is told to write: judged before its work begins, and said in words where it cannot be."""

import os
from pathlib import Path

from appliance.durable import DISK_FAULTS
from appliance.errors import BadInput


def check_outfile(path: Path) -> None:
    """Pass if a file can be written at `path`. Raises: BadInput."""
    folder = path.absolute().parent
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise _refusal(path, f"{folder} is no folder that you may write to")


def make_outfolder(folder: Path) -> None:
    """Make `folder`, if it is not there. Raises: BadInput, when it cannot be made; OSError, of a bad disk."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if error.errno in DISK_FAULTS:
            raise
        raise _refusal(folder, error.strerror or str(error)) from error


def _refusal(path: Path, why: str) -> BadInput:
    return BadInput(
        f"{path} cannot be written.", why=why, next_step="Give a name in a folder that you may write to."
    )
