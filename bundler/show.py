"""Tables for people; stdout is the answer."""

from collections import Counter
from pathlib import Path

from rich.console import Console
from rich.table import Table

from appliance.bundle import names
from appliance.bundle.contents import parse_contents
from appliance.bundle.medium import Medium
from appliance.bundle.release import parse_release
from appliance.progress import amount_text
from bundler.delta import carried_words
from bundler.lock import Lock, Row, table


def print_table(lock: Lock) -> None:
    """What a lock will carry: component, name, version, licence, size, and the totals."""
    rows = table(lock)
    view = Table(title=f"{lock.product}, locked {lock.created}", box=None, header_style="bold")
    for title in ("kind", "name", "version", "licence"):
        view.add_column(title, overflow="fold")
    view.add_column("size", justify="right", no_wrap=True)
    for row in rows:
        view.add_row(
            row.component, row.name, row.version, row.licence or "not stated", amount_text(row.size, "B")
        )
    console = Console()
    console.print(view)
    for kind, count in Counter(row.component for row in rows).items():
        console.print(f"  {kind}: {count}, {amount_text(_total(rows, kind), 'B')}", highlight=False)


def print_contents(folder: Path) -> None:
    """What a bundle folder holds, by component. Raises: UntrustedBundle, DamagedBundle."""
    medium = Medium(folder)
    release = parse_release(medium.read_small(names.RELEASE, names.SMALL_BYTES))
    contents = parse_contents(medium.read_small(names.CONTENTS, names.CONTENTS_BYTES))
    view = Table(title=f"{release.product}, release {release.number}, made {release.created}", box=None)
    view.add_column("kind")
    view.add_column("component", overflow="fold")
    view.add_column("licence", overflow="fold")
    view.add_column("files", justify="right")
    view.add_column("size", justify="right", no_wrap=True)
    groups: dict[tuple[str, str, str], list[int]] = {}
    for entry in contents.entries:
        groups.setdefault((entry.kind, entry.component, entry.licence or "not stated"), []).append(entry.size)
    for (kind, component, licence), sizes in groups.items():
        view.add_row(kind, component, licence, str(len(sizes)), amount_text(sum(sizes), "B"))
    Console().print(view)
    Console(highlight=False, soft_wrap=True).print(f"  {carried_words(contents)}")


def _total(rows: list[Row], kind: str) -> int:
    return sum(row.size for row in rows if row.component == kind)
