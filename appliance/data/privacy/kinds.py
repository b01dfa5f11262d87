"""Kinds of identifiers, and what one finding says."""

import bisect
from collections.abc import Iterable
from enum import StrEnum
from typing import Literal, NamedTuple

from appliance.sentence import Sentence, say


class Kind(StrEnum):
    """What sort of identifier; the value stands in reports and placeholders."""

    NAME = "name"
    ID = "id-number"
    MOBILE = "mobile"
    LANDLINE = "landline"
    RECORD = "record-number"
    BANK_CARD = "bank-card"
    PASSPORT = "passport"
    PLATE = "plate"
    ADDRESS = "address"
    DATE = "date"
    AGE = "age"
    EMAIL = "e-mail"
    URL = "url"
    ACCOUNT = "account"


TITLES: dict[Kind, Sentence] = {
    Kind.NAME: say("name"),
    Kind.ID: say("identity number"),
    Kind.MOBILE: say("mobile number"),
    Kind.LANDLINE: say("landline number"),
    Kind.RECORD: say("record number"),
    Kind.BANK_CARD: say("bank card"),
    Kind.PASSPORT: say("passport or travel permit"),
    Kind.PLATE: say("number plate"),
    Kind.ADDRESS: say("address"),
    Kind.DATE: say("date"),
    Kind.AGE: say("age over 89"),
    Kind.EMAIL: say("e-mail address"),
    Kind.URL: say("web address"),
    Kind.ACCOUNT: say("account name"),
}
"""How a kind is called where a person reads it."""

PLACEHOLDERS: dict[Kind, tuple[str, str]] = {
    Kind.NAME: ("[NAME]", "[姓名]"),
    Kind.ID: ("[ID NUMBER]", "[证件号]"),
    Kind.MOBILE: ("[PHONE]", "[电话]"),
    Kind.LANDLINE: ("[PHONE]", "[电话]"),
    Kind.RECORD: ("[RECORD NUMBER]", "[病历号]"),
    Kind.BANK_CARD: ("[BANK CARD]", "[银行卡]"),
    Kind.PASSPORT: ("[PASSPORT]", "[护照]"),
    Kind.PLATE: ("[PLATE]", "[车牌]"),
    Kind.ADDRESS: ("[ADDRESS]", "[地址]"),
    Kind.DATE: ("[DATE]", "[日期]"),
    Kind.AGE: (">89", ">89"),
    Kind.EMAIL: ("[E-MAIL]", "[邮箱]"),
    Kind.URL: ("[URL]", "[网址]"),
    Kind.ACCOUNT: ("[ACCOUNT]", "[账号]"),
}
"""What stands in a text instead of an identifier: in English text, in Chinese text."""

Check = Literal["", "passed", "failed"]


class Found(NamedTuple):
    """One identifier in one text; where, never what."""

    kind: Kind
    start: int
    end: int
    """Characters of the text, as Python counts them; `end` is the first one after it."""
    confidence: float
    """0 to 1: how sure a rule is, from its pattern, its check digit and the words around it."""
    check: Check = ""
    """Whether a check digit or checksum was right, where the kind has one."""


def merged(found: Iterable[Found]) -> tuple[Found, ...]:
    """Findings that do not overlap, in order: of those that do, the longest, then the surest, is kept."""
    kept: list[Found] = []
    together: list[Found] = []  # findings that touch each other, as a chain
    end = 0
    for one in sorted(found, key=lambda each: each.start):
        if together and one.start >= end:
            kept += together if len(together) == 1 else _chosen(together)
            together = []
        together.append(one)
        end = max(end, one.end)
    return tuple(kept + _chosen(together))


def _chosen(found: list[Found]) -> list[Found]:
    kept: list[Found] = []  # by place, so that only neighbours can overlap
    for one in sorted(found, key=lambda each: (each.start - each.end, -each.confidence, each.start)):
        at = bisect.bisect(kept, one.start, key=lambda each: each.start)
        free_before = at == 0 or kept[at - 1].end <= one.start
        if free_before and (at == len(kept) or one.end <= kept[at].start):
            kept.insert(at, one)
    return kept
