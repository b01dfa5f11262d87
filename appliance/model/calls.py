"""Tools and calls as a model's chat template takes them, and whether it can write them at all.

Templates differ in what they ask for: arguments as an object or as text, an empty content or none. One
made-up conversation tells which a template writes whole; one that writes it in no way cannot do tools.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from appliance.run.rows import Message, ToolCall

_DECODER = json.JSONDecoder()
_NESTED = ("arguments", "parameters")
"""Where a call's object holds its arguments, by the families in use."""


@dataclass(frozen=True)
class CallStyle:
    """How calls are handed to a template."""

    as_text: bool = False
    """Arguments as JSON text; else as an object."""
    leaves_out: bool = False
    """A turn that only calls has no content at all; else an empty one. What transformers hands to a template
    never holds a null."""


STYLES = tuple(CallStyle(as_text, leaves_out) for as_text in (False, True) for leaves_out in (False, True))

_PROBE = ToolCall("islet_probe", '{"islet_key": "islet \\"value\\"", "islet_more": {"deep": [1]}}')
_RESULT, _DESCRIPTION = "islet probe result", "islet probe description"
_PROBE_TOOLS = json.dumps([{"name": _PROBE.name, "description": _DESCRIPTION, "parameters": {
    "type": "object", "properties": {"islet_key": {"type": "string"}, "islet_more": {"type": "object"}},
}}])  # fmt: skip
_PROBE_TURNS = (
    Message("user", "?"),
    Message("assistant", "", (_PROBE,)),
    Message("tool", _RESULT),
    Message("assistant", "islet probe"),
)


def uses_tools(messages: Sequence[Message], tools: str) -> bool:
    """Whether a conversation needs a template that can write tools."""
    return bool(tools) or any(message.calls or message.role == "tool" for message in messages)


def turn_documents(messages: Sequence[Message], style: CallStyle = STYLES[0]) -> list[dict[str, Any]]:
    """The turns as templates take them. Calls get numbers, which some ask for, and results their call's."""
    documents: list[dict[str, Any]] = []
    open_calls: list[dict[str, Any]] = []
    count = 0
    for message in messages:
        document: dict[str, Any] = {"role": message.role, "content": message.content}
        if message.calls:
            open_calls = [_call(call, count + at, style) for at, call in enumerate(message.calls)]
            count += len(open_calls)
            document["tool_calls"] = list(open_calls)
            if style.leaves_out and not message.content:
                del document["content"]
        elif message.role == "tool" and open_calls:
            call = open_calls.pop(0)
            document |= {"name": call["function"]["name"], "tool_call_id": call["id"]}
        documents.append(document)
    return documents


def _call(call: ToolCall, number: int, style: CallStyle) -> dict[str, Any]:
    arguments = call.arguments if style.as_text else json.loads(call.arguments)
    # Nine letters and digits: what Mistral's template insists on.
    return {
        "id": f"call{number:05d}",
        "type": "function",
        "function": {"name": call.name, "arguments": arguments},
    }


def tool_documents(tools: str) -> list[dict[str, Any]] | None:
    """The tools of a row as templates take them; None for none.

    Raises: ValueError, when the text is no JSON list of objects.
    """
    if not tools:
        return None
    listed = json.loads(tools)
    if not isinstance(listed, list) or not all(isinstance(tool, dict) for tool in listed):
        raise ValueError
    return [tool if "function" in tool else {"type": "function", "function": tool} for tool in listed]


def find_style(tokenizer: Any) -> CallStyle | None:
    """How this tokenizer's template takes calls; None where it cannot write tools, calls and results."""
    return _find_style(tokenizer, tokenizer.chat_template)


@lru_cache(maxsize=8)
def _find_style(tokenizer: Any, template: str) -> CallStyle | None:
    texts = {style: _probe(tokenizer, style) for style in STYLES}
    # A template that writes JSON is asked for JSON first: another style may come out as something alike.
    for written in (_after_json, _after_words):
        for style, text in texts.items():
            if _RESULT in text and _DESCRIPTION in text and written(text, _PROBE, 0) >= 0:
                return style
    return None


def _probe(tokenizer: Any, style: CallStyle) -> str:
    """The probe as the template writes it; "" where it cannot."""
    from jinja2.exceptions import TemplateError

    try:
        return str(
            tokenizer.apply_chat_template(
                turn_documents(_PROBE_TURNS, style),
                tools=tool_documents(_PROBE_TOOLS),
                tokenize=False,
                enable_thinking=False,
            )
        )
    except (TemplateError, TypeError, ValueError, KeyError, AttributeError):
        return ""


def holds_calls(text: str, calls: Sequence[ToolCall]) -> bool:
    """Whether `text`, as a template wrote it, holds these calls with all they say, in their order."""
    at = 0
    for call in calls:
        after = _after_json(text, call, at)
        at = after if after >= 0 else _after_words(text, call, at)
        if at < 0:
            return False
    return True


def _after_json(text: str, call: ToolCall, at: int) -> int:
    """Where in `text` the call ends that begins behind `at`, its arguments in JSON; -1 where it does not."""
    wanted = json.loads(call.arguments)
    for value, start, end in _objects(text, at):
        nested = [_unpacked(value[key]) for key in _NESTED if key in value]
        if value.get("name") == call.name and wanted in nested:
            return end
        if value == wanted and call.name in text[at:start]:
            return end
    return -1


def _objects(text: str, at: int) -> Iterator[tuple[dict[str, Any], int, int]]:
    """Every JSON object in `text` that lies in no other, with its bounds."""
    while (start := text.find("{", at)) >= 0:
        try:
            value, at = _DECODER.raw_decode(text, start)
        except (ValueError, RecursionError):
            at = start + 1
        else:
            yield value, start, at


def _unpacked(value: Any) -> Any:
    """Arguments that were written as text, read."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def _after_words(text: str, call: ToolCall, at: int) -> int:
    """The same where names and values are written one by one, as in XML or like a call in Python."""
    at = _after(text, (call.name,), at)
    for key, value in json.loads(call.arguments).items():
        at = _after(text, (key,), at)
        written = json.dumps(value, ensure_ascii=False)
        plain = () if isinstance(value, dict | list) else (str(value),)
        at = _after(text, (*plain, written), at)
    return at


def _after(text: str, forms: Sequence[str], at: int) -> int:
    """Where the first of `forms` that stands behind `at` ends; -1 for none, or where `at` is that already."""
    found = [place + len(form) for form in forms if at >= 0 and (place := text.find(form, at)) >= 0]
    return min(found, default=-1)
