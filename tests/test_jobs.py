"""Jobs: evaluation, export and report that outlive who started them; one at a time, whoever starts it."""

import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.errors import BadInput, HostNotReady
from appliance.job import JobState, read_job, start_job, stop_job
from appliance.job.record import at_work
from appliance.job.state import JobFiles
from appliance.job.work import do, evaluate_run
from appliance.locale import catalogue
from appliance.progress import Silent
from appliance.run.folder import RunFolder
from appliance.run.lock import find_worker
from appliance.sentence import Sentence
from appliance.site import audit
from appliance.site.layout import Site
from tests.converted import converter_folder
from tests.runs import ENVIRONMENT, make_run
from tests.tiny import tiny_model


def make_trained(folder: Path, *, rows: int = 4) -> RunFolder:
    """A run that has ended, with a random adapter, whose plan asks `rows` questions."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    run = make_run(folder, rows=rows, steps=1)
    torch.manual_seed(3)
    model = get_peft_model(
        AutoModelForCausalLM.from_pretrained(tiny_model()),
        LoraConfig(r=4, lora_alpha=7, target_modules="all-linear"),
    )
    model.save_pretrained(run.adapter)
    return run


def make_site(folder: Path, run: RunFolder) -> Site:
    """A site whose runs are where `run` is."""
    return Site(folder / "prefix", run.root.parents[1])


def until(holds: Callable[[], bool], what: str) -> None:
    """Wait for `what`."""
    deadline = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.02)


def until_ended(run: RunFolder, kind: str) -> JobState:
    """Wait for the end of a job; how it ended."""
    until(lambda: read_job(run, kind).state != "running", f"the end of {kind}")  # type: ignore[arg-type]
    return read_job(run, kind)  # type: ignore[arg-type]


def test_a_run_that_nobody_worked_on_has_no_job(tmp_path: Path) -> None:
    run = make_run(tmp_path, rows=4, steps=1)
    assert read_job(run, "evaluate") == JobState()
    assert not stop_job(run, "evaluate")


def test_a_job_goes_on_by_itself_and_leaves_its_story_and_its_results(tmp_path: Path) -> None:
    run = make_trained(tmp_path)
    pid = start_job(run, "evaluate", make_site(tmp_path, run))
    assert os.getsid(pid) == pid
    assert read_job(run, "evaluate").state == "running"
    ended = until_ended(run, "evaluate")
    assert (ended.state, ended.error) == ("finished", None)
    assert (ended.stage, ended.done, ended.total, ended.unit) == (
        "perplexity of the tuned model",
        4,
        4,
        "answers",
    )
    assert ended.started < ended.ended
    assert (run.evaluation / "summary.json").is_file()
    files = JobFiles(run, "evaluate")
    assert stat.S_IMODE(files.log.stat().st_mode) == 0o600
    told = [json.loads(line) for line in files.events.read_text().splitlines()]
    stages = [each["what"] for each in told if each["kind"] == "stage"]
    assert stages == [
        "asking the base",
        "perplexity of the base",
        "asking the tuned model",
        "perplexity of the tuned model",
    ]
    assert all(catalogue("zh_CN").knows(each) for each in stages)
    assert told[0]["kind"] == "started"
    assert told[-1]["kind"] == "finished"


@pytest.mark.slow
def test_a_killed_job_is_interrupted_and_started_again_finishes(tmp_path: Path) -> None:
    run = make_trained(tmp_path, rows=60)
    site = make_site(tmp_path, run)
    pid = start_job(run, "evaluate", site)
    until(lambda: read_job(run, "evaluate").stage == "asking the base", "the first stage")
    os.kill(pid, signal.SIGKILL)
    until(lambda: find_worker(JobFiles(run, "evaluate").lock) is None, "the end of the process")
    state = read_job(run, "evaluate")
    assert (state.state, state.stage, state.total) == ("interrupted", "asking the base", 60)
    assert not (run.evaluation / "summary.json").exists()
    assert start_job(run, "evaluate", site) != pid
    assert until_ended(run, "evaluate").state == "finished"
    started = [
        line for line in JobFiles(run, "evaluate").events.read_text().splitlines() if "started" in line
    ]
    assert len(started) == 1


@pytest.mark.slow
def test_a_stopped_job_leaves_the_results_that_were_there(tmp_path: Path) -> None:
    run = make_trained(tmp_path, rows=60)
    run.evaluation.mkdir()
    old = {name: f"{name} of before".encode() for name in ("summary.json", "before.jsonl", "after.jsonl")}
    for name, content in old.items():
        (run.evaluation / name).write_bytes(content)
    start_job(run, "evaluate", make_site(tmp_path, run))
    until(lambda: read_job(run, "evaluate").stage == "asking the base", "the first stage")
    assert stop_job(run, "evaluate")
    assert read_job(run, "evaluate").state == "interrupted"
    assert {path.name: path.read_bytes() for path in run.evaluation.iterdir()} == old


def test_a_job_that_fails_says_what_why_and_what_to_do(tmp_path: Path) -> None:
    run = make_run(tmp_path, rows=4, steps=1)
    start_job(run, "evaluate", make_site(tmp_path, run))
    failed = until_ended(run, "evaluate")
    assert failed.state == "failed"
    assert isinstance(failed.error, BadInput)
    assert failed.error.what == f"{run.root} has no adapter yet."
    assert isinstance(failed.error.what, Sentence)
    assert list(failed.error.what.values.values()) == [str(run.root)]
    assert failed.error.next_step == "Train the run to its end first."
    with pytest.raises(BadInput):
        evaluate_run(run, make_site(tmp_path, run), Silent())
    assert read_job(run, "evaluate").state == "failed"


def test_a_second_one_is_refused_be_it_a_job_or_a_command(tmp_path: Path) -> None:
    run = make_trained(tmp_path)
    site = make_site(tmp_path, run)
    entry = "from appliance.cli import main; main()"
    command = [sys.executable, "-c", entry, "--prefix", site.prefix, "--state", site.state, "eval", run.root]
    with at_work(run, "evaluate", Silent()):
        assert read_job(run, "evaluate").state == "running"
        with pytest.raises(HostNotReady, match="being evaluated already"):
            start_job(run, "evaluate", site)
        with pytest.raises(HostNotReady, match="being evaluated already"):
            evaluate_run(run, make_site(tmp_path, run), Silent())
        environment = {**os.environ, **ENVIRONMENT}
        refused = subprocess.run(command, env=environment, stderr=subprocess.PIPE, text=True)
        assert refused.returncode == 5
        assert refused.stderr.startswith("islet: This run is being evaluated already.\n")
    assert read_job(run, "evaluate").state == "finished"


def test_two_jobs_started_in_one_moment_are_one(tmp_path: Path) -> None:
    run = make_trained(tmp_path, rows=60)
    site = make_site(tmp_path, run)
    entry = """
