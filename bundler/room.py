"""How much room a lock will take, from the download to the site.

Compressed sizes are known, unfolded ones not: those are estimates, by ratios that were measured. The release
itself states the room exactly, once it is built.
"""

from dataclasses import dataclass
from pathlib import Path

from bundler.lock import Lock
from bundler.pack import Item, lay_out

LARGE_WHEEL_BYTES = 250_000_000
LARGE_UNFOLDED = 2.0
"""CUDA libraries hardly compress. Measured on torch 2.10.0 for CUDA 12.8, cublas, cudnn, nccl: 1.3 to 1.9."""
WHEEL_UNFOLDED = 3.6
"""Measured on the 59 wheels of the demonstration, torch for the CPU among them: 3.4; triton: 3.6."""
CONDA_PACKED = 1.1
"""runtime.tar.gz to the packages that it is made of. Measured on the demonstration's: 1.07."""
CONDA_UNFOLDED = 2.8
"""Measured on the same: 2.76."""
CONVERTER_BYTES = 2_000_000
"""What is taken out of the converter's source package; measured: 1.7 MB."""


@dataclass(frozen=True)
class Room:
    """Bytes on each disk that a bundle passes, and how many volumes it makes."""

    volumes: int
    download: int
    """The cache of the machine that builds."""
    bundle: int
    """The finished folder; as much again is not needed."""
    store: int
    """The site's store, in which every file is kept once."""
    unfolded: int
    """The site's runtime: the conda environment with the wheels installed."""

    @property
    def site(self) -> int:
        """What one release takes at the site."""
        return self.store + self.unfolded


def estimate_room(lock: Lock, volume_bytes: int) -> Room:
    """The room that `lock` will take. Raises: BadInput, when the volumes are too small."""
    items = planned_items(lock)
    contents = lay_out(items, volume_bytes)
    once = {item.sha256: item.size for item in items}
    conda = sum(package.size for package in lock.runtime.packages)
    runtime = int(conda * CONDA_PACKED)
    source = 0 if lock.converter is None else lock.converter.size
    downloaded = [f.size for model in lock.models for f in model.files] + [w.size for w in lock.wheels]
    downloaded += [extra.size for extra in lock.extras if extra.url]
    return Room(
        volumes=len(contents.volumes),
        download=sum(downloaded) + conda + source,
        bundle=sum(volume.size for volume in contents.volumes) + runtime,
        store=sum(once.values()),
        unfolded=int(conda * CONDA_UNFOLDED) + sum(_unfolded(wheel.size) for wheel in lock.wheels),
    )


def planned_items(lock: Lock) -> list[Item]:
    """The payload as the lock knows it, without the bytes; of the converter, only its size."""
    files = [(f"models/{model.hub}/{f.path}", f.sha256, f.size) for model in lock.models for f in model.files]
    files += [(f"wheels/{wheel.filename}", wheel.sha256, wheel.size) for wheel in lock.wheels]
    files += [(f"datasets/{Path(each.path).name}", each.sha256, each.size) for each in lock.datasets]
    files += [(f"extras/{each.name}/{each.file}", each.sha256, each.size) for each in lock.extras]
    if lock.converter is not None:
        files.append(("tools/llama.cpp/converter", lock.converter.sha256, CONVERTER_BYTES))
    return [Item(path, "", "", "", Path(), sha256, size) for path, sha256, size in files]


def _unfolded(size: int) -> int:
    """What a wheel of `size` bytes comes to when it is installed, about."""
    return int(size * (LARGE_UNFOLDED if size > LARGE_WHEEL_BYTES else WHEEL_UNFOLDED))
