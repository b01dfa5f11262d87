"""Chat templates that a Go template can say exactly, recognised by what they render, not by their text.

A template is of a family when it renders every probe conversation as the family does. One that is
of none is refused: Ollama would show the model another prompt than the one that it was trained on.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from appliance.errors import BadInput
from appliance.model.chat import render
from appliance.run.rows import Message


@dataclass(frozen=True)
class ChatMl:
    """ChatML: Qwen 2 to 3, Yi and many others."""

    default_system: str
    """Put first where the conversation has no system message; empty: nothing is."""
    answer_start: str
    """What the prompt ends with after the assistant's name: nothing, or an empty thinking block."""

    def render(self, messages: Sequence[Message]) -> str:
        """The prompt for `messages`, up to where the answer begins."""
        turns = list(messages)
        if self.default_system and turns[0].role != "system":
            turns.insert(0, Message("system", self.default_system))
        text = "".join(f"<|im_start|>{turn.role}\n{turn.content}<|im_end|>\n" for turn in turns)
        return f"{text}<|im_start|>assistant\n{self.answer_start}"

    def go_template(self) -> str:
        """The same in Go's text/template, with Ollama's variables."""
        first = (
            f"{{{{ if not .System }}}}<|im_start|>system\n{self.default_system}<|im_end|>\n{{{{ end }}}}"
            if self.default_system
            else ""
        )
        turns = "{{ range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}"
        return f"{first}{turns}<|im_start|>assistant\n{self.answer_start}"


ANSWER_STARTS = ("", "<think>\n\n</think>\n\n")

PROBE = "islet probe"

PROBES = (
    [Message("user", PROBE)],
    [Message("system", "S1\nS2"), Message("user", PROBE)],
    [Message("user", "U1"), Message("assistant", "A1\n\nA2"), Message("user", "U2")],
    [
        Message("system", "系统"),
        Message("user", "  问题 \n"),
        Message("assistant", " 回答 "),
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


def find_family(tokenizer: Any) -> ChatMl:
    """The family of the tokenizer's chat template, as it is rendered in training.

    Raises: BadInput, when it is of none.
    """
    name = str(getattr(tokenizer, "name_or_path", "the model"))
    match = CHATML.fullmatch(render(tokenizer, PROBES[0], answer_next=True))
    if match is None:
        raise _refusal(name, "it is not ChatML")
    family = ChatMl(match["system"] or "", match["start"])
    if family.answer_start not in ANSWER_STARTS:
        raise _refusal(name, f"its prompt ends with {family.answer_start[:60]!r}")
    if "{{" in family.default_system or "<|im_end|>" in family.default_system:
        raise _refusal(name, "its own system prompt holds template signs")
    for number, probe in enumerate(PROBES, 1):
        if render(tokenizer, probe, answer_next=True) != family.render(probe):
            raise _refusal(name, f"probe conversation {number} is rendered in another way than ChatML's")
    return family


def _refusal(name: str, why: str) -> BadInput:
    """The refusal of a chat template."""
    return BadInput(
        f"The chat template of {name} cannot be written for Ollama.",
        why=why,
        next_step="Choose a base model with a ChatML template, as Qwen 2.5 and Qwen 3 have.",
    )
