"""The wizard as numbered lines: for serial consoles, dumb terminals, screen readers, and answers from a pipe.

Static text only. A page is printed, its fields are asked one after another, then what to do next, by number.
A running page prints a line now and then, and listens meanwhile: Enter shows it whole.

Answers from a pipe work like typed ones and are repeated on the page. While a page works by itself, a line
that does not name one of its actions waits until the page is done: a script needs no clock.

Exit codes: 0 when the person leaves, also by Ctrl+D or by hanging up: everything is saved. 6 when the answers
of a pipe end while a page still asks for one.
"""

import time
from collections.abc import Callable
from contextlib import suppress

from appliance.errors import ApplianceError, BadInput
from appliance.sentence import say
from appliance.wizard.asking import Asker
from appliance.wizard.deeds import CHANGE, Deeds, Step, options_of
from appliance.wizard.draw import failure
from appliance.wizard.front import Flow
from appliance.wizard.page import Field, Page
from appliance.wizard.paper import Paper
from appliance.wizard.terminal import Display
from appliance.wizard.typed import Read, Talk, talk_to_terminal
from appliance.wizard.watching import Watch, goes_on

SETTLING_S = 2.0
"""A page that is still working on what it asks about is waited for so long before it is printed."""


def run(
    wizard: Flow,
    display: Display,
    *,
    read: Read | None = None,
    write: Callable[[str], object] | None = None,
    clock: Callable[[], float] = time.time,
    pause: Callable[[float], None] = time.sleep,
    width: int = 79,
) -> int:
    """Lead through the wizard in lines; returns the exit code.

    read, write, width: another conversation than stdin and stdout; `read` is a program's, as from a pipe.
    """
    talk = Talk(read, write, echo=True, width=width) if read and write else talk_to_terminal()
    lines = Lines(wizard, display, talk, clock, pause)
    with talk.listening():
        try:
            lines.walk()
            lines.farewell()
        except EOFError:
            return lines.ended()
        return 0


class Lines:
    """One person's way through the pages, in lines."""

    def __init__(
        self,
        flow: Flow,
        display: Display,
        talk: Talk,
        clock: Callable[[], float],
        pause: Callable[[float], None],
    ) -> None:
        self.flow = flow
        self.talk = talk
        self.asker = Asker(flow, display, talk)
        self.paper = Paper(self.asker)
        self.deeds = Deeds(self.asker, self.paper)
        self.watch = Watch(self.deeds, clock, pause, slow=display.slow)
        self._pause = pause
        self._answered = ""
        """Name of the page whose questions were all asked."""

    def walk(self) -> None:
        """Page after page, until the person leaves.

        Raises: EOFError, when nothing more can be read or written.
        """
        stays = True
        while stays:
            page = self._settled()
            if page.name != self._answered:
                self._answered = ""
            self.asker.told = False
            ready = page.fields and not _is_unready(page) and self._answered != page.name
            stays = self._look_on(page) if goes_on(page) and not ready else self._visit(page)

    def ended(self) -> int:
        """What it means that the input ended here: the exit code."""
        page = self.flow.page()
        if not self.talk.echo or page.live or page.step == 0:
            with suppress(EOFError):
                self.talk.say("")
                self.farewell()
            return 0
        error = BadInput(
            say('The answers ended at the page "{page}".', page=self.asker.said(page.title)),
            why=say("it still waits for one; everything up to here is saved"),
            next_step=say("Give the missing answers too, or go on in a terminal."),
        )
        with suppress(EOFError):
            self.paper.blocks([failure(error)])
        return error.exit_code

    def farewell(self) -> None:
        """What a person needs to know who has left."""
        self.talk.say_wrapped(self.asker.said(say("Everything is saved. To come back, type islet.")))

    # Pages that wait for the person

    def _visit(self, page: Page) -> bool:
        """Ask what the page asks; False: the person leaves."""
        number = 0
        if self._answered == page.name:
            number = next((at for at, each in enumerate(page.fields) if each.problem), len(page.fields))
        self.paper.page(page, answers=number > 0)
        while True:
            if number < len(page.fields):
                field = page.fields[number]
                step = self._field(page, field)
            else:
                self._answered = page.name
                if goes_on(page):
                    return self._look_on(page)
                self.paper.changes(page)
                step = self._actions(page)
            if step in ("moved", "left"):
                return step == "moved"
            before = page
            self.flow.tick()
            page = self.flow.page()
            if page.name != before.name:
                return True
            if step == "again":
                self.paper.page(page, answers=number >= len(before.fields))
            number = _next_number(step, number, before, page)

    def _field(self, page: Page, field: Field) -> Step:
        try:
            outcome = self.asker.answer(page, field)
        except KeyboardInterrupt:
            return self.deeds.interrupted(page)
        except ApplianceError as error:  # the answer could not be kept
            self.deeds.failed(error)
            return "again"
        if outcome == "on":
            return "on"
        if outcome == "back" and page.fields and page.fields[0].name != field.name:
            return "back"
        return self.deeds.command(page, outcome)

    def _actions(self, page: Page) -> Step:
        """Ask what to do, with everything that the page offers, by number."""
        options = options_of(page)
        self.talk.say("")
        self.asker.number(options)
        default = next((each.name for each in page.actions if each.default and not each.why_not), "")
        try:
            outcome, name = self.asker.choose(options, default, lambda: self.asker.help(*page.help))
            if outcome == "on":
                return self.deeds.take(page, name) if name != CHANGE else "first"
            if outcome == "back" and page.fields:
                return "back"
            return self.deeds.command(page, outcome)
        except KeyboardInterrupt:
            return self.deeds.interrupted(page)

    def _look_on(self, page: Page) -> bool:
        """Wait with the person for a page that is at work; False: the person leaves."""
        step = self.watch.page(page, answers=self._answered == page.name)
        if step == "first":
            self._answered = ""
        return step != "left"

    def _settled(self) -> Page:
        """The page; one that asks something and is still at work gets a moment to finish first."""
        page = self.flow.page()
        waited = 0.0
        while page.fields and goes_on(page) and waited < SETTLING_S:
            self._pause(0.1)
            waited += 0.1
            if self.flow.tick():
                page = self.flow.page()
        return page


def _is_unready(page: Page) -> bool:
    """Whether what there is to choose from is still being found out."""
    return any(field.kind == "choice" and not field.options for field in page.fields)


def _next_number(step: Step, number: int, before: Page, page: Page) -> int:
    """Which field comes next: found again by name, as an answer may have brought or taken others."""
    if step == "on":
        names = [field.name for field in page.fields]
        name = before.fields[number].name
        return names.index(name) + 1 if name in names else min(number, len(names))
    if step == "first":
        return 0
    if step == "back":
        return max(min(number, len(page.fields)) - 1, 0)
    return min(number, len(page.fields)) if number < len(before.fields) else len(page.fields)
