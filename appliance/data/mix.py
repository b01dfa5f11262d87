"""Several sets of rows as one: which row comes when is settled on numbers alone, then rows stream by.

Strategies, by LLaMA-Factory's names and with its meaning (`mix_strategy`), which is that of `datasets`:

    concat   one set after another; with shares, as many rows of each as make the shares come out exactly,
             chosen by the seed: the scarcest set says how many there are in all
    under    taken in turns, by the shares; ends when the first set is used up
    over     the same, ends when every set was used up once; a set that is used up begins again
    once     the same, ends when every set was used up; a set that is used up is passed over

Turns are drawn as `datasets.interleave_datasets` draws them (numpy's generator, a thousand at a time), so the
same seed gives the same order there. Shares by tokens: turns are weighted by the mean length of a set's rows.
Of each row its length is kept, and nothing else.
"""

import random
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, get_args

from appliance.errors import BadInput
from appliance.run.rows import Problem, Row
from appliance.sentence import say

if TYPE_CHECKING:
    import numpy

Strategy = Literal["concat", "under", "over", "once"]
STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)
Measure = Literal["rows", "tokens"]
MIXED = "mixed"
"""The step that a mixed row says."""

DRAWN_AT_ONCE = 1000
"""Turns that are drawn together. Source: datasets 4.x, arrow_dataset.py, `_interleave_map_style_datasets`."""
LEAST_SHARE = 1e-100
"""Less than any share that is meant, and its inverse more: what is reckoned with others stays a number."""

MOST_ROWS = 50_000_000
"""More than any mixture that is meant; a share near nothing, used up once, would make endless ones."""


@dataclass
class Part:
    """One set of rows, as a first pass over it found it."""

    name: str
    lengths: "array[int]" = field(default_factory=lambda: array("q"))
    """Tokens of each row; 0 where nobody counts them."""
    refused: int = 0
    problems: list[Problem] = field(default_factory=list)
    """The first of them."""
    sources: set[str] = field(default_factory=set)
    """SHA-256 of the files."""


@dataclass(frozen=True)
class Recipe:
    """How they are mixed."""

    strategy: Strategy = "concat"
    shares: tuple[float, ...] = ()
    """One for each part, in any unit; empty: as they come."""
    caps: tuple[int, ...] = ()
    """The most rows of each part; 0: all of them. Which ones are left out, the seed says."""
    measure: Measure = "rows"
    """What shares are shares of."""
    seed: int = 1


@dataclass(frozen=True)
class Plan:
    """What would come out, and in which order."""

    order: "numpy.ndarray"
    """Of each row that comes out, the place of its part."""
    kept: tuple[bytes, ...]
    """Of each part, a byte for each of its rows: whether it takes part at all."""
    rows: tuple[int, ...]
    """Rows that come out, by part."""
    tokens: tuple[int, ...]

    def share(self, part: int, measure: Measure) -> float:
        """What a part makes of all, 0 to 1."""
        counts = self.tokens if measure == "tokens" else self.rows
        return counts[part] / max(1, sum(counts))


SHOWN_PROBLEMS = 10


def look_through(name: str, items: Iterable[Row | Problem], tokens: Callable[[Row], int] | None) -> Part:
    """One pass over the rows of a part: how many there are, and how long."""
    part = Part(name)
    for item in items:
        if isinstance(item, Problem):
            part.refused += 1
            part.problems += [item] if len(part.problems) < SHOWN_PROBLEMS else []
        else:
            part.lengths.append(tokens(item) if tokens else 0)
            part.sources.add(item.source_sha256)
    return part


def plan_mix(parts: Sequence[Part], recipe: Recipe) -> Plan:
    """Which rows come out, in which order. Deterministic.

    Raises: BadInput, when a part is empty, or shares and caps are not one for each part.
    """
    _check(parts, recipe)
    kept = [_capped(part, at, recipe) for at, part in enumerate(parts)]
    weights = _weights(parts, kept, recipe)
    if recipe.strategy == "concat":
        if weights:
            kept = [
                _within(part, flags, budget, at, recipe)
                for at, (part, flags, budget) in enumerate(
                    zip(parts, kept, _budgets(parts, kept, recipe), strict=True)
                )
            ]
        order = _one_after_another([sum(flags) for flags in kept])
    else:
        order = _in_turns([sum(flags) for flags in kept], weights, recipe)
    return _counted(parts, kept, order)


