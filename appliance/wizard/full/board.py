"""The screen that shows pages: fixed lines around a body that scrolls. Knows no particular page."""

from collections.abc import Callable, Sequence

from rich.console import RenderableType
from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.containers import Horizontal, VerticalScroll
from textual.screen import Screen
from textual.widget import Widget

from appliance.locale import Catalogue
from appliance.sentence import say
from appliance.wizard.cells import fold
from appliance.wizard.draw import render
from appliance.wizard.full import frame
from appliance.wizard.full.buttons import ActionBar, PushButton
from appliance.wizard.full.fields import ChoiceField, Entry, FieldView, make_field
from appliance.wizard.full.rows import Rows, Said, Taken, said
from appliance.wizard.page import Action, Block, Level, Page, Paragraph

HELP_KEYS = frozenset(("question_mark", "fullwidth_question_mark"))
"""With a Chinese input method on, the second arrives."""

EMPTY = Page("", "", 0, 0, (), (), (), (), "", "info")


class BlockView(Rows):
    """One block of the page."""

    def __init__(self, block: Block, catalogue: Catalogue, *, plain: bool) -> None:
        super().__init__()
        self.block, self._catalogue, self._plain = block, catalogue, plain

    def show(self, block: Block, catalogue: Catalogue) -> None:
        """Draw `block`, if it is another."""
        if block != self.block or catalogue is not self._catalogue:
            self.block, self._catalogue = block, catalogue
            self.renew()

    def lines(self, width: int) -> Sequence[RenderableType]:
        return [render(self.block, self._catalogue, width=width, plain=self._plain)]


