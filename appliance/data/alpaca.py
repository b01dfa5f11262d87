"""Alpaca rows: instruction, input, output, history, system; a JSON list or JSON lines.

What a row means follows LLaMA-Factory's `data/README.md`: the question is the instruction and the
input with a line end between; the pairs in `history` come before it, and their answers are learned too.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from appliance.data.judge import RowRefused, clean, conversation, required_text, text_of
from appliance.errors import BadInput
from appliance.run.rows import Message

FIELDS = ("instruction", "input", "output", "history", "system")


def alpaca_items(text: str, source: Path) -> Iterator[tuple[int, Any]]:
    """(row, item) for every item of a JSON list, or of JSON lines; a line that is no JSON is a RowRefused.

    Raises: BadInput, when the text is neither.
    """
    if text.lstrip().startswith("["):
        yield from enumerate(_whole(text, source), start=1)
        return
    if not text.lstrip().startswith("{"):
        raise _no_json(source, "it begins with neither [ nor {")
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield number, _line(line)


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
        what = "is empty" if "instruction" in item else "is missing"
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


def _whole(text: str, source: Path) -> list[Any]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _no_json(source, str(error)) from error
    return list(document)


def _line(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        return RowRefused("row", f"is no JSON: {error}", "correct the line, or delete it")


def _no_json(source: Path, why: str) -> BadInput:
    return BadInput(
        f"{source} is no JSON.",
        why=why,
        next_step="Correct the file at that place, or export it again as JSON (a list) or JSON lines.",
    )
