"""Building a bundle beside the walkthrough's recipe: `conda pack` and `tar -zcf`, or both with zstd.

    python -m benchmarks.build [--gigabytes 2] [--runs 3] [--folder build/benchmarks/build]

One model with random bfloat16 weights, one conda environment with the demonstration's wheels (torch's CPU
build among them). `islet-bundle build` starts from a filled cache, the recipes from the installed environment
and the model's folder; all in turn, in processes of their own, with the same files in the page cache. What
is fetched and made once stays in --folder.

Exits 1 when a figure of the table "Goals" is not met.
"""

import argparse
import asyncio
import os
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from appliance.bundle.contents import parse_contents
from appliance.errors import BadInput
from bundler.lock import Lock, read_lock
from demo import hub_server
from demo.channel import build_channel
from demo.torch_wheel import fetch_torch

ROOT = Path(__file__).parents[1]
BIN = Path(sys.prefix) / "bin"
MODEL = "islet-bench/random"
SHARD_BYTES = 500_000_000
SPREAD = 0.02
"""Standard deviation of the weights, as of a trained model's: what zstd can save depends on it."""
OTHER_WHEEL = ("sentencepiece>=0.2", "sentencepiece==0.2.1")
"""What is changed for the delta: one wheel becomes another version."""

GZIP = "`conda pack` tar.gz + `tar -zcf`"
ZSTD = "`conda pack` tar.zst + `tar`, `zstd -T0 -1`"
BEST = "`conda pack` tar, `zstd -T0 -1` + `tar`, `zstd -T0 -1`"
RECIPES = {
    GZIP: (
        "conda-pack -q -p {env} -o env.tar.gz",
        "tar -C {models} -zcf model.tar.gz {model}",
    ),
    ZSTD: (
        "conda-pack -q -p {env} -o env.tar.zst",
        "tar -C {models} -I 'zstd -q -T0 -1' -cf model.tar.zst {model}",
    ),
    BEST: (
        "conda-pack -q -p {env} -o env.tar",
        "zstd -q -T0 -1 --rm env.tar",
        "tar -C {models} -I 'zstd -q -T0 -1' -cf model.tar.zst {model}",
    ),
}
"""As a person types them, beside each other in one folder."""
OURS = "`islet-bundle build`"
SAMPLE_S = 0.05


@dataclass(frozen=True)
class Cost:
    """What one way took."""

    wall_s: float
    cpu_s: float
    peak_memory: float
    """Bytes: the largest resident set of any of its processes."""
    peak_disk: float
    """Bytes on the disk at any moment, files of the cache apart."""
    result: float
    """Bytes that it left."""


@dataclass(frozen=True)
class Bench:
    """Everything that both sides start from."""

    folder: Path
    lock: Lock
    hub: str

    @property
    def cache(self) -> Path:
        """The bundler's."""
        return self.folder / "cache"


