"""What rows are in the tokens of a model, which whoever calls hands in: this package knows no tokenizer."""

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from appliance.data.checks.batch import Batch
from appliance.data.checks.finding import Hits
from appliance.data.checks.spots import Spots
from appliance.run.rows import Problem, Row
from appliance.sentence import as_sentence, say


@dataclass(frozen=True, slots=True)
class Measure:
    """One row in tokens."""

    tokens: int
    """Of its longest example."""
    learned: int
    """Tokens that the model is taught to write."""
    total: int
    """Of all its examples."""
    unknown: int
    """Tokens that stand for what the tokenizer does not know."""
    stops: bool
    """Whether every answer is learned with the token that ends it."""


class Tokens(Protocol):
    """A model's tokenizer and template, as training uses them."""

    @property
    def limit(self) -> int:
        """The longest example that training takes, in tokens."""

    @property
    def controls(self) -> Sequence[str]:
        """Texts of the model's special tokens."""

    def measure(self, row: Row) -> Measure | Problem:
        """A row in tokens, however long; a problem where the template refuses it."""


class TokenLengths:
    """Looks at batches in order."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens
        self._spots = Spots()
        self._refusals: list[Problem] = []
        self.lengths = array("I")
        self.total = 0
        self.learned = 0

    def look(self, batch: Batch) -> None:
        """Measure the rows of `batch`."""
        for place, row in enumerate(batch.rows):
            at, measure = batch.first + place, self._tokens.measure(row)
            if isinstance(measure, Problem):
                self._refused(at, row, measure)
                continue
            self.lengths.append(measure.tokens)
            self.total += measure.total
            self.learned += measure.learned
            if measure.tokens > self._tokens.limit:
                self._spots.add("too-long", "row", at, measure.tokens)
            if measure.unknown:
                self._spots.add("unknown-tokens", "row", at, measure.unknown)
            if not measure.stops:
                self._spots.add("no-stop", "answer", at)

    def _refused(self, at: int, row: Row, problem: Problem) -> None:
        if any(token in message.content for message in row.messages for token in self._tokens.controls):
            return  # told as control tokens, with the mending
        self._spots.add("template", problem.field, at, len(self._refusals))
        self._refusals.append(problem)

    def hits(self) -> Iterator[Hits]:
        """All that is found."""
        limit = self._tokens.limit
        yield from self._spots.hits(
            {
                "too-long": lambda there: say(
                    "is {there} tokens long, {over} more than {limit}",
                    there=there,
                    over=there - limit,
                    limit=limit,
                ),
                "unknown-tokens": lambda count: say(
                    "holds {count} tokens that the model does not know", count=count
                ),
                "no-stop": lambda _: say("is learned without the token that ends it"),
                "template": lambda number: as_sentence(self._refusals[number].what),
            }
        )
