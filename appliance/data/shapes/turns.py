"""Conversations as lists of turns: ShareGPT's `from`/`value`, OpenAI's `role`/`content`, and their kin.

Strict where readers elsewhere empty a row after a line in a log, or go on with half of it: turns out of
order, an unknown speaker, a tool's answer that nobody reads, a pair without its other half are each refused
by the number of the turn.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from appliance.data.judge import DESTROYED, RowRefused, clean, kind_of, missing, text_of
from appliance.data.shapes.answers import label_of, with_thoughts
from appliance.data.shapes.calls import call_of, calls_of_text, tools_text
from appliance.data.shapes.shape import Parts, Shape, Tags, as_list, is_list_of_objects, refuse_media
from appliance.run.rows import Message, ToolCall
from appliance.sentence import say

THOUGHT_FIELDS = ("reasoning_content", "reasoning", "thinking")
"""Where a turn keeps what is thought before its answer."""

TURN_FIELDS = frozenset(
    {"weight", "loss", "tool_calls", "function_call", "tool_call_id", "id", *THOUGHT_FIELDS}
)
"""What is read of a turn beside its role and its content; a call's number only puts its result in place."""

Ending = Literal["answer", "question"]


def turns_parts(item: Mapping[str, Any], shape: Shape) -> Parts:
    """The conversation in one item.

    Raises: RowRefused, naming the field.
    """
    column = shape.column("messages")
    messages = read_turns(item.get(column), column, shape.tags, present=column in item)
    if shape.is_plain(item):
        check_order(messages, column, shape.tags, ends="answer")
        return Parts(opened("", messages), steps=shape.steps)
    refuse_media(item, shape)
    system = text_of(item, shape.column("system"))
    chosen, rejected = shape.held(item, "chosen"), shape.held(item, "rejected")
    tools = tools_text(item.get(shape.column("tools")), shape.column("tools"), sparse=shape.tags.sparse)
    label = label_of(item, shape)
    if chosen is None and rejected is None:
        if "rejected" in shape.needs:
            raise missing(item, shape.column("rejected"))
        check_order(messages, column, shape.tags, ends="answer")
        steps = (*shape.steps, *label.steps)
        return Parts(opened(system, messages), tools, None, label.value, "", steps)
    if label.value is not None:
        raise RowRefused(shape.column("kto_tag"), "stands beside a pair of answers", "keep one of the two")
    messages, worse = read_pair(messages, item, shape)
    return Parts(opened(system, messages), tools, worse, None, "", shape.steps)


def read_pair(before: list[Message], item: Mapping[str, Any], shape: Shape) -> tuple[list[Message], Message]:
    """(the conversation with the better answer, the worse answer) of an item that has both.

    `before` ends with a question; or with the better answer, where the file has no column for it. Either
    answer is a text, a turn, or a list of turns: the whole conversation again, or what follows on `before`.

    Raises: RowRefused.
    """
    column = shape.column("messages" if "messages" in shape.columns else "prompt")
    worse = _answers(item, "rejected", shape)
    if has_chosen(item, shape) or not _is_answered(before):
        better = _answers(item, "chosen", shape)
    else:
        better = [before.pop()]
    better, worse = _after(before, better), _after(before, worse)
    while len(better) > 1 and len(worse) > 1 and better[0] == worse[0]:
        before.append(better.pop(0))
        worse.pop(0)
    for name, answers in (("chosen", better), ("rejected", worse)):
        if len(answers) != 1 or answers[0].role != "assistant":
            raise RowRefused(
                shape.column(name), "is more or less than one answer", "leave one answer to the same question"
            )
    check_order(before, column, shape.tags, ends="question")
    return [*before, better[0]], worse[0]


def has_chosen(item: Mapping[str, Any], shape: Shape) -> bool:
    """Whether the better answer of a pair stands in a column of its own, and not where answers stand."""
    return "chosen" in shape.needs or shape.columns.get("chosen") in item


def read_turns(value: Any, column: str, tags: Tags, *, present: bool = True) -> list[Message]:
    """The messages of a list of turns, in their order.

    Raises: RowRefused.
    """
    turns = as_list(value)
    if not isinstance(turns, list) or not turns:
        what = say("is no list of turns") if present else say("is missing")
        raise RowRefused(column, what, say("write it as a list of turns, each with its speaker and its text"))
    messages = [
        _plain_message(turn, tags) or _message(turn, f"{column}[{number}]", tags)
        for number, turn in enumerate(turns, start=1)
    ]
    if "tool" in [message.role for message in messages]:
        messages = _in_order_of_calls(turns, messages, column)
    return messages


