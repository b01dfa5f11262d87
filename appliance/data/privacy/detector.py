"""One detector: what a site configures, then every rule over a text."""

import re
from collections.abc import Iterable, Sequence

from appliance.data.privacy.addresses import addresses
from appliance.data.privacy.dates import dates
from appliance.data.privacy.kinds import Found, Kind, merged
from appliance.data.privacy.names import Names
from appliance.data.privacy.normal import normal
from appliance.data.privacy.numbers import numbers
from appliance.errors import BadInput
from appliance.sentence import reason, say

SURE_ENOUGH = 0.5
"""Findings below are not made: recall goes before precision, and a person looks at a sample."""


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
        read = normal(text)
        found = [*numbers(read), *dates(read), *addresses(read), *self._names.find(read)]
        for pattern in self._records:
            found += [
                Found(Kind.RECORD, *match.span(), 0.95) for match in pattern.finditer(read) if match.group()
            ]
        return merged([one for one in found if one.confidence >= SURE_ENOUGH])


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
