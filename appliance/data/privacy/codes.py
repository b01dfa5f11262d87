"""Numbers that a word before them makes identifiers, and addresses of machines and accounts.

A form, a table row or a JSON field may stand between the word and the number: `住院号】`, `| MRN | 12`.
"""

import re
from collections.abc import Iterator

from appliance.data.privacy.alternatives import any_case
from appliance.data.privacy.kinds import Found, Kind

BETWEEN = r"[\]】)*\"'”》| ]{0,6}[:=#]?[ :=#\[【(*\"'“《|]{0,6}"
"""What stands between a label and its value in notes, forms, Markdown, JSON and tables (normalised)."""

_VALUE = (
    rf"{BETWEEN}(?P<value>[A-Za-z]{{0,5}}[-_]?[0-9](?:[0-9]|[-_](?=[0-9A-Za-z])| (?=[0-9]{{3}})"
    r"|(?<=[-_])[A-Za-z]{1,3}(?=[-_0-9])){0,22}[A-Za-z]?)(?![0-9A-Za-z])"
)
_RECORD = re.compile(
    r"(?:住院|病案|病历|门诊|就诊|急诊|挂号|登记|体检|检查|检验|标本|样本|条码|病理|影像|放射|超声|内镜|胃镜|心电|脑电|核磁|医保|条形码?|一卡通|保单|医嘱"
    r"|社保|社会保障|参保|患者|病人|健康|床|卡|流水|发票|收据|处方|申请单|报告|CT|MRI?|DR|DSA|X线|ID|HIS|PACS)"
    rf"(?:卡|证)?(?:登记|序)?(?:号码|编号|编码|号|ID|id)(?:是|为|\))?{_VALUE}"
)
_NUMBER_OF = re.compile(
    r"(?:编号|单号|证号|条形?码)[:号 ]{0,3}(?P<value>[A-Za-z]{0,5}-?[0-9][0-9-]{3,20}[A-Za-z]?)"
    r"(?![0-9A-Za-z])"
)
_NUMBERED = (
    "NHS", "medical record", "hospital", "patient", "accession", "acct", "account", "chart", "case", "study",
    "encounter", "visit", "member", "policy", "insurance", "health plan", "specimen", "order", "group",
    "claim", "registration", "file", "reference", "requisition", "donor", "subscriber", "serial", "device",
)  # fmt: skip
_ENGLISH_RECORD = re.compile(
    any_case(_NUMBERED, r"(?: (?i:ID|number|num|no\.?|#)|(?= ?#))")[:-1]
    + "|"
    + any_case(("MRN", "CSN", "HAR", "UHID", "acct", "accession", "medical record"))[3:-1]
    + r"|FIN(?= ?[#:])|ID(?=[ :#]{1,2}[A-Z]{0,5}-?[0-9]{4}))(?: is| was)?"
    + _VALUE
)
_SAID_CODE = re.compile(
    any_case(
        (
            "Medicare",
            "Medicaid",
            "MBI",
            "DL",
            *(f"driver{mark}s licen{c}e" for mark in ("'", "’", "") for c in "cs"),
        )
    )
    + rf"(?: (?i:ID|number|num|no\.?|#)|(?= ?[:#])|(?<=[cs]e))(?: is)?{BETWEEN}"
    r"(?P<value>(?=(?:-?[A-Z]){0,6}-?[0-9])[A-Z0-9]+(?:-[A-Z0-9]+){0,5})(?<=[A-Z0-9-]{6})(?![0-9A-Za-z])"
)
"""Numbers of cards and licences, whose letters stand anywhere."""

