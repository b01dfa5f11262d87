"""A model of a real one's size, made on the spot, and its way into a bundle over a bad line."""

import hashlib
import json
import os
import random
import re
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from demo.hub_server import Lies, Request, serve
from tests.real import BUNDLER, bundler
from tests.test_conda import HERE, write_channel

HUB = "clinic/large"
PIECE_BYTES = 1 << 20
TOKEN = "hf_plantedPLANTEDplanted"
ENVIRONMENT = os.environ | {"HF_TOKEN": TOKEN}
MANIFEST = f"""
[bundle]
product = "islet-large"
[target]
python = "{HERE}"
[runtime]
channels = ["./channel"]
[[models]]
hub = "{HUB}"
[[extras]]
name = "handbook"
path = "handbook.txt"
[tools]
converter = false
"""


@dataclass(frozen=True)
class Passage:
    """What it took."""

    model_bytes: int
    lock_s: float
    build_s: float
    """Of the run that finished."""
    killed_at_bytes: int
    """What was in the cache when the build before was killed."""
    connections: int
    """Made for weights, by both builds."""
    resumed: int
    """Of these, how many asked for a rest."""
    peak_bytes: int
    """Resident memory of the bundler at its largest."""
    hashes: Mapping[str, str]
    """By path, of the shards as they are in the bundle."""


def write_model(folder: Path, size: int, shards: int, seed: int) -> dict[str, str]:
    """A sharded model of `size` bytes of weights by `seed` in `folder`; path to SHA-256 of its shards."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3"}')
    chance, hashes, places = random.Random(seed), {}, {}
    for number in range(1, shards + 1):
        name = f"model-{number:05d}-of-{shards:05d}.safetensors"
        places[f"layer.{number}.weight"] = name
        hashes[f"models/{HUB}/{name}"] = _write_shard(folder / name, number, size // shards, chance)
    index = {"metadata": {"total_size": size}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return hashes


def _write_shard(path: Path, number: int, size: int, chance: random.Random) -> str:
    """One shard with one tensor of `size` bytes; its SHA-256."""
    header = {f"layer.{number}.weight": {"dtype": "BF16", "shape": [size // 2], "data_offsets": [0, size]}}
    text = json.dumps(header).encode()
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for piece in (struct.pack("<Q", len(text)), text, *_pieces(size, chance)):
            digest.update(piece)
            file.write(piece)
    return digest.hexdigest()


def _pieces(size: int, chance: random.Random) -> Iterator[bytes]:
    """`size` random bytes: a few pieces again and again in random order, because to draw all takes long."""
    drawn = [chance.randbytes(PIECE_BYTES) for _ in range(16)]
    for at in range(0, size, PIECE_BYTES):
        yield chance.choice(drawn)[: size - at]


def carry(folder: Path, size: int, *, shards: int = 4, seed: int = 20261121) -> Passage:
    """Lock and build such a model below `folder`, by a hub that cuts connections, is busy and sends errors.

    The first build is killed while it downloads; the second goes on from there. The model is gated, and the
    user's token opens it; it is in nothing that was written or said.
    """
    made = write_model(folder / "model", size, shards, seed)
    write_channel(folder / "channel")
    manifest = folder / "bundle.toml"
    manifest.write_text(MANIFEST)
    (folder / "handbook.txt").write_text("How to.\n")
    for name in ("root", "release"):
        bundler("keygen", "--no-passphrase", folder / f"{name}.pem")
    pair = ("--root-key", folder / "root.pem.pub", "--release-key", folder / "release.pem.pub")
    bundler("root", "init", folder / "roots", *pair)
    cache, out = folder / "cache", folder / "out"
    asked: list[Request] = []
    lies = Lies(cut=("*.safetensors",), busy=("*.safetensors", "config.json"))
    with serve({HUB: folder / "model"}, lies=lies, asked=asked, gated={HUB: TOKEN}) as hub:
        options: list[str | Path] = ["--cache", cache, "--hub", hub]
        lock_s, lock_peak = _timed([BUNDLER, "lock", manifest, *options])
        where: list[str | Path] = ["--out", out, "--number", "1", "--roots", folder / "roots"]
        build = [BUNDLER, "build", manifest, *where, *options]
        killed_at = _killed(build, cache / "hub", size // 3)
        assert not out.exists()
        build_s, build_peak = _timed(build)
    found = subprocess.run(["grep", "-rlF", TOKEN, folder], capture_output=True, text=True)
    assert (found.returncode, found.stdout) == (1, ""), "the user's token was written down"
    contents = json.loads((out / "contents.json").read_text())
    assert "extras/handbook/handbook.txt" in [each["path"] for each in contents["files"]]
    weights = [each for each in asked if "/lfs/" in each.path]
    passage = Passage(
        model_bytes=size,
        lock_s=lock_s,
        build_s=build_s,
        killed_at_bytes=killed_at,
        connections=len(weights),
        resumed=sum("range" in each.headers for each in weights),
        peak_bytes=max(lock_peak, build_peak),
        hashes={each["path"]: each["sha256"] for each in contents["files"] if each["path"] in made},
    )
    assert passage.hashes == made
    return passage


def _timed(command: list[str | Path]) -> tuple[float, int]:
    """Run a command that must succeed and must not say the token: (seconds, peak of resident bytes)."""
    began, peak = time.monotonic(), 0
    with tempfile.TemporaryFile() as said:
        child = subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT, env=ENVIRONMENT)
        while child.poll() is None:
            peak = max(peak, _peak_of(child.pid))
            time.sleep(0.02)
        said.seek(0)
        output = said.read()
    assert child.returncode == 0, output[-4000:]
    assert TOKEN.encode() not in output
    return time.monotonic() - began, peak


def _peak_of(process: int) -> int:
    """The most resident bytes that a process has had; what wait() tells counts what its parent had, too."""
    status = Path(f"/proc/{process}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found[1]) * 1024 if found else 0  # none, once it has ended


def _killed(command: list[str | Path], cache: Path, enough: int) -> int:
    """Start a command and kill it when `enough` bytes lie in `cache`; how many did then."""
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=ENVIRONMENT)
    assert child.stderr is not None
    until = time.monotonic() + 600
    while (held := _size(cache)) < enough:
        assert child.poll() is None, child.stderr.read()
        assert time.monotonic() < until
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    return held


def _size(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except FileNotFoundError:  # renamed in this moment
            continue
    return total


def words(passage: Passage) -> str:
    """One line for a person."""
    return (
        f"{passage.model_bytes / 1e9:.1f} GB model over a bad line: lock {passage.lock_s:.1f} s, killed at "
        f"{passage.killed_at_bytes / 1e9:.2f} GB, build {passage.build_s:.1f} s, {passage.connections} "
        f"connections ({passage.resumed} went on where one broke), "
        f"peak memory {passage.peak_bytes / 1e6:.0f} MB"
    )


if __name__ == "__main__":
    print(words(carry(Path(sys.argv[1]), int(sys.argv[2]))))
