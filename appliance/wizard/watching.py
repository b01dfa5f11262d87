"""A page that is at work by itself: a line now and then, and an ear for what is typed meanwhile."""

from collections.abc import Callable

from appliance.sentence import say
from appliance.wizard.deeds import CHANGE, Deeds, Step, options_of
from appliance.wizard.page import Page
from appliance.wizard.spoken import status_words
from appliance.wizard.typed import clock_text, command_of

STATUS_EVERY_S, SLOW_STATUS_EVERY_S = 15.0, 60.0
TICK_S, SLOW_TICK_S = 1.0, 5.0


class Watch:
    """Looks on until a page is done, or the person wants something else."""

    def __init__(
        self, deeds: Deeds, clock: Callable[[], float], pause: Callable[[float], None], *, slow: bool
    ) -> None:
        self.deeds = deeds
        self.flow = deeds.flow
        self.talk = deeds.talk
        self.asker = deeds.asker
        self._clock = clock
        self._pause = pause
        self._tick_s, self._status_every_s = (
            (SLOW_TICK_S, SLOW_STATUS_EVERY_S) if slow else (TICK_S, STATUS_EVERY_S)
        )
        self._held: str | None = None
        """A program's line that is for what comes after this page."""
        self._status, self._told_at = "", 0.0

    def page(self, page: Page, *, answers: bool) -> Step:
        """Print the page, then what changes. moved: it is another now; first: its questions, please; left."""
        self._print(page, answers)
        self._status, self._told_at = status_words(page, self.asker.catalogue), self._clock()
        self._held = None
        while True:
            try:
                typed = self._listen()
                changed = self.flow.tick()
                now = self.flow.page() if changed or typed is not None else page
                if now.name != page.name or not goes_on(now):
                    return self._turned(typed)
                page = now
                step = "stay" if typed is None else self._typed(page, typed)
            except KeyboardInterrupt:
                step = self.deeds.interrupted(page)
            if step in ("moved", "first", "left"):
                return step
            if step == "again":
                page = self.flow.page()
                if not goes_on(page):
                    return "moved"
                self._print(page, answers)
            self._tell(page)

    def _listen(self) -> str | None:
        """The line that waits for the page, or one that is typed within a tick."""
        if self._held is None:
            return self.talk.wait(self._tick_s)
        self.talk.heed()
        self._pause(self._tick_s)
        return self._held

    def _typed(self, page: Page, typed: str) -> Step:
        if self.talk.echo and not self._is_for(page, typed):
            self._held = typed
            return "stay"
        self._held = None
        command = command_of(typed)
        if command == "help":
            self.asker.help(*page.help)
            return "stay"
        if command is not None:
            return self.deeds.command(page, command)
        if not typed.strip():
            return "again"
        name, problem = self.asker.chosen(options_of(page), typed)
        if problem:
            self.asker.wrong(problem)
            return "stay"
        return "first" if name == CHANGE else self.deeds.take(page, name)

    def _is_for(self, page: Page, typed: str) -> bool:
        """Whether a program's line is for this page as it runs, and not for what comes after."""
        if command_of(typed) is not None:
            return True
        value, problem = self.asker.chosen(options_of(page), typed)
        return bool(value) and not problem and value != CHANGE

    def _turned(self, typed: str | None) -> Step:
        """The page is another one now. A program's answer was meant for it, a person's for the old one."""
        if typed is not None and self.talk.echo:
            self.talk.hold(typed)
        elif typed:
            self.asker.wrong(say("The page has changed meanwhile."))
        return "moved"

    def _tell(self, page: Page) -> None:
        words = status_words(page, self.asker.catalogue)
        if words != self._status and self._clock() - self._told_at >= self._status_every_s:
            self._status, self._told_at = words, self._clock()
            self.talk.say_wrapped(f"{clock_text(self._told_at)} {words}")

    def _print(self, page: Page, answers: bool) -> None:
        self.deeds.paper.page(page, answers=answers)
        self.talk.say("")
        self.asker.number(options_of(page))
        keys = say("This page goes on by itself. Enter shows it anew, a number does what stands beside it.")
        self.talk.say_wrapped(self.asker.said(keys))


def goes_on(page: Page) -> bool:
    """Whether a page is at work and the person has nothing to do but wait."""
    return page.live and not any(action.default and not action.why_not for action in page.actions)
