"""How long work says how far it is, without printing. Standard library only.

Work takes a `Progress` and opens a `stage`; who started the work decides whether that is a
bar, lines in a log, or nothing.
"""

import os
import sys
import threading
import time
import unicodedata
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol, TextIO

Advance = Callable[[int], None]
"""Called with how much more was done, in the stage's unit."""

REDRAW_S = 0.2
LOG_EVERY_S = 10.0
WINDOW_S = 15.0
"""The rate shown is that of the last so many seconds, so that it follows a line that changes."""
BAR_CELLS = 24
LABEL_CELLS = 34
NARROWEST_CELLS = 20


class Progress(Protocol):
    """Something that shows stages of work."""

    def stage(self, what: str, *, total: int | None, unit: str = "B") -> AbstractContextManager[Advance]:
        """Open a stage of `total` units (None: unknown); the value is called as work is done."""

    def note(self, text: str) -> None:
        """Say what is being waited for, in a line."""


class Silent:
    """Shows nothing."""

    @contextmanager
    def stage(self, what: str, *, total: int | None, unit: str = "B") -> Iterator[Advance]:
        """Open a stage that shows nothing."""
        yield lambda amount: None

    def note(self, text: str) -> None:
        """Say nothing."""


class Words:
    """What stands between the figures, in English."""

    def of(self, done: str, total: str) -> str:
        """How much of how much."""
        return f"{done} of {total}"

    def left(self, time: str) -> str:
        """How long it will take from now."""
        return f"{time} left"

    def took(self, done: str, time: str) -> str:
        """How much was done in how long."""
        return f"{done} in {time}"


class Terminal:
    """One line a stage: a bar that is redrawn on a terminal, plain lines now and then elsewhere.

    Threads may advance one stage side by side. A line is never wider than the terminal: what cannot be
    shown there is left out, the percentage last.
    """

    def __init__(self, stream: TextIO | None = None, words: Words | None = None) -> None:
        self._stream = stream or sys.stderr
        self._words = words or Words()
        self._live = self._stream.isatty()
        self._lock = threading.RLock()

    @contextmanager
    def stage(self, what: str, *, total: int | None, unit: str = "B") -> Iterator[Advance]:
        """Open a stage drawn on the stream; its last line stays."""
        pace = _Pace(time.monotonic())
        shown = pace.started
        if self._live:  # some work cannot say how far it is; that it goes on is seen at once
            self._write(f"{_label(what)} ...", end="")

        def advance(amount: int) -> None:
            nonlocal shown
            with self._lock:
                now = time.monotonic()
                pace.add(amount, now)
                if now - shown >= (REDRAW_S if self._live else LOG_EVERY_S):
                    shown = now
                    line = progress_line(what, pace, total, unit, now, self._cells(), self._words)
                    self._write(line, end="")

        try:
            yield advance
        except BaseException:
            if self._live:  # what is said next begins on a line of its own
                self._stream.write("\n")
            raise
        took_s = time.monotonic() - pace.started
        tail = f"{took_s:.1f} s"
        if pace.done:
            tail = self._words.took(amount_text(pace.done, unit), tail)
        self._write(f"{_label(what)} {tail}", end="\n")

    def note(self, text: str) -> None:
        """A line of its own, above the bar."""
        self._write(f"  {text}", end="\n")

    def _cells(self) -> int | None:
        """How wide the terminal is now; None, where there is none."""
        if not self._live:
            return None
        try:
            return max(os.get_terminal_size(self._stream.fileno()).columns, NARROWEST_CELLS)
        except OSError:
            return 80

    def _write(self, line: str, *, end: str) -> None:
        with self._lock:
            self._stream.write(f"\r\033[K{line}{end}" if self._live else f"{line}\n")
            self._stream.flush()


class _Pace:
    """How much was done, and how fast lately."""

    def __init__(self, now: float) -> None:
        self.started = now
        self.done = 0
        self._marks: deque[tuple[float, int]] = deque([(now, 0)])

    def add(self, amount: int, now: float) -> None:
        """Count `amount` more, or fewer."""
        self.done += amount
        if now - self._marks[-1][0] >= REDRAW_S:
            self._marks.append((now, self.done))
        while len(self._marks) > 2 and now - self._marks[0][0] > WINDOW_S:
            self._marks.popleft()

    def rate(self, now: float) -> float:
        """Units a second over the last WINDOW_S."""
        since, before = self._marks[0]
        return max(self.done - before, 0) / (now - since) if now > since else 0.0


def progress_line(
    what: str, pace: _Pace, total: int | None, unit: str, now: float, cells: int | None, words: Words
) -> str:
    """One line on work that goes on, of at most `cells` - 1 cells (None: as long as it is)."""
    rate = pace.rate(now)
    speed = f"{amount_text(int(rate), unit)}/s"
    if not total:
        return _fitted(_label(what), [f"{amount_text(pace.done, unit)}", speed], cells)
    share = min(max(pace.done / total, 0.0), 1.0)
    filled = int(BAR_CELLS * share)
    bar = "[" + "#" * filled + "-" * (BAR_CELLS - filled) + "]"
    amount = words.of(amount_text(pace.done, unit), amount_text(total, unit))
    left = words.left(duration_text((total - pace.done) / rate) if rate else "?")
    parts = [f"{share:4.0%}", amount, speed, left]
    line = _fitted(f"{_label(what)} {bar}", parts, cells)
    if cells is not None and not line.endswith(left):  # the bar is the first to go
        line = _fitted(_label(what), parts, cells)
    return line


def _fitted(head: str, parts: list[str], cells: int | None) -> str:
    """`head` and as many of `parts` as fit; the head is cut when not even the first does."""
    line = "  ".join([head, *parts])
    if cells is None or _cells_of(line) < cells:
        return line
    if len(parts) > 1:
        return _fitted(head, parts[:-1], cells)
    room = cells - 1 - _cells_of(parts[0]) - 2
    while _cells_of(head) > room:
        head = head[:-1]
    return f"{head}  {parts[0]}"


def _label(what: str) -> str:
    return f"  {what}{' ' * (LABEL_CELLS - _cells_of(what))}"


def _cells_of(text: str) -> int:
    """Cells that a terminal gives a text; a Chinese sign takes two."""
    return sum(2 if unicodedata.east_asian_width(sign) in "WF" else 1 for sign in text)


def duration_text(seconds: float) -> str:
    """`seconds` as a person says them: `45 s`, `12 min`, `3 h 20 min`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"


def amount_text(amount: int, unit: str) -> str:
    """`amount` with its unit, bytes in steps of 1000: `1.5 MB`, `320 rows`."""
    if unit != "B":
        return f"{amount} {unit}"
    size = float(amount)
    for name in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {name}" if name == "B" else f"{size:.1f} {name}"
        size /= 1000
    return f"{size:.1f} TB"
