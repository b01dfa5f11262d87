"""JSON lines: one object a line. A line that is none is one row refused; the others stay what they are."""

from collections.abc import Iterator
from typing import Any, BinaryIO

import msgspec

from appliance.data.files import json_item
from appliance.data.files.content import CHUNK_BYTES
from appliance.data.judge import RowRefused
from appliance.sentence import say

LINE_LIMIT_BYTES = 64 << 20
"""More is no row of training data, but a file whose line ends were lost."""

Item = tuple[int, dict[str, Any] | RowRefused]


def line_items(stream: BinaryIO) -> Iterator[Item]:
    """(line, object) for every line that is not empty; UTF-8, line ends LF, CRLF or CR, the last may lack."""
    decode, strict, judged = msgspec.json.Decoder().decode, json_item.decoder().decode, json_item.judged
    for number, line in numbered_lines(stream):
        if isinstance(line, RowRefused):
            yield number, line
            continue
        try:
            value = decode(line)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            yield number, _second_reading(line, strict)
        else:
            yield number, judged(value, line, 0, len(line))


def numbered_lines(stream: BinaryIO) -> Iterator[tuple[int, bytes | RowRefused]]:
    """(line, bytes) for every line that holds more than white space; one of absurd length is refused.

    Beside LF and CRLF, a lone CR ends a line, as on old systems.
    """
    number = 0
    for block in _blocks(stream):
        if isinstance(block, RowRefused):
            number += 1
            yield number, block
            continue
        for line in block.splitlines():
            number += 1
            if line and not line.isspace():
                yield number, line


def _blocks(stream: BinaryIO) -> Iterator[bytes | RowRefused]:
    """Pieces of whole lines; in place of a line of absurd length, why it is refused."""
    left, skipping = b"", False
    while chunk := stream.read(CHUNK_BYTES):
        if chunk.endswith(b"\r"):
            chunk += stream.read(1)  # one line end is not cut in two
        cut = max(chunk.rfind(b"\n"), chunk.rfind(b"\r") if b"\n" not in chunk else -1) + 1
        if not cut:
            left += b"" if skipping else chunk
            if len(left) > LINE_LIMIT_BYTES:
                yield RowRefused("row", _too_long(), "write each row on a line of its own")
                left, skipping = b"", True
            continue
        whole, left = left + chunk[:cut], chunk[cut:]
        if skipping:
            whole, skipping = b"".join(whole.splitlines(keepends=True)[1:]), False
        yield whole
    if left:
        yield left


def _second_reading(line: bytes, decode: Any) -> dict[str, Any] | RowRefused:
    """What the fast reader refuses: half an emoji is a text's own trouble; the rest gets its words here."""
    text = line.decode("utf-8").strip().removeprefix("\ufeff")
    if not text:
        return RowRefused("row", "holds no more than a byte order mark", json_item.NO_JSON_FIX)
    try:
        return json_item.judged(decode(text), text, 0, len(text))
    except (ValueError, RecursionError) as error:
        return json_item.refused(error)


def _too_long() -> str:
    return say("is a line of more than {limit} bytes", limit=LINE_LIMIT_BYTES)
