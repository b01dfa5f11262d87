"""False values: the same for the same value, no way back without the key, and none that could be a real one.

A false identity or card number fails its own check, a telephone number has an area that nobody is given, an
address and a domain do not exist. A name may by chance be somebody's: names cannot be told from false ones.
"""

import calendar
import datetime
import hashlib
import hmac
import re
from collections.abc import Sequence

from appliance.data.privacy.checks import id_check_character, is_luhn_right
from appliance.data.privacy.dates import DATE, day_of
from appliance.data.privacy.kinds import Kind
from appliance.data.privacy.normal import normal
from appliance.data.privacy.words import GIVEN_ENGLISH, SURNAMES

_FAMILY = sorted(SURNAMES)
_GIVEN = "安博晨达恩帆光海嘉凯朗宁清瑞思彤文欣雅泽"
_FIRST_ENGLISH = sorted(name.capitalize() for name in GIVEN_ENGLISH if name.isalpha())
_PLANTS = """
Alder Aspen Beech Birch Bramble Briar Cedar Clover Cypress Elder Elm Fennel Fern Furze Gorse Hawthorn Heather
Hemlock Holly Hornbeam Ivy Juniper Larch Laurel Lavender Linden Lupin Maple Marigold Myrtle Nettle Pine Poplar
Primrose Rowan Rush Sedge Sorrel Spruce Sycamore Tansy Thistle Thorn Vetch Walnut Willow Yarrow Yew
"""
_LAST_ENGLISH = tuple(_PLANTS.split())
_HAN = re.compile("[\u3400-\u9fff]")
_MOBILE_DIGITS = 11
"""Without the code of the country."""
_MOST_DAYS = 365
"""How far dates are moved at most, in days."""