def make_weights(folder: Path, size: int) -> None:
    """A model folder whose safetensors shards hold about `size` bytes of random bfloat16."""
    import torch
    from safetensors.torch import save_file

    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3"}\n')
    (folder / "README.md").write_text("---\nlicense: cc0-1.0\n---\nRandom weights.\n")
    torch.manual_seed(0)
    rows, columns = 4096, 4096
    tensors = max(size // (rows * columns * 2), 1)
    each = max(SHARD_BYTES // (rows * columns * 2), 1)
    for first in range(0, tensors, each):
        shard = {
            f"model.layers.{i}.weight": (torch.randn(rows, columns) * SPREAD).to(torch.bfloat16)
            for i in range(first, min(first + each, tensors))
        }
        save_file(shard, folder / f"model-{first:05d}.safetensors", metadata={"format": "pt"})


def islet_bundle(*words: str | Path) -> None:
    """Run one command of the bundler that must succeed."""
    subprocess.run([BIN / "islet-bundle", *words], check=True, stdout=subprocess.DEVNULL)


@contextmanager
def prepared(folder: Path, size: int) -> Iterator[Bench]:
    """Model, hub, channel, keys, locks and the environment; what is there already is taken."""
    folder.mkdir(parents=True, exist_ok=True)
    model = folder / "models" / f"random-{size}"
    if not model.exists():
        aside = model.with_name("aside")
        shutil.rmtree(aside, ignore_errors=True)
        make_weights(aside, size)
        aside.rename(model)
    if not (folder / "channel").exists():
        build_channel(folder / "channel")
    if not (folder / "torch").exists():
        fetch_torch(folder / "torch", folder / "cache")
    manifest = (ROOT / "manifests" / "demo.toml").read_text(encoding="utf-8")
    manifest = manifest.replace("islet-demo/clinic-tiny", MODEL).replace("islet-demo", "islet-bench")
    (folder / "bench.toml").write_text(manifest, encoding="utf-8")
    (folder / "other.toml").write_text(manifest.replace(*OTHER_WHEEL), encoding="utf-8")
    make_roots(folder)
    with hub_server.serve({MODEL: model}) as hub:
        cache = folder / "cache"
        for name in ("bench", "other"):
            if not is_locked(folder / f"{name}.toml"):
                islet_bundle("lock", folder / f"{name}.toml", "--cache", cache, "--hub", hub)
        bench = Bench(folder, read_lock(folder / "bench.lock"), hub)
        if not (folder / "env").exists():
            make_environment(bench)
        yield bench


def is_locked(manifest: Path) -> bool:
    """Whether there is a lock of this manifest, in today's format."""
    try:
        read_lock(manifest.with_suffix(".lock"), manifest)
    except BadInput:
        return False
    return True


def make_roots(folder: Path) -> None:
    """The folder of roots that `build` asks for."""
    if (folder / "roots").exists():
        return
    keys = [folder / "root.pem", folder / "release.pem"]
    for key in keys:
        islet_bundle("keygen", "--no-passphrase", key)
    root, release = (f"{key}.pub" for key in keys)
    islet_bundle("root", "init", folder / "roots", "--root-key", root, "--release-key", release)


def make_environment(bench: Bench) -> None:
    """What a person has before `conda pack`: the conda environment with the wheels installed into it."""
    from rattler import PackageCache, RepoDataRecord, install

    aside = bench.folder / "env"
    shutil.rmtree(aside, ignore_errors=True)
    packages = sorted((bench.folder / "channel").glob("*/*.conda"))

    async def act() -> None:
        records = [await RepoDataRecord.from_package_archive(path) for path in packages]
        await install(records, aside, show_progress=False, package_cache=PackageCache(bench.folder / "pkgs"))

    asyncio.run(act())
    wheels = sorted(bench.cache.rglob("*.whl"))
    wanted = {wheel.filename for wheel in bench.lock.wheels}
    chosen = {path.name: path for path in wheels if path.name in wanted}
    pip = [aside / "bin" / "python", "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"]
    subprocess.run([*pip, "--no-compile", *chosen.values()], check=True)


def measured(command: Sequence[str | Path], place: Path, cache: Path) -> Cost:
    """Run `command` in the empty folder `place`, its temporary files below it too.

    Raises: RuntimeError, when it fails.
    """
    known = {path.stat().st_ino for path in cache.rglob("*") if path.is_file()} if cache.exists() else set()
    peak, done = 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(SAMPLE_S):
            peak = max(peak, disk_bytes(place, known))

    temporary = place / "tmp"
    temporary.mkdir(parents=True)
    environment = {**os.environ, "TMPDIR": str(temporary), "PATH": f"{BIN}:{os.environ['PATH']}"}
    watcher = threading.Thread(target=watch)
    watcher.start()
    started = time.perf_counter()
    quiet = subprocess.DEVNULL
    child = subprocess.Popen(command, cwd=place, env=environment, stdout=quiet, stderr=quiet)
    _, status, usage = os.wait4(child.pid, 0)
    wall = time.perf_counter() - started
    child.returncode = os.waitstatus_to_exitcode(status)
    done.set()
    watcher.join()
    if child.returncode != 0:
        raise RuntimeError(f"{command} ended with {child.returncode}")
    result = disk_bytes(place, known)
    cpu = usage.ru_utime + usage.ru_stime
    return Cost(wall, cpu, usage.ru_maxrss * 1024, max(peak, result), result)


def disk_bytes(folder: Path, known: set[int]) -> int:
    """What lies on the disk below `folder`, each file once, those with an inode in `known` apart."""
    seen = dict[int, int]()
    for parent, _, files in os.walk(folder):
        for name in files:
            try:
                status = os.lstat(os.path.join(parent, name))  # noqa: PTH116, PTH118  (twenty times a second)
            except FileNotFoundError:
                continue
            if status.st_ino not in known:
                seen[status.st_ino] = status.st_blocks * 512
    return sum(seen.values())


def build_command(bench: Bench, name: str, out: Path, *more: str | Path) -> list[str | Path]:
    """What is typed to build the lock of one of the manifests."""
    where = ["--out", out, "--number", "1", "--roots", bench.folder / "roots"]
    command = [BIN / "islet-bundle", "build", bench.folder / f"{name}.toml", *where]
    return [*command, "--cache", bench.cache, "--hub", bench.hub, *more]


def race(bench: Bench, model: Path, runs: int) -> tuple[dict[str, Cost], Path]:
    """The median cost of each way, run in turn; and a bundle that was built."""
    place = bench.folder / "work"
    ways: dict[str, Sequence[str | Path]] = {}
    for name, steps in RECIPES.items():
        script = " && ".join(steps).format(env=bench.folder / "env", models=model.parent, model=model.name)
        ways[name] = ["sh", "-c", script]
    ways[OURS] = build_command(bench, "bench", place / "bundle")  # last: its bundle stays
    costs: dict[str, list[Cost]] = {name: [] for name in ways}
    for _ in range(runs):
        for name, command in ways.items():
            shutil.rmtree(place, ignore_errors=True)
            os.sync()
            costs[name].append(measured(command, place, bench.cache))
            print(f"  {name}: {costs[name][-1].wall_s:.1f} s", file=sys.stderr, flush=True)
    return {name: median(found) for name, found in costs.items()}, place / "bundle"


def median(costs: list[Cost]) -> Cost:
    """The median of each figure."""
    rows = [asdict(cost) for cost in costs]
    return Cost(**{name: statistics.median(row[name] for row in rows) for name in rows[0]})


def delta_sizes(bench: Bench, base: Path) -> tuple[int, int, int]:
    """(bytes of the wheels that are new, of the delta's volumes, of its whole folder)."""
    out = bench.folder / "work" / "delta"
    subprocess.run(build_command(bench, "other", out, "--base", base), check=True, stdout=subprocess.DEVNULL)
    contents = parse_contents((out / "contents.json").read_bytes())
    carried = sum(entry.size for entry in contents.entries if entry.parts)
    folder = sum(path.stat().st_size for path in out.iterdir())
    return carried, sum(volume.size for volume in contents.volumes), folder


def help_s() -> float:
    """Seconds of `islet-bundle --help`, the least of ten."""
    took = []
    for _ in range(10):
        started = time.perf_counter()
        subprocess.run([BIN / "islet-bundle", "--help"], check=True, stdout=subprocess.DEVNULL)
        took.append(time.perf_counter() - started)
    return min(took)


def goals(
    costs: dict[str, Cost], delta: tuple[int, int, int], help_took_s: float
) -> list[tuple[str, str, bool]]:
    """Each goal, what was measured, and whether it is met."""
    ours, (wheel, volumes, folder) = costs[OURS], delta
    faster = {name: cost.wall_s / ours.wall_s for name, cost in costs.items()}
    disk = ours.peak_disk / ours.result
    return [
        ("5 times as fast as gzip", f"{faster[GZIP]:.1f} times", faster[GZIP] >= 5),
        ("not slower than conda-pack's zstd", f"{faster[ZSTD]:.1f} times", faster[ZSTD] >= 1),
        ("not slower than the fastest zstd form", f"{faster[BEST]:.1f} times", faster[BEST] >= 1),
        ("peak of the disk at most 1.05 bundles", f"{disk:.3f}", disk <= 1.05),
        ("memory at most 300 MB", f"{ours.peak_memory / 1e6:.0f} MB", ours.peak_memory <= 300e6),
        (
            "a delta: the wheel and 1 MB at most",
            f"{folder / 1e6:.2f} MB for a wheel of {wheel / 1e6:.2f} MB, {volumes / 1e6:.2f} of it volumes",
            folder <= wheel + 1e6,
        ),
        ("--help within 0.2 s", f"{help_took_s:.2f} s", help_took_s <= 0.2),
    ]


def main() -> int:
    """Run the comparison; print both tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gigabytes", type=float, default=2.0)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "benchmarks" / "build")
    options = parser.parse_args()
    size = int(options.gigabytes * 1e9)
    with prepared(options.folder.resolve(), size) as bench:
        costs, bundle = race(bench, bench.folder / "models" / f"random-{size}", options.runs)
        delta = delta_sizes(bench, bundle)
        shutil.rmtree(bench.folder / "work")
    print("| way | wall s | CPU s | peak memory MB | peak disk MB | result MB |\n|---|---|---|---|---|---|")
    for name, cost in costs.items():
        sizes = f"{cost.peak_memory / 1e6:.0f} | {cost.peak_disk / 1e6:.0f} | {cost.result / 1e6:.0f}"
        print(f"| {name} | {cost.wall_s:.1f} | {cost.cpu_s:.1f} | {sizes} |")
    print("\n| goal | measured | met |\n|---|---|---|")
    found = goals(costs, delta, help_s())
    for goal, measure, met in found:
        print(f"| {goal} | {measure} | {'yes' if met else 'NO'} |")
    print(f"\n{options.runs} runs each, in turn, median; load average {os.getloadavg()[0]:.1f} at the end.")
    return 0 if all(met for _, _, met in found) else 1


if __name__ == "__main__":
    sys.exit(main())
