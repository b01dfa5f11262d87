"""What a wheel was built for: no GPU, or which CUDA. Judged from metadata, before gigabytes move."""

import importlib.metadata
import re
from collections.abc import Iterable

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from appliance.errors import BadInput
from bundler.manifest import Target

NONE = "none"
UNKNOWN = "unknown"

GPU_PACKAGES = re.compile(r"nvidia-|cuda-|triton$|pytorch-triton")
"""Canonical names of packages that are of use with a CUDA device only."""

TOOLKIT = re.compile(r"cuda-toolkit|nvidia-cuda-runtime(-cu\d+)?")
"""Packages whose version is that of CUDA."""


def built_for(version: str, requires: Iterable[str]) -> str:
    """What a torch of `version` that needs `requires` was built for: `12.8`, `none` or `unknown`.

    A build's own index says it in the local version (`+cpu`, `+cu128`); the general one in what torch
    needs: `nvidia-cuda-runtime-cu12==12.8.90`, or `cuda-toolkit[...]==13.0.2`.
    """
    local = Version(version).local or ""
    if local == "cpu":
        return NONE
    if named := re.fullmatch(r"cu(\d{2})(\d)", local):
        return f"{named[1]}.{named[2]}"
    needed = dict(_pins(requires))
    for name, pinned in needed.items():
        if TOOLKIT.fullmatch(name) and pinned:
            return ".".join(pinned.split(".")[:2])
    return UNKNOWN if any(GPU_PACKAGES.match(name) for name in needed) else NONE


def of_this_python() -> str:
    """What the torch of this interpreter was built for. Raises: BadInput, when there is none to ask."""
    try:
        torch = importlib.metadata.distribution("torch")
    except importlib.metadata.PackageNotFoundError as error:
        raise BadInput(
            "target.cuda is 'local', but there is no torch here.",
            why="the Python that runs the bundler has no torch to ask what it was built for",
            next_step="Set target.cuda in the manifest to 'none' or to a version like '12.8'.",
        ) from error
    found = built_for(torch.version, torch.requires or ())
    if found == UNKNOWN:
        raise BadInput(
            "target.cuda is 'local', but the torch here does not say what it was built for.",
            why=f"torch {torch.version} names no version of CUDA",
            next_step="Set target.cuda in the manifest to 'none' or to a version like '12.8'.",
        )
    return found


def check_cuda(packages: Iterable[tuple[str, str, tuple[str, ...]]], target: Target) -> None:
    """Pass if `packages`, each (name, version, what it needs), are for the target's GPU, or for none.

    Raises: BadInput, naming the package, the field of the manifest and the ways out.
    """
    for name, version, requires in packages:
        if target.cuda == NONE and GPU_PACKAGES.match(canonicalize_name(name)):
            raise _for_a_gpu(f"{name} {version}")
        if canonicalize_name(name) == "torch":
            _check_torch(version, built_for(version, requires), target)


def _check_torch(version: str, found: str, target: Target) -> None:
    if target.cuda == NONE and found != NONE:
        raise _for_a_gpu(f"torch {version}")
    if target.cuda != NONE and found == NONE:
        raise BadInput(
            "The wheels do not fit the target.",
            why=f"torch {version} is a build without CUDA, target.cuda is {target.cuda!r}",
            next_step="Bind torch to an index with builds for it ([[wheels.index]]), or set target.cuda to "
            "'none'.",
        )
    if target.cuda != NONE and found != UNKNOWN and Version(found) > Version(target.cuda):
        raise BadInput(
            "The wheels do not fit the target.",
            why=f"torch {version} is built for CUDA {found}, target.cuda is {target.cuda!r}: its driver "
            "cannot run it",
            next_step="Require an older torch (builds of the general index are for CUDA 12.8 up to torch "
            f"2.10, for CUDA 13 from 2.11 on), or bind torch, triton and nvidia-* to an index with builds "
            f"for CUDA {target.cuda} ([[wheels.index]]), or set target.cuda if every box has a newer driver.",
        )


def _for_a_gpu(package: str) -> BadInput:
    return BadInput(
        "The wheels do not fit the target.",
        why=f"target.cuda is 'none', but the requirements bring {package}: torch was found as a CUDA build",
        next_step="Bind torch to an index with CPU builds ([[wheels.index]] in the manifest), or set "
        "target.cuda.",
    )


def _pins(requires: Iterable[str]) -> Iterable[tuple[str, str]]:
    """(canonical name, version it is pinned to or empty) of what is needed on the target."""
    for text in requires:
        try:
            need = Requirement(text)
            if need.marker is not None and "extra" in str(need.marker):
                continue
            pinned = next((one.version for one in need.specifier if one.operator == "=="), "")
            if pinned:
                Version(pinned.removesuffix(".*"))
        except (InvalidRequirement, InvalidVersion):
            continue
        yield canonicalize_name(need.name), pinned
