"""A page as lines that were printed: the whole, or what has changed since."""

from collections.abc import Sequence

from appliance.locale import catalogue
from appliance.sentence import say
from appliance.wizard.asking import Asker
from appliance.wizard.page import Block, Fact, Facts, Field, Heading, Page
from appliance.wizard.spoken import spoken, verdict_words


class Paper:
    """What stands on the paper above the next question."""

    def __init__(self, asker: Asker) -> None:
        self._asker = asker
        self._talk = asker.talk
        self._printed: tuple[object, ...] = ()

    def page(self, page: Page, *, answers: bool) -> None:
        """Print a page: where it is, what it says, how it stands. answers: with those that it has."""
        title = self._asker.said(page.title)
        self._talk.say("", f"[{page.step}/{page.steps}] {title}" if page.step else title)
        self.blocks(page.blocks)
        if answers and page.fields:
            rows = tuple(Fact(self._asker.said(each.label), self._answer(each)) for each in page.fields)
            english = catalogue("en")  # said already, and an answer is nobody's to translate
            self._talk.say(*spoken(Facts(rows), english, width=self._talk.width))
        self._verdict(page)

    def changes(self, page: Page) -> None:
        """Print what answers have changed since the page was printed."""
        before = self._printed
        self.blocks([block for block in page.blocks if block not in before])
        if (page.verdict, page.level) != before[-2:]:
            self._verdict(page)
        self._printed = (*page.blocks, page.verdict, page.level)

    def blocks(self, blocks: Sequence[Block]) -> None:
        """Print blocks in words."""
        for block in blocks:
            if isinstance(block, Heading):
                self._talk.say("")
            self._talk.say(*spoken(block, self._asker.catalogue, width=self._talk.width))

    def _verdict(self, page: Page) -> None:
        self._talk.say_wrapped(verdict_words(page, self._asker.catalogue))
        self._printed = (*page.blocks, page.verdict, page.level)

    def _answer(self, field: Field) -> str:
        """The answer so far, as the person would say it."""
        option = next((each for each in field.options if each.value == field.value), None)
        if option is not None:
            return self._asker.catalogue.say(option.label).split("\t")[0]
        if field.kind == "yesno":
            return self._asker.said({"yes": say("yes"), "no": say("no")}.get(field.value, ""))
        return field.value
