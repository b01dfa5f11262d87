"""Every system call of installing, upgrading, going back and clearing up, disturbed: part of `make campaign`.

`ISLET_CRASH_S` bounds each kind of disturbance of each scenario, in seconds; what is tried is then spread
over the calls. Unset, every telling call is killed, and fails, in each scenario: hours.

`python -m tests.crash_campaign [SCENARIO …]` does this part alone.
"""

import os
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.bundles import Workshop
from tests.crash import Box, Scenario, memory_folder
from tests.disturb import WRITES, Tally, failed, is_telling, killed, powerless, shortened, watched
from tests.pocket import make_pocket, next_release
from tests.powercut import Recorder

BULK_SHARE = 0.25
"""Of the calls inside what the next installation removes first, how many a telling one are disturbed."""


def main(wanted: list[str], limit_s: float = float("inf")) -> int:
    """Disturb the scenarios named (none: all); print what was tried. How many boxes were lost."""
    total = Tally()
    with memory_folder("crash") as folder:
        for name, make in scenarios(folder).items():
            if not wanted or name in wanted:
                tally = disturb(make(), limit_s)
                print(f"{name}: {tally}", flush=True)
                for lost in tally.lost:
                    print(f"  {lost}", flush=True)
                total.add(tally)
    print(f"crashes: {total}")
    return len(total.lost)


def scenarios(folder: Path) -> dict[str, Callable[[], Scenario]]:
    """What is disturbed: name to what makes it ready."""
    one = make_pocket(folder / "shop")
    two, delta = next_release(one, 2), next_release(one, 2, delta=True)
    box = Box(folder / "box")

    def installed(*bundles: Workshop) -> str:
        box.restore(None)
        for bundle in bundles:
            box.run(box.install_command(bundle)).check_returncode()
        name = f"after-{len(bundles)}"
        box.save(name)
        return name

    def islet(*words: str) -> list[str | Path]:
        return [box.site.prefix / "bin/islet", *words, "--yes"]

    def ready(scenario: Scenario) -> Scenario:
        scenario.learn()
        return scenario

    return {
        "first": lambda: ready(Scenario("first", box, None, box.install_command(one), None, 1)),
        "upgrade": lambda: ready(Scenario("upgrade", box, installed(one), box.install_command(two), 1, 2)),
        "delta": lambda: ready(Scenario("delta", box, installed(one), box.install_command(delta), 1, 2)),
        "rollback": lambda: ready(
            Scenario("rollback", box, installed(one, two), islet("rollback", "--to", "1"), 2, 1, once=True)
        ),
        "gc": lambda: ready(Scenario("gc", box, installed(one, two), islet("gc", "--keep", "0"), 2, 2)),
    }


def disturb(scenario: Scenario, limit_s: float) -> Tally:
    """All kinds of disturbance of one scenario."""
    tally, recorder = Tally(), Recorder()
    calls = watched(scenario, recorder, tally)
    numbers = mixed(calls)
    writes = [number for number in numbers if calls[number].split(" ")[0] in WRITES]

    def until() -> float:
        return time.monotonic() + limit_s

    powerless(scenario, recorder.steps, tally, until=until())
    killed(scenario, numbers, tally, until=until())
    failed(scenario, numbers, tally, until=until())
    shortened(scenario, writes, tally, until=until())
    return tally


def mixed(calls: list[str]) -> list[int]:
    """All telling calls and a share of the others, in a chance order: a limit cuts off no kind whole."""
    chance = random.Random(20261121)
    telling = [number for number, call in enumerate(calls) if is_telling(call)]
    others = [number for number, call in enumerate(calls) if not is_telling(call)]
    numbers = telling + chance.sample(others, min(len(others), int(BULK_SHARE * len(telling))))
    chance.shuffle(numbers)
    return numbers


if __name__ == "__main__":
    sys.exit(1 if main(sys.argv[1:], float(os.environ.get("ISLET_CRASH_S", "inf"))) else 0)
