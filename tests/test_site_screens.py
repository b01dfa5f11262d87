"""Every screen on a newcomer's way, from the first check to the last farewell, held to tests/golden/.

A person at a terminal in a box without a network; numbers, hashes, dates and paths stand as words. After a
change of words that is meant, write them anew, then read what git shows:

    ISLET_GOLDEN=write .venv/bin/python -m pytest tests/test_site_screens.py
"""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bundles import INSTALLER
from tests.real import BOX_ENVIRONMENT, RealBundle, box_command, bundler, scratch
from tests.screen import Screen

GOLDEN = Path(__file__).parent / "golden"
WRITE = os.environ.get("ISLET_GOLDEN") == "write"
COLUMNS, ROWS = 400, 150
"""So wide that no path wraps, so high that nothing scrolls away."""
PATIENCE_S = 120.0


@pytest.fixture(scope="module")
def delta(small_bundle: RealBundle) -> RealBundle:
    """Release 2 as a delta: other rows, everything else as in release 1."""
    folder = small_bundle.manifest.parent.with_name("rows")
    folder.mkdir()
    manifest, out = folder / "bundle.toml", folder / "delta"
    shutil.copyfile(small_bundle.manifest, manifest)
    (folder / "rows.jsonl").write_text('{"prompt": "1 + 2?", "completion": "3"}\n', encoding="utf-8")
    again = RealBundle(out, manifest, small_bundle.roots, small_bundle.key, small_bundle.hub)
    cache = again.build_command(out)[again.build_command(out).index("--cache") + 1]
    bundler("lock", manifest, "--cache", cache, "--hub", small_bundle.hub)
    bundler(*again.build_command(out, 2)[1:], "--base", small_bundle.folder)
    bundler("sign", out, "--key", small_bundle.key, "--roots", small_bundle.roots, "--yes")
    return again


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
        found = self._normal(seen)
        path = GOLDEN / f"{name}.txt"
        if WRITE:
            path.write_text(found, encoding="utf-8")
        elif not path.is_file() or path.read_text(encoding="utf-8") != found:
            self.differing.append(f"{path.name}:\n{found}")

    def _normal(self, seen: str) -> str:
        for path, word in ((self._place, "PLACE"), (INSTALLER.parent, "HERE")):
            seen = seen.replace(str(path), word)
        for pattern, word in NORMAL:
            seen = re.sub(pattern, word, seen)
        return seen


WRONG = r"(?:^(?:WRONG|异常) .*\n(?: +(?:why|next|原因|处理办法|下一步)[:：].*\n)*)"
"""A finding that is not good, with its lines below."""
NORMAL = (
    (r"\b[0-9a-f]{64}\b|(?:\b[0-9a-f]{8} ){7}[0-9a-f]{8}\b", "SHA256"),
    (r"\b[0-9a-f]{16}\b", "KEYID"),
    (r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z", "TIME"),
    (r"\d{4}-\d{2}-\d{2}", "DATE"),
    (r"\b\d+(\.\d+)? (B|kB|MB|GB|TB)\b", "N bytes"),
    (r"\b\d+(\.\d+)? s\b", "N s"),
    (r"\b\d+ (files|wheels|stored files|entries)\b", r"N \1"),
    (r"\d+ 个", "N 个"),
    (r"(TIME) +\d+ ", r"\1  N "),
    (r"(?m)^TIME \S+", "TIME WHO"),
    (r"(?<=\S) {2,}", "  "),
    (rf"(?m){WRONG}*^(good|正常) .*\n({WRONG}|^(good|正常) .*\n)*", "WHAT WAS FOUND ON THE BOX\n"),
    (rf"(?m){WRONG}", ""),  # an installation tells what is wrong with this machine, and nothing else of it
)
"""What differs from machine to machine and from day to day, and the word that stands for it."""


@pytest.fixture
def place() -> Iterator[Path]:
    with scratch("screens") as folder:
        yield folder


@pytest.mark.slow
def test_every_screen_of_the_site_is_as_it_was(
    small_bundle: RealBundle, delta: RealBundle, place: Path
) -> None:
    prefix, islet = place / "opt", place / "opt/bin/islet"
    install: list[str | Path] = ["sh", INSTALLER, "--prefix", prefix, "--state", place / "state"]
    for name, bundle in (("disk-1", small_bundle), ("disk-2", delta)):
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
