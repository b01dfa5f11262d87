"""The table of terminals: each gets the front that suits it, and is left as it was."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from appliance.errors import BadInput
from appliance.wizard.terminal import Display, Facts, Widths, judge, look_at_terminal
from tests.screen import Screen

ROOT = Path(__file__).parents[1]

FULL = Display("full", plain=False, chinese=True, colour=True, slow=False)
GREY = Display("full", plain=False, chinese=True, colour=False, slow=False)
PLAIN = Display("full", plain=True, chinese=True, colour=True, slow=False)
PLAIN_ENGLISH = Display("full", plain=True, chinese=False, colour=True, slow=False)
LINE = Display("line", plain=True, chinese=True, colour=False, slow=False)
LINE_ENGLISH = Display("line", plain=True, chinese=False, colour=False, slow=False)
SERIAL = Display("line", plain=True, chinese=True, colour=False, slow=True)

LOOK = """
import json, os, sys, termios
from dataclasses import asdict
from appliance.errors import ApplianceError
from appliance.wizard.terminal import ensure_utf8, look_at_terminal
out, ui = sys.argv[1:]
ensure_utf8()
before = termios.tcgetattr(0) if os.isatty(0) else None
found = {"pid": os.getpid(), "names": sys.getfilesystemencoding(), "said": sys.stdout.encoding}
try:
    found["display"] = asdict(look_at_terminal(ui))
except ApplianceError as error:
    found["error"], found["code"] = str(error), error.exit_code
found["as_before"] = before is None or termios.tcgetattr(0) == before
json.dump(found, open(out, "w", encoding="utf-8"), default=repr)
"""


def environment(**changes: str | None) -> dict[str, str]:
    """This process's environment without what speaks of its terminal, and with `changes` (None: unset)."""
    about = ("TERM", "LANG", "LC_ALL", "LC_CTYPE", "NO_COLOR", "ACCESSIBLE", "PYTHONUTF8", "PYTHONIOENCODING")
    kept = {name: value for name, value in os.environ.items() if name not in about}
    wanted = {"TERM": "xterm-256color", "LANG": "C.UTF-8", "PYTHONPATH": str(ROOT), **changes}
    return kept | {name: value for name, value in wanted.items() if value is not None}


def look_in(out: Path, env: Mapping[str, str], ui: str = "auto", **terminal: Any) -> tuple[Any, Screen]:
    """What a program finds in such a terminal, and the terminal, after its end."""
    with Screen([sys.executable, "-c", LOOK, out, ui], env=env, cwd=ROOT, **terminal) as screen:
        code = screen.wait(30)
    assert code == 0, str(screen)
    return json.loads(out.read_text()), screen


