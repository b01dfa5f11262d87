"""The pinned converter, and GGUF files made by it, kept for the tests that need them.

The converter's source package is fetched once into the user's cache folder and judged by its hash
each time; everything else is made anew each session.
"""

import functools
import os
import tempfile
from pathlib import Path

from appliance.progress import Silent
from bundler.converter import fetch_converter, lock_converter


def cache_folder() -> Path:
    """Where the tests keep what they fetch between sessions."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(home) / "islet-tests"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@functools.cache
def converter_folder() -> Path:
    """A folder with the converter's files."""
    place = tempfile.TemporaryDirectory(prefix="islet-converter-")
    _kept.append(place)
    into = Path(place.name) / "converter"
    lock = lock_converter(cache_folder(), Silent())
    fetch_converter(lock, cache_folder(), into)
    return into


_kept: list[tempfile.TemporaryDirectory[str]] = []
"""Kept alive until the session ends."""
