"""Tables for people; stdout is the answer."""

from collections import Counter

from rich.console import Console
from rich.table import Table

from appliance.progress import amount_text
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


def _total(rows: list[Row], kind: str) -> int:
    return sum(row.size for row in rows if row.component == kind)
