"""The program on the screen: passes answers and actions to the flow, one at a time and off the screen's loop.

- The flow is called by one thread only, and never while it takes an action: keys are seen at once.
- Nothing of a fault but its type and place is kept or shown (`crash`); nothing reaches a clipboard.
- Left by the person, by hang-up or by SIGTERM: 0. By a fault of ours: 1.
"""

import asyncio
import signal
import sys
import termios
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from rich.console import RenderableType
from rich.text import Text
from textual import events
from textual.app import App
from textual.geometry import Size

from appliance.errors import ApplianceError
from appliance.locale import Catalogue, catalogue
from appliance.sentence import say
from appliance.trace import keep_trace
from appliance.wizard.cells import wrap
from appliance.wizard.draw import failure
from appliance.wizard.front import Flow
from appliance.wizard.full import crash
from appliance.wizard.full.board import HELP_KEYS, Board
from appliance.wizard.full.buttons import Pressed
from appliance.wizard.full.dialogs import CLOSE, Dialog, TooSmall
from appliance.wizard.full.driver import quiet_driver
from appliance.wizard.full.fields import Answered, Entry
from appliance.wizard.full.keys import KEYS
from appliance.wizard.full.lane import Lane
from appliance.wizard.page import Action, Block, Fact, Facts, Heading, Page, Paragraph
from appliance.wizard.terminal import MIN_COLUMNS, MIN_ROWS, Display

TICK_S, SLOW_TICK_S = 1.0, 5.0
LAST_ACTION_S = 10.0
"""How long an action that was begun may still take when the program is told to end."""

FREE = frozenset(("back", "leave"))
"""Actions for which no answer need be right."""

MEND = say("An answer on this page is wrong. Mend it first, or go back.")
LEAVE_TITLE = say("Leave the wizard?")
LEAVE_TEXT = say("Your answers are saved. A training run goes on by itself. To come back, type: islet")
STAY, LEAVE = say("Stay"), say("Leave")
NO_CHINESE = say("This console cannot draw Chinese. Continue in English, or log in by SSH to use Chinese.")
WENT_WRONG = say("This could not be done")


