"""One person's way through the wizard: which page is shown, what an answer or an action does.

Every answer is on disk before the next question. Pages after the start are about a run and are made from
its folder alone, so any number of wizards, now or later, see the same.
"""

from pathlib import Path

import msgspec

from appliance.errors import ApplianceError, HostNotReady
from appliance.locale import LANGUAGES, Language
from appliance.run.plan import Plan
from appliance.sentence import reason, say
from appliance.site.layout import Site
from appliance.wizard.desk import Desk
from appliance.wizard.files import is_file, is_utf8
from appliance.wizard.flow import AFTER_START, BEFORE_A_RUN, STEPS
from appliance.wizard.page import Page
from appliance.wizard.question import WrongAnswer
from appliance.wizard.step import Step, asked, to_page
from appliance.wizard.steps.result import named


class Wizard:
    """The other side of every front (`appliance.wizard.front.Flow`)."""

    def __init__(
        self,
        site: Site,
        *,
        language: Language | None = None,
        chinese: bool = True,
        folder: Path | None = None,
    ) -> None:
        """language: one that was asked for on the command line; else the one that was chosen before.
        chinese: whether the terminal can draw it; where not, all is said in English and nothing is lost.
        folder: where the answers are kept; None: where this user's are.
        """
        self._desk = Desk(site, folder)
        self._chinese = chinese
        if language is not None:
            self._desk.keep_if_possible(self._desk.changed(language=language))
        ask = self._desk.draft.language is None and chinese
        self._page = "language" if ask else "home"

    @property
    def language(self) -> Language:
        """The person's language, where this terminal can draw it."""
        return self._desk.language if self._chinese else "en"

    def page(self) -> Page:
        """What to show now; home, with the reason, where a page's run went away or cannot be read."""
        try:
            return to_page(self._step(), self._desk)
        except (ApplianceError, OSError) as error:
            if self._page not in AFTER_START:
                raise
            self._desk.local["trouble"] = error.what if isinstance(error, ApplianceError) else reason(error)
            self._page = "home"
            return to_page(self._step(), self._desk)

    def answer(self, field: str, value: str) -> str:
        """Keep an answer. Returns what is wrong with it; a wrong one is not kept.

        Raises: HostNotReady, when it cannot be written down.
        """
        question = next((each for each in asked(self._step(), self._desk) if each.name == field), None)
        if question is None:
            return say("This page does not ask for {field}.", field=field)
        if not is_utf8(value):
            return say("This is not UTF-8 and cannot be kept: rename the file, or type it anew.")
        try:
            draft = question.take(self._desk, value)
        except WrongAnswer as wrong:
            return wrong.why
        if self._page == "language":
            self._desk.keep_if_possible(draft)
        else:
            self._desk.keep(draft)
        return ""

    def act(self, action: str) -> bool:
        """Take an action of the page; False: the person leaves.

        Raises: ApplianceError, when it fails; the page stays as it was.
        """
        shown, page = self._page, self.page()
        chosen = next((each for each in page.actions if each.name == action), None)
        if action == "leave":
            return False
        if page.name != shown or chosen is None or chosen.why_not:
            return True  # what was asked for was another page's, or cannot be done any more
        try:
            self._take(action)
        except OSError as error:
            raise _not_possible(error) from error
        return True

    def _take(self, action: str) -> None:
        if action == "next":
            self._next()
        elif action == "back":
            if self._desk.local.pop("shown", None) is None:  # else only what was opened on the page closes
                self._go(self._back())
        elif (target := self._step().takes[action](self._desk)) is not None:
            self._go(target)

    def tick(self) -> bool:
        """Look at running work; whether the page may be another now."""
        page = self._page
        runs = self._desk.known_runs if page == "home" else None
        changed = self._desk.tick()
        if runs is not None:
            changed |= self._desk.runs() != runs
            changed |= self._desk.take_news()
        return self._step().name != page or changed

    def switch_language(self) -> None:
        """The other language, where this terminal can draw it; everything else stays."""
        if not self._chinese:
            return
        following = (LANGUAGES.index(self.language) + 1) % len(LANGUAGES)
        self._desk.keep_if_possible(self._desk.changed(language=LANGUAGES[following]))

    def fill(self, plan: Plan) -> None:
        """Take all answers from `plan`, whose paths are absolute, and go to the first page that judges."""
        self._desk.keep(self._desk.changed(plan=plan, preset="advanced", run=""))
        self._page = "health"

    def plan(self) -> Plan:
        """The answers as a plan."""
        return self._desk.draft.plan

    def trouble(self) -> ApplianceError | None:
        """The error that keeps the page that is shown from being passed; None where none does."""
        return self._step().trouble(self._desk)

    def export_folder(self) -> Path:
        """Where the run that is open was exported to."""
        return self._desk.run.run.export

    def close(self) -> None:
        """End what only served the screen."""
        self._desk.close()

    def _step(self) -> Step:
        """The step that is shown; home, where a run that it was about is gone."""
        view = self._desk.view
        if self._page in AFTER_START and (view is None or not is_file(view.run.plan)):
            if view is not None:
                gone = say("the folder of the run {run} is gone", run=view.run.root.name)
                self._desk.local["trouble"] = gone
            self._page = "home"
        return STEPS[self._page]

    def _next(self) -> None:
        step = self._step()
        step.settle(self._desk)
        if step.after is not None:
            self._go(step.after(self._desk))

    def _back(self) -> str:
        step = self._step()
        return step.before(self._desk) if step.before is not None else step.name

    def _go(self, name: str) -> None:
        """Show another page, and remember how far the questions were answered."""
        desk = self._desk
        draft = desk.draft
        if name in BEFORE_A_RUN:
            reached = max(name, desk.draft.reached, key=BEFORE_A_RUN.index)
            draft = desk.changed(reached=reached)
        if name == "result":
            draft = msgspec.structs.replace(draft, plan=named(desk.draft.plan))
        if name in AFTER_START or name == "home":
            desk.keep_if_possible(draft)
        else:
            desk.keep(draft)
        desk.local.pop("shown", None)
        self._page = name


def _not_possible(error: OSError) -> HostNotReady:
    """What the system refused, as an operator can read it."""
    return HostNotReady(
        say("This could not be done."),
        why=reason(error),
        next_step=say(
            "Have the file or folder made readable and writable for you, or free some space there."
        ),
    )
