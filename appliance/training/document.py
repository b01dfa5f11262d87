"""A text that a model reads and learns from, cut where learning begins and ends."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from appliance.run.rows import Message, Row
from appliance.training.looked import Piece

Part = Literal["", "chosen", "rejected", "text"]
"""Which answer of a pair a document shows; a text is a document by itself."""


@dataclass(frozen=True)
class Document:
    """One text that the model reads and learns from."""

    part: Part
    pieces: tuple[Piece, ...]
    tokens: int
    learned: int
    """Tokens that it is taught to write."""


def unseen(row: Row) -> list[Document]:
    """A row without a model: its turns as they are kept, what is learned told apart; no tokens."""
    if row.kind == "text":
        return [Document("text", (Piece(row.text, True),), 0, 0)]
    if row.rejected is None:
        return [_turns(row, row.messages, "")]
    worse = (*row.messages[:-1], row.rejected)
    return [_turns(row, row.messages, "chosen"), _turns(row, worse, "rejected")]


def _turns(row: Row, messages: Sequence[Message], part: Part) -> Document:
    return Document(part, tuple(_pieces(row, messages)), 0, 0)


def _pieces(row: Row, messages: Sequence[Message]) -> Iterator[Piece]:
    if row.tools:
        yield Piece(f"tools: {row.tools}\n", False)
    for message in messages:
        learned = message.role == "assistant" and message.learned
        calls = "".join(f"\n{call.name} {call.arguments}" for call in message.calls)
        yield Piece(f"{message.role}: ", False)
        yield Piece(f"{message.content}{calls}\n", learned)
