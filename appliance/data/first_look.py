"""A first look at a file of rows: what it is taken for, and why; or else what there is to choose from.

Reads the first rows only, beside what `open_sources` does. What it shows of columns is patients' data: for
the screen that asks, never for a log.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from appliance.data.dataset_info import FILE_NAME, entry_names, entry_of
from appliance.data.files import open_sources, sheet_names
from appliance.data.read import SAMPLE_ROWS
from appliance.data.shapes.detect import Found, find_shape
from appliance.data.shapes.sample import Sample
from appliance.errors import ApplianceError
from appliance.run.plan import DataFile

SHOWN_VALUES = 3
SHOWN_CHARACTERS = 24


@dataclass(frozen=True)
class Column:
    """One column of a file, with what its first rows hold."""

    name: str
    shown: tuple[str, ...]
    holds_turns: bool
    """Whether it holds conversations."""


@dataclass(frozen=True)
class FirstLook:
    """What was seen, as far as it could be."""

    found: Found | None = None
    """How the file is read; None while that is not certain."""
    error: ApplianceError | None = None
    """Why it is not; None where it is."""
    datasets: tuple[str, ...] = ()
    """Entries, of a `dataset_info.json`."""
    sheets: tuple[str, ...] = ()
    """Sheets with rows, of a workbook."""
    columns: tuple[Column, ...] = ()

    @property
    def settled(self) -> bool:
        """Whether it is certain how the file is read: of a question and an answer, where both stand."""
        if self.found is None or self.found.shape.name not in ("alpaca", "pairs"):
            return self.found is not None
        known = {field for field, _ in self.found.columns}
        return bool(known & {"prompt", "query"}) and bool(known & {"response", "rejected"})


def look_first(file: DataFile) -> FirstLook:
    """A first look at `file` with what is known of it so far. Raises nothing of ours: the error is told."""
    seen = FirstLook()
    try:
        path = Path(file.path)
        if path.name == FILE_NAME:
            seen = _with(seen, datasets=entry_names(path))
        entry = entry_of(file)
        path = Path(entry.file.path)
        seen = _with(seen, sheets=sheet_names(path))
        for source in open_sources(path, sheet=entry.file.sheet):
            sample = Sample(source.sample(SAMPLE_ROWS))
            seen = _with(seen, columns=_columns(sample))
            seen = _with(seen, found=find_shape(sample, entry.file, source.place))
    except ApplianceError as error:
        return _with(seen, found=None, error=error)
    return seen


def _with(seen: FirstLook, **known: Any) -> FirstLook:
    return replace(seen, **known)


def _columns(sample: Sample) -> tuple[Column, ...]:
    turns = set(sample.turn_columns())
    return tuple(
        Column(name, tuple(map(_shown, sample.values(name)[:SHOWN_VALUES])), name in turns)
        for name in sample.names
    )


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return " ".join(text.split())[:SHOWN_CHARACTERS]
