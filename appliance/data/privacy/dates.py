"""Dates in every usual form, and ages over 89. A year, a month or a weekday alone names nobody."""

import re
from collections.abc import Iterator

from appliance.data.privacy.checks import is_date
from appliance.data.privacy.kinds import Found, Kind

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = (
    r"(?P<{0}>Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sept?(?:ember)?"
    r"|Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?|JAN(?:UARY)?|FEB(?:RUARY)?|MAR(?:CH)?|APR(?:IL)?|MAY|JUNE?|JULY?"
    r"|AUG(?:UST)?|SEPT?(?:EMBER)?|OCT(?:OBER)?|NOV(?:EMBER)?|DEC(?:EMBER)?)"
)
_CHINESE = "〇零一二三四五六七八九十元廿"

DATE = re.compile(
    r"(?=[0-9A-Z])(?<![0-9A-Za-z])(?<![0-9]\.)(?:"
    r"(?P<y1>(?:18|19|20)[0-9]{2})(?P<s1>[-/.])(?P<m1>0?[1-9]|1[0-2])(?P=s1)(?P<d1>[12][0-9]|3[01]|0?[1-9])"
    r"(?![0-9A-SU-Za-z])"
    r"|(?P<y2>(?:18|19|20)[0-9]{2}) ?年 ?(?P<m2>1[0-2]|0?[1-9]) ?月(?: ?(?P<d2>[12][0-9]|3[01]|0?[1-9]) ?"
    r"[日号])?"
    r"|(?P<m3>1[0-2]|0?[1-9]) ?月 ?(?P<d3>[12][0-9]|3[01]|0?[1-9]) ?[日号]"
    r"|(?P<a4>[0-3]?[0-9])(?P<s4>[/.-])(?P<b4>[0-3]?[0-9])(?P=s4)(?P<y4>(?:19|20)[0-9]{2}|(?<=/)[0-9]{2})"
    r"(?![0-9A-Za-z/])"
    r"|(?P<y5>(?:19|20)[0-9]{2})(?P<m5>0[1-9]|1[0-2])(?P<d5>0[1-9]|[12][0-9]|3[01])(?![0-9A-Za-z.])"
    r"|"
    + _MONTH.format("n6")
    + r"\.? (?P<d6>[12][0-9]|3[01]|0?[1-9])(?:st|nd|rd|th)?(?:,? (?P<y6>(?:18|19|20)[0-9]{2}))?(?!"
    r"[0-9A-Za-z])"
    r"|(?P<d7>[12][0-9]|3[01]|0?[1-9])(?:st|nd|rd|th)?[ -](?:of )?"
    + _MONTH.format("n7")
    + r"\.?(?:,?[ -](?P<y7>(?:18|19|20)[0-9]{2}|[0-9]{2}))?(?![0-9A-Za-z])"
    + r"|"
    + _MONTH.format("n8")
    + r"\.?,? (?:18|19|20)[0-9]{2}(?![0-9A-Za-z])"
    r")"
)
"""One date; which of the groups matched says in which form it is written."""

_SHORT = re.compile(
    r"[0-9](?<![0-9A-Za-z./-].)[0-9]?(?P<s>[-./])[0-9]{1,2}(?:(?P=s)[0-9]{1,2})?(?![0-9A-Za-z.%/-])"
)
"""Two or three short numbers: a date only where the words around say so."""

_SAYS_DATE = re.compile(
    r"(?:[于至自从到在]|日期|时间|DOB|[Bb]orn|[Ss]een|[Oo]n|[Ss]ince|[Ff]rom|[Uu]ntil|[Tt]o)[ :]{0,3}$"
)
_EVENT = re.compile(
    r" ?(?:日|号|就诊|复查|复诊|再查|[0-2]?[0-9]:[0-5][0-9]|入院|出院|转院|转入|手术|起病|外院|我院|[至~])"
)
_UNTIL = re.compile(
    r" ?(?:至|到|-|~|及|和|、|to|through|until) ?(?P<value>(?:1[0-2]|0?[1-9])[-./](?:3[01]|[12][0-9]|0?[1-9])"
    r"|(?:(?:1[0-2]|0?[1-9])月)?(?:3[01]|[12][0-9]|0?[1-9])[日号])(?![0-9A-Za-z.%/-])"
)
"""The end of a span of days, which leaves out what its beginning says."""

_STEM = "甲乙丙丁戊己庚辛壬癸"
_BRANCH = "子丑寅卯辰巳午未申酉戌亥"
_SPELT = re.compile(
    rf"(?P<year>(?:[0-9]{{4}}|[{_CHINESE}]{{4}}|[{_STEM}][{_BRANCH}])年)?(?P<moon>[农阴旧]历)?闰?"
    r"(?:(?P<old>正|冬|腊)|元|十[一二]|[一二三四五六七八九十])月"
    r"(?P<day>初[一二三四五六七八九十]|[廿卅][一二三四五六七八九]?|二?三?十[一二三四五六七八九]?|[一二三四五六七八九]"
    r"|3[01]|[12][0-9]|[1-9])?(?P<end>[日号])?"
)
"""A date in Chinese numerals, also of the old calendar."""

