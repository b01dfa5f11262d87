"""What commands print: the state of runs at a glance, and every line in both languages."""

import ast
import json
import subprocess
import sys
import tomllib
import unicodedata
from pathlib import Path

import pytest
from rich.cells import cell_len

import appliance
from appliance.locale import catalogue
from appliance.locale.voice import Voice
from appliance.run.events import Event, EventLog, newest_events, read_events
from appliance.run.lock import worker_lock
from appliance.run.overview import RunLine, list_runs
from appliance.run.told import STATES, event_sentence, state_word
from appliance.sentence import places, say, to_document
from appliance.show import event_line, print_findings, print_inventory, print_runs, print_stopped
from appliance.site.health.finding import Finding

ROOT = Path(appliance.__file__).parent
CHINESE = ROOT / "locale" / "zh_CN" / "report.toml"
STARTED = "2026-11-21T09:00:00.000+00:00"


def make_folder(runs: Path, name: str, *events: dict[str, object]) -> Path:
    """A run folder with these events, the first of them at STARTED."""
    root = runs / name
    root.mkdir(parents=True)
    (root / "plan.toml").write_text("")
    if events:
        lines = (json.dumps({"time": STARTED, **event}) + "\n" for event in events)
        (root / "events.jsonl").write_text("".join(lines))
    return root


def state(name: str, **fields: object) -> dict[str, object]:
    return {"kind": "state", "state": name, **fields}


def progress(step: int, **fields: object) -> dict[str, object]:
    known: dict[str, object] = {"kind": "progress", "steps": 90, "loss": 1.25, "tokens_per_s": 84.6}
    return {**known, "step": step, **fields}


TRAINING = state("training", step=0, steps=90)


def test_lists_every_run_with_its_state_and_step(tmp_path: Path) -> None:
    make_folder(tmp_path, "1-made")
    make_folder(tmp_path, "2-prepared", state("preparing"), {"kind": "data", "rows": 3})
    make_folder(tmp_path, "3-cut", state("preparing"), TRAINING, progress(7))
    make_folder(tmp_path, "4-done", state("preparing"), TRAINING, progress(90), state("finished"))
    make_folder(tmp_path, "5-again", TRAINING, progress(40), state("stopped"), state("preparing"))
    (tmp_path / "no-run").mkdir()
    assert list_runs(tmp_path) == [
        RunLine("1-made", "made"),
        RunLine("2-prepared", "interrupted", started=STARTED),
        RunLine("3-cut", "interrupted", 7, 90, 1.25, STARTED),
        RunLine("4-done", "finished", 90, 90, 1.25, STARTED),
        RunLine("5-again", "interrupted", 40, 90, 1.25, STARTED),
    ]


def test_a_run_whose_worker_lives_is_training(tmp_path: Path) -> None:
    root = make_folder(tmp_path, "1", state("preparing"), TRAINING)
    with worker_lock(root / "worker.lock"):
        assert list_runs(tmp_path) == [RunLine("1", "training", 0, 90, None, STARTED)]
        with (root / "events.jsonl").open("a") as file:
            file.write(json.dumps({"time": STARTED, **progress(3)}) + '\n{"time": "torn')
        assert list_runs(tmp_path) == [RunLine("1", "training", 3, 90, 1.25, STARTED)]


def test_names_and_hashes_are_whole_on_a_narrow_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    name, sums = "2026-11-21-" + "cardiology-" * 3 + "outpati-a1b2", "0123456789abcdef" * 4
    make_folder(tmp_path, name, state("preparing"), progress(123_000, steps=700_000))
    print_runs(tmp_path, {}, as_json=False)
    out = capsys.readouterr().out
    assert name in out and "…" not in out
    release = {"number": 12, "created": "2026-11-21T16:27:56Z", "files": [], "sums-sha256": sums}
    print_inventory({"product": "islet", "current": 12, "releases": [release]}, as_json=False)
    assert sums in "".join(line[-40:].strip() for line in capsys.readouterr().out.splitlines()[2:])


def test_a_run_that_is_stopped_says_so_in_the_language_of_the_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ISLET_LANG", "zh_CN")
    print_stopped(True)
    print_stopped(False)
    assert capsys.readouterr().out == "已停止，并已保存检查点\n没有正在运行的训练进程\n"


def test_a_site_without_runs_has_none(tmp_path: Path) -> None:
    assert list_runs(tmp_path / "nothing") == []


