"""A difference as a table for people; stdout is the answer."""

from rich.table import Table

from appliance.progress import amount_text
from bundler.console import PlainConsole
from bundler.diff import Difference


def print_difference(found: Difference) -> None:
    """One line a component that is not the same, then the totals."""
    view = Table(box=None, header_style="bold")
    for title in ("", "kind", "name"):
        view.add_column(title, overflow="fold")
    view.add_column("what", overflow="fold")
    view.add_column("size", justify="right", no_wrap=True)
    for row in found.rows:
        view.add_row(row.change, row.kind, row.name, row.words, amount_text(row.size, "B"))
    console = PlainConsole()
    console.print(f"{found.old} → {found.new}", soft_wrap=True)
    console.print(view)
    counts = [f"{found.count(change)} {change}" for change in ("new", "changed", "removed")]
    console.print(f"  {', '.join(counts)}, {found.same} the same")
    console.print(
        f"  to carry: {amount_text(found.carry_bytes, 'B')} of {amount_text(found.total_bytes, 'B')}; "
        f"gone: {amount_text(found.removed_bytes, 'B')}"
    )
    if found.not_compared:
        console.print(f"  not compared, because only one of the two tells: {', '.join(found.not_compared)}")
