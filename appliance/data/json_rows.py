"""JSON as a list or as lines, item by item, for every format that is written so."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from appliance.data.judge import RowRefused
from appliance.errors import BadInput
from appliance.sentence import reason, say


def json_items(text: str, source: Path) -> Iterator[tuple[int, Any]]:
    """(row, item) for every item of a JSON list, or of JSON lines; a line that is no JSON is a RowRefused.

    Raises: BadInput, when the text is neither.
    """
    if text.lstrip().startswith("["):
        yield from enumerate(_whole(text, source), start=1)
        return
    if not text.lstrip().startswith("{"):
        raise _no_json(source, say("it begins with neither [ nor {"))
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield number, _line(line)


def first_object(text: str) -> dict[str, Any]:
    """The first item of a list, or the first line, where that is an object; else an empty one."""
    start = text.lstrip().removeprefix("[").lstrip()
    try:
        item, _ = json.JSONDecoder().raw_decode(start)
    except (ValueError, RecursionError):
        return {}
    return item if isinstance(item, dict) else {}


def _whole(text: str, source: Path) -> list[Any]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _no_json(source, reason(error)) from error
    return list(document)


def _line(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        return RowRefused(
            "row", say("is no JSON: {error}", error=reason(error)), "correct the line, or delete it"
        )


def _no_json(source: Path, why: str) -> BadInput:
    return BadInput(
        say("{source} is no JSON.", source=source),
        why=why,
        next_step="Correct the file at that place, or export it again as JSON (a list) or JSON lines.",
    )
