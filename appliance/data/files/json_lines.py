"""JSON lines: one object a line. A line that is none is one row refused; the others stay what they are."""

from collections.abc import Iterator
from functools import partial
from typing import Any, BinaryIO

import msgspec

from appliance.data.files import json_item
from appliance.data.judge import RowRefused
from appliance.sentence import say

LINE_LIMIT_BYTES = 64 << 20
"""More is no row of training data, but a file whose line ends were lost."""

Item = tuple[int, dict[str, Any] | RowRefused]


def line_items(stream: BinaryIO) -> Iterator[Item]:
    """(line, object) for every line that is not empty; UTF-8, line ends LF, CRLF or CR, the last may lack."""
    decode, strict = msgspec.json.Decoder().decode, json_item.decoder()
    for number, line in numbered_lines(stream):
        if isinstance(line, RowRefused):
            yield number, line
            continue
        try:
            value = decode(line)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            yield number, _second_reading(line, strict.decode)
        else:
            yield number, json_item.judged(value, line, 0, len(line))


def numbered_lines(stream: BinaryIO) -> Iterator[tuple[int, bytes | RowRefused]]:
    """(line, bytes) for every line that holds more than white space; one of absurd length is refused.

    Beside LF and CRLF, a lone CR ends a line, as on old systems.
    """
    number = 0
    for line in iter(partial(stream.readline, LINE_LIMIT_BYTES), b""):
        if len(line) == LINE_LIMIT_BYTES and not line.endswith(b"\n"):
            number += 1
            _skip_line(stream)
            yield number, RowRefused("row", _too_long(), "write each row on a line of its own")
        elif b"\r" in line[:-2]:
            for part in line.splitlines():
                number += 1
                if part.strip():
                    yield number, part
        else:
            number += 1
            if not line.isspace():
                yield number, line


def _second_reading(line: bytes, decode: Any) -> dict[str, Any] | RowRefused:
    """What the fast reader refuses: half an emoji is a text's own trouble; the rest gets its words here."""
    text = line.decode("utf-8").strip().removeprefix("\ufeff")
    if not text:
        return RowRefused("row", "holds no more than a byte order mark", json_item.NO_JSON_FIX)
    try:
        return json_item.judged(decode(text), text, 0, len(text))
    except (ValueError, RecursionError) as error:
        return json_item.refused(error)


def _skip_line(stream: BinaryIO) -> None:
    while (line := stream.readline(LINE_LIMIT_BYTES)) and not line.endswith(b"\n"):
        pass


def _too_long() -> str:
    return say("is a line of more than {limit} bytes", limit=LINE_LIMIT_BYTES)
