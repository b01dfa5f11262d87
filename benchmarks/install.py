"""Verify and install a bundle with several GB of weights: bytes, time, memory, disk.

    .venv/bin/python -m benchmarks.install [--gigabytes 3]

The bundle is the tests' small one (a real conda environment and wheels) with random bytes as a model's
weights added, listed and signed anew by the bundler's own code. What is measured, in one run:

- bytes read from the medium and written under the prefix, counted in a system-call trace of a whole install;
- wall time of its stage that reads, hashes, writes and syncs the payload, against the slower of `cat` of
  the volumes to /dev/null and copying them with fsync; the rest (control files, the runtime and its
  wheels, the switch) is reported apart;
- what one core needs to read, to hash and to write as many bytes, each alone: the floor of that stage;
- the largest memory of any process of it; room on the disk; a re-install (median of five); a rollback.

Before every timing the files are written back and dropped from the page cache.
"""

import argparse
import hashlib
import os
import re
import shutil
import statistics
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from appliance.bundle.contents import format_contents, parse_contents
from appliance.bundle.medium import CHUNK_BYTES
from appliance.bundle.release import format_release, parse_release
from appliance.bundle.sums import format_sums
from appliance.progress import Silent
from bundler.pack import Item, lay_out, write_volumes
from bundler.signer import KeyFile, write_signature
from bundler.sources import file_sha256

ROOT = Path(__file__).parents[1]
WORK = ROOT / "build" / "benchmarks" / "install"
VOLUME_BYTES = 4_000_000_000
PIECE = 64 * 1024 * 1024


@dataclass(frozen=True)
class Medium:
    """A signed bundle."""

    folder: Path
    anchor: str

    @property
    def payload_bytes(self) -> int:
        """Of the volumes."""
        return sum(path.stat().st_size for path in self.folder.glob("payload.*"))


