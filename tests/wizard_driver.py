"""The wizard as a person drives it, in either front, by what stands on the page.

Texts are given in English, as the code says them, and looked up in the language that is driven: `page`,
`choose`, `take_file`, `fill`, `push` mean the same in the full screen and in the numbered lines.
"""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from wcwidth import wcswidth

from appliance.locale import OWN_NAMES, Language, catalogue
from appliance.wizard.steps.plan import PRESET_LABELS
from appliance.wizard.titles import TITLES
from tests.real import BOX_ENVIRONMENT, MODEL, InstalledSite, box_command
from tests.screen import Screen

KEY_S = 10.0
"""Longest wait for a key to show on a busy machine: pressed again too soon, it would move the focus twice."""
PAGE_S = 120.0
"""Longest wait for what needs no work; machines that run these tests are busy."""
WORK_S = 300.0
"""Longest wait for the look at the data, training, comparison, export."""

HOME, REVIEW, START, NEXT = "home", "review", "Start training", "Next"


def start(
    site: InstalledSite,
    state: Path,
    *options: str | Path,
    columns: int = 80,
    rows: int = 24,
    trace: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> Screen:
    """`islet OPTIONS` in a terminal, in a box without a network; the state in `state`."""
    command = [site.islet, "--prefix", site.prefix, "--state", state, *options]
    return Screen(
        box_command(command, trace=trace), columns, rows, {**environment(state), **(env or {})}, cwd=state
    )


def environment(state: Path) -> dict[str, str]:
    """What a person has who logged in over SSH; temporary files go beside the state, to be looked through."""
    temporary = state.parent / f"{state.name}-tmp"
    temporary.mkdir(exist_ok=True)
    return {
        **BOX_ENVIRONMENT,
        "TERM": "xterm-256color",
        "LANG": "C.UTF-8",
        "OMP_NUM_THREADS": "1",
        "TMPDIR": str(temporary),
    }


def make_state(folder: Path) -> Path:
    """A state folder as the installer makes it; `folder`."""
    for name in ("datasets", "runs", "exports"):
        (folder / name).mkdir(parents=True)
    return folder


def loaded_libraries(pid: int) -> str:
    """What a process has mapped into its memory."""
    return Path(f"/proc/{pid}/maps").read_text(encoding="utf-8", errors="replace")


@dataclass(frozen=True)
class Answers:
    """What a person answers on the way from home to the review."""

    file: Path
    model: str = MODEL
    system: str = "You answer for the ward. 请简短。"
    held_out: str = "10"
    values: Mapping[str, str] = field(
        default_factory=lambda: {
            "Passes over the rows": "4",
            "Learning rate": "0.004",
            "Rank": "4",
            "Alpha": "12",
            "Longest row (tokens)": "256",
        }
    )
    name: str = "ward-7"
    ollama: str = "ward.7_q"
    gguf: str = "both; Ollama gets the first"


class Driver(Protocol):
    """A front, driven."""

    screen: Screen
    language: Language

    def page(self, name: str, seconds: float = PAGE_S) -> None:
        """Come back when the page `name` is shown."""
        ...

    def choose(self, option: str) -> None:
        """Choose the option of the page whose line holds `option`, which is said in its language already."""
        ...

    def take_file(self, path: Path) -> None:
        """Take a file of the folder that is shown."""
        ...

    def fill(self, label: str, value: str) -> None:
        """Answer the question called `label` with `value`."""
        ...

    def push(self, label: str, seconds: float = WORK_S) -> None:
        """Do what the button `label` does, as soon as it can be done."""
        ...

    def await_button(self, label: str, seconds: float = WORK_S) -> None:
        """Come back when there is a button `label` that can be pressed."""
        ...

    def say(self, text: str) -> str:
        """`text` in the language that is driven."""
        ...


def to_review(driver: Driver, answers: Answers, at: Callable[[str], None] = lambda page: None) -> None:
    """From the very first page to the review. at: called on every page, before anything is answered there."""
    driver.page("language")
    at("language")
    driver.choose(OWN_NAMES[driver.language])
    driver.push(NEXT)
    for page in ("home", "health"):
        driver.page(page)
        at(page)
        driver.push(NEXT)
    driver.page("model")
    at("model")
    driver.choose(answers.model)
    driver.push(NEXT)
    driver.page("data")
    at("data")
    driver.take_file(answers.file)
    driver.fill("System prompt", answers.system)
    driver.push(NEXT)
    driver.page("check")
    at("check")
    driver.push(NEXT)
    driver.page("plan")
    at("plan")
    driver.choose(driver.say(PRESET_LABELS["advanced"]))
    driver.fill("Keep for test (%)", answers.held_out)
    driver.push(NEXT)
    driver.page("values")
    at("values")
    for label, value in answers.values.items():
        driver.fill(label, value)
    driver.push(NEXT)
    driver.page("result")
    at("result")
    driver.fill("Name of the run", answers.name)
    driver.fill("Name in Ollama", answers.ollama)
    driver.choose(driver.say(answers.gguf))
    driver.push(NEXT)
    driver.page("review")
    at("review")


def to_done(driver: Driver, at: Callable[[str], None] = lambda page: None) -> None:
    """From the review to the last page."""
    driver.page("review")
    driver.push(START)
    driver.page("training")
    at("training")
    driver.push(NEXT)
    driver.page("compare")
    at("compare")
    driver.push("Compare")
    driver.await_button("See answers")
    driver.push(NEXT)
    driver.page("export")
    at("export")
    driver.push("Export now")
    driver.await_button("Export again")
    driver.push(NEXT)
    driver.page("done", WORK_S)
    at("done")


class FullScreen:
    """The full screen."""

    def __init__(self, screen: Screen, language: Language) -> None:
        self.screen, self.language = screen, language

    def say(self, text: str) -> str:
        return catalogue(self.language).say(text)

    # where one is

    def page(self, name: str, seconds: float = PAGE_S) -> None:
        self.screen.wait_until(lambda: self.is_on(name), seconds, f"the page {name}")
        self._settle()
        self.check_frame()

    def is_on(self, name: str) -> bool:
        """Whether the page `name` is shown, drawn to its end."""
        rows = self.screen.text()
        return (
            re.search(rf"\s{re.escape(self.say(TITLES[name]))}\s", rows[0]) is not None and self._has_keys()
        )

    def check_frame(self) -> None:
        """Every line fits: the lines that go from edge to edge do, and nothing stands behind them."""
        with self.screen.frozen() as emulator:
            rows, columns = emulator.rows_of_text(), emulator.columns
        assert wcswidth(rows[0]) == columns - 1, rows[0]
        # The first page asks for the language, and is in English until it has an answer.
        assert rows[0].endswith(("OFFLINE", self.say("OFFLINE"))), rows[0]
        assert set(rows[1]) == {"─"} and len(rows[1]) == columns, rows[1]
        assert any(set(row[:20]) == {"─"} and wcswidth(row) == columns for row in rows[2:]), self.screen
        assert all(wcswidth(row) <= columns for row in rows)

    def _has_keys(self) -> bool:
        return "F1 " in self.screen.text()[-1]

    # what one does

    def push(self, label: str, seconds: float = WORK_S) -> None:
        self.move_to(label, seconds)
        self.press("enter")

    def move_to(self, label: str, seconds: float = WORK_S) -> None:
        """Move to the button `label`, as soon as it can be pressed."""
        self.await_button(label, seconds)
        self._move("tab", rf">{self.button(label)}<")

    def await_button(self, label: str, seconds: float = WORK_S) -> None:
        self.screen.wait_until(lambda: self.sees(self.button(label)), seconds, f"the button {label}")
        self._settle()

    def button(self, label: str) -> str:
        """A pattern for the button `label`, where it can be pressed."""
        return rf"\[ (< )?{re.escape(self.say(label))}( F\d+)?( >)? \]"

    def choose(self, option: str) -> None:
        self.focus_option(option)
        self.press("space")
        self.screen.wait_until(lambda: self.sees(rf"^>\(\*\) .*{re.escape(option)}"), PAGE_S, option)

    def focus_option(self, option: str) -> None:
        """Move to an option without choosing it."""
        self.screen.wait_until(lambda: self.sees(rf"^.\([ *-]\) .*{re.escape(option)}"), PAGE_S, option)
        self._move("tab", r"^>\([ *-]\) ")
        self.press("home")
        self._move("down", rf"^>\([ *-]\) .*{re.escape(option)}")

    def take_file(self, path: Path) -> None:
        self.focus_file(path)
        self.press("enter")
        name = re.escape(path.name)
        taken = re.escape(self.say("[ x  ]"))
        self.screen.wait_until(lambda: self.sees(rf"{taken} {name}"), PAGE_S, f"{path.name} taken")

    def focus_file(self, path: Path) -> None:
        """Move to a file of the list."""
        name = re.escape(path.name)
        self.screen.wait_until(lambda: self.sees(rf"^.\s?\[.*\] {name}"), PAGE_S, path.name)
        self._move("tab", r"^> \[")
        self.press("home")
        self._move("down", rf"^> \[.*\] {name}")

    def fill(self, label: str, value: str) -> None:
        line = rf"^>{re.escape(self.say(label))} +\["
        self._move("tab", line)
        self.press("end", "ctrl+u")
        self.screen.wait_until(lambda: self.sees(rf"{line}\s*\]"), PAGE_S, f"{label} empty")
        self.press(value)
        self.screen.wait_until(
            lambda: self.sees(rf"{line}{re.escape(value)}\s*\]"), PAGE_S, f"{label} = {value}"
        )

    def toggle(self, label: str) -> None:
        """Change a yes or no."""
        name = re.escape(self.say(label))
        before = next(row for row in self.screen.text() if re.search(rf"^.\[[x ]\] {name}", row))
        self._move("tab", rf"^>\[[x ]\] {name}")
        self.press("space")
        self.screen.wait_until(lambda: not self.screen.shows(before[1:]), PAGE_S, f"{label} changed")

    def value(self, label: str) -> str:
        """What stands in the line called `label`."""
        line = rf"^.{re.escape(self.say(label))} +\[(.*?)\s*\]$"
        self._move("tab", line)
        return next(found[1] for row in self.screen.text() if (found := re.search(line, row)))

    def back(self, to: str) -> None:
        """Esc, to the page before, which is called `to`."""
        self.press("esc")
        self.page(to)

    def press(self, *keys: str) -> None:
        """Keys, one after another, each seen before the next."""
        for key in keys:
            self.screen.press(key)
            self._settle()

    def sees(self, pattern: str) -> bool:
        """Whether `pattern` is found on a row of the screen."""
        return any(re.search(pattern, row) for row in self.screen.text())

    def _move(self, key: str, focused: str) -> None:
        """Press `key` until what has the focus looks as `focused` says."""
        for _ in range(40):
            if self.sees(focused):
                return
            before = self._focus()
            self.screen.press(key)
            try:
                self.screen.wait_until(lambda before=before: self._focus() != before, KEY_S)  # type: ignore[misc]
            except AssertionError:
                continue  # nothing to be seen of it, as at the end of a list
            self._settle()
        raise AssertionError(f"{key} leads to nothing like {focused}\n{self.screen}")

    def _focus(self) -> list[tuple[int, str]]:
        """Rows with the mark of what has the focus: what else changes on the screen is no answer to a key."""
        return [(at, row) for at, row in enumerate(self.screen.text()) if re.search(r"^>|\s>(\[|F\d)", row)]

    def _settle(self) -> None:
        self.screen.settle(0.08, 3)


class Lines:
    """The numbered lines."""

    def __init__(self, screen: Screen, language: Language) -> None:
        self.screen, self.language = screen, language
        self._typed_at = 0

    def say(self, text: str) -> str:
        return catalogue(self.language).say(text)

    # where one is

    @property
    def said(self) -> str:
        """Everything that was written so far."""
        return self.screen.raw.decode("utf-8", errors="replace").replace("\r\n", "\n")

    def page(self, name: str, seconds: float = PAGE_S) -> None:
        title = re.escape(self.say(TITLES[name]))
        heading = re.compile(rf"(?m)^(\[\d+/\d+\] )?{title}$")
        self.screen.wait_until(
            lambda: self._heading() is not None and self._is(heading), seconds, f"the page {name}"
        )
        self.check_lines()

    def _heading(self) -> str | None:
        """The last title that was written."""
        titles = "|".join(re.escape(self.say(title)) for title in TITLES.values())
        found = re.findall(rf"(?m)^((?:\[\d+/\d+\] )?(?:{titles}))$", self.said)
        return found[-1] if found else None

    def _is(self, heading: "re.Pattern[str]") -> bool:
        return heading.match(self._heading() or "") is not None

    def check_lines(self) -> None:
        """Every line fits, and nothing but text was written."""
        assert "\x1b" not in self.said
        assert all(wcswidth(line) <= self.screen.emulator.columns for line in self.said.splitlines())

    def prompt(self, seconds: float = PAGE_S) -> str:
        """What is asked now, as soon as something is; with everything written since the last answer."""
        self.screen.wait_until(self._asks, seconds, "a question")
        return self.said[self._typed_at :]

    def _asks(self) -> bool:
        said = self.said
        return len(said) > self._typed_at and re.search(r"[:：] \Z", said[self._typed_at :]) is not None

    def answer(self, text: str) -> None:
        """Type a line; what it leads to is waited for by whoever looks next."""
        before = len(self.said)
        self.screen.send(f"{text}\n".encode())
        self.screen.wait_until(lambda: "\n" in self.said[before:], PAGE_S, "the line that was typed")
        self._typed_at = self.said.index("\n", before) + 1

    # what one does

    def fill(self, label: str, value: str) -> None:
        self._come_to(lambda asked: asked.splitlines()[-1].startswith(self.say(label)))
        self.answer(value)

    def choose(self, option: str) -> None:
        self._come_to(lambda asked: self._number(option, asked) != "")
        self.answer(self._number(option, self.prompt()))

    def take_file(self, path: Path) -> None:
        self.choose(path.name)
        self.prompt()
        self.answer(".")

    def push(self, label: str, seconds: float = WORK_S) -> None:
        self._come_to(lambda asked: self._button(label, asked) != "", seconds)
        self.answer(self._button(label, self.prompt()))

    def await_button(self, label: str, seconds: float = WORK_S) -> None:
        self._come_to(lambda asked: self._button(label, asked) != "", seconds)

    def _come_to(self, is_it: Callable[[str], bool], seconds: float = PAGE_S) -> None:
        """Take what stands there (Enter) until `is_it` says so of what is asked."""
        for _ in range(30):
            asked = self.prompt(seconds)
            if is_it(asked):
                return
            assert self.say("Save and leave") not in asked, f"no such question\n{self.said[-3000:]}"
            self.answer("")
        raise AssertionError(f"no such question\n{self.said[-3000:]}")

    def _button(self, label: str, asked: str) -> str:
        """The number of an action that is offered and can be taken now."""
        found = re.findall(rf"(?m)^ *(\d+)\) {re.escape(self.say(label))}$", asked)
        return found[-1] if found else ""

    def _number(self, option: str, asked: str) -> str:
        found = re.findall(rf"(?m)^ *(\d+)\) .*{re.escape(option)}", asked)
        return found[-1] if found else ""


def leave(driver: Driver) -> int:
    """Leave by the button; the exit code."""
    driver.push("Save and leave")
    return driver.screen.wait(PAGE_S)


def kill_group(screen: Screen) -> None:
    """End the front as a closed session does not: at once."""
    os.kill(screen.process.pid, 9)
    screen.process.wait(10)
