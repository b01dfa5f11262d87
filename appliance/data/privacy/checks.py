"""Checks that numbers carry within themselves."""

import datetime

PROVINCES = frozenset(
    f"{number}"
    for numbers in (
        range(11, 16),
        range(21, 24),
        range(31, 38),
        range(41, 47),
        range(50, 55),
        range(61, 66),
        (71, 81, 82, 83),
    )
    for number in numbers
)
"""First two digits of an identity number. Source: GB/T 2260."""

_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_CHARACTERS = "10X98765432"


def id_check_character(seventeen: str) -> str:
    """The last character of an 18-digit identity number. Source: GB 11643, ISO 7064 MOD 11-2."""
    total = sum(weight * int(digit) for weight, digit in zip(_WEIGHTS, seventeen, strict=True))
    return _CHARACTERS[total % 11]


def is_id_check_right(number: str) -> bool:
    """Whether the last of 18 characters is the one that the others ask for."""
    return id_check_character(number[:17]) == number[17].upper()


def is_luhn_right(number: str) -> bool:
    """Whether the last digit is the one that the others ask for. Source: ISO/IEC 7812-1, annex B."""
    total = 0
    for at, digit in enumerate(reversed(number)):
        value = int(digit) * (2 if at % 2 else 1)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def is_date(year: int, month: int, day: int) -> bool:
    """Whether the calendar has this day."""
    try:
        datetime.date(year, month, day)
    except ValueError:
        return False
    return True