_IBAN = re.compile(
    r"IBAN[ :#]{0,3}(?P<value>[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?)(?![0-9A-Za-z])"
)
_PASSPORT = re.compile(r"[EG](?<![0-9A-Za-z字].)(?:(?<=E)[A-HJ-NP-Z][0-9]{7}|[0-9]{8})(?![0-9A-Za-z])")
_SAID_PASSPORT = re.compile(
    r"(?:护照|通行证|回乡证|台胞证|居留证|军官证|士兵证|passport|Passport|PASSPORT)"
    r"(?:号码|号| ?(?:[Nn]umber|[Nn]o\.?|#))?"
    rf"(?:是|为| is)?{BETWEEN}(?P<value>[A-Z]{{0,2}}[0-9]{{6,10}}[A-Z]?(?![0-9A-Za-z])"
    r"|[\u4e00-\u9fff]{1,3}字第[0-9]{5,10}号)"
)
_PLATE = re.compile(
    r"[京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼使领] ?[A-HJ-NP-Z] ?[·. -]? ?"
    r"(?:[A-HJ-NP-Z0-9]{4}[A-HJ-NP-Z0-9挂学警港澳]|[DF][A-HJ-NP-Z0-9][0-9]{4}|[0-9]{5}[DF])(?![0-9A-Za-z])"
)
_SAID_PLATE = re.compile(
    any_case(f"{each} plate" for each in ("license", "licence", "registration", "vehicle", "number"))[:-1]
    + "|car reg(?:istration)?|Car reg(?:istration)?"
    + rf"|plate (?i:number|no\.?)|Plate (?i:number|no\.?))(?: is)?{BETWEEN}"
    r"(?P<value>[A-Z0-9]{2,4}[- ]?[A-Z0-9]{2,4})(?![0-9A-Za-z])"
)
_EMAIL = re.compile(
    r"[A-Za-z0-9_%+-][A-Za-z0-9._%+-]{0,63}@[A-Za-z0-9](?:[A-Za-z0-9-]*\.)+[A-Za-z]{2,24}(?![A-Za-z0-9])"
)
_URL = re.compile(
    r"(?=[HWhw])(?<![A-Za-z0-9.])(?i:https?://|www\.)[A-Za-z0-9][A-Za-z0-9._~:/?#@!$&*+=%-]*[A-Za-z0-9/=]"
)
_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IP = re.compile(
    rf"[0-9](?<![0-9A-Za-z.].)(?=[0-9.]{{6}})[0-9]{{0,2}}\.(?:{_OCTET}\.){{2}}{_OCTET}(?![0-9A-Za-z.])"
)
_ACCOUNT = re.compile(
    r"(?:微信|薇信|WeChat(?: ID)?|wechat|weixin|vx(?<![A-Za-z]..)|VX(?<![A-Za-z]..)|QQ|qq|抖音|微博|支付宝)"
    r"(?:账?号)?(?:是|为|码)?"
    rf"{BETWEEN}(?P<value>[A-Za-z][-_A-Za-z0-9]{{5,19}}|[1-9][0-9]{{4,11}})(?![-_A-Za-z0-9])"
)
_DIGIT = re.compile("[0-9]")


def codes(text: str, *, han: bool, latin: bool) -> Iterator[Found]:
    """Identifiers of this module in a normalised text. han, latin: whether it has such letters."""
    if "@" in text:
        for match in _EMAIL.finditer(text):
            yield Found(Kind.EMAIL, *match.span(), 0.98)
    if latin:
        for match in _URL.finditer(text):
            yield Found(Kind.URL, *match.span(), 0.9)
    yield from _labelled(text, _ACCOUNT, Kind.ACCOUNT, 0.85)
    if not _DIGIT.search(text):
        return
    if text.count(".") >= 3:
        for match in _IP.finditer(text):
            yield Found(Kind.URL, *match.span(), 0.7)
    for match in _PASSPORT.finditer(text):
        yield Found(Kind.PASSPORT, *match.span(), 0.7)
    yield from _labelled(text, _SAID_PASSPORT, Kind.PASSPORT, 0.9)
    if han:
        yield from _labelled(text, _RECORD, Kind.RECORD, 0.9)
        yield from _labelled(text, _NUMBER_OF, Kind.RECORD, 0.7)
        for match in _PLATE.finditer(text):
            yield Found(Kind.PLATE, *match.span(), 0.85)
    if latin:
        yield from _labelled(text, _ENGLISH_RECORD, Kind.RECORD, 0.9)
        yield from _labelled(text, _SAID_CODE, Kind.RECORD, 0.85)
        yield from _labelled(text, _IBAN, Kind.BANK_CARD, 0.9)
        yield from _labelled(text, _SAID_PLATE, Kind.PLATE, 0.85)


def _labelled(text: str, pattern: re.Pattern[str], kind: Kind, confidence: float) -> Iterator[Found]:
    """What stands behind a label: the label itself stays."""
    for match in pattern.finditer(text):
        start = match.start()
        if start and text[start].isascii() and text[start - 1].isascii() and text[start - 1].isalpha():
            continue  # the label is the end of another word
        yield Found(kind, *match.span("value"), confidence)
