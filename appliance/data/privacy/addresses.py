"""Postal addresses: a label, a province or city, or a street with a number; then as far as the chain goes."""

import re
from collections.abc import Iterator

from appliance.data.privacy.alternatives import any_of
from appliance.data.privacy.kinds import Found, Kind
from appliance.data.privacy.words import PROVINCES

_HAN = "\u4e00-\u9fff"
_NUMBER = r"[0-9A-Za-z一二三四五六七八九十百甲乙丙丁-]{1,8}"
_DETAIL = (
    rf"(?:{_NUMBER}(?:号院|号楼|号|弄|栋|幢|座|舍|单元|楼|层|室|户|组|队|巷)(?:之[0-9]+)?|[0-9]{{3,5}}(?![0-9A-Za-z月日年])|[0-9]{{1,4}}-"
    rf"[0-9]{{1,4}}(?:-[0-9]{{1,5}})?)"
)
_PLACE = rf"[{_HAN}]{{1,7}}?(?:自治区|自治州|自治县|特别行政区|省|市|区|县|旗|盟|镇|乡|街道|开发区|新区)"
_STREET = (
    rf"(?:[{_HAN}0-9]|X{{1,3}}|[A-Z](?![A-Za-z])){{1,10}}?(?:大道|大街|胡同|路|街|道|巷|弄|村|屯|寨|庄|小区|花园|家园|公寓|苑|社区|新村|广场"
    rf"|大厦|里|大学|学院|校区)+"
)
_CHAIN = rf"(?:{_PLACE}){{0,4}}(?:{_STREET}){{0,3}}(?:[东南西北中][一二三四段路]?)?(?:{_DETAIL}){{0,5}}"

_WORDS = """
住址 地址 住所 现住址 现住地 现住 现居住地 现居地 现居 家住 家居 户籍地址 户籍地 户籍 户籍所在地 户口所在地
户口地址 户口 籍贯 祖籍 出生地 居住地址 居住于 居住在 居住地 居住 住在 住于 邮寄至 寄至 来自
"""
_LABELS = any_of(_WORDS.split())
_LABELLED = re.compile(
    rf"{_LABELS}(?:是|为|在|于)?[ ]?[:：]?[ ]{{0,2}}(?P<value>"
    rf"(?:{'|'.join(PROVINCES)})(?:省|市)?[{_HAN}]{{2,4}}(?![{_HAN}0-9])"
    rf"|(?:{'|'.join(PROVINCES)})?(?:省|市)?{_CHAIN})"
)
_FROM_PROVINCE = re.compile(
    rf"(?:{'|'.join(PROVINCES)})(?:省|市|壮族自治区|回族自治区|维吾尔自治区|自治区|特别行政区)?"
    rf"(?:{_PLACE}){{1,4}}(?:{_STREET}){{0,3}}"
    rf"(?:[东南西北中][一二三四段路]?)?(?:{_DETAIL}){{0,5}}"
)
_STREET_NUMBER = re.compile(rf"(?:大道|大街|胡同|路|街|巷|弄|村|小区|花园|家园|公寓|苑|新村){_DETAIL}{{1,5}}")
_BEFORE_STREET = re.compile(rf"(?:[{_HAN}]{{2,5}}?(?:市|区|县|镇|乡|街道))?[{_HAN}]{{2,6}}$")
_ENGLISH = re.compile(
    r"(?=[0-9])(?<![0-9A-Za-z./-])[0-9]{1,5}[A-Z]? (?:(?:N|S|E|W|NE|NW|SE|SW|North|South|East|West)\.? )?"
    r"(?:[A-Z][A-Za-z'’]+|[0-9]{1,3}(?:st|nd|rd|th))"
    r"(?: [A-Z][A-Za-z'’]+){0,3} (?:Street|St|Avenue|Ave|Road|Rd|Lane|Ln|Drive|Dr|Court|Ct|Boulevard|Blvd"
    r"|Way|Place|Pl|Square|Sq|Terrace|"
    r"Close|Crescent|Parkway|Pkwy|Circle|Cir|Highway|Hwy|Gardens|Grove|Mews)\b\.?"
    r"(?:,? (?:Apt|Apartment|Unit|Suite|Ste|Flat|Room|#)\.? ?#?[0-9A-Za-z-]{1,6})?"
    r"(?:,? [A-Z][a-z'’]+(?: [A-Z][a-z'’]+){0,2})?"
    r"(?:,? (?:[A-Z]{2} [0-9]{5}(?:-[0-9]{4})?|[A-Z]{1,2}[0-9][0-9A-Z]? ?[0-9][A-Z]{2}))?"
)
_BOX = re.compile(
    r"(?=[Pp])(?<![A-Za-z])P\.? ?O\.? Box [0-9]{1,6}(?:,? [A-Z][a-z'’]+(?: [A-Z][a-z'’]+){0,2})?"
    r"(?:,? [A-Z]{2} [0-9]{5})?"
)
_POSTAL = re.compile(r"(?:邮编|邮政编码|邮码)[ :]{0,3}(?P<value>[0-9]{6})(?![0-9])")
_REACH = 12
"""Characters that the name of a street and of the district before it may have."""

_LEADS_IN = re.compile(
    r"^(?:[\u4e00-\u9fff]{0,3}[邮寄](?:至|往|到)|患者|病人|家住|现住|住在|住于|住|居住于|居住在|居住|位于|来自|在|于|至|到|由|从|经|和|与|及|为|系|是|送回|送至|送到|转至|返回|回)+"
)


def addresses(text: str, *, han: bool, latin: bool) -> Iterator[Found]:
    """Addresses in a normalised text. han, latin: whether it has such letters."""
    if han:
        yield from _chinese(text)
    if latin:
        for pattern, confidence in ((_ENGLISH, 0.85), (_BOX, 0.85)):
            for match in pattern.finditer(text):
                yield Found(Kind.ADDRESS, *match.span(), confidence)


def _chinese(text: str) -> Iterator[Found]:
    for match in _LABELLED.finditer(text):
        if len(match["value"]) >= 3:
            yield Found(Kind.ADDRESS, *match.span("value"), 0.9)
    for match in _FROM_PROVINCE.finditer(text):
        yield Found(Kind.ADDRESS, *match.span(), 0.85)
    for match in _STREET_NUMBER.finditer(text):
        before = _BEFORE_STREET.search(text[max(0, match.start() - _REACH) : match.start()])
        if before:
            lead = _LEADS_IN.match(before.group())
            start = match.start() - len(before.group()) + (lead.end() if lead else 0)
            yield Found(Kind.ADDRESS, start, match.end(), 0.7)
    for match in _POSTAL.finditer(text):
        yield Found(Kind.ADDRESS, *match.span("value"), 0.8)
