"""The fields of a page: each takes one answer by keys alone and keeps what is typed while the page moves on.

- Moving never chooses; Space and Enter do.
- What is chosen is a mark in brackets, what has the focus is `>` and reverse.
- A page that is shown again changes only what its person has not touched.
"""

import asyncio
import unicodedata
from collections.abc import Mapping, Sequence

from rich.console import RenderableType
from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.geometry import Region
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Input

from appliance.locale import Catalogue
from appliance.wizard.cells import pad, shorten, visible, wrap
from appliance.wizard.full.rows import FOCUSED, Rows, Said, Taken, indented, said
from appliance.wizard.page import Field, Option

GAP = 2
MOST_LABEL = 34


class Answered(Message):
    """A person has answered a field."""

    def __init__(self, view: "FieldView", value: str) -> None:
        super().__init__()
        self.view = view
        self.value = value


class FieldView:
    """What every field on the screen has in common; a widget beside it draws it."""

    field: Field
    catalogue: Catalogue
    wrong = ""
    """What was wrong with the last answer, which the flow did not keep."""
    told: str
    """The answer that the flow was told last, or gave."""
    waits = False
    """Whether the flow has yet to say what it makes of that."""

    @property
    def typed(self) -> str:
        """The answer as it stands on the screen."""
        return self.told

    async def unsaid(self) -> str | None:
        """An answer that stands on the screen and was not told, once every key has arrived there; None where
        there is none.
        """
        return None

    @property
    def problem(self) -> str:
        """What to say under the field, in English."""
        return self.wrong or self.field.problem

    def show(self, field: Field, catalogue: Catalogue) -> None:
        """Draw `field` as the flow has it now; what the person is typing stays."""
        raise NotImplementedError

    def tell(self, value: str) -> Answered:
        """The message that says `value` to the flow."""
        self.wrong, self.told, self.waits = "", value, True
        return Answered(self, value)

    def hear(self, value: str, problem: str) -> None:
        """How the flow took `value`; the page that it gives then is shown next."""
        if value == self.told:
            self.wrong, self.waits = problem, False

    def set_label_width(self, cells: int) -> None:
        """Leave `cells` for labels, so that fields stand under each other."""

    def label_cells(self) -> int:
        """How many cells this field's label wants; 0 when it does not stand in the column of labels."""
        return 0

    def widget(self) -> Widget:
        """The widget that takes the focus for this field."""
        raise NotImplementedError


def problem_lines(problem: str, catalogue: Catalogue, indent: int, width: int) -> list[Text]:
    """What is wrong, under a field; nothing when nothing is."""
    return indented("! " + said(problem, catalogue), indent, width, "bold red") if problem else []


