"""Sentences that remember how they were made, so that they can be made again in another language.

Whoever finds something out says it here, in English, in full sentences with named places. The English
template is the code by which catalogues (`appliance.locale`) find the same sentence in another language;
who shows it decides which. Standard library only.
"""

from typing import Any


class Sentence(str):
    """English text; `template` and `values` say how it was made.

    A text without places is its own template. Values are text, numbers, or sentences again.
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

    Templates are literals at the place of the call: the test of the catalogues finds them there.
    """
    return Sentence(template, values)


def listed(parts: "list[str] | tuple[str, ...]", between: str = ", ") -> Sentence:
    """Sentences one after another, each of which can be said in another language by itself."""
    places = {f"part{number}": part for number, part in enumerate(parts)}
    return Sentence(between.join(f"{{{name}}}" for name in places), places)


def to_document(text: str) -> Any:
    """`text` for a JSON document: plain text as it is, a sentence with places as its parts."""
    if not isinstance(text, Sentence) or not text.values:
        return str(text)
    values = {k: to_document(v) if isinstance(v, str) else v for k, v in text.values.items()}
    return {"say": text.template, "with": values}


def from_document(document: Any) -> str:
    """What `to_document` was given; anything else as plain text."""
    if isinstance(document, dict) and isinstance(document.get("say"), str):
        values = document.get("with")
        if isinstance(values, dict):
            try:
                return Sentence(document["say"], {str(k): _value(v) for k, v in values.items()})
            except (KeyError, IndexError, ValueError, TypeError):
                return str(document["say"])  # an edited file: its words, without their values
    return str(document)


def _value(value: Any) -> Any:
    return from_document(value) if isinstance(value, str | dict) else value