def mixed(
    plan: Plan, parts: Sequence[Part], streams: Sequence[Callable[[], Iterable[Row | Problem]]]
) -> Iterator[Row]:
    """The rows of a planned mixture, in its order; each stream is opened when it is needed, and again.

    Raises: BadInput, when a file is not what it was when it was looked through.
    """
    taken = [_chosen(parts[at], plan.kept[at], streams[at]) for at in range(len(parts))]
    for at in plan.order.tolist():
        row = next(taken[at], None)
        if row is None:
            taken[at] = _chosen(parts[at], plan.kept[at], streams[at])
            row = next(taken[at])
        yield replace(row, steps=(*row.steps, MIXED))


def _chosen(part: Part, flags: bytes, stream: Callable[[], Iterable[Row | Problem]]) -> Iterator[Row]:
    place = 0
    for item in stream():
        if isinstance(item, Problem):
            continue
        if place >= len(flags) or item.source_sha256 not in part.sources:
            raise _changed(part)
        if flags[place]:
            yield item
        place += 1
    if place != len(flags):
        raise _changed(part)


def _changed(part: Part) -> BadInput:
    return BadInput(
        say("{name} changed while it was mixed.", name=part.name),
        why=say("its rows are not those that were counted a moment ago"),
        next_step="Run the command again when nobody writes to the file.",
    )


def _check(parts: Sequence[Part], recipe: Recipe) -> None:
    for given, what in ((recipe.shares, say("shares")), (recipe.caps, say("caps"))):
        if given and len(given) != len(parts):
            raise BadInput(
                say(
                    "There are {count} sets and {given} {what}.",
                    count=len(parts),
                    given=len(given),
                    what=what,
                ),
                why=say("each set needs one, in the same order"),
                next_step="Give as many numbers as files, with commas between them.",
            )
    if not all(LEAST_SHARE < share < 1 / LEAST_SHARE for share in recipe.shares):
        raise BadInput(
            "A share must be more than 0.",
            why=say("a set without a share takes no part"),
            next_step="Leave that set out.",
        )
    if any(cap < 0 for cap in recipe.caps):
        raise BadInput(
            "A cap must not be less than 0.",
            why=say("it is the most rows that a set gives; 0 is all of them"),
            next_step="Give 0 where no cap is meant.",
        )
    for part in parts:
        if not part.lengths:
            raise BadInput(
                say("{name} holds no row that can be used.", name=part.name),
                why=part.problems[0].sentence() if part.problems else say("it is empty"),
                next_step="Leave it out, or correct it; `islet data check` says what is wrong.",
            )


def _capped(part: Part, at: int, recipe: Recipe) -> bytes:
    """Which rows of a part take part."""
    count = len(part.lengths)
    cap = recipe.caps[at] if recipe.caps else 0
    if not cap or cap >= count:
        return b"\1" * count
    return _flags(random.Random(f"{recipe.seed}/{at}/cap").sample(range(count), cap), count)  # noqa: S311


def _weights(parts: Sequence[Part], kept: Sequence[bytes], recipe: Recipe) -> list[float]:
    """How often each part has its turn, with the sum 1; empty where shares were not asked for."""
    if not recipe.shares:
        return []
    weights = list(recipe.shares)
    if recipe.measure == "tokens" and recipe.strategy != "concat":
        weights = [
            share * sum(flags) / max(1, _tokens(part, flags))
            for share, part, flags in zip(recipe.shares, parts, kept, strict=True)
        ]
    return [weight / sum(weights) for weight in weights]


def _budgets(parts: Sequence[Part], kept: Sequence[bytes], recipe: Recipe) -> list[int]:
    """Rows or tokens of each part that make the shares come out, of the scarcest part all."""
    sizes = [
        _tokens(part, flags) if recipe.measure == "tokens" else sum(flags)
        for part, flags in zip(parts, kept, strict=True)
    ]
    whole = min(size / share for size, share in zip(sizes, recipe.shares, strict=True))
    return [
        min(size, round(whole * share)) for size, share in zip(sizes, recipe.shares, strict=True)
    ]  # a row more or less than the share: rows are whole


