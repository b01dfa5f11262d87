"""Trained tokens per CPU second, Islet beside its peers: `python -m benchmarks.throughput`.

Every trainer gets the same base, rows, LoRA settings and one thread; all are measured by the same
meter (`benchmarks/peers/meter.py`), in turn, twice. The first turn's learning rate is so small that
its losses are those of the untrained base: their mean over all rows must be the same for all, whatever
their batches are. A trainer with another mean, or other counts of tokens, did another job, and its row
says so. Nothing is asserted about time. Prints Markdown on stdout, and what it is doing on stderr.
"""

import datetime
import json
import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.environments import HUGGING_FACE, LLAMA_FACTORY, Environment, NoEnvironment, make_environment
from benchmarks.job import SHAPES, Job, Shape, make_base, make_rows

HERE = Path(__file__).resolve().parent
BUILD = HERE.parent / "build" / "benchmarks"

LEARNING_RATES = (1e-7, 1e-3)
"""Of the first and of the second turn."""

SAME_LOSS = 2e-4
"""How far the mean losses of the untrained base may lie apart: rounding is a tenth of it."""

LIMIT_S = 1200
"""Wall time after which one trainer's run counts as failed."""

SETTINGS = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
    "TOKENIZERS_PARALLELISM": "false",
    "CUDA_VISIBLE_DEVICES": "",
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
}


@dataclass(frozen=True)
class Peer:
    """One row of the table."""

    name: str
    environment: Environment | None
    """None: this one's."""
    driver: str
    """Script in `benchmarks/peers`."""
    options: dict[str, Any]


PEERS = (
    Peer("Trainer + PEFT, padded, 8 rows", HUGGING_FACE, "hf_trainer", {"per_device_train_batch_size": 8}),
    Peer(
        "the same, rows grouped by length",
        HUGGING_FACE,
        "hf_trainer",
        {"per_device_train_batch_size": 8, "train_sampling_strategy": "group_by_length"},
    ),
    Peer(
        "the same, 1 row, 8 accumulated (nothing padded)",
        HUGGING_FACE,
        "hf_trainer",
        {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 8},
    ),
    Peer(
        "trl, packing bfd, 1 × 512",
        HUGGING_FACE,
        "trl_sft",
        {"per_device_train_batch_size": 1, "packing": True, "packing_strategy": "bfd", "max_length": 512},
    ),
    Peer(
        "trl, padding_free, 8 rows",
        HUGGING_FACE,
        "trl_sft",
        {"per_device_train_batch_size": 8, "padding_free": True, "max_length": None},
    ),
    Peer(
        "LLaMA-Factory, neat_packing, 2 × 512",
        LLAMA_FACTORY,
        "llamafactory_sft",
        {"per_device_train_batch_size": 2, "packing": True, "neat_packing": True, "cutoff_len": 512},
    ),
    Peer("Islet, packs of 1024", None, "islet", {"pack_tokens": 1024}),
)
"""The first is what the ratios refer to."""

REFERENCE = PEERS[0]

Outcome = dict[str, Any] | str
"""What the meter wrote, or why there is nothing."""


def main() -> None:
    """Install what is missing, measure, print the tables."""
    BUILD.mkdir(parents=True, exist_ok=True)
    pythons = _pythons()
    work = BUILD / "work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    make_rows(work / "rows.json")
    load_before = os.getloadavg()[0]
    started = datetime.datetime.now().astimezone()
    tables = []
    for number, shape in enumerate(SHAPES):
        base = work / f"base-{number}"
        make_base(base, shape)
        turns = [
            {peer.name: _outcome(peer, pythons, base, rate, work) for peer in PEERS}
            for rate in LEARNING_RATES
        ]
        tables.append(_table(shape, turns))
    shutil.rmtree(work)
    minutes = (datetime.datetime.now().astimezone() - started).total_seconds() / 60
    print(
        f"{started:%Y-%m-%d %H:%M}, {_processor()}, {os.cpu_count()} cores, "
        f"Python {platform.python_version()}, one thread; {minutes:.0f} minutes, "
        f"load average {load_before:.1f} before, {os.getloadavg()[0]:.1f} after (1 minute each).\n"
    )
    print("\n".join(tables))


def _pythons() -> dict[Environment | None, Path | str]:
    """Every environment's Python, or why there is none."""
    pythons: dict[Environment | None, Path | str] = {None: Path(sys.executable)}
    for environment in dict.fromkeys(peer.environment for peer in PEERS):
        if environment is not None:
            try:
                pythons[environment] = make_environment(environment, BUILD / "environments")
            except NoEnvironment as error:
                pythons[environment] = f"not installed: {error}"
    return pythons


