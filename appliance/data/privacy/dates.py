"""Dates in every usual form, and ages over 89. A year alone, a month or a weekday names nobody."""

import re
from collections.abc import Iterator

from appliance.data.privacy.checks import is_date
from appliance.data.privacy.kinds import Found, Kind

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = (
    r"(?P<{0}>Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sept?(?:ember)?"
    r"|Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?)"
)
_CHINESE = "〇零一二三四五六七八九十元廿"

DATE = re.compile(
    r"(?=[0-9A-Z〇零一二])(?<![0-9A-Za-z])(?<![0-9]\.)(?:"
    r"(?P<y1>(?:18|19|20)[0-9]{2})(?P<s1>[-/.])(?P<m1>0?[1-9]|1[0-2])(?P=s1)(?P<d1>[12][0-9]|3[01]|0?[1-9])"
    r"(?![0-9A-Za-z])"
    r"|(?P<y2>(?:18|19|20)[0-9]{2}) ?年 ?(?P<m2>1[0-2]|0?[1-9]) ?月(?: ?(?P<d2>[12][0-9]|3[01]|0?[1-9]) ?"
    r"[日号])?"
    r"|(?P<m3>1[0-2]|0?[1-9]) ?月 ?(?P<d3>[12][0-9]|3[01]|0?[1-9]) ?[日号]"
    r"|(?P<a4>[0-3]?[0-9])/(?P<b4>[0-3]?[0-9])/(?P<y4>(?:19|20)[0-9]{2}|[0-9]{2})(?![0-9A-Za-z/])"
    r"|(?P<y5>(?:19|20)[0-9]{2})(?P<m5>0[1-9]|1[0-2])(?P<d5>0[1-9]|[12][0-9]|3[01])(?![0-9A-Za-z.])"
    r"|"
    + _MONTH.format("n6")
    + r"\.? (?P<d6>[12][0-9]|3[01]|0?[1-9])(?:st|nd|rd|th)?(?:,? (?P<y6>(?:18|19|20)[0-9]{2}))?(?!"
    r"[0-9A-Za-z])"
    r"|(?P<d7>[12][0-9]|3[01]|0?[1-9])(?:st|nd|rd|th)?[ -](?:of )?"
    + _MONTH.format("n7")
    + r"\.?(?:,?[ -](?P<y7>(?:18|19|20)[0-9]{2}|[0-9]{2}))?(?![0-9A-Za-z])"
    r"|[" + _CHINESE + r"]{4}年[" + _CHINESE + r"]{1,3}月(?:[" + _CHINESE + r"]{1,3}[日号])?"
    r")"
)
"""One date; which of the groups matched says in which form it is written."""

_AGE = re.compile(
    r"(?=[0-9年享Aa])(?:(?<![0-9.])(?P<a>9[0-9]|1[0-2][0-9])(?= ?(?:周岁|岁))"
    r"|(?:年龄|享年|[Aa]ged?|AGE)[ :]{0,3}(?P<b>9[0-9]|1[0-2][0-9])(?![0-9.%])"
    r"|(?<![0-9A-Za-z])(?<![0-9]\.)(?P<c>9[0-9]|1[0-2][0-9])(?=[- ]?(?:years?|yrs?|y/?o)\b))"
)
_NOT_AFTER = re.compile(r"(?:version|v|ratio|比例|批号|规格) ?$", re.IGNORECASE)


def dates(text: str) -> Iterator[Found]:
    """Dates and high ages in a normalised text."""
    for match in DATE.finditer(text):
        confidence = _confidence(match)
        if confidence and not _NOT_AFTER.search(text[max(0, match.start() - 8) : match.start()]):
            yield Found(Kind.DATE, *match.span(), confidence)
    for match in _AGE.finditer(text):
        yield Found(Kind.AGE, *match.span(match.lastgroup or 0), 0.9)


def day_of(match: re.Match[str]) -> tuple[int, int, int] | None:
    """(year, month, day) of a `DATE` that names all three in digits or an English month; None otherwise."""
    got = match.groupdict()
    for form in "125":
        if got[f"y{form}"] and got[f"d{form}"]:
            return int(got[f"y{form}"]), int(got[f"m{form}"]), int(got[f"d{form}"])
    for form in "67":
        if got[f"y{form}"] and got[f"n{form}"]:
            month = _MONTHS.index(got[f"n{form}"][:3].lower()) + 1
            return _full(got[f"y{form}"]), month, int(got[f"d{form}"])
    if got["y4"]:
        first, second = int(got["a4"]), int(got["b4"])
        month, day = (second, first) if first > 12 else (first, second)
        return _full(got["y4"]), month, day
    return None


def _full(year: str) -> int:
    return int(year) if len(year) == 4 else int(year) + (2000 if int(year) < 50 else 1900)


def _confidence(match: re.Match[str]) -> float:
    """0 when the calendar has no such day."""
    day = day_of(match)
    if day is not None and not is_date(*day):
        return 0
    return 0.6 if match["y5"] or match["y4"] else 0.7 if match["d7"] and not match["y7"] else 0.9
