"""Ways to disturb a scenario of `tests.crash` at its system calls, each counted.

`watched` looks at the box before every call of one run: what a kill at that call would leave, because a kill
leaves the files as they are. `killed` really kills, and gives the command again. `failed` has a call return
an error of the disk, once or from then on; `shortened` lets a write do half. `powerless` computes what a
power cut would leave (`tests.powercut`) and puts it down on the disk.
"""

import errno
import os
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.crash import VARIES, Scenario, spread
from tests.faults import GO, Answer, Ended, Fail, Judge, Kill, Short
from tests.powercut import Disk, Left, Recorder, Step, put_down
from tests.system_calls import Call

ERRORS = (errno.ENOSPC, errno.EIO, errno.EROFS, errno.EDQUOT)
TRIED_AGAIN = ("unlink", "unlinkat", "rmdir")
"""What goes on working on a full disk, so that it can be cleaned up."""
WRITES = ("write", "pwrite64", "writev")
BULK = re.compile(r"/releases/\d+/runtime(/|$)|/quarantine\.\d+(/|$)")
"""Where the next installation begins by removing: of these calls, the most, every so many are looked at."""
EVERY = 97


@dataclass
class Tally:
    """What was tried in one scenario, and what was lost."""

    calls: int = 0
    seen: int = 0
    kills: int = 0
    faults: int = 0
    shorts: int = 0
    power_states: int = 0
    """States of the disk after a power cut that differ in more than what the next installation removes."""
    again: int = 0
    """How often the command was given again, each time from another state."""
    lost: list[str] = field(default_factory=list)

    def add(self, other: "Tally") -> None:
        """Count both together."""
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)

    def __str__(self) -> str:
        return (
            f"{self.calls} calls, {self.seen} looked at, {self.kills} kills, {self.faults} faults, "
            f"{self.shorts} short writes, {self.power_states} power cuts, {self.again} times given again; "
            f"lost: {len(self.lost)}"
        )


def is_telling(call: str) -> bool:
    """Whether a call changes something that outlives the next installation's first step."""
    _, *paths = call.split(" ")
    return not paths or any(BULK.search(path) is None for path in paths)


