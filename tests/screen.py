"""A program in a real terminal, seen as a person sees it, driven as a person drives it.

The program runs in a pseudo-terminal of its own; what it writes goes through an emulator (pyte), which
answers its questions (where is the cursor, what are you) as a terminal does. No test needs to sleep: wait for
what should appear.
"""

import codecs
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import threading
import time
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyte
from wcwidth import wcwidth

KEYS = {
    "enter": "\r",
    "esc": "\x1b",
    "tab": "\t",
    "shift+tab": "\x1b[Z",
    "space": " ",
    "backspace": "\x7f",
    "delete": "\x1b[3~",
    "up": "\x1b[A",
    "down": "\x1b[B",
    "right": "\x1b[C",
    "left": "\x1b[D",
    "home": "\x1b[H",
    "end": "\x1b[F",
    "pageup": "\x1b[5~",
    "pagedown": "\x1b[6~",
    "f1": "\x1bOP",
    "f2": "\x1bOQ",
    "f3": "\x1bOR",
    "f4": "\x1bOS",
    **{
        f"f{n}": f"\x1b[{code}~"
        for n, code in zip(range(5, 13), (15, 17, 18, 19, 20, 21, 23, 24), strict=True)
    },
    **{f"ctrl+{letter}": chr(ord(letter) - 96) for letter in "abcdefghijklmnopqrstuvwxyz"},
}
"""What xterm sends for a key. Source: Xterm Control Sequences, PC-style function keys."""

AFTER_ESC_S = 0.2
"""Programs tell a lone Esc from the start of a key's code by the pause behind it (Textual: 0.1 s)."""

_UNKNOWN_TO_PYTE = re.compile(r"\x1b\[[<>=][0-9;]*[a-zA-Z]|\x1bP.*?\x1b\\", re.DOTALL)
_UNFINISHED = re.compile(r"\x1b(\[[<>=?0-9;]*|P[^\x1b]*\x1b?)?\Z")


class Emulator(pyte.Screen):  # type: ignore[misc]  # pyte has no types
    """A terminal of cells that answers through `answer`, with a second screen as xterm has.

    Faint text is kept as `blink`, for which nothing is left: pyte has no word for it, and nobody blinks.
    ambiguous: cells of characters that are as wide as a terminal likes (`│`, `●`): 1, or 2 as in some Chinese
    settings.
    """

    def __init__(self, columns: int, rows: int, answer: Callable[[str], None], ambiguous: int = 1) -> None:
        self._answer, self._ambiguous = answer, ambiguous
        self._main: tuple[Any, Any] | None = None
        super().__init__(columns, rows)

    def write_process_input(self, data: str) -> None:
        """Answer the program."""
        self._answer(data)

    def draw(self, data: str) -> None:
        """Draw, ambiguous characters with a blank cell behind where they are wide."""
        if self._ambiguous == 2:
            data = "".join(c + " " if unicodedata.east_asian_width(c) == "A" else c for c in data)
        super().draw(data)

    def set_mode(self, *modes: int, **kwargs: Any) -> None:
        """Set modes; 1049 keeps the main screen aside."""
        super().set_mode(*modes, **kwargs)
        if kwargs.get("private") and 1049 in modes and self._main is None:
            self._main = (dict(self.buffer), (self.cursor.x, self.cursor.y))
            self.buffer.clear()

    def reset_mode(self, *modes: int, **kwargs: Any) -> None:
        """Reset modes; 1049 brings the main screen back."""
        super().reset_mode(*modes, **kwargs)
        if kwargs.get("private") and 1049 in modes and self._main is not None:
            lines, (self.cursor.x, self.cursor.y) = self._main
            self.buffer.clear()
            self.buffer.update(lines)
            self._main = None

    def report_device_status(self, mode: int = 0, **kwargs: Any) -> None:
        """Answer where the cursor is; questions for a printer or a theme get none."""
        if not kwargs.get("private"):
            super().report_device_status(mode)

    def select_graphic_rendition(self, *attrs: int, **kwargs: Any) -> None:
        """Colours and styles; the private form sets how keys are reported, which is none of ours."""
        if not kwargs.get("private"):
            super().select_graphic_rendition(*_faint_as_blink(attrs))

    def cells(self, row: int) -> list[tuple[int, Any, int]]:
        """(column, character with its style, cells) of one row; half of a wide character is a blank."""
        found, column, line = [], 0, self.buffer[row]
        while column < self.columns:
            char = line[column]
            wide = bool(char.data) and wcwidth(char.data[0]) == 2
            whole = wide and column + 1 < self.columns and line[column + 1].data == ""
            if not char.data or (wide and not whole):
                char = char._replace(data=" ")
            found.append((column, char, 2 if whole else 1))
            column += 2 if whole else 1
        return found

    def rows_of_text(self) -> list[str]:
        """The screen, row by row, without blanks at the end."""
        return ["".join(char.data for _, char, _ in self.cells(row)).rstrip() for row in range(self.lines)]


def _faint_as_blink(attrs: Sequence[int]) -> list[int]:
    """SGR parameters with 2 and its end said as blink; those of a colour (38;5;2) left alone."""
    changed, rest = [], list(attrs)
    while rest:
        attr = rest.pop(0)
        taken = {5: 2, 2: 4}.get(rest[0], 0) if attr in (38, 48) and rest else 0
        changed += [*({2: (5,), 22: (22, 25), 5: ()}.get(attr, (attr,))), *rest[:taken]]
        del rest[:taken]
    return changed or list(attrs)