class Program(App[None]):
    """One person in front of one terminal."""

    ENABLE_COMMAND_PALETTE = False
    ALLOW_SELECT = False
    INLINE_PADDING = 0
    CSS = "Board, TooSmall, Dialog > Vertical { background: ansi_default; color: ansi_default; }"

    def __init__(self, flow: Flow, display: Display, *, logs: Path | None = None) -> None:
        super().__init__(driver_class=quiet_driver(display))
        self.flow, self.terminal = flow, display
        self.board = Board(plain=display.plain, chinese=display.chinese)
        self._logs = logs
        self._lane = Lane("flow")
        self._turn = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._acting = self._taking = False
        self._held: list[events.Key] = []
        """Keys that came while it was not known yet what an action would show."""
        self._last_failure = ""

    def show(self) -> int:
        """Run to the end; the exit code."""
        crash.silence_threads(self._logs)
        try:
            self.run(mouse=not (self.terminal.plain or self.terminal.slow))
        except Exception as error:  # the last place where a fault could print what it knows
            keep_trace(error, self._logs)
            sys.stderr.write(f"{self.catalogue.say(crash.STOPPED)}\n")
            return 1
        self._lane.rest(LAST_ACTION_S if self._acting else 1.0)
        return self.return_code or 0

    # what the person reads

    @property
    def catalogue(self) -> Catalogue:
        """The person's language, as far as this terminal can draw it."""
        return catalogue(self.flow.language if self.terminal.chinese else "en")

    # start, time, end

    async def on_mount(self) -> None:
        """The first page."""
        loop = asyncio.get_running_loop()
        if not self.is_headless:
            for number in (signal.SIGHUP, signal.SIGTERM):
                loop.add_signal_handler(number, self.hang_up)
        loop.set_exception_handler(lambda _, told: self._fault(told.get("exception")))
        await self.push_screen(self.board)
        await self.board.show(await self._lane.call(self.flow.page), self.catalogue)
        self.set_interval(SLOW_TICK_S if self.terminal.slow else TICK_S, self._tick_later)
        self._check_size(self.size)

    def hang_up(self) -> None:
        """The terminal is gone, or somebody ends the program: every answer is kept already."""
        self.exit(return_code=0)

    def _tick_later(self) -> None:
        if not self.is_headless and _is_gone():
            self.hang_up()
        elif not self._turn.locked():
            self.begin(self._tick())

    async def _tick(self) -> None:
        async with self._turn:
            if await self._lane.call(self.flow.tick):
                await self._show_page()

    async def _show_page(self) -> Page:
        page = await self._lane.call(self.flow.page)
        await self.board.show(page, self.catalogue)
        return page

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Do `work` beside the screen. What fails for an operator's reason is shown, the rest is a fault."""

        async def guarded() -> None:
            try:
                await work
            except ApplianceError as error:
                self._show_failure(error)
            except asyncio.CancelledError:
                raise
            except Exception as error:
                self._fault(error)

        task = asyncio.create_task(guarded())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # answers and actions

    def on_answered(self, event: Answered) -> None:
        """A field was answered."""
        event.stop()
        self.begin(self._answer(self.board.page.name, event.view.field.name, event.value))

    async def _answer(self, page: str, field: str, value: str) -> None:
        async with self._turn:
            if self.board.page.name == page:
                await self._tell(field, value)

    async def _tell(self, field: str, value: str) -> None:
        problem = ""
        try:
            problem = await self._lane.call(self.flow.answer, field, value)
        except ApplianceError as error:
            problem = error.what
            raise
        finally:
            if view := self.board.view(field):
                view.hear(value, problem)
        await self._show_page()

    def on_pressed(self, event: Pressed) -> None:
        """A button was pressed."""
        event.stop()
        if event.name == "help":
            self.help()
        elif event.name == "language":
            self.change_language()
        else:
            self.take(event.name)

    def take(self, name: str) -> None:
        """Take the page's action `name`, once what is typed is kept."""
        if not self._acting and not self._taking and self.board.action(name):
            self._taking = True
            self.begin(self._take(name))

    async def _take(self, name: str) -> None:
        try:
            await self._keep_typed()
            await self._take_if_right(name)
        finally:
            self._taking = False
            held, self._held = self._held, []
            for event in held:
                self.post_message(event)

    async def _keep_typed(self) -> None:
        """Tell the flow what stands in lines, once all that was typed has arrived there."""
        async with self._turn:
            for view in self.board.views:
                if (value := await view.unsaid()) is not None:
                    await self._tell(view.field.name, view.tell(value).value)

    async def _take_if_right(self, name: str) -> None:
        wrong = next((view for view in self.board.views if view.wrong), None)
        if wrong is not None and name not in FREE:
            self.board.set_focus(wrong.widget())
            self.board.warn(MEND)
            return
        action = self.board.action(name)
        if action is None:
            return
        if action.why_not:
            self.board.set_focus(self.board.bar.buttons[name], scroll_visible=False)
            return
        if action.confirm is None:
            await self._act(action)
        else:
            self._ask(
                action.confirm.title,
                [Paragraph(line) for line in action.confirm.lines],
                (action.confirm.stay, action.confirm.go),
                lambda: self.begin(self._act(action)),
            )

    async def _act(self, action: Action) -> None:
        if self._acting:
            return
        async with self._turn:
            self._acting = True
            self.board.set_working(action.label)
            try:
                stays = await self._lane.call(self.flow.act, action.name)
            finally:
                self._acting = False
                self.board.set_working("")
            if stays:
                await self._show_page()
            else:
                self.exit(return_code=0)

    # dialogs

    def _ask(
        self, title: str, blocks: list[Block], answers: tuple[str, ...], go: Callable[[], None] | None = None
    ) -> None:
        def heard(goes: bool | None) -> None:
            self.call_later(lambda: self._check_size(self.size))  # it may have changed meanwhile
            if goes and go is not None:
                go()

        dialog = Dialog(title, blocks, answers, self.catalogue, plain=self.terminal.plain)
        self.push_screen(dialog, heard)

    @property
    def _is_asking(self) -> bool:
        return self.screen is not self.board

    def _show_failure(self, error: ApplianceError) -> None:
        """What happened, why, what to do. The same again, while it is read, is not shown twice."""
        if self._is_asking and str(error) == self._last_failure:
            return
        self._last_failure = str(error)
        self._ask(WENT_WRONG, [failure(error)], (CLOSE,))

    def help(self) -> None:
        """Help for this page, and for the field that has the focus."""
        if self._is_asking:
            return
        page, view = self.board.page, self.board.focused_view()
        blocks: list[Block] = [Paragraph(text) for text in page.help]
        if view is not None and view.field.help:
            blocks += [Heading(view.field.label), Paragraph(view.field.help)]
        blocks += [Heading("Keys"), Facts(tuple(Fact(key, does) for key, does in KEYS))]
        self._ask(say("Help: {title}", title=self.catalogue.say(page.title)), blocks, (CLOSE,))

    def ask_to_leave(self) -> None:
        """Ctrl+C never ends anything by itself."""
        if isinstance(self.screen, Dialog):
            self.screen.dismiss(False)
        elif isinstance(self.screen, TooSmall) or not self._is_asking:
            self._ask(LEAVE_TITLE, [Paragraph(LEAVE_TEXT)], (STAY, LEAVE), self._leave)

    def _leave(self) -> None:
        if self.board.action("leave") is None or self._acting or self._taking:
            self.exit(return_code=0)
        else:
            self.take("leave")

    def change_language(self) -> None:
        """The other language; what was typed stays."""
        if self._is_asking or self._acting:
            return
        if not self.terminal.chinese:
            self._ask("Language", [Paragraph(NO_CHINESE)], (CLOSE,))
        else:
            self.begin(self._switch_language())

    async def _switch_language(self) -> None:
        async with self._turn:
            await self._lane.call(self.flow.switch_language)
            await self._show_page()

    def redraw(self) -> None:
        """Draw everything anew: messages of the kernel or of other programs spoil a console."""
        if self._driver is not None and not self.is_headless:
            self._driver.write("\x1b[2J")
        self.screen.refresh(layout=True)

    async def on_event(self, event: events.Event) -> None:
        """Keys are taken here, in the order in which they came; what is typed goes to its line."""
        if isinstance(event, events.Key) and not event.is_forwarded and self._ready_for_keys:
            if self._taking and not self._acting:
                self._held.append(event)
                return
            if self._take_key(event):
                return
        await super().on_event(event)

    @property
    def _ready_for_keys(self) -> bool:
        return bool(self.screen_stack) and isinstance(self.screen, Board | Dialog | TooSmall)

    def _take_key(self, event: events.Key) -> bool:
        """Whether the key was taken; the others are typed."""
        key, screen = event.key, self.screen
        if key == "ctrl+c":
            self.ask_to_leave()
        elif key in ("f4", "ctrl+l"):
            self.redraw()
        elif isinstance(screen, Dialog):
            screen.take_key(key)
        elif isinstance(screen, TooSmall):
            if key == "f9":
                self._leave()
        else:
            return self._take_key_of_page(event)
        return True

    def _take_key_of_page(self, event: events.Key) -> bool:
        key, is_typing = event.key, isinstance(self.board.focused, Entry)
        if key == "f1" or (key in HELP_KEYS and not is_typing):
            self.help()
        elif key == "f2":
            self.change_language()
        elif key == "escape":
            self.take("back")
        elif key == "f9":
            self.take("leave")
        elif action := next((a for a in self.board.page.actions if a.key and a.key == key), None):
            self.take(action.name)
        else:
            return self.board.take_key(key) or not is_typing
        return True

    # the window

    def on_resize(self, event: events.Resize) -> None:
        """Too small a window says so, and comes back by itself."""
        self._check_size(event.size)

    def _check_size(self, size: Size) -> None:
        small = size.width < MIN_COLUMNS or size.height < MIN_ROWS
        if small and not isinstance(self.screen, TooSmall) and self.board.is_attached:
            self.push_screen(TooSmall(self.catalogue))
        elif not small and isinstance(self.screen, TooSmall):
            self.pop_screen()

    # Textual's own ways out of here, closed

    def copy_to_clipboard(self, text: str) -> None:
        """Nothing: on many terminals it would reach the clipboard of the administrator's own PC."""

    def _set_pointer_shape(self, shape: str) -> None:
        """Nothing: terminals that do not know the request would print it."""

    def bell(self) -> None:
        """Silence."""

    def deliver_screenshot(self, *_: Any, **__: Any) -> None:
        """Nothing: a picture would hold what is on the screen."""

    def save_screenshot(self, *_: Any, **__: Any) -> str:
        """Nothing, for the same reason."""
        return ""

    def panic(self, *renderables: RenderableType) -> None:
        """Something in Textual gave up; what it would print may hold what was on the screen."""
        if _is_gone():
            self.hang_up()
        else:
            self._fault(None)

    def _fault(self, error: BaseException | None) -> None:
        if isinstance(error, Exception):
            self._handle_exception(error)
        elif error is None:
            self._handle_exception(RuntimeError())

    def _fatal_error(self) -> None:
        """End on a fault of ours: one sentence on the screen, type and place of the fault into the log."""
        error = self._exception
        first = not self._exit_renderables
        if first and error is not None:
            keep_trace(error, self._logs)
        if first:
            lines = wrap(self.catalogue.say(crash.STOPPED), max(self.size.width, MIN_COLUMNS))
            self._exit_renderables.append(Text("\n".join(lines)))
        self._close_messages_no_wait()


def _is_gone() -> bool:
    """Whether the terminal hung up."""
    try:
        termios.tcgetattr(0)
    except termios.error:
        return True
    return False
