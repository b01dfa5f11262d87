"""Judging one row's fields: the first thing wrong is what is reported."""

import re
from collections.abc import Mapping
from typing import Any

from appliance.run.rows import Message
from appliance.sentence import say

DESTROYED = re.compile("[\ufffd\0\ud800-\udfff]")
"""What conversions leave behind: the replacement character, a zero, half of a pair of surrogates."""


class RowRefused(Exception):
    """One row cannot be used; the reader turns this into a `Problem` with file and row."""

    def __init__(self, field: str, what: str, fix: str) -> None:
        super().__init__(what)
        self.field = field
        self.what = what
        self.fix = fix


def text_of(fields: Mapping[str, Any], field: str) -> str:
    """The text in `field`, outer white space removed, line ends as `\\n`; "" when it is absent or null.

    Raises: RowRefused, when it is no text, or was damaged by an earlier conversion.
    """
    value = fields.get(field)
    if value is None:
        return ""
    return clean(value, field)


def required_text(fields: Mapping[str, Any], field: str) -> str:
    """The same, for a field that must not be empty.

    Raises: RowRefused.
    """
    text = text_of(fields, field)
    if not text:
        raise missing(fields, field)
    return text


def missing(fields: Mapping[str, Any], field: str, place: str = "") -> RowRefused:
    """The refusal of a row that lacks what it must have; `place` says where `fields` stand in it."""
    what = say("is empty") if fields.get(field) is not None else say("is missing")
    return RowRefused(place or field, what, "write it, or delete the row")


def clean(value: Any, field: str) -> str:
    """One text, as it is learned.

    Raises: RowRefused.
    """
    if isinstance(value, RowRefused):  # a cell of a workbook: an error, a formula without a result
        raise RowRefused(field, value.what, value.fix)
    if not isinstance(value, str):
        raise RowRefused(
            field, say("must be text, is {kind}", kind=kind_of(value)), "put the value in quotes"
        )
    if DESTROYED.search(value):
        raise RowRefused(
            field, "holds characters that an earlier conversion destroyed", "export it again as UTF-8"
        )
    return value.replace("\r\n", "\n").strip()


def conversation(system: str, turns: list[tuple[str, str]]) -> tuple[Message, ...]:
    """Messages of a system prompt (may be empty) and (question, answer) turns."""
    messages = [Message("system", system)] if system else []
    for question, answer in turns:
        messages += [Message("user", question), Message("assistant", answer)]
    return tuple(messages)


def kind_of(value: Any) -> str:
    """What a value of a document is, in words."""
    names: dict[type, str] = {
        bool: say("true or false"),
        int: say("a number"),
        float: say("a number"),
        list: say("a list"),
        dict: say("an object"),
    }
    return names.get(type(value), say("something else"))
