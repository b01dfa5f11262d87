"""The run folder: names of everything a run reads and writes. One run, one folder, nothing elsewhere."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class RunFolder:
    """Paths of one run. Parts meet here and nowhere else."""

    root: Path

    @property
    def plan(self) -> Path:
        """`plan.toml`, never changed after the run was made; every path in it is absolute."""
        return self.root / "plan.toml"

    @property
    def base(self) -> Path:
        """`base`: a text file with the absolute path of the base model's folder."""
        return self.root / "base"

    @property
    def data(self) -> Path:
        """`data/`: train.parquet, held_out.parquet, check.json."""
        return self.root / "data"

    @property
    def events(self) -> Path:
        """`events.jsonl`: what happened, appended by the worker, read by everybody."""
        return self.root / "events.jsonl"

    @property
    def checkpoints(self) -> Path:
        """`checkpoints/`: one folder each, complete or absent."""
        return self.root / "checkpoints"

    @property
    def adapter(self) -> Path:
        """`adapter/`: PEFT's adapter_config.json and adapter_model.safetensors (float32)."""
        return self.root / "adapter"

    @property
    def merged(self) -> Path:
        """`merged/`: the 16-bit model folder, base and adapter in one."""
        return self.root / "merged"

    @property
    def export(self) -> Path:
        """`export/`: GGUF, Modelfile, parity report, SHA256SUMS."""
        return self.root / "export"

    @property
    def evaluation(self) -> Path:
        """`evaluation/`: before.jsonl, after.jsonl, summary.json."""
        return self.root / "evaluation"
