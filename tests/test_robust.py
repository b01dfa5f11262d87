"""What a wizard meets in real folders: runs that are gone or not begun, names no file can hold, odd events.

The files are made as they would be found; nothing is trained.
"""

import json
import os
import shutil
import stat
import time
from pathlib import Path

import pytest

from appliance.errors import ApplianceError, BadInput
from appliance.run.folder import RunFolder, create_run
from appliance.run.lock import find_worker, worker_lock
from appliance.run.plan import DataChoice, DataFile, ModelChoice, Plan, TrainingChoice, write_plan
from appliance.site.layout import Site
from appliance.trace import keep_trace
from appliance.wizard.draft import Draft, draft_folder, write_draft
from appliance.wizard.files import list_folder
from appliance.wizard.page import Page
from appliance.wizard.running import RunView
from appliance.wizard.session import Wizard
from appliance.wizard.steps.plan import changed_facts
from appliance.wizard.unattended import run_plan


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """An empty site: no release, no models, a state folder."""
    site = Site(tmp_path / "opt", tmp_path / "state")
    site.models.mkdir(parents=True)
    for name in ("runs", "datasets"):
        (site.state / name).mkdir(parents=True)
    return site


@pytest.fixture
def run(site: Site) -> RunFolder:
    """A run that was made, and never begun."""
    return create_run(plan_of(site), site.runs, base=site.models)


def plan_of(site: Site) -> Plan:
    """A plan over one file of made-up rows."""
    rows = site.state / "datasets" / "rows.json"
    rows.write_text('[{"instruction": "What?", "output": "That."}]', encoding="utf-8")
    data = DataChoice((DataFile(str(rows)),))
    return Plan(format="islet-plan-1", name="first", model=ModelChoice("house/model"), data=data)


def opened(site: Site, run: RunFolder) -> Wizard:
    """A wizard that shows the run."""
    wizard = Wizard(site, language="en")
    assert wizard.answer("go", run.root.name) == ""
    wizard.act("next")
    return wizard


def offered(page: Page) -> set[str]:
    """Actions that can be taken."""
    return {action.name for action in page.actions if not action.why_not}


def tell(run: RunFolder, **event: object) -> None:
    """Append an event as a worker does."""
    with run.events.open("a", encoding="utf-8") as events:
        events.write(json.dumps({"time": "2026-01-01T00:00:00.000+00:00", **event}) + "\n")


def test_a_run_that_never_began_can_be_started(site: Site, run: RunFolder) -> None:
    page = opened(site, run).page()
    assert page.name == "training"
    assert page.level == "warn"
    assert "continue" in offered(page)
    assert "stop" not in offered(page)


def test_a_worker_that_has_only_just_come_up_is_at_work(run: RunFolder) -> None:
    tell(run, kind="state", state="stopped", pid=1)
    view = RunView(run)
    view.refresh()
    assert view.state == "stopped"
    with worker_lock(run.lock):
        view.refresh()
        assert view.state == "preparing"
        tell(run, kind="state", state="stopped", pid=os.getpid())
        view.refresh()
        assert view.state == "stopped"  # it still holds its lock, and is done


@pytest.mark.parametrize("what", ["link", "pipe"])
def test_a_link_or_a_pipe_in_place_of_a_lock_is_no_worker_and_holds_nobody_up(
    run: RunFolder, what: str
) -> None:
    if what == "pipe":
        os.mkfifo(run.lock)
    else:
        run.lock.symlink_to(run.plan)
    assert find_worker(run.lock) is None


def test_a_run_that_is_gone_is_refused_and_home_stays(site: Site, run: RunFolder) -> None:
    wizard = Wizard(site, language="en")
    wizard.answer("go", run.root.name)
    run.root.rename(site.state / "elsewhere")
    with pytest.raises(BadInput):
        wizard.act("next")
    assert wizard.page().name == "home"


def test_a_run_whose_plan_cannot_be_read_is_refused_and_home_stays(site: Site, run: RunFolder) -> None:
    run.plan.write_text("what = 'a later version wrote'\n", encoding="utf-8")
    wizard = Wizard(site, language="en")
    wizard.answer("go", run.root.name)
    with pytest.raises(BadInput):
        wizard.act("next")
    assert wizard.page().name == "home"


def test_events_that_say_too_little_are_passed_over(site: Site, run: RunFolder) -> None:
    tell(run, kind="state", state="failed", pid=1)
    tell(run, kind="progress", step=3)
    tell(run, kind="memory")
    tell(run, kind="progress", step=4, steps=9, loss=1.5, tokens_per_s=7.0)
    wizard = opened(site, run)
    assert wizard.page().name == "training"
    assert Wizard(site).page().name == "home"  # and the next one begins


@pytest.mark.parametrize(
    "typed", ["~nobody-of-that-name/rows.json", "/" + "a" * 300, "/a" * 3000, "rows\0.json", "-rf"]
)
def test_refuses_a_typed_path_that_leads_nowhere(site: Site, typed: str) -> None:
    wizard = Wizard(site, language="en")
    wizard._page = "data"
    assert "is no file" in wizard.answer("data.train", typed)


