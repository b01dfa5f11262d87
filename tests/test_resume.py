"""A run that is killed goes on to the same bits; a damaged checkpoint is never passed over in silence."""

import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from appliance.run.folder import RunFolder
from appliance.sentence import from_document
from appliance.training.checkpoint import MANIFEST, REQUIRED
from tests.runs import events_of, losses_of, make_run
from tests.test_training import train_here, weights

STEPS = 60


def kill_and_go_on(run: RunFolder, moments: list[str]) -> list[int]:
    """How each of the processes ended, the last one undisturbed."""
    output = subprocess.run(
        [sys.executable, "-m", "tests.killed", str(run.root), *moments],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return [int(each) for each in output.strip("[]\n").split(",")]


@pytest.mark.slow
@pytest.mark.parametrize("method", ["lora", "qlora"])
def test_killed_at_ten_random_moments_a_run_ends_in_the_bits_of_one_left_alone(
    tmp_path: Path, method: str
) -> None:
    settings: dict[str, Any] = {
        "method": f'"{method}"',
        "steps": STEPS,
        "dropout": 0.1,
        "packs_per_step": 2,
        "checkpoint_every_steps": 5,
        "held_out_share": 0.1,
    }
    whole = make_run(tmp_path / "whole", **settings)
    assert kill_and_go_on(whole, []) == [0]
    broken = make_run(tmp_path / "broken", **settings)
    chance = random.Random(f"ten moments of {method}")
    steps = sorted(chance.sample(range(2, STEPS), 10))
    # Every second one dies while it writes a checkpoint, of which there is none after the last step but one.
    moments = [
        f"{step}:{chance.randint(1, 14)}" if place % 2 and step <= STEPS - 5 else str(step)
        for place, step in enumerate(steps)
    ]
    assert kill_and_go_on(broken, moments) == [-9] * 10 + [0], moments
    assert weights(broken) == weights(whole)
    assert losses_of(broken) == losses_of(whole)
    assert sorted(losses_of(whole)) == list(range(1, STEPS + 1))
    assert events_of(broken, "held_out")[-1] == events_of(whole, "held_out")[-1]
    assert len(events_of(broken, "resumed")) >= 8
    assert events_of(broken, "warning") == []


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run of 9 steps with checkpoints at 3, 6 and 9, and its adapter."""
    run = make_run(
        tmp_path_factory.mktemp("finished"),
        steps=9,
        dropout=0.1,
        checkpoint_every_steps=3,
        keep_checkpoints=3,
    )
    assert train_here(run)
    return run


@pytest.mark.slow
@pytest.mark.parametrize("how", ["missing", "damaged"])
@pytest.mark.parametrize("name", [*REQUIRED, MANIFEST])
def test_with_any_file_of_the_newest_checkpoint_gone_the_one_before_is_used_and_said(
    finished: RunFolder, tmp_path: Path, name: str, how: str
) -> None:
    run = RunFolder(tmp_path / "run")
    shutil.copytree(finished.root, run.root)
    shutil.rmtree(run.adapter)
    run.events.unlink()
    shutil.rmtree(run.checkpoints / "step-00000009")
    path = run.checkpoints / "step-00000006" / name
    if how == "missing":
        path.unlink()
    else:
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    assert train_here(run)
    (warning,) = events_of(run, "warning")
    assert from_document(warning["what"]) == "The checkpoint step-00000006 was passed over."
    assert from_document(warning["why"]).endswith(f"is {how}")
    assert [each["step"] for each in events_of(run, "resumed")] == [3]
    assert weights(run) == weights(finished)
    assert sorted(losses_of(run)) == list(range(4, 10))
