"""How long work says how far it is, without printing. Standard library only.

Work takes a `Progress` and opens a `stage`; who started the work decides whether that is a
bar, lines in a log, or nothing.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol, TextIO

Advance = Callable[[int], None]
"""Called with how much more was done, in the stage's unit."""

REDRAW_S = 0.2
LOG_EVERY_S = 10.0
BAR_CELLS = 24


class Progress(Protocol):
    """Something that shows stages of work."""

    def stage(self, what: str, *, total: int | None, unit: str = "B") -> AbstractContextManager[Advance]:
        """Open a stage of `total` units (None: unknown); the value is called as work is done."""


class Silent:
    """Shows nothing."""

    @contextmanager
    def stage(self, what: str, *, total: int | None, unit: str = "B") -> Iterator[Advance]:
        """Open a stage that shows nothing."""
        yield lambda amount: None


class Terminal:
    """One line a stage: a bar that is redrawn on a terminal, plain lines now and then elsewhere."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._live = self._stream.isatty()

    @contextmanager
    def stage(self, what: str, *, total: int | None, unit: str = "B") -> Iterator[Advance]:
        """Open a stage drawn on the stream; its last line stays."""
        started = time.monotonic()
        shown = started
        done = 0
        if self._live:  # some work cannot say how far it is; that it goes on is seen at once
            self._stream.write(f"\r\033[K  {what:<34} ...")
            self._stream.flush()

        def advance(amount: int) -> None:
            nonlocal done, shown
            done += amount
            now = time.monotonic()
            if now - shown >= (REDRAW_S if self._live else LOG_EVERY_S):
                shown = now
                self._draw(what, done, total, unit, now - started, final=False)

        yield advance
        self._draw(what, done, total, unit, time.monotonic() - started, final=True)

    def _draw(
        self, what: str, done: int, total: int | None, unit: str, took_s: float, *, final: bool
    ) -> None:
        rate = done / took_s if took_s > 0 else 0.0
        if final:
            tail = f"{amount_text(done, unit)} in {took_s:.1f} s" if done else f"{took_s:.1f} s"
        elif total:
            left_s = (total - done) / rate if rate else 0.0
            filled = BAR_CELLS * min(done, total) // total
            bar = "#" * filled + "-" * (BAR_CELLS - filled)
            tail = f"[{bar}] {done / total:4.0%}  {amount_text(int(rate), unit)}/s  {left_s:.0f} s left"
        else:
            tail = f"{amount_text(done, unit)}  {amount_text(int(rate), unit)}/s"
        start, end = ("\r\033[K", "\n" if final else "") if self._live else ("", "\n")
        self._stream.write(f"{start}  {what:<34} {tail}{end}")
        self._stream.flush()


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
