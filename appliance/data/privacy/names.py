"""Names of people: a list that the site gives, else words around them, never a dictionary alone."""

import re
from collections.abc import Iterable, Iterator

from appliance.data.privacy.kinds import Found, Kind
from appliance.data.privacy.names_chinese import chinese_names
from appliance.data.privacy.names_english import english_names
from appliance.data.privacy.normal import normal
from appliance.data.privacy.words import NAMED_AFTER

_FOLLOWS = re.compile(r" ?(?:['’]s )?([a-z]+)")


class Names:
    """Finds names; `listed` are exact ones that the site knows, of any language.

    An English name of the list is also found with its last word first, as forms have it.
    """

    def __init__(self, listed: Iterable[str] = ()) -> None:
        wanted = {" ".join(_lower(normal(name)).split()) for name in listed if len(name.strip()) >= 2}
        wanted |= {turned for name in wanted if name.isascii() for turned in _last_first(name)}
        self._by_start: dict[str, list[str]] = {}
        for name in sorted(wanted, key=len, reverse=True):
            self._by_start.setdefault(name[:2], []).append(name)
        firsts = "".join(re.escape(character) for character in sorted({start[0] for start in self._by_start}))
        self._firsts = re.compile(f"[{firsts}]") if firsts else None

    def find(self, text: str, *, han: bool, latin: bool) -> Iterator[Found]:
        """Names in a normalised text. han, latin: whether it has such letters."""
        yield from self._listed(text)
        if han:
            yield from chinese_names(text)
        if latin:
            yield from english_names(text)

    def _listed(self, text: str) -> Iterator[Found]:
        if self._firsts is None:
            return
        lower = _lower(text).replace("\n", " ")
        for match in self._firsts.finditer(lower):
            at = match.start()
            for name in self._by_start.get(lower[at : at + 2], ()):
                if lower.startswith(name, at) and stands_alone(lower, at, at + len(name)):
                    yield Found(Kind.NAME, at, at + len(name), 0.99)
                    break


def again(text: str, name: str) -> Iterator[Found]:
    """Where `name`, which words around it showed to be one, stands in `text` without such words."""
    at = text.find(name)
    while at >= 0:
        end = at + len(name)
        follows = _FOLLOWS.match(text, end) if name.isascii() else None
        if stands_alone(text, at, end) and not (follows and follows[1] in NAMED_AFTER):
            yield Found(Kind.NAME, at, end, 0.7)
        at = text.find(name, end)


def _last_first(name: str) -> tuple[str, ...]:
    *firsts, last = name.split()
    return (f"{last}, {' '.join(firsts)}", f"{last} {' '.join(firsts)}") if firsts else ()


def _lower(text: str) -> str:
    """`text` in lower case, one character for each of its characters: a few would become two."""
    lower = text.lower()
    if len(lower) == len(text):
        return lower
    return "".join(each if len(each.lower()) > 1 else each.lower() for each in text)


def stands_alone(text: str, start: int, end: int) -> bool:
    """Whether an English name does not begin or end inside a word; Chinese has no such boundary."""
    inside_before = (
        start > 0 and text[start].isascii() and text[start - 1].isascii() and text[start - 1].isalpha()
    )
    inside_after = end < len(text) and text[end - 1].isascii() and text[end].isascii() and text[end].isalpha()
    return not (inside_before or inside_after)
