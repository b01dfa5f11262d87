"""Blocks of a page as lines of a terminal: one drawing for every front.

- No line is wider than asked, counted in cells after translating.
- Bars and marks are ASCII everywhere: terminals set for Chinese draw lines and bullets two cells wide.
- How something stands is a word in brackets; colour only repeats it.
- Text is text: nothing in it is read as markup, and nothing in it acts on the terminal.
"""

import io
import math
from collections.abc import Sequence
from typing import assert_never

from rich.console import Console, Group, JustifyMethod, RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from appliance.errors import ApplianceError
from appliance.locale import Catalogue
from appliance.sentence import say
from appliance.wizard.cells import cells_of, fold, one_line, pad, shorten, visible, wrap
from appliance.wizard.chart import chart_lines
from appliance.wizard.page import (
    Bar,
    Block,
    Chart,
    Fact,
    Facts,
    Heading,
    Histogram,
    Level,
    Paragraph,
    Preview,
    Table,
    Verbatim,
)
from appliance.wizard.preview import preview_lines

MARKS: dict[Level, str] = {
    "ok": say("[ OK ]"),
    "warn": say("[WARN]"),
    "fail": say("[FAIL]"),
    "busy": say("[ .. ]"),
    "info": say("[INFO]"),
}
"""Six cells in every language."""

STYLES: dict[Level, str] = {"ok": "green", "warn": "yellow", "fail": "bold red", "busy": "cyan", "info": ""}

MARK_CELLS = 6
MOST_BAR = 38
LEAST_BAR = 8
LEAST_COLUMN = 6
"""A table whose columns would get narrower is shown row by row instead."""

GAP = 2
"""Cells between columns."""


def mark(level: Level, catalogue: Catalogue) -> str:
    """How something stands, as a word in brackets."""
    return catalogue.say(MARKS[level])


def render(block: Block, catalogue: Catalogue, *, width: int, plain: bool) -> RenderableType:
    """`block` for rich, in lines of at most `width` cells. plain: ASCII only, but for the text itself."""
    match block:
        case Paragraph():
            return _paragraph(block, catalogue, width)
        case Heading():
            return _lines(wrap(_said(block.text, catalogue), width), "bold")
        case Facts():
            return _facts(block.rows, catalogue, width)
        case Table():
            return _table(block, catalogue, width)
        case Bar():
            return _lines(_bar(block, catalogue, width))
        case Chart():
            return _lines(chart_lines(block, catalogue, width=width, plain=plain))
        case Histogram():
            return _lines(_histogram(block, catalogue, width))
        case Preview():
            return _lines(preview_lines(block, catalogue, width=width))
        case Verbatim():
            return _lines([part for line in block.lines for part in fold(visible(line, keep=""), width)])
        case _:
            assert_never(block)


def text_lines(block: Block, catalogue: Catalogue, *, width: int, plain: bool) -> list[str]:
    """What `render` draws, without colour."""
    page = io.StringIO()
    console = Console(file=page, width=width, color_system=None, force_terminal=False, legacy_windows=False)
    console.print(render(block, catalogue, width=width, plain=plain), markup=False, highlight=False)
    return [line.rstrip() for line in page.getvalue().removesuffix("\n").split("\n")]


def failure(error: ApplianceError) -> Facts:
    """What went wrong, as a block: what happened, why, what to do."""
    return Facts(
        (
            Fact(say("What happened"), error.what, "fail"),
            Fact(say("Why"), error.why),
            Fact(say("What to do"), error.next_step),
        )
    )


def _said(text: str, catalogue: Catalogue) -> str:
    return visible(catalogue.say(text))


def _lines(lines: Sequence[str], style: str = "") -> Text:
    return Text("\n".join(lines), style=style, no_wrap=True, overflow="crop")


def _paragraph(block: Paragraph, catalogue: Catalogue, width: int) -> Text:
    text = _said(block.text, catalogue)
    if block.level is None:
        return _lines(wrap(text, width))
    indent = " " * (MARK_CELLS + 1)
    lines = f"\n{indent}".join(wrap(text, width - MARK_CELLS - 1))
    return _uncut(Text.assemble((mark(block.level, catalogue), STYLES[block.level]), f" {lines}"))


