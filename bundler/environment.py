"""Which Python packages the conda environment brings: no wheel may bring one of them a second time."""

import re
from pathlib import Path

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from bundler.sources.conda import LockedRuntime, fetch_package

INSTALLED = re.compile(r"(?:.*/)?site-packages/([^/]+?)-([^/-]+?)(?:-py3[.\d]*)?\.(?:dist|egg)-info(?:/.*)?")
"""A file by which pip knows a package. Source: PyPA specification "Recording installed projects"."""


def python_packages(runtime: LockedRuntime, *, base: Path, cache: Path) -> dict[str, str]:
    """Canonical name to version of every Python package in the environment, read from the packages' lists of
    files; sorted.

    base: the manifest's folder.

    Raises: DamagedBundle, when a conda package is not the locked one; StepFailed, when it cannot be fetched.
    """
    from rattler import PathsJson

    found: dict[str, str] = {}
    for package in runtime.packages:
        path = fetch_package(package, base=base, cache=cache)
        for entry in PathsJson.from_package_archive(path).paths:
            named = INSTALLED.fullmatch(str(entry.relative_path))
            if named and _is_version(named[2]):
                found[canonicalize_name(named[1])] = named[2]
    return dict(sorted(found.items()))


def _is_version(text: str) -> bool:
    try:
        Version(text)
    except InvalidVersion:
        return False
    return True
