"""Figures as a reader wants them: rounded, with their unit, the same in every section. Pure."""

import json
from collections.abc import Iterator
from typing import Any

from appliance.locale.voice import Voice


def number(value: float | None, say: Voice) -> str:
    """Three digits that count, or all before the point: `0.0278`, `5.25`, `1,234`."""
    if value is None:
        return say("not recorded")
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def change(before: float | None, after: float | None, say: Voice, *, digits: int = 0) -> str:
    """`before → after`; with `digits`, that many after the point."""
    if digits and before is not None and after is not None:
        return arrow(f"{before:.{digits}f}", f"{after:.{digits}f}", say)
    return arrow(number(before, say), number(after, say), say)


def arrow(before: object, after: object, say: Voice) -> str:
    """`before → after`."""
    return say("{before} → {after}", before=before, after=after)


def share(part: int, whole: int, say: Voice) -> str:
    """`43/50 (86 %)`."""
    of_all = percent(part / whole if whole else 0.0, say)
    return say("{part}/{whole} ({percent})", part=part, whole=whole, percent=of_all)


def percent(share: float, say: Voice) -> str:
    """`86 %`."""
    return say("{percent:.0f} %", percent=100 * share)


def moment(time: str, say: Voice) -> str:
    """A moment in UTC from RFC 3339: `2026-11-21 09:40:53 UTC`."""
    return say("{time} UTC", time=time[:19].replace("T", " ")) if time else say("not recorded")


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