class Screen:
    """One program in a terminal of its own.

    columns, rows: what the terminal says its size is; 0 and 0 as some serial lines do.
    answers: whether it answers questions at all. encoding: what it takes bytes for.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        columns: int = 80,
        rows: int = 24,
        env: Mapping[str, str] | None = None,
        *,
        cwd: Path | None = None,
        answers: bool = True,
        ambiguous: int = 1,
        encoding: str = "utf-8",
    ) -> None:
        self.raw = b""
        """Every byte that the program wrote."""
        self._master, self._slave = pty.openpty()
        self.resize(columns, rows, emulated=False)
        self.emulator = Emulator(columns or 80, rows or 24, self._answer, ambiguous)
        self._answers = answers
        self._stream = pyte.Stream(self.emulator)
        self._decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
        self._unfinished = ""
        self._changed = threading.Condition()
        self._last = time.monotonic()
        self._over = False
        self.process = subprocess.Popen(
            [str(part) for part in command],
            stdin=self._slave,
            stdout=self._slave,
            stderr=self._slave,
            env=dict(env) if env is not None else {**os.environ, "TERM": "xterm-256color"},
            cwd=cwd,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # the terminal's signals are for it
        )
        self._pump = threading.Thread(target=self._read, daemon=True)
        self._pump.start()

    def __enter__(self) -> "Screen":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # What a person does

    def press(self, *keys: str) -> None:
        """Press keys by name; whatever is no name is typed as text."""
        for key in keys:
            self.send(KEYS.get(key, key).encode())
            if key == "esc":
                time.sleep(AFTER_ESC_S)

    def send(self, data: bytes) -> None:
        """Bytes as the terminal would send them."""
        self._last = time.monotonic()
        while data:
            data = data[os.write(self._master, data) :]

    def resize(self, columns: int, rows: int, *, emulated: bool = True) -> None:
        """Give the window another size."""
        if emulated:
            with self._changed:
                self.emulator.resize(rows, columns)
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    # What a person sees

    def text(self) -> list[str]:
        """The rows of the screen; a wide character is one character of two cells."""
        with self._changed:
            return self.emulator.rows_of_text()

    @contextmanager
    def frozen(self) -> Iterator[Emulator]:
        """The emulator, drawing nothing meanwhile."""
        with self._changed:
            yield self.emulator

    def shows(self, text: str) -> bool:
        """Whether `text` stands on one row of the screen."""
        return any(text in row for row in self.text())

    def reads(self, text: str) -> bool:
        """Whether `text` stands on the screen, also where a row ended in its middle."""
        return "".join(text.split()) in "".join("".join(self.text()).split())

    def wait_for(self, text: str, seconds: float = 10) -> None:
        """Come back when `text` is on the screen; AssertionError with the screen if it does not come."""
        self.wait_until(lambda: self.shows(text), seconds, f'"{text}"')

    def wait_until(
        self, is_so: Callable[[], bool], seconds: float = 10, what: str = "what was awaited"
    ) -> None:
        """Come back when `is_so` says so; it is asked again after everything that is written."""
        ends = time.monotonic() + seconds
        while not is_so():
            left = ends - time.monotonic()
            if left <= 0 or (self._over and not is_so()):
                raise AssertionError(f"{what} did not come; exit code {self.process.poll()}\n{self}")
            with self._changed:
                self._changed.wait(min(left, 0.2))

    def settle(self, quiet: float = 0.3, seconds: float = 10) -> None:
        """Come back when nothing was pressed or written for `quiet` seconds, or `seconds` have passed."""
        ends = time.monotonic() + seconds
        while (now := time.monotonic()) < ends and now - self._last < quiet:
            time.sleep(max(0.01, quiet - (now - self._last)))

    def __str__(self) -> str:
        edge = "+" + "-" * self.emulator.columns + "+"
        return "\n".join([edge, *(f"|{row}" for row in self.text()), edge])

    # How it ends

    def settings(self) -> list[Any]:
        """The terminal's settings, as termios.tcgetattr gives them."""
        return termios.tcgetattr(self._slave)

    def wait(self, seconds: float = 10) -> int:
        """The exit code, when the program has ended and everything it wrote was seen."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired as late:
            raise AssertionError(f"it did not end\n{self}") from late
        self.wait_until(lambda: self._over, seconds, "the end of what it wrote")
        return code

    @property
    def exit_code(self) -> int | None:
        """None while it runs; -N, when signal N ended it."""
        return self.process.poll()

    def kill(self, with_signal: int = signal.SIGKILL) -> int:
        """End the program (not its children) by a signal; its exit code."""
        self.process.send_signal(with_signal)
        return self.process.wait(10)

    def hang_up(self) -> None:
        """Take the terminal away, as a lost line does."""
        self._over = True
        self._pump.join(5)
        for descriptor in (self._master, self._slave):
            os.close(descriptor)
        self._master = -1

    def close(self) -> None:
        """End the program if it still runs, and take the terminal away."""
        if self.process.poll() is None:
            self.kill()
        if self._master >= 0:
            self.hang_up()

    def _answer(self, data: str) -> None:
        if self._answers:
            self.send(data.encode())

    def _read(self) -> None:
        """Everything that the program writes, to the end of it."""
        while not self._over:
            ready = select.select([self._master], [], [], 0.02)[0]
            if not ready:
                if self.process.poll() is not None and not self._more():
                    with self._changed:
                        self._over = True
                        self._changed.notify_all()
                continue
            piece = os.read(self._master, 65536)
            with self._changed:
                self.raw += piece
                self._last = time.monotonic()
                self._feed(self._decoder.decode(piece))
                self._changed.notify_all()

    def _more(self) -> bool:
        return bool(select.select([self._master], [], [], 0)[0])

    def _feed(self, text: str) -> None:
        text = _UNKNOWN_TO_PYTE.sub("", self._unfinished + text)
        self._unfinished = found.group() if (found := _UNFINISHED.search(text)) else ""
        self._stream.feed(text[: len(text) - len(self._unfinished)])
