"""Where the bundler's tables are printed: words of others are shown on it, and never act on the terminal."""

from typing import Any

from rich.console import Console
from rich.text import Text

from bundler.wrapping import printable


class PlainConsole(Console):
    """A console on which every text is only text: no markup, no emoji, no control characters."""

    def __init__(self, *, soft_wrap: bool = False) -> None:
        """On stdout. `soft_wrap`: lines are as long as they are."""
        super().__init__(highlight=False, markup=False, emoji=False, soft_wrap=soft_wrap)

    def render_str(self, text: str, **style: Any) -> Text:
        """What rich makes of every string, of a table's cells too."""
        return super().render_str(printable(text), **style)
