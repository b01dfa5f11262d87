"""Which rows are held out: the same ones every time, and never a question that is also trained."""

import hashlib
import math
from collections import Counter
from collections.abc import Sequence

from appliance.run.rows import Row


def split_held_out(
    rows: Sequence[Row], share: float, *, seed: int
) -> tuple[tuple[Row, ...], tuple[Row, ...]]:
    """(train, held out): about `share` of the rows are held out, both in their order.

    Rows with the same question stay on one side. At least one stays to be trained; none is held out
    when there is no other question.
    """
    if share <= 0:
        return tuple(rows), ()
    wanted = max(1, math.floor(share * len(rows)))
    keys = [_key(row, seed) for row in rows]
    sizes = Counter(keys)
    held: set[bytes] = set()
    count = 0
    for key in sorted(set(keys)):
        size = sizes[key]
        if count + size <= wanted and count + size < len(rows):
            held.add(key)
            count += size
    train = tuple(row for row, key in zip(rows, keys, strict=True) if key not in held)
    held_out = tuple(row for row, key in zip(rows, keys, strict=True) if key in held)
    return train, held_out


def _key(row: Row, seed: int) -> bytes:
    """A number that depends on the question alone, so that the order of rows changes nothing."""
    text = "\0".join(f"{message.role}\0{message.content}" for message in row.question)
    return hashlib.sha256(f"{seed}\0{text}".encode()).digest()
