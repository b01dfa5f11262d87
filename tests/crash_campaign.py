"""Every system call of every command that changes a box, disturbed: part of `make campaign`.

The rule of what is tried: the *telling* calls are those that change something which outlives the first step
of the next installation (not what tar and pip write into a runtime that does not count yet). Before all of
them the box is looked at, in every scenario; at that share of them which a scenario states everything is
really killed, or the call fails, and the same command is given again; at a chance sample of the thousands of
other calls, which are alike, too: a quarter as many. Of the states of the disk that a power cut may leave
STATES are put down and looked at, spread over all; from AGAIN of them the command is given again.

`python -m tests.crash_campaign [--share S] [SCENARIO …]` does this part alone, or a share of it.
"""

import argparse
import random
import sys

from tests.crash import Scenario, memory_folder
from tests.crash_scenarios import Shelf
from tests.disturb import WRITES, Tally, failed, is_telling, killed, powerless, shortened, watched
from tests.powercut import Recorder

BULK_SHARE = 0.25
"""Of the calls inside what the next installation removes first, how many a telling one are disturbed."""
STATES = 200
"""States of the disk after a power cut that are looked at in one scenario, spread over all of them."""
AGAIN = 25
"""From how many of them the command is given again: a kill does the same at every call."""


def names() -> list[str]:
    """Of all scenarios."""
    with memory_folder("names") as folder:
        return list(Shelf(folder).scenarios())


def main(wanted: list[str], share: float = 1.0) -> Tally:
    """Disturb the scenarios named (none: all) at that share of their points, told as it goes."""
    total = Tally()
    with memory_folder("crash") as folder:
        for name, make in Shelf(folder).scenarios().items():
            if not wanted or name in wanted:
                tally = disturb(make(), share)
                print(f"{name}: {tally}", *tally.lost, sep="\n  ", flush=True)
                total.add(tally)
    return total


def disturb(scenario: Scenario, share: float = 1.0) -> Tally:
    """All kinds of disturbance of one scenario."""
    tally, recorder = Tally(), Recorder()
    calls = watched(scenario, recorder, tally)
    numbers = mixed(calls, scenario.share * share)
    writes = [number for number in numbers if calls[number].split(" ")[0] in WRITES]
    states, again = int(STATES * share), int(AGAIN * share)
    for act in (
        lambda: powerless(scenario, recorder.steps, tally, states=states, again=again),
        lambda: killed(scenario, numbers, tally),
        lambda: failed(scenario, numbers, tally, errors=scenario.errors),
        lambda: shortened(scenario, writes, tally),
    ):
        print(f"{scenario.name}: {tally} so far", flush=True)
        act()
    return tally


def mixed(calls: list[str], share: float = 1.0) -> list[int]:
    """That share of the telling calls, evenly, and a part of the others, by chance; in order."""
    chance = random.Random(20261121)
    telling = [number for number, call in enumerate(calls) if is_telling(call)][:: round(1 / share)]
    others = [number for number, call in enumerate(calls) if not is_telling(call)]
    return sorted(telling + chance.sample(others, min(len(others), int(BULK_SHARE * len(telling)))))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--share", type=float, default=1.0)
    parser.add_argument("scenario", nargs="*")
    given = parser.parse_args()
    crashes = main(given.scenario, given.share)
    print(f"crashes: {crashes}")
    sys.exit(1 if crashes.lost else 0)
