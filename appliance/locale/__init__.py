"""Languages: English is what the code says; a catalogue says the same in another language.

A catalogue is a folder of TOML files, each a table from the English template to the other language's, the
places in braces kept by name. TOML and not gettext's compiled files: what is signed and reviewed can be
read. Standard library only.
"""

import os
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Literal, get_args

from appliance.sentence import Sentence

Language = Literal["en", "zh_CN"]
LANGUAGES: tuple[Language, ...] = get_args(Language)
OWN_NAMES: dict[Language, str] = {"en": "English", "zh_CN": "简体中文"}
"""What each language calls itself."""

VARIABLE = "ISLET_LANG"
"""Environment variable that chooses the language of commands."""


class Catalogue:
    """One language."""

    def __init__(self, language: Language, sentences: Mapping[str, str]) -> None:
        self.language = language
        self._sentences = sentences

    def say(self, text: str) -> str:
        """`text` in this language; what has no translation (a name, a path) stays as it is."""
        if not isinstance(text, Sentence) or not text.values:
            return self._sentences.get(text, str(text))
        values: dict[str, Any] = {k: self.say(v) if isinstance(v, str) else v for k, v in text.values.items()}
        return self._sentences.get(text.template, text.template).format_map(values)

    def knows(self, template: str) -> bool:
        """Whether `template` can be said."""
        return self.language == "en" or template in self._sentences


@cache
def catalogue(language: Language, part: str = "") -> Catalogue:
    """The catalogue of `language`.

    part: where a short word has another meaning in another file, what `part.toml` says holds.
    """
    sentences: dict[str, str] = {}
    if language != "en":
        found = files(__name__).joinpath(language).iterdir()
        for file in sorted(found, key=lambda each: (each.name == f"{part}.toml", each.name)):
            if file.name.endswith(".toml"):
                sentences |= tomllib.loads(file.read_text(encoding="utf-8"))
    return Catalogue(language, sentences)


def find_language(name: str) -> Language | None:
    """The language that `name` means, as a person or a locale writes it: `zh`, `zh_CN.UTF-8`, `en_GB`."""
    short = name.strip().lower().replace("-", "_").partition(".")[0]
    if short in ("zh", "zh_cn", "zh_sg", "zh_hans", "zh_hans_cn", "cn"):
        return "zh_CN"
    return "en" if short.partition("_")[0] in ("en", "c", "posix") else None


def language_of(environment: Mapping[str, str] = os.environ) -> Language:
    """The language that the environment asks for: ISLET_LANG first, then the locale; English if neither."""
    for name in (VARIABLE, "LC_ALL", "LC_MESSAGES", "LANG"):
        if language := find_language(environment.get(name, "")) if environment.get(name) else None:
            return language
    return "en"
