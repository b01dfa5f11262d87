"""The number of the form in which this release keeps data and runs, and the way forward from older ones.

`STATE/format` holds it; a state without one is older than the first number. An upgrade migrates forward
before it switches, each step written so that it can be cut off and done again, and so that the release
which is still in use finds what it reads until then: a step adds, and takes away nothing. There is no way
back: a release that knows only an older number is not switched to, and an older backup is the way out.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from appliance.durable import remove_parts, sync_folder, write_whole
from appliance.errors import BadInput, HostNotReady
from appliance.sentence import say

NOTE = "format"
PREFIX = "islet-state-"


def _make_folders(state: Path) -> None:
    """From nothing to 1: the folders."""
    for name in ("runs", "datasets", "exports"):
        (state / name).mkdir(exist_ok=True)


MIGRATIONS: tuple[Callable[[Path], None], ...] = (_make_folders,)
"""The step at place n takes a state from number n to n + 1, and does no harm when it is done again."""

CURRENT = len(MIGRATIONS)
"""What this release writes."""


def read_format(state: Path) -> int:
    """The number of the state at this folder; 0 where none was written yet.

    Raises: BadInput, when the note is not one.
    """
    note = state / NOTE
    if not note.is_file():
        return 0
    text = note.read_text(encoding="utf-8", errors="replace").strip()
    number = text.removeprefix(PREFIX)
    if not text.startswith(PREFIX) or not number.isascii() or not number.isdigit():
        raise BadInput(
            say("{file} does not say how this state is kept.", file=note),
            why=say("it must be `{prefix}` and a number", prefix=PREFIX),
            next_step="Put the file back from a backup, or call the sender.",
        )
    return int(number)


def migrate(state: Path, migrations: Sequence[Callable[[Path], None]] = MIGRATIONS) -> int:
    """Bring the state to the form that this release keeps; the number it had.

    Raises: HostNotReady, when it is kept in a newer form than this release knows.
    """
    had = read_format(state)
    check_forward(had, len(migrations))
    for number in range(had, len(migrations)):
        for folder, _, _ in os.walk(state):
            remove_parts(Path(folder))  # of a step that was cut off, wherever it wrote
        migrations[number](state)
        sync_folder(state)
        write_whole(state / NOTE, f"{PREFIX}{number + 1}\n".encode())
    return had


def check_forward(had: int, known: int) -> None:
    """Raises: HostNotReady, when a state of number `had` is newer than a release that knows `known`."""
    if had > known:
        raise HostNotReady(
            "Data and runs are kept in a newer form than this release knows.",
            why=say("they are in form {had}, this release knows up to {known}", had=had, known=known),
            next_step="Stay on the release in use, or restore a backup that was made before the upgrade "
            "into another state folder.",
        )
