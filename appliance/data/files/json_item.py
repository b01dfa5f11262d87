"""One item of JSON: an object with text that means one thing only, or a row refused by name.

JSON leaves open what `{"output": "a", "output": "b"}` means, and Python reads `NaN`, which is no JSON.
Both are refused here, for every container of JSON alike.
"""

import json
import re
from functools import lru_cache
from typing import Any

from appliance.data.judge import RowRefused
from appliance.sentence import Sentence, reason, say

NO_JSON_FIX = say("correct the row, or delete it")
_SPACED_TEXT, _SPACED_BYTES = re.compile(r'"[ \t\r\n]+:'), re.compile(rb'"[ \t\r\n]+:')

_NESTED = (dict, list)


class NotJson(ValueError):
    """What Python's reader takes and JSON does not know."""


class _Doubled(ValueError):
    """A name stands twice in one object."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name


def decoder() -> json.JSONDecoder:
    """A reader of JSON that raises NotJson for NaN, Infinity and numbers of absurd length."""
    return json.JSONDecoder(parse_constant=_constant, parse_int=_whole_number)


def tolerant_decoder() -> json.JSONDecoder:
    """The same, which reads over them: where such an item ends, the next begins."""
    return json.JSONDecoder(parse_constant=lambda word: None, parse_int=lambda digits: None)


def refused(error: Exception) -> RowRefused:
    """The row for an item that is no JSON."""
    return RowRefused("row", say("is no JSON: {error}", error=fault(error)), NO_JSON_FIX)


def fault(error: Exception) -> str:
    """What is wrong, in words that hold nothing of the data."""
    return say("it is nested too deep") if isinstance(error, RecursionError) else reason(error)


def judged(value: Any, raw: str | bytes, start: int, end: int) -> dict[str, Any] | RowRefused:
    """The object that was read from `raw[start:end]`, or why it is none that can be used."""
    if not isinstance(value, dict):
        return RowRefused("row", "is no object", "write it as {...}, with a name before each value")
    # Each name that is written has a colon: as many as there are names, and none stands twice.
    colons = raw.count(b":", start, end) if isinstance(raw, bytes) else raw.count(":", start, end)
    if colons == len(value) and _are_shown(tuple(value)):
        return value
    names = _count_names(value)
    if names < 0:
        return RowRefused(
            "row", "has a name that cannot be shown", "write names of letters, digits and spaces"
        )
    if colons == names or _written_names(raw, start, end) == names:
        return value
    return _without_doubles(value, raw[start:end])


def _written_names(raw: str | bytes, start: int, end: int) -> int:
    """How many names are written where no text looks like one; -1 where that is not certain."""
    if isinstance(raw, bytes):
        spaced = _SPACED_BYTES.search(raw, start, end)
        return -1 if spaced else raw.count(b'":', start, end)
    return -1 if _SPACED_TEXT.search(raw, start, end) else raw.count('":', start, end)


def _without_doubles(value: dict[str, Any], raw: str | bytes) -> dict[str, Any] | RowRefused:
    try:
        json.loads(raw, object_pairs_hook=_pairs)
    except _Doubled as doubled:
        return RowRefused(
            doubled.name, "stands twice in one object", "keep one of the two, or delete the row"
        )
    return value


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        seen: set[str] = set()
        raise _Doubled(next(name for name, _ in pairs if name in seen or seen.add(name)))  # type: ignore[func-returns-value]
    return made


def _count_names(value: dict[str, Any]) -> int:
    """How many names there are in an object at any depth; -1 when one cannot be shown on a screen."""
    count = len(value)
    left: list[Any] = [inner for inner in value.values() if inner.__class__ in _NESTED]
    shown = _are_shown(tuple(value))
    while left and shown:
        each = left.pop()
        if each.__class__ is dict:
            count += len(each)
            shown = _are_shown(tuple(each))
            each = each.values()
        left += [inner for inner in each if inner.__class__ in _NESTED]
    return count if shown else -1


@lru_cache(4096)
def _are_shown(names: tuple[str, ...]) -> bool:
    return "".join(names).isprintable()


def _constant(word: str) -> None:
    raise NotJson(say("{word} is no number of JSON", word=word))


def _whole_number(digits: str) -> int:
    try:
        return int(digits)
    except ValueError as error:
        raise NotJson(Sentence("a number has thousands of digits")) from error