import sys
from pathlib import Path
from appliance.errors import HostNotReady
from appliance.job import start_job
from appliance.run.folder import RunFolder
from appliance.site.layout import Site
root, prefix, state = map(Path, sys.argv[1:])
try:
    start_job(RunFolder(root), "evaluate", Site(prefix, state))
    print("started")
except HostNotReady as error:
    print(error.what)
"""
    command = [sys.executable, "-c", entry, run.root, site.prefix, site.state]
    starts = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    said = sorted(each.communicate()[0].strip() for each in starts)
    assert said == ["This run is being evaluated already."] * 2 + ["started"]
    assert stop_job(run, "evaluate")


def test_the_report_job_writes_the_page_and_an_audit_entry(tmp_path: Path) -> None:
    run = make_trained(tmp_path)
    site = make_site(tmp_path, run)
    start_job(run, "report", site)
    assert until_ended(run, "report").state == "finished"
    assert (run.root / "report" / "report.html").is_file()
    assert [entry["event"] for entry in audit.check(site.audit).entries] == ["report"]


def test_an_unforeseen_error_is_told_without_its_words(tmp_path: Path) -> None:
    run = make_run(tmp_path, rows=4, steps=1)
    with pytest.raises(ValueError, match="张三"), at_work(run, "export", Silent()):
        raise ValueError("张三 has a cough")
    failed = read_job(run, "export")
    assert failed.state == "failed"
    assert failed.error is not None
    assert failed.error.why.startswith("ValueError at test_jobs.py:")
    assert "张三" not in JobFiles(run, "export").events.read_text()


def test_work_that_runs_out_of_memory_says_so_and_what_to_do(tmp_path: Path) -> None:
    run = make_run(tmp_path, rows=4, steps=1)
    with pytest.raises(HostNotReady, match="ran out of memory"), at_work(run, "export", Silent()):
        raise MemoryError
    failed = read_job(run, "export")
    assert failed.error is not None
    assert (failed.error.exit_code, failed.error.what) == (5, "The work ran out of memory.")


def test_a_folder_that_takes_no_file_is_said_in_three_lines(tmp_path: Path) -> None:
    run = make_run(tmp_path, rows=4, steps=1)
    (run.root / "jobs").write_text("in the way")
    with pytest.raises(HostNotReady, match="Nothing can be written into the run folder"):
        start_job(run, "evaluate", make_site(tmp_path, run))
    with pytest.raises(HostNotReady, match="Nothing can be written into the run folder"):
        evaluate_run(run, make_site(tmp_path, run), Silent())


@pytest.mark.slow
def test_an_export_that_was_killed_while_converting_is_made_anew_with_its_report(tmp_path: Path) -> None:
    run = make_trained(tmp_path)
    site = make_site(tmp_path, run)
    site.converter.parent.mkdir(parents=True)
    site.converter.symlink_to(converter_folder())
    pid = start_job(run, "export", site)
    until(lambda: read_job(run, "export").stage == "convert to GGUF", "the converter")
    converter = int(until_child(pid))
    os.kill(pid, signal.SIGKILL)
    until(lambda: not is_alive(converter), "the converter to end with the job")
    assert read_job(run, "export").state == "interrupted"
    assert not run.export.exists()
    start_job(run, "export", site)
    ended = until_ended(run, "export")
    assert ended.state == "finished", ended.error
    assert (run.export / "Modelfile").is_file()
    assert read_job(run, "report").state == "finished"
    assert [entry["event"] for entry in audit.check(site.audit).entries] == ["export", "report"]
    before = {path: path.read_bytes() for path in run.export.iterdir()}
    do("report", run, site, Silent())
    start_job(run, "export", site)
    until(lambda: read_job(run, "export").stage == "convert to GGUF", "the converter")
    assert stop_job(run, "export")
    assert {path: path.read_bytes() for path in run.export.iterdir()} == before


def until_child(pid: int) -> int:
    """The process that `pid` has started, once there is one."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    until(lambda: bool(children.read_text().split()), "a child")
    return int(children.read_text().split()[0])


def is_alive(pid: int) -> bool:
    """Whether the process `pid` still works; one that nobody has waited for does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"
