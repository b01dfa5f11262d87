"""`make campaign`: the hard tests in their long form, counted, two at a time.

Every table of attacks against every judge, every bit and byte of the control files, random bit flips over
the payload (`tests/attacks/campaign.py`); every command that changes a box killed, failed and without power
at its system calls (`tests/crash_campaign.py`); media unplugged and two commands at once
(`tests/meetings.py`); downloads from servers that do anything; spoilt files of rows; the tests that kill an
installation and a worker, with more kills than `make test`; every variant of the wizard's journeys; clean
systems and every shell; a model of some gigabytes over a line that breaks.

A section is a function that prints what it does and returns counts. Each runs in a process of its own:
`python -m tests.campaign [SECTION …]` does the ones named, all without a name, and ends with a table. Exit
code 0 only when nothing was accepted that must not be, and nothing lost.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

ROOT = Path(__file__).parents[1]
AT_ONCE = 2
KILLS = "20"
SERVERS = 3_000
ROW_FILES = 10_000
LARGE_BYTES = 3_000_000_000


@dataclass(frozen=True)
class Count:
    """How much of something was tried."""

    what: str
    tried: int
    wrong: int
    """How many were accepted, answered wrongly or lost."""


Section = Callable[[], list[Count]]


def attacks(part: str) -> list[Count]:
    """A part of the tables of attacks, bits and bytes."""
    from tests.attacks.campaign import PARTS

    with tempfile.TemporaryDirectory(prefix="islet-campaign-") as folder:
        return [Count(*tried) for tried in PARTS[part](Path(folder))]


def crashes(scenario: str) -> list[Count]:
    """One command that changes a box, disturbed at its system calls."""
    from tests.crash_campaign import main as disturb

    tally = disturb([scenario])
    tried = {
        "kill points looked at": tally.seen,
        "kills, and the command again": tally.kills,
        "fault points": tally.faults + tally.shorts,
        "power-cut points": tally.power_states,
    }
    return [
        *(Count(what, number, 0) for what, number in tried.items()),
        Count("commands given again", tally.again, len(tally.lost)),
    ]


def meetings() -> list[Count]:
    """A second command while the first is at work, and a medium that is unplugged."""
    from tests.meetings import meet, unplug

    together, unplugged = meet(), unplug()
    return [Count("two commands at once", *together), Count("media unplugged at a byte", *unplugged)]


def servers() -> list[Count]:
    """Servers that do what comes to them: a download ends in the file or in a refusal."""
    from tests.test_download import survives_chaos

    lost = 0
    with tempfile.TemporaryDirectory(prefix="islet-campaign-") as folder:
        for seed in range(SERVERS):
            lost += not survives_chaos(seed, Path(folder))
            if seed % 500 == 499:
                print(f"{seed + 1} hostile servers: {lost} downloads lost or wrong", flush=True)
    return [Count("hostile servers", SERVERS, lost)]


def rows() -> list[Count]:
    """Spoilt files of rows: rows in are rows out and rows reported."""
    from tests.data_fuzz import spoilt_files

    outcomes, wrong = spoilt_files(0, ROW_FILES)
    print(dict(outcomes), *wrong, sep="\n", flush=True)
    return [Count("spoilt files of rows", ROW_FILES, len(wrong))]


def pytests(*words: str) -> list[Count]:
    """Slow tests in their long form; as many as ended, and as many as did not pass."""
    environment = os.environ | {"ISLET_KILLS": KILLS, "ISLET_CAMPAIGN": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-m", "slow", *words]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as child:
        last = ""
        for line in child.stdout or ():
            print(line, end="", flush=True)
            last = line
    ended = {word: int(number) for number, word in re.findall(r"(\d+) (passed|failed|error)", last)}
    wrong = sum(ended.values()) - ended.get("passed", 0)
    return [
        Count(f"slow tests in their long form: {words[-1]}", sum(ended.values()), wrong or child.returncode)
    ]


def large() -> list[Count]:
    """Lock and build a model of LARGE_BYTES over a bad line, in constant memory."""
    from tests.large import carry, words
    from tests.real import scratch
    from tests.test_large_model import PEAK_BYTES

    with scratch("large") as folder:
        passage = carry(folder, LARGE_BYTES)
    print(words(passage), flush=True)
    return [Count("models over a bad line", 1, int(passage.peak_bytes > PEAK_BYTES))]


def sections() -> Mapping[str, Section]:
    """Name to section; what takes longest comes first, so that two at a time end together."""
    from tests.attacks.campaign import PARTS
    from tests.crash_campaign import names

    return {
        **{f"crash-{name}": partial(crashes, name) for name in names()},
        "meetings": meetings,
        **{f"attacks-{name}": partial(attacks, name) for name in PARTS},
        "kills": partial(pytests, "-k", "kill or SIGKILL", "tests"),
        "wizard": partial(pytests, "tests/test_wizard_journey.py"),
        "platforms": partial(pytests, "tests/test_platforms.py"),
        "rows": rows,
        "servers": servers,
        "large": large,
    }


def main(wanted: list[str]) -> int:
    """Run the sections named (none: all); print a table of what was tried. 1 when anything was wrong."""
    known = sections()
    if strange := [name for name in wanted if name not in known]:
        print(f"there is no section {', '.join(strange)}; there are: {', '.join(known)}")
        return 2
    names = wanted or list(known)
    started = time.monotonic()
    counts: list[Count] = []
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for number, (name, found) in enumerate(pool.map(apart, names), 1):
            counts += found
            wrong = sum(count.wrong for count in counts)
            print(f"[{number}/{len(names)}] {name} ended; wrong until now: {wrong}", flush=True)
    minutes = (time.monotonic() - started) / 60
    print(f"\n{table(counts)}\n{len(names)} sections, {minutes:.0f} minutes", flush=True)
    return 1 if any(count.wrong for count in counts) else 0


def apart(name: str) -> tuple[str, list[Count]]:
    """A section in a process of its own, its lines passed on as they come, each with its name."""
    started = time.monotonic()
    with tempfile.NamedTemporaryFile(prefix="islet-campaign-") as answer:
        command = [sys.executable, "-m", "tests.campaign", "--to", answer.name, name]
        with subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as child:
            for line in child.stdout or ():
                print(f"{name}: {line}", end="", flush=True)
        text = Path(answer.name).read_text(encoding="utf-8")
    took_s = time.monotonic() - started
    if not text or child.returncode:
        return name, [Count(f"section {name} did not end (exit code {child.returncode})", 0, 1)]
    print(f"{name}: {took_s:.0f} s", flush=True)
    return name, [Count(**each) for each in json.loads(text)]


def table(counts: list[Count]) -> str:
    """What was tried and what was wrong, by kind, and the sum of what was wrong."""
    kinds = dict.fromkeys(count.what for count in counts)
    rows = [
        (what, sum(c.tried for c in counts if c.what == what), sum(c.wrong for c in counts if c.what == what))
        for what in kinds
    ]
    width = max(len(what) for what in kinds)
    lines = [f"{what:<{width}}  {tried:>9,}  {wrong:>5}" for what, tried, wrong in rows]
    head = f"{'':<{width}}  {'tried':>9}  {'wrong':>5}"
    return "\n".join([head, *lines, f"accepted, answered wrongly or lost: {sum(row[2] for row in rows)}"])


if __name__ == "__main__":
    if sys.argv[1:2] == ["--to"]:
        found = sections()[sys.argv[3]]()
        Path(sys.argv[2]).write_text(json.dumps([asdict(count) for count in found]), encoding="utf-8")
        sys.exit(0)
    sys.exit(main(sys.argv[1:]))
