"""How fast `islet doctor` hashes a store again, beside two plain hashing threads over the same files.

    python -m benchmarks.doctor [--gigabytes 2] [--runs 5] [--folder build/benchmarks/doctor]

Both read the same files from the page cache, in turn, at the same priority: the doctor's own lowest one would
only measure what else the machine does. Exits 1 when the doctor's median rate is below 90 % of the plain
one's.
"""

import argparse
import hashlib
import os
import random
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from appliance.progress import amount_text
from appliance.site.rehash import THREADS, Item, Round, rehash

GOAL = 0.9
SHARDS, SMALL_FILES, SMALL_BYTES = 4, 2000, 20_000
"""A store has a few large files, and a runtime thousands of small ones."""


def main() -> None:
    """Measure, print the table, and judge it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.doctor", description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=2.0)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=Path("build/benchmarks/doctor"))
    given = parser.parse_args()
    items = make_items(given.folder, int(given.gigabytes * 1e9))
    total = sum(item.size for item in items)
    ways: dict[str, Callable[[], None]] = {
        "two plain threads, hashlib.file_digest": lambda: plain(items),
        "islet doctor": lambda: doctor(items, given.folder),
    }
    for way in ways.values():
        way()  # everything into the page cache, once each
    took: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(given.runs):
        for name, way in ways.items():
            took[name].append(timed(way))
    print(f"{len(items)} files, {amount_text(total, 'B')}; load {os.getloadavg()[0]:.1f}; {given.runs} runs")
    print("| way | median wall s | median GB/s | median CPU s |\n|---|---|---|---|")
    walls = {name: statistics.median(wall for wall, _ in pairs) for name, pairs in took.items()}
    for name, pairs in took.items():
        processor = statistics.median(cpu for _, cpu in pairs)
        print(f"| {name} | {walls[name]:.2f} | {total / walls[name] / 1e9:.2f} | {processor:.2f} |")
    first, second = walls.values()
    print(f"rate of the doctor: {first / second:.0%} of two plain threads; goal {GOAL:.0%}")
    sys.exit(0 if first / second >= GOAL else 1)


def make_items(folder: Path, total_bytes: int) -> list[Item]:
    """Random files that are kept for the next time, with their hashes."""
    folder.mkdir(parents=True, exist_ok=True)
    shard = (total_bytes - SMALL_FILES * SMALL_BYTES) // SHARDS
    sizes = [(f"shard-{n}", shard) for n in range(SHARDS)] + [
        (f"small-{n}", SMALL_BYTES) for n in range(SMALL_FILES)
    ]
    rng = random.Random(20261121)  # noqa: S311  (bytes to hash, no secret)
    items = []
    for name, size in sizes:
        path = folder / name
        if not path.is_file() or path.stat().st_size != size:
            with path.open("wb") as file:
                for start in range(0, size, 1 << 24):
                    file.write(rng.randbytes(min(1 << 24, size - start)))
        with path.open("rb") as file:
            items.append(Item(name, path, hashlib.file_digest(file, "sha256").hexdigest(), size))
    return items


def plain(items: Sequence[Item]) -> None:
    """What anybody would write: the largest first, as the doctor does."""

    def digest(item: Item) -> bool:
        with item.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == item.sha256

    with ThreadPoolExecutor(THREADS) as pool:
        if not all(pool.map(digest, sorted(items, key=lambda item: -item.size))):
            raise RuntimeError("a file has another hash")


def doctor(items: Sequence[Item], folder: Path) -> None:
    """The doctor's own hashing, with its memory of the round."""
    found = rehash(items, Round(folder / "round", items, anew=True), prepare=lambda: None)
    if found.damaged or found.missing or found.remembered:
        raise RuntimeError("a file has another hash")


def timed(way: Callable[[], None]) -> tuple[float, float]:
    """Wall and CPU seconds."""
    wall, processor = time.perf_counter(), time.process_time()
    way()
    return time.perf_counter() - wall, time.process_time() - processor


if __name__ == "__main__":
    main()
