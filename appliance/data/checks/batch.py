"""A few thousand rows at a time, with what every check needs of them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import blake2b

from appliance.data.checks.letters import Letters, letters_of
from appliance.run.rows import Message, Row

ROWS = 4096
CHARACTERS = 1_000_000
"""A batch ends when it has so many rows or characters."""

OPEN, CLOSE = "<think>", "</think>"


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows, and the texts that checks compare."""

    first: int
    """Number of the first row, from 0, over all files."""
    rows: tuple[Row, ...]
    questions: tuple[str, ...]
    """What is asked: every turn but the system's before the last answer; of a text nothing."""
    answers: tuple[str, ...]
    """The last answer without its thoughts, with the calls of tools that it makes; of a text all of it."""
    letters: Letters
    """Of each row two texts: the question, then the answer."""


def batches(rows: Iterable[Row], first: int = 0) -> Iterator[Batch]:
    """`rows` in batches, in order."""
    kept: list[Row] = []
    size = 0
    for row in rows:
        kept.append(row)
        size += len(row.text) + sum(len(message.content) for message in row.messages)
        if len(kept) >= ROWS or size >= CHARACTERS:
            yield _batch(first, kept)
            first += len(kept)
            kept, size = [], 0
    if kept:
        yield _batch(first, kept)


def question_of(row: Row) -> str:
    """What is asked in a row."""
    return "\n".join(said(message) for message in row.question if message.role != "system")


def answer_of(row: Row) -> str:
    """What a row teaches to say last, without thoughts."""
    if not row.messages:
        return row.text
    text = said(row.messages[-1])
    return without_thoughts(text) if OPEN in text else text


def without_thoughts(text: str) -> str:
    """`text` without what stands between a pair of tags, in time that grows with its length alone."""
    kept: list[str] = []
    at = 0
    while (first := text.find(OPEN, at)) >= 0 and (last := text.find(CLOSE, first)) >= 0:
        kept.append(text[at:first])
        at = last + len(CLOSE)
    return "".join((*kept, text[at:])).strip()


def hash_of(data: bytes) -> int:
    """64 bits of `data`: two different ones of a million share them once in 37 million times."""
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "little")


def said(message: Message) -> str:
    """What a turn says: its text, and the calls of tools that it makes."""
    if not message.calls:
        return message.content
    calls = (f"{call.name} {call.arguments}" for call in message.calls)
    return "\n".join((message.content, *calls)).strip()


def _batch(first: int, rows: list[Row]) -> Batch:
    questions, answers = tuple(map(question_of, rows)), tuple(map(answer_of, rows))
    pairs = [text for pair in zip(questions, answers, strict=True) for text in pair]
    return Batch(first, tuple(rows), questions, answers, letters_of(pairs))
