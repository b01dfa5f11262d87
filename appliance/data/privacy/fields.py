"""Every text of a row as leaves that are searched, and the same row with other texts in their places.

A text that is JSON (what a tool is asked and what it answers) is searched value by value, decoded, behind
its name: `{"姓名": "…"}` asks for a name as a form does, and `\\u5f20` is a character. The names are searched
too: `{"张伟": {…}}` names a patient. What is not changed stays byte for byte as it was.
"""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from appliance.run.rows import Message, Row, ToolCall

_TOKENS = re.compile(
    r'"(?:[^"\\]|\\.)*"(?P<key>\s*:)?|-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?(?![0-9.])', re.DOTALL
)
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?")
_HAN = re.compile("[\u4e00-\u9fff]")
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])|[_-]+")
"""Where `patientName` and `patient_name` have a blank when a person writes them."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """One text that is searched."""

    before: str
    """What says what it is: the name of a JSON value, as a label, or that a file may be a patient's; else
    nothing. Never changed."""
    value: str


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a row: its leaves, and what makes the field of new values for them, in the same order."""

    leaves: tuple[Leaf, ...]
    made_of: Callable[[Sequence[str]], str]


def plain_field(text: str) -> Field:
    """A text that is searched as it stands."""
    return Field((Leaf("", text),), lambda values: values[0])


def json_field(text: str, *, labelled: bool = True) -> Field:
    """A text whose JSON values are searched; one that is no JSON is searched as it stands.

    labelled: whether the name of a value says what it is.
    """
    try:
        if not isinstance(json.loads(text), dict | list):
            return plain_field(text)
    except (ValueError, RecursionError):
        return plain_field(text)
    literals, leaves = [], []
    for (start, end), name in _literals(text):
        literals.append((start, end))
        written = text[start:end]
        value = json.loads(written) if written.startswith('"') else written
        leaves.append(Leaf(f"{_HUMP.sub(' ', name)}: " if labelled and name else "", value))

    def made_of(values: Sequence[str]) -> str:
        parts, at = [], 0
        for (start, end), leaf, value in zip(literals, leaves, values, strict=True):
            old = text[start:end]
            new = old if value == leaf.value else _literal(value, old, escaped=text.isascii())
            parts += [text[at:start], new]
            at = end
        return "".join([*parts, text[at:]])

    return Field(tuple(leaves), made_of)


def file_field(name: str) -> Field:
    """The path of a file, by its parts: one that is a name alone (`张伟.txt`) is taken for a patient's."""
    leaves = tuple(Leaf("患者" if _HAN.match(part) else "", part) for part in name.split("/"))
    return Field(leaves, "/".join)


def _literals(text: str) -> Iterator[tuple[tuple[int, int], str]]:
    """(where a text or a number of a JSON document stands, the name that it or its list has).

    Names are texts without a name.
    """
    name = ""
    for token in _TOKENS.finditer(text):
        if token["key"] is None:
            yield token.span(), name
            continue
        span = token.start(), token.start("key")
        name = json.loads(text[slice(*span)])
        yield span, ""


def _literal(value: str, old: str, *, escaped: bool) -> str:
    """`value` in place of the literal `old`; escaped: whether the document writes `\\u5f20` for 张"""
    if not old.startswith('"') and _NUMBER.fullmatch(value):
        return value
    return json.dumps(value, ensure_ascii=escaped)


def fields_of(row: Row) -> tuple[Field, ...]:
    """Every field of `row` that can hold a text, the name of its file too."""
    said = [field for message in _turns(row) for field in _fields_of_turn(message)]
    return (*said, json_field(row.tools, labelled=False), plain_field(row.text), file_field(row.file))


def with_fields(row: Row, texts: Sequence[str]) -> Row:
    """`row` with new texts for what `fields_of` gave of it, in the same order."""
    left = iter(texts)
    turns = [_turn_with(message, left) for message in _turns(row)]
    rejected = turns.pop() if row.rejected else None
    tools, text, file = left
    return replace(row, messages=tuple(turns), rejected=rejected, tools=tools, text=text, file=file)


def _turns(row: Row) -> tuple[Message, ...]:
    return (*row.messages, row.rejected) if row.rejected else row.messages


def _fields_of_turn(message: Message) -> list[Field]:
    whole = message.content.strip()
    is_json = whole[:1] + whole[-1:] in ("{}", "[]")
    content = json_field(message.content) if is_json else plain_field(message.content)
    return [content, *(json_field(call.arguments) for call in message.calls)]


def _turn_with(message: Message, texts: Iterator[str]) -> Message:
    content = next(texts)
    calls = tuple(ToolCall(call.name, next(texts)) for call in message.calls)
    return replace(message, content=content, calls=calls)
