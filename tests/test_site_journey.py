"""A newcomer's way with README.md, the anchor sheet and two disks, in a clean Debian without a network.

One person at one terminal: compares the hashes, checks, installs, upgrades by a delta, goes back, shows the
audit log and uninstalls. What is seen is held to tests/golden/journey/ (how to write it anew stands in
tests/golden_files.py), and every system call that could name an address is recorded.
"""

import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.trace import CALLS, connects
from tests import golden_files
from tests.clean_root import ENVIRONMENT, CleanBox, debian_root
from tests.real import RealBundle, bundler
from tests.screen import Screen

pytestmark = pytest.mark.xdist_group("clean systems")  # one clean Debian, made once
COLUMNS, ROWS = 400, 150
"""So wide that no path wraps, so high that nothing scrolls away."""
PATIENCE_S = 120.0
PROMPT, CHINESE = "box#", "LANG=zh_CN.UTF-8"
README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


class Newcomer:
    """Types into one shell that stays, and compares what is seen with what was seen before."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self.differing: list[str] = []

    def types(self, name: str, line: str, *answers: tuple[str, str], code: int = 0) -> str:
        """One command; each answer waits for its question. What is seen of it.

        name: of the golden file; "" compares nothing
        """
        self._screen.emulator.reset()
        self._screen.press(line, "enter")
        for question, answer in answers:
            self._screen.wait_for(question, PATIENCE_S)
            self._screen.press(answer, "enter")
        rows = self._until_prompt()
        assert rows[-1] == f"{code} {PROMPT}", "\n".join(rows)
        seen = "\n".join(rows[:-1]) + "\n"
        if name:
            self.differing += golden_files.differences(f"journey/{name}", seen, {})
        return seen

    def _until_prompt(self) -> list[str]:
        end = time.monotonic() + PATIENCE_S
        while True:
            rows = [row.rstrip() for row in self._screen.text()]
            while rows and not rows[-1]:
                rows.pop()
            if rows and re.fullmatch(rf"\d+ {PROMPT}", rows[-1]):
                return rows
            assert time.monotonic() < end, "\n".join(rows)
            time.sleep(0.05)


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    return tmp_path / "trace"


@pytest.fixture
def newcomer(
    small_bundle: RealBundle, small_delta: RealBundle, trace: Path, tmp_path: Path
) -> Iterator[Newcomer]:
    """At the prompt of a root shell in the clean system; the disks are at /media/disk and /media/disk-2."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed here")
    layers = tmp_path / "layers"
    layers.mkdir()
    box = CleanBox(debian_root(), layers, small_bundle.folder)
    shell = box.command("cd; rm -f install.sh root.1; exec sh -i", second=small_delta.folder)
    watch = ["strace", "-f", "--seccomp-bpf", "-qq", "-e", "signal=none", "-e", f"trace={CALLS}", "-o", trace]
    env = {**ENVIRONMENT, "TERM": "xterm", "PS1": f"$? {PROMPT} "}
    with Screen([*watch, *shell], COLUMNS, ROWS, env) as screen:
        screen.wait_for(PROMPT, PATIENCE_S)
        yield Newcomer(screen)


def sheet_hashes(sheet: str) -> dict[str, str]:
    """SHA-256 by file, as the two people read them from the sheet: groups of eight."""
    found = re.findall(r"^  (install\.sh|root\.1)\n((?: {6}[0-9a-f ]+\n){2})", sheet, re.MULTILINE)
    return {name: " ".join(groups.split()) for name, groups in found}


@pytest.mark.slow
def test_a_newcomer_with_readme_sheet_and_disk_goes_the_whole_way(
    newcomer: Newcomer, small_bundle: RealBundle, trace: Path
) -> None:
    for words in ("cp /media/disk/install.sh /media/disk/root.1 .", "sha256sum install.sh root.1"):
        assert words in README
    sheet = sheet_hashes(bundler("anchor", small_bundle.folder))
    go = newcomer.types
    go("01-copy", "cp /media/disk/install.sh /media/disk/root.1 .")
    hashes = go("02-compare", "sha256sum install.sh root.1")
    for name, groups in sheet.items():
        assert f"{groups.replace(' ', '')}  {name}" in hashes
    install = f'sh install.sh --anchor "{sheet["root.1"]}"'
    go("03-not-the-disk", f"{install} --check /media", code=6)
    go("03-check", f"{install} --check /media/disk")
    wrong = install.replace(sheet["root.1"][:8], "00000000")
    go("04-another-sheet", f"{wrong} /media/disk", code=3)
    go("05-install", f"{install} /media/disk")
    go("", 'PATH="$PATH:/opt/islet/bin"')
    go("06-not-the-disk.zh_CN", f"{CHINESE} islet install /media", code=6)
    go("06-upgrade-check", "islet install /media/disk-2 --check")
    go("07-upgrade.zh_CN", f"{CHINESE} islet install /media/disk-2", ("吗？", "n"))
    go("07-upgrade", "islet install /media/disk-2", ("Install it?", "y"))
    go("08-inventory", "islet inventory")
    go("09-rollback.zh_CN", f"{CHINESE} islet rollback", ("吗？", "n"))
    go("09-rollback", "islet rollback", ("Go back?", "y"))
    go("10-audit", "islet audit show")
    go("11-audit-verify.zh_CN", f"{CHINESE} islet audit verify")
    go("12-uninstall.zh_CN", f"{CHINESE} islet uninstall", ("吗？", "n"))
    go("12-uninstall", "islet uninstall", ("this box?", "y"))
    assert "audit.jsonl" in go("", "ls /opt /var/lib/islet")
    assert newcomer.differing == [], "\n\n".join(newcomer.differing)
    check_silent(newcomer, trace)


def check_silent(newcomer: Newcomer, trace: Path) -> None:
    """Nothing tried to reach anything but this box, and the trace would have seen it."""
    newcomer.types("", "bash -c 'exec 3<>/dev/tcp/127.0.0.1/9'", code=1)
    outside, loopback = connects(trace)
    assert (dict(outside), loopback) == ({}, 1)
    families = set(re.findall(r"sa_family=(\w+)", trace.read_text(encoding="utf-8", errors="replace")))
    assert families <= {"AF_INET", "AF_UNIX", "AF_NETLINK"}  # netlink: `ip`, which makes the box
