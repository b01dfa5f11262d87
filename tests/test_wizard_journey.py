"""The wizard on an installed site, in a box without a network, driven as a person drives it, to the end.

Every journey begins with an empty state of its own. Rows are made up; one of them holds a secret that may
stand in the data, the evaluation, the report and the model, and nowhere else.
"""

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest

from appliance.locale import VARIABLE, Language
from appliance.run.events import read_events
from appliance.run.folder import RunFolder
from appliance.run.lock import find_worker
from appliance.run.plan import DataFile, Plan, absolute, read_plan
from appliance.site import audit
from appliance.wizard.draft import with_value
from demo.trace import connects
from tests.real import MODEL, InstalledSite, box_command, scratch
from tests.screen import Screen
from tests.wizard_driver import (
    PAGE_S,
    WORK_S,
    Answers,
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


SCREENS = (("zh_CN", 80, 24), ("en", 80, 24), ("zh_CN", 120, 40))
LANGUAGES: tuple[Language, ...] = ("en", "zh_CN")
ENDS = ("killed", "hung up")
LONG = "ISLET_CAMPAIGN" in os.environ
"""Whether every variant is driven, as `make campaign` does; `make test` drives some of each kind."""


@pytest.mark.parametrize(("language", "columns", "rows"), SCREENS if LONG else SCREENS[:1])
def test_the_full_screen_leads_from_home_to_a_model(
    installed_site: InstalledSite, state: Path, language: Language, columns: int, rows: int
) -> None:
    with start(installed_site, state, columns=columns, rows=rows) as screen:

        def look(page: str) -> None:
            assert "libtorch" not in loaded_libraries(screen.process.pid), page

        lead_to_a_model(FullScreen(screen, language), state, look)


def lead_to_a_model(driver: FullScreen, state: Path, at: Callable[[str], None] = lambda page: None) -> None:
    """The whole way, with a look at every page; the rows stand where they may. at: called on every page."""

    def look(page: str) -> None:
        at(page)
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


@pytest.mark.parametrize("language", LANGUAGES if LONG else LANGUAGES[:1])
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


@pytest.mark.parametrize("language", LANGUAGES if LONG else LANGUAGES[1:])
def test_an_answer_file_leads_to_a_model(
    installed_site: InstalledSite, state: Path, language: Language
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
    assert {"en": "Done: All done.", "zh_CN": "完成：全部完成。"}[language] in done.stderr
    assert SECRET not in done.stderr
    check_result(state)
    check_secret(state)


def test_nothing_on_the_way_connects_beyond_loopback(installed_site: InstalledSite, state: Path) -> None:
    trace = state.parent / "trace"
    with start(installed_site, state, columns=120, rows=40, trace=trace) as screen:
        lead_to_a_model(FullScreen(screen, "en"), state)
    assert "sa_family" in trace.read_text(encoding="utf-8", errors="replace")  # it was watched
    assert connects(trace)[0] == {}


# Back, and other answers


def draft_of(state: Path) -> dict[str, Any]:
    """The answers that are kept."""
    (file,) = (state / "wizard").glob("*/draft.json")
    document: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return document


def kept_plan(state: Path) -> Plan:
    """The plan that the answers are so far."""
    return msgspec.convert(draft_of(state)["plan"], Plan)


def go_on(driver: FullScreen) -> str:
    """What home calls going on with the answers."""
    return driver.say("Go on with the answers so far\t{where}\t").split("\t")[0]


def on_to_review(driver: FullScreen, pages: Sequence[str]) -> None:
    """Next, page after page."""
    for page in pages:
        driver.page(page)
        driver.push("Next")
    driver.page("review")


def test_answers_can_be_changed_on_every_page_and_the_last_ones_count(
    installed_site: InstalledSite, state: Path
) -> None:
    other = write_rows(state / "datasets" / "other.json", 30)
    with start(installed_site, state) as screen:
        driver = FullScreen(screen, "en")
        to_review(driver, answers_of(state))
        assert kept_plan(state) == plan_of(state)
        way = ["home", "health", "model", "data", "check", "plan", "values", "result"]

        def back_to(page: str) -> None:
            for before in reversed(way[way.index(page) :]):
                driver.back(before)

        def forth_from(page: str) -> None:
            on_to_review(driver, way[way.index(page) :])

        changed = plan_of(state)
        back_to("result")
        driver.fill("Name of the run", "ward-8")
        driver.choose("8 bits")
        forth_from("result")
        changed = with_value(with_value(changed, "name", "ward-8"), "export.gguf", ("q8_0",))
        assert kept_plan(state) == changed

        back_to("values")
        driver.fill("Rank", "6")
        driver.choose("QLoRA")
        driver.toggle("Compute again to save memory")
        forth_from("values")
        changed = with_value(with_value(changed, "training.rank", 6), "training.method", "qlora")
        changed = with_value(changed, "training.recompute_activations", True)
        assert kept_plan(state) == changed

        back_to("plan")
        driver.fill("Keep for test (%)", "20")
        forth_from("plan")
        changed = with_value(changed, "data.held_out_share", 0.2)
        assert kept_plan(state) == changed

        back_to("check")
        driver.press("f5")
        driver.screen.settle(1, 20)  # the look begins anew, and ends
        forth_from("check")
        assert kept_plan(state) == changed

        back_to("data")
        driver.take_file(other)
        driver.fill("System prompt", "Short, please.")
        forth_from("data")
        files = (*changed.data.train, DataFile(str(other)))
        changed = with_value(with_value(changed, "data.train", files), "model.system", "Short, please.")
        assert kept_plan(state) == changed

        back_to("home")
        driver.press("f2")
        driver.language = "zh_CN"
        driver.page("home")
        driver.choose(go_on(driver))
        driver.push("Next")
        driver.page("review")
        assert kept_plan(state) == changed
        for said in ("other.json", "ward-8", "qlora", "q8_0"):
            assert screen.shows(said), said
        assert leave(driver) == 0


# The front killed, and its terminal lost


@pytest.mark.parametrize("end", ENDS if LONG else ENDS[:1])
def test_a_front_that_ends_on_any_page_is_opened_again_with_everything_kept(
    installed_site: InstalledSite, state: Path, end: Literal["killed", "hung up"]
) -> None:
    driver = FullScreen(start(installed_site, state), "en")

    def end_it() -> None:
        if end == "killed":
            driver.screen.kill(signal.SIGKILL)
            driver.screen.close()
        else:
            driver.screen.hang_up()
            assert driver.screen.process.wait(PAGE_S) in (0, -signal.SIGHUP)
        driver.screen = start(installed_site, state)

    def end_and_come_back(page: str) -> None:
        end_it()
        if page == "language":
            driver.page("language")
            return
        driver.page("home")
        if page == "home":
            return
        if page in ("health", "model"):  # nothing was answered yet
            for before in ("home", "health")[: ("health", "model").index(page) + 1]:
                driver.page(before)
                driver.push("Next")
        else:
            driver.choose(go_on(driver))
            driver.push("Next")
        driver.page(page)

    def come_back_to_the_run(page: str) -> None:
        end_it()
        driver.page("home")
        driver.choose(only_run(state).root.name)
        driver.push("Next")
        driver.page(page)

    try:
        to_review(driver, long_answers(state), end_and_come_back)
        plan = with_value(plan_of(state), "training.epochs", LONG_EPOCHS)
        assert kept_plan(state) == plan
        driver.push("Start training")
        driver.page("training")
        run = only_run(state)
        driver.screen.wait_until(lambda: steps_of(run) > 0, WORK_S, "a step")
        worker, before = find_worker(run.lock), steps_of(run)
        come_back_to_the_run("training")
        assert find_worker(run.lock) == worker is not None
        driver.await_button("Next")
        assert read_plan(run.plan) == plan
        last = steps_of(run)
        assert last > before
        assert [event.kind for event in read_events(run.events)].count("resumed") == 0
        assert driver.sees(rf"^ +1 +{last}$"), driver.screen  # the curve's first and last step
        driver.push("Train again with changes")
        check_values_of_the_run(driver)
        come_back_to_the_run("compare")
        driver.push("Compare")
        driver.await_button("Stop")
        come_back_to_the_run("compare")
        driver.await_button("See answers")
        driver.push("Next")
        driver.page("export")
        driver.push("Export now")
        driver.await_button("Stop")
        come_back_to_the_run("export")
        driver.await_button("Export again")
        driver.push("Next")
        driver.page("done")
        come_back_to_the_run("done")
        assert leave(driver) == 0
    finally:
        driver.screen.close()
    assert (run.export / "Modelfile").is_file()
    check_secret(state)


LONG_EPOCHS = 120.0
"""Passes that take some ten seconds: long enough to look away, short enough to wait for."""


def long_answers(state: Path, epochs: float = LONG_EPOCHS) -> Answers:
    """Answers whose training can be left and found again."""
    short = answers_of(state)
    return Answers(short.file, values={**short.values, "Passes over the rows": f"{epochs:g}"})


def steps_of(run: RunFolder) -> int:
    """The newest optimizer step that the run tells of."""
    events = read_events(run.events) if run.events.is_file() else []
    return max((event.fields["step"] for event in events if event.kind == "progress"), default=0)


# Two at once


def test_two_wizards_on_one_run_see_the_same_and_either_can_act(
    installed_site: InstalledSite, state: Path
) -> None:
    with start(installed_site, state) as first_screen, start(installed_site, state) as second_screen:
        first, second = FullScreen(first_screen, "en"), FullScreen(second_screen, "en")
        to_review(first, long_answers(state, 2000))
        first.push("Start training")
        first.page("training")
        second.page("language")
        second.push("Next")
        second.page("home")
        second.choose(only_run(state).root.name)
        second.push("Next")
        second.page("training")
        run = only_run(state)
        first_screen.wait_until(lambda: steps_of(run) > 0, WORK_S, "a step")

        first.push("Stop and keep")
        first.push("Stop and keep what is learned")
        for driver in (first, second):
            driver.await_button("Go on training")
            assert driver.sees(": stopped")
        assert find_worker(run.lock) is None
        stopped_at = steps_of(run)

        second.push("Go on training")
        for driver in (first, second):
            driver.await_button("Stop and keep")
        first_screen.wait_until(lambda: steps_of(run) > stopped_at, WORK_S, "another step")
        second.push("Stop and keep")
        second.push("Stop and keep what is learned")
        for driver in (first, second):
            driver.await_button("Go on training")
        assert curve(first) == curve(second) != ""

        first.push("Change the plan")
        check_values_of_the_run(first)
        assert second.is_on("training")
        assert leave(second) == 0
        assert leave(first) == 0
    assert kept_plan(state).data == plan_of(state).data


def check_values_of_the_run(driver: FullScreen) -> None:
    """A run's plan stands in the answers that its changes begin with."""
    driver.page("plan")
    assert driver.sees(r"\(\*\) Own values")
    driver.push("Next")
    driver.page("values")
    said = [driver.value(label) for label in ("Rank", "Alpha", "Longest row (tokens)")]
    assert said == ["4", "12", "256"]


def curve(driver: FullScreen) -> str:
    """The line that says how the curve ended."""
    return next((row for row in driver.screen.text() if "lowest" in row), "")


# What goes wrong says what, why and what to do, and can be gone past


def to_page(driver: FullScreen, page: str) -> None:
    """From the first page to `page`, where files are asked or before; nothing is chosen but the model."""
    for before in ("language", "home", "health", "model", "data"):
        driver.page(before)
        if before == page:
            return
        if before == "model":
            driver.choose(MODEL)
        driver.push("Next")


def says_three_things(driver: FullScreen) -> None:
    """What happened, why, what to do: as a panel, or on the page."""
    for label in ("What happened", "Why", "What to do"):
        driver.screen.wait_for(driver.say(label), WORK_S)


def test_a_file_that_vanishes_is_named_and_another_can_be_taken(
    installed_site: InstalledSite, state: Path
) -> None:
    gone = write_rows(state / "datasets" / "gone.json", 30)
    with start(installed_site, state) as screen:
        driver = FullScreen(screen, "en")
        to_page(driver, "data")
        driver.take_file(gone)
        driver.move_to("Next")
        gone.unlink()  # the page may see it by itself before the key comes
        driver.press("enter")
        screen.wait_until(lambda: screen.reads("gone.json is not") or driver.is_on("check"), PAGE_S)
        if driver.is_on("check"):
            says_three_things(driver)
            driver.back("data")
            screen.wait_until(lambda: screen.reads("gone.json is not"), PAGE_S)
        driver.take_file(state / "datasets" / "ward.json")
        driver.push("Next")
        driver.page("check")
        driver.push("Next")
        driver.page("plan")
        assert leave(driver) == 0


def test_half_of_the_rows_being_bad_stops_until_the_person_goes_on_without_them(
    installed_site: InstalledSite, state: Path
) -> None:
    rows = [
        {"instruction": f"{number}?", "output": "" if number % 2 else f"{number}!"} for number in range(40)
    ]
    bad = state / "datasets" / "bad.json"
    bad.write_text(json.dumps(rows), encoding="utf-8")
    with start(installed_site, state) as screen:
        driver = FullScreen(screen, "zh_CN")
        driver.page("language")
        driver.choose("简体中文")
        to_page(driver, "data")
        driver.take_file(bad)
        driver.push("Next")
        driver.page("check")
        screen.wait_for(driver.say("Rows that cannot be used"), WORK_S)
        assert not driver.sees(driver.button("Next"))
        driver.toggle("Go on without the rows that cannot be used")
        driver.await_button("Next")  # the rows are looked at once more, now without these
        driver.push("Next")
        driver.page("plan")
        driver.back("check")
        driver.push("Next")
        driver.page("plan")
        assert leave(driver) == 0
    assert kept_plan(state).data.max_bad_share == 0.5


def test_an_empty_file_is_not_taken(installed_site: InstalledSite, state: Path) -> None:
    empty = state / "datasets" / "empty.json"
    empty.touch()
    with start(installed_site, state) as screen:
        driver = FullScreen(screen, "en")
        to_page(driver, "data")
        driver.focus_file(empty)
        driver.press("enter")
        screen.wait_for("empty.json: empty")
        driver.take_file(state / "datasets" / "ward.json")
        driver.push("Next")
        driver.page("check")
        driver.push("Next")
        driver.page("plan")
        assert leave(driver) == 0


def test_a_model_that_cannot_be_tuned_says_why_and_another_can_be_chosen(
    installed_site: InstalledSite, state: Path
) -> None:
    prefix = state.parent / "prefix"
    with_models(installed_site.prefix, prefix)
    bad = prefix / "current" / "models" / "islet-test" / "pickled"
    bad.mkdir()
    (bad / "config.json").write_text("{}")
    (bad / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    with start(installed_site, state, "--prefix", prefix) as screen:
        driver = FullScreen(screen, "en")
        for page in ("language", "home", "health"):
            driver.page(page)
            driver.push("Next")
        driver.page("model")
        screen.wait_for("cannot be tuned")
        driver.focus_option("islet-test/pickled")
        driver.press("space")
        screen.wait_for("holds pickled data")
        assert not driver.sees(driver.button("Next"))
        driver.choose(MODEL)
        driver.push("Next")
        driver.page("data")
        assert leave(driver) == 0


def with_models(prefix: Path, other: Path) -> None:
    """The site at `prefix` once more at `other`, by links, with a folder of models of its own."""
    release = (prefix / "current").resolve()
    models = other / "releases" / release.name / "models"
    for folder in ("islet-test",):
        (models / folder).mkdir(parents=True)
        for model in (release / "models" / folder).iterdir():
            (models / folder / model.name).symlink_to(model)
    for path in release.iterdir():
        if path.name != "models":
            (models.parent / path.name).symlink_to(path)
    for path in prefix.iterdir():
        if path.name not in ("current", "releases"):
            (other / path.name).symlink_to(path)
    (other / "current").symlink_to(models.parent)


def test_packs_too_short_for_every_row_do_not_start_and_can_be_made_longer(
    installed_site: InstalledSite, state: Path
) -> None:
    short = answers_of(state)
    answers = Answers(short.file, values={**short.values, "Longest row (tokens)": "16"})
    with start(installed_site, state) as screen:
        driver = FullScreen(screen, "en")
        to_review(driver, answers)
        screen.wait_for("[FAIL]", WORK_S)
        assert not driver.sees(driver.button("Start training"))
        for page in ("result", "values"):
            driver.back(page)
        driver.fill("Longest row (tokens)", "256")
        driver.press("enter")
        on_to_review(driver, ("values", "result"))
        driver.await_button("Start training")
        assert leave(driver) == 0


def test_a_run_that_is_removed_while_it_is_looked_at_leads_home(
    installed_site: InstalledSite, state: Path
) -> None:
    with start(installed_site, state) as screen:
        driver = FullScreen(screen, "en")
        to_review(driver, answers_of(state))
        driver.push("Start training")
        driver.page("training")
        driver.await_button("Next")
        shutil.rmtree(only_run(state).root)
        driver.press("enter")  # on Next; the page may have turned to home by itself meanwhile
        screen.wait_until(
            lambda: any(map(driver.is_on, ("home", "health"))) or driver.sees("What happened"), PAGE_S
        )
        if driver.sees("What happened"):
            says_three_things(driver)
            driver.press("enter", "esc")
        with suppress(
            AssertionError
        ):  # when it had turned, the key went to home, and may still be on its way
            screen.wait_until(lambda: driver.is_on("health"), 5)
        if driver.is_on("health"):
            driver.back("home")
        driver.page("home")
        assert leave(driver) == 0


FULL_DISK = """
mount -t tmpfs -o size="$1" none "$2"
mkdir "$2/datasets" "$2/runs" "$2/exports"
cp "$3"/* "$2/datasets"
shift 3
exec "$@"
"""
"""sh FULL_DISK SIZE STATE ROWS COMMAND...: with a small disk of its own for the state."""


def test_a_full_disk_is_told_of_and_nothing_is_lost_when_there_is_room_again(
    installed_site: InstalledSite, state: Path
) -> None:
    rows = state.parent / "rows"
    shutil.copytree(state / "datasets", rows)
    islet = [installed_site.islet, "--prefix", installed_site.prefix, "--state", state]
    command = box_command(["sh", "-euc", FULL_DISK, "full", "24m", state, rows, *islet])
    with Screen(command, env=environment(state), cwd=state.parent) as screen:
        inside = Path(f"/proc/{screen.process.pid}/root{state}")
        driver = FullScreen(screen, "en")
        to_page(driver, "data")
        driver.take_file(state / "datasets" / "ward.json")

        with full(inside):  # an answer
            driver.fill("System prompt", "You answer for the ward. 请简短。")
            driver.press("enter")
            says_three_things(driver)
            screen.wait_for("Your answers could not be saved.")
            driver.press("enter")
        driver.fill("System prompt", "You answer.")
        driver.push("Next")
        driver.page("check")
        driver.push("Next")
        driver.page("plan")
        driver.choose("Quick look")
        driver.push("Next")
        driver.page("result")
        driver.push("Next")
        driver.page("review")
        driver.await_button("Start training")

        with full(inside):  # the start
            driver.push("Start training")
            says_three_things(driver)
            driver.press("enter")
        driver.push("Start training")
        driver.page("training")
        driver.await_button("Next")
        driver.push("Next")
        driver.page("compare")
        driver.push("Next")
        driver.page("export")

        with full(inside, but=300_000):  # the export
            driver.push("Export now")
            says_three_things(driver)
            assert not driver.sees(driver.button("Next"))
        driver.push("Export now")
        driver.await_button("Export again")
        driver.push("Next")
        driver.page("done")
        assert leave(driver) == 0


@contextmanager
def full(disk: Path, but: int = 0) -> Iterator[None]:
    """Nothing more can be written to the disk at `disk`, but so many bytes."""
    filler = disk / "filler"
    found = os.statvfs(disk)
    with filler.open("wb") as file, suppress(OSError):
        file.write(bytes(max(found.f_bavail * found.f_frsize - but, 0)))
        file.flush()
    yield
    filler.unlink()
