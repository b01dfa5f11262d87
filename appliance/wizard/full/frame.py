"""The fixed lines around a page: where am I, how does it stand, which keys."""

import getpass
from importlib.metadata import PackageNotFoundError, version

from rich.cells import cell_len
from rich.text import Text

from appliance.locale import LANGUAGES, OWN_NAMES, Catalogue
from appliance.sentence import say
from appliance.wizard.cells import shorten
from appliance.wizard.draw import STYLES, mark
from appliance.wizard.full.rows import said
from appliance.wizard.page import Level, Page

OFFLINE = say("OFFLINE")
MOVE, SELECT, BACK = say("Tab/Arrows Move"), say("Enter Select"), say("Esc Back")
HELP, LANGUAGE, LEAVE, REDRAW = say("F1 Help"), say("F2 Language"), say("F9 Save+leave"), say("F4 Redraw")
BELOW, ABOVE = say("more below: PgDn"), say("more above: PgUp")


def program_name() -> str:
    """The program and its version."""
    try:
        return f"Islet {version('islet')}"
    except PackageNotFoundError:
        return "Islet"


def user_name() -> str:
    """Who is logged in, as the system calls them; empty where it has no name."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return ""


def header(page: Page, program: str, user: str, catalogue: Catalogue, width: int) -> Text:
    """` Islet 0.1.0   Step 2 of 10  Base model          li.na  OFFLINE `."""
    left = f" {program}   "
    if page.step:
        left += f"{said(say('Step {step} of {steps}', step=page.step, steps=page.steps), catalogue)}  "
    right = f"{shorten(user, 16)}  {said(OFFLINE, catalogue)} "
    title = shorten(said(page.title, catalogue), max(0, width - cell_len(left) - cell_len(right) - 1))
    gap = width - cell_len(left) - cell_len(title) - cell_len(right)
    return Text(left).append(title, "bold").append(" " * max(gap, 0)).append(right)


def rule(width: int, *, plain: bool, text: str = "") -> Text:
    """A line across, with a word about what is out of sight."""
    line = "-" if plain else "─"
    if not text:
        return Text(line * width, style="dim")
    end = f" {text} " + line * 2
    return Text(line * max(0, width - cell_len(end)), style="dim").append(end, "not dim")


def verdict(level: Level, text: str, catalogue: Catalogue, width: int) -> Text:
    """` [ OK ] How this page stands.`."""
    word = mark(level, catalogue)
    line = Text(" ").append(word, STYLES[level]).append(" ")
    return line.append(shorten(said(text, catalogue), max(0, width - cell_len(word) - 3)))


def out_of_sight(above: bool, below: bool, catalogue: Catalogue) -> str:
    """What PgUp and PgDn would show."""
    return "  ".join(said(text, catalogue) for text, there in ((ABOVE, above), (BELOW, below)) if there)


def other_language(catalogue: Catalogue, *, chinese: bool) -> str:
    """What F2 does: the other language by its own name, where this terminal can draw that."""
    if not chinese:
        return said(LANGUAGE, catalogue)
    other = next(language for language in LANGUAGES if language != catalogue.language)
    return f"F2 {OWN_NAMES[other]}"
