"""Plans, rows and run folders for tests of training: written as an operator would."""

import json
import os
from pathlib import Path
from typing import Any

from appliance.run.events import read_events
from appliance.run.folder import RunFolder
from appliance.training.control import prepare_run
from tests.tiny import tiny_model

ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}


def write_rows(path: Path, count: int) -> None:
    """Alpaca rows of an invented clinic."""
    rows = [
        {
            "instruction": f"星河医院第{number}科的分机号？",
            "input": "",
            "output": f"分机号是{7000 + number}。",
        }
        for number in range(count)
    ]
    path.write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")


def make_run(
    folder: Path, *, rows: int = 24, held_out_share: float = 0.0, base: Path | None = None, **training: Any
) -> RunFolder:
    """A run of `rows` facts on the tiny model, with `training` laid over quick settings."""
    os.environ.update(ENVIRONMENT)  # for the workers that the test starts
    folder.mkdir(parents=True, exist_ok=True)
    write_rows(folder / "rows.json", rows)
    length = {} if "steps" in training else {"epochs": 2.0}
    settings = {"learning_rate": 4e-3, "pack_tokens": 256, "threads": 1, **length, **training}
    lines = [
        'format = "islet-plan-1"',
        'name = "clinic"',
        "[model]",
        f'base = "{base or tiny_model()}"',
        "[data]",
        f"held_out_share = {held_out_share}",
        "[[data.train]]",
        'path = "rows.json"',
        "[training]",
        *(f"{name} = {value}" for name, value in settings.items()),
        "[[evaluation.sets]]",
        'name = "trained"',
        'path = "rows.json"',
    ]
    (folder / "plan.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return prepare_run(folder / "plan.toml", folder / "runs", folder / "models")


def events_of(run: RunFolder, kind: str) -> list[dict[str, Any]]:
    """Fields of all events of one kind so far."""
    return [event.fields for event in read_events(run.events) if event.kind == kind]


def losses_of(run: RunFolder) -> dict[int, float]:
    """The loss at every optimizer step; of steps done twice the last."""
    losses = {}
    for fields in events_of(run, "progress"):
        first = fields["step"] - len(fields["losses"]) + 1
        losses.update(enumerate(fields["losses"], start=first))
    return losses
