"""One question at a time: what is printed before it, what the typed line means, what is wrong with it.

Typed numbers and words are read as if no input method were on. Free text and paths are taken as typed; only
where a text is refused so, its plain form is tried: a name in full-width letters becomes an ordinary one.
Enter on a question without an answer goes on: the page itself says what is missing before Next.
"""

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from appliance.locale import Catalogue
from appliance.locale import catalogue as find_catalogue
from appliance.sentence import say
from appliance.wizard.cells import one_line, shorten, wrap
from appliance.wizard.draw import text_lines
from appliance.wizard.front import Flow
from appliance.wizard.listing import Listing
from appliance.wizard.page import Confirm, Field, Option, Page, Table
from appliance.wizard.terminal import Display
from appliance.wizard.typed import MOST_BYTES, Talk, command_of, normal

Outcome = Literal["on", "back", "language", "leave"]
"""What an answer leads to: the next question, the one before, all again in another language, the end."""

MOST_DEFAULT = 40
"""Cells of the old answer that a prompt repeats."""

MOST_DIGITS = 6
"""Of a number in a list."""

TOO_LONG = say(
    "Only {most:,} bytes of that line arrived here, so it was not kept. Type less, or use the full screen or "
    "an answer file.",
    most=MOST_BYTES,
)

YES = frozenset(("y", "yes", "1", "是", "对", "好"))
NO = frozenset(("n", "no", "0", "否", "不", "不是"))


