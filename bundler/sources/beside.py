"""Files that lie beside the manifest, and go from there into the bundle: still those that were locked?"""

from pathlib import Path

from appliance.errors import DamagedBundle
from bundler.sources import file_sha256


def check_locked(what: str, name: str, path: Path, sha256: str) -> None:
    """Pass if the file at `path` is the locked one. Raises: DamagedBundle.

    what: the file, for people. name: as `lock --upgrade` takes it.
    """
    got = file_sha256(path) if path.is_file() else "no file"
    if got != sha256:
        raise DamagedBundle(
            f"{what} {name} is not what was locked.",
            why=f"expected {sha256}, got {got}, at {path}",
            next_step="Put the locked file back, or take this one: "
            f"`islet-bundle lock --upgrade {name} MANIFEST`.",
        )
