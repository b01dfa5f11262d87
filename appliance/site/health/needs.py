"""What an installed or arriving release asks of a box, read from the list of its files."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from appliance.bundle.contents import Contents, Entry

_TORCH_CUDA = re.compile(r"\+cu(\d{2})(\d{1,2})$")
_RUNTIME = re.compile(r"cuda-toolkit|nvidia-cuda-runtime(?:-cu\d+)?")
_MANYLINUX = re.compile(r"manylinux_2_(\d{1,3})_")
_OLD_MANYLINUX = {"manylinux1": 5, "manylinux2010": 12, "manylinux2014": 17}
"""Old names of platform tags, by the minor number of their glibc 2. Source: PEP 600."""


@dataclass(frozen=True)
class Needs:
    """What a release asks for."""

    torch: bool = False
    """Whether it can train."""
    cuda: str | None = None
    """CUDA that its torch was built with, `12.8`; None: for the processor only."""
    glibc: tuple[int, int] = (2, 0)
    """Newest glibc that a wheel asks for."""
    model_bytes: int = 0
    """Weights of the largest model that it brings."""

    @property
    def run_bytes(self) -> int:
        """Room that training and exporting the largest model takes, at most: the merged model, the GGUF of
        the same width, and the checkpoints and reports, which are small beside them."""
        return 2 * self.model_bytes + RUN_BYTES

    @property
    def memory_bytes(self) -> int:
        """Memory for merging the largest model, which holds it once, and for the programs themselves."""
        return self.model_bytes + PROGRAMS_BYTES


RUN_BYTES = 1_000_000_000
"""Checkpoints of an adapter (some 200 MB at rank 16 on 8 B weights, three kept), data and reports."""
PROGRAMS_BYTES = 4_000_000_000
"""What torch and its libraries take beside the weights."""


def read_needs(contents: Contents) -> Needs:
    """What the release with these files asks for."""
    wheels = [entry for entry in contents.entries if entry.kind == "wheel"]
    versions = dict(_name_and_version(entry) for entry in wheels)
    return Needs(
        torch="torch" in versions,
        cuda=_cuda(versions),
        glibc=(2, max((_glibc(entry.path) for entry in wheels), default=0)),
        model_bytes=_largest_model(contents.entries),
    )


def _name_and_version(entry: Entry) -> tuple[str, str]:
    name, _, version = entry.component.partition(" ")
    return name, version


def _cuda(versions: dict[str, str]) -> str | None:
    if found := _TORCH_CUDA.search(versions.get("torch", "")):
        return f"{found[1]}.{found[2]}"
    for name, version in versions.items():
        if _RUNTIME.fullmatch(name):
            return ".".join(version.split(".")[:2])
    return None


def _glibc(path: str) -> int:
    """Minor number of the glibc that a wheel's file name asks for: the least of its platform tags."""
    tag = path.removesuffix(".whl").rsplit("-", 1)[-1]
    found = [int(each) for each in _MANYLINUX.findall(tag)]
    found += [minor for name, minor in _OLD_MANYLINUX.items() if f"{name}_" in tag]
    return min(found, default=0)


def _largest_model(entries: Iterable[Entry]) -> int:
    sizes: dict[str, int] = {}
    for entry in entries:
        if entry.kind == "model" and entry.path.endswith((".safetensors", ".gguf")):
            sizes[entry.component] = sizes.get(entry.component, 0) + entry.size
    return max(sizes.values(), default=0)