def chosen(calls: list[str], wanted: int) -> list[int]:
    """Numbers of calls: the telling ones first in the count, then the others, spread evenly."""
    telling = [number for number, call in enumerate(calls) if is_telling(call)]
    others = [number for number, call in enumerate(calls) if not is_telling(call)]
    first = min(len(telling), max(1, wanted * 2 // 3))
    numbers = [telling[at] for at in spread(len(telling), first)]
    return numbers + [others[at] for at in spread(len(others), wanted - first)]


def watched(scenario: Scenario, recorder: Recorder, tally: Tally, *, every: int = 1) -> list[str]:
    """Run undisturbed, looking at the box before each telling call; every call in words."""
    calls: list[str] = []

    def judge(call: Call) -> Answer:
        calls.append(str(call))
        if (is_telling(calls[-1]) and call.number % every == 0) or call.number % EVERY == 0:
            tally.seen += 1
            note(scenario, tally, f"before call {call.number}, {calls[-1]}", again=False)
        return recorder(call)

    scenario.box.restore(scenario.start)
    ended = scenario.box.watch(scenario.command, judge)
    if ended.code != 0 or ended.outside:
        tally.lost.append(f"{scenario.name}: exit code {ended.code}, wrote {ended.outside}: {ended.err}")
    tally.calls += len(calls)
    return calls


def killed(scenario: Scenario, numbers: Iterable[int], tally: Tally) -> None:
    """Kill everything at each of these calls; the box must be whole, and the command finish."""
    for number in numbers:

        def judge(call: Call, number: int = number) -> Answer:
            return Kill() if call.number == number else GO

        _run(scenario, judge)
        tally.kills += 1
        note(scenario, tally, f"killed at call {number}", runs=True)


def failed(scenario: Scenario, numbers: Iterable[int], tally: Tally, *, errors: int = 1) -> None:
    """Have each of these calls fail with so many errors of the disk in turn: every second one alone, the
    others with all that are alike after it.
    """
    for place, number in enumerate(number for number in numbers for _ in range(errors)):
        error, alone = ERRORS[(number + place) % len(ERRORS)], (number + place // 4) % 2 == 0

        def judge(call: Call, number: int = number, error: int = error, alone: bool = alone) -> Answer:
            later = call.number > number and not alone and call.name not in TRIED_AGAIN
            return Fail(error) if call.number == number or later else GO

        ended = _run(scenario, judge)
        tally.faults += 1
        what = f"{errno.errorcode[error]} {'at' if alone else 'from'} call {number}"
        _check_words(scenario, ended, tally, what)
        note(scenario, tally, what)


def _check_words(scenario: Scenario, ended: Ended, tally: Tally, what: str) -> None:
    """A disk that fails is told as such: never as a bundle that is not to be trusted, never without words."""
    told = re.search(r"^islet: .+\nwhy: (.|\n)+^next: .+", ended.err, re.MULTILINE)
    if ended.code == 0 and scenario.box.in_use() == scenario.new:
        return
    if ended.code not in (5, 7) or not told:
        tally.lost.append(f"{scenario.name}, {what}: exit code {ended.code}: {ended.err[-600:]}")


def shortened(scenario: Scenario, numbers: Iterable[int], tally: Tally) -> None:
    """Let each of these writes do half of what was asked; the program writes the rest, and all is right."""
    for number in numbers:

        def judge(call: Call, number: int = number) -> Answer:
            return Short() if call.number == number and call.name in WRITES else GO

        ended = _run(scenario, judge)
        tally.shorts += 1
        if ended.code != 0:
            tally.lost.append(f"{scenario.name}, short write {number}: exit code {ended.code}: {ended.err}")
        note(scenario, tally, f"short write {number}")


def powerless(
    scenario: Scenario,
    steps: list[Step],
    tally: Tally,
    *,
    every: int = 1,
    states: int = sys.maxsize,
    again: int = sys.maxsize,
) -> None:
    """Cut the power after each telling step, or every so many: at most `states` different states are put down
    and looked at, from `again` of them the command is given again. After the last step nothing that the
    command said that it did may be lost.
    """
    found = list(_power_states(scenario, steps, every))
    last = [place for place, (number, _, _) in enumerate(found) if number == len(steps)]
    places = {*spread(len(found), states), *last}
    finish = {sorted(places)[at] for at in spread(len(places), again)}
    before: Left | None = None
    for place in sorted(places):
        _, what, left = found[place]
        put_down(left, scenario.box.place, before)
        before = None if place in finish else left
        tally.power_states += 1
        note(scenario, tally, f"power cut {what}", again=place in finish, done=place in last)


def _power_states(scenario: Scenario, steps: list[Step], every: int) -> Iterable[tuple[int, str, Left]]:
    """Every state that differs from those before in more than what the next installation removes, and how
    many steps were made by then.
    """
    scenario.box.restore(scenario.start)
    disk, seen, telling = Disk(scenario.box.place), set(), 0
    for number, step in enumerate(steps, 1):
        disk.do(step)
        telling += is_telling(str(step))
        if number < len(steps) and (
            telling % every if is_telling(str(step)) else number % (3 * EVERY * every)
        ):
            continue
        for name, left in disk.states(number):
            digest = _digest(left)
            if digest not in seen or number == len(steps):
                seen.add(digest)
                yield number, f"after call {number}, {step}: {name}", left


def _digest(left: Left) -> int:
    """What outlives the next installation's first step. A file that varies is told by its length."""
    current = os.fsdecode(left.get("opt/current", ("", 0, b""))[2]).rpartition("/")[2]
    gone = set()
    for path in left:
        folders = path.split("/")
        cut = len(folders) == 3 and folders[1] == "releases" and f"{path}/installed.json" not in left
        if (len(folders) == 2 and folders[1].startswith("quarantine.")) or (cut and folders[2] != current):
            gone.add(tuple(folders))
    return hash(
        tuple(
            (re.sub(r"\.\d+\.part$", "", path), kind, mode, len(data) if VARIES.search(path) else hash(data))
            for path, (kind, mode, data) in left.items()
            if not gone.intersection((tuple(path.split("/")[:2]), tuple(path.split("/")[:3])))
        )
    )


def _run(scenario: Scenario, judge: Judge) -> Ended:
    scenario.box.restore(scenario.start)
    return scenario.box.watch(scenario.command, judge)


def note(
    scenario: Scenario, tally: Tally, what: str, *, again: bool = True, runs: bool = False, done: bool = False
) -> None:
    """Judge the box; what is wrong goes into the tally. done: the command had said that it ended well"""
    try:
        if scenario.check() is not None and runs:
            scenario.check_runs()
        if done:
            scenario.check_done()
        if again:
            tally.again += scenario.check_finishes()
    except Exception as error:  # (a tree in which nothing can be read is lost too)
        tally.lost.append(f"{scenario.name}, {what}: {error!r}"[:2000])
        print(tally.lost[-1], flush=True)
