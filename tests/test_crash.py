"""Every command that changes a box, disturbed: killed, out of disk, without power, stopped, unplugged.

A spread sample of what `make campaign` does at every call (`tests.disturb`, `tests.meetings`).
"""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from appliance.durable import remove_parts, write_whole
from tests.crash import ENVIRONMENT, Scenario, memory_folder
from tests.crash_scenarios import Shelf
from tests.disturb import Tally, chosen, failed, killed, note, powerless, shortened, watched
from tests.faults import can_watch
from tests.meetings import check_unplugged, meets, unplugged
from tests.powercut import Disk, Recorder, Step

pytestmark = pytest.mark.xdist_group("crash")  # one box, and one record of an upgrade, made once
needs_watch = pytest.mark.skipif(not can_watch(), reason="needs Linux 5.19 or later on x86-64")


@pytest.fixture(scope="module")
def shelf() -> Iterator[Shelf]:
    """Bundles and a box; release 1 is installed on it once."""
    with memory_folder("shelf") as folder:
        yield Shelf(folder)


@pytest.fixture(scope="module")
def upgrade(shelf: Shelf) -> Scenario:
    """A delta upgrade by `islet install`, from a box with release 1, data and runs."""
    return shelf.scenarios()["resident-delta"]()


@dataclass
class Seen:
    """One run of a scenario, looked at."""

    calls: list[str]
    steps: list[Step]
    tally: Tally
    modelled: bool
    """Whether the recorded calls, done again in the model of a disk, give the tree that the run left."""


@pytest.fixture(scope="module")
def seen(upgrade: Scenario) -> Seen:
    upgrade.box.restore(upgrade.start)
    disk = Disk(upgrade.box.place)
    recorder, tally = Recorder(), Tally()
    calls = watched(upgrade, recorder, tally, every=9)
    for step in recorder.steps:
        disk.do(step)
    return Seen(calls, recorder.steps, tally, disk.live() == Disk(upgrade.box.place).live())


@pytest.mark.slow
@needs_watch
def test_at_every_moment_of_an_upgrade_the_box_is_the_old_one_or_the_new_one(seen: Seen) -> None:
    assert seen.tally.lost == []
    assert seen.tally.seen > 20
    for kind in ("write", "fsync", "rename", "link", "unlink", "mkdir", "chmod", "symlink", "syncfs"):
        assert any(kind in call.split(" ")[0] for call in seen.calls), kind


@pytest.mark.slow
@needs_watch
def test_what_was_recorded_of_a_run_gives_the_tree_that_it_left(seen: Seen) -> None:
    """Else the power cuts below would be those of another run."""
    assert seen.modelled


@pytest.mark.slow
@needs_watch
def test_an_upgrade_killed_at_a_system_call_is_finished_by_the_same_command(
    upgrade: Scenario, seen: Seen
) -> None:
    tally = Tally()
    killed(upgrade, chosen(seen.calls, 3), tally)
    assert (tally.kills, tally.lost) == (3, [])


@pytest.mark.slow
@needs_watch
def test_a_disk_that_fails_is_told_as_such_and_the_box_stays_whole(upgrade: Scenario, seen: Seen) -> None:
    tally = Tally()
    failed(upgrade, chosen(seen.calls, 4), tally)
    assert (tally.faults, tally.lost) == (4, [])