def opened(system: str, messages: Sequence[Message]) -> tuple[Message, ...]:
    """The conversation with its own system prompt, else with `system`; an empty one is none."""
    own = messages[0].role == "system"
    if own and messages[0].content:
        return tuple(messages)
    rest = messages[1:] if own else messages
    return (Message("system", system), *rest) if system else tuple(rest)


def check_order(messages: Sequence[Message], column: str, tags: Tags, *, ends: Ending) -> None:
    """Pass if, after a system prompt, questions and answers alternate and the last turn is what it must be.

    What tools say stands where a question does, one turn a call.

    Raises: RowRefused, with the number of the turn.
    """
    first = 1 if messages and messages[0].role == "system" else 0
    asked, after_tool = False, False
    for number, message in enumerate(messages[first:], start=first + 1):
        if message.role == "assistant":
            fits = asked
        elif message.role == "tool":
            fits = after_tool or (not asked and number > first + 1)
        else:
            fits = message.role == "user" and not asked
        if not fits:
            expected = "assistant" if asked else "user"
            raise RowRefused(
                f"{column}[{number}].{tags.role}",
                say("is {role} where {expected} must be", role=message.role, expected=expected),
                "put the turns in order",
            )
        asked, after_tool = message.role != "assistant", message.role == "tool"
    if len(messages) == first or asked != (ends == "question"):
        if ends == "answer":
            raise RowRefused(column, "does not end with an answer", "add the answer, or delete the row")
        raise RowRefused(column, "does not end with a question", "end it before the answers of the pair")
    if ends == "answer" and not any(turn.learned for turn in messages if turn.role == "assistant"):
        raise RowRefused(column, "has no answer that is to be learned", "mark one answer, or delete the row")


def ignored_in_turns(item: Mapping[str, Any], shape: Shape) -> set[str]:
    """Names of what turns hold beside what is read: `messages[].name`."""
    column = shape.column("messages")
    turns = item.get(column)
    more = (
        [turn for turn in turns if isinstance(turn, dict) and len(turn) > 2]
        if isinstance(turns, list)
        else []
    )
    if not more:
        return set()
    read = {shape.tags.role, shape.tags.content} | TURN_FIELDS
    return {f"{column}[].{name}" for turn in more for name in turn if name not in read}


def _plain_message(turn: Any, tags: Tags) -> Message | None:
    """A turn that is who speaks and what, and no more, as nearly all are; None for any other."""
    if type(turn) is not dict or len(turn) != 2:
        return None
    word, content = turn.get(tags.role), turn.get(tags.content)
    if type(word) is not str or type(content) is not str or DESTROYED.search(content):
        return None
    role, text = tags.roles.get(word), content.replace("\r\n", "\n").strip()
    return Message(role, text) if role and role != "call" and text else None


def _message(turn: Any, place: str, tags: Tags) -> Message:
    if not isinstance(turn, dict):
        raise RowRefused(place, "is no object", say("write it with its speaker and its text"))
    role, content_place = tags.role_of(turn.get(tags.role)), f"{place}.{tags.content}"
    if role is None:
        what = say("is none of {roles}", roles="system, user, assistant, tool")
        raise RowRefused(f"{place}.{tags.role}", what, "correct it")
    content = _content(turn.get(tags.content), content_place)
    learned = _learned(turn, place, taught=role in ("assistant", "call"))
    if role == "call":
        thought, calls = calls_of_text(content, content_place)
        return Message("assistant", thought, calls, learned)
    if role == "assistant":
        content = with_thoughts(_thought(turn, place), content, content_place)
        calls = _calls(turn, place, tags.sparse)
        if not content and not calls:
            raise missing(turn, tags.content, content_place)
        return Message("assistant", content, calls, learned)
    if turn.get("tool_calls") or turn.get("function_call"):
        raise RowRefused(place, "calls a tool, which only an answer can", "correct who speaks")
    if not content and role == "user" or tags.content not in turn:
        raise missing(turn, tags.content, content_place)
    return Message(role, content)


