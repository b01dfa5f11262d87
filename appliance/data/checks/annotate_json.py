"""JSON and JSON lines with a field more in rows that have a remark: spliced into the text, nothing rewritten.

Numbers, spaces and order stay as they were written. The file is held in memory.
"""

import json
import re
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from appliance.data.checks.remarks import Remarks, free_name, numbered, text_of
from appliance.data.files import Source

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")
_BETWEEN = re.compile(r"[\s,]*")
_DECODER = json.JSONDecoder(strict=False)


def write_lines(source: Source, sink: BinaryIO, title: str, remarks: Remarks) -> None:
    """JSON lines: a field more on each line that holds an object."""
    mark, text = text_of(source)
    lines = ((match.start(), match.end()) for match in _LINE.finditer(text))
    _write(source, sink, mark, _spliced(text, lines, title, remarks))


def write_list(source: Source, sink: BinaryIO, title: str, remarks: Remarks) -> None:
    """A JSON list, or objects one after another: a field more in each item that is an object."""
    mark, text = text_of(source)
    _write(source, sink, mark, _spliced(text, _items(text), title, remarks))


def _write(source: Source, sink: BinaryIO, mark: bytes, pieces: Iterable[str]) -> None:
    sink.write(mark)
    for piece in pieces:
        sink.write(piece.encode(source.encoding))


def _spliced(text: str, spans: Iterable[tuple[int, int]], title: str, remarks: Remarks) -> Iterator[str]:
    name = free_name(title, lambda name: json.dumps(name, ensure_ascii=False) in text)
    written = 0
    for number, start, end in numbered(spans):
        remark = remarks.at(number)
        if not remark:
            continue
        item = text[start:end].strip()
        if not _is_object(item):
            remarks.left += 1
            continue
        brace = text.rindex("}", start, end)
        last = _before_space(text, brace)
        comma = "" if text[last - 1] == "{" else ", "
        pair = json.dumps({name: remark}, ensure_ascii=False)[1:-1]
        yield f"{text[written:last]}{comma}{pair}"
        written = last
    yield text[written:]


def _before_space(text: str, at: int) -> int:
    """Where the white space that ends at `at` begins."""
    while text[at - 1].isspace():
        at -= 1
    return at


def _items(text: str) -> Iterator[tuple[int, int]]:
    """Where each item of a list, or each of several documents, begins and ends; up to the first fault."""
    at = _skip(text, 0)
    if text[at : at + 1] == "[":
        at = _skip(text, at + 1)
    while at < len(text) and text[at] != "]":
        try:
            _, end = _DECODER.raw_decode(text, at)
        except (ValueError, RecursionError):
            return
        yield at, end
        at = _skip(text, end)


def _skip(text: str, at: int) -> int:
    match = _BETWEEN.match(text, at)
    return match.end() if match else at


def _is_object(item: str) -> bool:
    try:
        return isinstance(_DECODER.decode(item), dict)
    except (ValueError, RecursionError):
        return False
