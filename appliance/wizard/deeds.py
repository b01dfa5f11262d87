"""What typed lines do to the flow: actions, commands and Ctrl+C, each asked about where it ends something."""

from typing import Literal

from appliance.errors import ApplianceError
from appliance.sentence import say
from appliance.wizard.asking import Asker
from appliance.wizard.draw import failure
from appliance.wizard.page import Option, Page
from appliance.wizard.paper import Paper
from appliance.wizard.typed import Command, patience

Step = Literal["on", "back", "first", "stay", "again", "moved", "left"]
"""Where a question led: to the next one, the one before, the first, itself, the page anew, another page, the
end."""


CHANGE = "answers"
"""Stands for going through the questions of a page again, among the names of actions."""


class Deeds:
    """Does things, and says what went wrong."""

    def __init__(self, asker: Asker, paper: Paper) -> None:
        self.flow = asker.flow
        self.asker = asker
        self.talk = asker.talk
        self.paper = paper

    def command(self, page: Page, command: Command) -> Step:
        """Do what can be typed at every prompt, but for help, which is the prompt's own."""
        if command == "language":
            return self._switch_language()
        action = next((each for each in page.actions if each.name == command), None)
        if action is not None:
            return self.take(page, action.name)
        if command == "leave":
            return "left"
        self.asker.wrong(say("There is nothing before this page."))
        return "stay"

    def take(self, page: Page, name: str) -> Step:
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
            self.failed(error)
            return "moved"
        return "moved" if stays else "left"

    def _switch_language(self) -> Step:
        if not self.asker.display.chinese:
            self.asker.wrong(say("This terminal cannot draw Chinese; log in by SSH to use it."))
            return "stay"
        self.flow.switch_language()
        return "again"

    def failed(self, error: ApplianceError) -> None:
        """Say what happened, why, and what to do."""
        self.talk.say("")
        self.paper.blocks([failure(error)])

    def interrupted(self, page: Page) -> Step:
        """Ctrl+C: ask what was meant. A second one leaves, which changes nothing either."""
        if self.talk.echo:
            return self.command(page, "leave")  # a program's next answer was not meant for this question
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
            return self.command(page, "leave")
        if value == "stop" and stop is not None:
            return self.take(page, stop.name)
        return "again"


def options_of(page: Page) -> list[Option]:
    """What can be done on a page: its actions, and going through its questions again."""
    options = [Option(action.name, action.label, problem=action.why_not) for action in page.actions]
    return [*options, Option(CHANGE, say("Change an answer above"))] if page.fields else options
