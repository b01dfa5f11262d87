"""The Modelfile for Ollama: template, stops, sampling, context, system prompt and licence, all explicit.

Nothing is left to Ollama's detection, which takes over parameters of templates that merely look
alike. Its parser has no escapes and drops characters silently: what it cannot read back is refused
(ollama, parser/parser.go: ParseFile, unquote).
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appliance.errors import BadInput
from appliance.export.chat_family import find_family
from appliance.model.base import load_tokenizer, stop_ids
from appliance.model.chat import end_of_turn
from appliance.sentence import reason, say

MOST_CONTEXT = 8192
"""Tokens; Ollama's own default goes from 4 k to 256 k by the card's memory, so one is always written."""

FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\.gguf")
TRIPLE = '"""'


@dataclass(frozen=True)
class Sampling:
    """How the next token is drawn; the defaults are those of transformers."""

    temperature: float = 1.0
    """0: always the likeliest."""
    top_p: float = 1.0
    top_k: int = 50
    """0: no limit."""
    min_p: float = 0.0
    repeat_penalty: float = 1.0
    """1: none. Written always, because older Ollama has 1.1."""


@dataclass(frozen=True)
class Modelfile:
    """What the file says."""

    gguf: str
    """Name of the GGUF file beside it."""
    template: str
    """Go template."""
    stops: tuple[str, ...]
    """Texts of every token that ends an answer."""
    sampling: Sampling
    num_ctx: int
    """Context length in tokens."""
    system: str = ""
    licence: str = ""
    trims: bool = False
    """Whether the model's own template removes blanks around a message; the Go template cannot."""

    def text(self) -> str:
        """The file's text.

        Raises: BadInput, when Ollama's parser would not read back what was meant.
        """
        # A name that is no file beside the Modelfile would be taken for a model to be fetched.
        if not FILE_NAME.fullmatch(self.gguf):
            raise _refusal(
                say("the file name"),
                say("{name} is not letters, digits, `.`, `_`, `-` and .gguf", name=repr(self.gguf)),
            )
        lines = [f"FROM ./{self.gguf}", f"TEMPLATE {_quoted(self.template, 'the chat template')}"]
        if self.system:
            lines.append(f"SYSTEM {_quoted(self.system, say('the system prompt'))}")
        lines += [f"PARAMETER {name} {value}" for name, value in self._parameters()]
        lines += [f"PARAMETER stop {_quoted_short(stop)}" for stop in self.stops]
        if self.licence:
            lines.append(f"LICENSE {_quoted(self.licence, 'the licence')}")
        return "\n".join(lines) + "\n"

    def _parameters(self) -> Sequence[tuple[str, float]]:
        """Names and values as Ollama knows them."""
        sampling = self.sampling
        return (
            ("num_ctx", self.num_ctx),
            ("temperature", sampling.temperature),
            ("top_p", sampling.top_p),
            ("top_k", sampling.top_k),
            ("min_p", sampling.min_p),
            ("repeat_penalty", sampling.repeat_penalty),
        )


def describe(model: Path, *, gguf: str, system: str, num_ctx: int) -> Modelfile:
    """The Modelfile of the model folder `model`.

    gguf: name of the GGUF file; system: as trained with; num_ctx: tokens, 0: the model's own, at
    most MOST_CONTEXT

    Raises: BadInput, when the chat template is of no known family, or a setting has a wrong type.
    """
    tokenizer = load_tokenizer(model)
    family = find_family(tokenizer)
    if family.trims and system != system.strip():
        raise _refusal(say("the system prompt"), "it has blanks around it, which the chat template removes")
    stops = {end_of_turn(tokenizer): None}
    for token in stop_ids(model, tokenizer):
        text = tokenizer.convert_ids_to_tokens(token)
        if text is not None:  # some lists name an end token of a sister model
            stops[text] = None
    return Modelfile(
        gguf=gguf,
        template=family.go_template(),
        stops=tuple(stops),
        sampling=read_sampling(model / "generation_config.json"),
        num_ctx=num_ctx or min(_own_context(model / "config.json"), MOST_CONTEXT),
        system=system,
        licence=_licence(model),
        trims=family.trims,
    )


