"""Where a program of the house failed that should not have: for its engineers, without what it worked on.

An exception's arguments and a function's variables may hold a patient's words. So a trace names files,
lines and kinds of exceptions, and neither. Standard library only.
"""

import os
import stat
import sys
import tempfile
import traceback
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

VARIABLE = "ISLET_LOG"
"""Environment variable that names the file which traces are added to."""


def trace_text(error: BaseException) -> str:
    """The places that `error` came through, and those of what caused it, the cause first."""
    parts = []
    for each in reversed(list(_chain(error))):
        parts.append("".join(traceback.format_tb(each.__traceback__)) + f"{kind_text(each)}\n")
    return "\n".join(parts)


def keep_trace(
    error: BaseException, logs: Path | None = None, environment: Mapping[str, str] = os.environ
) -> Path | None:
    """Write the trace of `error` where only this user may read it; the file, or None where none could be.

    logs: a folder for it, tried after the file that the environment names and before the temporary folder
    """
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    content = f"{stamp} {Path(sys.argv[0]).name} pid {os.getpid()}\n{trace_text(error)}\n".encode()
    named = environment.get(VARIABLE)
    if named and (file := _appended(Path(named).absolute(), content)):
        return file
    for folder in (logs, Path(tempfile.gettempdir())):
        if folder and (file := _written(folder, f"islet-{stamp}-", content)):
            return file
    return None


def kind_text(error: BaseException) -> str:
    """Its type, and what of it comes from the system and not from data."""
    name = f"{type(error).__module__}.{type(error).__qualname__}"
    if isinstance(error, OSError) and error.strerror:
        return f"{name}: {error.strerror}"
    if name.startswith("torch."):  # its own kinds speak of devices and memory
        return f"{name}: {error}"
    return f"{name}: {error.name}" if isinstance(error, ImportError) else name


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """`error`, what it came from, and so on."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _appended(file: Path, content: bytes) -> Path | None:
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK
        handle = os.open(file, flags, 0o600)
        with os.fdopen(handle, "ab") as log:
            if not stat.S_ISREG(os.fstat(handle).st_mode):  # a device is everybody's: its mode is not ours
                return None
            os.fchmod(handle, 0o600)
            log.write(content)
    except OSError:
        return None
    return file


def _written(folder: Path, prefix: str, content: bytes) -> Path | None:
    try:
        folder.mkdir(exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=prefix, suffix=".log", dir=folder)  # mode 0600
        with os.fdopen(handle, "wb") as log:
            log.write(content)
    except OSError:
        return None
    return Path(name)
