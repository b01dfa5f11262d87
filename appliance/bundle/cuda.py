"""Which NVIDIA driver a CUDA version needs: one table for the bundler's pages and the site's checks.

Standard library only.
"""

import re

FAMILY_MINIMUM = {11: "450.80.02", 12: "525.60.13", 13: "580.65.06"}
"""Oldest Linux driver that runs programs built with any toolkit of a major version (minor version
compatibility). Source: NVIDIA, CUDA Compatibility, "Minor Version Compatibility", table 1 (450, 525, 580) and
CUDA Toolkit Release Notes, table "CUDA Toolkit and Minimum Required Driver Version" (the full numbers)."""

CAME_WITH = {
    "11.8": "520.61.05", "12.0": "525.60.13", "12.1": "530.30.02", "12.2": "535.54.03", "12.3": "545.23.06",
    "12.4": "550.54.14", "12.5": "555.42.02", "12.6": "560.28.03", "12.8": "570.86.10", "12.9": "575.51.03",
    "13.0": "580.65.06", "13.1": "590.44.01",
}  # fmt: skip
"""CUDA version to the Linux driver inside its first installer, which supports all of it. Source: the names of
NVIDIA's own installers, `cuda_12.8.0_570.86.10_linux.run`."""

_DRIVER = re.compile(r"\d{3}(?:\.\d{1,3}){1,2}")
_CUDA = re.compile(r"\d{2}\.\d{1,2}")


def oldest_driver(cuda: str) -> str | None:
    """The oldest driver that runs what was built with CUDA `cuda`, `12.8`; None for a family not known."""
    return FAMILY_MINIMUM.get(int(cuda.split(".")[0])) if _CUDA.fullmatch(cuda) else None


def is_older(driver: str, than: str) -> bool:
    """Whether `driver`, `570.124.06`, is older than another; False when either is not such a number."""
    if not (_DRIVER.fullmatch(driver) and _DRIVER.fullmatch(than)):
        return False
    return _numbers(driver) < _numbers(than)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
