"""Buttons, and the row of a page's actions: Back left, what leads on right, the rest between."""

from collections.abc import Sequence

from rich.cells import cell_len
from rich.console import RenderableType
from rich.text import Text
from textual.containers import Horizontal, Vertical
from textual.message import Message

from appliance.locale import Catalogue
from appliance.sentence import say
from appliance.wizard.full.rows import FOCUSED, Rows, Taken, said
from appliance.wizard.page import Action

LOCKED = say("locked")
GAPS = 2
"""Cells of the two gaps of a row, which are never narrower than one."""


class Pressed(Message):
    """A button was pressed."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name


class PushButton(Rows, can_focus=True):
    """`[ Next ]`; with the focus `>[ Next ]<`, in reverse."""

    DEFAULT_CSS = "PushButton { height: 1; }"

    def __init__(self, action: str, text: str, *, bare: bool = False, style: str = "") -> None:
        super().__init__()
        self.action_name = action
        self._bare = bare
        self.set_text(text, style)

    def set_text(self, text: str, style: str = "") -> None:
        """What it says."""
        self.text, self._style = (text if self._bare else f"[ {text} ]"), style
        self.styles.width = cell_len(self.text) + 2
        self.renew()

    @property
    def cells(self) -> int:
        """How wide it is."""
        return cell_len(self.text) + 2

    def lines(self, width: int) -> Sequence[RenderableType]:
        if not self.has_focus:
            return [Text(f" {self.text} ", style=self._style)]
        return [Text(">").append(self.text, FOCUSED).append(" " if self._bare else "<")]

    def take_key(self, key: str) -> Taken:
        """Enter and Space press it; arrows go elsewhere."""
        if key not in ("enter", "space"):
            return ""
        self.post_message(Pressed(self.action_name))
        return "taken"

    def on_click(self) -> None:
        """A click presses it."""
        self.post_message(Pressed(self.action_name))


def button_text(action: Action, catalogue: Catalogue) -> str:
    """What an action's button says: its label, its key, and which way it leads."""
    text = said(action.label, catalogue)
    if action.key:
        text += f" {action.key.upper()}"
    if action.name == "back":
        text = f"< {text}"
    elif action.name == "next":
        text += " >"
    return text


class ActionBar(Vertical):
    """The actions of a page, in one row, or in two where one is too narrow."""

    DEFAULT_CSS = """
    ActionBar { height: auto; }
    ActionBar > Horizontal { height: 1; }
    ActionBar .gap { width: 1fr; height: 1; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._shown: tuple[tuple[str, str, bool], ...] = ()
        self._buttons: dict[str, PushButton] = {}
        self._rows = 0

    @property
    def buttons(self) -> dict[str, PushButton]:
        """By the names of their actions, in the order of the screen."""
        return self._buttons

    async def show(self, actions: Sequence[Action], catalogue: Catalogue, width: int) -> None:
        """Draw `actions`; a button that has the focus keeps it."""
        texts = {action.name: self._text(action, catalogue) for action in actions}
        rows = _arrange(actions, {name: cell_len(text) + 6 for name, text in texts.items()}, width)
        shown = tuple((each.name, texts[each.name], bool(each.why_not)) for row in rows for each in row)
        if shown == self._shown and len(rows) == self._rows:
            return
        if [name for name, *_ in shown] == list(self._buttons) and len(rows) == self._rows:
            for name, text, locked in shown:
                self._buttons[name].set_text(text, "dim" if locked else "")
            self._shown = shown
            return
        self._shown, self._rows = shown, len(rows)
        focused = next((name for name, button in self._buttons.items() if button.has_focus), None)
        await self._rebuild(rows, texts)
        if focused in self._buttons:
            self.screen.set_focus(self._buttons[focused], scroll_visible=False)

    def _text(self, action: Action, catalogue: Catalogue) -> str:
        text = button_text(action, catalogue)
        return f"{text} ({said(LOCKED, catalogue)})" if action.why_not else text

    async def _rebuild(self, rows: list[list[Action]], texts: dict[str, str]) -> None:
        self._buttons = {}
        lines = []
        for row in rows:
            parts: list[Rows] = []
            for number, action in enumerate(row):
                button = PushButton(action.name, texts[action.name], style="dim" if action.why_not else "")
                self._buttons[action.name] = button
                if number and (number == 1 or number == len(row) - 1):
                    parts.append(Gap())
                parts.append(button)
            if len(row) == 1 and row[0].name != "back":
                parts.insert(0, Gap())
            lines.append(Horizontal(*parts))
        async with self.batch():
            await self.remove_children()
            await self.mount_all(lines)


class Gap(Rows):
    """Room between buttons."""

    DEFAULT_CSS = "Gap { width: 1fr; height: 1; }"

    def lines(self, width: int) -> Sequence[RenderableType]:
        return [Text("")]


def _arrange(actions: Sequence[Action], cells: dict[str, int], width: int) -> list[list[Action]]:
    """Rows of actions. What leads back and on stands in the last."""
    if not actions:
        return []
    back = [action for action in actions if action.name == "back"]
    onward = next((a for a in actions if a.default), next((a for a in actions if a.name == "next"), None))
    last = [onward] if onward and onward not in back else []
    between = [action for action in actions if action not in back and action not in last]
    rows: list[list[Action]] = [[]]
    for action in between:
        if sum(cells[each.name] for each in [*rows[-1], action]) + GAPS > width and rows[-1]:
            rows.append([])
        rows[-1].append(action)
    around = sum(cells[each.name] for each in [*back, *last])
    if sum(cells[each.name] for each in rows[-1]) + around + GAPS <= width:
        rows[-1] = [*back, *rows[-1], *last]
    else:
        rows.append([*back, *last])
    return [row for row in rows if row]