class ChoiceField(Rows, FieldView, can_focus=True):
    """One of several lines."""

    def __init__(self, field: Field, catalogue: Catalogue) -> None:
        super().__init__()
        self.field, self.catalogue, self.told = field, catalogue, field.value
        self.cursor = self._chosen_index()
        self._row_of: list[int] = []

    def widget(self) -> Widget:
        return self

    def show(self, field: Field, catalogue: Catalogue) -> None:
        at = self._option_at_cursor()
        self.field, self.catalogue = field, catalogue
        if not self.waits:
            self.told = field.value
        values = [option.value for option in field.options]
        self.cursor = values.index(at) if self.has_focus and at in values else self._chosen_index()
        self.renew()

    def lines(self, width: int) -> Sequence[RenderableType]:
        lines = [
            Text(f" {line}", style="bold") for line in wrap(said(self.field.label, self.catalogue), width - 2)
        ]
        rows = [self._cells(option) for option in self.field.options]
        widths = _column_widths([*rows, self._header()], width - 5)
        if self.field.columns:
            lines.append(Text("     " + _columns(self._header(), widths), style="dim"))
        self._row_of = []
        for index, (option, cells) in enumerate(zip(self.field.options, rows, strict=True)):
            self._row_of.append(len(lines))
            lines += self._option_lines(index, option, _columns(cells, widths), width)
        return lines + problem_lines(self.problem, self.catalogue, 5, width)

    def _option_lines(self, index: int, option: Option, text: str, width: int) -> list[Text]:
        state = "(*)" if option.value == self.told else "(-)" if option.problem else "( )"
        here = self.has_focus and index == self.cursor
        style = "dim" if option.problem else "bold" if option.value == self.told else ""
        line = Text(f"{'>' if here else ' '}{state} ", style=style)
        line.append(text.rstrip(), style=FOCUSED if here else "")
        note = said(option.note, self.catalogue)
        behind = pad("", 5 + Text(text).cell_len + GAP - line.cell_len)
        own_line = line.cell_len + Text(behind + note).cell_len >= width
        if note and not own_line:
            line.append(behind + note)
        lines = [line, *(indented(note, 7, width) if own_line else [])]
        if option.problem:
            lines += indented(said(option.problem, self.catalogue), 7, width)
        return lines

    def _cells(self, option: Option) -> list[str]:
        cells = [said(cell, self.catalogue) for cell in self.catalogue.say(option.label).split("\t")]
        return cells if self.field.columns else [" ".join(cells)]

    def _header(self) -> list[str]:
        return [said(column, self.catalogue) for column in self.field.columns]

    def _chosen_index(self) -> int:
        values = [option.value for option in self.field.options]
        if self.field.value in values:
            return values.index(self.field.value)
        return next((i for i, option in enumerate(self.field.options) if not option.problem), 0)

    def _option_at_cursor(self) -> str | None:
        options = self.field.options
        return options[self.cursor].value if self.cursor < len(options) else None

    def take_key(self, key: str) -> Taken:
        """Arrows move; Space and Enter choose; Enter on what is chosen goes on."""
        last = len(self.field.options) - 1
        match key:
            case "up" if self.cursor > 0:
                self._go(self.cursor - 1)
            case "down" if self.cursor < last:
                self._go(self.cursor + 1)
            case "home" if last >= 0:
                self._go(0)
            case "end" if last >= 0:
                self._go(last)
            case "enter" if self._option_at_cursor() == self.told:
                return "done"
            case "space" | "enter":
                self._choose()
            case _:
                return ""
        return "taken"

    def _go(self, cursor: int) -> None:
        self.cursor = cursor
        self.renew()
        self.reveal()

    def reveal(self) -> None:
        """Scroll so that the line under the cursor is seen."""
        if self.cursor < len(self._row_of) and isinstance(self.parent, Widget):
            y = self.virtual_region.y + self._row_of[self.cursor]
            above = 2 if self.cursor == 0 else 0  # the label with the first line
            self.parent.scroll_to_region(Region(0, y - above, 1, 1 + above), animate=False, force=True)

    def on_click(self, event: events.Click) -> None:
        """A click moves and chooses."""
        rows = [index for index, row in enumerate(self._row_of) if row <= event.y]
        if rows:
            self._go(rows[-1])
            self._choose()

    def _choose(self) -> None:
        if self.cursor >= len(self.field.options):
            return
        option = self.field.options[self.cursor]
        if option.problem:
            self.wrong = option.problem
        elif option.value != self.told:
            self.post_message(self.tell(option.value))
        self.renew()


def _column_widths(rows: list[list[str]], width: int) -> list[int]:
    """Cells of each column; the widest give way first where they do not fit."""
    count = max((len(row) for row in rows), default=0)
    widths = [max((Text(row[i]).cell_len for row in rows if i < len(row)), default=0) for i in range(count)]
    over = sum(widths) + GAP * (count - 1) - width
    while over > 0 and max(widths) > 6:
        widest = widths.index(max(widths))
        widths[widest] -= 1
        over -= 1
    return widths


