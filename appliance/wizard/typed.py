"""Lines that a person types, and lines written for them: no cursor movement, no escape codes, no line editor.

Knows the words that mean the same at every prompt, and nothing of pages. Signals are heard while waiting for
a line only, so that no action is cut in two by Ctrl+C.
"""

import os
import re
import select
import shutil
import signal
import sys
import threading
import time
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Literal

from appliance.wizard.cells import one_line, wrap

Read = Callable[[float | None], str | None]
"""A typed line; None when that many seconds went by without one. Raises EOFError where there is none left."""

Command = Literal["back", "help", "leave", "language"]

COMMANDS: dict[str, Command] = {
    **dict.fromkeys(("b", "back", "返回", "上一步"), "back"),
    **dict.fromkeys(("?", "h", "help", "帮助"), "help"),
    **dict.fromkeys(("q", "quit", "leave", "离开", "退出"), "leave"),
    **dict.fromkeys(("l", "language", "语言"), "language"),
}
"""What can be typed at every prompt."""

ESCAPES = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|O.|.)?|[\x00-\x1f\x7f]")
"""What arrow keys and their like send to a line that nobody edits. ECMA-48, section 5.4."""

MOST_BYTES = 4095
"""Of a line that is typed or pasted at a terminal; what comes after is dropped, unsaid. Source: termios(3),
canonical mode."""

LEAST_WIDTH, MOST_WIDTH = 40, 118


def normal(typed: str) -> str:
    """What was typed with a Chinese input method on, as if it were off: full-width figures and marks."""
    return unicodedata.normalize("NFKC", typed).strip()


def command_of(typed: str) -> Command | None:
    """Which command was typed, in either language."""
    return COMMANDS.get(normal(typed).casefold())


class StdinLines:
    """Reads stdin by itself: waiting with a limit and Python's own buffer do not go together."""

    def __init__(self, descriptor: int, encoding: str) -> None:
        self._descriptor = descriptor
        self._encoding = encoding
        self._waiting = b""
        self._ended = False
        self._is_terminal = os.isatty(descriptor)
        self.was_cut = False
        """Whether the end of the newest line was lost."""

    def __call__(self, timeout_s: float | None) -> str | None:
        """Raises: EOFError, at the end of input, or when the terminal is gone."""
        while b"\n" not in self._waiting and not self._ended:
            if timeout_s is not None and not select.select([self._descriptor], [], [], timeout_s)[0]:
                return None
            try:
                piece = os.read(self._descriptor, 65536)
            except OSError:  # hung up
                piece = b""
            self._waiting += piece
            self._ended = not piece
        if not self._waiting:
            self._ended = False  # Ctrl+D ends one line; after it a terminal can be read again
            raise EOFError
        line, _, self._waiting = self._waiting.partition(b"\n")
        self.was_cut = self._is_terminal and len(line) >= MOST_BYTES
        return line.decode(self._encoding, errors="replace").rstrip("\r")


class Talk:
    """The two directions of one conversation."""

    def __init__(self, read: Read, write: Callable[[str], object], *, echo: bool, width: int) -> None:
        self._read = read
        self._write = write
        self.echo = echo
        """Whether answers come from a program, not from a person at a terminal: then they are written too."""
        self.width = width
        self._held: list[str] = []
        self._waiting = False
        self._heard: type[BaseException] | None = None

    @property
    def was_cut(self) -> bool:
        """Whether the end of the newest line was lost on its way."""
        return isinstance(self._read, StdinLines) and self._read.was_cut

    def say(self, *lines: str) -> None:
        """Write lines.

        Raises: EOFError, when nobody is there to read them.
        """
        try:
            self._write("".join(f"{line}\n" for line in lines))
        except (OSError, ValueError) as error:
            raise EOFError from error

    def say_wrapped(self, text: str, indent: str = "") -> None:
        """Write running text in lines that fit; further lines are indented like the first."""
        self.say(*(f"{indent}{line}" for line in wrap(text, self.width - len(indent))))

    def ask(self, prompt: str) -> str:
        """What is typed behind `prompt`, without what keys left that are none of a text.

        Raises: EOFError, KeyboardInterrupt (Ctrl+C).
        """
        *lines, last = wrap(prompt, self.width - 2)
        self.say(*lines)
        self._prompt(f"{last} ")
        typed = None
        while typed is None:
            typed = self.wait(None)
        return typed

    def wait(self, timeout_s: float | None) -> str | None:
        """The next typed line; None when `timeout_s` went by.

        Raises: EOFError, KeyboardInterrupt (Ctrl+C).
        """
        if self._held:
            return self._held.pop()
        self._waiting = True
        try:
            self.heed()
            typed = self._read(timeout_s)
        finally:
            self._waiting = False
        if typed is None:
            return None
        typed = ESCAPES.sub("", typed.replace("\t", " "))  # a tab parts words, also in pasted text
        if self.echo:
            self.say(one_line(typed))
        return typed

    def heed(self) -> None:
        """Act on what was heard while nobody waited: a signal that would have ended the waiting."""
        if self._heard is not None:
            heard, self._heard = self._heard, None
            raise heard

    def hold(self, typed: str) -> None:
        """Give a line back: the next one to wait for a line gets it."""
        self._held.append(typed)

    def _prompt(self, text: str) -> None:
        try:
            self._write(text)
        except (OSError, ValueError) as error:
            raise EOFError from error

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Ctrl+C, hang-up and SIGTERM are heard while waiting for a line, or else when that begins."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        meanings = {signal.SIGINT: KeyboardInterrupt, signal.SIGHUP: EOFError, signal.SIGTERM: EOFError}

        def hear(number: int, frame: FrameType | None) -> None:
            meaning = meanings[signal.Signals(number)]
            if self._waiting:
                raise meaning
            self._heard = meaning

        before = {number: signal.signal(number, hear) for number in meanings}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def talk_to_terminal() -> Talk:
    """A conversation over stdin and stdout, whatever they are."""
    stream = sys.stdout
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="replace")

    def write(text: str) -> None:
        stream.write(text)
        stream.flush()

    try:
        descriptor, encoding = sys.stdin.fileno(), sys.stdin.encoding
    except (AttributeError, ValueError, OSError):  # started without a stdin
        return Talk(_nothing, write, echo=True, width=80)
    width = min(max(shutil.get_terminal_size((80, 24)).columns - 1, LEAST_WIDTH), MOST_WIDTH)
    return Talk(StdinLines(descriptor, encoding), write, echo=not os.isatty(descriptor), width=width)


def _nothing(timeout_s: float | None) -> str | None:
    raise EOFError


@contextmanager
def patience(talk: Talk, words: str, after_s: float = 2.0) -> Iterator[None]:
    """Say `words` once when what is done inside takes longer than `after_s`."""
    over = threading.Event()

    def remind() -> None:
        if not over.wait(after_s):
            with suppress(EOFError):  # nobody there: the next line that is written finds out
                talk.say(words)

    reminder = threading.Thread(target=remind, daemon=True)
    reminder.start()
    try:
        yield
    finally:
        over.set()
        reminder.join()


def clock_text(seconds: float) -> str:
    """The time of day on the box, as on a wall clock."""
    return time.strftime("%H:%M", time.localtime(seconds))
