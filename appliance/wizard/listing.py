"""Choosing files by numbers: a folder's listing, what is chosen so far, and what typed text does to them."""

import re
from dataclasses import dataclass, field
from pathlib import Path

from appliance.errors import ApplianceError
from appliance.locale import Catalogue
from appliance.locale import catalogue as find_catalogue
from appliance.progress import amount_text
from appliance.sentence import say
from appliance.wizard.cells import one_line, wrap
from appliance.wizard.draw import text_lines
from appliance.wizard.files import Entry, expanded, file_problem, is_file, is_folder, list_folder, mounts
from appliance.wizard.page import Table
from appliance.wizard.typed import normal

NUMBERS = re.compile(r"\d{1,9}(\s*[-,、 ]\s*\d{1,9})*")
"""One number or several: `3`, `1,3`, `2-5`."""


@dataclass
class Listing:
    """One folder on the way to the files."""

    folder: Path
    chosen: tuple[str, ...]
    """Paths, in the order they were chosen."""
    most: int = 20
    """Entries shown at a time."""
    start: int = 0
    entries: tuple[Entry, ...] = field(default=(), init=False)
    elsewhere: tuple[Path, ...] = field(default=(), init=False)
    """Mounted disks, which are numbered behind the entries."""

    def open(self, folder: Path) -> str:
        """Go to `folder`; returns what is wrong, if it cannot be opened."""
        try:
            self.entries = list_folder(folder)
        except ApplianceError as error:
            return error.what
        self.folder, self.start = folder, 0
        self.elsewhere = tuple(mount for mount in mounts() if mount != folder)
        return ""

    def lines(self, catalogue: Catalogue, width: int) -> list[str]:
        """The listing, numbered, and what is chosen."""
        shown = self.entries[self.start : self.start + self.most]
        rows: list[tuple[str, ...]] = []
        if self.start == 0:
            rows.append(("1)", catalogue.say(say("[folder]")), "..", "", ""))
        rows += [self._row(number, entry, catalogue) for number, entry in enumerate(shown, self.start + 2)]
        left = len(self.entries) - self.start - len(shown)
        if left == 0:
            rows += [
                (f"{number})", catalogue.say(say("[disk]")), one_line(str(path)), "", "")
                for number, path in enumerate(self.elsewhere, len(self.entries) + 2)
            ]
        lines = wrap(catalogue.say(say("Folder: {folder}", folder=one_line(str(self.folder)))), width)
        table = Table(("",) * 5, tuple(rows), frozenset({0}))
        lines += text_lines(table, find_catalogue("en"), width=width, plain=True)  # names are not translated
        if left:
            lines += wrap(catalogue.say(say("{count} more: type +", count=left)), width)
        return [*lines, *self._chosen_lines(catalogue, width)]

    def take(self, typed: str) -> str:
        """Do what was typed: numbers, `+`, or a path. Returns what is wrong, or nothing."""
        text = normal(typed)
        if text == "+":
            self.start = self.start + self.most if self.start + self.most < len(self.entries) else 0
            return ""
        if NUMBERS.fullmatch(text):
            return self._take_numbers(text)
        return self._take_path(typed.strip())

    def _row(self, number: int, entry: Entry, catalogue: Catalogue) -> tuple[str, ...]:
        modified = entry.modified.strftime("%Y-%m-%d %H:%M") if entry.modified else ""
        if entry.is_folder:
            return (f"{number})", catalogue.say(say("[folder]")), f"{entry.name}/", "", modified)
        state = "[x]" if str(entry.path) in self.chosen else "[ ]"
        size = amount_text(entry.size, "B")
        return (
            f"{number})",
            "" if entry.problem else state,
            entry.name,
            size,
            catalogue.say(entry.problem) or modified,
        )

    def _chosen_lines(self, catalogue: Catalogue, width: int) -> list[str]:
        if not self.chosen:
            return wrap(catalogue.say(say("Nothing is chosen yet.")), width)
        lines = wrap(catalogue.say(say("Chosen files: {count}", count=len(self.chosen))), width)
        return lines + [f"  {line}" for path in self.chosen for line in wrap(one_line(path), width - 2)]

    def _take_numbers(self, text: str) -> str:
        numbers = _numbers(text)
        last = len(self.entries) + len(self.elsewhere) + 1
        wrong = next((str(number) for number in numbers if not 1 <= number <= last), "")
        if wrong:
            return say('"{typed}" is not one of {numbers}.', typed=wrong, numbers=f"1-{last}")
        if folder := next((each for number in numbers if (each := self._folder(number))), None):
            if len(numbers) > 1:
                return say("Open a folder by its number alone.")
            return self.open(folder)
        entries = [self.entries[number - 2] for number in numbers]
        if bad := next((entry for entry in entries if entry.problem), None):
            return say("{name} cannot be chosen: {problem}.", name=bad.name, problem=bad.problem)
        for entry in entries:
            self._toggle(entry.path)
        return ""

    def _folder(self, number: int) -> Path | None:
        """The folder behind a number, when it is one."""
        if number == 1:
            return self.folder.parent
        if number > len(self.entries) + 1:
            return self.elsewhere[number - len(self.entries) - 2]
        entry = self.entries[number - 2]
        return entry.path if entry.is_folder else None

    def _take_path(self, typed: str) -> str:
        path = self.folder / expanded(typed)
        if is_folder(path):
            return self.open(path.resolve())
        if not is_file(path):
            return say("There is no file or folder {path}.", path=one_line(typed))
        if str(path) not in self.chosen and (problem := file_problem(path)):
            return say("{name} cannot be chosen: {problem}.", name=one_line(typed), problem=problem)
        self._toggle(path)
        return ""

    def _toggle(self, path: Path) -> None:
        text = str(path)
        if text in self.chosen:
            self.chosen = tuple(each for each in self.chosen if each != text)
        else:
            self.chosen = (*self.chosen, text)


def _numbers(text: str) -> list[int]:
    """`1,3` and `2-5` as numbers, each once; a range is at most a thousand."""
    numbers: list[int] = []
    for part in re.split(r"[,、 ]+", re.sub(r"\s*-\s*", "-", text)):
        first, _, last = part.partition("-")
        ends = (int(first), int(last.rpartition("-")[2] or first))
        numbers += range(ends[0], min(ends[1], ends[0] + 1000) + 1) or [ends[0]]
    return list(dict.fromkeys(numbers))
