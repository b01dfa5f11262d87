"""A path to sources: what a file is follows from its bytes; its name decides only between table and text."""

import io
import json
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, TextIO

from appliance.data.files import json_lines, json_list, lines, table
from appliance.data.files.content import Content, file_content
from appliance.data.files.encoding import Text, look_at_text, open_text
from appliance.data.files.source import Container, Items, Source
from appliance.errors import BadInput
from appliance.sentence import say

SAMPLE_BYTES = 1 << 16
LOOKED_LINES = 50
TEXT_NAMES = ("", ".txt", ".text", ".md")
TABLE_NAMES = (".csv", ".tsv", ".tab")


def open_sources(path: Path, *, sheet: str = "") -> tuple[Source, ...]:
    """What there is to read at `path`, in order.

    Raises: BadInput, when it is not there, or of no kind that is known, or damaged.
    """
    return (open_content(file_content(path)),)


def open_content(content: Content) -> Source:
    """The source that `content` is.

    Raises: BadInput, when it is of no kind that is known, or damaged.
    """
    text = look_at_text(content)
    container, read = _text_reader(content, text)
    return Source(content.name, content.path, container, text.encoding, text.sha256, text.size, read)


def _text_reader(content: Content, text: Text) -> tuple[Container, Any]:
    sample, whole = _sample(content, text)
    start = sample.lstrip("\ufeff \t\r\n")[:1]
    if not start:
        raise _unknown(content, say("it is empty"))
    suffix = Path(content.name).suffix.lower()
    if start == "[":
        return "json", partial(_from_text, json_list.list_items, content, text)
    if start == "{":
        if _is_lines(sample, whole):
            return "jsonl", partial(_from_bytes, json_lines.line_items, content, text)
        return "json", partial(_from_text, json_list.object_items, content, text)
    delimiter = _delimiter(content, sample, whole, suffix)
    if delimiter:
        named: Container = "tsv" if delimiter == "\t" else "csv"
        return named, partial(_from_text, partial(_table, delimiter), content, text)
    if suffix in TEXT_NAMES:
        return "text", partial(_from_bytes, lines.text_items, content, text)
    raise _unknown(content, say("it begins like neither JSON nor a table"))


def _delimiter(content: Content, sample: str, whole: bool, suffix: str) -> str:
    """What separates the cells, where it is a table; else ""."""
    if suffix in TABLE_NAMES:
        return table.find_delimiter(sample, whole, content.path) or ","  # else a table of one column
    candidates = ("\t",) if suffix in TEXT_NAMES else table.DELIMITERS
    return next((each for each in candidates if table.is_even(sample, whole, each)), "")


def _sample(content: Content, text: Text) -> tuple[str, bool]:
    """The beginning of a text, and whether that is all of it."""
    with open_text(content, text) as stream:
        head = stream.read(SAMPLE_BYTES)
        whole = not stream.read(1)
    return head.decode("utf-8", "ignore"), whole  # the last character may be cut


def _is_lines(sample: str, whole: bool) -> bool:
    """Whether objects are on a line each, not over several: a damaged first line does not make it another."""
    found = sample.replace("\r", "\n").split("\n")
    complete = [text for line in (found if whole else found[:-1]) if (text := line.strip("\ufeff \t"))]
    if not complete or any(_is_object(line) for line in complete[:LOOKED_LINES]):
        return True
    return complete[0].endswith("}") or any(line.startswith("{") for line in complete[1:2])


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _table(delimiter: str, text: TextIO, source: Path) -> Items:
    return table.table_items(text, source, delimiter)


def _from_text(items: Any, content: Content, text: Text) -> Items:
    with io.TextIOWrapper(open_text(content, text), encoding="utf-8", newline="") as stream:
        yield from items(stream, content.path)


def _from_bytes(items: Any, content: Content, text: Text) -> Items:
    with closing(open_text(content, text)) as stream:
        yield from items(stream)


def _unknown(content: Content, why: str) -> BadInput:
    return BadInput(
        say("The format of {path} is not known.", path=content.path),
        why=why,
        next_step="Export it as JSON, or as a table (CSV, Excel) with the names of the columns in row 1.",
    )
