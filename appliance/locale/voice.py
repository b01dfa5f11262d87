"""A voice: sentences said straight in one language, with values that stay to the letter.

For what is written from data (a report, a table): a patient's row that happens to be a word of the house
must not be translated, so values are never looked up. Standard library only.
"""

from typing import Any

from appliance.locale import Language, catalogue
from appliance.sentence import from_document


class Voice:
    """Says sentences in `language`, with the words of the report and of the commands' tables."""

    def __init__(self, language: Language) -> None:
        self.language = language
        self._catalogue = catalogue(language, "report")

    def __call__(self, template: str, **values: object) -> str:
        """The sentence that `template` makes in this language with `values`, which it names."""
        said = self._catalogue.say(template)
        return said.format_map(values) if values else said

    def again(self, text: Any) -> str:
        """What another part of the house said: a sentence, its document, or a text without places."""
        return self._catalogue.say(text if isinstance(text, str) else from_document(text))
