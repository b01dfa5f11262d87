"""The journey at the site, in a box without a network and under a system-call trace.

Train, lose the worker to a kill, go on, evaluate, export; nothing tries to reach beyond loopback.
"""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from appliance.run.events import read_events
from appliance.run.folder import RunFolder
from appliance.run.lock import find_worker
from appliance.site import audit
from demo.trace import connects
from tests.real import BOX_ENVIRONMENT, MODEL, InstalledSite, box_command, scratch
from tests.runs import write_rows

pytestmark = pytest.mark.slow

PLAN = f"""
format = "islet-plan-1"
name = "clinic"
[model]
base = "{MODEL}"
[data]
train = [{{ path = "rows.json", format = "alpaca" }}]
[training]
learning_rate = 4e-3
pack_tokens = 256
packs_per_step = 1
steps = 160
checkpoint_every_steps = 20
threads = 1
[evaluation]
max_new_tokens = 12
sets = [{{ name = "trained", path = "few.json" }}]
[export]
name = "clinic"
gguf = ["f16"]
"""


@dataclass
class Box:
    """The commands of one site, each in a box of its own, with one trace each."""

    site: InstalledSite
    traces: Path

    def start(self, *arguments: str | Path) -> "subprocess.Popen[str]":
        """Start `islet ARGUMENTS`."""
        trace = self.traces / f"{len(list(self.traces.iterdir()))}-{arguments[0]}"
        command = box_command([self.site.islet, *arguments], trace=trace)
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL}
        return subprocess.Popen(command, text=True, env=BOX_ENVIRONMENT, **pipes)  # type: ignore[call-overload, no-any-return]

    def islet(self, *arguments: str | Path) -> str:
        """Run `islet ARGUMENTS`, which must succeed; its stdout."""
        child = self.start(*arguments)
        out, errors = child.communicate()
        assert child.returncode == 0, errors[-4000:]
        return out


@pytest.fixture(scope="module")
def journey(installed_site: InstalledSite) -> Iterator[tuple[Box, RunFolder, str]]:
    """A run that was killed midway and went on to its end; what `runs list` said in between."""
    with scratch("journey") as folder:
        write_rows(folder / "rows.json", 24)
        write_rows(folder / "few.json", 6)
        (folder / "plan.toml").write_text(PLAN, encoding="utf-8")
        (folder / "traces").mkdir()
        box = Box(installed_site, folder / "traces")
        training = box.start("train", "--plan", folder / "plan.toml")
        run = kill_worker_midway(installed_site, training)
        _, errors = training.communicate()
        assert training.returncode == 7
        assert "The worker ended without a word." in errors
        listed = box.islet("runs", "list")
        box.islet("runs", "continue", run.root.name)
        yield box, run, listed


def kill_worker_midway(site: InstalledSite, training: "subprocess.Popen[str]") -> RunFolder:
    """Kill -9 the worker once its second checkpoint is there; its run."""
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline and training.poll() is None:
        for root in (site.state / "runs").iterdir():
            run = RunFolder(root)
            events = read_events(run.events) if run.events.exists() else []
            if sum(event.kind == "checkpoint" for event in events) >= 2:
                pid = find_worker(run.lock)
                assert pid is not None
                os.kill(pid, signal.SIGKILL)
                return run
        time.sleep(0.05)
    pytest.fail(f"the worker wrote no second checkpoint: {training.communicate()}")


def test_a_killed_run_is_listed_as_interrupted_and_goes_on(journey: tuple[Box, RunFolder, str]) -> None:
    _, run, listed = journey
    line = next(line for line in listed.splitlines() if run.root.name in line)
    assert "interrupted" in line
    events = read_events(run.events)
    resumed = [event.fields["step"] for event in events if event.kind == "resumed"]
    assert len(resumed) == 1
    assert 40 <= resumed[0] < 160
    assert [e.fields["state"] for e in events if e.kind == "state"][-1] == "finished"
    assert (run.adapter / "adapter_model.safetensors").is_file()


def test_it_is_evaluated_and_exported_without_a_connect_beyond_loopback(
    journey: tuple[Box, RunFolder, str],
) -> None:
    box, run, _ = journey
    sets = json.loads(box.islet("eval", run.root.name, "--json"))
    assert [(s["name"], s["questions"]) for s in sets] == [("trained", 6)]
    box.islet("export", run.root.name)
    parity = json.loads((run.export / "parity.json").read_text())
    assert parity["first_difference"] is None
    assert {path.name for path in run.export.iterdir()} >= {"Modelfile", "SHA256SUMS", "clinic-f16.gguf"}
    check = ["sha256sum", "-c", "--strict", "--quiet", "SHA256SUMS"]
    assert subprocess.run(check, cwd=run.export).returncode == 0
    events = [entry["event"] for entry in audit.check(box.site.state / "audit.jsonl").entries]
    # The worker that was killed could tell no end; it went on, and that one did.
    assert events == ["anchor", "install", "train", "train", "train-end", "evaluate", "export"]
    traces = sorted(box.traces.iterdir())
    assert [path.name.partition("-")[2] for path in traces] == ["train", "runs", "runs", "eval", "export"]
    assert all(path.stat().st_size > 0 for path in traces)
    outside = {path.name: dict(connects(path)[0]) for path in traces}
    assert outside == {path.name: {} for path in traces}