def _columns(cells: list[str], widths: list[int]) -> str:
    fitted = [pad(shorten(cell, cells_), cells_) for cell, cells_ in zip(cells, widths, strict=False)]
    return (" " * GAP).join(fitted)


class YesNoField(Rows, FieldView, can_focus=True):
    """`[x]` or `[ ]`."""

    def __init__(self, field: Field, catalogue: Catalogue) -> None:
        super().__init__()
        self.field, self.catalogue, self.told = field, catalogue, field.value

    def widget(self) -> Widget:
        return self

    def show(self, field: Field, catalogue: Catalogue) -> None:
        self.field, self.catalogue = field, catalogue
        if not self.waits:
            self.told = field.value
        self.renew()

    def lines(self, width: int) -> Sequence[RenderableType]:
        box = "[x]" if self.told == "yes" else "[ ]"
        first, *more = wrap(said(self.field.label, self.catalogue), width - 6)
        line = Text(f"{'>' if self.has_focus else ' '}{box} ")
        line.append(first, style=FOCUSED if self.has_focus else "")
        rest = [Text("     " + each) for each in more]
        return [line, *rest, *problem_lines(self.problem, self.catalogue, 5, width)]

    def take_key(self, key: str) -> Taken:
        """Space changes it; Enter goes on."""
        if key == "space":
            self._toggle()
            return "taken"
        return "done" if key == "enter" else ""

    def on_click(self) -> None:
        """A click changes it."""
        self._toggle()

    def _toggle(self) -> None:
        self.post_message(self.tell("no" if self.told == "yes" else "yes"))
        self.renew()


ENTRY_KEYS: Mapping[str, Taken] = {"up": "backward", "down": "forward", "enter": "done"}


class Entry(Input):
    """One line to type in. No copying out: on many terminals that would reach the administrator's own PC."""

    DEFAULT_CSS = """
    Entry { width: 1fr; }
    Entry > .input--cursor { text-style: reverse; background: ansi_default; color: ansi_default; }
    """

    def __init__(self, value: str, *, number: bool = False, enter_leaves: bool = True) -> None:
        self.number, self.enter_leaves = number, enter_leaves
        super().__init__(value, compact=True, select_on_focus=False)
        self.cursor_blink = False

    def action_copy(self) -> None:
        """Nothing."""

    def action_cut(self) -> None:
        """Nothing."""

    def on_paste(self, event: events.Paste) -> None:
        """All that is pasted, as one line: of several, Textual's own would silently take the first."""
        event.prevent_default()
        event.stop()
        lines = (line.strip() for line in event.text.replace("\t", " ").splitlines())
        self.replace(" ".join(line for line in lines if line), *self.selection)

    def validate_value(self, value: str) -> str:
        """With an input method on, full-width figures arrive for plain ones."""
        return unicodedata.normalize("NFKC", value) if self.number else value

    async def arrived(self) -> None:
        """Come back when every key that was pressed before is in the line."""
        done = asyncio.Event()
        if self.call_later(done.set):
            await done.wait()

    def take_key(self, key: str) -> Taken:
        """Up and Down leave the line, Enter too; what was typed counts once the line is left."""
        return ENTRY_KEYS.get(key, "") if key != "enter" or self.enter_leaves else ""


class LineLabel(Rows):
    """The label before a line to type in."""

    def __init__(self, view: "LineField") -> None:
        super().__init__(classes="label")
        self.view = view

    def lines(self, width: int) -> Sequence[RenderableType]:
        mark = ">" if self.view.is_typing else " "
        first, *more = wrap(said(self.view.field.label, self.view.catalogue), max(width - 2, 2))
        return [Text(mark + first), *(Text(" " + line) for line in more)]


class ProblemLines(Rows):
    """What is wrong with a field, under it."""

    def __init__(self, view: FieldView) -> None:
        super().__init__()
        self.view = view
        self.indent = 5

    def lines(self, width: int) -> Sequence[RenderableType]:
        return problem_lines(self.view.problem, self.view.catalogue, self.indent, width)


