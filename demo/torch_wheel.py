"""The torch of this machine as a wheel, from where this machine's pip has it, and pip's index for the rest.

The bundler looks at no pip settings, and torch may be a CPU build that only a setting names. So pip's own
client fetches that one wheel into a folder, which the manifest declares as torch's index.
"""

import functools
import importlib.metadata
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from bundler.sources import place

PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check")


def fetch_torch(folder: Path, cache: Path) -> Path:
    """Put the wheel of the installed torch into `folder`; `cache` keeps it for the next time."""
    version = importlib.metadata.version("torch")
    kept = cache / "torch" / version
    kept.mkdir(parents=True, exist_ok=True)
    if not any(kept.glob("*.whl")):
        with tempfile.TemporaryDirectory(dir=kept) as aside:  # another run may be fetching it too
            what = ["--no-deps", "--only-binary", ":all:", "--dest", aside, f"torch=={version}"]
            subprocess.run([*PIP, "download", "--quiet", *what], check=True)
            [fetched] = Path(aside).glob("*.whl")
            fetched.replace(kept / fetched.name)
    [wheel] = kept.glob("*.whl")
    place(wheel, folder / wheel.name)
    return folder / wheel.name


@functools.cache
def index_options() -> tuple[str, ...]:
    """Options that give the bundler the index of this machine's pip; none where pip has its own."""
    listed = subprocess.run([*PIP, "config", "list"], capture_output=True, text=True, check=True).stdout
    found = dict(re.findall(r"^(:env:|global|install|download)\.index-url='(.+)'$", listed, re.MULTILINE))
    for place_of_setting in (":env:", "download", "install", "global"):
        if place_of_setting in found:
            return "--index", found[place_of_setting]
    return ()
