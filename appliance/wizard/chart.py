"""Curves drawn with characters, and what they say in words. ASCII marks, or braille of 2x4 dots a cell.

In braille the series with the most points is drawn in dots; the others keep their marks, so that curves can
be told apart without colour. Every number of the picture is in the words too. Pure.
"""

import math
from dataclasses import dataclass

from appliance.locale import Catalogue
from appliance.sentence import say
from appliance.wizard.cells import cells_of, one_line, pad, wrap
from appliance.wizard.page import Chart, Series

Points = tuple[tuple[float, float], ...]

DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""Bits of a braille cell by row and column of its dots, above U+2800. Unicode 16, block Braille Patterns."""

SAMPLE = "\u2812\u2812"
"""Stands for the dotted curve in the legend."""

LEAST_COLUMNS = 8


@dataclass(frozen=True)
class _Scale:
    """What the corners of the picture stand for."""

    first: float
    last: float
    low: float
    high: float

    def across(self, step: float, cells: int) -> int:
        """Column of a step, 0 to `cells` - 1."""
        share = (step - self.first) / (self.last - self.first) if self.last > self.first else 0.0
        return round(share * (cells - 1))

    def down(self, value: float, cells: int) -> int:
        """Row of a value, 0 for the highest; the middle where all are alike."""
        share = (self.high - value) / (self.high - self.low) if self.high > self.low else 0.5
        return round(share * (cells - 1))


def chart_lines(chart: Chart, catalogue: Catalogue, *, width: int, plain: bool) -> list[str]:
    """The chart: label and legend with the newest values, the picture with its scale, the steps below."""
    dotted = None if plain else _densest(chart)
    lines = _legend(chart, dotted, catalogue, width)
    drawn = [_finite(series) for series in chart.series]
    everything = [point for points in drawn for point in points]
    if not everything:
        return lines
    values, steps = [value for _, value in everything], [step for step, _ in everything]
    scale = _Scale(min(steps), max(steps), min(values), max(values))
    rows = max(chart.rows, 2)
    labels = _labels(scale, rows)
    margin = max(map(cells_of, labels.values()))
    columns = max(width - margin - 3, LEAST_COLUMNS)
    grid = [[" "] * columns for _ in range(rows)]
    for series, points in sorted(zip(chart.series, drawn, strict=True), key=lambda each: each[0] != dotted):
        if series == dotted:
            _draw_dots(grid, points, scale)
        else:
            _draw_marks(grid, points, scale, series.mark)
    for number, row in enumerate(grid):
        lines.append(f" {pad(labels.get(number, ''), margin, right=True)} |{''.join(row).rstrip()}")
    return [*lines, _axis(scale, margin, columns)]


def series_words(series: Series, catalogue: Catalogue) -> str:
    """The newest value of a curve, and the lowest, in words."""
    points, label = _finite(series), catalogue.say(series.label)
    lost = len(series.points) - len(points)
    if not series.points:
        words = say("{label}: nothing measured yet", label=label)
    elif not points:
        words = say("{label}: {count} values, none of them a number", label=label, count=lost)
    else:
        step, last = points[-1]
        at, lowest = min(points, key=lambda point: point[1])
        words = say(
            "{label} {last} at step {step}, lowest {lowest} at step {at}",
            **{"label": label, "last": number_text(last), "step": _step(step)},
            **{"lowest": number_text(lowest), "at": _step(at)},
        )
        if lost:
            words = say("{words} ({count} values are no numbers)", words=words, count=lost)
    return one_line(catalogue.say(words))


def newest_words(series: Series, catalogue: Catalogue) -> str:
    """The newest value of a curve that has one, in two words."""
    newest = number_text(series.points[-1][1])
    return one_line(catalogue.say(say("{label} {last}", label=catalogue.say(series.label), last=newest)))


def number_text(value: float, span: float | None = None) -> str:
    """A measured value, with the digits that tell values `span` apart; by itself three digits or so."""
    size = abs(value) if span is None else span
    if not math.isfinite(value):
        return str(value)
    if size == 0:
        return f"{value:.2f}" if abs(value) >= 0.01 or value == 0 else f"{value:.1e}"
    if size < 1e-3 and abs(value) < 1e-2:
        return f"{value:.1e}"
    return f"{value:,.{min(max(2 - math.floor(math.log10(size)), 0), 6)}f}"


def _legend(chart: Chart, dotted: Series | None, catalogue: Catalogue, width: int) -> list[str]:
    """One line where it fits; else the label, and a line or more for each curve."""
    label = one_line(catalogue.say(chart.label))
    keys = [
        f"{SAMPLE if series == dotted else series.mark} {series_words(series, catalogue)}"
        for series in chart.series
    ]
    whole = "   ".join([*([label] if label else []), *keys])
    if cells_of(whole) <= width:
        return [whole]
    lines = wrap(label, width) if label else []
    for key in keys:
        first, *rest = wrap(key, width - 4)
        lines += [f"  {first}", *(f"    {line}" for line in rest)]
    return lines


def _densest(chart: Chart) -> Series | None:
    return max(chart.series, key=lambda series: len(_finite(series)), default=None)


def _finite(series: Series) -> Points:
    return tuple(point for point in series.points if all(map(math.isfinite, point)))


def _by_column(points: Points, scale: _Scale, columns: int) -> dict[int, float]:
    """The mean of what falls into each column."""
    found: dict[int, list[float]] = {}
    for step, value in points:
        found.setdefault(scale.across(step, columns), []).append(value)
    return {column: sum(values) / len(values) for column, values in sorted(found.items())}


def _draw_marks(grid: list[list[str]], points: Points, scale: _Scale, mark: str) -> None:
    for column, value in _by_column(points, scale, len(grid[0])).items():
        grid[scale.down(value, len(grid))][column] = mark


def _draw_dots(grid: list[list[str]], points: Points, scale: _Scale) -> None:
    """A line through the means: each dot column is filled from where the one before it ended."""
    columns, rows = 2 * len(grid[0]), 4 * len(grid)
    bits: dict[tuple[int, int], int] = {}
    before: tuple[int, int] | None = None
    for column, value in _by_column(points, scale, columns).items():
        here = (column, scale.down(value, rows))
        for x, y in _between(before or here, here):
            bits[y // 4, x // 2] = bits.get((y // 4, x // 2), 0) | DOTS[y % 4][x % 2]
        before = here
    for (row, column), dots in bits.items():
        grid[row][column] = chr(0x2800 + dots)


def _between(start: tuple[int, int], end: tuple[int, int]) -> list[tuple[int, int]]:
    """The dots of a straight line, both ends with it."""
    across, down = end[0] - start[0], end[1] - start[1]
    count = max(abs(across), abs(down), 1)
    return [
        (start[0] + round(across * i / count), start[1] + round(down * i / count)) for i in range(count + 1)
    ]


def _labels(scale: _Scale, rows: int) -> dict[int, str]:
    span = scale.high - scale.low
    if span == 0:
        return {scale.down(scale.high, rows): number_text(scale.high)}
    middle = rows // 2
    half = scale.high - span * middle / (rows - 1)
    labels = {0: number_text(scale.high, span), rows - 1: number_text(scale.low, span)}
    return labels if rows < 3 else {**labels, middle: number_text(half, span)}


def _axis(scale: _Scale, margin: int, columns: int) -> str:
    """First and last step under their columns."""
    first, last = _step(scale.first), _step(scale.last)
    space = " " * (margin + 3)
    if scale.first == scale.last or cells_of(first) + cells_of(last) + 2 > columns:
        return (space + last)[: margin + 3 + columns]
    return space + first + pad(last, columns - cells_of(first), right=True)


def _step(step: float) -> str:
    return f"{step:,.0f}" if step == int(step) else f"{step:,.2f}"
