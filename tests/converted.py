"""The pinned converter, and GGUF files made by it, kept for the tests that need them.

The converter's source package is fetched once into the user's cache folder and judged by its hash
each time; everything else is made anew each session.
"""

import functools
import os
import subprocess
import sys
import tempfile
from pathlib import Path


def cache_folder() -> Path:
    """Where the tests keep what they fetch between sessions."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(home) / "islet-tests"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


FETCH = """
import sys
from pathlib import Path
from appliance.progress import Terminal
from bundler.converter import fetch_converter, lock_converter
from bundler.manifest import Wheels
from bundler.sources.indexes import Indexes
cache, into = map(Path, sys.argv[1:])
indexes = Indexes(Wheels(), into)
fetch_converter(lock_converter(cache, indexes, Terminal()), cache, into, indexes, Terminal())
"""


@functools.cache
def converter_folder() -> Path:
    """A folder with the converter's files."""
    place = tempfile.TemporaryDirectory(prefix="islet-converter-")
    _kept.append(place)
    into = Path(place.name) / "converter"
    # In a process of its own: what runs inside a test may not leave this machine.
    subprocess.run([sys.executable, "-c", FETCH, cache_folder(), into], check=True)
    return into


_kept: list[tempfile.TemporaryDirectory[str]] = []
"""Kept alive until the session ends."""
