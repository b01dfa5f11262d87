"""What the terminal in front of us can draw, and so which front a person gets.

Looking (ioctl, escape codes) and judging (a function of what was seen) are apart: the table of terminals is
a test without one. Knows no toolkit, asks nothing of the person and leaves nothing on the screen.
"""

import codecs
import fcntl
import io
import os
import re
import select
import struct
import sys
import termios
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, TextIO

from appliance.errors import BadInput, HostNotReady
from appliance.sentence import say

UIS = ("auto", "full", "plain", "line")
"""What `--ui` takes."""

MIN_COLUMNS, MIN_ROWS = 80, 23
"""Pages are made for 24 rows; a status line of tmux or screen leaves 23. A smaller window gets lines."""

ANSWER_TIMEOUT_S = 0.3
"""How long to wait for a terminal to say where its cursor is. Those on the box answer in milliseconds, those
over a far line in a round trip; one that never answers must not make anybody wait longer."""

KDGKBTYPE = 0x4B33
"""The ioctl that only the Linux console answers. Source: ioctl_console(2)."""

SERIAL = re.compile(r"/dev/(tty(S|USB|ACM|AMA)\d|hvc|console)")
"""Devices with a serial line behind them. Source: Linux, Documentation/admin-guide/devices.txt."""

MEASURE = "\x1b7\x1b[6n中\x1b[6n│\x1b[6n\x1b8\x1b[K"
"""Keep the cursor; where is it, three times, around two characters; back to the start, erase what was drawn.
It is one text, so that the characters go also where nobody answers."""

_ANSWER = re.compile(rb"\x1b\[\d+;(\d+)R")


class Widths(NamedTuple):
    """Cells that the terminal moved its cursor by."""

    ideograph: int
    """For `中`: 2, where Chinese can be drawn."""
    line: int
    """For `│`: 1, or 2 where ambiguous characters are drawn wide, which tears frames apart."""


GOOD = Widths(2, 1)


@dataclass(frozen=True)
class Display:
    """How the wizard is shown here."""

    front: Literal["full", "line"]
    plain: bool
    """Only ASCII lines and marks."""
    chinese: bool
    """Whether this terminal can draw Chinese. Where only an eye can tell (a serial line): True."""
    colour: bool
    """NO_COLOR is unset and the terminal has colours. Never in lines: those are without escape codes."""
    slow: bool
    """Redraw seldom: a serial line."""


@dataclass(frozen=True)
class Facts:
    """What there is to see about a terminal without asking it anything."""

    is_terminal: bool = True
    """All three of stdin, stdout and stderr: the full screen draws on stderr."""
    term: str = "xterm-256color"
    columns: int = 80
    rows: int = 24
    device: str = "/dev/pts/0"
    is_console: bool = False
    """The Linux console, whose font has 512 glyphs at most."""
    utf8: bool = True
    """stdout is UTF-8, and the locale does not say that the terminal is anything else."""
    accessible: bool = False
    """ACCESSIBLE is set: a screen reader follows lines, not frames."""
    no_colour: bool = False


def judge(facts: Facts, measure: Callable[[], Widths | None], ui: str = "auto") -> Display:
    """The display that suits `facts`; `measure` is called only where its answer decides something."""
    serial = bool(SERIAL.match(facts.device))
    drawable = facts.utf8 and not _is_linux_console(facts)
    if ui == "line" or (ui == "auto" and _wants_lines(facts, serial)):
        return Display("line", plain=True, chinese=drawable, colour=False, slow=serial)
    drawn = measure() if drawable else None
    return Display(
        "full",
        plain=ui == "plain" or (ui == "auto" and drawn != GOOD),
        chinese=drawn is not None and drawn.ideograph == GOOD.ideograph,
        colour=not facts.no_colour and _has_colour(facts.term),
        slow=serial,
    )


