"""OpenAI chat rows: `{"messages": [{"role": …, "content": …}, …]}`, as a JSON list or JSON lines.

Strict where readers elsewhere are not: turns that do not alternate, a last turn that is no answer,
tools, or an answer marked as not to be learned would each change what the row means, so each is
refused by name. Every answer of a conversation is learned.
"""

from typing import Any

from appliance.data.judge import RowRefused, clean
from appliance.run.rows import Message, Role
from appliance.sentence import say

FIELDS = ("messages",)
TOOL_FIELDS = ("tools", "functions", "parallel_tool_calls", "function_call")
CALL_FIELDS = ("tool_calls", "function_call", "tool_call_id")
TURN_FIELDS = ("role", "content", "weight", "loss", *CALL_FIELDS)
NO_TOOLS = say("leave out rows that call tools: only questions and answers are learned")


def chat_messages(item: Any) -> tuple[Message, ...]:
    """The conversation in one item.

    Raises: RowRefused, naming the field.
    """
    if isinstance(item, RowRefused):
        raise item
    if not isinstance(item, dict):
        raise RowRefused("row", "is no object", 'write it as {"messages": [...]}')
    for field in TOOL_FIELDS:
        if item.get(field):
            raise RowRefused(field, "describes tools, which are not learned yet", NO_TOOLS)
    turns = item.get("messages")
    if not isinstance(turns, list) or not turns:
        what = say("is missing") if "messages" not in item else say("is no list of turns")
        raise RowRefused("messages", what, 'write it as [{"role": "user", "content": "…"}, …]')
    messages = [_message(turn, f"messages[{number}]") for number, turn in enumerate(turns, start=1)]
    if messages[0].role == "system" and not messages[0].content:
        del messages[0]  # an empty system prompt is none
    _check_order(messages, first=len(turns) - len(messages) + 1)
    return tuple(messages)


def ignored_fields(item: Any) -> set[str]:
    """Names of what an item and its turns hold beside what is read: `id`, `messages[].name`."""
    if not isinstance(item, dict):
        return set()
    turns = item.get("messages")
    inner = [turn for turn in turns if isinstance(turn, dict)] if isinstance(turns, list) else []
    return {str(field) for field in item if field not in (*FIELDS, *TOOL_FIELDS)} | {
        f"messages[].{field}" for turn in inner for field in turn if field not in TURN_FIELDS
    }


def _message(turn: Any, place: str) -> Message:
    if not isinstance(turn, dict):
        raise RowRefused(place, "is no object", "write it with role and content")
    role = _role(turn.get("role"), place)
    for field in CALL_FIELDS:
        if turn.get(field):
            raise RowRefused(f"{place}.{field}", "calls a tool, which is not learned yet", NO_TOOLS)
    if turn.get("weight", 1) != 1 or turn.get("loss", True) is not True:
        field = "weight" if "weight" in turn else "loss"
        fix = say("every answer is learned: remove the mark, or the turn")
        raise RowRefused(f"{place}.{field}", "marks a turn that is not to be learned", fix)
    if turn.get("content") is None:
        raise RowRefused(f"{place}.content", "is missing", "write it, or delete the row")
    content = clean(turn["content"], f"{place}.content")
    if not content and role != "system":
        raise RowRefused(f"{place}.content", "is empty", "write it, or delete the row")
    return Message(role, content)


def _role(role: Any, place: str) -> Role:
    match role:
        case "system":
            return "system"
        case "user":
            return "user"
        case "assistant":
            return "assistant"
        case "tool" | "function":
            raise RowRefused(
                f"{place}.role", say("is {role}: tools are not learned yet", role=role), NO_TOOLS
            )
        case "developer":
            raise RowRefused(f"{place}.role", "is developer", "write system")
    raise RowRefused(f"{place}.role", "is none of system, user, assistant", "correct it")


def _check_order(messages: list[Message], *, first: int) -> None:
    """system, if at all, first; then user and assistant in turn; an answer last.

    first: the number of the first of `messages` in the row
    """
    opening = 1 if messages and messages[0].role == "system" else 0
    for position, message in enumerate(messages[opening:]):
        expected = ("user", "assistant")[position % 2]
        if message.role != expected:
            place = f"messages[{first + opening + position}].role"
            raise RowRefused(
                place,
                say("is {role} where {expected} must be", role=message.role, expected=expected),
                "put the turns in order",
            )
    if not messages[opening:] or messages[-1].role != "assistant":
        raise RowRefused("messages", "does not end with an answer", "add the answer, or delete the row")
