"""Numbers that carry their own form: a pattern finds, the number's check and the words before it judge.

Boundaries are written out: between a digit and a Chinese character Python's `\\b` sees no boundary. Texts
come normalised (`normal`). ASCII digits only.
"""

import re
from collections.abc import Iterator

from appliance.data.privacy.alternatives import any_case
from appliance.data.privacy.checks import PROVINCES, is_date, is_id_check_right, is_luhn_right
from appliance.data.privacy.kinds import Check, Found, Kind

_CONTEXT = 16
"""Characters before a number in which a word says what it is."""

_NOT_IN_NUMBER = r"(?<![0-9A-Za-z])(?<![0-9]\.)"
_NOT_IN_CODE = r"(?<![0-9A-Za-z-])(?<![0-9]\.)"
"""What may not stand before: a dot behind a digit is a decimal's; behind a word it ends it, as in `Tel.`"""

_CHINA = r"(?:\(?(?:\+|00)86\)?[- ]?|86[- ])"
_DIGITS = re.compile(
    rf"(?=[0-9+(]){_NOT_IN_NUMBER}{_CHINA}?[0-9](?:[ ·-]?[0-9]){{8,24}}(?P<x>[ -]?[Xx])?(?![0-9A-Za-z])"
)
"""Anything long enough to be a telephone, identity or card number, separators included."""

_BROKEN = re.compile(
    r"(?<![0-9A-Za-z.+-])(?=[0-9]{2,17}\r?\n)[0-9]{2,17}\r?\n[0-9]{1,16}[Xx]?(?![0-9A-Za-z.])"
)
"""A number that the end of a line divides."""

_ROW = re.compile(r"[0-9(+](?:[ ()./·+-]{0,2}[0-9]){5,}")
"""Where a number of some length may stand: all other patterns look only there."""

_TAIL = 8
"""Characters behind a row of digits that may belong to it: an extension, the X of an identity number."""

_MOBILE = re.compile(rf"{_CHINA}?1[3-9][0-9][- ·]?[0-9]{{4}}[- ·]?[0-9]{{4}}|{_CHINA}?1[3-9][0-9]{{9}}")
_BARE_MOBILE = re.compile(r"(?:\(?(?:\+|00)?86\)?)?1[3-9][0-9]{9}")
_ID18 = re.compile(r"[1-9][0-9]{5}(?:18|19|20)[0-9]{2}[0-9]{7}[0-9Xx]")
_ID15 = re.compile(r"[1-9][0-9]{14}")
_CARD = re.compile(r"(?:62|4[0-9]|5[1-5]|35|37|60|9[0-9])[0-9]{10,17}")
_WITHIN = re.compile(
    rf"(?<![0-9])(?:{_MOBILE.pattern}"
    r"|[1-9][0-9]{5}[ -]?(?:18|19|20)[0-9]{2}[ -]?[0-9]{4}[ -]?[0-9]{3}[0-9Xx])(?![0-9])"
)
"""What may stand in a row of numbers that only blanks divide."""

_LANDLINE = re.compile(
    rf"(?=[0-9(+])(?:{_NOT_IN_CODE}{_CHINA}?(?:\(0[0-9]{{2,3}}\) ?|0[0-9]{{2,3}}[- ])[1-9][0-9]{{2,3}}"
    r"[- ]?[0-9]{4}(?:[-转][0-9]{1,5})?(?![0-9A-Za-z])"
    rf"|{_NOT_IN_CODE}[48]00[- ]?[0-9]{{3}}[- ]?[0-9]{{4}}(?![0-9A-Za-z])"
    rf"|{_NOT_IN_CODE}(?:\+?1[-. ]?)?(?:\([2-9][0-9]{{2}}\) ?|[2-9][0-9]{{2}}[-. ])[2-9][0-9]{{2}}[-. ]"
    r"[0-9]{4}(?![0-9A-Za-z])"
    rf"|{_NOT_IN_NUMBER}\+(?!86)[1-9][0-9]{{0,2}}[- ]?(?:\(0\) ?)?[0-9](?:[- ]?[0-9]){{6,11}}(?![0-9A-Za-z]))"
)
_BARE_LANDLINE = re.compile(
    r"(?:电话|座机|传真|联系方式|Tel|Phone|Fax|TEL)[\"'*| \].:]{0,5}(?P<value>0[0-9]{9,11}|[2-9][0-9]{6,7})"
    r"(?![0-9A-Za-z])"
)
_BARE_AMERICAN = re.compile(
    any_case(("phone", "tel", "cell", "mobile", "fax", "call", "called", "callback"))
    + r"(?: (?:number|no\.?|at|is|phone))?[ :#.]{1,3}(?P<value>1?[2-9][0-9]{2}[2-9][0-9]{6})(?![0-9A-Za-z])"
)
_SSN = re.compile(
    r"(?=[0-9])(?<![0-9A-Za-z-])(?!000|666|9)[0-9]{3}-(?!00)[0-9]{2}-(?!0000)[0-9]{4}(?![0-9A-Za-z-])"
)
_SAID_SSN = re.compile(
    r"(?=[Ss])(?<![A-Za-z])(?i:SSN|social security(?: (?:number|no\.?))?)(?: is)?[ :#]{0,3}"
    r"(?P<value>[0-9]{3}[ -]?[0-9]{2}[ -]?[0-9]{4})(?![0-9A-Za-z])"
)
_SAYS_ID = re.compile(r"身份证|证件|[Ii]dentity|\bID\b")
_SAYS_CARD = re.compile(
    r"银行卡|账号|账户|卡号|开户|储蓄卡|信用卡|行卡|退款|打款|汇款|转账|[Cc]ard|[Aa]ccount|Visa|Master"
)
_SAYS_PHONE = re.compile(r"电话|手机|联系|致电|来电|拨打|[Pp]hone|[Mm]obile|[Cc]ell|[Tt]el")


