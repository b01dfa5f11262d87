"""How fast rows are read, checked and searched, and in how much memory, beside `datasets` on the same files.

    python -m benchmarks.data [--rows 1000000] [--runs 3] [--gigabytes 2] [--folder build/benchmarks/data]

Everything runs in a process of its own, on files that are made up here and kept for the next time: short rows
as JSON lines, a JSON list, CSV and Parquet; longer ones, two in a hundred of them nearly doubled; one large
file. Islet and `datasets.load_dataset` read each file in turn, the latter into a fresh cache, as at its first
meeting. Alone it copies columns into that cache and makes no row of them, so it is also timed with every row
taken once, as Islet's are: that is what a trainer does next. Prints which goals are met; exits 1 when one is
not.
"""

import argparse
import csv
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from appliance.data.checks.batch import Batch

KINDS = ("jsonl", "json", "csv", "parquet")
SEED = 20261121
NEAR_ROWS, NEAR_SHARE = 100_000, 0.02
LARGE_CHARACTERS = 1_000
BIN = Path(sys.executable).parent
SETTINGS = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1", "OMP_NUM_THREADS": "1"}
LETTERS = "患者咳嗽发热三天体温正常血压偏高建议复查门诊用药每日两次饭后服必要时随访心电图未见异常"
WORDS = (
    "aspirin",
    "clinic",
    "ward",
    "fever",
    "dose",
    "twice",
    "daily",
    "after",
    "meals",
    "review",
    "normal",
    "pressure",
)


@dataclass(frozen=True)
class Cost:
    """What one process took."""

    wall_s: float
    cpu_s: float
    peak_bytes: int
    said: str
    """Its last line on stdout."""


