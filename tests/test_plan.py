"""The plan, the run folder and the events."""

import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from appliance.errors import BadInput
from appliance.run.events import EventLog, follow_events, read_events
from appliance.run.folder import create_run, open_run, read_base
from appliance.run.plan import (
    DataChoice,
    DataFile,
    EvaluationChoice,
    ExportChoice,
    ModelChoice,
    Plan,
    QuestionSet,
    TrainingChoice,
    check_plan,
    read_plan,
    write_plan,
)

SMALLEST = """
format = "islet-plan-1"
name = "cardiology"
[model]
base = "Qwen/Qwen3-8B"
[[data.train]]
path = "rows.json"
"""


def plan_file(folder: Path, text: str) -> Path:
    path = folder / "plan.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_reads_the_smallest_plan_with_the_documented_defaults(tmp_path: Path) -> None:
    plan = read_plan(plan_file(tmp_path, SMALLEST))
    assert plan.name == "cardiology"
    assert plan.data.train == (DataFile("rows.json", "auto"),)
    assert (plan.training.rank, plan.training.alpha, plan.training.learning_rate) == (16, 32.0, 2e-4)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (SMALLEST + "[training]\nlearning_rat = 0.1\n", "learning_rat"),
        (SMALLEST + "[training]\nrank = '16'\n", "training.rank"),
        (SMALLEST + "[training]\nrank = true\n", "training.rank"),
        (SMALLEST + "[training]\nrank = 0\n", "training.rank"),
        (SMALLEST + "[training]\nlearning_rate = -1.0\n", "training.learning_rate"),
        (SMALLEST + "[training]\nlearning_rate = nan\n", "training.learning_rate"),
        (SMALLEST + "[training]\nmethod = 'full'\n", "training.method"),
        (SMALLEST + "[training]\nkeep_checkpoints = 0\n", "training.keep_checkpoints"),
        (SMALLEST + "[export]\nname = '../x'\n", "export.name"),
        (SMALLEST + "[export]\ngguf = 'f16'\n", "export.gguf"),
        (SMALLEST + "[export]\ngguf = []\n", "export.gguf"),
        (SMALLEST + "[export]\ngguf = ['f16', 'f16']\n", "export.gguf"),
        (SMALLEST + "[export]\ngguf = ['q4_k_m']\n", "export.gguf"),
        (SMALLEST + "[export]\nmerge_into = 'nf4'\n", "export.merge_into"),
        (SMALLEST.replace('"cardiology"', '"Cardio logy"'), "name"),
        (SMALLEST.replace("islet-plan-1", "islet-plan-2"), "format"),
        (SMALLEST.replace('name = "cardiology"\n', ""), "name"),
        (SMALLEST + '[[evaluation.sets]]\nname="a"\npath="q"\n' * 2, "evaluation.sets.name"),
        ('format = "islet-plan-1"\nname = "a"\nmodel = {base="m"}\ndata = {train=[]}', "data.train"),
        ("name = ", "no TOML"),
        (
            SMALLEST + "[training]\nsteps = 8\nepochs = 3.0\n",
            "`training.steps` and `training.epochs` contradict",
        ),
        (
            SMALLEST + "[training]\nsteps = 8\nwarmup_steps = 8\n",
            "`training.warmup_steps` must be fewer than the 8",
        ),
        (SMALLEST + "[training]\nwarmup_steps = -2\n", "training.warmup_steps"),
    ],
)
def test_refuses_a_plan_and_names_the_field(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(BadInput) as refused:
        read_plan(plan_file(tmp_path, text))
    assert named in refused.value.why
    assert "plan.toml" in refused.value.what


def test_refuses_a_plan_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no usable plan"):
        read_plan(tmp_path / "nothing.toml")


def full_file(rows: str) -> DataFile:
    """One file of rows in which nothing has its default value."""
    return DataFile(
        rows,
        "pairs",
        sheet="问答",
        dataset="ward",
        columns={"prompt": "问 题", "kto_tag": ""},
        tags={"user_tag": "病人"},
        registered="ward@3",
        sha256="0" * 64,
    )


def full_plan(rows: str, questions: str) -> Plan:
    """A plan in which nothing has its default value."""
    return Plan(
        format="islet-plan-1",
        name="icu-2",
        model=ModelChoice("org/model", system="你是助手。\n\"quoted\" 'both'"),
        data=DataChoice((full_file(rows),), held_out_share=0.25, max_bad_share=0.5),
        training=TrainingChoice(
            method="qlora",
            rank=8,
            alpha=12.5,
            dropout=0.1,
            learning_rate=1e-3,
            steps=7,
            warmup_steps=1,
            pack_tokens=64,
            packs_per_step=3,
            recompute_activations=True,
            weight_decay=0.01,
            max_grad_norm=0.5,
            checkpoint_every_steps=9,
            keep_checkpoints=4,
            seed=17,
            threads=2,
        ),
        evaluation=EvaluationChoice((QuestionSet("trained", questions, "contains"),), max_new_tokens=9),
        export=ExportChoice("icu", ("bf16", "q8_0"), "original", 1024),
    )


def test_a_written_plan_reads_back_equal(tmp_path: Path) -> None:
    plan = full_plan("/a/rows.csv", "/b/questions.json")
    write_plan(plan, tmp_path / "plan.toml")
    assert read_plan(tmp_path / "plan.toml") == plan


def test_refuses_a_column_for_what_is_no_field(tmp_path: Path) -> None:
    write_plan(full_plan("/a", "/b"), tmp_path / "plan.toml")
    text = (tmp_path / "plan.toml").read_text(encoding="utf-8")
    (tmp_path / "plan.toml").write_text(text.replace("prompt = ", "question = "), encoding="utf-8")
    with pytest.raises(BadInput) as refused:
        read_plan(tmp_path / "plan.toml")
    assert refused.value.why == "`data.train[0].columns`: Invalid enum value 'question'"


def test_a_plan_by_passes_reads_back_equal_and_one_by_both_is_refused_however_it_was_made(
    tmp_path: Path,
) -> None:
    plan = msgspec.structs.replace(full_plan("/a", "/b"), training=TrainingChoice(epochs=1.5))
    write_plan(plan, tmp_path / "plan.toml")
    assert read_plan(tmp_path / "plan.toml") == plan
    with pytest.raises(BadInput) as refused:
        check_plan(msgspec.structs.replace(plan, training=TrainingChoice(epochs=1.5, steps=7)))
    assert "`training.steps` and `epochs` contradict" in refused.value.why


def test_a_run_holds_the_plan_with_absolute_paths_and_its_base(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    for name in ("rows.csv", "questions.json"):
        (tmp_path / "site" / name).write_text("x")
    plan = full_plan("rows.csv", "./questions.json")
    (tmp_path / "base").mkdir()
    run = create_run(plan, tmp_path / "runs", base=tmp_path / "base", beside=tmp_path / "site")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d-icu-2-[0-9a-f]{4}", run.root.name)
    written = read_plan(run.plan)
    assert written.data.train[0].path == str(tmp_path / "site" / "rows.csv")
    assert written.evaluation.sets[0].path == str(tmp_path / "site" / "questions.json")
    assert written.model.base == "org/model"
    assert read_base(run) == tmp_path / "base"
    assert open_run(run.root) == run


def test_no_run_is_left_behind_when_a_file_of_rows_is_missing(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="rows.csv is not there"):
        create_run(full_plan("rows.csv", "q"), tmp_path / "runs", base=tmp_path, beside=tmp_path)
    assert not (tmp_path / "runs").exists()


def test_a_folder_without_a_plan_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no run folder"):
        open_run(tmp_path)


def test_a_torn_last_line_is_passed_over_and_the_next_writer_starts_a_new_one(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    log = EventLog(path)
    log.append("state", state="training")
    log.append("progress", step=1, loss=0.5)
    log.close()
    path.write_bytes(path.read_bytes()[:-9])
    assert [event.kind for event in read_events(path)] == ["state"]
    EventLog(path).append("state", state="stopped")
    assert [event.fields for event in read_events(path)] == [{"state": "training"}, {"state": "stopped"}]


def test_a_disk_that_takes_a_part_of_an_event_is_told_and_costs_that_event_alone(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    script = f"""
import resource, signal
from pathlib import Path
from appliance.run.events import EventLog
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
log = EventLog(Path({str(path)!r}))
log.append("first")
resource.setrlimit(resource.RLIMIT_FSIZE, (Path({str(path)!r}).stat().st_size + 20, resource.RLIM_INFINITY))
try:
    log.append("second")
except OSError as error:
    print(error.strerror)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
log.append("third")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "File too large\n"
    assert [event.kind for event in read_events(path)] == ["first", "third"]


def test_following_gives_every_event_once_also_those_written_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    log = EventLog(path)
    log.append("progress", step=1)
    seen = []

    def ended() -> bool:
        log.append("progress", step=len(seen) + 2)
        return len(seen) >= 2

    for event in follow_events(path, ended=ended):
        seen.append(event.fields["step"])
    assert seen == [1, 2, 4]
