"""Rows in a model's tokens, as training would encode them, for the checks of data."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from appliance.data.checks.tokens import Measure
from appliance.model.base import load_tokenizer
from appliance.model.chat import end_of_turn, special_tokens, token_ids
from appliance.run.rows import Problem, Row
from appliance.training.encode import Encoder, Example

NO_LIMIT = sys.maxsize


class RowTokens:
    """One model's tokenizer and template (`appliance.data.checks.tokens.Tokens`)."""

    def __init__(self, base: Path, *, limit: int) -> None:
        """base: the model's folder; limit: tokens in the longest example that training takes

        Raises: BadInput, when the tokenizer cannot be read, or its template has no stop token.
        """
        self._tokenizer = load_tokenizer(base)
        self._encoder = Encoder(self._tokenizer, max_tokens=NO_LIMIT)
        self._limit = limit
        self._controls = tuple(special_tokens(self._tokenizer))
        self._unknown = self._tokenizer.unk_token_id
        self._stop = self._tokenizer.convert_tokens_to_ids(end_of_turn(self._tokenizer))

    @property
    def limit(self) -> int:
        """The longest example that training takes, in tokens."""
        return self._limit

    @property
    def controls(self) -> Sequence[str]:
        """Texts of the model's special tokens."""
        return self._controls

    def measure(self, row: Row) -> Measure | Problem:
        """A row in tokens; of a preference the longer answer counts, and the better one is learned."""
        if row.kind == "text":
            return self._text(row.text)
        chosen = self._conversation(replace(row, rejected=None, label=None))
        if row.rejected is None or isinstance(chosen, Problem):
            return chosen
        worse = self._conversation(
            replace(row, messages=(*row.messages[:-1], row.rejected), rejected=None, label=None)
        )
        return (
            worse if isinstance(worse, Problem) else replace(chosen, tokens=max(chosen.tokens, worse.tokens))
        )

    def _conversation(self, row: Row) -> Measure | Problem:
        examples = self._encoder.examples(row)
        if isinstance(examples, Problem):
            return examples
        return Measure(
            tokens=max(len(example.ids) for example in examples),
            learned=sum(example.learned_tokens for example in examples),
            total=sum(len(example.ids) for example in examples),
            unknown=sum(self._unknown_in(example.ids) for example in examples),
            stops=all(self._stops(example) for example in examples),
        )

    def _text(self, text: str) -> Measure:
        ids = token_ids(self._tokenizer, text)
        return Measure(len(ids), len(ids), len(ids), self._unknown_in(ids), stops=True)

    def _unknown_in(self, ids: Sequence[int]) -> int:
        # Byte-level tokenizers know everything; some name a token for the unknown that they never write.
        return 0 if self._unknown is None else ids.count(self._unknown)

    def _stops(self, example: Example) -> bool:
        """Whether each stretch that is learned ends with the stop token."""
        ends = [
            place
            for place, learned in enumerate(example.learned)
            if learned and not (place + 1 < len(example.learned) and example.learned[place + 1])
        ]
        return bool(ends) and all(example.ids[end] == self._stop for end in ends)
