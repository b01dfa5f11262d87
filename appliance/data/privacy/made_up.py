"""Made-up notes with known identifiers, to measure what the rules find."""

import calendar
import random
import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files

from appliance.data.privacy.kinds import Kind

_ALL = tomllib.loads(files(__package__).joinpath("made_up.toml").read_text(encoding="utf-8"))
_DOUBLE = ("欧阳", "司马", "上官")
_SINGLE = [character for character in re.sub("|".join(_DOUBLE), "", _ALL["surnames"])]

PLACES = {
    "name": Kind.NAME, "minority": Kind.NAME, "date": Kind.DATE, "record": Kind.RECORD, "id": Kind.ID,
    "mobile": Kind.MOBILE, "landline": Kind.LANDLINE, "address": Kind.ADDRESS, "age": Kind.AGE,
    "email": Kind.EMAIL, "account": Kind.ACCOUNT, "card": Kind.BANK_CARD, "plate": Kind.PLATE,
    "passport": Kind.PASSPORT, "url": Kind.URL, "bed": Kind.RECORD,
}  # fmt: skip

FULL_WIDTH_SHARE = 0.05
"""Of what fills places in Chinese notes, how much is typed with full-width digits and letters."""

_TO_FULL_WIDTH = {code: code + 0xFEE0 for code in (*range(48, 58), *range(65, 91))}


