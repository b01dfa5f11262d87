"""Tables for people; stdout is the answer."""

from collections import Counter

from rich.table import Table

from appliance.progress import amount_text
from bundler.advisory_table import print_advisories
from bundler.console import PlainConsole
from bundler.licence import shown
from bundler.lock import Lock, Row, table
from bundler.room import estimate_room

NAME_CELLS = 24
"""`nvidia-cuda-runtime-cu12` stays on one line of 80 columns; licences are broken first."""


def print_table(lock: Lock, volume_bytes: int) -> None:
    """What a lock will carry: component, name, version, licence, size; the totals, and the room they take."""
    rows = table(lock)
    view = Table(title=f"{lock.product}, locked {lock.created}", box=None, header_style="bold")
    for title, width in (("kind", 0), ("name", NAME_CELLS), ("version", 0), ("licence", 0)):
        view.add_column(title, overflow="fold", min_width=width)
    view.add_column("size", justify="right", no_wrap=True)
    for row in rows:
        view.add_row(
            row.component,
            row.name,
            row.version,
            shown(row.licence, "not stated"),
            amount_text(row.size, "B"),
        )
    console = PlainConsole()
    console.print(view)
    for kind, count in Counter(row.component for row in rows).items():
        console.print(f"  {kind}: {count}, {amount_text(_total(rows, kind), 'B')}")
    for line in _room_lines(lock, volume_bytes):
        console.print(f"  {line}", soft_wrap=True)
    print_advisories(lock.advisories)


def _room_lines(lock: Lock, volume_bytes: int) -> list[str]:
    """Where how much room is needed, in words."""
    room = estimate_room(lock, volume_bytes)
    volumes = "1 volume" if room.volumes == 1 else f"{room.volumes} volumes"
    amounts = [
        ("download cache", room.download, ""),
        ("bundle, and each medium", room.bundle, f", {volumes} of at most {volume_bytes} bytes"),
        ("at the site", room.site, ""),
        ("  store", room.store, ""),
        ("  unfolded runtime", room.unfolded, ""),
    ]
    lines = [f"{name}: about {amount_text(size, 'B')}{more}" for name, size, more in amounts]
    if lock.lacks:
        lines.append(f"NOT COMPLETE, nothing can be built from it; lacks: {', '.join(lock.lacks)}")
    return lines


def _total(rows: list[Row], kind: str) -> int:
    return sum(row.size for row in rows if row.component == kind)
