"""Canonical rows to token ids, with what is learned marked: the answers and the tokens that end them.

Text is cut where an answer begins and ends, and the pieces are tokenized apart, as they are when
the model is asked later: the prompt ends before the first token of the answer.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from appliance.model.chat import end_of_turn, render, special_tokens, token_ids
from appliance.run.rows import Message, Problem, Row
from appliance.sentence import say

GENERATION = re.compile(r"\{%-?\s*generation\s*-?%\}")
"""The marker with which a template says what the assistant itself writes."""


@dataclass(frozen=True)
class Example:
    """One document as the model sees it."""

    ids: tuple[int, ...]
    learned: tuple[bool, ...]
    """As long as `ids`: whether the model is taught to write this token."""

    @property
    def learned_tokens(self) -> int:
        """How many tokens are learned."""
        return sum(self.learned)


class Encoder:
    """Turns rows into examples with one model's tokenizer and chat template."""

    def __init__(self, tokenizer: Any, *, max_tokens: int) -> None:
        """max_tokens: tokens in one example; a longer row is refused, never cut.

        Raises: BadInput, when the tokenizer's template is missing or has no stop token.
        """
        self._tokenizer = tokenizer
        self._max_tokens = max_tokens
        self._end = end_of_turn(tokenizer)
        self._specials = special_tokens(tokenizer)
        self._marked = bool(GENERATION.search(tokenizer.chat_template))

    def encode(self, rows: Sequence[Row]) -> tuple[list[tuple[Row, list[Example]]], list[Problem]]:
        """Every row with its examples, or a problem: rows in = rows out + problems."""
        encoded: list[tuple[Row, list[Example]]] = []
        problems: list[Problem] = []
        for row in rows:
            result = self._row(row)
            if isinstance(result, Problem):
                problems.append(result)
            else:
                encoded.append((row, result))
        return encoded, problems

    def _row(self, row: Row) -> list[Example] | Problem:
        from jinja2.exceptions import TemplateError

        for message in row.messages:
            for special in self._specials:
                if special in message.content:
                    return _problem(
                        row,
                        message.role,
                        say("holds the model's control token {token}", token=special),
                        say("remove it"),
                    )
        try:
            documents = self._documents(row.messages)
        except TemplateError as error:
            what = say("is refused by the model's chat template: {error}", error=error)
            return _problem(row, "row", what, say("change the row, or choose another model"))
        if sum(len(spans) for _, spans in documents) != sum(
            turn.role == "assistant" for turn in row.messages
        ):
            return _problem(
                row, "assistant", say("is dropped by the model's chat template"), say("choose another model")
            )
        examples = []
        for text, spans in documents:
            answers = [text[start:end] for start, end in spans]
            example = self._example(text, spans)
            if len(example.ids) > self._max_tokens:
                fix = say("shorten it, or raise training.pack_tokens")
                what = say(
                    "is {there} tokens long, more than {most}", there=len(example.ids), most=self._max_tokens
                )
                return _problem(row, "row", what, fix)
            if not self._is_faithful(row.messages, answers, example):
                return _problem(
                    row,
                    "assistant",
                    say("is changed by the model's chat template"),
                    say("choose another model"),
                )
            examples.append(example)
        return examples

    def _documents(self, messages: Sequence[Message]) -> list[tuple[str, list[tuple[int, int]]]]:
        """Rendered texts with the spans that are learned in each (start and end, in characters)."""
        if self._marked:
            return [self._by_markers(messages)]
        return self._by_prefixes(messages)

    def _by_markers(self, messages: Sequence[Message]) -> tuple[str, list[tuple[int, int]]]:
        from transformers.utils.chat_template_utils import render_jinja_template

        texts, spans = render_jinja_template(
            conversations=[[{"role": message.role, "content": message.content} for message in messages]],
            chat_template=self._tokenizer.chat_template,
            return_assistant_tokens_mask=True,
            enable_thinking=False,
            **self._tokenizer.special_tokens_map,
        )
        return texts[0], [(int(start), int(end)) for start, end in spans[0]]

    def _by_prefixes(self, messages: Sequence[Message]) -> list[tuple[str, list[tuple[int, int]]]]:
        """One text where the template writes every turn alike; else one for each answer.

        Some templates write earlier answers in another way than the last (they drop its thoughts).
        Then each answer is learned in the text that stands before it when it is asked for.
        """
        parts = []
        for position, message in enumerate(messages):
            if message.role == "assistant":
                prompt = render(self._tokenizer, messages[:position], answer_next=True)
                whole = render(self._tokenizer, messages[: position + 1])
                end = whole.find(self._end, len(prompt)) if whole.startswith(prompt) else -1
                parts.append((whole, (len(prompt), end + len(self._end)) if end >= 0 else (0, 0)))
        last, _ = parts[-1]
        if all(last.startswith(whole[: span[1]]) for whole, span in parts):
            return [(last, [span for _, span in parts])]
        return [(whole, [span]) for whole, span in parts]

    def _example(self, text: str, spans: Sequence[tuple[int, int]]) -> Example:
        ids: list[int] = []
        learned: list[bool] = []
        at = 0
        for start, end in [*spans, (len(text), len(text))]:
            for piece, is_learned in ((text[at:start], False), (text[start:end], True)):
                piece_ids = token_ids(self._tokenizer, piece) if piece else []
                ids += piece_ids
                learned += [is_learned] * len(piece_ids)
            at = end
        # What comes after the last answer teaches nothing and is seen by nothing.
        last = max((position for position, flag in enumerate(learned) if flag), default=-1)
        return Example(tuple(ids[: last + 1]), tuple(learned[: last + 1]))

    def _is_faithful(self, messages: Sequence[Message], answers: Sequence[str], example: Example) -> bool:
        """Whether what is learned, decoded, is exactly answers of this row with their end token."""
        contents = [message.content for message in messages if message.role == "assistant"]
        given = {_plain(content) + self._end for content in contents}  # templates may trim
        given |= {_plain(content + self._end) for content in contents}
        decoded = self._tokenizer.decode(
            [each for each, flag in zip(example.ids, example.learned, strict=True) if flag],
            skip_special_tokens=False,
            clean_up_tokenization_spaces=False,
        )
        return (
            bool(answers)
            and example.learned[:1] != (True,)
            and all(_plain(answer) in given for answer in answers)
            and _plain(decoded) == _plain("".join(answers))
        )


def _plain(text: str) -> str:
    """Text as the tokenizers' normalizer leaves it."""
    return unicodedata.normalize("NFC", text).strip()


def _problem(row: Row, field: str, what: str, fix: str) -> Problem:
    return Problem(row.file, row.row, field, what, fix)
