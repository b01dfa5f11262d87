"""Which wheels the target can run, and which of them pip would take there. This machine is not looked at."""

from collections.abc import Iterable
from functools import cache

from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import InvalidWheelFilename, parse_wheel_filename
from packaging.version import Version

from bundler.manifest import Target

LEGACY = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
"""Platform tags older than PEP 600, by the minor version of glibc 2 that each stands for."""

UV_GLIBC_MINORS = (17, 28, *range(31, 41))
"""The minor versions of glibc 2 that uv can resolve for. Source: `uv pip compile --help`, uv 0.13."""


@cache
def ranks(target: Target) -> dict[Tag, int]:
    """Every tag that the target supports, with its place in the order of preference, 0 first."""
    version = tuple(int(part) for part in target.python.split("."))
    short = "".join(str(part) for part in version)
    platforms = _platforms(int(target.glibc.split(".")[1]))
    # Without `abis`, packaging would ask the interpreter that runs us.
    own = cpython_tags(version, abis=[f"cp{short}"], platforms=platforms)
    common = compatible_tags(version, interpreter=f"cp{short}", platforms=platforms)
    return {tag: at for at, tag in enumerate(dict.fromkeys([*own, *common]))}


def best_wheel(names: Iterable[str], version: str, target: Target) -> str | None:
    """The file name that pip would take for the target among the wheels of one version; None if none fits."""
    order, best = ranks(target), None
    for name in names:
        try:
            _, its_version, build, tags = parse_wheel_filename(name)
        except InvalidWheelFilename:
            continue
        found = [order[tag] for tag in tags if tag in order]
        if its_version == Version(version) and found:
            candidate = (-min(found), build, name)
            best = candidate if best is None else max(best, candidate)
    return None if best is None else best[2]


def uv_platform(target: Target) -> str:
    """The target as uv names it: with the newest C library it knows that is not newer than the target's."""
    minor = int(target.glibc.split(".")[1])
    known = max((each for each in UV_GLIBC_MINORS if each <= minor), default=UV_GLIBC_MINORS[0])
    return f"x86_64-manylinux_2_{known}"


def _platforms(newest: int) -> list[str]:
    """Source: PEP 600; `linux_x86_64` is what pip takes beside them."""
    found = []
    for minor in range(newest, 4, -1):
        found.append(f"manylinux_2_{minor}_x86_64")
        if minor in LEGACY:
            found.append(f"{LEGACY[minor]}_x86_64")
    return [*found, "linux_x86_64"]