def _facts(rows: Sequence[Fact], catalogue: Catalogue, width: int) -> RenderableType:
    """Mark, label, value; why and what to do under the value."""
    labels = [one_line(catalogue.say(row.label)) for row in rows]
    before = MARK_CELLS + 1 if any(row.level for row in rows) else 0
    label_cells = min(max(map(cells_of, labels), default=0), max((width - before) * 2 // 5, 2))
    start = before + label_cells + GAP
    shown = []
    for row, label in zip(rows, labels, strict=True):
        left = wrap(label, label_cells)
        right = [line for text in _told(row, catalogue) for line in wrap(text, width - start)]
        for number in range(max(len(left), len(right))):
            first = number == 0 and row.level is not None
            word = mark(row.level, catalogue) if first and row.level else ""
            rest = pad(left[number] if number < len(left) else "", label_cells + GAP)
            rest += right[number] if number < len(right) else ""
            shown.append(Text.assemble((pad(word, before), STYLES[row.level or "info"]), rest.rstrip()))
    return Group(*(_uncut(line) for line in shown))


def _uncut(line: Text) -> Text:
    line.no_wrap, line.overflow = True, "crop"
    return line


def _told(row: Fact, catalogue: Catalogue) -> list[str]:
    told = [row.value]
    if row.why:
        told.append(say("Why: {why}", why=catalogue.say(row.why)))
    if row.next_step:
        told.append(say("To do: {next_step}", next_step=catalogue.say(row.next_step)))
    return [_said(text, catalogue) for text in told]


def _table(block: Table, catalogue: Catalogue, width: int) -> RenderableType:
    header = [one_line(catalogue.say(cell)) for cell in block.columns]
    rows = [[one_line(catalogue.say(cell)) for cell in row] for row in block.rows]
    widths = _column_widths([header, *rows], width)
    if widths is None:
        return Group(*(_stacked(header, row, width) for row in rows))
    table = RichTable(box=None, padding=(0, GAP, 0, 0), pad_edge=False, show_header=any(header), expand=False)
    for number, (title, cells) in enumerate(zip(header, widths, strict=True)):
        justify: JustifyMethod = "right" if number in block.right else "left"
        table.add_column(_lines(wrap(title, cells)), justify=justify, width=cells, no_wrap=True)
    for row in rows:
        table.add_row(*(_lines(wrap(cell, cells)) for cell, cells in zip(row, widths, strict=True)))
    return table


def _column_widths(rows: Sequence[Sequence[str]], width: int) -> list[int] | None:
    """Cells of each column: as wide as its text, the widest narrowed until all fit; None: they cannot."""
    widths = [max(max(map(cells_of, column)), 1) for column in zip(*rows, strict=True)]
    least = [min(each, LEAST_COLUMN) for each in widths]
    room = width - GAP * (len(widths) - 1)
    if sum(least) > room:
        return None
    while sum(widths) > room:
        widest = max(range(len(widths)), key=lambda number: widths[number] - least[number])
        widths[widest] -= 1
    return widths


def _stacked(header: Sequence[str], row: Sequence[str], width: int) -> Text:
    """One row of a table that is too wide: a line for each cell."""
    lines = []
    for number, (title, cell) in enumerate(zip(header, row, strict=True)):
        indent = "" if number == 0 else "  "
        first, *rest = wrap(f"{title}: {cell}" if title else cell, width - 4)
        lines += [indent + first, *(f"    {line}" for line in rest)]
    return _lines(lines)


def _bar(block: Bar, catalogue: Catalogue, width: int) -> list[str]:
    label, text = (one_line(catalogue.say(each)) for each in (block.label, block.text))
    known = share_of(block)
    if known is None:
        return wrap("  ".join(each for each in (label, mark("busy", catalogue), text) if each), width)
    percent = pad(percent_text(known, catalogue), 5, right=True)
    outside = sum(cells_of(each) + GAP for each in (label, percent, text) if each) + 2
    if width - outside < LEAST_BAR:  # the text goes under the bar
        size = min(width - cells_of(percent) - GAP - 2, MOST_BAR)
        over = wrap(label, width) if label else []
        return [*over, f"{_filled(known, size)}  {percent}", *(wrap(text, width) if text else [])]
    bar = _filled(known, min(width - outside, MOST_BAR))
    return ["  ".join(each for each in (label, bar, percent, text) if each)]


def share_of(block: Bar) -> float | None:
    """How much is done, 0 to 1; None where nobody can say."""
    if not (math.isfinite(block.done) and math.isfinite(block.total) and block.total > 0):
        return None
    return min(max(block.done / block.total, 0.0), 1.0)


def percent_text(share: float, catalogue: Catalogue) -> str:
    """Whole percent, never rounded up: 100 means done."""
    return catalogue.say(say("{percent} %", percent=math.floor(share * 100)))


def _filled(share: float, size: int) -> str:
    return f"[{'#' * math.floor(share * size)}{'.' * (size - math.floor(share * size))}]"


def _histogram(block: Histogram, catalogue: Catalogue, width: int) -> list[str]:
    lines = wrap(_said(block.label, catalogue), width) if block.label else []
    labels = [shorten(one_line(catalogue.say(label)), max(width // 3, 2)) for label, _ in block.rows]
    counts = [f"{count:,}" for _, count in block.rows]
    left, right = (max(map(cells_of, each), default=0) for each in (labels, counts))
    most = max((count for _, count in block.rows), default=0)
    room = min(max(width - left - right - 2 * GAP - 1, 1), MOST_BAR)
    for label, count, (_, times) in zip(labels, counts, block.rows, strict=True):
        size = round(room * times / most) if most else 0
        bar = "#" * size if size or not times else "."
        lines.append(f" {pad(label, left, right=True)}  {pad(bar, room)}  {pad(count, right, right=True)}")
    return lines