def main() -> None:
    """Make the bundles, measure, print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--gigabytes", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)
    before, weights = make_bundles(int(asked.gigabytes * 1e9))
    print(f"CPU seconds of the payload alone: {floor(weights)}", flush=True)
    ratios = []
    for number in range(asked.rounds):
        took = one_round(before, weights)
        ratios.append(took["payload"] / max(took["cat"], took["copy"]))
        print(
            f"round {number + 1}: " + ", ".join(f"{name} {s:.2f} s" for name, s in took.items()), flush=True
        )
        again = took["again"] / took["install"]
        print(
            f"  payload to the slower of cat and copy: {ratios[-1]:.2f}; again to first: {again:.3f}",
            flush=True,
        )
    print(f"median ratio {sorted(ratios)[len(ratios) // 2]:.2f}, load average {os.getloadavg()[0]:.1f}")
    print(f"largest memory of a process: {peak_bytes(weights) / 1e6:.0f} MB", flush=True)
    for name, value in {**disk_use(weights), **traced_bytes(weights)}.items():
        print(f"{name}: {value}", flush=True)
    shutil.rmtree(WORK)


def make_bundles(weight_bytes: int) -> tuple[Medium, Medium]:
    """The small bundle, and the same with weights, as releases 1 and 2."""
    from demo import hub_server
    from demo.channel import build_channel
    from tests.real import MODEL, SMALL_MANIFEST, _make
    from tests.tiny import make_tiny_model

    build_channel(WORK / "channel")
    make_tiny_model(WORK / "model")
    (WORK / "small").mkdir()
    with hub_server.serve({MODEL: WORK / "model"}) as hub:
        made = _make(WORK / "small", SMALL_MANIFEST.replace("./channel", "../channel"), hub)
    folder = WORK / "weights"
    shutil.copytree(made.folder, folder, ignore=shutil.ignore_patterns("payload.*", "SHA256SUMS*"))
    items = [*_items_of(made.folder), *_random_items(weight_bytes)]
    contents = lay_out(items, VOLUME_BYTES)
    write_volumes(contents, items, folder, Silent())
    (folder / "contents.json").write_bytes(format_contents(contents))
    release = parse_release((folder / "RELEASE").read_bytes())
    release = replace(release, number=2, disk_bytes=release.disk_bytes + weight_bytes)
    (folder / "RELEASE").write_bytes(format_release(release))
    hashes = {path.name: file_sha256(path) for path in folder.iterdir() if not path.name.startswith("root.")}
    (folder / "SHA256SUMS").write_bytes(format_sums(hashes))
    write_signature(folder / "SHA256SUMS", KeyFile(made.key, None))
    shutil.rmtree(WORK / "sources")
    return Medium(made.folder, made.anchor), Medium(folder, made.anchor)


def _items_of(bundle: Path) -> Iterator[Item]:
    """What a bundle carries, out of its volumes."""
    place = WORK / "sources"
    for volume in sorted(bundle.glob("payload.*.tar")):
        with tarfile.open(volume) as tar:
            tar.extractall(place, filter="data")
    for entry in parse_contents((bundle / "contents.json").read_bytes()).entries:
        source = place / entry.path
        yield Item(
            entry.path,
            entry.kind,
            entry.component,
            entry.licence,
            source,
            entry.sha256,
            entry.size,
            entry.mode,
        )


def _random_items(total: int) -> Iterator[Item]:
    """Four files of random bytes, as a model's shards are."""
    for number in range(4):
        source = WORK / "sources" / f"shard-{number}"
        with source.open("wb") as file:
            for _ in range(total // 4 // PIECE):
                file.write(os.urandom(PIECE))
        path = f"models/bench/random/model-{number}.safetensors"
        yield Item(
            path, "model", "bench/random", "CC0-1.0", source, file_sha256(source), source.stat().st_size
        )


def one_round(before: Medium, weights: Medium) -> dict[str, float]:
    """Seconds of everything, one after the other."""
    shutil.rmtree(WORK / "site", ignore_errors=True)
    files = sorted(weights.folder.glob("payload.*"))
    forget(files)
    took = {"cat": timed(["sh", "-c", 'cat "$1"/payload.* >/dev/null', "sh", weights.folder])[0]}
    forget(files)
    started = time.monotonic()
    for path in files:
        shutil.copyfile(path, WORK / "copy")
        subprocess.run(["sync", WORK / "copy"], check=True)
    took["copy"] = time.monotonic() - started
    (WORK / "copy").unlink()
    timed(install_command(before))
    forget(files)
    took["install"], told = timed(install_command(weights))
    stage = re.search(r"copying from the medium .* in ([0-9.]+) s", told)
    took["payload"] = float(stage[1]) if stage else sys.exit(told)
    took["rest"] = took["install"] - took["payload"]
    took["again"] = statistics.median(timed(install_command(weights))[0] for _ in range(5))
    took["rollback"] = timed([WORK / "site/opt/bin/islet", "rollback", "--yes"])[0]
    return took


def floor(weights: Medium) -> str:
    """CPU seconds that reading, hashing and writing the payload take, each alone, in words."""
    cpu: dict[str, float] = {"read": 0.0, "hash": 0.0, "write": 0.0}
    hasher, target = hashlib.sha256(), WORK / "floor"
    with target.open("wb", buffering=0) as out:
        for path in sorted(weights.folder.glob("payload.*")):
            with path.open("rb", buffering=0) as file:
                buffer = memoryview(bytearray(CHUNK_BYTES))
                while length := _timed_cpu(cpu, "read", lambda: file.readinto(buffer)):  # noqa: B023
                    piece = buffer[:length]
                    _timed_cpu(cpu, "hash", lambda: hasher.update(piece))  # noqa: B023
                    _timed_cpu(cpu, "write", lambda: out.write(piece))  # noqa: B023
    target.unlink()
    told = ", ".join(f"{what} {seconds:.2f}" for what, seconds in cpu.items())
    return f"{told}; {sum(cpu.values()) / 2:.2f} s on two cores"


def _timed_cpu(cpu: dict[str, float], what: str, act: Callable[[], Any]) -> Any:
    before = time.process_time()
    found = act()
    cpu[what] += time.process_time() - before
    return found


def install_command(medium: Medium) -> list[str | Path]:
    """What the administrator types."""
    site = WORK / "site"
    where: list[str | Path] = ["--prefix", site / "opt", "--state", site / "state", "--anchor", medium.anchor]
    return ["sh", ROOT / "install.sh", *where, medium.folder]


def forget(files: list[Path]) -> None:
    """Have the page cache forget these files."""
    os.sync()
    for path in files:
        handle = os.open(path, os.O_RDONLY)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(handle)


def timed(command: list[str | Path]) -> tuple[float, str]:
    """Seconds of wall time of a command that must succeed, and what it said on stderr."""
    started = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    took_s = time.monotonic() - started
    if done.returncode:
        sys.exit(done.stderr)
    return took_s, done.stderr


def peak_bytes(weights: Medium) -> int:
    """The largest resident memory of any one process of an install."""
    shutil.rmtree(WORK / "site", ignore_errors=True)
    reader = (
        "import resource, subprocess, sys; subprocess.run(sys.argv[1:], stdout=-3, stderr=-3, check=True); "
    )
    reader += "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    done = subprocess.run(
        [sys.executable, "-c", reader, *install_command(weights)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return int(done.stdout) * 1024


def disk_use(weights: Medium) -> dict[str, float]:
    """Room that the site takes, against the payload and the unfolded runtime."""
    site = WORK / "site" / "opt"
    used = _room(site)
    runtime = _room(site / "releases" / "2" / "runtime")
    return {
        "payload_bytes": weights.payload_bytes,
        "runtime_bytes": runtime,
        "used_bytes": used,
        "used less runtime, of the payload": round((used - runtime) / weights.payload_bytes, 4),
    }


def _room(folder: Path) -> int:
    blocks = {}
    for path in (folder, *folder.rglob("*")):
        status = path.lstat()
        blocks[status.st_ino] = status.st_blocks * 512
    return sum(blocks.values())


_CALL = re.compile(r"(read|write|pread64|pwrite64|copy_file_range|sendfile|readv|writev)\((.*)\) = (\d+)$")
_PATH = re.compile(r"\d+<([^>]*)>")


def traced_bytes(weights: Medium) -> dict[str, float]:
    """Bytes that one install reads from the medium's volumes and writes into quarantine, of the payload."""
    shutil.rmtree(WORK / "site", ignore_errors=True)
    calls = "read,write,pread64,pwrite64,copy_file_range,sendfile,readv,writev"
    options = [
        *("-ff", "-y", "-qq", "-s", "0", "-e", "signal=none"),
        "-e",
        f"trace={calls}",
        "-o",
        WORK / "trace",
    ]
    subprocess.run(["strace", *options, *install_command(weights)], check=True, capture_output=True)
    payload, prefix = f"{weights.folder}/payload.", f"{WORK}/site/opt/quarantine."
    read = written = 0
    for path in WORK.glob("trace.*"):  # one a thread: no call is cut in two by another's
        for line in path.read_text(errors="replace").splitlines():
            call = _CALL.search(line)
            if call is None:
                continue
            paths = _PATH.findall(call[2])
            if paths and paths[0].startswith(payload) and call[1] not in ("write", "pwrite64", "writev"):
                read += int(call[3])
            target = paths[1:2] if call[1] == "copy_file_range" else paths[:1]
            if call[1] not in ("read", "pread64", "readv") and target and target[0].startswith(prefix):
                written += int(call[3]) if re.search(r"/[0-9a-f]{64}$", target[0]) else 0
    return {
        "read from volumes / payload": round(read / weights.payload_bytes, 4),
        "written of stored files / payload": round(written / weights.payload_bytes, 4),
    }


if __name__ == "__main__":
    main()
