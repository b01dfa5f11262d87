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
from typing import Literal

from appliance.errors import ApplianceError, BadInput
from appliance.sentence import say
from appliance.wizard.asking import Asker
from appliance.wizard.draw import failure
from appliance.wizard.front import Flow
from appliance.wizard.page import Field, Option, Page
from appliance.wizard.paper import Paper
from appliance.wizard.spoken import status_words
from appliance.wizard.terminal import Display
from appliance.wizard.typed import Command, Read, Talk, clock_text, command_of, patience, talk_to_terminal

STATUS_EVERY_S, SLOW_STATUS_EVERY_S = 15.0, 60.0
TICK_S, SLOW_TICK_S = 1.0, 5.0
CHANGE = "answers"
"""Stands for going through the questions of a page again, among the names of actions."""

SETTLING_S = 2.0
"""A page that is still working on what it asks about is waited for so long before it is printed."""

Step = Literal["on", "back", "first", "stay", "again", "moved", "left"]
"""Where a question led: to the next one, the one before, the first, itself, the page anew, another page, the
end."""


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
        self._slow = display.slow
        self._clock = clock
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
            stays = self._watch(page) if _goes_on(page) and not ready else self._visit(page)

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
                if _goes_on(page):
                    return self._watch(page)
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
            return self._interrupted(page)
        if outcome == "on":
            return "on"
        if outcome == "back" and page.fields and page.fields[0].name != field.name:
            return "back"
        return self._command(page, outcome)

    def _actions(self, page: Page) -> Step:
        """Ask what to do, with everything that the page offers, by number."""
        options = _options(page)
        self.talk.say("")
        self.asker.number(options)
        default = next((each.name for each in page.actions if each.default and not each.why_not), "")
        try:
            outcome, name = self.asker.choose(options, default, lambda: self.asker.help(*page.help))
            if outcome == "on":
                return self._take(page, name) if name != CHANGE else "first"
            if outcome == "back" and page.fields:
                return "back"
            return self._command(page, outcome)
        except KeyboardInterrupt:
            return self._interrupted(page)

    def _command(self, page: Page, command: Command) -> Step:
        if command == "language":
            return self._switch_language()
        action = next((each for each in page.actions if each.name == command), None)
        if action is not None:
            return self._take(page, action.name)
        if command == "leave":
            return "left"
        self.asker.wrong(say("There is nothing before this page."))
        return "stay"

    def _take(self, page: Page, name: str) -> Step:
        """Take an action: asked about first where it ends something, and what went wrong is said."""
        action = next(each for each in page.actions if each.name == name)
        if action.why_not:
            self.asker.wrong(action.why_not)
            return "stay"
        if action.confirm is not None and not self.asker.confirm(action.confirm):
            return "again"
        try:
            with patience(self.talk, self.asker.said(say("One moment ..."))):
                stays = self.flow.act(name)
        except ApplianceError as error:
            self.talk.say("")
            self.paper.blocks([failure(error)])
            return "moved"
        return "moved" if stays else "left"

    def _switch_language(self) -> Step:
        if not self.asker.display.chinese:
            self.asker.wrong(say("This terminal cannot draw Chinese; log in by SSH to use it."))
            return "stay"
        self.flow.switch_language()
        return "again"

    def _interrupted(self, page: Page) -> Step:
        """Ctrl+C: ask what was meant. A second one leaves, which changes nothing either."""
        if self.talk.echo:
            return self._command(page, "leave")  # a program's next answer was not meant for this question
        options = [Option("stay", say("Stay")), Option("leave", say("Leave; everything is saved"))]
        stop = next((each for each in page.actions if each.name == "stop" and not each.why_not), None)
        if stop is not None:
            options[1] = Option("leave", say("Leave; the training goes on"))
            options.append(Option("stop", stop.label))
        self.talk.say("")
        self.asker.number(options)
        try:
            outcome, value = self.asker.choose(options, "stay", lambda: self.asker.help(*page.help))
        except KeyboardInterrupt:
            outcome, value = "leave", ""
        if outcome == "leave" or value == "leave":
            return self._command(page, "leave")
        if value == "stop" and stop is not None:
            return self._take(page, stop.name)
        return "again"

    # Pages that change by themselves

    def _settled(self) -> Page:
        """The page; one that asks something and is still at work gets a moment to finish first."""
        page = self.flow.page()
        waited = 0.0
        while page.fields and _goes_on(page) and waited < SETTLING_S:
            self._pause(0.1)
            waited += 0.1
            if self.flow.tick():
                page = self.flow.page()
        return page

    def _watch(self, page: Page) -> bool:
        """Print a live page, then what changes, until it is another; False: the person leaves."""
        self._print_watched(page)
        status, told_at = status_words(page, self.asker.catalogue), self._clock()
        waiting = ""
        held = False
        while True:
            step: Step | None = None
            try:
                if held:
                    self.talk.heed()
                    self._pause(self._tick_s)
                    typed: str | None = waiting
                else:
                    typed = self.talk.wait(self._tick_s)
                changed = self.flow.tick()
                now = self.flow.page() if changed or typed is not None else page
                if now.name != page.name or not _goes_on(now):
                    return self._turned(typed)
                page = now
                if typed is not None:
                    held = self.talk.echo and not self._is_for(page, typed)
                    waiting = typed
                    if not held:
                        step = self._typed_meanwhile(page, typed)
            except KeyboardInterrupt:
                step = self._interrupted(page)
            if step in ("moved", "left"):
                return step == "moved"
            if step == "again":
                page = self.flow.page()
                if not _goes_on(page):
                    return True
                self._print_watched(page)
            words = status_words(page, self.asker.catalogue)
            if words != status and self._clock() - told_at >= self._status_every_s:
                status, told_at = words, self._clock()
                self.talk.say_wrapped(f"{clock_text(told_at)} {words}")

    @property
    def _tick_s(self) -> float:
        return SLOW_TICK_S if self._slow else TICK_S

    @property
    def _status_every_s(self) -> float:
        return SLOW_STATUS_EVERY_S if self._slow else STATUS_EVERY_S

    def _turned(self, typed: str | None) -> bool:
        """The page is another one now. A program's answer was meant for it, a person's for the old one."""
        if typed is not None and self.talk.echo:
            self.talk.hold(typed)
        elif typed:
            self.asker.wrong(say("The page has changed meanwhile."))
        return True

    def _is_for(self, page: Page, typed: str) -> bool:
        """Whether a program's line is for this page as it runs, and not for what comes after."""
        if command_of(typed) is not None:
            return True
        value, problem = self.asker.chosen(_options(page), typed)
        return bool(value) and not problem and value != CHANGE

    def _typed_meanwhile(self, page: Page, typed: str) -> Step:
        command = command_of(typed)
        if command == "help":
            self.asker.help(*page.help)
            return "stay"
        if command is not None:
            return self._command(page, command)
        if not typed.strip():
            return "again"
        name, problem = self.asker.chosen(_options(page), typed)
        if problem:
            self.asker.wrong(problem)
            return "stay"
        if name == CHANGE:
            self._answered = ""
            return "moved"
        return self._take(page, name)

    def _print_watched(self, page: Page) -> None:
        self.paper.page(page, answers=self._answered == page.name)
        self.talk.say("")
        self.asker.number(_options(page))
        keys = say("This page goes on by itself. Enter shows it anew, a number does what stands beside it.")
        self.talk.say_wrapped(self.asker.said(keys))


def _options(page: Page) -> list[Option]:
    """What can be done on a page: its actions, and going through its questions again."""
    options = [Option(action.name, action.label, problem=action.why_not) for action in page.actions]
    return [*options, Option(CHANGE, say("Change an answer above"))] if page.fields else options


def _goes_on(page: Page) -> bool:
    """Whether a page is at work and the person has nothing to do but wait."""
    return page.live and not any(action.default and not action.why_not for action in page.actions)


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
