"""Rows as JSON lines in OpenAI's style, for other tools and for people: our own reader reads them back equal.

What a line cannot say is left out: where the row came from and what was done to it. Parquet keeps both.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from appliance.durable import whole_file
from appliance.errors import BadInput
from appliance.run.rows import Message, Row
from appliance.sentence import say

_ONE_KIND = say("texts and conversations cannot be told apart in one file of lines")


@contextmanager
def line_writer(path: Path) -> Iterator[Callable[[Row], None]]:
    """What takes one row after another for the file at `path`, for this account alone, whole or not at all.

    Raises: BadInput, when texts and conversations are among the rows; OSError, when the disk is full.
    """
    kinds: set[bool] = set()
    with whole_file(path, mode=0o600) as sink:

        def add(row: Row) -> None:
            kinds.add(row.kind == "text")
            if len(kinds) > 1:
                raise BadInput(
                    say("{path} cannot hold these rows.", path=path.name),
                    why=_ONE_KIND,
                    next_step="Write them as Parquet: give a name that ends with .parquet.",
                )
            sink.write(json.dumps(row_document(row), ensure_ascii=False).encode() + b"\n")

        yield add


def row_document(row: Row) -> dict[str, Any]:
    """One row. Of a pair, the question stands in `messages`, the answers in `chosen` and `rejected`."""
    if row.kind == "text":
        return {"text": row.text}
    turns = [_turn(message) for message in row.messages]
    document: dict[str, Any] = {"messages": turns}
    if row.tools:
        document["tools"] = json.loads(row.tools)
    if row.rejected is not None:
        document |= {"messages": turns[:-1], "chosen": turns[-1], "rejected": _turn(row.rejected)}
    if row.label is not None:
        document["label"] = row.label
    return document


def _turn(message: Message) -> dict[str, Any]:
    turn: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.calls:
        turn["tool_calls"] = [
            {"type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.calls
        ]
    if not message.learned:
        turn["loss"] = False
    return turn
