"""Which row goes to which side: the same ones every time, never a question or a patient on two sides.

Rows that share a question, or a group, hang together and stay together. A question is the same as for the
check of leakage (`letters`): without case, spaces, marks and the system's prompt. What is chosen follows
from the questions and the seed alone, so that the order of rows changes nothing. Of each row a few numbers
are kept.
"""

import hashlib
import math
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from appliance.data.checks.batch import hash_of, question_of
from appliance.data.checks.letters import letters_of
from appliance.data.share import written_share
from appliance.errors import BadInput
from appliance.run.rows import Row
from appliance.sentence import say

Side = Literal["train", "validation", "test"]
SIDES: tuple[Side, ...] = get_args(Side)

COMPARED_ROWS, COMPARED_CHARACTERS = 4096, 1_000_000
"""Questions wait to be compared until there are so many, or they are so long together."""


@dataclass(frozen=True)
class Wanted:
    """How many rows a side is to have: a share of all, or a number."""

    share: float = 0.0
    rows: int = 0

    def of(self, total: int) -> int:
        """Rows out of `total`; of a share at least one."""
        if self.rows:
            return self.rows
        return max(1, math.floor(written_share(self.share) * total)) if self.share > 0 else 0


@dataclass
class Index:
    """What is kept of rows while they stream by; rows by their place, from 0."""

    seed: int
    stratum: Callable[[Row], str] = lambda row: ""
    """What a row is, where every side should have its share of each."""
    tokens: Callable[[Row], int] = lambda row: 0
    knots: "array[int]" = field(default_factory=lambda: array("q"))
    """Of each row: what it hangs on (`_root` tells what that hangs on)."""
    strata: "array[int]" = field(default_factory=lambda: array("q"))
    lengths: "array[int]" = field(default_factory=lambda: array("q"))
    names: dict[str, int] = field(default_factory=dict)
    """Of strata."""
    _parents: "array[int]" = field(default_factory=lambda: array("q"))
    _keys: list[bytes] = field(default_factory=list)
    _by_key: dict[bytes, int] = field(default_factory=dict)
    _by_group: dict[str, int] = field(default_factory=dict)
    _by_letters: dict[int, int] = field(default_factory=dict)
    _waiting: list[tuple[int, str]] = field(default_factory=list)
    """(knot, question) of those whose letters were not compared yet."""
    _waiting_characters: int = 0

    def add(self, row: Row) -> None:
        """Take the next row in."""
        key = question_key(row, self.seed)
        knot = self._by_key.get(key)
        if knot is None:
            knot = self._by_key[key] = len(self._keys)
            self._keys.append(key)
            self._parents.append(knot)
            self._wait(knot, question_of(row))
        if row.group:
            self._tie(knot, self._by_group.setdefault(row.group, knot))
        self.knots.append(knot)
        self.strata.append(self.names.setdefault(self.stratum(row), len(self.names)))
        self.lengths.append(self.tokens(row))

    def _wait(self, knot: int, question: str) -> None:
        self._waiting.append((knot, question))
        self._waiting_characters += len(question)
        if len(self._waiting) >= COMPARED_ROWS or self._waiting_characters >= COMPARED_CHARACTERS:
            self._compare()

    def _compare(self) -> None:
        """Tie those that ask the same in other words of the system, other marks or spaces."""
        letters = letters_of([question for _, question in self._waiting])
        for at, (knot, _) in enumerate(self._waiting):
            own = letters.of(at)
            if len(own):
                self._tie(knot, self._by_letters.setdefault(hash_of(own.tobytes()), knot))
        self._waiting, self._waiting_characters = [], 0

    @property
    def groups(self) -> int:
        """How many groups rows name."""
        return len(self._by_group)

    def _tie(self, one: int, other: int) -> None:
        first, second = sorted((self._root(one), self._root(other)))
        self._parents[second] = first

    def _root(self, knot: int) -> int:
        while self._parents[knot] != knot:
            self._parents[knot] = self._parents[self._parents[knot]]  # halves the way for the next
            knot = self._parents[knot]
        return knot

    def bundles(self) -> list["Bundle"]:
        """All that hangs together, in the order in which it is chosen."""
        self._compare()
        keys: dict[int, bytes] = {}
        for knot, key in enumerate(self._keys):
            root = self._root(knot)
            keys[root] = min(keys.get(root, key), key)
        found: dict[int, Bundle] = {}
        for place, knot in enumerate(self.knots):
            root = self._root(knot)
            bundle = found.get(root)
            if bundle is None:
                bundle = found[root] = Bundle(keys[root], self.strata[place], array("q"))
            bundle.places.append(place)
        return sorted(found.values(), key=lambda bundle: bundle.key)


@dataclass(frozen=True, slots=True)
class Bundle:
    """Rows that hang together."""

    key: bytes
    stratum: int
    """Of its first row."""
    places: "array[int]"


