"""Lines that a widget draws itself: cheap to change, exactly as wide as it is."""

from collections.abc import Sequence
from typing import Literal

from rich.console import RenderableType
from rich.text import Text
from textual.geometry import Region, Size
from textual.strip import Strip
from textual.widget import Widget

from appliance.locale import Catalogue
from appliance.wizard.cells import one_line, wrap

Taken = Literal["", "taken", "forward", "backward", "done"]
"""What a widget made of a key: not its own; taken; the focus is to go on, or back; on, as this is answered.

Keys are taken at once, not through the widgets' queues: what is typed ahead, on a busy box or over a slow
line, must meet the focus that the keys before it set.
"""

FOCUSED = "reverse"
"""An attribute, not a colour: it is there on every terminal and with NO_COLOR."""


class Rows(Widget):
    """A widget of whole lines. Subclasses say them in `lines`; `renew` draws what changed."""

    DEFAULT_CSS = "Rows { width: 1fr; height: auto; }"

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._drawn: list[Strip] = []
        self._drawn_width = -1

    def lines(self, width: int) -> Sequence[RenderableType]:
        """What to show, one renderable or more, in lines of at most `width` cells."""
        raise NotImplementedError

    def renew(self) -> None:
        """Draw again what changed; the layout only where the number of lines did."""
        if self._drawn_width < 0:
            return
        before, self._drawn = self._drawn, self._strips(self._drawn_width)
        if len(before) != len(self._drawn):
            self.refresh(layout=True)
            return
        changed = [y for y, (old, new) in enumerate(zip(before, self._drawn, strict=True)) if old != new]
        if changed:
            self.refresh(*(Region(0, y, self._drawn_width, 1) for y in changed))

    def take_key(self, key: str) -> Taken:
        """Do what `key` means here."""
        return ""

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        self._draw_for(width)
        return self._drawn[y] if y < len(self._drawn) else Strip.blank(width, self.rich_style)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        self._draw_for(width)
        return len(self._drawn)

    def watch_has_focus(self, has_focus: bool) -> None:
        """The focus shows as `>` and in reverse."""
        super().watch_has_focus(has_focus)
        self.renew()

    def _draw_for(self, width: int) -> None:
        if width != self._drawn_width:
            self._drawn, self._drawn_width = self._strips(width), width

    def _strips(self, width: int) -> list[Strip]:
        if width <= 0:
            return []
        console = self.app.console
        options = console.options.update(width=width, height=None, no_wrap=False, highlight=False)
        strips: list[Strip] = []
        for line in self.lines(width):
            for segments in console.render_lines(line, options, style=self.rich_style, pad=True):
                strips.append(Strip(segments, width))
        return strips


class Said(Rows):
    """Lines of plain text that are set from outside."""

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._said: tuple[Text, ...] = ()

    def tell(self, *lines: Text) -> None:
        """Show `lines` from now on."""
        if lines != self._said:
            self._said = lines
            self.renew()

    def lines(self, width: int) -> Sequence[RenderableType]:
        return self._said


def said(text: str, catalogue: Catalogue) -> str:
    """`text` in the person's language on one line, nothing in it acting on the terminal."""
    return one_line(catalogue.say(text))


def indented(text: str, indent: int, width: int, style: str = "") -> list[Text]:
    """`text` in lines that begin `indent` cells from the left."""
    return [Text(" " * indent + line, style=style) for line in wrap(text, max(2, width - indent - 1))]
