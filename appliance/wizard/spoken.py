"""Blocks of a page in words: what a bar, a chart or a histogram shows is said, not drawn.

For screen readers, which read a row of marks out one by one, and for logs. States come first.
"""

from appliance.locale import Catalogue
from appliance.sentence import say
from appliance.wizard.cells import one_line, wrap
from appliance.wizard.chart import newest_words, series_words
from appliance.wizard.draw import mark, percent_text, share_of, text_lines
from appliance.wizard.page import Bar, Block, Chart, Histogram, Page


def spoken(block: Block, catalogue: Catalogue, *, width: int) -> list[str]:
    """`block` as lines of words, none wider than `width`."""
    match block:
        case Bar():
            return wrap(bar_words(block, catalogue), width)
        case Chart():
            label = [one_line(catalogue.say(block.label))] if block.label else []
            curves = [f"  {series_words(each, catalogue)}" for each in block.series]
            return [line for text in (*label, *curves) for line in wrap(text, width)]
        case Histogram():
            label = [one_line(catalogue.say(block.label))] if block.label else []
            rows = [
                "  "
                + one_line(catalogue.say(say("{label}: {count:,}", label=catalogue.say(name), count=count)))
                for name, count in block.rows
            ]
            return [line for text in (*label, *rows) for line in wrap(text, width)]
        case _:
            return text_lines(block, catalogue, width=width, plain=True)


def bar_words(bar: Bar, catalogue: Catalogue) -> str:
    """How far something is, in one sentence."""
    share = share_of(bar)
    if share is None:
        parts = [mark("busy", catalogue), bar.label, bar.text]
    else:
        parts = [bar.label, percent_text(share, catalogue), bar.text]
    return one_line("  ".join(catalogue.say(part) for part in parts if part))


def status_words(page: Page, catalogue: Catalogue) -> str:
    """What is going on, in one line: bars and curves; where there are none, the page's verdict."""
    parts = [bar_words(block, catalogue) for block in page.blocks if isinstance(block, Bar)]
    for chart in page.blocks:
        if isinstance(chart, Chart):
            parts += [newest_words(series, catalogue) for series in chart.series if series.points]
    return "; ".join(parts) if parts else verdict_words(page, catalogue)


def verdict_words(page: Page, catalogue: Catalogue) -> str:
    """How the page stands: a word in brackets first, where there is something to say."""
    text = one_line(catalogue.say(page.verdict))
    return text if page.level == "info" else f"{mark(page.level, catalogue)} {text}"