class Surrogates:
    """False values of one data set.

    key: 32 random bytes that nobody keeps: whoever has it can find out whether a value that he guesses
        stood behind a false one.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def instead(self, kind: Kind, value: str, patient: str) -> str | None:
        """What stands for `value` of `patient`; None where only a placeholder is safe."""
        read = normal(value)
        drawn = self._drawn(f"{kind}:{as_one(kind, value)}")
        match kind:
            case Kind.NAME:
                return self._name(read, drawn)
            case Kind.DATE:
                return _moved(read, self._days(patient))
            case Kind.ID:
                return _failing(_digits(read, drawn))
            case Kind.BANK_CARD:
                return _no_luhn(_digits(read, drawn))
            case Kind.RECORD | Kind.PASSPORT | Kind.PLATE:
                return _other_than(read, _digits(read, drawn))
            case Kind.MOBILE | Kind.LANDLINE:
                return _unassigned(kind, _digits(read, drawn), read)
            case Kind.EMAIL:
                return f"person{drawn % 10**8}@example.invalid"
            case Kind.URL:
                return f"https://example.invalid/{drawn % 10**8}"
            case _:
                return None

    def _name(self, name: str, drawn: int) -> str:
        """A false name: of an English one each part, so that it is the same alone and in any order."""
        if _HAN.search(name):
            length = len("".join(name.split()))
            given = "".join(_GIVEN[drawn // 1000**at % len(_GIVEN)] for at in range(1, min(length, 3)))
            return _FAMILY[drawn % len(_FAMILY)] + given
        before, comma, behind = name.partition(",")
        words = f"{behind} {before}".split()
        last = words[-1].lower()
        if len(words) == 1 and last in GIVEN_ENGLISH:
            parts = [self._of(_FIRST_ENGLISH, last)]
        else:
            parts = [self._of(_LAST_ENGLISH, last)]
            if len(words) > 1:
                first = self._of(_FIRST_ENGLISH, words[0].lower())
                parts = [f"{parts[0]},", first] if comma else [first, *parts]
        false = " ".join(parts)
        return false.upper() if name.isupper() else false

    def _of(self, names: Sequence[str], part: str) -> str:
        """The one of `names` that stands for a part of a name, and is not that."""
        at = self._drawn(f"{Kind.NAME}:{part}") % len(names)
        return names[at] if names[at].lower() != part else names[at - 1]

    def _drawn(self, text: str) -> int:
        return int.from_bytes(hmac.digest(self._key, text.encode(), hashlib.sha256), "big")

    def _days(self, patient: str) -> int:
        """By how many days all dates of a patient move, never 0."""
        drawn = self._drawn(f"days:{patient}") % (2 * _MOST_DAYS)
        return drawn - _MOST_DAYS if drawn < _MOST_DAYS else drawn - _MOST_DAYS + 1


def as_one(kind: Kind, value: str) -> str:
    """What all ways of writing one identifier have in common: no width, case, blanks and separators."""
    read = normal(value).lower()
    if kind in (Kind.EMAIL, Kind.URL):  # every mark of these counts
        return read
    bare = re.sub(r"[\s·()+.-]", "", read)
    return bare[-_MOBILE_DIGITS:] if kind is Kind.MOBILE else bare


def _digits(text: str, drawn: int) -> str:
    """`text` with other digits, the same however they are divided; letters and separators stay."""
    made = []
    for character in reversed(text):  # what stands before a number (the code of a country) changes nothing
        if character.isdigit():
            drawn, digit = divmod(drawn, 10)
            character = str(digit)
        made.append(character)
    return "".join(reversed(made))


def _other_than(value: str, false: str) -> str:
    """`false`, which may be `value` by chance where that is short."""
    return re.sub("[0-9]", lambda digit: str((int(digit[0]) + 1) % 10), false) if false == value else false


def _unassigned(kind: Kind, false: str, read: str) -> str:
    """A telephone number that nobody is given: its area, or its network, begins with three zeros."""
    places = [at for at, character in enumerate(false) if character.isdigit()]
    country = places[:-_MOBILE_DIGITS] if kind is Kind.MOBILE else []
    made = list(false)
    for at in country:
        made[at] = read[at]
    for at in places[len(country) :][:3]:
        made[at] = "0"
    return "".join(made)


def _failing(number: str) -> str:
    """An identity number whose last character is wrong, and whose region does not exist."""
    bare = [at for at, character in enumerate(number) if character.isalnum()]
    made = list(number)
    for at in bare[:3]:  # also of the US, where 001 is a state's and 000 nobody's
        made[at] = "0"
    if len(bare) == 18:
        right = id_check_character("".join(made[at] for at in bare[:17]))
        made[bare[17]] = "1" if right == "0" else "0"
    return "".join(made)


def _no_luhn(number: str) -> str:
    bare = [character for character in number if character.isdigit()]
    if not is_luhn_right("".join(bare)):
        return number
    return number[:-1] + str((int(number[-1]) + 1) % 10)


def _moved(written: str, days: int) -> str | None:
    """A date as it was written, `days` later; None for a form without year, month and day in digits."""
    match = DATE.fullmatch(written)
    day = day_of(match) if match else None
    if match is None or day is None:
        return None
    moved = datetime.date(*day) + datetime.timedelta(days)
    form = next(form for form in "124567" if match.groupdict()[f"y{form}"])
    if form in "67":
        month = calendar.month_name[moved.month]
        return f"{moved.day} {month} {moved.year}" if form == "7" else f"{month} {moved.day}, {moved.year}"
    if form == "4":
        parts = (moved.day, moved.month) if int(match["a4"]) > 12 else (moved.month, moved.day)
        year = f"{moved.year}" if len(match["y4"]) == 4 else f"{moved.year % 100:02}"
        first, second = f"{parts[0]:0{len(match['a4'])}}", f"{parts[1]:0{len(match['b4'])}}"
        return match["s4"].join((first, second, year))
    if form == "5":
        return f"{moved:%Y%m%d}"
    if form == "2":
        return f"{moved.year}年{moved.month}月{moved.day}日"
    separator = match["s1"]
    return (
        f"{moved.year}{separator}{moved.month:0{len(match['m1'])}}{separator}{moved.day:0{len(match['d1'])}}"
    )
