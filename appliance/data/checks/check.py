"""All checks over one stream of rows, then one more look at those that may be nearly the same."""

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from appliance.data.checks.answers import Answers
from appliance.data.checks.batch import Batch, batches
from appliance.data.checks.doubles import Doubles
from appliance.data.checks.finding import KINDS, SEVERITIES, Finding, Hits, Severity
from appliance.data.checks.language import NAMES, Languages
from appliance.data.checks.lengths import Lengths, bounds_of
from appliance.data.checks.marks import Marks
from appliance.data.checks.near import Candidates, NearDuplicates, Pair, alike
from appliance.data.checks.phrases import Phrases
from appliance.data.checks.places import Places
from appliance.data.checks.tokens import TokenLengths, Tokens
from appliance.progress import Advance, Progress, Silent
from appliance.run.rows import Problem, Row
from appliance.sentence import say

Rows = Callable[[], Iterable[Row | Problem]]
"""Reads rows from their files, from the first on each time it is called; always the same ones."""


@dataclass(frozen=True)
class Spread:
    """How long rows are."""

    unit: str
    """`tokens` of the model, or `characters`."""
    lengths: tuple[tuple[int, int], ...]
    """(at most so long, rows), each bound twice the one before."""
    median: int
    longest: int
    total: int
    learned: int
    """Of these, what the model is taught to write."""


@dataclass(frozen=True)
class Checked:
    """What was found, in few bytes a row; words are made when they are asked for."""

    places: Places
    validation_from: int
    """Number of the first row of the validation, from 0."""
    problems: tuple[Problem, ...]
    """Rows that cannot be used: first those to be trained, ..."""
    validation_problems_from: int
    """... and from this number on those of the validation."""
    hits: tuple[Hits, ...]
    spread: Spread
    languages: dict[str, int]
    """Answers in each language."""

    @property
    def rows_in(self) -> int:
        """Rows that were there."""
        return len(self.places) + len(self.problems)

    def counts(self) -> dict[str, int]:
        """Rows with each code that any has, in the order of `KINDS`."""
        rows = {code: [hits.at for hits in self.hits if hits.code == code] for code in KINDS}
        found = {code: len(np.unique(np.concatenate(at))) if at else 0 for code, at in rows.items()}
        found["unusable"] = len(self.problems)
        return {code: count for code, count in found.items() if count}

    def worst(self) -> Severity | None:
        """The gravest severity of all findings."""
        found = {KINDS[code].severity for code in self.counts()}
        return next((each for each in SEVERITIES if each in found), None)

    def trained(self) -> Iterator[tuple[int, list[Finding]]]:
        """(number of the row in its file, its findings) for the rows to be trained, file by file rising."""
        usable = ((those[0].row, those) for at, those in self.by_row() if at < self.validation_from)
        unusable = ((one.row, [_unusable(one)]) for one in self.problems[: self.validation_problems_from])
        yield from heapq.merge(usable, unusable, key=lambda found: found[0])

    def findings(self, code: str) -> Iterator[Finding]:
        """All findings of one code, in the order of the rows."""
        if code == "unusable":
            yield from map(_unusable, self.problems)
            return
        streams = [self._of(hits) for hits in self.hits if hits.code == code]
        yield from (finding for _, finding in heapq.merge(*streams, key=lambda found: found[0]))

    def by_row(self) -> Iterator[tuple[int, list[Finding]]]:
        """(number of a row in the order of reading, from 0; its findings), rising, in constant memory."""
        merged = heapq.merge(*map(self._of, self.hits), key=lambda found: found[0])
        for at, found in groupby(merged, key=lambda found: found[0]):
            yield at, [finding for _, finding in found]

    def _of(self, hits: Hits) -> Iterator[tuple[int, Finding]]:
        kind = KINDS[hits.code]
        for position, at in enumerate(hits.at.tolist()):
            file, row = self.places.of(at)
            what = hits.words(position, self.places)
            yield (
                at,
                Finding(
                    code=hits.code,
                    severity=kind.severity,
                    file=file,
                    row=row,
                    field=hits.field,
                    what=what,
                    fix=kind.fix,
                ),
            )


