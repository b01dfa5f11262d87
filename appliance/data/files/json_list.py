"""A JSON list, or objects one after another over several lines: item by item, without the whole in memory.

Python's own reader takes each item from a window of text that slides over the file. An item that the window
cuts is read again in a longer window; what is wrong is told from what is cut by reading on, up to a limit.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from appliance.data.files import json_item
from appliance.data.judge import RowRefused
from appliance.errors import BadInput
from appliance.sentence import Sentence, say

WINDOW_CHARACTERS = 1 << 20
ITEM_LIMIT_CHARACTERS = 64 << 20
"""A longer item is no row of training data, but a file with a lost bracket."""

NEAR_THE_END = 16
"""Characters: an error so close to the window's end may come from the cut: half a word, half an escape."""

_SPACE = re.compile(r"[ \t\r\n]*")

Item = tuple[int, dict[str, Any] | RowRefused]


def list_items(text: TextIO, source: Path) -> Iterator[Item]:
    """(position, object) for every item of a JSON list.

    text: opened with newline=""

    Raises: BadInput, when it is no list up to its end, with line and column.
    """
    window = _Window(text, source)
    window.after_space()
    window.skip("[")
    number, mark = 0, window.after_space()
    if mark == "]":
        window.skip("]")
    while mark != "]":
        number += 1
        yield number, window.item()
        mark = window.after_space()
        if mark != "]":
            window.skip(",")
            if window.after_space() == "]":
                raise window.fault("Illegal trailing comma before end of array")
        else:
            window.skip("]")
    if window.after_space():
        raise window.fault("Extra data")


def object_items(text: TextIO, source: Path) -> Iterator[Item]:
    """(position, object) for every object of a file that holds one after another, each over several lines.

    Raises: BadInput, when something between them is no JSON, with line and column.
    """
    window = _Window(text, source)
    number = 0
    while window.after_space():
        number += 1
        yield number, window.item()


class _Window:
    """The piece of text that is in memory, and where the reading stands in it."""

    def __init__(self, text: TextIO, source: Path) -> None:
        self._text, self._source = text, source
        self._buffer, self._at = "", 0
        self._ended = False
        self._characters_before, self._lines_before, self._column_before = 0, 0, 0
        """Characters and line ends before the window, and characters after the last of those."""
        self._strict = json_item.decoder()
        self._tolerant = json_item.tolerant_decoder()

    def after_space(self) -> str:
        """The next character that is no white space, "" at the end; the reading stands before it."""
        while True:
            found = _SPACE.match(self._buffer, self._at)
            self._at = found.end() if found else self._at
            if self._at < len(self._buffer):
                return self._buffer[self._at]
            if not self._read_on():
                return ""

    def skip(self, mark: str) -> None:
        """Step over `mark`.

        Raises: BadInput, when something else stands there.
        """
        if self._buffer[self._at : self._at + 1] != mark:
            if self._at == len(self._buffer):
                raise self.fault("it ends in the middle of the list")
            raise self.fault("Expecting ',' delimiter")
        self._at += 1

    def item(self) -> dict[str, Any] | RowRefused:
        """The next value.

        Raises: BadInput, when none stands there.
        """
        refusal = None
        while True:
            try:
                value, end = (self._tolerant if refusal else self._strict).raw_decode(self._buffer, self._at)
            except json_item.NotJson as error:
                refusal = json_item.refused(error)  # the row's own fault: read over it
                continue
            except json.JSONDecodeError as error:
                if self._may_be_cut(error) and self._read_on():
                    continue
                raise self.fault(error.msg, error.pos) from None
            except RecursionError as error:
                raise self._refused(json_item.fault(error)) from None
            if end > len(self._buffer) - NEAR_THE_END and not isinstance(value, dict) and self._read_on():
                continue  # a number may go on: 5 and 5.5 and 5e-7
            start, self._at = self._at, end
            return refusal or json_item.judged(value, self._buffer, start, end)

    def fault(self, what: str, position: int = -1) -> BadInput:
        """The error for what stands at `position` of the window, or where the reading is."""
        place = self._at if position < 0 else position
        lines = self._buffer.count("\n", 0, place)
        column = place - self._buffer.rfind("\n", 0, place) + (0 if lines else self._column_before)
        return self._refused(
            say(
                "{fault}: line {line} column {column} (char {position})",
                fault=Sentence(what),
                line=self._lines_before + lines + 1,
                column=column,
                position=self._characters_before + place,
            )
        )

    def _refused(self, why: str) -> BadInput:
        return BadInput(
            say("{source} is no JSON.", source=self._source),
            why=why,
            next_step="Correct the file at that place, or export it again as JSON (a list) or JSON lines.",
        )

    def _may_be_cut(self, error: json.JSONDecodeError) -> bool:
        if len(self._buffer) - self._at > ITEM_LIMIT_CHARACTERS:
            return False
        return error.msg.startswith("Unterminated") or error.pos > len(self._buffer) - NEAR_THE_END

    def _read_on(self) -> bool:
        """Let go of what was read, and take at least as much as is kept: whether there was more."""
        kept = len(self._buffer) - self._at
        more = "" if self._ended else self._text.read(max(WINDOW_CHARACTERS, kept))
        if not more:
            self._ended = True
            return False
        lines = self._buffer.count("\n", 0, self._at)
        if lines:
            self._column_before = self._at - self._buffer.rfind("\n", 0, self._at) - 1
        else:
            self._column_before += self._at
        self._lines_before += lines
        self._characters_before += self._at
        self._buffer, self._at = self._buffer[self._at :] + more, 0
        return True
