"""Every screen on a newcomer's way, from the first check to the last farewell, held to tests/golden/.

A person at a terminal in a box without a network; numbers, hashes, dates and paths stand as words. After a
change of words that is meant, write them anew, then read what git shows:

    ISLET_GOLDEN=write .venv/bin/python -m pytest tests/test_site_screens.py
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import golden_files
from tests.bundles import INSTALLER
from tests.real import BOX_ENVIRONMENT, RealBundle, box_command, scratch
from tests.screen import Screen

COLUMNS, ROWS = 400, 150
"""So wide that no path wraps, so high that nothing scrolls away."""
PATIENCE_S = 120.0


class Person:
    """Types commands in a box, answers, and compares what is seen with what was seen before."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self.differing: list[str] = []

    def types(self, name: str, command: list[str | Path], *answers: tuple[str, str], code: int = 0) -> None:
        """Run a command; each answer waits for the end of its question.

        name: of the golden file
        """
        env = {**BOX_ENVIRONMENT, "TERM": "xterm", "LANG": "C.UTF-8"}
        with Screen(box_command(command), COLUMNS, ROWS, env) as screen:
            for question, answer in answers:
                screen.wait_for(question, PATIENCE_S)
                screen.press(answer, "enter")
            ended = screen.wait(PATIENCE_S)
            seen = "\n".join(row.rstrip() for row in screen.text()).rstrip() + "\n"
        assert ended == code, seen
        self.differing += golden_files.differences(
            name, seen, {self._place: "PLACE", INSTALLER.parent: "HERE"}
        )


@pytest.fixture
def place() -> Iterator[Path]:
    with scratch("screens") as folder:
        yield folder


@pytest.mark.slow
def test_every_screen_of_the_site_is_as_it_was(
    small_bundle: RealBundle, small_delta: RealBundle, place: Path
) -> None:
    prefix, islet = place / "opt", place / "opt/bin/islet"
    install: list[str | Path] = ["sh", INSTALLER, "--prefix", prefix, "--state", place / "state"]
    for name, bundle in (("disk-1", small_bundle), ("disk-2", small_delta)):
        shutil.copytree(bundle.folder, place / name)
    chinese: list[str | Path] = [islet, "--lang", "zh_CN"]
    person = Person(place)
    person.types("01-check", [*install, "--check", place / "disk-1"], ("go on:", "same"))
    person.types("02-not-the-sheet", [*install, place / "disk-1"], ("go on:", "no"), code=3)
    person.types("03-install", [*install, place / "disk-1"], ("go on:", "same"))
    person.types("04-inventory", [islet, "inventory"])
    person.types("04-inventory.zh_CN", [*chinese, "inventory"])
    person.types("05-upgrade-check", [islet, "install", place / "disk-2", "--check"])
    person.types("06-upgrade.zh_CN", [*chinese, "install", place / "disk-2"], ("吗？", "n"))
    person.types("06-upgrade", [islet, "install", place / "disk-2"], ("Install it?", "y"))
    person.types("07-rollback.zh_CN", [*chinese, "rollback"], ("吗？", "n"))
    person.types("07-rollback", [islet, "rollback"], ("Go back?", "y"))
    person.types("08-older", [islet, "install", place / "disk-1"], code=3)
    person.types("08-older.zh_CN", [*chinese, "install", place / "disk-1"], code=3)
    older: list[str | Path] = ["--accept", "older", "--reason", "ward 7 asks for it"]
    person.types("09-accepted", [islet, "install", place / "disk-1", *older], ("Install it?", "y"))
    person.types("10-again", [islet, "install", place / "disk-2", "--yes"])
    person.types("11-gc.zh_CN", [*chinese, "gc", "--keep", "0"], ("吗？", "n"))
    person.types("11-gc", [islet, "gc", "--keep", "0"], ("Remove it?", "y"))
    person.types("12-nothing-to-go-back-to", [islet, "rollback"], code=5)
    person.types("13-backup", [islet, "backup", place / "backup"])
    person.types("14-restore-check", [islet, "restore", place / "backup", "--check"])
    person.types("14-restore-check.zh_CN", [*chinese, "restore", place / "backup", "--check"])
    person.types("15-audit", [islet, "audit", "show"])
    person.types("15-audit.zh_CN", [*chinese, "audit", "show"])
    person.types("16-uninstall", [islet, "uninstall"], ("this box?", "n"))
    person.types("16-uninstall.zh_CN", [*chinese, "uninstall"], ("吗？", "y"))
    assert not prefix.exists() and (place / "state/audit.jsonl").is_file()
    assert person.differing == [], "\n\n".join(person.differing)
