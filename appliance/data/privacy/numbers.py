"""Numbers that name a person: a pattern finds, the number's own check and the words before it judge.

Boundaries are written out: between a digit and a Chinese character Python's `\\b` sees no boundary. Texts
come normalised (`normal`). ASCII digits only.
"""

import re
from collections.abc import Iterator

from appliance.data.privacy.checks import PROVINCES, is_date, is_id_check_right, is_luhn_right
from appliance.data.privacy.kinds import Check, Found, Kind

_CONTEXT = 16
"""Characters before a number in which a word says what it is."""

_NOT_IN_NUMBER = r"(?<![0-9A-Za-z])(?<![0-9]\.)"
_NOT_IN_CODE = r"(?<![0-9A-Za-z-])(?<![0-9]\.)"
"""What may not stand before: a dot behind a digit is a decimal's; behind a word it ends it, as in `Tel.`"""

_DIGITS = re.compile(
    r"(?=[0-9+])" + _NOT_IN_NUMBER + r"(?:\+?86[- ]?)?[0-9](?:[0-9]|[ -](?=[0-9])){8,22}[Xx]?(?![0-9A-Za-z])"
)
"""Anything long enough to be a telephone, identity or card number, separators included."""

_FOUR_DIGITS = re.compile(r"[0-9](?:[ -]?[0-9]){3}")
_MOBILE = re.compile(r"(?:\+?86[- ]?)?(1[3-9][0-9])[- ]?[0-9]{4}[- ]?[0-9]{4}")
_ID18 = re.compile(r"[1-9][0-9]{5}[ -]?(?:18|19|20)[0-9]{2}[ -]?[0-9]{4}[ -]?[0-9]{3}[ -]?[0-9Xx]")
_ID15 = re.compile(r"[1-9][0-9]{14}")
_CARD = re.compile(r"(?:62|4[0-9]|5[1-5]|35|37|60|9[0-9])[0-9]{10,17}")
_LANDLINE = re.compile(
    r"(?=[0-9(+])(?:" + _NOT_IN_CODE + r"(?:\+?86[- ]?)?(?:\(0[0-9]{2,3}\) ?|0[0-9]{2,3}[- ])[1-9][0-9]{2,3}"
    r"[- ]?[0-9]{4}"
    r"(?:[-转][0-9]{1,5})?(?![0-9A-Za-z])"
    r"|" + _NOT_IN_CODE + r"[48]00[- ]?[0-9]{3}[- ]?[0-9]{4}(?![0-9A-Za-z])"
    r"|" + _NOT_IN_CODE + r"(?:\+?1[-. ]?)?(?:\([2-9][0-9]{2}\) ?|[2-9][0-9]{2}[-. ])[2-9][0-9]{2}[-. ]"
    r"[0-9]{4}(?![0-9A-Za-z])"
    r"|"
    + _NOT_IN_NUMBER
    + r"\+(?!86)[1-9][0-9]{0,2}[- ]?(?:\(0\) ?)?[0-9](?:[- ]?[0-9]){6,11}(?![0-9A-Za-z]))"
)
_BARE_LANDLINE = re.compile(
    r"(?:电话|座机|传真|联系方式|Tel|Phone|Fax|TEL)\.?[:]? ?(?P<value>0[0-9]{9,11}|[2-9][0-9]{6,7})(?!"
    r"[0-9A-Za-z])"
)
_SSN = re.compile(
    r"(?=[0-9])(?<![0-9A-Za-z-])(?!000|666|9)[0-9]{3}-(?!00)[0-9]{2}-(?!0000)[0-9]{4}(?![0-9A-Za-z-])"
)
_RECORD_VALUE = (
    r"[ :#=]{0,3}(?P<value>[A-Za-z]{0,5}-?[0-9](?:[0-9]|-(?=[0-9])| (?=[0-9]{3})){1,18}[A-Za-z]?)"
    r"(?![0-9A-Za-z])"
)
_RECORD = re.compile(
    r"(?:住院|病案|病历|门诊|就诊|急诊|挂号|登记|体检|检查|检验|标本|样本|条码|病理|影像|放射|超声|医保"
    r"|社保|参保|患者|病人|健康|床|卡)"
    r"(?:卡|证)?(?:登记)?(?:号码|编号|号|ID|id)(?:是|为|\))?" + _RECORD_VALUE
)
_ENGLISH_RECORD = re.compile(
    r"(?=[MmHhPpAaCcNnIiSsEe])(?<![A-Za-z])(?i:MRN|medical record(?: (?:number|no\.?|#))?|hospital "
    r"(?:number|no\.?)|"
    r"patient (?:ID|number|no\.?)|accession(?: (?:number|no\.?))?|chart (?:number|no\.?)|NHS (?:number"
    r"|no\.?)|member ID|"
    r"policy (?:number|no\.?)|insurance (?:ID|number|no\.?)|specimen (?:ID|number|no\.?)|encounter (?:ID"
    r"|number|no\.?))"
    r"(?: is| was)?" + _RECORD_VALUE
)
_PASSPORT = re.compile(r"[EG](?<![0-9A-Za-z字].)(?:(?<=E)[A-HJ-NP-Z][0-9]{7}|[0-9]{8})(?![0-9A-Za-z])")
_SAID_PASSPORT = re.compile(
    r"(?:护照|通行证|回乡证|台胞证|居留证|passport|Passport)(?:号码|号| ?(?:[Nn]umber|[Nn]o\.?|#))?(?:是|为"
    r"| is)?[ :]{0,3}"
    r"(?P<value>[A-Z]{0,2}[0-9]{6,10}[A-Z]?)(?![0-9A-Za-z])"
)
_PLATE = re.compile(
    r"[京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼使领][A-HJ-NP-Z][·. -]?"
    r"(?:[A-HJ-NP-Z0-9]{4}[A-HJ-NP-Z0-9挂学警港澳]|[DF][A-HJ-NP-Z0-9][0-9]{4}|[0-9]{5}[DF])(?![0-9A-Za-z])"
)
_SAID_PLATE = re.compile(
    r"(?=[LlPpRr])(?i:licen[cs]e plate|plate (?:number|no\.?)|registration plate)(?: is)?[ :#]{0,3}"
    r"(?P<value>[A-Z0-9]{2,4}[- ]?[A-Z0-9]{2,4})(?![0-9A-Za-z])"
)
_EMAIL = re.compile(
    r"[A-Za-z0-9_%+-][A-Za-z0-9._%+-]{0,63}@[A-Za-z0-9](?:[A-Za-z0-9-]*\.)+[A-Za-z]{2,24}(?![A-Za-z0-9])"
)
_URL = re.compile(
    r"(?=[HWhw])(?<![A-Za-z0-9.])(?i:https?://|www\.)[A-Za-z0-9][A-Za-z0-9._~:/?#@!$&*+=%-]*[A-Za-z0-9/=]"
)
_ACCOUNT = re.compile(
    r"(?:微信号?|WeChat(?: ID)?|wechat|QQ号?|qq号?)(?:是|为|码)?[ :]{0,3}(?P<value>[A-Za-z]"
    r"[-_A-Za-z0-9]{5,19}|[1-9][0-9]{4,11})"
    r"(?![-_A-Za-z0-9])"
)