class Board(Screen[None]):
    """Shows a page; tells the program what was answered and pressed."""

    AUTO_FOCUS = ""

    DEFAULT_CSS = """
    Board { layout: vertical; background: ansi_default; }
    Board .line { height: 1; width: 1fr; }
    Board #body { height: 1fr; scrollbar-size: 0 0; padding: 0 1 0 0; }
    Board BlockView { margin: 0 0 0 1; }
    Board .after-text { margin: 1 0 0 0; }
    Board BlockView.after-text { margin: 1 0 0 1; }
    Board .airy BlockView { margin: 1 0 0 1; }
    Board .airy BlockView:first-of-type { margin: 0 0 0 1; }
    Board .airy BlockView.after-text { margin: 1 0 0 1; }
    Board #keys { height: 1; }
    Board #keys Said { width: auto; height: 1; }
    """

    def __init__(self, *, plain: bool, chinese: bool) -> None:
        super().__init__()
        self.plain, self.chinese = plain, chinese
        self.page = EMPTY
        self.catalogue: Catalogue
        self.working = ""
        """What is being done, in English; empty: nothing."""
        self._notice = ""
        """What to say in place of the page's verdict until the answers are right."""
        self._header, self._rule = Said(classes="line"), Said(classes="line")
        self._hint, self._sight = Said(classes="line"), Said(classes="line")
        self._verdict, self._keys = Said(classes="line"), Said()
        self._keys_end = Said()
        self._help_key, self._language_key = (
            PushButton("help", "", bare=True),
            PushButton("language", "", bare=True),
        )
        self.body = VerticalScroll(id="body", can_focus=False)
        self.bar = ActionBar()
        self._blocks: list[BlockView] = []
        self._fields: dict[str, Widget] = {}
        self._intro = 0
        self._program, self._user = frame.program_name(), frame.user_name()

    def compose(self) -> ComposeResult:
        """Where am I; the page; actions; how it stands; keys."""
        yield self._header
        yield self._rule
        yield self.body
        yield self._hint
        yield self.bar
        yield self._sight
        yield self._verdict
        with Horizontal(id="keys"):
            yield self._keys
            yield self._help_key
            yield self._language_key
            yield self._keys_end

    # showing

    @property
    def views(self) -> list[FieldView]:
        """The fields on the screen, from top to bottom."""
        return [view for view in self._fields.values() if isinstance(view, FieldView)]

    def view(self, name: str) -> FieldView | None:
        """The field called `name`, if it is on the screen."""
        found = self._fields.get(name)
        return found if isinstance(found, FieldView) else None

    def action(self, name: str) -> Action | None:
        """The page's action called `name`."""
        return next((action for action in self.page.actions if action.name == name), None)

    async def show(self, page: Page, catalogue: Catalogue) -> None:
        """Show `page`: a new one from its top, the same one by what changed in it."""
        is_new = page.name != self.page.name
        pressed = next((name for name, each in self.bar.buttons.items() if each.has_focus), "")
        self.page, self.catalogue = page, catalogue
        if is_new or not any(view.wrong for view in self.views):
            self._notice = ""
        if is_new or not self._fits(page):
            focused = "" if is_new else self._focused_field()
            await self._build(page, keep=not is_new)
            if focused and (view := self.view(focused)):
                self.set_focus(view.widget(), scroll_visible=False)
            elif focused:
                self._focus_first()  # its field is gone: never leave the focus to chance
        else:
            for view, field in zip(self.views, page.fields, strict=True):
                view.show(field, catalogue)
            for shown, block in zip(self._blocks, _in_order(page)[2], strict=True):
                shown.show(block, catalogue)
        self._align()
        await self.bar.show(page.actions, catalogue, self.size.width)
        if pressed and pressed not in self.bar.buttons and not is_new:
            self.focus_onward()
        self.tell()
        if is_new:
            self.body.scroll_home(animate=False, force=True)
            self._focus_first()
        self._tell_sight_later()

    def _fits(self, page: Page) -> bool:
        """Whether the widgets on the screen can show `page`."""
        kinds = [(field.name, field.kind) for field in page.fields]
        blocks = _in_order(page)[2]
        return (
            kinds == [(view.field.name, view.field.kind) for view in self.views]
            and len(blocks) == len(self._blocks)
            and _in_order(page)[0] == self._intro
        )

    async def _build(self, page: Page, *, keep: bool) -> None:
        """Widgets for `page`; fields that stay are kept, with what is typed in them, in their order."""
        self._intro, _, blocks = _in_order(page)
        kept = {name: widget for name, widget in self._fields.items() if keep and self._stays(name, page)}
        self._fields = {}
        for field in page.fields:
            widget = kept.get(field.name) or make_field(field, self.catalogue)
            if field.name in kept and isinstance(widget, FieldView):
                widget.show(field, self.catalogue)
            self._fields[field.name] = widget
        views = [BlockView(block, self.catalogue, plain=self.plain) for block in blocks]
        for view in views[self._intro :][:1]:
            view.set_class(bool(page.fields), "after-text")
        for widget in [*self._fields.values()][:1]:
            widget.set_class(bool(self._intro), "after-text")
        async with self.batch():
            gone = [child for child in self.body.children if child not in kept.values()]
            await self.body.remove_children(gone)
            self._blocks = views
            order: list[Widget] = [*views[: self._intro], *self._fields.values(), *views[self._intro :]]
            for number, widget in enumerate(order):
                if widget.parent is None:
                    before = number if number < len(self.body.children) else None
                    await self.body.mount(widget, before=before)
                elif self.body.children[number] is not widget:
                    self.body.move_child(widget, before=number)

    def _stays(self, name: str, page: Page) -> bool:
        view = self.view(name)
        return view is not None and any(f.name == name and f.kind == view.field.kind for f in page.fields)

    def _align(self) -> None:
        cells = max((view.label_cells() for view in self.views), default=0)
        for view in self.views:
            view.set_label_width(cells)

    def tell(self) -> None:
        """Draw the fixed lines."""
        width, catalogue, page = self.size.width, self.catalogue, self.page
        self._header.tell(frame.header(page, self._program, self._user, catalogue, width))
        self._rule.tell(frame.rule(width, plain=self.plain))
        level: Level = "busy" if self.working else "fail" if self._notice else page.level
        text = self._notice or page.verdict
        if self.working:
            text = say("Working: {what}", what=catalogue.say(self.working))
        self._verdict.tell(frame.verdict(level, text, catalogue, width))
        self._tell_keys()
        self.tell_sight()
        self.tell_hint()

    def set_working(self, what: str) -> None:
        """Say that `what` is being done; empty: it is done."""
        self.working = what
        self.tell()

    def warn(self, text: str) -> None:
        """Say `text` in place of how the page stands, until the answers are right."""
        self._notice = text
        self.tell()

    def _tell_keys(self) -> None:
        catalogue = self.catalogue
        parts = [frame.MOVE, frame.SELECT] + ([frame.BACK] if self.action("back") else [])
        start = " " + "  ".join(said(part, catalogue) for part in parts) + " "
        end = [frame.LEAVE] if self.action("leave") else []
        end += [frame.REDRAW] if self.size.width >= 100 else []
        self._keys.styles.width = Text(start).cell_len
        self._keys.tell(Text(start))
        self._help_key.set_text(said(frame.HELP, catalogue))
        self._language_key.set_text(frame.other_language(catalogue, chinese=self.chinese))
        rest = " " + "  ".join(said(part, catalogue) for part in end)
        self._keys_end.styles.width = "1fr"
        self._keys_end.tell(Text(rest))

    def tell_sight(self) -> None:
        """Say whether there is more of the body than is seen."""
        above = self.body.scroll_offset.y > 0
        below = self.body.scroll_offset.y < self.body.max_scroll_y
        text = frame.out_of_sight(above, below, self.catalogue)
        self._sight.tell(frame.rule(self.size.width, plain=self.plain, text=text))

    def tell_hint(self) -> None:
        """One line about what has the focus: a field's help, or why an action cannot be taken."""
        text = ""
        focused = self.focused
        if isinstance(focused, PushButton):
            action = self.action(focused.action_name)
            why_not = action.why_not if action else ""
            text = "" if why_not == self.page.verdict else said(why_not, self.catalogue)  # told once, below
        elif view := self.focused_view():
            text = said(view.field.help, self.catalogue)
        self._hint.tell(Text(" " + shorten_end(text, self.size.width - 2), style="dim"))

    # where the focus is

    def focused_view(self) -> FieldView | None:
        """The field that has the focus."""
        widget: Widget | None = self.focused
        while widget is not None and widget is not self:
            if isinstance(widget, FieldView):
                return widget
            widget = widget.parent if isinstance(widget.parent, Widget) else None
        return None

    def _focused_field(self) -> str:
        view = self.focused_view()
        return view.field.name if view else ""

    def _focus_first(self) -> None:
        """What needs an answer first; else what leads on, else what changes nothing."""
        views = sorted(self.views, key=lambda view: not view.problem)
        if views:
            self.set_focus(views[0].widget())
        else:
            self.focus_onward()

    def focus_onward(self) -> None:
        """The action that leads on."""
        if button := self._onward():
            self.set_focus(button, scroll_visible=False)

    def _onward(self) -> PushButton | None:
        default = next((action.name for action in self.page.actions if action.default), "next")
        buttons = self.bar.buttons
        return buttons.get(default) or buttons.get("leave") or next(iter(buttons.values()), None)

    # keys

    def on_mount(self) -> None:
        """The line under the actions follows the scrolling."""
        self.watch(self.body, "scroll_y", self._tell_sight_later, init=False)
        self.watch(self.body, "virtual_size", self._tell_sight_later, init=False)

    def _tell_sight_later(self) -> None:
        self.call_after_refresh(self._tell_sight_if_shown)

    def _tell_sight_if_shown(self) -> None:
        if self.page is not EMPTY:
            self._give_air()
            self.tell_sight()

    def _give_air(self) -> None:
        """A line between the blocks, where all of the page is seen with it."""
        used = max((child.virtual_region.bottom for child in self.body.children), default=0)
        room = self.body.size.height
        if self.body.has_class("airy"):
            self.body.set_class(used <= room, "airy")
        else:
            self.body.set_class(used + len(self._blocks) + 1 <= room, "airy")

    async def on_resize(self) -> None:
        """Fixed lines and actions fill the new width."""
        if self.page is not EMPTY:
            await self.bar.show(self.page.actions, self.catalogue, self.size.width)
            self.tell()
            self.call_after_refresh(self._reveal)

    def _reveal(self) -> None:
        if isinstance(self.focused, ChoiceField):
            self.focused.reveal()
        elif self.focused is not None and self.focused_view():
            self.focused.scroll_visible(animate=False)
        self._tell_sight_if_shown()

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        """Say what the focus is on."""
        if self.page is not EMPTY:
            self.tell_hint()
            if isinstance(event.widget, ChoiceField):
                self.call_after_refresh(event.widget.reveal)

    def take_key(self, key: str) -> bool:
        """Do what `key` means for the page; False: it is not one of the page's."""
        widget = self.focused
        taken: Taken = widget.take_key(key) if isinstance(widget, Rows | Entry) else ""
        match taken:
            case "taken":
                return True
            case "forward" | "done":
                self._go_on(done=taken == "done")
                return True
            case "backward":
                self.focus_previous()
                return True
        match key:
            case "tab":
                self.focus_next()
            case "shift+tab":
                self.focus_previous()
            case "up" | "down" | "left" | "right" if isinstance(widget, PushButton):
                self._leave_button(key)
            case "up":
                self.focus_previous()
            case "down":
                self._go_on(done=False)
            case "pagedown":
                self.body.scroll_page_down(animate=False, force=True)
            case "pageup":
                self.body.scroll_page_up(animate=False, force=True)
            case "enter" if widget is None:
                self.focus_onward()
            case _:
                return False
        return True

    def _go_on(self, *, done: bool) -> None:
        """A field is done, or is left by an arrow."""
        views = self.views
        last = bool(views) and self.focused_view() is views[-1]
        if not (last and self._is_last_stop()):
            self.focus_next()
        elif done:
            self.focus_onward()
        else:
            self._scroll_or(self.focus_onward)

    def _is_last_stop(self) -> bool:
        """Whether no other part of the field with the focus comes after it."""
        chain = self.focus_chain
        here = chain.index(self.focused) if self.focused in chain else -1
        return here + 1 >= len(chain) or isinstance(chain[here + 1], PushButton)

    def _scroll_or(self, otherwise: Callable[[], None]) -> None:
        if self.body.scroll_offset.y < self.body.max_scroll_y:
            self.body.scroll_relative(y=2, animate=False, force=True)
        else:
            otherwise()

    def _leave_button(self, key: str) -> None:
        """Arrows on a button: along the row; up to the fields, or the text where there are none."""
        in_bar = self.focused in self.bar.buttons.values()
        match key:
            case "left":
                self.focus_previous()
            case "right":
                self.focus_next()
            case "up" if not in_bar:
                self.focus_onward()
            case "up" if self.views:
                self.set_focus(self._last_stop_of_fields())
            case "up":
                self.body.scroll_relative(y=-2, animate=False, force=True)
            case "down" if in_bar and not self.views:
                self._scroll_or(lambda: self.set_focus(self._help_key))
            case "down" if in_bar:
                self.set_focus(self._help_key)

    def _last_stop_of_fields(self) -> Widget:
        stops = [widget for widget in self.focus_chain if not isinstance(widget, PushButton)]
        return stops[-1]


def _in_order(page: Page) -> tuple[int, int, tuple[Block, ...]]:
    """How many blocks stand before the fields, how many after, and all of them.

    What is asked comes right after the first words: it must be seen without scrolling, however long the rest.
    """
    intro = 0
    for block in page.blocks:
        if not page.fields or not isinstance(block, Paragraph):
            break
        intro += 1
    return intro, len(page.blocks) - intro, page.blocks


def shorten_end(text: str, cells: int) -> str:
    """`text` in at most `cells`, its end left out where it is longer: F1 shows it whole."""
    if Text(text).cell_len <= cells:
        return text
    return fold(text, max(cells - 8, 2))[0] + "... (F1)"
