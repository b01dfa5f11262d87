"""A second command while a first one is at work, and media that are unplugged: for `tests.crash`'s boxes.

`meet` holds a first command at one of its system calls, runs a second one to its end there, and lets the
first go on: the second does its work or is told who is at work here, and the box is whole at every moment.
`unplug` lets a medium give its bytes up to one of them and then none: what could not be read is named,
nothing is half done, and with the medium back the same command finishes.
"""

import errno
import random
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.crash import ENVIRONMENT, Lost, Scenario, memory_folder, spread
from tests.crash_scenarios import Shelf
from tests.disturb import is_telling
from tests.faults import GO, Answer, Ended, Fail, Part, Watch
from tests.system_calls import Call

Command = Sequence[str | Path]
MOMENTS = 10
"""Calls of each first command at which each second one is started."""
BYTES = 30
"""Places at which the medium is unplugged."""
LONGEST_S = 300
"""A second command that takes longer waits for the first: which is held until it has ended."""
READS = ("read", "pread64", "readv", "mmap")


def meet(moments: int = MOMENTS) -> tuple[int, int]:
    """Every pair of commands at so many moments; how many were tried, and how many went wrong."""
    tried = wrong = 0
    with memory_folder("meet") as folder:
        shelf = Shelf(folder)
        made = shelf.scenarios()
        for name in ("upgrade", "gc", "backup"):
            first = made[name]()
            telling = [number for number, call in enumerate(first.calls()) if is_telling(call)]
            for what, second in seconds(shelf).items():
                for at in spread(len(telling), moments):
                    tried += 1
                    try:
                        meets(first, telling[at], second)
                    except Lost as lost:
                        wrong += 1
                        print(f"{name} at call {telling[at]}, {what} meanwhile: {lost}", flush=True)
                print(f"{name}, {what} meanwhile: {tried} tried, {wrong} wrong until now", flush=True)
    return tried, wrong


def seconds(shelf: Shelf) -> dict[str, Command]:
    """What is started while another is at work."""
    return {
        "an install": shelf.box.install_command(shelf.bundle("2")),
        "islet gc": shelf.islet("gc", "--keep", "1", "--yes"),
        "islet backup": shelf.islet("backup", shelf.box.place / "disk/another"),
    }


def meets(first: Scenario, number: int, second: Command) -> "subprocess.CompletedProcess[str]":
    """Start `second` when `first` is about to make a call, and let both end; how the second ended.

    Raises: Lost, when the box was not whole in between, one of them ended without an answer for people, or
    the first, given again, does not finish.
    """
    answers: list[subprocess.CompletedProcess[str]] = []

    def judge(call: Call) -> Answer:
        if call.number == number:
            words = [str(word) for word in second]
            answers.append(
                subprocess.run(
                    words,
                    capture_output=True,
                    text=True,
                    stdin=subprocess.DEVNULL,
                    env=ENVIRONMENT,
                    timeout=LONGEST_S,
                )
            )
            first.check()
        return GO

    first.box.restore(first.start)
    ended = first.box.watch(first.command, judge)
    answer = answers[0]
    for code, said in ((ended.code, ended.err), (answer.returncode, answer.stderr)):
        if code not in (0, 5) or (code == 5 and "\nwhy: " not in said):
            raise Lost(f"exit code {code}: {said[-600:]}")
    if ended.code and answer.returncode and "at work" not in ended.err + answer.stderr:
        raise Lost(f"both were refused, and none is at work: {ended.err}{answer.stderr}")
    first.check()
    if not (first.once and ended.code == 0):
        done = first.box.run(first.command)
        if done.returncode not in (0, 6 if ended.code == 0 else 0):  # a backup is not made over a whole one
            raise Lost(f"given again: exit code {done.returncode}: {done.stderr}")
    first.check_done()
    return answer


def unplug(places: int = BYTES) -> tuple[int, int]:
    """A first install and an upgrade from media that are unplugged; how many were tried, how many wrong."""
    tried = wrong = 0
    chance = random.Random(20261121)
    with memory_folder("unplug") as folder:
        made = Shelf(folder)
        for name, bundle in (("first", "1"), ("resident-delta", "2d")):
            scenario, medium = made.scenarios()[name](), made.bundle(bundle).bundle
            size = unplugged(scenario, medium, None)[0]
            for at in [0, size - 1, *(chance.randrange(size) for _ in range(places // 2 - 2))]:
                tried += 1
                try:
                    check_unplugged(scenario, medium, at)
                except Lost as lost:
                    wrong += 1
                    print(f"{name}, unplugged at byte {at}: {lost}", flush=True)
            print(f"{name}: {tried} times unplugged, {wrong} wrong until now", flush=True)
    return tried, wrong


def check_unplugged(scenario: Scenario, medium: Path, at: int) -> None:
    """Unplug at a byte, look, and install from the medium once it is back. Raises: Lost."""
    _, ended = unplugged(scenario, medium, at)
    if ended.code != 4 or "\nwhy: " not in ended.err or "\nnext: " not in ended.err:
        raise Lost(f"exit code {ended.code}: {ended.err[-600:]}")
    if scenario.check() != scenario.old:
        raise Lost("the new release is in use")
    scenario.check_finishes()


def unplugged(scenario: Scenario, medium: Path, at: int | None) -> tuple[int, Ended]:
    """Run a scenario whose medium gives `at` bytes (None: all) and then fails; how many it gave."""
    given = 0

    def judge(call: Call) -> Answer:
        nonlocal given
        if call.name not in READS:
            return GO
        length = call.readable()
        if at is None or given + length <= at:
            given += length
            return GO
        left, given = at - given, at
        return Part(left) if left and call.name in ("read", "pread64") else Fail(errno.EIO)

    scenario.box.restore(scenario.start)
    ended = Watch([medium], reads=True).run(scenario.command, judge, env=ENVIRONMENT)
    return given, ended