def test_refuses_a_name_that_no_file_of_ours_can_hold(site: Site) -> None:
    name = os.fsencode(site.state / "datasets") + b"/\xff\xfe.json"
    Path(os.fsdecode(name)).write_text("[]", encoding="utf-8")
    (entry,) = list_folder(site.state / "datasets")
    assert entry.problem == "the name is not UTF-8"
    wizard = Wizard(site, language="en")
    wizard._page = "data"
    assert "UTF-8" in wizard.answer("data.train", os.fsdecode(name))
    assert Wizard(site).plan().data.train == ()


def test_a_file_from_a_clock_gone_wrong_is_listed(tmp_path: Path) -> None:
    file = tmp_path / "rows.json"
    file.write_text("[]", encoding="utf-8")
    try:
        os.utime(file, (1e12, 1e12))
    except (OSError, OverflowError):
        pytest.skip("this file system knows no such time")
    if file.stat().st_mtime < 1e12:
        pytest.skip("this file system knows no such time")
    (entry,) = list_folder(tmp_path)
    assert entry.modified is None


def test_a_plan_whose_model_is_not_installed_ends_at_once(site: Site, tmp_path: Path) -> None:
    write_plan(plan_of(site), tmp_path / "plan.toml")
    with pytest.raises(ApplianceError) as refused:
        run_plan(site, tmp_path / "plan.toml")
    assert refused.value.exit_code in (5, 6)


def test_a_trace_leaves_the_mode_of_a_device_alone(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o640)
    before = pipe.stat().st_mode
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        file = keep_trace(ValueError("x"), tmp_path / "logs", {"ISLET_LOG": str(pipe)})
    finally:
        os.close(reader)
    assert file is not None
    assert file.parent == tmp_path / "logs"
    assert pipe.stat().st_mode == before


def test_what_a_preset_had_to_give_up_is_shown_as_long_as_it_is_given_up(site: Site) -> None:
    desk = Wizard(site, language="en")._desk
    assert changed_facts(desk, TrainingChoice()) == ()
    (fact,) = changed_facts(desk, TrainingChoice(pack_tokens=1024, packs_per_step=2))
    assert fact.value == "pack_tokens = 1024, packs_per_step = 2"
    assert fact.level == "warn"


def test_answers_that_were_begun_are_asked_about_before_others_take_their_place(
    site: Site, run: RunFolder
) -> None:
    wizard = Wizard(site, language="en")
    assert next(each for each in wizard.page().actions if each.name == "next").confirm is None
    wizard._desk.keep(wizard._desk.changed(plan=plan_of(site)))
    assert wizard.answer("go", "continue") == ""
    assert next(each for each in wizard.page().actions if each.name == "next").confirm is None
    assert wizard.answer("go", "new") == ""
    assert next(each for each in wizard.page().actions if each.name == "next").confirm is not None
    again = opened(site, run)
    assert next(each for each in again.page().actions if each.name == "change").confirm is not None


def test_an_edited_job_is_shown_without_its_numbers(site: Site, run: RunFolder) -> None:
    (run.root / "jobs").mkdir()
    told = {"time": "then", "kind": "advance", "what": {"say": "{a.b}", "with": {"a": 1}}, "done": None}
    (run.root / "jobs" / "evaluate.jsonl").write_text(json.dumps(told) + "\n", encoding="utf-8")
    assert opened(site, run).page().name == "training"


def test_a_run_whose_folder_goes_away_leads_home_and_is_said(site: Site, run: RunFolder) -> None:
    wizard = Wizard(site, language="en")
    wizard.answer("go", run.root.name)
    wizard.act("next")
    assert wizard.page().name == "training"
    shutil.rmtree(run.root)
    assert wizard.tick()
    page = wizard.page()
    assert page.name == "home"
    assert f"the folder of the run {run.root.name} is gone" in str(page.blocks)


def test_the_folder_of_answers_is_open_to_whoever_may_make_runs(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    runs.mkdir()
    runs.chmod(0o2770)
    write_draft(Draft(), draft_folder(tmp_path))
    assert stat.S_IMODE((tmp_path / "wizard").stat().st_mode) == 0o2770
    assert draft_folder(tmp_path).stat().st_mode & 0o777 == 0o700


def test_home_shows_a_run_that_somebody_else_made_meanwhile(site: Site) -> None:
    wizard = Wizard(site, language="en")
    wizard.page()
    run = create_run(plan_of(site), site.runs, base=site.models)
    shown: list[str] = []
    deadline = time.monotonic() + 20  # the list may be a second old
    while run.root.name not in shown and time.monotonic() < deadline:
        if wizard.tick():
            shown = [option.value for field in wizard.page().fields for option in field.options]
        time.sleep(0.1)
    assert run.root.name in shown
