"""gc, uninstall, rollback and the form of the state: what goes, what stays, what a kill leaves."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from appliance.errors import BadInput, HostNotReady, UntrustedBundle
from appliance.progress import Silent
from appliance.run.folder import create_run
from appliance.run.lock import folder_lock, worker_lock
from appliance.run.plan import DataChoice, ModelChoice, Plan
from appliance.site import audit
from appliance.site.collect import Collection, collect, plan_collection
from appliance.site.layout import Site
from appliance.site.releases import current_release, installed_releases, plan_rollback, roll_back
from appliance.site.state_format import CURRENT, MIGRATIONS, migrate, read_format
from appliance.site.uninstall import plan_removal, uninstall
from tests.deltas import Shelf, make_shelf, put, site_in, spoilt


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    return make_shelf(tmp_path_factory.mktemp("shelf"))


@pytest.fixture
def site(shelf: Shelf, tmp_path: Path) -> Site:
    """A site that had releases 1 to 4; 4 is in use."""
    made = site_in(tmp_path)
    for number in (1, 2, 3, 4):
        put(made, shelf.full(number), tmp_path / "quarantine")
        (made.release(number) / "runtime").mkdir()
        (made.release(number) / "runtime/python").write_bytes(b"#" * 1000 * number)
    made.runs.mkdir(parents=True)
    (made.prefix / "bin").mkdir()
    (made.prefix / "bin/islet").symlink_to("../current/runtime/bin/islet")
    (made.prefix / "state").write_text(f"{made.state}\n")
    return made


def do_collect(site: Site, keep: int = 1) -> Collection:
    plan = plan_collection(site, keep)
    collect(site, plan, keep, Silent())
    return plan


def whole(site: Site) -> list[int]:
    """Numbers of the releases that are here, each of whose files is in the store with its hash."""
    releases = installed_releases(site)
    for release in releases:
        assert spoilt(site, release.contents()) == []
    return [release.number for release in releases]


def make_run(site: Site, name: str, base: Path) -> Path:
    run = site.runs / name
    (run / "jobs").mkdir(parents=True)
    (run / "base").write_text(f"{base}\n")
    (run / "plan.toml").write_text("")
    return run


def test_gc_keeps_the_release_in_use_and_the_one_before(site: Site) -> None:
    plan = do_collect(site)
    assert (plan.releases, [kept.number for kept in plan.kept]) == ((1, 2), [3, 4])
    assert whole(site) == [3, 4]
    # What is its own of each release: the runtime, contents.json, installed.json.
    assert plan.release_bytes > 1000 + 2000
    listed = {e.sha256 for r in installed_releases(site) for e in r.stored()}
    stored = {path.parent.name + path.name for path in site.store.glob("*/*")}
    assert stored == listed
    entry = audit.check(site.audit).entries[-1]
    assert (entry["event"], entry["releases"], entry["files"]) == ("gc", "1, 2", len(plan.files))
    assert plan_collection(site).is_empty


@pytest.mark.parametrize(("keep", "left"), [(0, [4]), (2, [2, 3, 4]), (9, [1, 2, 3, 4])])
def test_gc_keeps_as_many_as_asked(site: Site, keep: int, left: list[int]) -> None:
    do_collect(site, keep)
    assert whole(site) == left


def test_gc_after_a_rollback_keeps_what_is_in_use_then(site: Site) -> None:
    roll_back(site, 2)
    do_collect(site)
    assert (whole(site), current_release(site).number) == ([1, 2], 2)


def test_gc_keeps_a_release_whose_model_a_run_was_made_on(site: Site) -> None:
    make_run(site, "2026-11-01-a-0000", site.release(1) / "models/islet/tiny")
    plan = do_collect(site)
    assert {kept.number: kept.why for kept in plan.kept}[
        1
    ] == "run 2026-11-01-a-0000 was made on a model of it"
    assert whole(site) == [1, 3, 4]


def test_gc_keeps_a_release_that_a_program_runs_from(site: Site) -> None:
    program = site.release(2) / "runtime/sleep"
    shutil.copy2(shutil.which("sleep") or "/bin/sleep", program)
    child = subprocess.Popen([program, "60"])
    try:
        plan = plan_collection(site)
        assert plan.releases == (1,)
        assert {kept.number: kept.why for kept in plan.kept}[2] == f"process {child.pid} runs from it"
    finally:
        child.kill()
        child.wait()
    with pytest.raises(HostNotReady, match="not the same any more"):
        collect(site, plan, 1, Silent())
    assert whole(site) == [1, 2, 3, 4]


def test_gc_keeps_a_model_on_which_a_run_is_being_made(site: Site) -> None:
    """Its note is not there yet, and will be: whoever makes a run holds the model's folder until then."""
    plan = plan_collection(site)
    with (
        folder_lock(site.release(1) / "models/islet/tiny", alone=False),
        pytest.raises(HostNotReady, match="not the same any more"),
    ):
        collect(site, plan, 1, Silent())
    assert whole(site) == [1, 2, 3, 4]
    collect(site, plan, 1, Silent())
    assert whole(site) == [3, 4]