def test_a_run_that_cannot_be_read_is_listed_and_hides_no_other(tmp_path: Path) -> None:
    make_folder(tmp_path, "1", {"kind": "progress", "step": "x"}, state("finished"))
    (make_folder(tmp_path, "2") / "events.jsonl").mkdir()
    make_folder(tmp_path, "3", TRAINING, progress(90), state("finished"))
    assert [line.state for line in list_runs(tmp_path)] == ["unreadable", "unreadable", "finished"]


def test_a_long_run_is_read_from_its_end_alone(tmp_path: Path) -> None:
    root = make_folder(tmp_path, "1", state("preparing"), TRAINING)
    with (root / "events.jsonl").open("ab") as file:
        # Nothing that is no JSON may be touched: the middle of a run of days, were it read, would be slow.
        file.write(b"\xff" * 50_000_000 + b"\n")
        file.write((json.dumps({"time": STARTED, **progress(88)}) + "\n").encode())
    reading = newest_events(root / "events.jsonl")
    assert next(reading).fields["step"] == 88
    before = Path("/proc/self/io").read_text()
    line = list_runs(tmp_path)[0]
    after = Path("/proc/self/io").read_text()
    assert (line.state, line.step) == ("interrupted", 88)
    read_bytes = [int(text.split()[1]) for text in (before, after)]
    assert read_bytes[1] - read_bytes[0] < 1_000_000


