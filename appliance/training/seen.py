"""One row as a model will see it: rendered, cut where learning begins and ends, with its tokens counted."""

import sys
from dataclasses import replace
from pathlib import Path

from appliance.model.base import load_tokenizer
from appliance.model.chat import special_tokens, token_ids
from appliance.run.rows import Problem, Row
from appliance.training.document import Document, Part
from appliance.training.encode import Encoder, Example
from appliance.training.findings import pieces
from appliance.training.looked import Piece


class Eyes:
    """A model's tokenizer and chat template."""

    def __init__(self, base: Path) -> None:
        """base: the model's folder

        Raises: BadInput, when its tokenizer or template cannot be used.
        """
        self._tokenizer = load_tokenizer(base)
        self._encoder = Encoder(self._tokenizer, max_tokens=sys.maxsize)

    @property
    def specials(self) -> tuple[str, ...]:
        """Texts of the special tokens, the longest first."""
        return tuple(sorted(special_tokens(self._tokenizer), key=len, reverse=True))

    def documents(self, row: Row) -> list[Document] | Problem:
        """What the row becomes, or why it cannot be learned."""
        if row.kind == "text":
            count = len(token_ids(self._tokenizer, row.text))
            return [Document("text", (Piece(row.text, True),), count, count)]
        plain = replace(row, rejected=None, label=None)
        if row.rejected is None:
            return self._seen(plain, "")
        worse = replace(plain, messages=(*row.messages[:-1], row.rejected))
        better, worst = self._seen(plain, "chosen"), self._seen(worse, "rejected")
        if isinstance(better, Problem) or isinstance(worst, Problem):
            return better if isinstance(better, Problem) else worst
        return [*better, *worst]

    def _seen(self, row: Row, part: Part) -> list[Document] | Problem:
        examples = self._encoder.examples(row)
        if isinstance(examples, Problem):
            return examples
        return [self._document(example, part) for example in examples]

    def _document(self, example: Example, part: Part) -> Document:
        return Document(part, pieces(example, self._tokenizer), len(example.ids), example.learned_tokens)