@dataclass
class Asker:
    """Asks over one conversation, in the person's language."""

    flow: Flow
    display: Display
    talk: Talk
    told: bool = False
    """Whether a prompt of this page has said what can be typed anywhere."""

    @property
    def catalogue(self) -> Catalogue:
        """The person's language, unless this terminal cannot draw it."""
        return find_catalogue(self.flow.language if self.display.chinese else "en")

    def said(self, text: str) -> str:
        """`text` in the person's language, on one line, with nothing hidden in it."""
        return one_line(self.catalogue.say(text))

    def wrong(self, text: str) -> None:
        """Say in one line what is wrong."""
        first, *rest = wrap(self.said(text), self.talk.width - 4)
        self.talk.say(f"  ! {first}", *(f"    {line}" for line in rest))

    def help(self, *texts: str) -> None:
        """Say help, and what can be typed at every prompt."""
        anywhere = say(
            "At every prompt: b goes back one question, from the first one to the page before; ? is this "
            "help; l changes the language; q leaves, and everything is saved. Enter takes what stands in "
            "brackets. A full stop alone empties a text."
        )
        for text in (*texts, anywhere):
            if text:
                self.talk.say_wrapped(self.said(text), "  ")

    def prompt(self, question: str) -> str:
        """What is typed after `question`, which the first time on a page also says what can be typed."""
        if not self.told:
            self.told = True
            keys = say("b back, ? help, q leave (saved), l language")
            question = say("{question}. {keys}", question=question, keys=keys)
        return self.talk.ask(self.said(say("{question}:", question=question)))

    def answer(self, page: Page, field: Field) -> Outcome:
        """Ask for one field until its answer is kept."""
        if field.problem:
            self.wrong(field.problem)
        if field.kind == "files":
            return self._files(page, field)
        if field.kind == "choice":
            self._options(field)
            if all(option.problem for option in field.options):
                return "on"  # none, or none that can be chosen: the page says what to do
        while True:
            typed = self.prompt(_question(field, self.said(field.label)))
            command = command_of(typed)
            if command == "help":
                self.help(field.help, *page.help)
            elif command is not None:
                return command
            elif self.talk.was_cut:
                self.wrong(TOO_LONG)
            elif not (problem := self._keep(field, typed)):
                return "on"
            else:
                self.wrong(problem)

    def choose(
        self, options: Sequence[Option], default: str, on_help: Callable[[], None]
    ) -> tuple[Outcome, str]:
        """Ask which of the numbered `options`, which are printed already; (on, value) when one is chosen."""
        while True:
            typed = self.prompt(_choose_question(options, default))
            command = command_of(typed)
            if command == "help":
                on_help()
                continue
            if command is not None:
                return command, ""
            value, problem = self.chosen(options, typed, default)
            if not problem:
                return "on", value
            self.wrong(problem)

    def chosen(self, options: Sequence[Option], typed: str, default: str = "") -> tuple[str, str]:
        """(value, what is wrong) of a number, a value or a label that was typed; nothing means `default`."""
        text = normal(typed)
        if not text:
            found = next((each for each in options if each.value == default), None)
            return ("", say("Choose one by its number.")) if found is None else (found.value, found.problem)
        if text.isdecimal() and len(text) <= MOST_DIGITS and 1 <= int(text) <= len(options):
            found = options[int(text) - 1]
        else:
            found = next((each for each in options if text.casefold() in self._names(each)), None)
        if found is None:
            shown = shorten(one_line(text), MOST_DEFAULT)
            return "", say('"{typed}" is not one of {numbers}.', typed=shown, numbers=_numbers(options))
        return found.value, found.problem

    def confirm(self, asked: Confirm) -> bool:
        """Whether the person wants what cannot be undone; the answer that changes nothing is the default."""
        self.talk.say("")
        for line in (asked.title, *asked.lines):
            self.talk.say_wrapped(self.said(line))
        options = (Option("stay", asked.stay), Option("go", asked.go))
        self.number(options)
        try:
            outcome, value = self.choose(options, "stay", lambda: self.help(*asked.lines))
        except KeyboardInterrupt:
            return False
        return outcome == "on" and value == "go"

    def number(self, options: Sequence[Option]) -> None:
        """Print options with their numbers, and why some cannot be chosen."""
        for number, option in enumerate(options, start=1):
            text = self.said(option.label)
            if note := self._note(option):
                text = f"{text}  {note}"
            self.talk.say_wrapped(f"{number}) {text}", "  ")

    def _note(self, option: Option) -> str:
        problem = say("(not now: {why})", why=self.said(option.problem)) if option.problem else ""
        return "  ".join(self.said(text) for text in (option.note, problem) if text)

    def _names(self, option: Option) -> set[str]:
        first_cell = self.catalogue.say(option.label).split("\t")[0]
        return {normal(name).casefold() for name in (option.value, option.label, first_cell)}

    def _options(self, field: Field) -> None:
        self.talk.say_wrapped(self.said(field.label))
        if not field.columns:
            self.number(field.options)
            return
        rows = tuple(  # said already, header and all
            (f"{number})", *self.catalogue.say(option.label).split("\t"), self._note(option))
            for number, option in enumerate(field.options, start=1)
        )
        columns = ("", *map(self.said, field.columns), "")
        rows = tuple((*row[: len(columns)], *("",) * (len(columns) - len(row))) for row in rows)
        table = Table(columns, rows, frozenset({0}))
        self.talk.say(*text_lines(table, find_catalogue("en"), width=self.talk.width, plain=True))

    def _keep(self, field: Field, typed: str) -> str:
        """Hand the answer on; returns what is wrong with it."""
        value, problem = self._value(field, typed)
        if problem:
            return problem
        if value == field.value and not field.problem:
            return ""
        problem = self.flow.answer(field.name, value)
        plain = unicodedata.normalize("NFKC", value)
        if problem and field.kind == "text" and plain != value:
            return self.flow.answer(field.name, plain)
        return problem

    def _value(self, field: Field, typed: str) -> tuple[str, str]:
        match field.kind:
            case "choice" | "yesno" if not typed.strip():
                return field.value, ""
            case "choice":
                return self.chosen(field.options, typed)
            case "yesno":
                word = normal(typed).casefold()
                if word in YES or word in NO:
                    return ("yes" if word in YES else "no"), ""
                return "", say("Type yes or no.")
            case "number":
                return normal(typed) or field.value, ""
            case _:
                if typed.strip() == "." and field.value:
                    return "", ""
                return typed.strip() or field.value, ""

    def _files(self, page: Page, field: Field) -> Outcome:
        """Let files be chosen from listings until `.` is typed, or Enter once something is chosen."""
        chosen = tuple(line for line in field.value.splitlines() if line)
        listing = Listing(Path(field.folder or "/"), chosen, most=10 if self.display.slow else 20)
        self.talk.say_wrapped(self.said(field.label))
        if problem := listing.open(listing.folder):
            self.wrong(problem)
            listing.open(Path("/"))
        show = True
        while True:
            if show:
                self.talk.say(*listing.lines(self.catalogue, self.talk.width))
            typed = self.prompt(
                say("A number opens a folder or chooses a file, several as 1,3; or type a path; . when done")
                if not listing.chosen
                else say("A number, a path, or . when done [.]")
            )
            command, show = command_of(typed), False
            if command == "help":
                self.help(field.help, *page.help)
            elif command is not None:
                return command
            elif normal(typed) in ("", ".", "。"):
                if not (problem := self._keep(field, "\n".join(listing.chosen))):
                    return "on"
                self.wrong(problem)
            elif problem := self._choose_files(field, listing, typed):
                self.wrong(problem)
            else:
                show = True

    def _choose_files(self, field: Field, listing: Listing, typed: str) -> str:
        """Do what was typed, and keep what is chosen now: whoever leaves next loses none of it."""
        before = listing.chosen
        problem = listing.take(typed)
        if problem or listing.chosen == before:
            return problem
        problem = self.flow.answer(field.name, "\n".join(listing.chosen))
        if problem and listing.chosen:  # none at all is judged when the choosing is done
            listing.chosen = before
            return problem
        return ""


def _question(field: Field, label: str) -> str:
    """The prompt of a field: what is asked, and what Enter takes. label: in the person's language."""
    match field.kind:
        case "choice":
            return _choose_question(field.options, field.value)
        case "yesno":
            default: str = {"yes": say("yes"), "no": say("no")}.get(field.value, "")
            label = say("{label} (yes or no)", label=label)
        case _:
            default = shorten(one_line(field.value), MOST_DEFAULT)
    return say("{label} [{default}]", label=label, default=default) if default else label


def _choose_question(options: Sequence[Option], default: str) -> str:
    number = next((str(n) for n, each in enumerate(options, start=1) if each.value == default), "")
    if not number:
        return say("Choose {numbers}", numbers=_numbers(options))
    return say("Choose {numbers} [{default}]", numbers=_numbers(options), default=number)


def _numbers(options: Sequence[Option]) -> str:
    return f"1-{len(options)}" if len(options) > 1 else "1"