@pytest.mark.slow
@needs_watch
def test_a_write_that_does_half_is_done_to_its_end(upgrade: Scenario, seen: Seen) -> None:
    tally = Tally()
    writes = [number for number in chosen(seen.calls, 300) if seen.calls[number].startswith("write ")]
    shortened(upgrade, writes[len(writes) // 2 :][:1], tally)
    assert (tally.shorts, tally.lost) == (1, [])


@pytest.mark.slow
@needs_watch
def test_a_power_cut_leaves_the_old_release_or_the_new_one(upgrade: Scenario, seen: Seen) -> None:
    tally = Tally()
    powerless(upgrade, seen.steps, tally, every=9, states=20, again=1)
    assert tally.lost == []
    assert tally.power_states > 10


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGKILL, 7)]
)
def test_a_signal_is_answered_in_words_and_leaves_nothing_half_done(
    upgrade: Scenario, number: signal.Signals, code: int
) -> None:
    """SIGKILL goes to the part in Python, as when memory runs out; the others to the shell."""
    box = upgrade.box
    box.restore(upgrade.start)
    child = subprocess.Popen(
        [str(word) for word in upgrade.command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    )
    quarantine = box.site.prefix / f"quarantine.{child.pid}"
    deadline = time.monotonic() + 120
    while not (quarantine / "requirements.txt").exists():  # pip is at work
        assert child.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    if number == signal.SIGKILL:
        children = Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text().split()
        os.kill(int(children[-1]), number)
    else:
        child.send_signal(number)
    _, errors = child.communicate(timeout=120)
    first, why, after = errors.splitlines()[-3:]
    assert child.returncode == code
    assert first == f"islet: The installation was {'killed' if number == signal.SIGKILL else 'stopped'}."
    assert why.startswith("why: ")
    assert after.startswith("next: ")
    if number != signal.SIGKILL:  # who is killed cannot end the program that runs for it
        assert sorted(path.name for path in (box.site.prefix / "releases").iterdir()) == ["1"]
        assert not quarantine.exists()
    tally = Tally()
    note(upgrade, tally, number.name, runs=True, again=number != signal.SIGKILL)
    assert tally.lost == []


SMALL = {"backup": 2, "gc-alone": 2, "restore": 3, "rollback": 2, "uninstall": 3}
"""Commands that take a moment, and at how many calls each is killed and fails here."""


@pytest.mark.slow
@needs_watch
@pytest.mark.parametrize("name", SMALL)
def test_a_command_of_the_site_survives_whatever_happens_at_its_calls(
    name: str, shelf: Shelf, upgrade: Scenario
) -> None:
    assert upgrade.wanted  # the box with both releases, which two of these start from
    scenario = after_upgrade(shelf, upgrade).get(name) or shelf.scenarios()[name]()
    scenario.learn()
    tally, recorder = Tally(), Recorder()
    calls = watched(scenario, recorder, tally, every=4)
    points = chosen(calls, SMALL[name])
    killed(scenario, points, tally)
    failed(scenario, points, tally)
    powerless(scenario, recorder.steps, tally, every=8, states=8, again=1)
    assert (tally.kills, tally.faults, tally.lost) == (len(points), len(points), [])
    assert tally.power_states >= 5


def after_upgrade(shelf: Shelf, upgrade: Scenario) -> dict[str, Scenario]:
    """Scenarios that start where the upgrade ended: no installation more is needed for them."""
    back, gc = shelf.islet("rollback", "--to", "1", "--yes"), shelf.islet("gc", "--keep", "0", "--yes")
    start = "resident-delta-done"
    return {
        "rollback": Scenario("rollback", shelf.box, start, back, 2, 1, once=True),
        "gc-alone": Scenario("gc-alone", shelf.box, start, gc, 2, 2),
    }


@pytest.mark.slow
@needs_watch
def test_a_second_command_is_told_who_is_at_work_and_the_first_finishes(
    shelf: Shelf, upgrade: Scenario, seen: Seen
) -> None:
    at = chosen(seen.calls, 3)[1]
    answer = meets(upgrade, at, upgrade.command)
    assert (answer.returncode, answer.stderr.splitlines()[-3]) == (
        5,
        "islet: Another install is running here.",
    )
    at = next(number for number, call in enumerate(seen.calls) if "installed.json" in call)
    answer = meets(upgrade, at, shelf.islet("gc", "--yes"))
    assert (answer.returncode, answer.stderr.splitlines()[-3]) == (
        5,
        "islet: Another install is running here.",
    )


@pytest.mark.slow
@needs_watch
def test_a_medium_that_is_unplugged_at_a_byte_is_named_and_the_box_goes_on(
    shelf: Shelf, upgrade: Scenario
) -> None:
    """Once it is back, the same command reads only the volumes whose files are not here yet."""
    medium = shelf.bundle("2d").bundle
    size, ended = unplugged(upgrade, medium, None)
    assert ended.code == 0, ended.err
    check_unplugged(upgrade, medium, size // 2)
    check_unplugged(upgrade, medium, size - 1)


@pytest.mark.slow
def test_a_bad_volume_is_named_and_those_that_were_taken_are_not_read_again(shelf: Shelf) -> None:
    box, medium = shelf.box, shelf.bundle("1")
    box.restore(None)
    first, bad = (medium.bundle / f"payload.00{number}.tar" for number in (0, 2))
    honest = {path: path.read_bytes() for path in (first, bad)}
    bad.write_bytes(honest[bad][:-700] + b"x" + honest[bad][-699:])
    done = box.run(box.install_command(medium))
    assert (done.returncode, done.stderr.splitlines()[-3]) == (4, "islet: payload.002.tar is damaged.")
    bad.write_bytes(honest[bad])
    first.write_bytes(b"nobody reads this")
    done = box.run(box.install_command(medium))
    first.write_bytes(honest[first])
    assert done.returncode == 0, done.stderr


# --- without an installation --------------------------------------------------------------------


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[tuple[Path, Disk]]:
    place = tmp_path / "place"
    place.mkdir()
    (place / "there").write_bytes(b"old")
    yield place, Disk(place)


def test_a_power_cut_is_modelled_by_what_was_synced(disk: tuple[Path, Disk]) -> None:
    """The zero-length file that everybody has met: a rename that survives the bytes it was for."""
    place, model = disk
    aside, there = str(place / "aside"), str(place / "there")
    for step in (
        Step("open", (aside,), b"420", number=os.O_CREAT | os.O_WRONLY),
        Step("write", (aside,), b"new", 0),
        Step("rename", (aside, there)),
    ):
        model.do(step)
    states = dict(model.states(1))
    assert {what: left["there"][2] for what, left in states.items() if "name" not in what} == {
        "nothing lost": b"new",
        "all that was not synced is lost": b"old",
        "by chance": states["by chance"]["there"][2],
    }
    assert states["names kept, bytes lost"]["there"][2] == b""
    assert states["names kept, bytes torn"]["there"][2] == b"n\0\0"
    assert states["bytes kept, names lost"] == {"there": ("file", 0o644, b"old")}


def test_what_was_synced_survives_in_every_state(disk: tuple[Path, Disk]) -> None:
    place, model = disk
    aside, there = str(place / "aside"), str(place / "there")
    for step in (
        Step("open", (aside,), b"420", number=os.O_CREAT | os.O_WRONLY),
        Step("write", (aside,), b"new", 0),
        Step("fsync", (aside,)),
        Step("rename", (aside, there)),
    ):
        model.do(step)
    assert {left["there"][2] for _, left in model.states(1)} == {b"old", b"new"}
    model.do(Step("fsync", (str(place),)))
    assert {left["there"][2] for _, left in model.states(1)} == {b"new"}


def test_what_a_killed_writer_left_is_removed_and_what_a_living_one_writes_is_not(tmp_path: Path) -> None:
    child = subprocess.Popen(["sleep", "0"])
    child.wait()
    (tmp_path / f".state.{child.pid}.part").write_bytes(b"half")
    (tmp_path / f".state.{os.getpid()}.part").write_bytes(b"half")
    write_whole(tmp_path / "state", b"whole")
    (tmp_path / f".other.{os.getpid()}.part").write_bytes(b"half")
    remove_parts(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f".other.{os.getpid()}.part", "state"]


def test_a_writer_that_was_killed_counts_as_dead_before_its_parent_asks_for_it(tmp_path: Path) -> None:
    with subprocess.Popen(["true"]) as child:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # ended, and still in the table of processes
        (tmp_path / f".state.{child.pid}.part").write_bytes(b"half")
        remove_parts(tmp_path)
    assert not list(tmp_path.iterdir())
