"""One detector: what a site configures, then every rule over a text."""

import re
from collections.abc import Iterable, Sequence

from appliance.data.privacy.addresses import addresses
from appliance.data.privacy.codes import codes
from appliance.data.privacy.dates import dates
from appliance.data.privacy.kinds import Found, Kind, merged
from appliance.data.privacy.names import Names, again
from appliance.data.privacy.names_english import last_names
from appliance.data.privacy.normal import normal
from appliance.data.privacy.numbers import numbers
from appliance.errors import BadInput
from appliance.sentence import reason, say

SURE_ENOUGH = 0.5
"""Findings below are not made: recall goes before precision, and a person looks at a sample."""

SURE_OF_NAME = 0.75
"""From here on a name is looked for where no word shows it."""

_HAN = re.compile("[\u4e00-\u9fff]")
_LATIN = re.compile("[A-Za-z]{3}")
_CAPITALS = re.compile("[A-Z][a-z]{2}|[A-Z]{3}|[À-Þ]")


class Detector:
    """Finds identifiers in texts.

    names: exact names that the site knows, from its own system; a name in the list is found wherever it
        stands. record_patterns: regular expressions of the site's own numbers (`ZY\\d{8}`).

    Raises: BadInput, naming a pattern that is none.
    """

    def __init__(self, *, names: Iterable[str] = (), record_patterns: Sequence[str] = ()) -> None:
        self._names = Names(names)
        self._records = [_compiled(pattern) for pattern in record_patterns]

    def find(self, text: str) -> tuple[Found, ...]:
        """Identifiers in `text`, in order, none over another."""
        return self.find_in([text])[0]

    def find_in(self, texts: Sequence[str]) -> tuple[tuple[Found, ...], ...]:
        """Identifiers in texts that belong together, as the turns of one conversation.

        A name that the words around it show in one place is found in all of them.
        """
        read = [normal(text) for text in texts]
        found = [self._rules(text) for text in read]
        known = {
            text[one.start : one.end]
            for text, there in zip(read, found, strict=True)
            for one in there
            if one.kind is Kind.NAME and one.end - one.start >= 2 and one.confidence >= SURE_OF_NAME
        }
        everything = "\n".join(read)
        known |= {last for name in known if name[0].isascii() for last in last_names(name, everything)}
        for text, there in zip(read, found, strict=True):
            there += [one for name in sorted(known) for one in again(text, name)]
        return tuple(merged(there) for there in found)

    def _rules(self, text: str) -> list[Found]:
        """What each rule finds in a normalised text."""
        han = not text.isascii() and _HAN.search(text) is not None
        latin = _LATIN.search(text) is not None
        found = [
            *numbers(text, latin=latin),
            *codes(text, han=han, latin=latin),
            *dates(text),
            *addresses(text, han=han, latin=latin),
            *self._names.find(text, han=han, latin=latin and _CAPITALS.search(text) is not None),
        ]
        for pattern in self._records:
            found += [
                Found(Kind.RECORD, *match.span(), 0.95) for match in pattern.finditer(text) if match.group()
            ]
        return [one for one in found if one.confidence >= SURE_ENOUGH]


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        re.compile(pattern)  # by itself first: what is put around it could close what it leaves open
        return re.compile(rf"(?<![0-9A-Za-z])(?:{pattern})(?![0-9A-Za-z])", re.ASCII)
    except re.error as error:
        raise BadInput(
            say("The pattern {pattern} for record numbers is no regular expression.", pattern=pattern),
            why=reason(error),
            next_step="Correct it; `ZY[0-9]{8}` finds ZY and eight digits.",
        ) from error