def _outcome(
    peer: Peer, pythons: dict[Environment | None, Path | str], base: Path, rate: float, work: Path
) -> Outcome:
    """Run one trainer in a process of its own."""
    python = pythons[peer.environment]
    if isinstance(python, str):
        return python
    print(f"{base.name}, learning rate {rate:g}: {peer.name}", file=sys.stderr)
    folder = work / "run"
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "scratch").mkdir(parents=True)
    job = Job(
        base=str(base),
        rows=str(work / "rows.json"),
        scratch=str(folder / "scratch"),
        result=str(folder / "result.json"),
        learning_rate=rate,
        options=peer.options,
    )
    job.write(folder / "job.json")
    log = BUILD / f"{peer.driver}.log"
    command = [str(python), str(HERE / "peers" / f"{peer.driver}.py"), str(folder / "job.json")]
    with log.open("wb") as output:
        try:
            code = subprocess.run(
                command,
                env={**os.environ, **SETTINGS},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=LIMIT_S,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            return f"not finished in {LIMIT_S} s"
    if code != 0:
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return f"failed with exit code {code}: {lines[-1] if lines else 'no word'}"
    result: dict[str, Any] = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    print(
        f"  {_rate(result, 'timed_learned_tokens'):.1f} trained tokens a CPU second, "
        f"untrained loss {result['epoch_mean_loss']:.5f}",
        file=sys.stderr,
    )
    return result


def _table(shape: Shape, turns: list[dict[str, Outcome]]) -> str:
    """Markdown of all trainers on one base."""
    lines = [
        f"**{shape.name}**: hidden {shape.hidden}, {shape.layers} layers, vocabulary {shape.vocabulary:,}. "
        + _counts(turns[0][REFERENCE.name]),
        "",
        "| trainer | trained tokens a CPU s | real tokens a CPU s | ratio (both turns) | CPU s an epoch | "
        "steps an epoch | padding | peak GB | untrained loss | last loss |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    return "\n".join([*lines, *(_line(peer, turns) for peer in PEERS), ""])


def _counts(reference: Outcome) -> str:
    if isinstance(reference, str):
        return "The reference did not run."
    return (
        f"{reference['epoch_real_tokens']:,} tokens an epoch, {reference['epoch_learned_tokens']:,} of them "
        f"trained; {reference['trainable_weights']:,} weights in the adapter."
    )


def _line(peer: Peer, turns: list[dict[str, Outcome]]) -> str:
    """One trainer's row: means of the turns, and the lowest and highest ratio."""
    results: list[dict[str, Any]] = []
    for turn in turns:
        outcome = turn[peer.name]
        if isinstance(outcome, str):
            return f"| {_title(peer, None)} | {outcome} |||||||||"
        results.append(outcome)
    problem = _difference(results[0], turns[0][REFERENCE.name])
    if problem:
        return f"| {_title(peer, results[0])} | not counted, another job: {problem} |||||||||"
    first = results[0]
    trained = [_rate(result, "timed_learned_tokens") for result in results]
    real = [_rate(result, "timed_real_tokens") for result in results]
    epoch = [result["epoch_real_tokens"] / rate for result, rate in zip(results, real, strict=True)]
    cells = [
        _title(peer, first),
        f"{_mean(trained):.0f}",
        f"{_mean(real):.0f}",
        _ratios(peer, turns),
        " / ".join(f"{seconds:.1f}" for seconds in epoch),
        str(first["steps_per_epoch"]),
        f"{1 - first['timed_real_tokens'] / first['timed_positions']:.0%}",
        f"{max(result['peak_bytes'] for result in results) / 1e9:.1f}",
        f"{first['epoch_mean_loss']:.5f}",
        f"{results[-1]['last_loss']:.2f}",
    ]
    return "| " + " | ".join(cells) + " |"


def _difference(result: dict[str, Any], reference: Outcome) -> str | None:
    """Why a trainer did another job than the reference; None if it did the same."""
    if isinstance(reference, str):
        return "there is no reference to compare it with"
    if result["threads"] != 1:
        return f"{result['threads']} threads"
    for field in ("epoch_real_tokens", "epoch_learned_tokens", "trainable_weights"):
        if result[field] != reference[field]:
            return f"{field.replace('_', ' ')} {result[field]:,} and not {reference[field]:,}"
    if abs(result["epoch_mean_loss"] - reference["epoch_mean_loss"]) > SAME_LOSS:
        return f"loss {result['epoch_mean_loss']:.5f} and not {reference['epoch_mean_loss']:.5f}"
    return None


def _ratios(peer: Peer, turns: list[dict[str, Outcome]]) -> str:
    """Trained tokens a CPU second as a ratio to the reference of the same turn."""
    ratios = []
    for turn in turns:
        outcome, reference = turn[peer.name], turn[REFERENCE.name]
        if isinstance(outcome, str) or isinstance(reference, str):
            return "-"
        ratios.append(_rate(outcome, "timed_learned_tokens") / _rate(reference, "timed_learned_tokens"))
    return f"{_mean(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})"


def _rate(result: dict[str, Any], tokens: str) -> float:
    return float(result[tokens]) / float(result["timed_cpu_s"])


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _title(peer: Peer, result: dict[str, Any] | None) -> str:
    """The trainer's name, with the version of what it is called after."""
    package = {"hf_trainer": "transformers", "trl_sft": "trl", "llamafactory_sft": "llamafactory"}.get(
        peer.driver
    )
    version = result["versions"][package] if result is not None and package else None
    return f"{peer.name} ({package} {version})" if version else peer.name


def _processor() -> str:
    """The processor's name, as the kernel gives it."""
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


if __name__ == "__main__":
    main()