def read_sampling(path: Path) -> Sampling:
    """The sampling that the generation_config.json at `path` asks for; without the file, the likeliest token.

    Raises: BadInput, naming a value that is no number in its range.
    """
    document = _read(path) if path.is_file() else {}

    def number(name: str, default: float, most: float) -> float:
        value = document.get(name)
        value = default if value is None else value
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
            raise _refusal(
                path.name,
                say(
                    "{name} = {value} is not a number from 0 to {most}",
                    name=name,
                    value=repr(value),
                    most=most,
                ),
            )
        return value

    return Sampling(
        # transformers draws only where do_sample says so, whatever the temperature.
        temperature=number("temperature", 1.0, 100.0) if document.get("do_sample") is True else 0.0,
        top_p=number("top_p", 1.0, 1.0),
        top_k=int(number("top_k", 50, 1_000_000)),
        min_p=number("min_p", 0.0, 1.0),
        repeat_penalty=number("repetition_penalty", 1.0, 10.0),
    )


def check_quotable(text: str, what: str) -> None:
    """Judge that `text` between triple quotes is read back exactly.

    Raises: BadInput, naming the character and its place.
    """
    if TRIPLE in text:
        raise _refusal(
            what,
            say(
                "it holds three quotes, which end the value, at {place}",
                place=_place(text, text.index(TRIPLE)),
            ),
        )
    for index, character in enumerate(text):
        if character == "\r":
            raise _refusal(
                what,
                say("it has a carriage return at {place}; use plain line ends", place=_place(text, index)),
            )
        if character != "\n" and not character.isprintable():
            code = f"U+{ord(character):04X}"
            raise _refusal(
                what,
                say(
                    "{code} at {place} would be dropped: no printable character",
                    code=code,
                    place=_place(text, index),
                ),
            )


def _quoted(text: str, what: str) -> str:
    """`text` between triple quotes."""
    check_quotable(text, what)
    return f"{TRIPLE}{text}{TRIPLE}"


def _quoted_short(stop: str) -> str:
    """A stop text between plain quotes, which know no escapes."""
    check_quotable(stop, say("a stop token"))
    if not stop or '"' in stop or "\n" in stop:
        raise _refusal(
            say("a stop token"), say("{stop} is empty, or holds a quote or a line end", stop=repr(stop))
        )
    return f'"{stop}"'


def _place(text: str, index: int) -> str:
    """Where the character at `index` stands, as an editor counts."""
    line = text.count("\n", 0, index) + 1
    column = index - (text.rfind("\n", 0, index) + 1) + 1
    return say("line {line}, character {column}", line=line, column=column)


def _own_context(path: Path) -> int:
    """The longest context that the model was made for, in tokens."""
    document = _read(path)
    value = document.get("max_position_embeddings")
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise _refusal(
            path.name, say("max_position_embeddings = {value} is not a number of tokens", value=repr(value))
        )
    return value


def _licence(model: Path) -> str:
    """The base's licence text as the parser can keep it; empty where there is none.

    Nobody here may edit it, so what cannot be quoted becomes a blank or another quote and is no refusal.
    """
    for path in sorted(model.iterdir()):
        if path.is_file() and path.name.split(".")[0].upper() in ("LICENSE", "LICENCE"):
            text = path.read_text(encoding="utf-8", errors="replace").expandtabs(4)
            lines = text.replace("\r\n", "\n").replace("\f", "\n").split("\n")
            plain = ("".join(each if each.isprintable() else " " for each in line) for line in lines)
            return "\n".join(plain).replace(TRIPLE, "'''").strip("\n")
    return ""


def _read(path: Path) -> dict[str, Any]:
    """A JSON object from a file."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _refusal(path.name, reason(error)) from error
    if not isinstance(document, dict):
        raise _refusal(path.name, "it is not a JSON object")
    return document


def _refusal(what: str, why: str) -> BadInput:
    """The refusal to write something into a Modelfile."""
    return BadInput(
        say("The Modelfile cannot be written because of {what}.", what=what),
        why=why,
        next_step="Correct it in the plan or in the base model, then export again.",
    )