def numbers(text: str, *, latin: bool) -> Iterator[Found]:
    """Identifiers in a normalised text that are numbers. latin: whether it has European words."""
    for row in _ROW.finditer(text):
        yield from _in_row(text, row.start(), min(len(text), row.end() + _TAIL))
    for match in _BARE_LANDLINE.finditer(text):
        yield Found(Kind.LANDLINE, *match.span("value"), 0.85)
    if "\n" in text:
        yield from _broken(text)
    if latin:
        for match in _BARE_AMERICAN.finditer(text):
            yield Found(Kind.LANDLINE, *match.span("value"), 0.85)
        for match in _SAID_SSN.finditer(text):
            yield Found(Kind.ID, *match.span("value"), 0.9)


def _in_row(text: str, start: int, end: int) -> Iterator[Found]:
    for match in _DIGITS.finditer(text, start, end):
        yield from _digits(text, match)
    for match in _LANDLINE.finditer(text, start, end):
        yield Found(Kind.LANDLINE, *match.span(), 0.85)
    for match in _SSN.finditer(text, start, end):
        yield Found(Kind.ID, *match.span(), 0.7)


def _digits(text: str, match: re.Match[str]) -> Iterator[Found]:
    """What a long row of digits is, if it is anything: identity number, mobile, bank card, or several."""
    start, end = match.span()
    before = text[max(0, start - _CONTEXT) : start]
    found = _whole(text[start:end], before)
    if found is None and match["x"]:
        end = match.start("x")
        found = _whole(text[start:end], before)
    if found is not None:
        yield Found(found.kind, start, end, found.confidence, found.check)
        return
    for part in _WITHIN.finditer(text, start, end):
        within = _whole(part.group(), before)
        if within is not None:
            yield Found(within.kind, *part.span(), within.confidence, within.check)


def _whole(written: str, before: str) -> Found | None:
    """What the whole of `written` is, from its start; None if it is nothing that is known."""
    bare = written.translate(_NO_SEPARATORS)
    length = len(written)
    if _ID18.fullmatch(bare):
        said, check = _SAYS_ID.search(before) is not None, _id_check(bare)
        if check or said:
            sure = 0.99 if check == "passed" else 0.6 + (0.3 if said else 0)
            return Found(Kind.ID, 0, length, sure, check or "failed")
    if _ID15.fullmatch(bare) and bare[:2] in PROVINCES and is_date(*_parts("19" + bare[6:12])):
        return Found(Kind.ID, 0, length, 0.9 if _SAYS_ID.search(before) else 0.55)
    if _BARE_MOBILE.fullmatch(bare):
        said = _SAYS_PHONE.search(before) is not None
        if said or _MOBILE.fullmatch(written):
            return Found(Kind.MOBILE, 0, length, 0.97 if said else 0.9)
    return _card(bare, before, length)


def _card(bare: str, before: str, length: int) -> Found | None:
    if not (_CARD.fullmatch(bare) and 13 <= len(bare) <= 19):
        return None
    passed, said = is_luhn_right(bare), _SAYS_CARD.search(before) is not None
    if not said and not (passed and len(bare) >= 16):
        return None
    sure = 0.95 if passed and said else 0.8 if passed else 0.65
    return Found(Kind.BANK_CARD, 0, length, sure, "passed" if passed else "failed")


def _broken(text: str) -> Iterator[Found]:
    """Numbers that the end of a line divides: only those that their own check or the words before confirm."""
    for match in _BROKEN.finditer(text):
        bare = "".join(match.group().split())
        before = text[max(0, match.start() - _CONTEXT) : match.start()]
        if len(bare) == 18 and _ID18.fullmatch(bare) and (_id_check(bare) or _SAYS_ID.search(before)):
            yield Found(Kind.ID, *match.span(), 0.8, _id_check(bare) or "failed")
        elif _BARE_MOBILE.fullmatch(bare) and _SAYS_PHONE.search(before):
            yield Found(Kind.MOBILE, *match.span(), 0.8)


_NO_SEPARATORS = dict.fromkeys(map(ord, " -·"))


def _id_check(number: str) -> Check:
    """What the check digit of 18 characters says; empty when province or date show that it is none."""
    if number[:2] not in PROVINCES or not is_date(*_parts(number[6:14])):
        return ""
    return "passed" if is_id_check_right(number) else "failed"


def _parts(date: str) -> tuple[int, int, int]:
    return int(date[:4]), int(date[4:6]), int(date[6:])
