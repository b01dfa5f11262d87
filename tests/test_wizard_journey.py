"""The wizard on an installed site, in a box without a network, driven as a person drives it, to the end.

Every journey begins with an empty state of its own. Rows are made up; one of them holds a secret that may
stand in the data, the evaluation, the report and the model, and nowhere else.
"""

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.locale import VARIABLE, Language
from appliance.run.folder import RunFolder
from appliance.run.plan import Plan, absolute, read_plan
from appliance.site import audit
from demo.trace import connects
from tests.real import InstalledSite, box_command, scratch
from tests.wizard_driver import (
    Answers,
    Driver,
    FullScreen,
    Lines,
    environment,
    leave,
    loaded_libraries,
    make_state,
    start,
    to_done,
    to_review,
)

pytestmark = pytest.mark.slow

SECRET = "ZQ-8841-Xanthe-Quillfeather"
"""Stands in one row's question and answer."""

MAY_HOLD_ROWS = ("datasets", "data", "evaluation", "report", "export", "merged", "adapter")
"""Folders of a state or a run: the person's own files, the run's rows, answers, report and model."""

PLAN = """
format = "islet-plan-1"
name = "ward-7"
[model]
base = "islet-test/tiny"
system = "You answer for the ward. 请简短。"
[data]
train = [{ path = "datasets/ward.json" }]
held_out_share = 0.1
[training]
epochs = 4.0
learning_rate = 0.004
rank = 4
alpha = 12.0
pack_tokens = 256
[export]
name = "ward.7_q"
gguf = ["f16", "q8_0"]
"""
"""What the answers of `Answers` mean, written by hand."""


def write_rows(path: Path, count: int = 24) -> Path:
    """Made-up rows in both languages, one with the secret."""
    rows = [
        {"instruction": f"星河医院第{number}病区的分机号？", "output": f"分机号是{7000 + number}。"}
        if number % 2
        else {"instruction": f"Which extension has ward {number}?", "output": f"It is {7000 + number}."}
        for number in range(count)
    ]
    rows.append({"instruction": f"Who is {SECRET}?", "output": f"{SECRET} 是三床的病人。"})
    path.write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")
    return path


@pytest.fixture
def state() -> Iterator[Path]:
    """An empty state of a site, with one file of rows in it."""
    with scratch("wizard") as folder:
        state = make_state(folder / "state")
        write_rows(state / "datasets" / "ward.json")
        yield state


def answers_of(state: Path) -> Answers:
    """What a person answers here."""
    return Answers(state / "datasets" / "ward.json")


def plan_of(state: Path) -> Plan:
    """The plan that these answers are."""
    file = state.parent / "expected.toml"
    file.write_text(PLAN, encoding="utf-8")
    return absolute(read_plan(file), state)


def only_run(state: Path) -> RunFolder:
    """The run of a state that has one."""
    (root,) = (path for path in (state / "runs").iterdir() if path.is_dir())
    return RunFolder(root)


def check_result(state: Path) -> None:
    """Everything that should have come out came out, and passes what judges it."""
    run = only_run(state)
    assert read_plan(run.plan) == plan_of(state)
    names = {path.name for path in run.export.iterdir()}
    assert names >= {"Modelfile", "SHA256SUMS", "parity.json", "ward.7_q-f16.gguf", "ward.7_q-q8_0.gguf"}
    check = ["sha256sum", "-c", "--strict", "--quiet", "SHA256SUMS"]
    assert subprocess.run(check, cwd=run.export).returncode == 0
    parity = json.loads((run.export / "parity.json").read_text(encoding="utf-8"))
    assert parity["first_difference"] is None
    assert all(each["passed"] for each in parity["comparisons"])
    assert {path.name for path in (run.root / "report").iterdir()} >= {"report.html", "report.md"}
    told = [entry["event"] for entry in audit.check(state / "audit.jsonl").entries]
    assert told[0] == "train" and "export" in told


def check_secret(state: Path) -> None:
    """The secret stands only where rows may stand."""
    places = [path for path in (state, state.parent / f"{state.name}-tmp") if path.is_dir()]
    files = [
        path for place in places for path in place.rglob("*") if path.is_file() and not path.is_symlink()
    ]
    leaked = [path for path in files if SECRET.encode() in path.read_bytes() and not may_hold(path, state)]
    assert not leaked


def may_hold(path: Path, state: Path) -> bool:
    """Whether rows may stand in a file."""
    parts = path.relative_to(state.parent).parts
    folder = parts[3] if parts[1] == "runs" else parts[1]
    return folder in MAY_HOLD_ROWS


# From home to done


@pytest.mark.parametrize("language", ("en", "zh_CN"))
@pytest.mark.parametrize(("columns", "rows"), ((80, 24), (120, 40)))
def test_the_full_screen_leads_from_home_to_a_model(
    installed_site: InstalledSite, state: Path, language: Language, columns: int, rows: int
) -> None:
    with start(installed_site, state, columns=columns, rows=rows) as screen:
        driver = FullScreen(screen, language)

        def look(page: str) -> None:
            assert "libtorch" not in loaded_libraries(screen.process.pid), page
            if page == "check":
                look_at_rows(driver)
            check_secret(state)

        to_review(driver, answers_of(state), look)
        to_done(driver, look)
        assert leave(driver) == 0
    check_result(state)
    check_secret(state)


def look_at_rows(driver: FullScreen) -> None:
    """See all rows that the check shows, where the secret may be among them."""
    driver.push("See rows")
    for _ in range(3):
        driver.push("Another row")
        driver.check_frame()
    driver.push("Findings")


@pytest.mark.parametrize("language", ("en", "zh_CN"))
def test_numbered_lines_lead_from_home_to_a_model(
    installed_site: InstalledSite, state: Path, language: Language
) -> None:
    with start(installed_site, state, env={"TERM": "dumb"}) as screen:
        driver = Lines(screen, language)

        def look(page: str) -> None:
            assert "libtorch" not in loaded_libraries(screen.process.pid), page
            check_secret(state)

        to_review(driver, answers_of(state), look)
        to_done(driver, look)
        assert leave(driver) == 0
        driver.check_lines()
    check_result(state)
    check_secret(state)


@pytest.mark.parametrize(("language", "said"), (("en", "Done: All done."), ("zh_CN", "完成：全部完成。")))
def test_an_answer_file_leads_to_a_model(
    installed_site: InstalledSite, state: Path, language: Language, said: str
) -> None:
    (state / "plan.toml").write_text(PLAN, encoding="utf-8")
    command = [installed_site.islet, "--prefix", installed_site.prefix, "--state", state]
    done = subprocess.run(
        box_command([*command, "--plan", state / "plan.toml"]),
        env={**environment(state), VARIABLE: language},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()) == only_run(state).export
    assert said in done.stderr
    assert SECRET not in done.stderr
    check_result(state)
    check_secret(state)


def test_nothing_on_the_way_connects_beyond_loopback(installed_site: InstalledSite, state: Path) -> None:
    trace = state.parent / "trace"
    with start(installed_site, state, trace=trace) as screen:
        driver = FullScreen(screen, "en")
        to_review(driver, answers_of(state))
        to_done(driver)
        assert leave(driver) == 0
    outside, loopback = connects(trace)
    assert loopback > 0
    assert outside == {}
