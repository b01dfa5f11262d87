"""What is kept of a fault of our own: its type and where it happened. Never a value.

Textual's own report prints local variables, and an error's text may quote a row; both may be a patient's.
"""

import os
import sys
import threading
import traceback
from datetime import UTC, datetime
from pathlib import Path

from appliance.sentence import say

STOPPED = say(
    "E-UI-900: The screen program stopped. A training run is not affected, and your answers are kept. "
    "To come back, type: islet"
)


def trace(error: BaseException) -> str:
    """Types and places of `error` and of what caused it; no text of theirs, no values, no lines of code."""
    lines: list[str] = []
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        kind = type(cause)
        lines.append(f"{kind.__module__}.{kind.__qualname__}")
        frames = traceback.walk_tb(cause.__traceback__)
        lines += [f"  {frame.f_code.co_filename}:{line}" for frame, line in frames]
        cause = cause.__cause__ or cause.__context__
    return "\n".join(lines)


def keep(error: BaseException, path: Path | None) -> None:
    """Add `error` to the log at `path`, readable by its owner only. A log that cannot be written is left."""
    if path is None:
        return
    text = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {trace(error)}\n"
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as log:
            os.fchmod(log.fileno(), 0o600)
            log.write(text)
    except OSError:
        return


def silence_threads(path: Path | None) -> None:
    """Have faults in threads, and those that Python cannot raise, kept the same way instead of printed."""

    def keep_thread(told: threading.ExceptHookArgs) -> None:
        if told.exc_value is not None:
            keep(told.exc_value, path)

    def keep_unraisable(told: "sys.UnraisableHookArgs") -> None:
        if told.exc_value is not None:
            keep(told.exc_value, path)

    threading.excepthook = keep_thread
    sys.unraisablehook = keep_unraisable