# name: (environment, terminal, what it gets)
TERMINALS: dict[str, tuple[dict[str, str | None], dict[str, Any], Display]] = {
    "xterm-256color": ({}, {}, FULL),
    "a big window": ({}, {"columns": 120, "rows": 40}, FULL),
    "tmux": ({"TERM": "tmux-256color"}, {}, FULL),
    "screen": ({"TERM": "screen"}, {}, FULL),
    "NO_COLOR": ({"NO_COLOR": "1"}, {}, GREY),
    "NO_COLOR that is empty": ({"NO_COLOR": ""}, {}, FULL),
    "LANG=C": ({"LANG": "C"}, {}, FULL),
    "no locale at all": ({"LANG": None}, {}, FULL),
    "POSIX, with Python's UTF-8 mode off": (
        {"LANG": None, "LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {},
        FULL,
    ),
    "a locale of another encoding": ({"LANG": "zh_CN.GB18030"}, {}, PLAIN_ENGLISH),
    "the Linux console": ({"TERM": "linux"}, {}, PLAIN_ENGLISH),
    "one that draws ambiguous characters wide": ({}, {"ambiguous": 2}, PLAIN),
    "one that takes UTF-8 for Latin-1": ({}, {"encoding": "latin-1"}, PLAIN_ENGLISH),
    "one that never answers": ({}, {"answers": False}, PLAIN_ENGLISH),
    "vt100": ({"TERM": "vt100"}, {}, LINE),
    "vt220, as getty says on serial lines": ({"TERM": "vt220"}, {}, LINE),
    "dumb": ({"TERM": "dumb"}, {}, LINE),
    "TERM unset": ({"TERM": None}, {}, LINE),
    "TERM unknown": ({"TERM": "unknown"}, {}, LINE),
    "a small window": ({}, {"columns": 60, "rows": 20}, LINE),
    "a low window": ({}, {"columns": 80, "rows": 22}, LINE),
    "one that does not know its size": ({}, {"columns": 0, "rows": 0}, LINE),
    "a screen reader": ({"ACCESSIBLE": "1"}, {}, LINE),
    "ACCESSIBLE=0": ({"ACCESSIBLE": "0"}, {}, FULL),
}


@pytest.mark.parametrize("name", TERMINALS)
def test_a_terminal_gets_the_front_that_suits_it_and_is_left_as_it_was(name: str, tmp_path: Path) -> None:
    env, terminal, expected = TERMINALS[name]
    found, screen = look_in(tmp_path / "found", environment(**env), **terminal)
    assert found["display"] == asdict(expected)
    assert found["as_before"]
    assert not any(screen.text()), str(screen)
    assert (screen.emulator.cursor.x, screen.emulator.cursor.y) == (0, 0)
    if expected.front == "line":
        assert screen.raw == b""


@pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")
def test_a_real_tmux_gets_the_full_screen(tmp_path: Path) -> None:
    found = tmp_path / "found"
    inner = [sys.executable, "-c", LOOK, found, "auto"]
    # A server of its own, without a status line, which would leave 23 of 24 rows.
    tmux = ["tmux", "-u", "-S", tmp_path / "socket", "-f", "/dev/null"]
    command = [*tmux, "set", "-g", "status", "off", ";", "new-session", *inner]
    with Screen(command, env=environment(), cwd=ROOT) as screen:
        assert screen.wait(30) == 0, str(screen)
    assert json.loads(found.read_text())["display"] == asdict(FULL)


# name: (--ui, environment, terminal, what it gets)
ASKED_FOR: dict[str, tuple[str, dict[str, str | None], dict[str, Any], Display]] = {
    "lines in a good terminal": ("line", {}, {}, LINE),
    "ASCII in a good terminal": ("plain", {}, {}, PLAIN),
    "full on the Linux console": (
        "full",
        {"TERM": "linux"},
        {},
        Display("full", plain=False, chinese=False, colour=True, slow=False),
    ),
    "full where TERM is dumb": ("full", {"TERM": "dumb"}, {}, GREY),
    "full where ambiguous characters are wide": ("full", {}, {"ambiguous": 2}, FULL),
    "full in a small window": ("full", {}, {"columns": 60, "rows": 20}, FULL),
    "plain for a screen reader": ("plain", {"ACCESSIBLE": "1"}, {}, PLAIN),
    "plain on a vt220": (
        "plain",
        {"TERM": "vt220"},
        {},
        Display("full", plain=True, chinese=True, colour=False, slow=False),
    ),
}


@pytest.mark.parametrize("name", ASKED_FOR)
def test_what_is_asked_for_goes_before_what_is_seen(name: str, tmp_path: Path) -> None:
    ui, env, terminal, expected = ASKED_FOR[name]
    found, screen = look_in(tmp_path / "found", environment(**env), ui, **terminal)
    assert found["display"] == asdict(expected)
    assert found["as_before"]
    assert not any(screen.text())


def look_in_a_pipe(out: Path, ui: str, **changes: str | None) -> tuple[Any, bytes]:
    """What a program finds whose input and output are pipes, and what it wrote."""
    done = subprocess.run(
        [sys.executable, "-c", LOOK, out, ui], input=b"", capture_output=True, env=environment(**changes)
    )
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(out.read_text()), done.stdout + done.stderr


@pytest.mark.parametrize("ui", ["auto", "line"])
def test_a_pipe_gets_lines_and_no_escape_code(ui: str, tmp_path: Path) -> None:
    found, written = look_in_a_pipe(tmp_path / "found", ui)
    assert found["display"] == asdict(LINE)
    assert written == b""


def test_a_pipe_gets_chinese_in_utf8_whatever_the_locale(tmp_path: Path) -> None:
    env = {"LANG": None, "LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    found, _ = look_in_a_pipe(tmp_path / "found", "auto", **env)
    assert found["display"] == asdict(LINE)
    assert (found["said"], found["names"]) == ("utf-8", "utf-8")


def test_a_full_screen_whose_errors_go_to_a_file_is_lines(tmp_path: Path) -> None:
    command = ["sh", "-c", 'exec "$@" 2>"$0"', tmp_path / "errors", sys.executable, "-c", LOOK]
    with Screen([*command, tmp_path / "found", "auto"], env=environment(), cwd=ROOT) as screen:
        assert screen.wait(30) == 0
    assert json.loads((tmp_path / "found").read_text())["display"] == asdict(LINE)


@pytest.mark.parametrize("ui", ["full", "plain"])
def test_refuses_a_full_screen_without_a_terminal(ui: str, tmp_path: Path) -> None:
    found, written = look_in_a_pipe(tmp_path / "found", ui)
    assert found["code"] == 5
    assert found["error"] == (
        "A full screen needs a terminal.\n"
        "why: Input, output or error output goes to a file or to another program.\n"
        "next: Run it in a terminal without redirecting, or use --ui line."
    )
    assert written == b""


def test_refuses_a_way_of_showing_that_there_is_not() -> None:
    with pytest.raises(BadInput, match='that is called "fancy"'):
        look_at_terminal("fancy")


# The same judgement where no pseudo-terminal can be: real devices.

DEVICES: dict[str, tuple[Facts, Widths | None, Display]] = {
    "a serial line": (Facts(device="/dev/ttyS0"), Widths(2, 1), SERIAL),
    "a serial adapter": (Facts(device="/dev/ttyUSB1", term="vt220"), Widths(2, 1), SERIAL),
    "an ARM serial line": (Facts(device="/dev/ttyAMA0"), Widths(2, 1), SERIAL),
    "a hypervisor's console": (Facts(device="/dev/hvc0"), Widths(2, 1), SERIAL),
    "the system console": (Facts(device="/dev/console"), Widths(2, 1), SERIAL),
    "a Linux console that says xterm": (
        Facts(device="/dev/tty1", is_console=True),
        Widths(2, 1),
        PLAIN_ENGLISH,
    ),
    "a Linux console with a screen reader": (
        Facts(device="/dev/tty1", is_console=True, accessible=True),
        Widths(2, 1),
        LINE_ENGLISH,
    ),
    "one that draws nothing for Chinese": (Facts(), Widths(0, 1), PLAIN_ENGLISH),
    "one that draws Chinese in one cell": (Facts(), Widths(1, 1), PLAIN_ENGLISH),
    "a monochrome one": (Facts(term="xterm-mono"), Widths(2, 1), GREY),
}


@pytest.mark.parametrize("name", DEVICES)
def test_a_device_gets_the_front_that_suits_it(name: str) -> None:
    facts, widths, expected = DEVICES[name]
    assert judge(facts, lambda: widths) == expected


def test_a_full_screen_can_be_asked_for_on_a_serial_line_and_redraws_seldom() -> None:
    shown = judge(Facts(device="/dev/ttyS0", term="vt220"), lambda: Widths(2, 1), "plain")
    assert shown == Display("full", plain=True, chinese=True, colour=False, slow=True)


# What a person types while the terminal is asked

TYPING = """
import json, sys, termios
from appliance.wizard.terminal import measure
out, puts_back, timeout_s = sys.argv[1], sys.argv[2] == "yes", float(sys.argv[3])
before = termios.tcgetattr(0)
print("begin>", end="", flush=True)
while not open(out + ".go").read(): pass
try:
    widths = measure(0, 1, puts_back=puts_back, timeout_s=timeout_s)
except KeyboardInterrupt:
    widths = "interrupted"
as_before = termios.tcgetattr(0) == before
line = sys.stdin.readline() if widths != "interrupted" else ""
json.dump({"widths": widths, "as_before": as_before, "line": line}, open(out, "w"))
"""


class Typist(Screen):
    """A terminal at which a person types while it answers."""

    typed = b""

    def _answer(self, data: str) -> None:
        self.send(self.typed)
        super()._answer(data)


def start_typing(folder: Path, *, puts_back: bool, timeout_s: float = 30, **terminal: Any) -> Typist:
    """A program that waits for the word to measure, and reads a line afterwards."""
    (folder / "found.go").write_text("")
    words = [folder / "found", "yes" if puts_back else "no", str(timeout_s)]
    screen = Typist([sys.executable, "-c", TYPING, *words], env=environment(), cwd=ROOT, **terminal)
    screen.wait_for("begin>", 30)
    return screen


def go(folder: Path) -> None:
    """Give the word."""
    (folder / "found.go").write_text("go")


def cannot_put_back() -> bool:
    """Whether this machine forbids what gives typed keys back."""
    setting = Path("/proc/sys/dev/tty/legacy_tiocsti")
    return setting.exists() and setting.read_text().strip() == "0" and os.geteuid() != 0


@pytest.mark.skipif(cannot_put_back(), reason="dev.tty.legacy_tiocsti=0")
def test_keys_typed_while_the_terminal_is_asked_are_read_later_and_not_echoed(tmp_path: Path) -> None:
    with start_typing(tmp_path, puts_back=True) as screen:
        screen.typed = "否x".encode()
        go(tmp_path)
        screen.wait_until(lambda: screen.raw.endswith(b"\x1b8\x1b[K"))
        screen.press("enter")
        screen.wait(30)
    found = json.loads((tmp_path / "found").read_text())
    assert found == {"widths": [2, 1], "as_before": True, "line": "否x否x否x\n"}
    assert screen.text()[0] == "begin>"


def test_where_keys_cannot_be_put_back_a_typed_one_is_worth_more_than_the_answer(tmp_path: Path) -> None:
    with start_typing(tmp_path, puts_back=False) as screen:
        screen.press("1", "enter")
        screen.wait_for("begin>1")
        go(tmp_path)
        screen.wait(30)
    found = json.loads((tmp_path / "found").read_text())
    assert found == {"widths": [2, 1], "as_before": True, "line": "1\n"}
    assert b"\x1b" not in screen.raw


def test_ctrl_c_while_the_terminal_is_asked_leaves_its_settings_as_they_were(tmp_path: Path) -> None:
    with start_typing(tmp_path, puts_back=True, answers=False) as screen:
        go(tmp_path)
        screen.wait_until(lambda: b"\x1b[6n" in screen.raw)
        screen.press("ctrl+c")
        screen.wait(30)
    found = json.loads((tmp_path / "found").read_text())
    assert found == {"widths": "interrupted", "as_before": True, "line": ""}


# UTF-8, whatever the locale says

SPEAKS = """
import json, os, sys
started = os.getpid()
from appliance.wizard.terminal import ensure_utf8
with open(sys.argv[1] + ".starts", "a") as starts: starts.write(f"{started}\\n")
ensure_utf8()
print(sys.argv[2], sys.argv[3])
json.dump([sys.stdout.encoding, sys.stderr.encoding, sys.stdin.encoding], open(sys.argv[1], "w"))
"""

# name: (environment, Python's options, how often it starts)
STARTS: dict[str, tuple[dict[str, str | None], list[str], int]] = {
    "UTF-8 already": ({}, [], 1),
    "POSIX": ({"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, [], 2),
    "streams of another encoding": ({"PYTHONIOENCODING": "latin-1"}, [], 2),
    "UTF-8 mode switched off by an option": ({"LC_ALL": "POSIX"}, ["-X", "utf8=0"], 2),
}


@pytest.mark.parametrize("name", STARTS)
def test_starts_again_at_most_once_to_speak_utf8(name: str, tmp_path: Path) -> None:
    env, options, times = STARTS[name]
    found = tmp_path / "found"
    command = [sys.executable, *options, "-c", SPEAKS, found, "two words", "ascii"]
    with Screen(command, env=environment(**env), cwd=ROOT) as screen:
        assert screen.wait(30) == 0, str(screen)
    assert json.loads(found.read_text()) == ["utf-8"] * 3
    assert screen.text()[0] == "two words ascii"
    starts = (tmp_path / "found.starts").read_text().split()
    assert len(starts) == times
    assert len(set(starts)) == 1  # the same process: whoever waits for it still does