def look_at_terminal(ui: str = "auto") -> Display:
    """The display for the terminal that this process has; `ui`: one of UIS, `auto` decides by looking.

    Raises: HostNotReady, when a full screen is asked for where there is no terminal
    BadInput, for another ui.
    """
    if ui not in UIS:
        raise BadInput(
            say('There is no way of showing the wizard that is called "{ui}".', ui=ui),
            why="The ways are auto, full, plain and line.",
            next_step="Use one of them, or leave --ui out.",
        )
    facts = see()
    if ui in ("full", "plain") and not facts.is_terminal:
        raise HostNotReady(
            "A full screen needs a terminal.",
            why="Input, output or error output goes to a file or to another program.",
            next_step="Run it in a terminal without redirecting, or use --ui line.",
        )
    return judge(facts, _measure_stdin, ui)


def see(environ: Mapping[str, str] = os.environ) -> Facts:
    """What this process's terminal is."""
    is_terminal = all(_is_terminal(stream) for stream in (sys.stdin, sys.stdout, sys.stderr))
    columns, rows = _size() if is_terminal else (0, 0)
    return Facts(
        is_terminal=is_terminal,
        term=environ.get("TERM", ""),
        columns=columns,
        rows=rows,
        device=_device() if is_terminal else "",
        is_console=is_terminal and _answers_console(sys.stdin.fileno()),
        utf8=_is_utf8(sys.stdout) and _locale_may_be_utf8(environ),
        accessible=environ.get("ACCESSIBLE", "").lower() not in ("", "0", "false", "no"),
        no_colour=bool(environ.get("NO_COLOR")),
    )


def measure(
    reads: int, writes: int, *, puts_back: bool = True, timeout_s: float = ANSWER_TIMEOUT_S
) -> Widths | None:
    """How wide the terminal behind two descriptors draws; None: it did not say in time.

    The terminal's settings are put back in any case, and what was typed meanwhile is put back to be read by
    whoever reads next. Where the kernel does not let it be put back and something is waiting already, the
    terminal is not asked but believed to be good: a key that was typed is worth more than a frame.
    """
    before = termios.tcgetattr(reads)
    silent = termios.tcgetattr(reads)
    # Signals stay on: Ctrl+C must end a program that waits.
    silent[3] &= ~(termios.ICANON | termios.ECHO)
    silent[6][termios.VMIN], silent[6][termios.VTIME] = 0, 0
    try:
        termios.tcsetattr(reads, termios.TCSANOW, silent)  # TCSAFLUSH would drop what was typed ahead
        if not puts_back and select.select([reads], [], [], 0)[0]:
            return GOOD
        os.write(writes, MEASURE.encode())
        columns, typed = _read_answers(reads, 3, timeout_s)
        _put_back(reads, typed)
    finally:
        termios.tcsetattr(reads, termios.TCSANOW, before)
    if len(columns) < 3:
        return None
    return Widths(columns[1] - columns[0], columns[2] - columns[1])


def ensure_utf8() -> None:
    """Go on only in a Python that speaks UTF-8: start it again, once, in its UTF-8 mode, if it does not.

    Starting again, and not only changing the three streams, because the encoding of file names and of files
    that are opened was decided when the interpreter started, and neither can be changed afterwards: a Chinese
    file name could be neither shown nor typed. Nothing was read from stdin by then, so a pipe loses nothing.
    Where that mode is on already, or was asked for and is not heeded (python -E, PYTHONIOENCODING), the
    streams are changed: that much always works.
    """
    if _is_utf8(sys.stdout) and _is_utf8(sys.stderr) and _names(sys.getfilesystemencoding(), "utf-8"):
        return
    if not sys.flags.utf8_mode and os.environ.get("PYTHONUTF8") != "1":
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os.execve(  # noqa: S606  (the same program, with the arguments it was started with)
            sys.executable,
            [sys.executable, *sys.orig_argv[1:]],
            {**os.environ, "PYTHONUTF8": "1"},
        )
    for changed in (sys.stdin, sys.stdout, sys.stderr, sys.__stdin__, sys.__stdout__, sys.__stderr__):
        if isinstance(changed, io.TextIOWrapper):
            changed.reconfigure(encoding="utf-8", errors="replace")