_SAYS_ID = re.compile(r"身份证|证件|[Ii]dentity|\bID\b")
_SAYS_CARD = re.compile(r"银行卡|账号|账户|卡号|开户|储蓄卡|信用卡|[Cc]ard|[Aa]ccount")
_SAYS_PHONE = re.compile(r"电话|手机|联系|致电|来电|拨打|[Pp]hone|[Mm]obile|[Cc]ell|[Tt]el")


def numbers(text: str) -> Iterator[Found]:
    """Identifiers in a normalised text that are numbers or addresses of machines."""
    if "@" in text:
        for match in _EMAIL.finditer(text):
            yield Found(Kind.EMAIL, *match.span(), 0.98)
    for match in _URL.finditer(text):
        yield Found(Kind.URL, *match.span(), 0.9)
    yield from _labelled(text, _ACCOUNT, Kind.ACCOUNT, 0.85)
    if _FOUR_DIGITS.search(text):
        yield from _long_numbers(text)


def _long_numbers(text: str) -> Iterator[Found]:
    """The same, of what has digits."""
    for match in _DIGITS.finditer(text):
        yield from _digits(text, match.start(), match.group())
    for match in _LANDLINE.finditer(text):
        yield Found(Kind.LANDLINE, *match.span(), 0.85)
    yield from _labelled(text, _BARE_LANDLINE, Kind.LANDLINE, 0.85)
    for match in _SSN.finditer(text):
        yield Found(Kind.ID, *match.span(), 0.7)
    yield from _labelled(text, _RECORD, Kind.RECORD, 0.9)
    yield from _labelled(text, _ENGLISH_RECORD, Kind.RECORD, 0.9)
    for match in _PASSPORT.finditer(text):
        yield Found(Kind.PASSPORT, *match.span(), 0.7)
    yield from _labelled(text, _SAID_PASSPORT, Kind.PASSPORT, 0.9)
    for match in _PLATE.finditer(text):
        yield Found(Kind.PLATE, *match.span(), 0.85)
    yield from _labelled(text, _SAID_PLATE, Kind.PLATE, 0.85)


def _labelled(text: str, pattern: re.Pattern[str], kind: Kind, confidence: float) -> Iterator[Found]:
    """What stands behind a label: the label itself stays."""
    for match in pattern.finditer(text):
        yield Found(kind, *match.span("value"), confidence)


def _digits(text: str, start: int, written: str) -> Iterator[Found]:
    """What a long row of digits is, if it is anything: identity number, mobile, bank card."""
    before = text[max(0, start - _CONTEXT) : start]
    bare = written.replace(" ", "").replace("-", "")
    if _ID18.fullmatch(written):
        check = _id_check(bare)
        if check or _SAYS_ID.search(before):
            sure = 0.99 if check == "passed" else 0.6 + (0.3 if _SAYS_ID.search(before) else 0)
            yield Found(Kind.ID, start, start + len(written), sure, check or "failed")
    if _ID15.fullmatch(bare) and bare[:2] in PROVINCES and is_date(*_parts("19" + bare[6:12])):
        yield Found(Kind.ID, start, start + len(written), 0.9 if _SAYS_ID.search(before) else 0.55)
    if _MOBILE.fullmatch(written):
        yield Found(Kind.MOBILE, start, start + len(written), 0.97 if _SAYS_PHONE.search(before) else 0.9)
    if _CARD.fullmatch(bare) and 13 <= len(bare) <= 19:
        passed, said = is_luhn_right(bare), _SAYS_CARD.search(before) is not None
        if said or (passed and len(bare) >= 16):
            sure = 0.95 if passed and said else 0.8 if passed else 0.65
            yield Found(Kind.BANK_CARD, start, start + len(written), sure, "passed" if passed else "failed")


def _id_check(number: str) -> Check:
    """What the check digit of 18 characters says; empty when province or date show that it is none."""
    if number[:2] not in PROVINCES or not is_date(*_parts(number[6:14])):
        return ""
    return "passed" if is_id_check_right(number) else "failed"


def _parts(date: str) -> tuple[int, int, int]:
    return int(date[:4]), int(date[4:6]), int(date[6:])
