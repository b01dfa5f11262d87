"""What rows are to a model: counted, measured in its tokens, shown as it will see them. Writes nothing."""

import itertools
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appliance.data.checks.check import check_rows
from appliance.data.checks.lengths import bounds_of
from appliance.data.kinds import of_kind
from appliance.data.read import Reading, read_files
from appliance.errors import BadInput
from appliance.model.base import load_tokenizer
from appliance.run.plan import Plan
from appliance.run.rows import Problem, Row
from appliance.training.encode import Encoder, Example
from appliance.training.looked import SHOWN_PROBLEMS, Device, Look, Piece, Shown
from appliance.training.memory import estimate_memory, find_shape
from appliance.training.packing import best_fit_decreasing, most_learned
from appliance.training.prepare import split_rows

Advance = Callable[[int], None]
Encoded = tuple[Row, list[Example]]

NO_LIMIT = sys.maxsize
DUPLICATES, CONFLICTS = "exact-duplicates", "conflicts"
"""What the checks call those findings that pages show in lines of their own."""


@dataclass(frozen=True)
class Findings:
    """The rows of a plan as its model sees them."""

    reading: Reading
    encoded: tuple[Encoded, ...]
    """The usable rows."""
    problems: tuple[Problem, ...]
    refused_lengths: tuple[int, ...]
    """Tokens of each row that was refused for its length alone."""
    train: tuple[Example, ...]
    held_out: int
    """Rows."""
    refusal: BadInput | None
    """Why training would refuse these rows."""
    tokenizer: Any


def read_rows(plan: Plan, advance: Advance) -> Reading:
    """The rows of the plan's files, in order.

    Raises: BadInput, when a file cannot be read as a whole.
    """
    readings = []
    for file in plan.data.train:
        readings.append(of_kind(read_files([file], system=plan.model.system), "chat"))
        advance(1)
    chain = itertools.chain.from_iterable
    return Reading(
        tuple(chain(each.rows for each in readings)),
        tuple(chain(each.problems for each in readings)),
        tuple(chain(each.files for each in readings)),
    )


def find(plan: Plan, base: Path, reading: Reading, advance: Advance) -> Findings:
    """What `reading` is to the model in the folder `base`.

    Raises: BadInput, when the model's tokenizer or template cannot be used.
    """
    tokenizer = load_tokenizer(base)
    encoder = Encoder(tokenizer, max_tokens=plan.training.pack_tokens)
    without_limit = Encoder(tokenizer, max_tokens=NO_LIMIT)
    encoded: list[Encoded] = []
    problems = list(reading.problems)
    too_long: list[int] = []
    for row in reading.rows:
        usable, refused = encoder.encode([row])
        encoded += usable
        problems += refused
        if refused:
            too_long += [_tokens(each) for each in without_limit.encode([row])[0]]
        advance(1)
    rows = [row for row, _ in encoded]
    try:
        train, held_out = split_rows(rows, problems, plan)
        refusal = None
    except BadInput as error:
        train, held_out, refusal = tuple(rows), (), error
    trained = set(train)
    examples = tuple(each for row, those in encoded if row in trained for each in those)
    return Findings(
        reading, tuple(encoded), tuple(problems), tuple(too_long), examples, len(held_out), refusal, tokenizer
    )


def to_look(
    found: Findings, plan: Plan, base: Path, *, rows_shown: int, device: Any, free_bytes: int
) -> Look:
    """`found` in figures, with the plan's own settings."""
    capacity = plan.training.pack_tokens
    lengths = [_tokens(each) for each in found.encoded]
    checked = check_rows(lambda: found.reading.rows).counts()
    most = most_learned(found.train, capacity)
    return Look(
        files=found.reading.files,
        rows_in=len(found.reading.rows) + len(found.reading.problems),
        rows=len(found.encoded),
        refused=len(found.problems),
        held_out=found.held_out,
        problems=found.problems[:SHOWN_PROBLEMS],
        problem_count=len(found.problems),
        too_long=len(found.refused_lengths),
        longest_refused_tokens=max(found.refused_lengths, default=0),
        tokens=sum(len(each.ids) for each in found.train),
        learned_tokens=sum(each.learned_tokens for each in found.train),
        longest_tokens=max(lengths, default=0),
        lengths=bounds_of(lengths),
        duplicates=checked.get(DUPLICATES, 0),
        conflicts=checked.get(CONFLICTS, 0),
        remarks=tuple((code, n) for code, n in checked.items() if code not in (DUPLICATES, CONFLICTS)),
        shown=tuple(
            Shown(row.file, row.row, pieces(example, found.tokenizer))
            for row, examples in chosen(found.encoded, rows_shown)
            for example in examples
        ),
        device=device,
        free_bytes=free_bytes,
        pack_tokens=capacity,
        packs_per_epoch=len(best_fit_decreasing([len(each.ids) for each in found.train], capacity)),
        most_learned=most,
        estimated=_estimated(found, plan, base, most, device),
    )


def chosen(encoded: Sequence[Encoded], count: int) -> list[Encoded]:
    """`count` of the rows, spread evenly from the first to the last; all where there are fewer."""
    last = len(encoded) - 1
    if count <= 0 or last < 0:
        return []
    places = {round(index * last / max(count - 1, 1)) for index in range(count)}
    return [encoded[place] for place in sorted(places)]


def pieces(example: Example, tokenizer: Any) -> tuple[Piece, ...]:
    """The text of `example`, cut where learning begins and ends.

    Tokens alone may hold half a character, and some tokenizers drop a blank before the first: so each
    stretch is what the text up to its end has more than the text up to its beginning. Text is tokenized
    apart on both sides of a cut (`Encoder`), so no character lies across one.
    """
    cut: list[Piece] = []
    at, before = 0, ""
    for learned, flags in itertools.groupby(example.learned):
        at += len(list(flags))
        text = tokenizer.decode(
            example.ids[:at], skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
        cut.append(Piece(text[len(before) :], learned))
        before = text
    return tuple(cut)


def _tokens(encoded: Encoded) -> int:
    return max(len(example.ids) for example in encoded[1])


def _estimated(
    found: Findings, plan: Plan, base: Path, most: int, device: Device
) -> tuple[tuple[str, int], ...] | None:
    shape = find_shape(base)
    if shape is None:
        return None
    tokens = min(plan.training.pack_tokens, sum(len(each.ids) for each in found.train))
    estimate = estimate_memory(plan.training, shape, tokens=tokens, learned_tokens=most, device=device)
    return tuple((str(line.name), line.bytes) for line in estimate.lines)