def _content(value: Any, place: str) -> str:
    """Text, or OpenAI's list of parts where all of them are text."""
    if value is None:
        return ""
    if not isinstance(value, list):
        return clean(value, place)
    texts = []
    for number, part in enumerate(value, start=1):
        here = f"{place}[{number}]"
        if not isinstance(part, dict) or not isinstance(part.get("type"), str):
            raise RowRefused(place, say("must be text, is {kind}", kind=kind_of(value)), "write it as text")
        if part["type"] not in ("text", "input_text", "output_text"):
            raise RowRefused(
                here,
                say("refers to pictures, films or sounds, which are not learned"),
                say("leave the row out: only text is learned"),
            )
        if part.get("text") is None:
            raise missing(part, "text", f"{here}.text")
        texts.append(clean(part["text"], f"{here}.text"))
    return "\n".join(texts)


def _learned(turn: Mapping[str, Any], place: str, *, taught: bool) -> bool:
    """Whether an answer is to be learned, as `weight` (0 or 1) or `loss` says."""
    for field in ("loss", "weight"):
        mark = turn.get(field)
        if mark is None:
            continue
        if mark not in (0, 1):
            what = say("must be true or false, 1 or 0")
            raise RowRefused(f"{place}.{field}", what, "correct it")
        if mark and not taught and field == "loss":
            raise RowRefused(f"{place}.loss", "marks what is no answer to be learned", "remove the mark")
        return bool(mark)
    return True


def _thought(turn: Mapping[str, Any], place: str) -> str:
    for field in THOUGHT_FIELDS:
        if turn.get(field) is not None:
            return clean(turn[field], f"{place}.{field}")
    return ""


def _calls(turn: Mapping[str, Any], place: str, sparse: bool) -> tuple[ToolCall, ...]:
    calls = as_list(turn.get("tool_calls")) or []
    if not isinstance(calls, list):
        raise RowRefused(f"{place}.tool_calls", "is no list", "write it as a list of calls")
    found = []
    for number, call in enumerate(calls, start=1):
        here = f"{place}.tool_calls[{number}]"
        function = call.get("function", call) if isinstance(call, dict) else call
        found.append(call_of(function, here, sparse=sparse))
    if turn.get("function_call"):
        found.append(call_of(turn["function_call"], f"{place}.function_call", sparse=sparse))
    return tuple(found)


def _in_order_of_calls(turns: list[Any], messages: list[Message], column: str) -> list[Message]:
    """The same messages, the results of several calls in the order of the calls, by their numbers."""
    placed: list[tuple[int, int, Message]] = []
    order: dict[str, int] = {}
    block = 0
    for at, (turn, message) in enumerate(zip(turns, messages, strict=True)):
        if message.role != "tool":
            block, order = at, _numbers_of_calls(turn)
            placed.append((at, 0, message))
            continue
        number = str(turn.get("tool_call_id") or "")
        if order and number and number not in order:
            place = f"{column}[{at + 1}].tool_call_id"
            raise RowRefused(place, "answers a call that was not made", "correct the number")
        placed.append((block, order.get(number, at), message))
    return [message for _, _, message in sorted(placed, key=lambda each: each[:2])]


def _numbers_of_calls(turn: Mapping[str, Any]) -> dict[str, int]:
    numbers = [call.get("id") for call in as_list(turn.get("tool_calls")) or []]
    return {number: place for place, number in enumerate(numbers, start=1) if isinstance(number, str)}


def _answers(item: Mapping[str, Any], name: str, shape: Shape) -> list[Message]:
    value, column = shape.held(item, name), shape.column(name)
    if value is None:
        raise missing(item, column)
    if is_list_of_objects(value):
        return read_turns(value, column, shape.tags)
    if isinstance(value, dict):
        message = _message(value, column, shape.tags)
        if message.role != "assistant":
            raise RowRefused(column, "is no answer", "correct who speaks")
        return [message]
    return [Message("assistant", clean(value, column))]


def _is_answered(messages: Sequence[Message]) -> bool:
    return bool(messages) and messages[-1].role == "assistant"


def _after(before: Sequence[Message], turns: list[Message]) -> list[Message]:
    """`turns` without those that `before` holds already."""
    known = [turn for turn in before if turn.role != "system"]
    rest = turns[1:] if len(turns) > 1 and turns[0].role == "system" and before else turns
    return rest[len(known) :] if known and rest[: len(known)] == known and len(rest) > len(known) else turns