@dataclass(frozen=True)
class Parted:
    """Which row goes where."""

    sides: bytes
    """Of each row, the place of its side in `SIDES`."""
    rows: Mapping[Side, int]
    tokens: Mapping[Side, int]
    strata: Mapping[str, Mapping[Side, int]]
    """Rows by what they are; one entry without a name where nobody asked."""
    bundles: int
    """How many parts there were that hang together."""

    def side_of(self, place: int) -> Side:
        """The side of a row."""
        return SIDES[self.sides[place]]


def part(index: Index, wanted: Mapping[Side, Wanted]) -> Parted:
    """Give every row of `index` its side: what is `wanted` for validation and test, and the rest to train.

    Each side gets its share of every stratum, as near as what hangs together lets it.

    Raises: BadInput, when a side that is wanted would be empty, or nothing would be left to train.
    """
    total = len(index.knots)
    numbers = {side: wanted[side].of(total) for side in SIDES[1:] if side in wanted}
    if sum(numbers.values()) >= total:
        raise BadInput(
            "Nothing would be left to train.",
            why=say(
                "{number} of {total} rows are wanted for the other sides",
                number=sum(numbers.values()),
                total=total,
            ),
            next_step="Ask for fewer rows there, or add some.",
        )
    sides = bytearray(total)
    left = index.bundles()
    sizes = [0] * len(index.names)
    for stratum in index.strata:
        sizes[stratum] += 1
    for side, number in numbers.items():
        left = _fill(sides, SIDES.index(side), left, number, quotas(number, sizes), total)
    parted = _counted(index, bytes(sides))
    for side, number in numbers.items():
        if number and not parted.rows[side]:
            raise _none_left(side, number, total, parted.bundles)
    return parted


def _fill(
    sides: bytearray, side: int, bundles: list[Bundle], number: int, quota: list[int], total: int
) -> list[Bundle]:
    """Choose bundles for a side, first so many of each stratum, then whatever fits; those that are left."""
    count = 0
    taken = [0] * len(quota)
    chosen: set[bytes] = set()
    free = total - sum(1 for each in sides if each)
    for by_stratum in (True, False):
        for bundle in bundles:
            size = len(bundle.places)
            within = not by_stratum or taken[bundle.stratum] + size <= quota[bundle.stratum]
            if bundle.key in chosen or count + size > number or count + size >= free or not within:
                continue
            chosen.add(bundle.key)
            count += size
            taken[bundle.stratum] += size
            for place in bundle.places:
                sides[place] = side
    return [bundle for bundle in bundles if bundle.key not in chosen]


def quotas(number: int, sizes: Sequence[int]) -> list[int]:
    """`number` shared out by `sizes`, in whole numbers of that sum; what is over goes where most is over."""
    total = max(1, sum(sizes))
    shares = [number * size / total for size in sizes]
    whole = [math.floor(share) for share in shares]
    order = sorted(range(len(sizes)), key=lambda at: (whole[at] - shares[at], at))
    for at in order[: number - sum(whole)]:
        whole[at] += 1
    return whole


def _counted(index: Index, sides: bytes) -> Parted:
    rows: dict[Side, int] = dict.fromkeys(SIDES, 0)
    tokens: dict[Side, int] = dict.fromkeys(SIDES, 0)
    strata = {name: dict.fromkeys(SIDES, 0) for name in index.names}
    names = list(index.names)
    for place, at in enumerate(sides):
        rows[SIDES[at]] += 1
        tokens[SIDES[at]] += index.lengths[place]
        strata[names[index.strata[place]]][SIDES[at]] += 1
    return Parted(sides, rows, tokens, strata, len({index._root(knot) for knot in set(index.knots)}))


def _none_left(side: Side, number: int, total: int, bundles: int) -> BadInput:
    return BadInput(
        say("No row can go to {side}.", side=side),
        why=say(
            "{number} of {total} rows are wanted there, and what shares a question or a group stays "
            "together: {bundles} parts",
            number=number,
            total=total,
            bundles=bundles,
        ),
        next_step="Add rows, or ask for another share.",
    )


def split_held_out(
    rows: Sequence[Row], share: float, *, seed: int
) -> tuple[tuple[Row, ...], tuple[Row, ...]]:
    """(train, held out): about `share` of the rows are held out, both in their order.

    Rows with the same question or group stay on one side. At least one stays to be trained; none is held
    out when nothing else is there.
    """
    if share <= 0:
        return tuple(rows), ()
    index = Index(seed)
    for row in rows:
        index.add(row)
    sides = bytearray(len(rows))
    number = Wanted(share).of(len(rows))
    _fill(sides, 1, index.bundles(), number, [number], len(rows))
    train = tuple(row for row, side in zip(rows, sides, strict=True) if not side)
    return train, tuple(row for row, side in zip(rows, sides, strict=True) if side)


def question_key(row: Row, seed: int) -> bytes:
    """A number that depends on the question alone (of a text, on that), so that no order changes anything."""
    parts = [f"{message.role}\0{message.content}" for message in row.question]
    text = "\0".join(parts) if row.messages else f"text\0{row.text}"
    return hashlib.sha256(f"{seed}\0{text}".encode()).digest()