def _wants_lines(facts: Facts, serial: bool) -> bool:
    """Whether a full screen would be no help, or could not be drawn at all."""
    return (
        not facts.is_terminal
        or facts.accessible
        or facts.term in ("", "dumb", "unknown")
        or facts.columns < MIN_COLUMNS  # also a size of 0 x 0: the line does not say it
        or facts.rows < MIN_ROWS
        or serial
        or facts.term.startswith("vt")  # what getty says for a serial line
    )


def _is_linux_console(facts: Facts) -> bool:
    return facts.is_console or facts.term.startswith("linux")


def _has_colour(term: str) -> bool:
    """Whether a terminal of this name has colours; monochrome ones say so at the end of it."""
    return term not in ("", "dumb", "unknown") and not re.match(r"vt\d|.*-(m|mono)$", term)


def _is_terminal(stream: TextIO | None) -> bool:
    """Whether a stream is one; a closed stream is none."""
    try:
        return stream is not None and stream.isatty()
    except ValueError:
        return False


def _size() -> tuple[int, int]:
    try:
        size = os.get_terminal_size(sys.stdout.fileno())
    except OSError:
        return 0, 0
    return size.columns, size.lines


def _device() -> str:
    try:
        return os.ttyname(sys.stdin.fileno())
    except OSError:  # a terminal of another namespace has no name in this one
        return ""


def _answers_console(descriptor: int) -> bool:
    try:
        fcntl.ioctl(descriptor, KDGKBTYPE, struct.pack("i", 0))
    except OSError:
        return False
    return True


def _is_utf8(stream: TextIO | None) -> bool:
    return stream is not None and _names(stream.encoding or "", "utf-8")


def _names(encoding: str, wanted: str) -> bool:
    try:
        return codecs.lookup(encoding).name == wanted
    except LookupError:
        return False


def _locale_may_be_utf8(environ: Mapping[str, str]) -> bool:
    """False where the locale names another encoding (GBK): in UTF-8 mode Python no longer says so itself.

    LC_CTYPE=C.UTF-8 says nothing: Python writes it into its own environment when LANG names no locale that
    is installed. Source: PEP 538.
    """
    for name in ("LC_ALL", "LC_CTYPE", "LANG"):
        if (value := environ.get(name)) and (name, value) != ("LC_CTYPE", "C.UTF-8"):
            encoding = value.partition(".")[2].partition("@")[0]
            return not encoding or _names(encoding, "utf-8")
    return True


def _measure_stdin() -> Widths | None:
    try:
        sys.stdout.flush()
        return measure(sys.stdin.fileno(), sys.stdout.fileno(), puts_back=_may_put_back())
    except (OSError, termios.error):  # hung up meanwhile: the front will find out
        return None


def _read_answers(reads: int, wanted: int, timeout_s: float) -> tuple[list[int], bytes]:
    """The columns that the terminal answered with, and whatever else came: what a person typed."""
    seen, ends = b"", time.monotonic() + timeout_s
    while len(_ANSWER.findall(seen)) < wanted and (left := ends - time.monotonic()) > 0:
        if select.select([reads], [], [], left)[0]:
            piece = os.read(reads, 4096)
            if not piece:
                break
            seen += piece
    return [int(column) for column in _ANSWER.findall(seen)], _ANSWER.sub(b"", seen)


def _may_put_back() -> bool:
    """Whether the kernel lets us put typed bytes back; dev.tty.legacy_tiocsti=0 (Linux 6.2) forbids it."""
    try:
        return Path("/proc/sys/dev/tty/legacy_tiocsti").read_bytes().strip() != b"0" or os.geteuid() == 0
    except OSError:
        return True  # older than the setting


def _put_back(reads: int, typed: bytes) -> None:
    with suppress(OSError):  # not our controlling terminal: nothing more can be done for it
        for byte in typed:
            fcntl.ioctl(reads, termios.TIOCSTI, bytes([byte]))
