"""Sentences that remember how they were made, so that they can be made again in another language.

Whoever finds something out says it here, in English, in full sentences with named places. The English
template is the code by which catalogues (`appliance.locale`) find the same sentence in another language;
who shows it decides which. Standard library only.
"""

import json
import math
import re
from collections.abc import Sequence
from string import Formatter
from typing import Any

_SPEC = re.compile(r",?(\.\d{1,2})?[a-z%]?")
"""Format specifications of places: thousands, digits, type; no width, which a document could make huge."""


JSON_FAULTS = frozenset(
    {
        "Expecting value",
        "Expecting ',' delimiter",
        "Expecting ':' delimiter",
        "Expecting property name enclosed in double quotes",
        "Extra data",
        "Illegal trailing comma before end of array",
        "Illegal trailing comma before end of object",
        "Invalid control character at",
        "Invalid \\escape",
        "Invalid \\uXXXX escape",
        "Unterminated string starting at",
    }
)
"""What Python's reader of JSON finds wrong. Source: json.decoder and json.scanner of Python 3.11 to 3.13."""


class Sentence(str):
    """English text; `template` and `values` say how it was made.

    A text without places is its own template. Values are numbers, sentences again, or text, which stays as
    it is in every language.
    """

    template: str
    values: dict[str, Any]

    def __new__(cls, template: str, values: dict[str, Any] | None = None) -> "Sentence":
        made = super().__new__(cls, template.format_map(values) if values else template)
        made.template = template
        made.values = values or {}
        return made

    def __getnewargs__(self) -> tuple[str, dict[str, Any]]:  # type: ignore[override]  # copies keep the parts
        return self.template, self.values


def say(template: str, **values: Any) -> Sentence:
    """The sentence that `template` makes with `values`, which it names as `str.format` does.

    Templates are literals at the place of the call: the test of the catalogues finds them there. A value
    that is neither text nor a number (a path, an error) is kept as its text.
    """
    kept = {k: v if isinstance(v, str | int | float) else str(v) for k, v in values.items()}
    return Sentence(template, kept)


def listed(parts: Sequence[str], between: str = ", ") -> Sentence:
    """Sentences one after another; another language says each, and what stands between, in its own way."""
    places = {f"part{number}": part for number, part in enumerate(parts)}
    return Sentence("{between}".join(f"{{{name}}}" for name in places), {**places, "between": say(between)})


def places(template: str) -> list[tuple[str, str]]:
    """Names and format specifications of the places in a template that has values.

    Raises: ValueError, for anything but plain places: attributes, items, conversions, widths.
    """
    found = []
    for _, name, spec, conversion in Formatter().parse(template):
        if name is None:
            continue
        if not name.isidentifier() or conversion or not _SPEC.fullmatch(spec or ""):
            raise ValueError(f"no plain place: {name!r}")
        found.append((name, spec or ""))
    return found


def to_document(text: str) -> Any:
    """`text` for a JSON document: plain text as it is, a sentence with places as its parts."""
    if not isinstance(text, Sentence) or not text.values:
        return str(text)
    if any(isinstance(value, float) and not math.isfinite(value) for value in text.values.values()):
        return str(text)  # JSON has no such number
    return {"say": text.template, "with": {k: _stored(v) for k, v in text.values.items()}}


def from_document(document: Any) -> Sentence:
    """What `to_document` was given; anything else as a sentence without places."""
    if isinstance(document, dict) and isinstance(document.get("say"), str):
        values = document.get("with")
        if isinstance(values, dict):
            if not values:
                return Sentence(document["say"])
            try:
                places(document["say"])  # whoever edited the file must not reach into objects
                return Sentence(document["say"], {str(k): _value(v) for k, v in values.items()})
            except (KeyError, IndexError, ValueError, TypeError):
                return Sentence(str(document["say"]))  # an edited file: its words, without their values
    return Sentence(str(document))  # it may be a sentence without places


def _stored(value: Any) -> Any:
    """A value for a document; text that is a sentence is told from text that is a name."""
    if isinstance(value, Sentence) and not value.values:
        return {"say": value.template, "with": {}}
    return to_document(value) if isinstance(value, str) else value


def _value(value: Any) -> Any:
    return from_document(value) if isinstance(value, dict) else value


def as_sentence(text: str) -> Sentence:
    """`text`, which is a sentence without places where it is not made of parts already."""
    return text if isinstance(text, Sentence) else Sentence(text)


def reason(error: BaseException) -> str:
    """What an error says: the sentence that it was raised with, else its text.

    What JSON's reader and the system say of themselves becomes a sentence of the same text.
    """
    first = error.args[0] if error.args else None
    if isinstance(first, Sentence):
        return first
    said: str = str(error)
    if isinstance(error, json.JSONDecodeError):
        said = say(
            "{fault}: line {line} column {column} (char {position})",
            fault=Sentence(error.msg) if error.msg in JSON_FAULTS else error.msg,
            line=error.lineno,
            column=error.colno,
            position=error.pos,
        )
    elif isinstance(error, OSError) and error.filename and error.filename2 is None:
        name = repr(error.filename)
        said = say("[Errno {number}] {what}: {file}", number=error.errno, what=error.strerror, file=name)
    return said if said == str(error) else str(error)
