"""Installing, upgrading and going back, disturbed: killed, out of disk, without power, stopped.

A spread sample of what `make campaign` does at every call (`tests.disturb`).
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
from tests.bundles import Workshop
from tests.crash import ENVIRONMENT, Box, Scenario, memory_folder
from tests.disturb import Tally, chosen, failed, killed, note, powerless, shortened, watched
from tests.faults import GO, Answer, Call, Fail, Watch, can_watch
from tests.pocket import make_pocket, next_release
from tests.powercut import Disk, Recorder, Step

needs_watch = pytest.mark.skipif(not can_watch(), reason="needs Linux 5.19 or later on x86-64")


@dataclass
class Bundles:
    """Release 1, and release 2 as a delta from it."""

    first: Workshop
    delta: Workshop


@pytest.fixture(scope="module")
def bundles() -> Iterator[Bundles]:
    with memory_folder("pocket") as folder:
        first = make_pocket(folder / "shop")
        yield Bundles(first, next_release(first, 2, delta=True))


@pytest.fixture(scope="module")
def upgrade(bundles: Bundles) -> Iterator[Scenario]:
    """A delta upgrade, from a box with release 1."""
    with memory_folder("upgrade") as folder:
        box = Box(folder / "box")
        box.restore(None)
        done = box.run(box.install_command(bundles.first))
        assert done.returncode == 0, done.stderr
        box.save("one")
        scenario = Scenario("upgrade", box, "one", box.install_command(bundles.delta), 1, 2)
        scenario.learn()
        yield scenario


@dataclass
class Seen:
    """One run of a scenario, looked at."""

    calls: list[str]
    steps: list[Step]
    tally: Tally


@pytest.fixture(scope="module")
def seen(upgrade: Scenario) -> Seen:
    recorder, tally = Recorder(), Tally()
    calls = watched(upgrade, recorder, tally, every=5)
    return Seen(calls, recorder.steps, tally)


@pytest.mark.slow
@needs_watch
def test_at_every_moment_of_an_upgrade_the_box_is_the_old_one_or_the_new_one(seen: Seen) -> None:
    assert seen.tally.lost == []
    assert seen.tally.seen > 50
    for kind in ("write", "fsync", "rename", "link", "unlink", "mkdir", "chmod", "symlink", "syncfs"):
        assert any(kind in call.split(" ")[0] for call in seen.calls), kind


@pytest.mark.slow
@needs_watch
def test_what_was_recorded_of_a_run_gives_the_tree_that_it_left(upgrade: Scenario, seen: Seen) -> None:
    """Else the power cuts below would be those of another run."""
    upgrade.box.restore(upgrade.start)
    disk = Disk(upgrade.box.place)
    recorder = Recorder()
    assert upgrade.box.watch(upgrade.command, recorder).code == 0
    for step in recorder.steps:
        disk.do(step)
    assert disk.live() == Disk(upgrade.box.place).live()


@pytest.mark.slow
@needs_watch
def test_an_upgrade_killed_at_a_system_call_is_finished_by_the_same_command(
    upgrade: Scenario, seen: Seen
) -> None:
    tally = Tally()
    killed(upgrade, chosen(seen.calls, 4), tally)
    assert (tally.kills, tally.lost) == (4, [])


@pytest.mark.slow
@needs_watch
def test_a_disk_that_fails_is_told_as_such_and_the_box_stays_whole(upgrade: Scenario, seen: Seen) -> None:
    tally = Tally()
    failed(upgrade, chosen(seen.calls, 6), tally)
    assert (tally.faults, tally.lost) == (6, [])


@pytest.mark.slow
@needs_watch
def test_a_write_that_does_half_is_done_to_its_end(upgrade: Scenario, seen: Seen) -> None:
    tally = Tally()
    writes = [number for number in chosen(seen.calls, 300) if seen.calls[number].startswith("write ")]
    shortened(upgrade, writes[:: max(1, len(writes) // 2)][:2], tally)
    assert (tally.shorts, tally.lost) == (2, [])


@pytest.mark.slow
@needs_watch
def test_a_power_cut_leaves_the_old_release_or_the_new_one(upgrade: Scenario, seen: Seen) -> None:
    tally = Tally()
    powerless(upgrade, seen.steps, tally, every=7, states=20, again=1)
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


@pytest.mark.slow
@needs_watch
def test_going_back_survives_a_kill_at_its_calls(upgrade: Scenario) -> None:
    box = upgrade.box
    assert upgrade.wanted
    command: list[str | Path] = [box.site.prefix / "bin/islet", "rollback", "--to", "1", "--yes"]
    scenario = Scenario("rollback", box, "upgrade-done", command, 2, 1, once=True)
    scenario.learn()
    scenario.whole = upgrade.whole
    tally = Tally()
    calls = watched(scenario, Recorder(), tally)
    killed(scenario, chosen(calls, 3), tally)
    assert (tally.kills, tally.lost) == (3, [])


@pytest.mark.slow
@needs_watch
def test_a_medium_that_gives_no_more_bytes_is_named(bundles: Bundles, upgrade: Scenario) -> None:
    """Once it is whole again, the same command reads only the volumes whose files are not here yet."""
    box, medium = upgrade.box, bundles.first
    box.restore(None)
    volume = str(medium.bundle / "payload.002.tar")

    def unplugged(call: Call) -> Answer:
        return Fail(5) if call.name.startswith(("read", "pread")) and call.paths == (volume,) else GO

    command = box.install_command(medium)
    ended = Watch([medium.bundle], reads=True).run(command, unplugged, env=ENVIRONMENT)
    assert (ended.code, ended.err.splitlines()[-3]) == (4, "islet: payload.002.tar cannot be read.")
    read: set[str] = set()

    def noted(call: Call) -> Answer:
        if call.name.startswith(("read", "pread")):
            read.update(Path(path).name for path in call.paths if path.endswith(".tar"))
        return GO

    ended = Watch([medium.bundle], reads=True).run(command, noted, env=ENVIRONMENT)
    assert ended.code == 0, ended.err
    assert "payload.002.tar" in read
    assert "payload.000.tar" not in read


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
