"""Progress on terminals of any width, and where there is none."""

import fcntl
import io
import os
import pty
import re
import struct
import termios
import threading
from collections.abc import Callable
from typing import TextIO

import pytest
from wcwidth import wcswidth

from appliance.progress import Progress, Terminal, amount_text, duration_text
from appliance.spoken_progress import spoken


def drawn(
    columns: int,
    total: int | None = 4_000_000_000,
    done: int = 1_000_000_000,
    *,
    make: Callable[[TextIO], Progress] = Terminal,
    what: str = "Fetch organisation/a-model-with-a-long-name",
) -> list[str]:
    """Every line that a terminal of so many columns is sent for one stage, the note in it included."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    received: list[bytes] = []

    def listen() -> None:
        while True:
            try:
                piece = os.read(ours, 4096)
            except OSError:  # what a terminal says when nobody is left on its other side
                return
            received.append(piece)

    listener = threading.Thread(target=listen)
    listener.start()
    with os.fdopen(theirs, "w", encoding="utf-8") as stream:
        shown = make(stream)
        with shown.stage(what, total=total) as advance:
            advance(done // 2)
            threading.Event().wait(0.25)  # longer than it redraws
            advance(done - done // 2)
            shown.note("the server answers 429; trying again in 5 s")
    listener.join()
    os.close(ours)
    text = b"".join(received).decode()
    return [line.rstrip("\r") for line in re.split(r"\r\x1b\[K|\n", text) if line]


def bar(lines: list[str]) -> str:
    """The line that shows how far it is."""
    return next(line for line in lines if "%" in line)


def test_a_wide_terminal_shows_bar_bytes_rate_and_time_left() -> None:
    line = bar(drawn(160))
    assert re.search(r"\[######-{18}\]   25%  1\.0 GB of 4\.0 GB  \d+\.\d GB/s  \d+ s left$", line)


def test_the_bar_goes_before_the_figures() -> None:
    line = bar(drawn(100))
    assert "[" not in line
    assert line.endswith("left")


@pytest.mark.parametrize("columns", [20, 40, 60, 80, 100, 120, 200])
def test_no_line_that_is_redrawn_is_wider_than_the_terminal(columns: int) -> None:
    line = bar(drawn(columns))
    assert len(line) < columns
    assert "25%" in line


@pytest.mark.parametrize("columns", [20, 40, 60, 80, 120])
def test_no_line_in_chinese_is_wider_than_the_terminal_or_half_english(
    columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ISLET_LANG", "zh_CN")
    lines = drawn(columns, make=spoken, what="looking at the rows")
    assert all(wcswidth(line) < columns for line in lines if "%" in line)
    assert "25%" in bar(lines) and "正在检查数据" in lines[0]
    assert "，用时 " in lines[-1]
    assert ("还需 " in bar(lines)) == (columns > 60)


def test_without_a_total_it_shows_what_was_done() -> None:
    lines = drawn(120, total=None)
    assert any(re.search(r"1\.0 GB  \d+\.\d GB/s$", line) for line in lines)
    assert any(line.endswith("trying again in 5 s") for line in lines)


def test_without_a_terminal_there_are_plain_lines() -> None:
    stream = io.StringIO()
    shown = Terminal(stream)
    with shown.stage("Fetch", total=10) as advance:
        advance(10)
        advance(-3)
        shown.note("waiting")
    lines = stream.getvalue().splitlines()
    assert lines[0] == "  waiting"
    assert re.fullmatch(r"  Fetch +7 B in \d+\.\d s", lines[1])
    assert len(lines) == 2


def test_what_fails_leaves_no_line_that_says_it_was_done() -> None:
    stream = io.StringIO()
    with pytest.raises(ValueError), Terminal(stream).stage("Fetch", total=10):
        raise ValueError
    assert stream.getvalue() == ""


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.4, "0 s"),
        (99, "99 s"),
        (100, "2 min"),
        (3600, "60 min"),
        (7200, "2 h 00 min"),
        (12_345, "3 h 26 min"),
    ],
)
def test_says_durations_as_people_do(seconds: float, words: str) -> None:
    assert duration_text(seconds) == words


@pytest.mark.parametrize(
    ("size", "words"), [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (2 * 10**12, "2.0 TB")]
)
def test_says_amounts_in_steps_of_a_thousand(size: int, words: str) -> None:
    assert amount_text(size, "B") == words