def test_the_newest_events_are_all_events_turned_round(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events.jsonl")
    for step in range(2000):
        log.append("progress", step=step, losses=[1.5] * (step % 200))
    log.close()
    with (tmp_path / "events.jsonl").open("ab") as file:
        file.write(b'{"time": "2026')
    events = read_events(tmp_path / "events.jsonl")
    assert len(events) == 2000
    assert list(newest_events(tmp_path / "events.jsonl")) == events[::-1]
    assert list(newest_events(tmp_path / "no file")) == []


DATA = {"rows": 3, "refused": 1, "tokens": 90, "learned_tokens": 40, "packs": 2}
SAID = [
    (state("training"), "training"),
    (state("of tomorrow"), "of tomorrow"),
    ({"kind": "data", **DATA}, "3 rows, 1 refused, 40 of 90 tokens to learn, 2 packs"),
    (progress(5), "step 5 of 90: loss 1.250, 85 tokens/s"),
    ({"kind": "held_out", "step": 5, "loss": 2.0}, "step 5: held-out loss 2.000"),
    ({"kind": "checkpoint", "step": 5}, "checkpoint at step 5"),
    ({"kind": "resumed", "step": 5}, "resumed at step 5"),
    (
        {"kind": "warning", "what": to_document(say("{n} is odd.", n=3)), "why": "it is"},
        "warning: 3 is odd. it is",
    ),
    ({"kind": "failed", "what": "The disk is full."}, "failed: The disk is full."),
    ({"kind": "memory", "total_bytes": 5}, None),
]


@pytest.mark.parametrize(("event", "text"), SAID)
def test_an_event_is_said_in_one_line(event: dict[str, object], text: str | None) -> None:
    fields = {name: value for name, value in event.items() if name != "kind"}
    assert event_sentence(Event(STARTED, str(event["kind"]), fields)) == text


def test_every_state_of_a_run_has_a_word() -> None:
    named = {"made", "preparing", "training", "stopped", "finished", "failed", "interrupted"}
    assert named <= set(STATES)
    assert [state_word(each) for each in sorted(named)] == sorted(named)


def test_what_the_wizard_lists_and_says_loads_no_screen() -> None:
    code = "import sys, appliance.run.overview, appliance.run.told; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {"rich", "textual", "torch", "numpy"}.isdisjoint(done.stdout.split())


def test_every_sentence_of_report_and_tables_is_known_in_chinese() -> None:
    chinese = catalogue("zh_CN")
    sources = [ROOT / "show.py", ROOT / "run" / "told.py", *(ROOT / "report").glob("*.py")]
    templates = [template for source in sources for template in said_in(source)]
    assert len(templates) > 200
    assert [each for each in templates if not chinese.knows(each)] == []


def test_every_chinese_sentence_has_the_places_of_the_english_one() -> None:
    sentences = tomllib.loads(CHINESE.read_text(encoding="utf-8"))
    for english, chinese in sentences.items():
        assert sorted(places(english)) == sorted(places(chinese)), english
        assert chinese.strip(), english


def test_lines_of_commands_hold_no_character_whose_width_differs_between_terminals() -> None:
    sentences = tomllib.loads(CHINESE.read_text(encoding="utf-8"))
    for template in (*said_in(ROOT / "show.py"), *said_in(ROOT / "run" / "told.py")):
        if template in sentences:
            widths = {unicodedata.east_asian_width(each) for each in sentences[template]}
            assert "A" not in widths, template


def said_in(source: Path) -> list[str]:
    """Templates that `source` says."""
    return [
        call.args[0].value
        for call in ast.walk(ast.parse(source.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Name)
        and call.func.id == "say"
        and isinstance(call.args[0], ast.Constant)
    ]


@pytest.fixture
def chinese(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ISLET_LANG", "zh_CN")


def columns_of(line: str, cells: list[str]) -> list[int]:
    """Where each of `cells` begins on a terminal's line."""
    return [cell_len(line[: line.index(cell)]) for cell in cells]


def test_runs_stand_in_columns_in_chinese(
    tmp_path: Path, chinese: None, capsys: pytest.CaptureFixture[str]
) -> None:
    make_folder(tmp_path, "2026-11-21-心内科-a1b2", TRAINING, progress(7), state("finished"))
    make_folder(tmp_path, "2026-11-21-clinic-c3d4", TRAINING, progress(90), state("stopped"))
    print_runs(tmp_path, {}, as_json=False)
    header, *lines = capsys.readouterr().out.splitlines()
    wanted = columns_of(header, ["训练任务", "状态", "步"])
    assert columns_of(lines[0], ["2026", "已停止", "90/90"]) == wanted
    assert columns_of(lines[1], ["2026", "已完成", "7/90"]) == wanted


def test_what_a_supervisor_has_waiting_is_said_where_the_folder_tells_less(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_folder(tmp_path, "1", TRAINING, progress(7), state("stopped"))
    make_folder(tmp_path, "2", TRAINING, progress(7))
    print_runs(tmp_path, {"1": "queued", "2": "running"}, as_json=True)
    assert [row["state"] for row in json.loads(capsys.readouterr().out)] == ["queued", "interrupted"]
    print_runs(tmp_path, {"1": "queued"}, as_json=False)
    assert "waiting for its turn" in capsys.readouterr().out


def test_json_is_the_same_in_every_language(
    tmp_path: Path, chinese: None, capsys: pytest.CaptureFixture[str]
) -> None:
    make_folder(tmp_path, "1", TRAINING, progress(7), state("finished"))
    print_runs(tmp_path, {}, as_json=True)
    assert json.loads(capsys.readouterr().out) == [{"run": "1", "state": "finished", "step": "7/90"}]
    print_findings([FULL], as_json=True)
    found = json.loads(capsys.readouterr().out)[0]
    assert (found["good"], found["what"]) == (False, "3 GB free at /opt")


ROOM = say("{free} free at {folder}", free="3 GB", folder="/opt")
FULL = Finding("room for software", False, ROOM, "no room", "buy")
FINE = Finding("clock", True, "right")


def test_findings_stand_under_each_other(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ISLET_LANG", "en")
    print_findings([FULL, FINE], as_json=False)
    assert capsys.readouterr().out == (
        "WRONG  room for software: 3 GB free at /opt\n"
        "       why: no room\n"
        "       next: buy\n"
        "good   clock: right\n"
    )
    monkeypatch.setenv("ISLET_LANG", "zh_CN")
    print_findings([FULL], as_json=False)
    first, why, following = capsys.readouterr().out.splitlines()
    assert first.startswith("异常  ") and "3 GB" in first and "free at" not in first
    assert (why, following) == ("      原因：no room", "      处理办法：buy")


def test_live_lines_are_said_in_chinese() -> None:
    say_it = Voice("zh_CN")
    fields = {"step": 5, "steps": 90, "loss": 1.25, "tokens_per_s": 84.6}
    assert event_line(Event(STARTED, "progress", fields), say_it) == "第 5/90 步：损失 1.250，85 词元/秒"
    assert event_line(Event(STARTED, "state", {"state": "finished"}), say_it) == "已完成"
    assert event_line(Event(STARTED, "memory", {}), say_it) is None
