"""Names of people: a list that the site gives, else words around them, never a dictionary alone."""

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from appliance.data.privacy.kinds import Found, Kind
from appliance.data.privacy.names_chinese import chinese_names
from appliance.data.privacy.names_english import english_names
from appliance.data.privacy.normal import normal
from appliance.data.privacy.words import NAMED_AFTER
from appliance.errors import BadInput
from appliance.sentence import say

_FOLLOWS = re.compile(r" ?(?:['’]s )?([a-z]+)")

_CHINESE = "\u3400-\u9fff·"
_GAP = re.compile(
    rf"[ \r\n](?:[ \r\n]+|(?<=[\r\n])|(?<=[{_CHINESE}] )(?=[{_CHINESE}]))|,(?=[A-Za-z])", re.ASCII
)
"""Where a form's blanks, or the end of a line, may divide a name; a blank between words is none."""

_LONGEST_GAP = 8
_MORE_THAN_A_NAME = re.compile(rf"[;|]|(?<=[{_CHINESE}]),|,(?=[{_CHINESE}])|,.*,")
_HEADS = frozenset(("姓名", "名字", "患者姓名", "病人姓名", "name", "names", "patient name", "full name"))
"""What stands above a column of names; searched for, it would be masked in every form."""

_APOSTROPHES = str.maketrans("’‘ʼ`´", "'" * 5)


class Names:
    """Finds names; `listed` are exact ones that the site knows, of any language.

    One is also found where blanks or the end of a line divide it; an English one also with its last word
    first, as forms have it, one of several parts (`阿依古丽·买买提`) with a stop or nothing between them.
    """

    def __init__(self, listed: Iterable[str] = ()) -> None:
        wanted = {_as_compared(name)[0].strip() for name in map(normal, listed)}
        wanted |= {other for name in wanted for other in _other_forms(name)}
        self._by_start: dict[str, list[str]] = {}
        for name in sorted(wanted, key=lambda name: (-len(name), name)):
            if len(name) >= 2:
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
        compared, place = _as_compared(text)
        for match in self._firsts.finditer(compared):
            at = match.start()
            for name in self._by_start.get(compared[at : at + 2], ()):
                if compared.startswith(name, at) and stands_alone(compared, at, at + len(name)):
                    yield Found(Kind.NAME, place(at), place(at + len(name) - 1) + 1, 0.99)
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


def check_listed(lines: Sequence[str], source: Path) -> None:
    """Pass if every line of a list is a name, or empty: another column beside it, and no name would be found.

    Raises: BadInput, with the number of the line and nothing of it.
    """
    for number, line in enumerate(lines, start=1):
        read = normal(line)
        if "\t" in line or _MORE_THAN_A_NAME.search(read) or read.lower() in _HEADS:
            raise BadInput(
                say("Line {line} of {path} is no name.", line=number, path=source),
                why="it holds more than one column, or the word above them",
                next_step="Keep one whole name on each line, and nothing beside it.",
            )
    if not any(lines):
        raise BadInput(
            say("{path} holds no name.", path=source),
            why="all its lines are empty",
            next_step="Write one name on each line, or leave --names out.",
        )


def _other_forms(name: str) -> Iterator[str]:
    """How a listed name is written too."""
    if "·" in name:
        yield from (name.replace("·", "."), name.replace("·", ""))
    *firsts, last = name.split()
    if name.isascii() and firsts:
        yield from (f"{last}, {' '.join(firsts)}", f"{last} {' '.join(firsts)}")


def _as_compared(text: str) -> tuple[str, Callable[[int], int]]:
    """A normalised text as names are compared, and for each of its places the one in `text`.

    In lower case, with one kind of apostrophe; Chinese has no blanks in it, English one between words.
    """
    lower = _lower(text).translate(_APOSTROPHES)
    parts, new, old = [], [0], [0]
    length = at = 0
    for gap in _GAP.finditer(lower):
        start, end = gap.span()
        parts.append(lower[at:start])
        parts.append(_instead_of(gap.group(), lower[start - 1 : start], lower[end : end + 1]))
        length += start - at + len(parts[-1])
        new.append(length)
        old.append(end)
        at = end

    def place(at: int) -> int:
        part = bisect_right(new, at) - 1
        return old[part] + at - new[part]

    return "".join([*parts, lower[at:]]), place


def _instead_of(gap: str, before: str, behind: str) -> str:
    """What stands for a gap between two characters ("" at an end of the text)."""
    if gap == ",":
        return ", "
    is_chinese = any("\u3400" <= each <= "\u9fff" or each == "·" for each in (before, behind))
    return "" if is_chinese and len(gap) <= _LONGEST_GAP and gap.count("\n") < 2 else " "


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
