"""The loss curve as inline SVG: no script, no outside reference, colours from the page's style. Pure."""

import math
from collections.abc import Sequence
from html import escape
from itertools import accumulate

from appliance.report.blocks import Curve, running_window

WIDTH, HEIGHT = 720, 270
LEFT, RIGHT, TOP, BOTTOM = 52, 14, 34, 40
"""Room around the plot, in the picture's own units, as are WIDTH and HEIGHT."""

MOST_POINTS = 400
"""More steps than this are drawn as means of neighbours."""

Points = Sequence[tuple[float, float]]


def curve_svg(curve: Curve) -> str:
    """The picture; its text is escaped. `curve.losses` holds at least one finite loss."""
    window = running_window(curve.losses)
    raw = _thinned(curve.losses)
    mean = _thinned(_running_mean(curve.losses, window))
    held_out = [point for point in curve.held_out if math.isfinite(point[1])]
    last = max(step for step, _ in [*raw, *held_out])
    tick = _tick(max(loss for _, loss in [*raw, *held_out]))
    highest = tick * max(1, math.ceil(max(loss for _, loss in [*raw, *held_out]) / tick))

    def placed(points: Points) -> str:
        across, up = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
        return " ".join(
            f"{LEFT + across * step / last:.1f},{TOP + up * (1 - loss / highest):.1f}"
            for step, loss in points
        )

    parts = [*_grid(tick, highest, last), *_labels(curve, window, bool(held_out))]
    parts.append(f'<polyline class="raw" points="{placed(raw)}"/>')
    if window > 1:
        parts.append(f'<polyline class="mean" points="{placed(mean)}"/>')
    if held_out:
        parts.append(f'<polyline class="held" points="{placed(held_out)}"/>')
        for point in placed(held_out).split():
            x, y = point.split(",")
            parts.append(f'<circle class="held" cx="{x}" cy="{y}" r="3.5"/>')
    inner = "\n".join(parts)
    name = escape(f"{curve.loss_label} / {curve.step_label}")
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{name}">\n{inner}\n</svg>'


def _grid(tick: float, highest: float, last: float) -> list[str]:
    parts = []
    for number in range(round(highest / tick) + 1):
        y = TOP + (HEIGHT - TOP - BOTTOM) * (1 - number * tick / highest)
        parts.append(f'<line class="grid" x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{number * tick:.4g}</text>')
    step = max(1, round(_tick(last)))
    for number in range(int(last // step) + 1):
        x = LEFT + (WIDTH - LEFT - RIGHT) * number * step / last
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - 22}" text-anchor="middle">{number * step}</text>')
    return parts


def _labels(curve: Curve, window: int, has_held_out: bool) -> list[str]:
    """Axis names, and a key in words over the plot."""
    parts = [
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 4}" text-anchor="middle">'
        f"{escape(curve.step_label)}</text>",
        f'<text x="4" y="16">{escape(curve.loss_label)}</text>',
    ]
    key = [("raw", curve.raw_label)]
    key += [("mean", curve.mean_label)] if window > 1 else []
    key += [("held", curve.held_out_label)] if has_held_out else []
    for number, (name, text) in enumerate(key):
        x = LEFT + 110 + 200 * number
        parts.append(f'<line class="{name}" x1="{x}" y1="12" x2="{x + 24}" y2="12"/>')
        parts.append(f'<text x="{x + 30}" y="16">{escape(text)}</text>')
    return parts


def _running_mean(points: Points, window: int) -> list[tuple[float, float]]:
    """Each loss replaced by the mean of the last `window` ones."""
    sums = list(accumulate((loss for _, loss in points), initial=0.0))
    return [
        (points[place][0], (sums[place + 1] - sums[place + 1 - window]) / window)
        for place in range(window - 1, len(points))
    ]


def _thinned(points: Points) -> list[tuple[float, float]]:
    """At most MOST_POINTS finite points; each the mean of as many neighbours."""
    finite = [point for point in points if math.isfinite(point[1])]
    size = math.ceil(len(finite) / MOST_POINTS) or 1
    groups = [finite[start : start + size] for start in range(0, len(finite), size)]
    return [(group[-1][0], sum(loss for _, loss in group) / len(group)) for group in groups]


def _tick(largest: float) -> float:
    """A round distance, 1, 2 or 5 times a power of ten, that fits four to ten times into `largest`."""
    if largest <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(largest / 4))
    return next(power * each for each in (5, 2, 1) if power * each <= largest / 4)
