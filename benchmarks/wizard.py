"""How quickly the full screen answers: the first page, and keys while a training runs beside it.

    .venv/bin/python -m benchmarks.wizard PREFIX [--islet PATH]

PREFIX: an installed site that has a model; it is only read. The program runs in a terminal of 80 x 24, in a
box without a network (namespaces: root, or user namespaces), with a state of its own. What is timed is what a
person would see: from the key to the screen that shows it, an emulated terminal included.
"""

import argparse
import json
import os
import re
import shutil
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.real import InstalledSite
from tests.wizard_driver import Answers, FullScreen, make_state, start, to_review

FIRST_PAGES, KEYS = 7, 50
ROWS = 200
PASSES = "2000"
"""Enough that training outlasts the measurement; it is stopped then."""


@dataclass(frozen=True)
class OwnIslet(InstalledSite):
    """A site whose command is another one: the tree's own."""

    command: Path

    @property
    def islet(self) -> Path:
        """The command."""
        return self.command


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.wizard", description=__doc__)
    parser.add_argument("prefix", type=Path, help="an installed site that has a model")
    parser.add_argument("--islet", type=Path, help="the command to run; by default the site's")
    arguments = parser.parse_args()
    prefix = arguments.prefix.absolute()
    (model, *_) = sorted(
        "/".join(path.parts[-2:]) for path in (prefix / "current" / "models").glob("*/*") if path.is_dir()
    )
    folder = Path(tempfile.mkdtemp(prefix="islet-wizard-"))
    try:
        command = arguments.islet or prefix / "bin" / "islet"
        site = OwnIslet(prefix, folder, None, command.absolute())  # type: ignore[arg-type]
        measure(site, make_state(folder / "state"), model)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def measure(site: InstalledSite, state: Path, model: str) -> None:
    """First pages, then keys beside a training."""
    print("| what | median | p95 | worst | times |\n|---|---|---|---|---|")
    pages = [first_page(site, state) for _ in range(FIRST_PAGES)]
    tell("first page, from exec to the last line drawn", [wall for wall, _ in pages])
    tell("of it, CPU time", [cpu for _, cpu in pages])
    rows = [
        {"instruction": f"Which extension has ward {number}?", "output": f"It is {7000 + number}. 分机号。"}
        for number in range(ROWS)
    ]
    file = state / "datasets" / "rows.json"
    file.write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")
    with start(site, state) as screen:
        driver = FullScreen(screen, "en")
        answers = Answers(file, model=model)
        to_review(
            driver, Answers(file, model=model, values={**answers.values, "Passes over the rows": PASSES})
        )
        tell("a letter typed into a line, nothing else at work", typed(site, state))
        driver.push("Start training")
        driver.page("training")
        screen.wait_for("tokens/s", 120)
        tell("a letter typed into a line, while training runs", typed(site, state))
        tell("Tab on the live page, while training runs", tabs(driver))
        print(f"\n{os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}")
        driver.push("Stop and keep")
        driver.push("Stop and keep what is learned")
        driver.await_button("Go on training")


def tell(what: str, seconds: list[float]) -> None:
    """One line of the table, in milliseconds."""
    ordered = sorted(seconds)
    p95 = ordered[min(len(ordered) - 1, round(0.95 * len(ordered)))]
    cells = [f"{1000 * value:.0f} ms" for value in (statistics.median(ordered), p95, ordered[-1])]
    print("| " + " | ".join([what, *cells, str(len(ordered))]) + " |", flush=True)


def first_page(site: InstalledSite, state: Path) -> tuple[float, float]:
    """Seconds, and CPU seconds of the program, from exec until the first page stands there whole."""
    began = time.perf_counter()
    with start(site, state) as screen:
        screen.wait_until(lambda: "F1 " in screen.text()[-1], 60, "the first page")
        wall = time.perf_counter() - began
        fields = (
            Path(f"/proc/{screen.process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        )
        return wall, (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def typed(site: InstalledSite, state: Path) -> list[float]:
    """Seconds from each letter to its being seen, in another wizard's line for the system prompt."""
    with start(site, state) as screen:
        driver = FullScreen(screen, "en")
        driver.page("home")
        driver.choose("A new model")
        driver.push("Next")
        screen.wait_until(lambda: driver.is_on("health") or screen.shows("Begin anew?"), 60, "the next page")
        if not driver.is_on("health"):
            driver.push("Begin anew")
        driver.page("health")
        driver.push("Next")
        driver.page("model")
        driver.focus_option("")
        driver.press("space")
        driver.push("Next")
        driver.page("data")
        driver.fill("System prompt", "a")
        seconds, text = [], "a"
        for number in range(KEYS):
            letter = "abcdefghijklmnopqrstuvwxyz"[number % 26]
            text += letter
            seconds.append(_until(driver, letter, lambda text=text: screen.shows(f"[{text}")))
            time.sleep(0.1)
    return seconds


def tabs(driver: FullScreen) -> list[float]:
    """Seconds from each Tab to the focus being seen elsewhere."""
    seconds = []
    for _ in range(KEYS):
        before = _focus(driver)
        seconds.append(_until(driver, "tab", lambda before=before: _focus(driver) not in ("", before)))
        time.sleep(0.1)
    return seconds


def _until(driver: FullScreen, key: str, is_so: object) -> float:
    began = time.perf_counter()
    driver.screen.press(key)
    driver.screen.wait_until(is_so, 10, f"what {key} does")  # type: ignore[arg-type]
    return time.perf_counter() - began


def _focus(driver: FullScreen) -> str:
    """What has the focus, of the buttons."""
    return "".join(re.findall(r">\[[^\]]*\]<|>F\d", "\n".join(driver.screen.text())))


if __name__ == "__main__":
    main()
