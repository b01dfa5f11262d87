"""Chat templates that a Go template can say exactly, recognised by what they render, not by their text.

A template is of a family when it renders every probe conversation as the family does, with thinking
aloud asked for and not. One that is of none is refused: Ollama would show the model another prompt
than the one that it was trained on.

The token that begins every text is left out: llama.cpp puts it first by itself, and a second one would
be another prompt. Go templates cannot remove blanks around a message; a family whose template does so
says it in `trims`.
"""

import datetime
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from appliance.errors import BadInput
from appliance.run.rows import Message
from appliance.sentence import say

EMPTY_THOUGHT = "<think>\n\n</think>\n\n"
STARTS = ("", EMPTY_THOUGHT)
"""What the prompt may end with, after the assistant's name, when no thinking is asked for."""
THINKING_STARTS = (*STARTS, "<think>\n")

PROBE = "islet probe"


class Family(Protocol):
    """A format of prompts, with the values that a base's template has in it."""

    @property
    def trims(self) -> bool:
        """Whether blanks around a message are removed, which the Go template cannot do."""

    def render(self, messages: Sequence[Message], *, thinking: bool = False) -> str:
        """The prompt for `messages`, up to where the answer begins."""

    def go_template(self) -> str:
        """The same in Go's text/template, with Ollama's variables."""


@dataclass(frozen=True)
class ChatMl:
    """ChatML: Qwen 2 to 3, Yi and many others."""

    default_system: str = ""
    """Put first where the conversation has no system message; empty: nothing is."""
    start: str = ""
    """What the prompt ends with, as trained: one of STARTS."""
    thinking_start: str = ""
    """The same where thinking aloud is asked for: one of THINKING_STARTS."""
    trims: bool = False

    def render(self, messages: Sequence[Message], *, thinking: bool = False) -> str:
        """The prompt for `messages`, up to where the answer begins."""
        turns = _trimmed(messages) if self.trims else list(messages)
        if self.default_system and turns[0].role != "system":
            turns.insert(0, Message("system", self.default_system))
        text = "".join(f"<|im_start|>{turn.role}\n{turn.content}<|im_end|>\n" for turn in turns)
        return f"{text}<|im_start|>assistant\n{self.thinking_start if thinking else self.start}"

    def go_template(self) -> str:
        """The same in Go's text/template; where Ollama is told nothing about thinking, as trained."""
        first = (
            f"{{{{ if not .System }}}}<|im_start|>system\n{self.default_system}<|im_end|>\n{{{{ end }}}}"
            if self.default_system
            else ""
        )
        turns = "{{ range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}"
        start = self.start
        if self.thinking_start != self.start:
            other = f"{{{{ else }}}}{self.thinking_start}" if self.thinking_start else ""
            start = f"{{{{ if not (and .IsThinkSet .Think) }}}}{self.start}{other}{{{{ end }}}}"
        return f"{first}{turns}<|im_start|>assistant\n{start}"


@dataclass(frozen=True)
class Llama3:
    """Llama 3: roles in header tokens, and before the system prompt some words of the template's own."""

    preamble: str = ""
    """Stands before the system prompt, and alone where there is none; empty: then no system turn either."""
    trims: bool = False

    def render(self, messages: Sequence[Message], *, thinking: bool = False) -> str:
        """The prompt for `messages`, up to where the answer begins."""
        turns = _trimmed(messages) if self.trims else list(messages)
        system = turns.pop(0).content if turns[0].role == "system" else ""
        if self.preamble or system:
            turns.insert(0, Message("system", self.preamble + system))
        text = "".join(f"{_header(turn.role)}{turn.content}<|eot_id|>" for turn in turns)
        return f"{text}{_header('assistant')}"

    def go_template(self) -> str:
        """The same in Go's text/template, with Ollama's variables."""
        system = f"{_header('system')}{self.preamble}{{{{ .System }}}}<|eot_id|>"
        if not self.preamble:
            system = f"{{{{ if .System }}}}{system}{{{{ end }}}}"
        turn = f"{_header('{{ .Role }}')}{{{{ .Content }}}}<|eot_id|>"
        turns = f'{{{{ range .Messages }}}}{{{{ if ne .Role "system" }}}}{turn}{{{{ end }}}}{{{{ end }}}}'
        return f"{system}{turns}{_header('assistant')}"


@dataclass(frozen=True)
class Gemma:
    """Gemma: the assistant is called model, and the system prompt opens the first question."""

    trims: bool = False
    """Of questions and answers; the system prompt keeps its blanks."""

    def render(self, messages: Sequence[Message], *, thinking: bool = False) -> str:
        """The prompt for `messages`, up to where the answer begins."""
        turns, start = list(messages), ""
        if turns[0].role == "system":
            start = f"{turns.pop(0).content}\n\n"
        turns = _trimmed(turns) if self.trims else turns
        turns[0] = Message(turns[0].role, start + turns[0].content)
        names = {"user": "user", "assistant": "model"}
        text = "".join(f"<start_of_turn>{names[turn.role]}\n{turn.content}<end_of_turn>\n" for turn in turns)
        return f"{text}<start_of_turn>model\n"

    def go_template(self) -> str:
        """The same in Go's text/template, with Ollama's variables."""
        return (
            "{{ $system := .System }}{{ range .Messages }}"
            '{{ if eq .Role "user" }}<start_of_turn>user\n'
            '{{ if $system }}{{ $system }}\n\n{{ $system = "" }}{{ end }}{{ .Content }}<end_of_turn>\n'
            '{{ else if eq .Role "assistant" }}<start_of_turn>model\n{{ .Content }}<end_of_turn>\n'
            "{{ end }}{{ end }}<start_of_turn>model\n"
        )