class LineField(Vertical, FieldView):
    """A line of text or a number, its label before it, what is wrong under it."""

    DEFAULT_CSS = """
    LineField { height: auto; }
    LineField > Horizontal { height: auto; }
    LineField .label { width: 20; }
    LineField .edge { width: 1; height: 1; }
    LineField .typed { width: 1fr; max-width: 62; height: 1; }
    LineField.number .typed { width: 16; }
    """

    def __init__(self, field: Field, catalogue: Catalogue) -> None:
        super().__init__(classes="number" if field.kind == "number" else "")
        self.field, self.catalogue, self.told = field, catalogue, field.value
        self.entry = Entry(_on_one_line(field.value), number=field.kind == "number")
        self._label = LineLabel(self)
        self._problem = ProblemLines(self)
        self._kept, self._shown = field.value, self.entry.value

    def compose(self) -> ComposeResult:
        """Label, brackets, line; the problem below."""
        opening, closing = Said(classes="edge"), Said(classes="edge")
        opening.tell(Text("["))
        closing.tell(Text("]"))
        with Horizontal():
            yield self._label
            with Horizontal(classes="typed"):
                yield opening
                yield self.entry
                yield closing
        yield self._problem

    def widget(self) -> Widget:
        return self.entry

    @property
    def is_typing(self) -> bool:
        """Whether the cursor is in the line."""
        return self.entry.has_focus

    @property
    def typed(self) -> str:
        typed = self.entry.value
        if typed == self._shown:
            return self._kept
        for character in set(self._kept) - {" ", "\t"}:  # what stood for it on the line is it again
            typed = typed.replace(_on_one_line(character), character)
        return typed

    def show(self, field: Field, catalogue: Catalogue) -> None:
        untouched = self.typed == self.told and not self.wrong and not self.waits
        before, self.field, self.catalogue = self.field, field, catalogue
        if untouched and (not self.is_typing or field.value != before.value):
            self._take(field.value)
        self._label.renew()
        self._problem.renew()

    def set_label_width(self, cells: int) -> None:
        self._label.styles.width = self._problem.indent = cells

    def label_cells(self) -> int:
        return min(Text(said(self.field.label, self.catalogue)).cell_len, MOST_LABEL) + 3

    async def unsaid(self) -> str | None:
        await self.entry.arrived()
        return self.typed if self.typed != self.told else None

    def commit(self) -> None:
        """Tell the flow what was typed, if that is new."""
        if self.typed != self.told:
            self.post_message(self.tell(self.typed))

    def on_input_changed(self, event: Input.Changed) -> None:
        """What was wrong with another answer need not be wrong with this one."""
        event.stop()
        if self.wrong and self.typed != self.told:
            self.wrong = ""
            self._problem.renew()

    def on_mount(self) -> None:
        """Follow the cursor into the line and out of it."""
        self.watch(self.entry, "has_focus", self._entered_or_left, init=False)

    def _entered_or_left(self, has_focus: bool) -> None:
        self._label.renew()
        if not has_focus:  # whoever leaves the line has answered
            self.commit()

    def _take(self, value: str) -> None:
        self.told = self._kept = value
        self._shown = _on_one_line(value)
        if self.entry.value != self._shown:
            self.entry.value = self._shown
            self.entry.cursor_position = len(self._shown)


def _on_one_line(value: str) -> str:
    """A value of several lines as it can stand in one; nothing in it acts on the terminal."""
    return visible(value.replace("\n", "\\n"), keep="")


def make_field(field: Field, catalogue: Catalogue) -> "ChoiceField | YesNoField | LineField | Widget":
    """The widget for a field of the page."""
    if field.kind == "choice":
        return ChoiceField(field, catalogue)
    if field.kind == "yesno":
        return YesNoField(field, catalogue)
    if field.kind == "files":
        from appliance.wizard.full.picker import FilesField

        return FilesField(field, catalogue)
    return LineField(field, catalogue)
