"""Alpaca rows: instruction, input, output, history, system; a JSON list or JSON lines.

What a row means follows LLaMA-Factory's `data/README.md`: the question is the instruction and the
input with a line end between; the pairs in `history` come before it, and their answers are learned too.
"""

from typing import Any

from appliance.data.judge import RowRefused, clean, conversation, required_text, text_of
from appliance.run.rows import Message
from appliance.sentence import say

FIELDS = ("instruction", "input", "output", "history", "system")


def alpaca_messages(item: Any) -> tuple[Message, ...]:
    """The conversation in one item.

    Raises: RowRefused, naming the field.
    """
    if isinstance(item, RowRefused):
        raise item
    if not isinstance(item, dict):
        raise RowRefused("row", "is no object", "write it as {...} with instruction and output")
    instruction, extra = text_of(item, "instruction"), text_of(item, "input")
    question = "\n".join(part for part in (instruction, extra) if part)
    if not question:
        what = say("is empty") if "instruction" in item else say("is missing")
        raise RowRefused("instruction", what, "write the question, or delete the row")
    answer = required_text(item, "output")
    return conversation(text_of(item, "system"), [*_history(item), (question, answer)])


def _history(item: dict[str, Any]) -> list[tuple[str, str]]:
    pairs = item.get("history")
    if pairs is None:
        return []
    if not isinstance(pairs, list):
        raise RowRefused("history", "is no list", "write it as [[question, answer], ...]")
    turns = []
    for position, pair in enumerate(pairs, start=1):
        field = f"history[{position}]"
        if not isinstance(pair, list) or len(pair) != 2:
            raise RowRefused(field, "is no pair", "write it as [question, answer]")
        question, answer = clean(pair[0], field), clean(pair[1], field)
        if not question or not answer:
            raise RowRefused(field, "has an empty part", "write both question and answer, or delete the pair")
        turns.append((question, answer))
    return turns
