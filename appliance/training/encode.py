"""Canonical rows to token ids, with what is learned marked: the answers and the tokens that end them.

Text is cut where an answer begins and ends, and the pieces are tokenized apart, as they are when
the model is asked later: the prompt ends before the first token of the answer.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from appliance.model.calls import find_style, holds_calls, tool_documents, uses_tools
from appliance.model.chat import end_of_turn, render, special_tokens, template_turns, thinks, token_ids
from appliance.run.rows import Message, Problem, Row
from appliance.sentence import say

GENERATION = re.compile(r"\{%-?\s*generation\s*-?%\}")
"""The marker with which a template says what the assistant itself writes."""

_Document = tuple[str, list[tuple[int, int]]]
"""A rendered text, and where in it the answers stand: start and end, in characters."""


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
            result = self.examples(row)
            if isinstance(result, Problem):
                problems.append(result)
            else:
                encoded.append((row, result))
        return encoded, problems

    def examples(self, row: Row) -> list[Example] | Problem:
        """The examples that one conversation makes, or why it cannot be learned."""
        from jinja2.exceptions import TemplateError

        problem = self._problem_before(row)
        if problem is not None:
            return problem
        try:
            documents = self._documents(row)
        except TemplateError as error:
            what = say("is refused by the model's chat template: {error}", error=error)
            return _problem(row, "row", what, say("change the row, or choose another model"))
        answers = [turn for turn in row.messages if turn.role == "assistant"]
        if sum(len(spans) for _, spans in documents) != len(answers):
            return _problem(
                row, "assistant", say("is dropped by the model's chat template"), say("choose another model")
            )
        examples = []
        for text, spans in _learned(documents, answers):
            example = self._example(text, [(start, end) for start, end, _ in spans])
            if len(example.ids) > self._max_tokens:
                fix = say("shorten it, or raise training.pack_tokens")
                what = say(
                    "is {there} tokens long, more than {most}", there=len(example.ids), most=self._max_tokens
                )
                return _problem(row, "row", what, fix)
            if not self._is_faithful([(text[start:end], turn) for start, end, turn in spans], example):
                return _problem(
                    row,
                    "assistant",
                    say("is changed by the model's chat template"),
                    say("choose another model"),
                )
            examples.append(example)
        return examples

    def _problem_before(self, row: Row) -> Problem | None:
        """What keeps a row from being written by the template at all."""
        if row.kind != "chat":
            what = say("is no conversation, which alone is learned here: {kind}", kind=row.kind)
            return _problem(row, "row", what, say("leave such rows out of this training"))
        for field, text in _texts(row):
            for special in self._specials:
                if special in text:
                    what = say("holds the model's control token {token}", token=special)
                    return _problem(row, field, what, say("remove it"))
        if not any(turn.learned for turn in row.messages if turn.role == "assistant"):
            return _problem(row, "assistant", say("has no answer that is learned"), say("leave the row out"))
        if uses_tools(row.messages, row.tools) and find_style(self._tokenizer) is None:
            what = say("the model's chat template cannot write tools and their calls")
            return _problem(row, "tools", what, say("choose another model, or leave the row out"))
        return None

    def _documents(self, row: Row) -> list[_Document]:
        """Rendered texts with the spans of the answers in each (start and end, in characters)."""
        if self._marked:
            return [self._by_markers(row)]
        return self._by_prefixes(row)

    def _by_markers(self, row: Row) -> _Document:
        from transformers.utils.chat_template_utils import render_jinja_template

        texts, spans = render_jinja_template(
            conversations=[template_turns(self._tokenizer, row.messages, row.tools)],
            tools=tool_documents(row.tools),
            chat_template=self._tokenizer.chat_template,
            return_assistant_tokens_mask=True,
            enable_thinking=False,
            **self._tokenizer.special_tokens_map,
        )
        return texts[0], [(int(start), int(end)) for start, end in spans[0]]

    def _by_prefixes(self, row: Row) -> list[_Document]:
        """One text where the template writes every turn alike; else one for each answer.

        Some templates write earlier answers in another way than the last (they drop its thoughts).
        Then each answer is learned in the text that stands before it when it is asked for.
        """
        parts = []
        for position, message in enumerate(row.messages):
            if message.role == "assistant":
                before, until = row.messages[:position], row.messages[: position + 1]
                written = partial(render, self._tokenizer, tools=row.tools, thinking=thinks(message))
                prompt, whole = written(before, answer_next=True), written(until)
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

    def _is_faithful(self, answers: Sequence[tuple[str, Message]], example: Example) -> bool:
        """Whether what is learned, decoded, is exactly these answers of the row with their end token."""
        decoded = self._tokenizer.decode(
            [each for each, flag in zip(example.ids, example.learned, strict=True) if flag],
            skip_special_tokens=False,
            clean_up_tokenization_spaces=False,
        )
        return (
            bool(answers)
            and example.learned[:1] != (True,)
            and all(self._is_written(text, turn) for text, turn in answers)
            and _plain(decoded) == _plain("".join(text for text, _ in answers))
        )

    def _is_written(self, text: str, turn: Message) -> bool:
        """Whether `text` is the answer with its end token; with calls, how they look is the template's."""
        written = _plain(text)
        if not turn.calls:  # templates may trim
            return written in (_plain(turn.content) + self._end, _plain(turn.content + self._end))
        content = _plain(turn.content)
        begins = written.startswith(content) and written.endswith(self._end)
        return begins and holds_calls(written[len(content) :], turn.calls)


def _texts(row: Row) -> Iterator[tuple[str, str]]:
    """Every text of a row that a template writes, with the field that it stands in."""
    for message in row.messages:
        yield message.role, message.content
        for call in message.calls:
            yield message.role, call.name
            yield message.role, call.arguments
    yield "tools", row.tools


def _learned(
    documents: Sequence[_Document], answers: Sequence[Message]
) -> Iterator[tuple[str, list[tuple[int, int, Message]]]]:
    """The documents in which something is learned, with the spans of that and the turns that they are."""
    left = iter(answers)
    for text, spans in documents:
        kept = [(start, end, turn) for (start, end), turn in zip(spans, left, strict=False) if turn.learned]
        if kept:
            yield text, kept


def _plain(text: str) -> str:
    """Text as the tokenizers' normalizer leaves it."""
    return unicodedata.normalize("NFC", text).strip()


def _problem(row: Row, field: str, what: str, fix: str) -> Problem:
    return Problem(row.file, row.row, field, what, fix)