_OLD = re.compile(r"[19](?<![0-9A-Za-z].)(?<![0-9]\..)(?:(?<=9)[0-9]|[0-2][0-9])(?![0-9])")
_SAYS_AGE_BEFORE = re.compile(r"(?:年龄|享年|[Aa]ged?|AGE)[\]】)*\"'”》| ]{0,4}[ :]{0,3}[\"'“*]{0,2}$")
_SAYS_AGE = re.compile(
    r" ?(?:周岁|岁)|[- ]?(?:years?|yrs?|y\.?/?o)\b|[MF] (?:with|who|presents|presenting|admitted|s/p|h/o)"
)
_SPELT_AGE = re.compile(
    r"(?P<d>九十[一二三四五六七八九]?|一百[零一二]?[一二三四五六七八九]?)(?=周?岁)"
    r"|(?P<e>[Nn]inety(?:[- ](?:one|two|three|four|five|six|seven|eight|nine))?)(?=[- ]years?\b)"
)
_SPELT_MONTH = re.compile("[正冬腊元一二三四五六七八九十]月")
_REACH = 12
"""Characters before a number in which a word says what it is."""

_NOT_AFTER = re.compile(r"(?:version|v|ratio|比例|批号|规格) ?$", re.IGNORECASE)


def dates(text: str) -> Iterator[Found]:
    """Dates and high ages in a normalised text."""
    for match in DATE.finditer(text):
        confidence = _confidence(match)
        if confidence and not _NOT_AFTER.search(text[max(0, match.start() - 8) : match.start()]):
            yield Found(Kind.DATE, *match.span(), confidence)
            until = _UNTIL.match(text, match.end())
            if until:
                yield Found(Kind.DATE, *until.span("value"), 0.7)
    yield from _short(text)
    if _SPELT_MONTH.search(text):
        yield from _spelt(text)
    yield from _ages(text)


def _short(text: str) -> Iterator[Found]:
    """Short forms, without a century or a year, where the words around say that they are dates."""
    for match in _SHORT.finditer(text):
        start, end = match.span()
        parts = [int(part) for part in match.group().split(match["s"])]
        event = _EVENT.match(text, end) is not None
        if len(parts) == 3:
            ends_with_day = 1 <= parts[1] <= 12 and 1 <= parts[2] <= 31
            begins_with_day = 1 <= parts[0] <= 31 and 1 <= parts[1] <= 12
            said = event or _SAYS_DATE.search(text[max(0, start - _REACH) : start])
            is_day = said and begins_with_day or (said or match["s"] == "/") and ends_with_day
        else:
            begins = start == 0 or text[start - 1] in "\n,;。(于至自从"
            is_day = begins and event and match["s"] != "/" and 1 <= parts[0] <= 12 and 1 <= parts[1] <= 31
        if is_day:
            yield Found(Kind.DATE, start, end, 0.6)


def _ages(text: str) -> Iterator[Found]:
    for match in _OLD.finditer(text):
        before = text[max(0, match.start() - _REACH) : match.start()]
        stands = text[match.end() : match.end() + 1] not in (".", "%")
        if _SAYS_AGE.match(text, match.end()) or stands and _SAYS_AGE_BEFORE.search(before):
            yield Found(Kind.AGE, *match.span(), 0.9)
    if "岁" in text or "inety" in text:
        for match in _SPELT_AGE.finditer(text):
            yield Found(Kind.AGE, *match.span(), 0.9)


def _spelt(text: str) -> Iterator[Found]:
    """Dates in Chinese numerals: a month with its day, year or calendar; a month alone is none."""
    for match in _SPELT.finditer(text):
        day = match["day"]
        if (
            match["year"]
            or match["moon"]
            and day
            or day
            and (match["end"] or day[0] in "初廿卅" or match["old"])
        ):
            end = match.end() if day or not match["end"] else match.end() - 1
            yield Found(Kind.DATE, match.start(), end, 0.85)


def day_of(match: re.Match[str]) -> tuple[int, int, int] | None:
    """(year, month, day) of a `DATE` that names all three in digits or an English month; None otherwise."""
    for form in "125":
        year, day = match.group(f"y{form}", f"d{form}")
        if year and day:
            return int(year), int(match[f"m{form}"]), int(day)
    for form in "67":
        year, name = match.group(f"y{form}", f"n{form}")
        if year and name:
            return _full(year), _MONTHS.index(name[:3].lower()) + 1, int(match[f"d{form}"])
    if match["y4"]:
        first, second = int(match["a4"]), int(match["b4"])
        month, number = (second, first) if first > 12 else (first, second)
        return _full(match["y4"]), month, number
    return None


def _full(year: str) -> int:
    return int(year) if len(year) == 4 else int(year) + (2000 if int(year) < 50 else 1900)


def _confidence(match: re.Match[str]) -> float:
    """0 when the calendar has no such day."""
    day = day_of(match)
    if day is not None and not is_date(*day):
        return 0
    return 0.6 if match["y5"] or match["y4"] else 0.7 if match["d7"] and not match["y7"] else 0.9