def check_rows(
    train: Rows,
    validation: Rows | None = None,
    *,
    tokens: Tokens | None = None,
    progress: Progress | None = None,
) -> Checked:
    """Everything that the checks find in the rows to be trained and those of the validation.

    tokens: the model's; without it, lengths are in characters and nothing is said of tokens
    """
    places, problems, looks = Places(), list[Problem](), _Looks(tokens)
    sides = (train, validation) if validation else (train,)
    shown = progress or Silent()
    ends = []
    with shown.stage(say("looking at the rows"), total=None, unit=say("rows")) as advance:
        for side in sides:
            for batch in batches(_usable(side(), problems, places), len(places)):
                looks.look(batch)
                advance(len(batch.rows))
            ends.append((len(places), len(problems)))
    border, problem_border = ends[0]
    with shown.stage(say("comparing rows that are alike"), total=len(places), unit=say("rows")) as advance:
        pairs = list(alike(looks.candidates(border), _again(sides, advance)))
    hits = tuple(each for each in looks.hits(pairs, border) if len(each.at))
    return Checked(
        places,
        border,
        tuple(problems),
        problem_border,
        hits,
        _spread(looks.measured),
        looks.languages_found(),
    )


class _Looks:
    """Every check, for one stream of rows."""

    def __init__(self, tokens: Tokens | None) -> None:
        self._near, self._doubles, self._languages = NearDuplicates(), Doubles(), Languages()
        self._alone = (Answers(), self._languages, Phrases(), Marks(tokens.controls if tokens else ()))
        self.measured: Lengths | TokenLengths = TokenLengths(tokens) if tokens else Lengths()

    def look(self, batch: Batch) -> None:
        """Look at the next rows."""
        for each in (self._near, self._doubles, *self._alone, self.measured):
            each.look(batch)

    def candidates(self, border: int) -> Candidates:
        """Rows that may be nearly the same; rows from number `border` on are those of the validation."""
        return self._near.candidates(self._doubles.known(border))

    def hits(self, pairs: Sequence[Pair], border: int) -> Iterator[Hits]:
        """All that is found; pairs: the candidates that are nearly the same."""
        twins = ((row, earlier) for row, earlier, _ in filter(self._near.same_numbers, pairs))
        yield from self._near.hits(pairs, border)
        yield from self._doubles.hits(border, twins)
        for each in self._alone:
            yield from each.hits()
        if isinstance(self.measured, TokenLengths):
            yield from self.measured.hits()

    def languages_found(self) -> dict[str, int]:
        """Answers in each language."""
        return {str(NAMES[kind]): count for kind, count in self._languages.counts().most_common()}


def _usable(rows: Iterable[Row | Problem], problems: list[Problem], places: Places) -> Iterator[Row]:
    for row in rows:
        if isinstance(row, Problem):
            problems.append(row)
        else:
            places.add(row)
            yield row


def _again(sides: Sequence[Rows], advance: Advance) -> Iterator[Batch]:
    """The same batches once more, as far as anybody asks for them."""
    rows = (row for side in sides for row in side() if isinstance(row, Row))
    for batch in batches(rows):
        advance(len(batch.rows))
        yield batch


def _spread(measured: Lengths | TokenLengths) -> Spread:
    lengths = np.array(measured.lengths, dtype=np.int64)
    return Spread(
        "tokens" if isinstance(measured, TokenLengths) else "characters",
        bounds_of(measured.lengths),
        int(np.median(lengths)) if len(lengths) else 0,
        int(lengths.max(initial=0)),
        measured.total,
        measured.learned,
    )


def _unusable(problem: Problem) -> Finding:
    return Finding(
        code="unusable",
        severity="refused",
        file=problem.file,
        row=problem.row,
        field=problem.field,
        what=problem.what,
        fix=problem.fix,
    )
