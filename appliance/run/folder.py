"""The run folder: names of everything a run reads and writes. One run, one folder, nothing elsewhere."""

import datetime
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from appliance.durable import sync_folder, write_whole
from appliance.errors import BadInput, HostNotReady
from appliance.run.lock import folder_lock
from appliance.run.plan import Plan, absolute, check_plan, write_plan
from appliance.run.retention import Retention, write_retention
from appliance.sentence import reason, say


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
    def base_sums(self) -> Path:
        """`base.sha256`: hashes of the base model's files as training found them first."""
        return self.root / "base.sha256"

    @property
    def data(self) -> Path:
        """`data/`: train.parquet, held_out.parquet, check.json."""
        return self.root / "data"

    @property
    def events(self) -> Path:
        """`events.jsonl`: what happened, appended by the worker, read by everybody."""
        return self.root / "events.jsonl"

    @property
    def log(self) -> Path:
        """`worker.log`: what the worker and its libraries printed; for engineers."""
        return self.root / "worker.log"

    @property
    def lock(self) -> Path:
        """`worker.lock`: locked while a worker owns the run; holds its process id and start time."""
        return self.root / "worker.lock"

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


def create_run(
    plan: Plan, runs_dir: Path, *, base: Path, beside: Path | None = None, keep: Retention | None = None
) -> RunFolder:
    """A new run folder `<date>-<name>-<4 hex>` under `runs_dir`, there whole or not at all.

    `base` is the resolved folder of the base model; `beside` is the folder that the plan's relative
    paths start from (the plan file's), the current one if left out; `keep` is until when its rows may be
    kept, where somebody said.

    Raises: BadInput, when the plan is out of range or names a file that is not there, or the base went
    meanwhile; HostNotReady, when the folder cannot be written.
    """
    with _held_base(base):
        return _create_run(plan, runs_dir, base, beside, keep)


@contextmanager
def _held_base(base: Path) -> Iterator[None]:
    """Hold the base model's folder until the run is noted: islet gc removes none that is held."""
    with ExitStack() as held:
        try:
            folder = held.enter_context(folder_lock(base, alone=False))
            gone = os.fstat(folder).st_nlink == 0
        except OSError:
            gone = not base.is_dir()  # a disk of the network may know no locks
        if gone:
            raise BadInput(
                say("There is no model {name}.", name=base),
                why="it was removed while this run was made",
                next_step="Write the name of an installed model, or the path of a model's folder.",
            )
        yield


def _create_run(
    plan: Plan, runs_dir: Path, base: Path, beside: Path | None, keep: Retention | None
) -> RunFolder:
    check_plan(plan)
    plan = absolute(plan, beside or Path.cwd())
    wanted = [file.path for file in plan.data.train] + [questions.path for questions in plan.evaluation.sets]
    for path in wanted:
        if not Path(path).exists():
            raise BadInput(
                say("{path} is not there.", path=path),
                why="the plan names it as a file of rows",
                next_step="Put the file there, or correct its path in the plan.",
            )
    today = datetime.datetime.now(tz=datetime.UTC).date().isoformat()
    root = runs_dir.resolve() / f"{today}-{plan.name}-{secrets.token_hex(2)}"
    aside = root.with_name(f".{root.name}.part")
    try:
        aside.parent.mkdir(parents=True, exist_ok=True)
        aside.mkdir(mode=0o700)  # rows are in it, whatever the mask
        run = RunFolder(aside)
        write_plan(plan, run.plan)
        write_whole(run.base, f"{base.resolve()}\n".encode())
        run.checkpoints.mkdir()
        if keep is not None:
            write_retention(aside, keep.until, by=keep.set_by)
        # A rename onto an existing folder that is not empty fails: no run is ever written over.
        aside.rename(root)
        sync_folder(runs_dir)
    except OSError as error:
        shutil.rmtree(aside, ignore_errors=True)
        raise HostNotReady(
            say("No run could be made in {folder}.", folder=runs_dir),
            why=reason(error),
            next_step="Make the folder writable and free some space, or choose another.",
        ) from error
    return RunFolder(root)


def open_run(root: Path) -> RunFolder:
    """The run folder at `root`.

    Raises: BadInput, when it is none; HostNotReady, when this account may not look into it.
    """
    run = RunFolder(root.resolve())
    try:
        whole = run.plan.is_file() and run.base.is_file()
    except PermissionError as error:
        raise HostNotReady(
            say("This run is somebody else's."),
            why=reason(error),
            next_step="Ask who made it, or an administrator.",
        ) from error
    if not whole:
        raise BadInput(
            say("{folder} is no run folder.", folder=root),
            why="it holds no plan.toml and base",
            next_step="Name a folder that `islet train` made; `islet runs list` names them.",
        )
    return run


def read_base(run: RunFolder) -> Path:
    """Absolute path of the run's base model folder.

    Raises: BadInput, when it is not written there; OSError.
    """
    try:
        return Path(run.base.read_text(encoding="utf-8").strip())
    except UnicodeDecodeError as error:
        raise BadInput(
            say("{folder} is no run folder.", folder=run.root),
            why=say("{path} holds no path", path=run.base),
            next_step="Put the file back from a backup.",
        ) from error
