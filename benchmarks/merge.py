"""The streaming merge beside PEFT's `merge_and_unload` and `save_pretrained`, on random weights.

    python -m benchmarks.merge [--layers 10] [--runs 3] [--threads 2] [--folder DIR]

Every merge runs in a process of its own, in turn. Memory is the process's peak (VmHWM), which is set back
after the imports, less what the imports took. Both results are compared tensor by tensor, to the bit.
Exits 1 when they differ, or when the peak is not under a fifth of PEFT's.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

HIDDEN, MIDDLE, VOCABULARY, RANK, ALPHA = 2048, 6144, 32_000, 16, 40
"""The widths of Qwen3-1.7B; alpha is not the rank, so that a forgotten scale shows."""

TARGET = 5
"""PEFT's peak is to be more than so many times ours."""


@dataclass(frozen=True)
class Cost:
    """What one merge took, imports apart."""

    wall_s: float
    cpu_s: float
    peak_bytes: int
    imports_bytes: int


def make_base(folder: Path, layers: int) -> None:
    """Write a Qwen3 model with random bfloat16 weights, in shards."""
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16)
    config = Qwen3Config(
        vocab_size=VOCABULARY,
        hidden_size=HIDDEN,
        intermediate_size=MIDDLE,
        num_hidden_layers=layers,
        num_attention_heads=16,
        num_key_value_heads=8,
        head_dim=128,
        tie_word_embeddings=True,
        dtype="bfloat16",
    )
    Qwen3ForCausalLM(config).save_pretrained(folder, max_shard_size="400MB")


def make_adapter(base: Path, folder: Path) -> None:
    """Write a LoRA adapter in PEFT's format, with random float32 matrices on every linear layer."""
    import torch
    from peft import LoraConfig
    from safetensors import safe_open
    from safetensors.torch import save_file

    torch.manual_seed(1)
    tensors = {}
    for path in base.glob("*.safetensors"):
        with safe_open(path, "pt") as file:
            for name in file.keys():  # noqa: SIM118  # it is no dictionary
                if name.endswith("_proj.weight"):
                    rows, columns = file.get_slice(name).get_shape()
                    module = f"base_model.model.{name.removesuffix('.weight')}"
                    tensors[f"{module}.lora_A.weight"] = torch.randn(RANK, columns) * 0.02
                    tensors[f"{module}.lora_B.weight"] = torch.randn(rows, RANK) * 0.02
    folder.mkdir()
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    targets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=targets, task_type="CAUSAL_LM").save_pretrained(
        folder
    )


def ours(base: Path, adapter: Path, into: Path) -> Cost:
    """The streaming merge."""
    import torch  # noqa: F401

    from appliance.export.merge import merge
    from appliance.progress import Silent

    return measured(lambda: merge(base, adapter, into, Silent()))


def peft(base: Path, adapter: Path, into: Path) -> Cost:
    """PEFT's own, as its documentation has it: the base in its stored type, the adapter in float32."""
    import torch  # noqa: F401
    from peft import PeftModel
    from transformers import AutoModelForCausalLM
    from transformers.models.qwen3 import modeling_qwen3  # noqa: F401

    def merge() -> None:
        model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), adapter)
        model.merge_and_unload(safe_merge=False).save_pretrained(into)

    return measured(merge)


def measured(work: Callable[[], object]) -> Cost:
    """What `work` takes in this process, from here on."""
    imports = memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew (proc(5))
    cpu, wall = cpu_seconds(), time.perf_counter()
    work()
    wall, cpu = time.perf_counter() - wall, cpu_seconds() - cpu
    return Cost(wall, cpu, memory("VmHWM") - imports, imports)


def memory(field: str) -> int:
    """One figure of /proc/self/status, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def cpu_seconds() -> float:
    """User and system time of this process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def is_equal(one: Path, other: Path) -> bool:
    """Whether two model folders hold the same tensors, to the bit."""
    import torch
    from safetensors import safe_open

    def places(folder: Path) -> dict[str, Path]:
        found = {}
        for path in folder.glob("*.safetensors"):
            with safe_open(path, "pt") as file:
                found.update(dict.fromkeys(file.keys(), path))
        return found

    def tensor(path: Path, name: str) -> Any:
        with safe_open(path, "pt") as file:
            return file.get_tensor(name).view(torch.int16)

    ones, others = places(one), places(other)
    return ones.keys() == others.keys() and all(
        torch.equal(tensor(ones[name], name), tensor(others[name], name)) for name in ones
    )


def in_child(threads: int, *words: str | Path) -> str:
    """What this module prints when it is run with `words` in a process of its own."""
    settings = {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "benchmarks.merge", "--child", *map(str, words)]
    done = subprocess.run(
        command, env={**os.environ, **settings}, stdout=subprocess.PIPE, text=True, check=True
    )
    return done.stdout


def compare(folder: Path, layers: int, runs: int, threads: int) -> bool:
    """Make the job, run both in turn, print the table; whether the target is met."""
    base, adapter = folder / "base", folder / "adapter"
    in_child(threads, "make", base, adapter, str(layers))
    size = sum(path.stat().st_size for path in base.glob("*.safetensors"))
    costs: dict[str, list[Cost]] = {"ours": [], "peft": []}
    for _ in range(runs):
        for name, found in costs.items():
            answer = in_child(threads, name, base, adapter, folder / name)
            found.append(Cost(**json.loads(answer.splitlines()[-1])))
    equal = is_equal(folder / "ours", folder / "peft")
    print(f"{size / 1e9:.2f} GB of bfloat16 weights, LoRA rank {RANK} alpha {ALPHA}, {threads} threads,")
    print(f"median of {runs} runs each, in turn; results {'equal to the bit' if equal else 'DIFFERENT'}\n")
    print("| merge | wall s | CPU s | peak MB, imports apart | imports MB |\n|---|---|---|---|---|")
    middle = {name: median(found) for name, found in costs.items()}
    for name, label in (("ours", "streaming"), ("peft", "merge_and_unload + save_pretrained")):
        cost = middle[name]
        memory_mb = f"{cost.peak_bytes / 1e6:.0f} | {cost.imports_bytes / 1e6:.0f}"
        print(f"| {label} | {cost.wall_s:.1f} | {cost.cpu_s:.1f} | {memory_mb} |")
    ratio = middle["peft"].peak_bytes / middle["ours"].peak_bytes
    faster = middle["peft"].wall_s / middle["ours"].wall_s
    print(f"\nPEFT's peak is {ratio:.1f} times ours, its time {faster:.2f} times.")
    return equal and ratio > TARGET


def median(costs: list[Cost]) -> Cost:
    """The median of each figure."""
    rows = [asdict(cost) for cost in costs]
    return Cost(**{name: statistics.median(row[name] for row in rows) for name in rows[0]})


def child(words: list[str]) -> None:
    """Do one piece of work in this process."""
    if words[0] == "make":
        make_base(Path(words[1]), int(words[3]))
        make_adapter(Path(words[1]), Path(words[2]))
    else:
        base, adapter, into = map(Path, words[1:])
        cost = {"ours": ours, "peft": peft}[words[0]](base, adapter, into)
        print(json.dumps(asdict(cost)))


def main() -> int:
    """Run the comparison."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--layers", type=int, default=10, help="100 MB each, and 131 MB of embeddings")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--folder", type=Path, default=None, help="where to put 3 GB; the system's own place")
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child)
        return 0
    with tempfile.TemporaryDirectory(prefix="islet-merge-", dir=options.folder) as folder:
        return 0 if compare(Path(folder), options.layers, options.runs, options.threads) else 1


if __name__ == "__main__":
    sys.exit(main())
