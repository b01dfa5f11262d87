"""Runs outlive their supervisor, whenever it is killed; the next one knows what was meant, and goes on."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from appliance.errors import HostNotReady, StepFailed
from appliance.job import train as training
from appliance.run.folder import RunFolder
from appliance.run.lock import find_worker
from appliance.site import audit
from appliance.site.layout import Site
from appliance.supervisor import client
from appliance.supervisor.process import boot_id
from tests.runs import events_of, make_run
from tests.supervised import long_state, start_supervisor, supervisor, until

state = pytest.fixture(long_state)


def test_a_worker_that_does_not_come_up_is_told_and_recorded(state: Path) -> None:
    run = RunFolder(state / "runs" / "a")
    run.root.mkdir()
    run.plan.write_text("no plan at all\n", encoding="utf-8")
    run.log.symlink_to(state / "elsewhere")  # which the trainer's own process refuses to write through
    with supervisor(state), pytest.raises(StepFailed, match="did not come up"):
        training.start_training(run, Site(state, state))
    assert not (state / "elsewhere").exists()
    told = [(e["event"], e.get("run_tells")) for e in audit.check(state / "audit.jsonl").entries]
    assert told == [("train", None), ("train-end", "nothing")]


def leave_in_hand(folder: Path, **kept: object) -> RunFolder:
    """What a supervisor had in hand of a run when it was killed; the run's last word is "stopped"."""
    run = RunFolder(folder / "runs" / "a")
    run.root.mkdir()
    run.plan.write_text("no plan at all\n", encoding="utf-8")
    run.events.write_text('{"time": "then", "kind": "state", "state": "stopped"}\n', encoding="utf-8")
    (folder / "supervisor").mkdir()
    document = [{"run": "a", "uid": os.getuid(), **kept}]
    (folder / "supervisor" / "runs.json").write_text(json.dumps(document), encoding="utf-8")
    return run


def recorded(state: Path) -> list[tuple[str, object]]:
    return [(e["event"], e.get("run_tells")) for e in audit.check(state / "audit.jsonl").entries]


def test_a_worker_that_was_started_and_not_yet_written_down_is_found_again(state: Path) -> None:
    run = leave_in_hand(state, state="starting", boot=boot_id())
    words = [sys.executable, "-c", "import time; time.sleep(600)", "appliance.training.worker", str(run.root)]
    worker = subprocess.Popen(words)
    try:
        with supervisor(state):
            assert [(line.state, line.pid) for line in client.status(state)] == [("running", worker.pid)]
            worker.kill()
            worker.wait()
            until(lambda: not client.status(state), "the end of it")
    finally:
        worker.kill()
        worker.wait()
    assert recorded(state) == [("train-end", "stopped")]


def test_a_run_that_was_stopped_while_no_supervisor_looked_has_ended(state: Path) -> None:
    leave_in_hand(state, state="running", pid=2**22 - 1, started=1, boot=boot_id())
    with supervisor(state):
        assert client.status(state) == ()
    assert recorded(state) == [("train-end", "stopped")]


def test_a_run_that_the_system_stopped_on_its_way_down_goes_on_after_the_boot(state: Path) -> None:
    leave_in_hand(state, state="running", pid=os.getpid(), started=1, boot="another boot")
    with supervisor(state):
        until(lambda: not client.status(state), "the end of what was begun")  # its plan is none
    assert recorded(state) == [("resume", None), ("train-end", "stopped")]


def test_a_run_that_never_gets_far_goes_on_by_itself_three_times_and_no_more(state: Path) -> None:
    leave_in_hand(state, state="running", pid=os.getpid(), started=1, boot="another boot", resumed=3)
    with supervisor(state):
        assert client.status(state) == ()
    assert recorded(state) == [("train-end", "stopped")]


def test_what_was_in_hand_and_cannot_be_read_is_said_and_nothing_is_started(state: Path) -> None:
    leave_in_hand(state, state="running", pid="7")
    command = [sys.executable, "-m", "appliance.supervisor", "--prefix", str(state), "--state", str(state)]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 7
    assert "runs.json cannot be read." in ended.stderr


@pytest.mark.slow
def test_runs_wait_their_turn_outlive_the_supervisor_and_go_on_after_a_reboot(tmp_path: Path) -> None:
    run = make_run(tmp_path, rows=24, steps=100_000, checkpoint_every_steps=5)
    second = make_run(tmp_path, rows=4, steps=1)
    site = Site(tmp_path / "prefix", tmp_path)
    first_supervisor = start_supervisor(tmp_path)
    training.start_training(run, site)
    pid = find_worker(run.lock)
    assert pid is not None and os.getsid(pid) == pid
    with pytest.raises(HostNotReady, match="being trained already"):
        training.start_training(run, site)
    training.start_training(second, site)
    assert [line.state for line in client.status(tmp_path)] == ["running", "queued"]
    assert not second.events.exists()

    until(lambda: events_of(run, "checkpoint"), "a checkpoint")
    first_supervisor.send_signal(signal.SIGKILL)
    first_supervisor.wait()
    steps = events_of(run, "progress")[-1]["step"]
    until(lambda: events_of(run, "progress")[-1]["step"] > steps, "steps without a supervisor")
    second_supervisor = start_supervisor(tmp_path)
    assert [(line.state, line.pid) for line in client.status(tmp_path)] == [("running", pid), ("queued", 0)]

    second_supervisor.send_signal(signal.SIGKILL)
    second_supervisor.wait()
    os.kill(pid, signal.SIGKILL)
    until(lambda: find_worker(run.lock) is None, "the end of the worker")
    with supervisor(tmp_path):
        until(lambda: events_of(run, "resumed"), "the run that goes on by itself")
        assert events_of(run, "resumed")[0]["step"] >= 5
        assert training.stop_training(second, site)  # it came later, and still waits
        assert not second.events.exists()
        assert training.stop_training(run, site)
        assert client.status(tmp_path) == ()
    entries = [
        (e["event"], e.get("run", "")[-4:], e.get("run_tells")) for e in audit.check(site.audit).entries
    ]
    a, b = run.root.name[-4:], second.root.name[-4:]
    assert ("adopt", a, None) in entries
    assert ("resume", a, None) in entries
    assert ("train-end", a, "stopped") in entries
    assert [entry for entry in entries if entry[1] == b] == [
        ("train", b, None),
        ("train-end", b, "never begun"),
    ]


@pytest.mark.slow
def test_without_a_supervisor_a_run_is_this_accounts_and_its_start_and_end_are_recorded(
    tmp_path: Path,
) -> None:
    run = make_run(tmp_path, rows=4, steps=1)
    site = Site(tmp_path / "prefix", tmp_path)
    told: list[str] = []
    training.train(run, site, lambda event: told.append(event.kind))
    assert told[-1] == "state"
    entries = audit.check(site.audit).entries
    assert [(e["event"], e.get("how"), e.get("run_tells")) for e in entries] == [
        ("train", "new", None),
        ("train-end", None, "finished"),
    ]
    assert {e["run"] for e in entries} == {run.root.name}