def main() -> int:
    """Make the files, measure, print the tables and judge them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.data", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--gigabytes", type=float, default=2.0)
    parser.add_argument("--folder", type=Path, default=Path("build/benchmarks/data"))
    parser.add_argument("--part", nargs="+", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.part:
        print(PARTS[given.part[0]](*given.part[1:]))
        return 0
    folder = given.folder.resolve()
    short, near, large = make_files(folder, given.rows, int(given.gigabytes * 1e9))
    print(
        f"load average {os.getloadavg()[0]:.1f} at the beginning, {os.cpu_count()} cores, {given.runs} runs"
    )
    faster = reading(short, given.rows, given.runs)
    found = [*faster, *figures(short["jsonl"], given.rows, near, large)]
    print("\n| goal | measured | met |\n|---|---|---|")
    for goal, measure, met in found:
        print(f"| {goal} | {measure} | {'yes' if met else 'NO'} |")
    print(f"\nload average {os.getloadavg()[0]:.1f} at the end")
    return 0 if all(met for _, _, met in found) else 1


def make_files(folder: Path, rows: int, large_bytes: int) -> tuple[dict[str, Path], Path, Path]:
    """Files of so many short rows by kind, the one with near doubles, and the large one."""
    folder.mkdir(parents=True, exist_ok=True)
    short = {kind: folder / f"short-{rows}.{kind}" for kind in KINDS}
    near, large = folder / "near.jsonl", folder / f"large-{large_bytes}.jsonl"
    for kind, path in short.items():
        _make(path, lambda aside, kind=kind: WRITERS[kind](aside, short_rows(rows)))
    _make(near, lambda aside: write_lines(aside, longer_rows(NEAR_ROWS)))
    _make(large, lambda aside: write_large(aside, large_bytes))
    return short, near, large


def _make(path: Path, write: Callable[[Path], None]) -> None:
    if path.is_file():
        return
    print(f"Making {path.name}", file=sys.stderr)
    aside = path.with_suffix(".new")
    write(aside)
    aside.replace(path)


def short_rows(count: int) -> Iterator[dict[str, str]]:
    """Questions and answers of about twenty characters, Chinese and English in turn."""
    chance = random.Random(SEED)  # noqa: S311  (made-up text)
    for number in range(count):
        yield {
            "instruction": f"{_text(chance, number, 12)} {number}",
            "input": "",
            "output": _text(chance, number, 24),
        }


def longer_rows(count: int) -> Iterator[dict[str, str]]:
    """Rows of some hundred characters; some are an earlier one with a word changed."""
    chance = random.Random(SEED + 1)  # noqa: S311  (made-up text)
    kept: list[tuple[str, str]] = []
    for number in range(count):
        if kept and chance.random() < NEAR_SHARE:
            question, answer = chance.choice(kept)
            at = chance.randrange(len(answer))
            answer = answer[:at] + str(number) + answer[at + 4 :]
        else:
            question, answer = _text(chance, number, 40), _text(chance, number, 160)
        if len(kept) < 5_000:
            kept.append((question, answer))
        yield {"instruction": question, "input": "", "output": answer}


def _text(chance: random.Random, number: int, length: int) -> str:
    if number % 2:
        return " ".join(chance.choices(WORDS, k=max(2, length // 6)))
    return "".join(chance.choices(LETTERS, k=length))


def write_lines(path: Path, rows: Iterator[dict[str, str]]) -> None:
    """JSON lines."""
    with path.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def write_list(path: Path, rows: Iterator[dict[str, str]]) -> None:
    """One JSON list, an item a line."""
    with path.open("w", encoding="utf-8") as file:
        for number, row in enumerate(rows):
            file.write(("," if number else "[") + "\n" + json.dumps(row, ensure_ascii=False))
        file.write("\n]\n")


def write_table(path: Path, rows: Iterator[dict[str, str]]) -> None:
    """CSV."""
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, ("instruction", "input", "output"))
        table.writeheader()
        table.writerows(rows)


def write_parquet(path: Path, rows: Iterator[dict[str, str]]) -> None:
    """Parquet."""
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(rows)), path)


WRITERS: dict[str, Callable[[Path, Iterator[dict[str, str]]], None]] = {
    "jsonl": write_lines,
    "json": write_list,
    "csv": write_table,
    "parquet": write_parquet,
}


def write_large(path: Path, size: int) -> None:
    """JSON lines of about that many bytes: long notes, none like another."""
    import numpy

    letters = numpy.array(list(LETTERS))
    chance = numpy.random.default_rng(SEED)
    with path.open("wb") as file:
        while file.tell() < size:
            picked = letters[chance.integers(0, len(letters), (2_000, LARGE_CHARACTERS))]
            for note in picked.view(f"<U{LARGE_CHARACTERS}").ravel():
                row = {"instruction": str(note[:40]), "input": "", "output": str(note[40:])}
                file.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")


def reading(short: dict[str, Path], rows: int, runs: int) -> list[tuple[str, str, bool]]:
    """Read each file by Islet and by `datasets`, in turn; print the table; the goals."""
    print("| file | Islet: rows judged | `load_dataset` | and each row taken | peak MB of each |")
    print("|---|---|---|---|---|")
    found = []
    for kind, path in short.items():
        ways = {"ours": ["ours"], "load": ["load", kind], "rows": ["rows", kind]}
        costs: dict[str, list[Cost]] = {name: [] for name in ways}
        for _ in range(runs):
            for name, words in ways.items():
                costs[name].append(_same(in_child(*words, path), rows))
        wall = {name: statistics.median(cost.wall_s for cost in each) for name, each in costs.items()}
        cpu = {name: statistics.median(cost.cpu_s for cost in each) for name, each in costs.items()}
        cells = [f"{wall[name]:.1f} s ({cpu[name]:.1f} CPU)" for name in ways]
        peaks = " / ".join(f"{each[0].peak_bytes / 1e6:.0f}" for each in costs.values())
        print(f"| {kind} | {' | '.join(cells)} | {peaks} |", flush=True)
        ratios = [wall[name] / wall["ours"] for name in ("load", "rows")]
        ratios += [cpu[name] / cpu["ours"] for name in ("load", "rows")]
        measure = "{1:.2f} times its speed ({3:.2f} by CPU); without rows {0:.2f} ({2:.2f})".format(*ratios)
        found.append((f"{kind}: rows not slower than by `load_dataset`", measure, ratios[1] >= 1))
    return found


def _same(cost: Cost, rows: int) -> Cost:
    if int(cost.said) != rows:
        raise RuntimeError(f"{cost.said} rows and not {rows}")
    return cost


def figures(short: Path, rows: int, near: Path, large: Path) -> list[tuple[str, str, bool]]:
    """The other goals, each with what was measured."""
    check = run([BIN / "islet", "data", "check", short, "--json"])
    doubles = in_child("near", near)
    through = in_child("ours", large)
    rate = float(in_child("detector").said)
    size = large.stat().st_size
    return [
        (
            f"check of {rows:,} short rows within 2 minutes and 1 GB",
            f"{check.wall_s:.0f} s ({check.cpu_s:.0f} s CPU), {check.peak_bytes / 1e6:.0f} MB",
            check.wall_s <= 120 and check.peak_bytes <= 1e9,
        ),
        (
            f"near doubles among {NEAR_ROWS:,} rows within a minute",
            f"{doubles.wall_s:.0f} s, {doubles.peak_bytes / 1e6:.0f} MB; {doubles.said} rows found",
            doubles.wall_s <= 60,
        ),
        (
            "identifiers looked for in 1 M characters a second",
            f"{rate / 1e6:.2f} M a CPU second",
            rate >= 1e6,
        ),
        (
            f"a file of {size / 1e9:.1f} GB read in 500 MB",
            f"{through.peak_bytes / 1e6:.0f} MB, {size / through.wall_s / 1e6:.0f} MB/s",
            through.peak_bytes <= 500e6,
        ),
    ]


def in_child(*words: object) -> Cost:
    """One of PARTS in a process of its own."""
    return run([sys.executable, "-m", "benchmarks.data", "--part", *words])


def run(command: list[object]) -> Cost:
    """What a program took.

    Raises: RuntimeError, when it fails.
    """
    with tempfile.TemporaryFile() as output:
        began = time.perf_counter()
        child = subprocess.Popen(
            [str(word) for word in command], stdout=output, env={**os.environ, **SETTINGS}
        )
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.perf_counter() - began
        child.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        said = output.read().decode().strip().rpartition("\n")[2]
    if child.returncode != 0:
        raise RuntimeError(f"{command} ended with {child.returncode}")
    return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, said)


def part_ours(path: str) -> int:
    """Read and judge every row."""
    from appliance.data.read import stream
    from appliance.run.plan import DataFile

    return sum(1 for _ in stream(DataFile(path)))


def part_load(kind: str, path: str) -> int:
    """`load_dataset` into a fresh cache."""
    return _loaded(kind, path, lambda rows: len(rows))


def part_rows(kind: str, path: str) -> int:
    """The same, and every row as an object of Python."""
    return _loaded(kind, path, lambda rows: sum(1 for _ in rows))


def _loaded(kind: str, path: str, count: Callable[[Any], int]) -> int:
    from datasets import load_dataset

    cache = tempfile.mkdtemp(dir=Path(path).parent)
    try:
        name = {"jsonl": "json"}.get(kind, kind)
        return count(load_dataset(name, data_files=path, split="train", cache_dir=cache))
    finally:
        shutil.rmtree(cache)


def part_near(path: str) -> int:
    """Find rows that are nearly the same as an earlier one, and judge each pair, as the check does."""
    import numpy

    from appliance.data.checks.batch import batches
    from appliance.data.checks.near import NearDuplicates, alike
    from appliance.data.read import stream
    from appliance.run.plan import DataFile
    from appliance.run.rows import Row

    def again() -> "Iterator[Batch]":
        return batches(row for row in stream(DataFile(path)) if isinstance(row, Row))

    near, count = NearDuplicates(), 0
    for batch in again():
        near.look(batch)
        count += len(batch.rows)
    candidates = near.candidates(numpy.zeros(count, bool))
    return len({row for row, _, _ in alike(candidates, again())})


def part_detector() -> float:
    """Characters that identifiers are looked for in, in a CPU second: made-up notes, Chinese and English."""
    from appliance.data.privacy.detector import Detector
    from appliance.data.privacy.made_up import made_up_notes

    texts = [note.text for note in made_up_notes(20_000)]
    detector = Detector()
    detector.find(texts[0])
    began = time.process_time()
    for text in texts:
        detector.find(text)
    return sum(map(len, texts)) / (time.process_time() - began)


PARTS: dict[str, Callable[..., float]] = {
    "ours": part_ours,
    "load": part_load,
    "rows": part_rows,
    "near": part_near,
    "detector": part_detector,
}
"""What is run in a process of its own."""


if __name__ == "__main__":
    sys.exit(main())
