"""How a run that fails is told: by its own cause, with the right exit code, and nothing broken is kept."""

import math
import subprocess
import sys
from pathlib import Path

import pytest

from appliance.errors import HostNotReady, StepFailed
from appliance.run.events import EventLog
from appliance.sentence import from_document
from appliance.training.control import check_outcome, start_detached, train
from appliance.training.worker import as_told
from tests.runs import events_of, losses_of, make_run
from tests.test_training import train_here
from tests.tiny import make_tiny_model


def loud_model(folder: Path, times: float) -> Path:
    """A tiny model whose last hidden states are so many times larger."""
    from safetensors.torch import load_file, save_file

    base = make_tiny_model(folder / "base")
    tensors = load_file(base / "model.safetensors")
    tensors["model.norm.weight"] *= times
    save_file(tensors, base / "model.safetensors", metadata={"format": "pt"})
    return base


def test_weights_that_are_no_numbers_are_never_kept_though_the_loss_is_one(tmp_path: Path) -> None:
    base = loud_model(tmp_path, 1e37)  # logits that float32 holds, gradients that it does not
    run = make_run(tmp_path, base=base, rows=2, steps=1, checkpoint_every_steps=1)
    with pytest.raises(StepFailed, match="went astray"):
        train_here(run)
    assert all(math.isfinite(loss) for loss in losses_of(run).values())
    assert list(run.checkpoints.iterdir()) == []
    assert not run.adapter.exists()


def test_gradients_without_a_finite_length_are_told(tmp_path: Path) -> None:
    base = loud_model(tmp_path, 1e34)  # gradients that float32 holds, their squares it does not
    run = make_run(tmp_path, base=base, rows=2, steps=2, checkpoint_every_steps=1)
    assert train_here(run)
    (warning,) = events_of(run, "warning")
    assert from_document(warning["what"]) == "The gradients are no numbers any more near step 1."


def test_a_worker_that_does_not_come_up_is_not_told_as_what_ended_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tmp_path, rows=4, steps=2)
    EventLog(run.events).append("state", state="stopped")
    monkeypatch.setenv("PYTHONHOME", str(tmp_path))  # a Python that does not start
    with pytest.raises(StepFailed, match="did not come up"):
        start_detached(run)
    with pytest.raises(StepFailed, match="did not come up"):
        train(run)


def test_a_stop_before_the_first_checkpoint_promises_none(tmp_path: Path) -> None:
    run = make_run(tmp_path, rows=4, steps=2)
    EventLog(run.events).append("state", state="stopped")
    with pytest.raises(StepFailed) as stopped:
        check_outcome(run, from_byte=0)
    assert stopped.value.why == "the worker was asked to stop before its first checkpoint"
    (run.checkpoints / "step-00000001").mkdir()
    with pytest.raises(StepFailed, match="left a checkpoint"):
        check_outcome(run, from_byte=0)


def test_memory_that_runs_out_is_no_error_of_the_program(tmp_path: Path) -> None:
    import torch

    run = make_run(tmp_path, rows=4, steps=2)
    with pytest.raises(RuntimeError) as allocator:
        torch.empty(2**50)
    for error in (allocator.value, torch.OutOfMemoryError("CUDA out of memory."), MemoryError()):
        told = as_told(run, error)
        assert (type(told), told.exit_code) == (HostNotReady, 5)
        assert told.what == "Training ran out of memory."
    assert as_told(run, RuntimeError("shapes do not agree")).exit_code == 1


def test_a_disk_that_takes_no_lock_is_full_and_no_error_of_the_program(tmp_path: Path) -> None:
    run = make_run(tmp_path, rows=4, steps=2)
    script = f"""
import resource, signal, sys
from appliance.training.worker import main
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
sys.exit(main([{str(run.root)!r}]))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 5
    assert done.stderr.startswith("The disk is full.\nwhy: ")
    assert "Traceback" not in done.stderr


def test_a_crash_of_a_worker_or_of_work_on_a_run_writes_no_memory_down(tmp_path: Path) -> None:
    run = make_run(tmp_path, rows=4, steps=2)
    worker = "from appliance.training.worker import main; main(['/nowhere'])"
    work = (
        "from pathlib import Path; from appliance.job.record import at_work; "
        "from appliance.progress import Silent; from appliance.run.folder import RunFolder\n"
        f"with at_work(RunFolder(Path({str(run.root)!r})), 'evaluate', Silent()): pass"
    )
    for script in (worker, work):
        script += "\nimport resource; print(resource.getrlimit(resource.RLIMIT_CORE))"
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        assert done.stdout == "(1, 1)\n"
