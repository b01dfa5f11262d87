"""`events.jsonl`: what happened in a run, one JSON object a line, only ever appended.

One worker writes; anybody reads. A kill can tear the last line: readers pass over what is no
whole line, and a new writer starts on a line of its own.

Kinds and their fields:

- `state`: `state` (preparing, training, stopped, finished, failed), with `pid`, or `step` and `steps`
- `data`: `rows`, `refused`, `held_out`, `tokens`, `learned_tokens`, `packs`, `files` (path, format,
  whether that was detected, encoding)
- `memory`: `device`, `free_bytes`, `total_bytes` (estimated peak), `lines` (name and bytes of each part)
- `progress`: `step`, `steps`, `epoch`, `loss` (mean since the last one), `losses` (one a step),
  `learning_rate`, `grad_norm`, `tokens_per_s`, `eta_s`, `memory_bytes`
- `held_out`: `step`, `loss`
- `checkpoint`: `step`, `folder`
- `resumed`: `step`, `folder`
- `warning`: `what`, `why`
- `network`: `refused` (how many connections were tried and refused)
- `failed`: `what`, `why`, `next_step`, `exit_code`

`what`, `why` and `next_step` are sentences as `appliance.sentence.to_document` writes them, so that any
reader can say them in its language; the names of `lines` are sentences without places.
"""

import datetime
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

POLL_S = 0.1
BLOCK_BYTES = 64 * 1024
"""Read at a time where only the end matters: minutes of a run's events."""


@dataclass(frozen=True)
class Event:
    """One thing that happened."""

    time: str
    """UTC, RFC 3339 with milliseconds."""
    kind: str
    fields: dict[str, Any]


class EventLog:
    """Appends events to a file; each is one write, so lines of two writers never mix.

    A disk that is nearly full takes a part of a line: the next one then begins on a line of its own.
    """

    def __init__(self, path: Path) -> None:
        self._torn = False
        self._file = path.open("ab+", buffering=0)
        size = self._file.seek(0, os.SEEK_END)
        if size:
            self._file.seek(size - 1)
            if self._file.read(1) != b"\n":
                self._file.write(b"\n")

    def append(self, kind: str, **fields: Any) -> None:
        """Write one event now.

        Raises: OSError, when the disk does not take all of it.
        """
        now = datetime.datetime.now(tz=datetime.UTC).isoformat(timespec="milliseconds")
        line = json.dumps({"time": now, "kind": kind, **fields}, ensure_ascii=False, allow_nan=False)
        content = (b"\n" if self._torn else b"") + line.encode() + b"\n"
        left = memoryview(content)
        try:
            while left:
                left = left[self._file.write(left) :]
        finally:
            self._torn = 0 < len(left) < len(content) or (self._torn and len(left) == len(content))

    def sync(self) -> None:
        """Make what was written survive a power cut."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read_events(path: Path) -> list[Event]:
    """All whole events so far; none when there is no file yet."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return []
    return [event for line in content.split(b"\n") if (event := _decode(line)) is not None]


def read_new_events(path: Path, from_byte: int) -> tuple[list[Event], int]:
    """Events from the byte `from_byte` on, and the byte to go on from: behind the last whole line."""
    content = _read_from(path, from_byte)
    whole = content[: content.rfind(b"\n") + 1]
    events = [event for line in whole.split(b"\n") if (event := _decode(line)) is not None]
    return events, from_byte + len(whole)


def first_event(path: Path) -> Event | None:
    """The oldest event; None when there is none, or its line is torn."""
    try:
        with path.open("rb") as file:
            return _decode(file.readline())
    except FileNotFoundError:
        return None


def newest_events(path: Path) -> Iterator[Event]:
    """All whole events so far, the newest first; the file is read from its end, as far as is asked for."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    with file:
        place, rest = file.seek(0, os.SEEK_END), b""
        while place:
            length = min(BLOCK_BYTES, place)
            place -= length
            file.seek(place)
            rest, *lines = (file.read(length) + rest).split(b"\n")
            yield from (event for line in reversed(lines) if (event := _decode(line)) is not None)
        if (event := _decode(rest)) is not None:
            yield event


def follow_events(path: Path, *, ended: Callable[[], bool], from_byte: int = 0) -> Iterator[Event]:
    """Events as they are appended, from the byte `from_byte` on, until `ended()` and no line is left."""
    offset, rest = from_byte, b""
    while True:
        over = ended()  # asked before reading: what was written until then is still read below
        content = _read_from(path, offset)
        offset += len(content)
        *lines, rest = (rest + content).split(b"\n")
        for line in lines:
            if (event := _decode(line)) is not None:
                yield event
        if over:
            return
        time.sleep(POLL_S)


def _read_from(path: Path, offset: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(offset)
            return file.read()
    except FileNotFoundError:
        return b""


def _decode(line: bytes) -> Event | None:
    try:
        document = json.loads(line)
    except ValueError:  # a torn line, or an empty one
        return None
    if not isinstance(document, dict):
        return None
    moment, kind = document.pop("time", None), document.pop("kind", None)
    if not isinstance(moment, str) or not isinstance(kind, str):
        return None
    return Event(moment, kind, document)
