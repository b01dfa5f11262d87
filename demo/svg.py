"""A terminal's screen as a picture: SVG of our own making, small, the same bytes for the same screen.

A grid of cells. Every run of equal style is one `<text>`; where it begins and how long it is are said in
cells, so that the picture is right with whatever monospaced font a reader has. Wide characters stand on
their two cells each by themselves. Nothing is fetched from anywhere.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any
from xml.sax.saxutils import escape

from tests.screen import Emulator

CELL, ROW, EDGE = 9, 18, 9
"""Pixels: a cell is 9 x 18, the rim around the screen 9."""

FONT, WIDE_FONT = 15, 17
"""Pixels. Monospaced Latin fonts advance by 0.6 em, which is a cell; Chinese ones by 1 em, nearly two."""

FAMILY = (
    "'DejaVu Sans Mono',Menlo,Consolas,'Liberation Mono','Noto Sans Mono CJK SC','Noto Sans CJK SC',"
    "'Source Han Sans SC','Microsoft YaHei','PingFang SC','WenQuanYi Micro Hei',monospace"
)

INK, PAPER = "d4d4d4", "16181d"
"""What a terminal's default colours are in a picture."""

COLOURS = {
    "default": INK,
    "black": "16181d",
    "red": "e0565b",
    "green": "6cbf6c",
    "brown": "d9b44a",
    "blue": "5c9ae6",
    "magenta": "c586c0",
    "cyan": "56b6c2",
    "white": "d4d4d4",
    "brightblack": "7f848e",
    "brightred": "ff7b7f",
    "brightgreen": "93e093",
    "brightbrown": "ffdc73",
    "brightblue": "86bbff",
    "brightmagenta": "e0a8dc",
    "bfightmagenta": "e0a8dc",  # as pyte spells it for the background
    "brightcyan": "84dbe6",
    "brightwhite": "ffffff",
}
"""The sixteen colours, of which a terminal says the names only."""


@dataclass(frozen=True)
class Style:
    """How a run looks."""

    ink: str
    paper: str
    classes: str
    wide: bool


@dataclass(frozen=True)
class Run:
    """Characters beside each other that look the same."""

    column: int
    text: str
    style: Style

    @property
    def cells(self) -> int:
        """How many it covers."""
        return len(self.text) * (2 if self.style.wide else 1)


def to_svg(screen: Emulator, title: str) -> str:
    """The screen as an SVG file; `title` is what it is called to those who cannot see it."""
    rows = [list(runs(screen, row)) for row in range(screen.lines)]
    paper = _commonest_paper(rows)
    width, height = screen.columns * CELL + 2 * EDGE, screen.lines * ROW + 2 * EDGE
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" role="img">',
        f"<title>{escape(title)}</title>",
        f"<style>text{{font:{FONT}px {FAMILY};white-space:pre}}.w{{font-size:{WIDE_FONT}px}}"
        ".b{font-weight:bold}.i{font-style:italic}.u{text-decoration:underline}"
        ".s{text-decoration:line-through}.f{opacity:.6}g rect{shape-rendering:crispEdges}</style>",
        f'<rect width="{width}" height="{height}" rx="6" fill="#{paper}"/>',
        f'<g transform="translate({EDGE} {EDGE})" fill="#{INK}">',
    ]
    for number, row in enumerate(rows):
        lines += _papers(row, number * ROW, paper)
        lines += [_text(run, number * ROW + 14) for run in row if _is_seen(run)]
    return "\n".join([*lines, "</g>", "</svg>", ""])


def to_text(screen: Emulator) -> str:
    """The screen as plain text."""
    return "\n".join(screen.rows_of_text()).rstrip() + "\n"


def runs(screen: Emulator, row: int) -> Iterator[Run]:
    """One row, from left to right."""
    at: Run | None = None
    for column, char, cells in screen.cells(row):
        style = _style(char, cells == 2)
        if at is not None and style == at.style:
            at = replace(at, text=at.text + char.data)
            continue
        if at is not None:
            yield at
        at = Run(column, char.data, style)
    if at is not None:
        yield at


def _style(char: Any, wide: bool) -> Style:
    ink, paper = (
        COLOURS.get(char.fg, char.fg),
        PAPER if char.bg == "default" else COLOURS.get(char.bg, char.bg),
    )
    if char.reverse:
        ink, paper = paper, ink
    marks = (("b", char.bold), ("i", char.italics), ("u", char.underscore), ("s", char.strikethrough))
    # The emulator keeps faint as blink.
    classes = "".join(name for name, is_so in (*marks, ("f", char.blink)) if is_so)
    return Style(ink, paper, " ".join(classes), wide)


def _commonest_paper(rows: list[list[Run]]) -> str:
    counted: Counter[str] = Counter()
    for run in (run for row in rows for run in row):
        counted[run.style.paper] += run.cells
    return min(counted, key=lambda paper: (-counted[paper], paper))


def _papers(row: list[Run], top: int, paper: str) -> list[str]:
    """Backgrounds that differ from the screen's, neighbours of one colour in one piece."""
    pieces: list[tuple[int, int, str]] = []
    for run in row:
        if pieces and pieces[-1][2] == run.style.paper:
            pieces[-1] = (pieces[-1][0], pieces[-1][1] + run.cells, run.style.paper)
        else:
            pieces.append((run.column, run.cells, run.style.paper))
    return [
        f'<rect x="{column * CELL}" y="{top}" width="{cells * CELL}" height="{ROW}" fill="#{colour}"/>'
        for column, cells, colour in pieces
        if colour != paper
    ]


def _is_seen(run: Run) -> bool:
    return bool(run.text.strip()) or any(mark in run.style.classes for mark in "us")


def _text(run: Run, baseline: int) -> str:
    """One run; blanks at its ends are left out where nothing shows them."""
    text, column = run.text, run.column
    if not any(mark in run.style.classes for mark in "us"):
        column += len(text) - len(text.lstrip(" ")) if not run.style.wide else 0
        text = text.strip(" ")
    if run.style.wide:
        x = " ".join(str((column + 2 * i) * CELL) for i in range(len(text)))
        place = f'x="{x}" y="{baseline}"'
    else:
        place = f'x="{column * CELL}" y="{baseline}" textLength="{len(text) * CELL}"'
    classes = " ".join(filter(None, [run.style.classes, "w" if run.style.wide else ""]))
    ink = f' fill="#{run.style.ink}"' if run.style.ink != INK else ""
    named = f' class="{classes}"' if classes else ""
    return f"<text {place}{named}{ink}>{escape(text)}</text>"
