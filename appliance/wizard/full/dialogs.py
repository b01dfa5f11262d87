"""What lies over a page: a question before something ends, what went wrong, help, too small a window."""

from collections.abc import Sequence

from rich.console import RenderableType
from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import ModalScreen

from appliance.locale import Catalogue
from appliance.sentence import say
from appliance.wizard.cells import wrap
from appliance.wizard.draw import render
from appliance.wizard.full.buttons import Pressed, PushButton
from appliance.wizard.full.rows import Rows, said
from appliance.wizard.page import Block

CLOSE = say("Close")


class DialogBlocks(Rows):
    """The text of a dialog."""

    def __init__(self, blocks: Sequence[Block], catalogue: Catalogue, *, plain: bool) -> None:
        super().__init__()
        self._blocks, self._catalogue, self._plain = blocks, catalogue, plain

    def lines(self, width: int) -> Sequence[RenderableType]:
        return [render(block, self._catalogue, width=width, plain=self._plain) for block in self._blocks]


class DialogTitle(Rows):
    """The first line."""

    def __init__(self, title: str) -> None:
        super().__init__()
        self._title = title

    def lines(self, width: int) -> Sequence[RenderableType]:
        return [Text(line, style="bold") for line in wrap(self._title, width)]


class Dialog(ModalScreen[bool]):
    """Text and answers. The first answer changes nothing, has the focus, and is what Esc gives."""

    AUTO_FOCUS = ""

    DEFAULT_CSS = """
    Dialog { align: center middle; background: transparent; }
    Dialog > Vertical {
        width: 78; height: auto; max-height: 100%; padding: 0 1; border: solid ansi_default;
        background: ansi_default;
    }
    Dialog.plain > Vertical { border: ascii ansi_default; }
    Dialog VerticalScroll { height: auto; max-height: 16; margin: 1 0; scrollbar-size: 0 0; }
    Dialog Horizontal { height: 1; align-horizontal: center; }
    """

    def __init__(
        self,
        title: str,
        blocks: Sequence[Block],
        answers: Sequence[str],
        catalogue: Catalogue,
        *,
        plain: bool,
    ) -> None:
        super().__init__(classes="plain" if plain else "")
        self._title = DialogTitle(said(title, catalogue))
        self._text = DialogBlocks(blocks, catalogue, plain=plain)
        self._buttons = [
            PushButton(str(number), said(answer, catalogue)) for number, answer in enumerate(answers)
        ]
        self._at = 0
        self._scroll = VerticalScroll(self._text, can_focus=False)

    def compose(self) -> ComposeResult:
        """Title, text, answers."""
        with Vertical():
            yield self._title
            yield self._scroll
            with Horizontal():
                yield from self._buttons

    def on_mount(self) -> None:
        """The answer that changes nothing comes first, unless keys have gone on meanwhile."""
        self.set_focus(self._buttons[self._at])

    def on_resize(self, event: events.Resize) -> None:
        """Room for the text in what the window has."""
        self._scroll.styles.max_height = max(3, event.size.height - 7)

    def on_pressed(self, event: Pressed) -> None:
        """An answer was given."""
        event.stop()
        self.dismiss(event.name != "0")

    def take_key(self, key: str) -> None:
        """Enter gives the answer with the focus, Esc the first; arrows move; the text scrolls."""
        match key:
            case "escape":
                self.dismiss(False)
            case "enter" | "space":
                self.dismiss(self._at > 0)
            case "left" | "shift+tab":
                self._move(-1)
            case "right" | "tab":
                self._move(1)
            case "up":
                self._scroll.scroll_up(animate=False)
            case "down":
                self._scroll.scroll_down(animate=False)
            case "pageup":
                self._scroll.scroll_page_up(animate=False)
            case "pagedown":
                self._scroll.scroll_page_down(animate=False)

    def _move(self, by: int) -> None:
        self._at = (self._at + by) % len(self._buttons)
        self.set_focus(self._buttons[self._at])


class SmallText(Rows):
    """What to do about a window that is too small, cut to fit any."""

    def __init__(self, catalogue: Catalogue) -> None:
        super().__init__()
        self._catalogue = catalogue

    def lines(self, width: int) -> Sequence[RenderableType]:
        size = self.app.size
        text = say(
            "This window is {columns} x {rows}. The full screen needs 80 x 24. Make it larger; nothing is "
            "lost. F9 leaves; after that, islet --ui line asks line by line.",
            columns=size.width,
            rows=size.height,
        )
        return [Text(line) for line in wrap(said(text, self._catalogue), width)]


class TooSmall(ModalScreen[None]):
    """Hides everything while the window is too small; the focus and all that was typed stay below it."""

    DEFAULT_CSS = "TooSmall { background: ansi_default; }"

    def __init__(self, catalogue: Catalogue) -> None:
        super().__init__()
        self._text = SmallText(catalogue)

    def compose(self) -> ComposeResult:
        """One sentence."""
        yield self._text

    def on_resize(self) -> None:
        """It says how large the window is now."""
        self._text.renew()
