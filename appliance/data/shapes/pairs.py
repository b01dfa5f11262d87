"""A question and an answer in columns: Alpaca, prompt and completion, query and response, and any table.

What an Alpaca row means follows LLaMA-Factory's `data/README.md`: the question is the instruction and the
input with a line end between; the pairs in `history` come before it, and their answers are learned too.
TRL's conversational form, where the columns hold lists of turns, is read as well.
"""

from collections.abc import Mapping
from typing import Any

from appliance.data.judge import RowRefused, clean, missing, text_of
from appliance.data.shapes.answers import NO_LABEL, THOUGHTS_JOINED, label_of, with_thoughts
from appliance.data.shapes.calls import tools_text
from appliance.data.shapes.shape import Parts, Shape, as_list, is_list_of_objects, refuse_media
from appliance.data.shapes.turns import check_order, has_chosen, opened, read_pair, read_turns
from appliance.run.rows import Message
from appliance.sentence import say

HISTORY_AS = say("write it as [[question, answer], ...]")


def pair_parts(item: Mapping[str, Any], shape: Shape) -> Parts:
    """The conversation in one item.

    Raises: RowRefused, naming the column.
    """
    if shape.is_plain(item) and (plain := _plain_parts(item, shape)):
        return plain
    refuse_media(item, shape)
    columns = shape.columns
    system = text_of(item, columns["system"]) if "system" in columns else ""
    tools = tools_text(item.get(columns.get("tools", "")), shape.column("tools"), sparse=shape.tags.sparse)
    before = _before(item, shape)
    label = label_of(item, shape) if "kto_tag" in columns else NO_LABEL
    if shape.held(item, "chosen") is None and shape.held(item, "rejected") is None:
        if "rejected" in shape.needs:
            raise missing(item, shape.column("rejected"))
        answers, steps = _answers(item, shape)
        messages = [*before, *answers]
        check_order(messages, shape.column("response"), shape.tags, ends="answer")
        steps = (*shape.steps, *steps, *label.steps)
        return Parts(opened(system, messages), tools, None, label.value, "", steps)
    if label.value is not None:
        raise RowRefused(shape.column("kto_tag"), "stands beside a pair of answers", "keep one of the two")
    if not has_chosen(item, shape):
        before += _answers(item, shape)[0]
    messages_of_pair, worse = read_pair(before, item, shape)
    return Parts(opened(system, messages_of_pair), tools, worse, None, "", shape.steps)


def _plain_parts(item: Mapping[str, Any], shape: Shape) -> Parts | None:
    """The parts of an item that is a question and an answer as texts; None for any other."""
    get, columns = item.get, shape.columns
    prompt, answer = get(columns.get("prompt", "")), get(columns.get("response", ""))
    query = get(columns["query"]) if "query" in columns else None
    if type(prompt) is not str or type(answer) is not str or not (query is None or type(query) is str):
        return None
    question, answer = clean(prompt, columns["prompt"]), clean(answer, columns["response"])
    if query and (query := clean(query, columns["query"])):
        question = f"{question}\n{query}" if question else query
    if not question or not answer:
        return None
    return Parts((Message("user", question), Message("assistant", answer)), steps=shape.steps)


def _before(item: Mapping[str, Any], shape: Shape) -> list[Message]:
    """History and question; nothing where a pair of whole conversations holds the question itself."""
    prompt = shape.held(item, "prompt")
    if is_list_of_objects(prompt):
        turns = read_turns(prompt, shape.column("prompt"), shape.tags)
        check_order(turns, shape.column("prompt"), shape.tags, ends="question")
        return turns
    asked = [text_of(item, shape.columns[name]) for name in ("prompt", "query") if name in shape.columns]
    question = "\n".join(part for part in asked if part)
    if question:
        return [*_history(item, shape), Message("user", question)]
    if isinstance(shape.held(item, "chosen"), list) and isinstance(shape.held(item, "rejected"), list):
        return []
    column = shape.column("prompt" if "prompt" in shape.columns else "query")
    what = say("is empty") if item.get(column) is not None else say("is missing")
    raise RowRefused(column, what, "write the question, or delete the row")


def _answers(item: Mapping[str, Any], shape: Shape) -> tuple[list[Message], tuple[str, ...]]:
    """The answer, with what is thought before it, and what was done to it."""
    column = shape.column("response")
    value = shape.held(item, "response")
    if value is None:
        raise missing(item, column)
    if is_list_of_objects(value):
        return read_turns(value, column, shape.tags), ()
    answer = clean(value, column)
    thought = text_of(item, shape.columns["thinking"]) if "thinking" in shape.columns else ""
    steps = (THOUGHTS_JOINED,) if thought else ()
    return [Message("assistant", with_thoughts(thought, answer, shape.column("thinking")))], steps


def _history(item: Mapping[str, Any], shape: Shape) -> list[Message]:
    pairs = as_list(shape.held(item, "history"))
    if pairs is None:
        return []
    column = shape.column("history")
    if not isinstance(pairs, list):
        raise RowRefused(column, "is no list", HISTORY_AS)
    turns = []
    for position, pair in enumerate(pairs, start=1):
        place = f"{column}[{position}]"
        if not isinstance(pair, list) or len(pair) != 2:
            raise RowRefused(place, "is no pair", say("write it as [question, answer]"))
        question, answer = clean(pair[0], place), clean(pair[1], place)
        if not question or not answer:
            raise RowRefused(place, "has an empty part", "write both question and answer, or delete the pair")
        turns += [Message("user", question), Message("assistant", answer)]
    return turns