def test_a_run_on_a_model_that_gc_removes_meanwhile_is_not_made(site: Site) -> None:
    """It waits for gc, and finds that the folder which it opened has no name any more."""
    base = site.release(1) / "models/islet/tiny"
    plan = Plan(
        format="islet-plan-1", name="late", model=ModelChoice(base=str(base)), data=DataChoice(train=())
    )
    with ThreadPoolExecutor(1) as pool, ExitStack() as held:
        held.enter_context(folder_lock(base, alone=True))
        making = pool.submit(create_run, plan, site.runs, base=base)
        with pytest.raises(TimeoutError):
            making.result(0.3)
        shutil.rmtree(base)
        held.close()
        with pytest.raises(BadInput, match="There is no model"):
            making.result(60)
    assert list(site.runs.iterdir()) == []


def test_gc_takes_what_a_cut_off_install_left(site: Site) -> None:
    (site.release(5) / "runtime").mkdir(parents=True)
    (site.release(5) / "runtime/half").write_bytes(b"1234")
    stray = site.stored("ab" + "0" * 62)
    stray.parent.mkdir(exist_ok=True)
    stray.write_bytes(b"12345")
    plan = do_collect(site, keep=9)
    assert (plan.cut_off, plan.release_bytes, plan.files, plan.file_bytes) == (("5",), 4, (stray,), 5)
    assert not site.release(5).exists() and not stray.exists()