@dataclass(frozen=True)
class Note:
    """One text and what is in it: (kind, first character, the one after the last)."""

    text: str
    truth: tuple[tuple[Kind, int, int], ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Its names, as a list from the hospital's own system would have them."""
        return tuple(self.text[start:end] for kind, start, end in self.truth if kind is Kind.NAME)


def made_up_notes(count: int, seed: int = 0) -> list[Note]:
    """`count` notes: of ten, five Chinese, three English, two without any identifier."""
    draw = random.Random(seed)  # noqa: S311  # a fixed sequence, no secret
    kinds = [*[_ALL["chinese"]] * 5, *[_ALL["english"]] * 3, *[_ALL["harmless"]] * 2]
    return [_note(draw.choice(kinds[number % 10]), draw, chinese=number % 10 < 5) for number in range(count)]


def _note(template: str, draw: random.Random, *, chinese: bool) -> Note:
    text, truth = "", []
    for at, part in enumerate(re.split(r"\{(\w+)\}", template)):
        if at % 2 == 0:
            text += part
            continue
        value = _FILL[part](draw, chinese)
        if chinese and draw.random() < FULL_WIDTH_SHARE:
            value = value.translate(_TO_FULL_WIDTH)
        if part in PLACES:
            truth.append((PLACES[part], len(text), len(text) + len(value)))
        text += value
    return Note(text, tuple(truth))


def _name(draw: random.Random, chinese: bool) -> str:
    if not chinese:
        middle = draw.choice(("", "", f"{draw.choice('ABCDEFGHJKLM')}. "))
        return f"{draw.choice(_ALL['first_english'])} {middle}{draw.choice(_ALL['last_english'])}"
    surname = draw.choice(_DOUBLE) if draw.random() < 0.03 else draw.choice(_SINGLE)
    return surname + "".join(draw.sample(_ALL["given"], draw.choice((1, 2, 2, 2))))


def _date(draw: random.Random, chinese: bool) -> str:
    year, month, day = draw.randint(1935, 2025), draw.randint(1, 12), draw.randint(1, 28)
    forms = (
        [
            f"{year}年{month}月{day}日",
            f"{year}-{month:02}-{day:02}",
            f"{year}.{month}.{day}",
            f"{year}/{month}/{day}",
            f"{month}月{day}日",
        ]
        if chinese
        else [
            f"{month:02}/{day:02}/{year}",
            f"{calendar.month_name[month]} {day}, {year}",
            f"{day} {calendar.month_name[month][:3]} {year}",
            f"{year}-{month:02}-{day:02}",
        ]
    )
    return draw.choice(forms)


def _id(draw: random.Random, chinese: bool) -> str:
    if not chinese:
        return f"{draw.randint(100, 665)}-{draw.randint(10, 99)}-{draw.randint(1000, 9999)}"
    region = draw.choice(("110105", "330106", "420102", "510107", "610113", "440106"))
    born = f"{draw.randint(1935, 2015)}{draw.randint(1, 12):02}{draw.randint(1, 28):02}"
    body = f"{region}{born}{draw.randint(0, 999):03}"
    # GB 11643: the whole number read in powers of 2 is 1 modulo 11, X standing for 10.
    rest = sum(int(digit) << power for power, digit in zip(range(17, 0, -1), body, strict=True)) % 11
    return body + "X" * (rest == 2) + str((1 - rest) % 11) * (rest != 2)


def _address(draw: random.Random, chinese: bool) -> str:
    if not chinese:
        street = f"{draw.randint(1, 999)} {draw.choice(_ALL['streets_english'])}"
        return f"{street}, {draw.choice(_ALL['towns_english'])}"
    flat = draw.choice(
        (
            "",
            f"{draw.randint(1, 20)}栋{draw.randint(101, 2505)}室",
            f"{draw.randint(1, 30)}号楼{draw.randint(1, 4)}单元{draw.randint(101, 909)}",
        )
    )
    return f"{draw.choice(_ALL['cities'])}{draw.choice(_ALL['streets'])}{draw.randint(1, 399)}号{flat}"


def _mobile(draw: random.Random, chinese: bool) -> str:
    head, rest = draw.choice(("133", "138", "150", "177", "189", "199")), f"{draw.randint(0, 99_999_999):08}"
    return draw.choice(
        (head + rest, f"{head} {rest[:4]} {rest[4:]}", f"{head}-{rest[:4]}-{rest[4:]}", f"+86 {head}{rest}")
    )


def _landline(draw: random.Random, chinese: bool) -> str:
    if not chinese:
        a, b, c = draw.randint(212, 989), draw.randint(200, 999), draw.randint(0, 9999)
        return draw.choice((f"({a}) {b}-{c:04}", f"{a}-{b}-{c:04}", f"+1 {a}-{b}-{c:04}", f"{a}.{b}.{c:04}"))
    return draw.choice(
        (
            f"010-{draw.randint(10**7, 10**8 - 1)}",
            f"0571-{draw.randint(10**7, 10**8 - 1)}",
            f"(0871){draw.randint(10**6, 10**7 - 1)}",
        )
    )


def _record(draw: random.Random, chinese: bool) -> str:
    number = draw.randint(10**5, 10**9)
    return draw.choice(
        (f"{number}", f"ZY{number}", f"{number:010}", f"{draw.randint(2015, 2025)}-{number % 10**6:06}")
    )


def _card(draw: random.Random, chinese: bool) -> str:
    body = f"62{draw.randint(10**12, 10**13 - 1)}{draw.choice(('', '27', '118'))}"
    total = sum(sum(divmod(int(digit) * (2 - at % 2), 10)) for at, digit in enumerate(reversed(body)))
    return body + str(-total % 10)


def _plate(draw: random.Random, chinese: bool) -> str:
    tail = "".join(draw.choice("ABCDEFGHJKLMNPQRSTUVWXYZ0123456789") for _ in range(4)) + str(
        draw.randint(0, 9)
    )
    return (
        f"{draw.choice('京浙川鄂粤陕')}{draw.choice('ABCDE')}·{tail}"
        if chinese
        else f"{tail[:3]}-{tail[3:]}{draw.randint(10, 99)}"
    )


_FILL: dict[str, Callable[[random.Random, bool], str]] = {
    "name": _name,
    "minority": lambda draw, chinese: str(draw.choice(_ALL["minority"])),
    "date": _date,
    "id": _id,
    "address": _address,
    "mobile": _mobile,
    "landline": _landline,
    "record": _record,
    "bed": lambda draw, chinese: str(draw.randint(10, 60)),
    "card": _card,
    "plate": _plate,
    "passport": lambda draw, chinese: f"E{draw.choice('ABCD1234')}{draw.randint(10**6, 10**7 - 1)}",
    "email": lambda draw, chinese: f"{draw.choice(('li.wei', 'zhang_88', 'j.doe'))}@mail.example.cn",
    "url": lambda draw, chinese: f"https://pacs.example.cn/study/{draw.randint(1000, 99999)}",
    "account": lambda draw, chinese: f"wx_{draw.randint(10**5, 10**8)}",
    "age": lambda draw, chinese: str(draw.randint(90, 104)),
    "years": lambda draw, chinese: str(draw.randint(18, 88)),
    "sex": lambda draw, chinese: draw.choice(("男", "女") if chinese else ("man", "woman")),
}
