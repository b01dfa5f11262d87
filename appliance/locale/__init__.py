"""Languages: English is what the code says; a catalogue says the same in another language.

A catalogue is a folder of TOML files, each a table from the English template to the other language's, the
places in braces kept by name. TOML and not gettext's compiled files: what is signed and reviewed can be
read. Standard library only.
"""

import errno
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


SYSTEM_WORDS = frozenset(
    os.strerror(number)
    for number in (
        errno.ENOSPC,
        errno.EACCES,
        errno.ENOENT,
        errno.EIO,
        errno.EROFS,
        errno.EISDIR,
        errno.ENOTDIR,
        errno.EDQUOT,
        errno.EEXIST,
        errno.EPERM,
    )
)
"""What the system says of a call that failed: known in every language, wherever it is quoted."""


class Catalogue:
    """One language."""

    def __init__(self, language: Language, sentences: Mapping[str, str]) -> None:
        self.language = language
        self._sentences = sentences

    def say(self, text: str) -> str:
        """`text` in this language; what has no translation stays as it is.

        Sentences among its values are said too; other text among them (a name, a path, a column of
        somebody's table) stays to the letter, whatever it happens to be called.
        """
        if not isinstance(text, Sentence) or not text.values:
            return self._sentences.get(text, str(text))
        values: dict[str, Any] = {k: self._value(v) for k, v in text.values.items()}
        return self._sentences.get(text.template, text.template).format_map(values)

    def _value(self, value: Any) -> Any:
        said = isinstance(value, Sentence) or (isinstance(value, str) and value in SYSTEM_WORDS)
        return self.say(value) if said else value

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
