"""Figures as a reader wants them: rounded, with their unit, the same in every section. Pure."""

import json
from collections.abc import Iterator
from typing import Any

from appliance.report.words import Words


def number(value: float | None, words: Words) -> str:
    """Three digits that count, or all before the point: `0.0278`, `5.25`, `1,234`."""
    if value is None:
        return words.not_recorded
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def change(before: float | None, after: float | None, words: Words, *, digits: int = 0) -> str:
    """`before → after`; with `digits`, that many after the point."""
    if digits and before is not None and after is not None:
        return words.arrow.format(f"{before:.{digits}f}", f"{after:.{digits}f}")
    return words.arrow.format(number(before, words), number(after, words))


def share(part: int, whole: int, words: Words) -> str:
    """`43/50 (86 %)`."""
    return words.share.format(part, whole, f"{100 * part / whole:.0f}" if whole else "0")


def moment(time: str, words: Words) -> str:
    """A moment in UTC from RFC 3339: `2026-11-21 09:40:53 UTC`."""
    return words.utc.format(time[:19].replace("T", " ")) if time else words.not_recorded


def flattened(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """(name, value) of every value in nested documents: `data.train[1].path`, `"rows.json"`."""
    if isinstance(value, dict) and value:
        for key, each in value.items():
            yield from flattened(each, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list | tuple) and value and isinstance(value[0], dict):
        for place, each in enumerate(value, start=1):
            yield from flattened(each, f"{name}[{place}]")
    else:
        yield name, json.dumps(value, ensure_ascii=False)
