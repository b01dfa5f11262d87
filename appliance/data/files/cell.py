"""A workbook's cell as text: what a person sees in it, as far as that is certain.

Where the workbook no longer has what the person meant (the last digits of a long number, the result of a
formula), the value is a `RowRefused` that says so: only a row that needs the cell is refused for it.
Source of types, formats and dates: ECMA-376 part 1, sections 18.18.11 (ST_CellType), 18.8.30 (numFmt) and
18.17.4 (dates).
"""

import datetime
import math
import re
from collections.abc import Callable
from decimal import ROUND_HALF_UP, Context, Decimal

from appliance.data.judge import RowRefused
from appliance.sentence import say

Value = str | RowRefused

KEPT_DIGITS = 15
"""Digits of a number that a spreadsheet keeps; of an identity card's 18 it loses three."""

MOST_DECIMALS = 30
"""That a format shows. Source: Excel's specifications and limits."""

DATE_FORMATS = frozenset((*range(14, 23), *range(27, 37), *range(45, 48), *range(50, 59)))
"""Numbers of built-in formats that show dates and times; 27 to 36 and 50 to 58 are those of East Asia."""

PERCENT_FORMATS = {9: 0, 10: 2}
"""Built-in formats that show a share in hundredths, and their decimals."""

_LITERAL = re.compile(r'"[^"]*"|\\.|_.|\*.|\[(?![hms]+\])[^\]]*\]', re.IGNORECASE)
_ESCAPED = re.compile(r"_x([0-9A-Fa-f]{4})_")
_ZEROS = re.compile(r"0{2,15}")
_PLAIN = re.compile(r"[#0?,]*(?:\.[#0?]*)?")
"""What shows digits and nothing else."""

Format = Callable[[float], str]


def text_value(text: str) -> str:
    """A text as it was written: `_x000D_` stands for a character that XML cannot hold."""
    return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), text) if "_x" in text else text


def number_value(text: str, shown_by: Format | None) -> Value:
    """A number as it is shown, or that its last digits are lost."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("no number of a spreadsheet")
    if abs(number) >= 10**KEPT_DIGITS:  # whatever shows it: zeros before a number bring no digit back
        what = say(
            "is a number of more than {digits} digits: the spreadsheet lost the last", digits=KEPT_DIGITS
        )
        return RowRefused("cell", what, "format the column as text, then enter or export these numbers again")
    return shown_by(number) if shown_by is not None else _plain(number)


def error_value(text: str) -> RowRefused:
    """A cell that shows an error instead of a value."""
    what = say("shows the error {error} of a formula", error=text if len(text) < 20 else "?")
    return RowRefused("cell", what, "correct the formula, or write the value")


def missing_result() -> RowRefused:
    """A formula that no spreadsheet has computed yet."""
    fix = say("open the workbook in Excel or WPS, save it, and start again")
    return RowRefused("cell", "is a formula whose result is not stored", fix)


def read_format(number: int, code: str, *, from_1904: bool) -> Format | None:
    """How a format shows a number, where that differs from the number itself; None where it does not.

    code: the format as text, "" for a built-in one
    """
    if not code:
        if number in PERCENT_FORMATS:
            return _percent(PERCENT_FORMATS[number])
        return _date(from_1904) if number in DATE_FORMATS else None
    bare = _LITERAL.sub("", code.partition(";")[0]).lower().replace("general", "")
    if re.search(r"\[[hms]+\]", bare):
        return _elapsed
    if re.search(r"[ymdhs]", bare):
        return _date(from_1904)
    if "%" in bare:
        return _percent(len(re.sub(r"[^0#]", "", bare.partition(".")[2])))
    shown: Format = _plain
    if _ZEROS.fullmatch(bare):  # numbers of patients and wards are shown with zeros before them
        shown = _zeros(len(bare))
    before, behind = _beside(code) if _PLAIN.fullmatch(bare.strip()) else ("", "")
    if before or behind:
        return lambda value: f"{'-' if value < 0 else ''}{before}{shown(abs(value))}{behind}"
    return shown if shown is not _plain else None


def _beside(code: str) -> tuple[str, str]:
    """What a format writes before a number and behind it, as the unit in `0.0" mg"`.

    Nothing of one with several sections: which of them shows a number is a rule of its own.
    """
    if ";" in _LITERAL.sub("", code):
        return "", ""
    parts = _LITERAL.split(code)
    texts = [_literal(found) for found in _LITERAL.findall(code)]
    first = next((at for at, part in enumerate(parts) if part.strip()), None)
    if first is None:  # it shows a text, and no number
        return "", ""
    return "".join(texts[:first]), "".join(texts[first:])


def _literal(written: str) -> str:
    """The text that a part of a format stands for; nothing for room and colours."""
    if written.startswith("[$"):
        return written[2:-1].partition("-")[0]
    return written.strip('"') if written[0] == '"' else written[1:] if written[0] == "\\" else ""


def _plain(number: float) -> str:
    return str(int(number)) if number == int(number) else format(number, ".15g")


def _rounded(value: float, decimals: int, factor: int = 1) -> str:
    """As a spreadsheet rounds what it shows: halves away from zero, of the number as it was typed."""
    exact = Decimal(format(value, f".{KEPT_DIGITS}g")) * factor
    last = Decimal(1).scaleb(-min(decimals, MOST_DECIMALS))
    return f"{exact.quantize(last, ROUND_HALF_UP, Context(prec=2 * MOST_DECIMALS)):f}"


def _zeros(digits: int) -> Format:
    return lambda value: f"{'-' if value < 0 else ''}{_rounded(abs(value), 0).zfill(digits)}"


def _percent(decimals: int) -> Format:
    return lambda value: f"{_rounded(value, decimals, 100)}%"


def _date(from_1904: bool) -> Format:
    def show(value: float) -> str:
        if not 0 <= value < 2_958_466:  # the day after 9999-12-31
            return format(value, ".15g")
        if value < 1 and not from_1904:
            return _clock(round(value * 86400))
        days, seconds = divmod(round(value * 86400), 86400)
        if from_1904:
            start = datetime.datetime(1904, 1, 1)
        else:  # the spreadsheet believes that 1900 had a 29th of February
            start = datetime.datetime(1899, 12, 30) if days >= 60 else datetime.datetime(1899, 12, 31)
        try:
            day = (start + datetime.timedelta(days=days)).date().isoformat()
        except OverflowError:
            return format(value, ".15g")
        return f"{day} {_clock(seconds)}" if seconds else day

    return show


def _clock(seconds: int) -> str:
    hours, minutes, rest = seconds // 3600, seconds // 60 % 60, seconds % 60
    return f"{hours:02}:{minutes:02}:{rest:02}" if rest else f"{hours:02}:{minutes:02}"


def _elapsed(value: float) -> str:
    seconds = round(abs(value) * 86400)
    return f"{'-' if value < 0 else ''}{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"