def test_gc_is_not_held_up_by_a_pipe_in_place_of_a_note(site: Site) -> None:
    run = make_run(site, "r", site.release(1) / "models/islet/tiny")
    (run / "base").unlink()
    os.mkfifo(run / "base")
    code = "from appliance.cli import main; main()"
    where = ("--prefix", site.prefix, "--state", site.state)
    done = subprocess.run(
        [sys.executable, "-c", code, *where, "gc", "--yes"], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert whole(site) == [1, 2, 3, 4]  # which model it was made on cannot be told, so it may be any


def test_gc_leaves_what_is_not_islets(site: Site) -> None:
    theirs = [site.prefix / name for name in ("releases/20241121120000", "releases/x", "quarantine.mine")]
    for folder in theirs:
        folder.mkdir()
    plan = do_collect(site)
    assert (plan.releases, plan.cut_off) == ((1, 2), ())
    assert all(folder.is_dir() for folder in theirs)


def test_gc_with_nothing_to_collect_still_takes_what_a_killed_one_left(site: Site) -> None:
    do_collect(site, keep=9)
    empty, dead = site.store / "zz", site.prefix / "quarantine.99999999"
    for folder in (empty, dead):
        folder.mkdir()
    assert plan_collection(site, 9).is_empty
    code = "from appliance.cli import main; main()"
    where = ("--prefix", site.prefix, "--state", site.state)
    done = subprocess.run([sys.executable, "-c", code, *where, "gc", "--keep", "9"], capture_output=True)
    assert done.returncode == 0, done.stderr
    assert not empty.exists() and not dead.exists()


def test_gc_removes_nothing_when_a_list_that_stays_was_changed(site: Site) -> None:
    (site.release(4) / "contents.json").write_text("{}")
    with pytest.raises(UntrustedBundle):
        plan_collection(site)
    assert len(installed_releases(site)) == 4


KILLED = """
import os, sys
from pathlib import Path
from appliance.progress import Silent
from appliance.site.collect import collect, plan_collection
from appliance.site.layout import Site
left = int(sys.argv[3])
def hook(event, arguments):
    global left
    if event in ("os.remove", "os.rmdir"):
        left -= 1
        if left < 0:
            os._exit(9)
site = Site(Path(sys.argv[1]), Path(sys.argv[2]))
plan = plan_collection(site)
sys.addaudithook(hook)
collect(site, plan, 1, Silent())
"""


@pytest.mark.slow
def test_gc_killed_at_any_removal_leaves_whole_releases_and_the_next_one_finishes(
    site: Site, shelf: Shelf, tmp_path: Path
) -> None:
    honest = tmp_path / "honest"
    shutil.copytree(tmp_path / "opt", honest, symlinks=True)
    killed = 0
    for at in range(0, 200, 4):
        shutil.rmtree(site.prefix)
        shutil.copytree(honest, site.prefix, symlinks=True)
        done = subprocess.run([sys.executable, "-c", KILLED, site.prefix, site.state, str(at)])
        assert {3, 4} <= set(whole(site)), at
        if done.returncode == 0:
            break
        killed += 1
        do_collect(site)
        assert whole(site) == [3, 4], at
        assert [p.name for p in (site.prefix / "releases").iterdir() if p.name not in ("3", "4")] == []
    assert killed >= 4 and done.returncode == 0


# --- uninstall ----------------------------------------------------------------------------------


def test_uninstall_leaves_nothing_of_the_prefix_and_all_of_the_state(site: Site) -> None:
    make_run(site, "r", site.release(4) / "models/islet/tiny")
    plan = plan_removal(site, with_data=False)
    assert (plan.releases, plan.runs, plan.foreign) == ((1, 2, 3, 4), 1, ())
    before = sorted(path for path in site.state.rglob("*"))
    uninstall(site, plan, Silent())
    assert not site.prefix.exists()
    assert set(before) <= set(site.state.rglob("*"))
    entry = audit.check(site.audit).entries[-1]
    assert (entry["event"], entry["with_data"]) == ("uninstall", 0)


def test_uninstall_with_data_leaves_the_audit_log_alone(site: Site) -> None:
    make_run(site, "r", site.release(4) / "models/islet/tiny")
    audit.append(site.audit, "train", run="r")
    uninstall(site, plan_removal(site, with_data=True), Silent())
    assert not site.prefix.exists()
    assert all(path.name.startswith(("audit.", ".audit.")) for path in site.state.iterdir())
    assert [e["event"] for e in audit.check(site.audit).entries] == ["train", "uninstall"]


def test_uninstall_keeps_what_is_not_islets(site: Site) -> None:
    (site.prefix / "notes.txt").write_text("ours")
    (site.prefix / "bin/other").write_text("ours")
    plan = plan_removal(site, with_data=False)
    assert plan.foreign == (site.prefix / "bin", site.prefix / "notes.txt")
    uninstall(site, plan, Silent())
    left = sorted(str(path.relative_to(site.prefix)) for path in site.prefix.rglob("*"))
    assert left == ["bin", "bin/other", "notes.txt"]


def test_uninstall_with_data_keeps_what_is_not_islets(site: Site) -> None:
    """Somebody gave a folder for --state, or a prefix, in which other things lay."""
    make_run(site, "r", site.release(4) / "models/islet/tiny")
    migrate(site.state)
    theirs = [
        site.prefix / "quarantine.2024-11",
        site.prefix / "releases/20241121120000",
        site.state / "letters",
    ]
    for folder in theirs:
        folder.mkdir()
        (folder / "a").write_text("ours")
    plan = plan_removal(site, with_data=True)
    assert plan.foreign == tuple(theirs)
    uninstall(site, plan, Silent())
    assert all((folder / "a").read_text() == "ours" for folder in theirs)
    assert sorted(path.name for path in site.prefix.iterdir()) == ["quarantine.2024-11", "releases"]
    assert [path.name for path in (site.prefix / "releases").iterdir()] == ["20241121120000"]
    assert {path.name.split(".")[0] for path in site.state.iterdir()} == {"", "audit", "letters"}


@pytest.mark.parametrize("lock", ["worker.lock", "jobs/export.lock"])
def test_uninstall_is_refused_while_a_run_is_at_work(site: Site, lock: str) -> None:
    run = make_run(site, "busy", site.release(4) / "models/islet/tiny")
    with worker_lock(run / lock), pytest.raises(HostNotReady) as caught:
        plan_removal(site, with_data=False)
    assert (caught.value.what, caught.value.why) == ("A run is at work.", "it would be cut off: busy")
    plan_removal(site, with_data=False)


def test_uninstall_is_refused_while_a_program_runs_from_here(site: Site) -> None:
    program = site.release(4) / "runtime/sleep"
    shutil.copy2(shutil.which("sleep") or "/bin/sleep", program)
    child = subprocess.Popen([program, "60"])
    try:
        with pytest.raises(HostNotReady, match=r"Islet is in use\."):
            plan_removal(site, with_data=False)
    finally:
        child.kill()
        child.wait()


# --- rollback and the form of the state ---------------------------------------------------------


def test_rollback_to_a_release_that_does_not_know_the_state_is_refused(site: Site) -> None:
    migrate(site.state)
    assert plan_rollback(site).number == 3
    (site.state / "format").write_text("islet-state-2\n")
    with pytest.raises(HostNotReady) as caught:
        roll_back(site)
    assert caught.value.why == "they are in form 2, this release knows up to 1"
    assert current_release(site).number == 4


def test_rollback_is_refused_while_another_command_is_at_work(site: Site) -> None:
    (site.prefix / f"quarantine.{os.getppid()}").mkdir()
    stat = Path(f"/proc/{os.getppid()}/stat").read_text().rpartition(")")[2].split()
    (site.prefix / f"quarantine.{os.getppid()}/.at-work").write_text(f"{stat[19]} gc\n")
    with pytest.raises(HostNotReady, match="islet gc is running here"):
        roll_back(site)


def test_a_new_state_is_brought_to_the_current_form(tmp_path: Path) -> None:
    assert (read_format(tmp_path), migrate(tmp_path), read_format(tmp_path)) == (0, 0, CURRENT)
    assert {path.name for path in tmp_path.iterdir()} == {"runs", "datasets", "exports", "format"}
    assert migrate(tmp_path) == CURRENT


def test_migrations_run_forward_once_each_and_a_cut_one_again(tmp_path: Path) -> None:
    ran: list[int] = []

    def step(number: int) -> Callable[[Path], None]:
        def run(state: Path) -> None:
            ran.append(number)
            if ran == [0, 1, 2]:
                raise OSError(28, "No space left on device")

        return run

    steps = [step(number) for number in range(4)]
    with pytest.raises(OSError, match="No space"):
        migrate(tmp_path, steps)
    assert read_format(tmp_path) == 2
    assert migrate(tmp_path, steps) == 2
    assert (ran, read_format(tmp_path)) == ([0, 1, 2, 2, 3], 4)
    with pytest.raises(HostNotReady, match="newer form"):
        migrate(tmp_path, steps[:3])


def test_a_step_that_is_done_again_finds_nothing_of_the_one_that_was_killed(tmp_path: Path) -> None:
    migrate(tmp_path)
    child = subprocess.Popen(["true"])
    child.wait()
    run = tmp_path / "runs" / "2026-11-21-ward"
    run.mkdir()
    (run / f".form-2.{child.pid}.part").write_bytes(b"half")
    found: list[str] = []
    migrate(tmp_path, [*MIGRATIONS, lambda _: found.extend(path.name for path in run.iterdir())])
    assert (found, list(run.iterdir())) == ([], [])


@pytest.mark.parametrize("text", ["", "2", "islet-state-", "islet-state-x", "islet-state-²"])
def test_a_note_that_is_no_form_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "format").write_text(text)
    with pytest.raises(BadInput, match="does not say how this state is kept"):
        read_format(tmp_path)