def _within(part: Part, flags: bytes, budget: int, at: int, recipe: Recipe) -> bytes:
    """As many rows of a part, chosen by the seed, as the budget allows; one at least."""
    places = [place for place, flag in enumerate(flags) if flag]
    random.Random(f"{recipe.seed}/{at}/share").shuffle(places)  # noqa: S311
    if recipe.measure == "rows":
        return _flags(places[: max(1, budget)], len(flags))
    chosen: list[int] = []
    used = 0
    for place in places:
        if not chosen or used + part.lengths[place] <= budget:
            chosen.append(place)
            used += part.lengths[place]
    return _flags(chosen, len(flags))


def _flags(places: Iterable[int], count: int) -> bytes:
    flags = bytearray(count)
    for place in places:
        flags[place] = 1
    return bytes(flags)


def _tokens(part: Part, flags: bytes) -> int:
    return sum(length for length, flag in zip(part.lengths, flags, strict=True) if flag)


def _one_after_another(counts: Sequence[int]) -> "numpy.ndarray":
    import numpy

    return numpy.repeat(numpy.arange(len(counts), dtype=numpy.int16), counts)


def _in_turns(counts: Sequence[int], weights: Sequence[float], recipe: Recipe) -> "numpy.ndarray":
    """Whose turn it is, until the strategy's end."""
    import numpy

    if not weights:
        return _in_rounds(counts, recipe.strategy)
    left = numpy.array(counts, dtype=numpy.int64)
    generator = numpy.random.default_rng(recipe.seed)
    blocks: list[numpy.ndarray] = []
    total = 0
    while total <= MOST_ROWS:
        block = generator.choice(len(counts), size=DRAWN_AT_ONCE, p=weights)
        if recipe.strategy == "once":
            block = _passed_over(block, left)
        after = left - numpy.bincount(block, minlength=len(counts))
        done = (after <= 0).any() if recipe.strategy == "under" else (after <= 0).all()
        if done:
            blocks.append(block[: _end_of(block, left, recipe.strategy)])
            return numpy.concatenate(blocks).astype(numpy.int16)
        blocks.append(block.astype(numpy.int16))
        left, total = after, total + len(block)
    raise BadInput(
        "This mixture would have no end.",
        why=say("more than {count:,} rows come out before every set is used up", count=MOST_ROWS),
        next_step="Give the smallest share more, or use another strategy than over.",
    )


def _in_rounds(counts: Sequence[int], strategy: Strategy) -> "numpy.ndarray":
    """One row of each part in turn: whole rounds, as many as the smallest part has, or the largest."""
    import numpy

    rounds = min(counts) if strategy == "under" else max(counts)
    order = numpy.tile(numpy.arange(len(counts), dtype=numpy.int16), rounds)
    if strategy != "once":
        return order
    has_left = numpy.arange(rounds)[:, None] < numpy.array(counts)[None, :]
    return order[has_left.ravel()]


def _passed_over(block: "numpy.ndarray", left: "numpy.ndarray") -> "numpy.ndarray":
    """The turns of those that have rows left."""
    import numpy

    keep = numpy.ones(len(block), dtype=bool)
    for part, rows in enumerate(left):
        keep[numpy.flatnonzero(block == part)[max(0, int(rows)) :]] = False
    return block[keep]


def _end_of(block: "numpy.ndarray", left: "numpy.ndarray", strategy: Strategy) -> int:
    """How many turns of the last block count: until the first part is used up, or the last."""
    import numpy

    ends = [
        int(numpy.flatnonzero(block == part)[rows - 1]) if 0 < rows <= (block == part).sum() else -1
        for part, rows in enumerate(left.tolist())
    ]
    used_up = [end for end in ends if end >= 0]
    return (min(used_up) if strategy == "under" else max(used_up)) + 1


def _counted(parts: Sequence[Part], kept: Sequence[bytes], order: "numpy.ndarray") -> Plan:
    import numpy

    rows = numpy.bincount(order, minlength=len(parts)).tolist()
    tokens = []
    for part, flags, count in zip(parts, kept, rows, strict=True):
        lengths = [length for length, flag in zip(part.lengths, flags, strict=True) if flag]
        rounds, rest = divmod(count, max(1, len(lengths)))
        tokens.append(rounds * sum(lengths) + sum(lengths[:rest]))
    return Plan(order, tuple(kept), tuple(rows), tuple(tokens))
