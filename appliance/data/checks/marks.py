"""Control tokens in the text: of the chosen model, and of templates that rows were rendered with."""

import re
from collections.abc import Iterator, Sequence

from appliance.data.checks.batch import Batch
from appliance.data.checks.finding import Hits
from appliance.data.checks.spots import Spots
from appliance.run.rows import Role, Row
from appliance.sentence import say

KNOWN = (
    *("<|im_start|>", "<|im_end|>", "<|endoftext|>"),  # ChatML: Qwen, Yi, MiniCPM
    *("<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
    *("<|user|>", "<|assistant|>", "<|system|>", "<|observation|>", "<|end|>"),  # Phi, GLM
    *("[INST]", "[/INST]", "<<SYS>>", "<</SYS>>"),  # Llama 2, Mistral
    *("<start_of_turn>", "<end_of_turn>", "<bos>", "<eos>"),  # Gemma
    *("<｜User｜>", "<｜Assistant｜>", "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"),  # DeepSeek
    *("</s>", "<unk>"),  # SentencePiece
)
"""What the chat templates of widespread families write around turns."""


class Marks:
    """Looks for tokens in every turn."""

    def __init__(self, own: Sequence[str] = ()) -> None:
        """own: the chosen model's special tokens; training refuses a row that holds one"""
        self._own = frozenset(own)
        self._texts = (*own, *(token for token in KNOWN if token not in self._own))
        self._numbers = {token: number for number, token in enumerate(self._texts)}
        self._pattern = pattern_of(self._texts)
        self._spots = Spots()

    def look(self, batch: Batch) -> None:
        """Look at the rows of `batch`."""
        search = self._pattern.search
        for place, row in enumerate(batch.rows):
            for field, text in _fields(row):
                if match := search(text):
                    code = "control-tokens" if match[0] in self._own else "template-marks"
                    self._spots.add(code, field, batch.first + place, self._numbers[match[0]])

    def hits(self) -> Iterator[Hits]:
        """All that is found."""
        texts = self._texts
        yield from self._spots.hits(
            {
                "control-tokens": lambda number: say("holds the model's {token}", token=texts[number]),
                "template-marks": lambda number: say("holds {token}", token=texts[number]),
            }
        )


def pattern_of(tokens: Sequence[str]) -> re.Pattern[str]:
    """Finds any of `tokens`; the longest where several begin at one place."""
    return re.compile("|".join(re.escape(token) for token in sorted(tokens, key=len, reverse=True)))


def _fields(row: Row) -> Iterator[tuple[str, str]]:
    """(field, text) of all that is rendered."""
    if row.text:
        yield "text", row.text
    last = len(row.messages) - 1
    for number, message in enumerate(row.messages):
        if "<" in message.content or "[" in message.content:
            yield _field(message.role, number, last), message.content
    if row.rejected is not None:
        yield "rejected", row.rejected.content


def _field(role: Role, number: int, last: int) -> str:
    if number == last:
        return "answer"
    return "question" if number == last - 1 and role == "user" else role
