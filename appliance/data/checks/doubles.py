"""The same row again, a question answered in two ways, and questions of the validation that are trained.

A question is the same where its letters are (`letters`): without case, spaces and marks.
"""

from array import array
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from appliance.data.checks.batch import Batch, hash_of
from appliance.data.checks.finding import Hits
from appliance.run.rows import Message, Row
from appliance.sentence import say

NONE = 0
"""Stands for the hash of a question or an answer without letters."""


class Doubles:
    """Looks at batches in order; keeps four hashes for each row."""

    def __init__(self) -> None:
        self._whole = array("Q")
        self._question = array("Q")
        self._context = array("Q")
        self._answer = array("Q")

    def look(self, batch: Batch) -> None:
        """Keep the hashes of the rows of `batch`."""
        for place, row in enumerate(batch.rows):
            self._whole.append(hash_of(_written(row).encode("utf-8", "surrogatepass")))
            question = _letters_hash(batch, 2 * place)
            answer = _letters_hash(batch, 2 * place + 1)
            self._question.append(question)
            if row.label is not None:  # whether this very answer is good
                question, answer = _mixed(question, answer), 1 + row.label
            self._context.append(_mixed(question, hash(_context(row))) if question else NONE)
            self._answer.append(answer)

    def repeated(self, validation_from: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(rows, the first row that is the same), either within what is trained or within the validation."""
        whole = _numbers(self._whole)
        firsts = np.concatenate([_firsts(part) for part in _sides(whole, validation_from)])
        firsts[validation_from:] += validation_from
        at = np.flatnonzero(firsts != np.arange(len(firsts)))
        return at, firsts[at]

    def leaked(self, validation_from: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(rows of the validation, the first trained row with the same question)."""
        question = _numbers(self._question)
        firsts = _firsts(question)
        at = np.flatnonzero((firsts < validation_from) & (question != NONE))
        at = at[at >= validation_from]
        return at, firsts[at]

    def conflicts(self, twins: Iterable[tuple[int, int]] = ()) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(rows, the first row with the same question and another answer).

        twins: (row, earlier row) that are nearly the same, whose answers do not clash
        """
        context, answer = _numbers(self._context), _numbers(self._answer)
        for row, earlier in twins:
            answer[row] = answer[earlier]
        firsts = _firsts(context)
        differs = (answer != answer[firsts]) & (context != NONE)
        if not differs.any():
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        other = np.full(len(context), -1, dtype=np.int64)
        differing = np.flatnonzero(differs)
        other[firsts[differing[::-1]]] = differing[::-1]  # the first that differs is written last
        others = np.where(differs, firsts, other[firsts])
        at = np.flatnonzero((others >= 0) & (context != NONE))
        return at, others[at]

    def hits(self, validation_from: int, twins: Iterable[tuple[int, int]]) -> Iterator[Hits]:
        """All that is found; twins: as in `conflicts`."""
        leaked, trained = self.leaked(validation_from)
        yield Hits(
            "leakage",
            leaked,
            lambda k, places: say(
                "is the question of {where} too", where=places.named(int(trained[k]), int(leaked[k]))
            ),
            "question",
        )
        clashing, others = self.conflicts(twins)
        yield Hits(
            "conflicts",
            clashing,
            lambda k, places: say(
                "is answered otherwise in {where}", where=places.named(int(others[k]), int(clashing[k]))
            ),
            "question",
        )
        again, firsts = self.repeated(validation_from)
        yield Hits(
            "exact-duplicates",
            again,
            lambda k, places: say(
                "is the same as {where}", where=places.named(int(firsts[k]), int(again[k]))
            ),
            "row",
            firsts,
        )

    def known(self, validation_from: int) -> NDArray[np.bool_]:
        """For every row whether it is the same as another one, or leaked: not looked for again."""
        known = np.zeros(len(self._whole), dtype=bool)
        known[self.repeated(validation_from)[0]] = True
        known[self.leaked(validation_from)[0]] = True
        return known


def _written(row: Row) -> str:
    """All that a row teaches, and nothing of where it came from."""
    turns = [_turn(message) for message in row.messages]
    rejected = _turn(row.rejected) if row.rejected else ""
    return "\x1e".join((*turns, rejected, str(row.label), row.tools, row.text))


def _turn(message: Message) -> str:
    calls = [f"{call.name}\x1d{call.arguments}" for call in message.calls]
    return "\x1f".join((message.role, message.content, *calls, "" if message.learned else "not learned"))


def _context(row: Row) -> str:
    """What may change the answer to the same words: the system's prompt, the kind of the row."""
    system = row.messages[0].content if row.messages and row.messages[0].role == "system" else ""
    return f"{row.kind}\x1e{system}"


def _letters_hash(batch: Batch, text: int) -> int:
    letters = batch.letters.of(text)
    return hash_of(letters.tobytes()) if len(letters) else NONE


def _mixed(one: int, other: int) -> int:
    return (one * 0x9E3779B97F4A7C15 ^ other) & 0xFFFF_FFFF_FFFF_FFFF


def _numbers(column: "array[int]") -> NDArray[np.uint64]:
    return np.array(column, dtype=np.uint64)


def _sides(column: NDArray[np.uint64], validation_from: int) -> tuple[NDArray[np.uint64], ...]:
    return column[:validation_from], column[validation_from:]


def _firsts(column: NDArray[np.uint64]) -> NDArray[np.int64]:
    """For every place the first one with the same number."""
    _, first, inverse = np.unique(column, return_index=True, return_inverse=True)
    return np.asarray(first[inverse], dtype=np.int64)