def _header(role: str) -> str:
    """What opens a turn of Llama 3."""
    return f"<|start_header_id|>{role}<|end_header_id|>\n\n"


def _trimmed(messages: Sequence[Message]) -> list[Message]:
    """The messages without blanks around them, as jinja's `trim` leaves them."""
    return [Message(message.role, message.content.strip()) for message in messages]


PROBES = (
    [Message("user", PROBE)],
    [Message("system", "S1\nS2"), Message("user", PROBE)],
    [Message("user", "U1"), Message("assistant", "A1\n\nA2"), Message("user", "U2")],
    [
        Message("system", "系统"),
        Message("user", "  问题 \n"),
        Message("assistant", "\n 回答 \n"),
        Message("user", "U2\n"),
        Message("assistant", "A2"),
        Message("user", 'It\'s <b> & {x} "y" \\n'),
    ],
)
"""Conversations as Ollama sends them: the last turn is the user's."""

CHATML = re.compile(
    rf"(?:<\|im_start\|>system\n(?P<system>.*)<\|im_end\|>\n)?<\|im_start\|>user\n{PROBE}<\|im_end\|>\n"
    rf"<\|im_start\|>assistant\n(?P<start>.*)",
    re.DOTALL,
)
LLAMA3 = re.compile(
    rf"(?:{re.escape(_header('system'))}(?P<preamble>.*)<\|eot_id\|>)?"
    rf"{re.escape(_header('user'))}{PROBE}<\|eot_id\|>{re.escape(_header('assistant'))}",
    re.DOTALL,
)
SIGNS = ("{{", "}}", "<|")
"""What a template's own words may not hold: they would be taken for actions, or end a turn."""

DAYS = ("%d %b %Y", "%d %B %Y", "%B %d, %Y", "%Y-%m-%d", "%d/%m/%Y")
"""How templates write the date."""


def find_family(tokenizer: Any) -> Family:
    """The family of the tokenizer's chat template, as it is rendered in training.

    Raises: BadInput, when it is of none.
    """
    name = str(getattr(tokenizer, "name_or_path", "the model"))
    plain = [_rendered(tokenizer, probe) for probe in PROBES]
    thinking = [_rendered(tokenizer, probe, thinking=True) for probe in PROBES]
    today = datetime.datetime.now()  # as transformers gives it to templates
    if any(today.strftime(form) in plain[0] for form in DAYS):
        raise _refusal(name, "it writes the date of the day into the prompt")
    family = _recognised(name, plain[0], thinking[0])
    differs = 0
    for candidate in (family, replace(family, trims=True)):
        differs = _first_difference(candidate, plain, thinking)
        if not differs:
            return candidate
    kind = type(family).__name__
    raise _refusal(
        name,
        say(
            "probe conversation {number} is rendered in another way than {kind}'s", number=differs, kind=kind
        ),
    )


def _rendered(tokenizer: Any, probe: Sequence[Message], thinking: bool = False) -> str:
    """What the model reads for `probe`, without the token that begins every text.

    thinking: whether it is asked to think aloud; in training it is not (appliance.model.chat.render)

    Raises: BadInput, when the template refuses the conversation.
    """
    from jinja2 import TemplateError

    messages = [{"role": message.role, "content": message.content} for message in probe]
    options = {"tokenize": False, "add_generation_prompt": True, "enable_thinking": thinking}
    try:
        text = str(tokenizer.apply_chat_template(messages, **options))
    except TemplateError as error:
        raise _refusal(
            str(tokenizer.name_or_path), say("it refuses a conversation: {error}", error=error)
        ) from error
    return text.removeprefix(tokenizer.bos_token or "")


def _recognised(name: str, plain: str, thinking: str) -> ChatMl | Llama3 | Gemma:
    """The family, with its values, that renders the first probe so.

    Raises: BadInput, when there is none, or when it has values that cannot be written.
    """
    if (match := CHATML.fullmatch(plain)) and (aloud := CHATML.fullmatch(thinking)):
        _check_words(name, match["system"] or "")
        if match["start"] not in STARTS or aloud["start"] not in THINKING_STARTS:
            raise _refusal(name, say("its prompt ends with {text}", text=repr(match["start"][:60])))
        return ChatMl(match["system"] or "", match["start"], aloud["start"])
    if match := LLAMA3.fullmatch(plain):
        _check_words(name, match["preamble"] or "")
        return Llama3(match["preamble"] or "")
    if plain == Gemma().render(PROBES[0]):
        return Gemma()
    raise _refusal(name, "it is not ChatML, Llama 3 or Gemma")


def _check_words(name: str, words: str) -> None:
    """Judge the words that a template puts before the system prompt, or in its place."""
    if any(sign in words for sign in SIGNS):
        raise _refusal(name, "its own system prompt holds template signs")


def _first_difference(family: Family, plain: Sequence[str], thinking: Sequence[str]) -> int:
    """Number of the first probe that `family` renders in another way; 0 when there is none."""
    for number, probe in enumerate(PROBES, 1):
        if family.render(probe) != plain[number - 1]:
            return number
        if family.render(probe, thinking=True) != thinking[number - 1]:
            return number
    return 0


def _refusal(name: str, why: str) -> BadInput:
    """The refusal of a chat template."""
    return BadInput(
        say("The chat template of {name} cannot be written for Ollama.", name=name),
        why=why,
        next_step="Choose a base model with a ChatML (Qwen 2.5, Qwen 3), Llama 3 or Gemma template.",
    )
