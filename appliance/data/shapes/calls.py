"""Tools and what calls them, from the several ways in which files write them to one."""

import json
from functools import lru_cache
from typing import Any

from appliance.data.judge import RowRefused, clean
from appliance.run.rows import ToolCall
from appliance.sentence import Sentence, say

TOOLS_AS = say('write it as [{"type": "function", "function": {"name": …, "parameters": {…}}}]')
CALL_AS = say('write it as {"name": "…", "arguments": {…}}')


def _no_number(word: str) -> None:
    raise ValueError(word)


_STRICT = json.JSONDecoder(parse_constant=_no_number)
"""Python reads NaN and Infinity, which JSON does not know."""


def tools_text(value: Any, place: str, *, sparse: bool = False) -> str:
    """The tools of a row as one JSON list, each as `{"type": "function", "function": {…}}`; "" for none.

    value: a list, an object for one tool, or either as JSON text; sparse: as in `Tags`

    Raises: RowRefused.
    """
    if isinstance(value, str):
        return _tools_of_text(value, place)
    if value is None or value == [] or value == {}:
        return ""
    if sparse:
        value = _without_nulls(value)
    tools = value if isinstance(value, list) else [value]
    return clean(json.dumps([_tool(each, place) for each in tools], ensure_ascii=False), place)


def call_of(value: Any, place: str, *, sparse: bool = False) -> ToolCall:
    """One call: an object with a name and arguments, which may be an object or JSON text of one.

    sparse: as in `Tags`

    Raises: RowRefused.
    """
    if not isinstance(value, dict):
        raise RowRefused(place, "is no call of a tool", CALL_AS)
    name = value.get("name")
    if not isinstance(name, str) or not name.strip():
        raise RowRefused(f"{place}.name", "is missing", CALL_AS)
    arguments = value.get("arguments")
    if sparse:
        arguments = _without_nulls(arguments)
    return ToolCall(clean(name, f"{place}.name"), _arguments(arguments, f"{place}.arguments"))


def calls_of_text(text: str, place: str) -> tuple[str, tuple[ToolCall, ...]]:
    """(what is thought before, the calls) of a turn that is nothing but calls: an object or a list, as JSON.

    Raises: RowRefused.
    """
    thought, end, rest = text.partition("</think>")
    if not end:
        thought, rest = "", text
    calls = _loaded(rest.strip(), place, CALL_AS)
    listed = calls if isinstance(calls, list) else [calls]
    if not listed:
        raise RowRefused(place, "is no call of a tool", CALL_AS)
    return (thought + end).strip(), tuple(call_of(each, place) for each in listed)


@lru_cache(maxsize=64)  # most rows of a file offer the same tools
def _tools_of_text(text: str, place: str) -> str:
    return tools_text(_loaded(text, place, TOOLS_AS), place) if text.strip() else ""


def _tool(value: Any, place: str) -> dict[str, Any]:
    function = value.get("function") if isinstance(value, dict) else None
    named = function if isinstance(function, dict) else value
    if not isinstance(named, dict) or not isinstance(named.get("name"), str) or not named["name"]:
        raise RowRefused(place, "holds what is no tool with a name", TOOLS_AS)
    return value if named is function else {"type": "function", "function": value}


def _arguments(value: Any, place: str) -> str:
    if value is None or value == "":
        return "{}"
    if isinstance(value, dict):
        return clean(json.dumps(value, ensure_ascii=False), place)
    if not isinstance(value, str) or not isinstance(_loaded(value, place, CALL_AS), dict):
        raise RowRefused(place, "is no JSON object", CALL_AS)
    return clean(value, place)


def _without_nulls(value: Any) -> Any:
    """The same without names whose value is null, at any depth."""
    if isinstance(value, dict):
        return {name: _without_nulls(inner) for name, inner in value.items() if inner is not None}
    return [_without_nulls(inner) for inner in value] if isinstance(value, list) else value


def _loaded(text: str, place: str, fix: Sentence) -> Any:
    try:
        return _STRICT.decode(text)
    except (ValueError, RecursionError) as error:
        raise RowRefused(place, "is no JSON", fix) from error
