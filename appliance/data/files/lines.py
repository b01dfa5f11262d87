"""Plain text: a row is a line that is not empty."""

from collections.abc import Iterator
from typing import Any, BinaryIO

from appliance.data.files.json_lines import numbered_lines
from appliance.data.judge import RowRefused

TEXT_FIELD = "text"


def text_items(stream: BinaryIO) -> Iterator[tuple[int, dict[str, Any] | RowRefused]]:
    """(line, `{"text": …}`) for every line that is not empty."""
    for number, line in numbered_lines(stream):
        yield number, line if isinstance(line, RowRefused) else {TEXT_FIELD: line.decode("utf-8").strip()}
