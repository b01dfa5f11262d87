"""The answer file: the same flow with nobody there. `islet --plan plan.toml` goes from health to done.

The pages are the wizard's own, so a plan is judged by what a person's answers are judged by. Progress goes
to stderr, a line now and then; what came out, to stdout.
"""

import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

from appliance.data.registry.reference import place
from appliance.errors import ApplianceError, BadInput, HostNotReady, StepFailed
from appliance.locale import catalogue, language_of
from appliance.run.plan import absolute, read_plan
from appliance.sentence import listed, say
from appliance.site.layout import Site
from appliance.wizard.draft import unattended_folder
from appliance.wizard.page import Facts, Level, Page, Paragraph
from appliance.wizard.session import Wizard

POLL_S = 0.5
SAY_EVERY_S = 15.0

BAD: tuple[Level, ...] = ("fail", "warn")

STARTS = {"review": "start", "compare": "compare", "export": "export"}
"""What is pressed on pages whose work nobody has begun."""


def run_plan(site: Site, plan_file: Path) -> Path:
    """Make a model of the plan in `plan_file`; the folder of its export.

    Raises: BadInput, when the plan or its data cannot be used; HostNotReady, when the box cannot do it;
    StepFailed, when training or export fails, or the run is gone; and whatever these ended with.
    """
    beside = plan_file.resolve().parent
    plan, _ = place(read_plan(plan_file), site.datasets, beside)
    plan = absolute(plan, beside)
    folder = unattended_folder(site.state)  # half a form must not be lost to a script
    wizard = Wizard(site, language=language_of(), folder=folder)
    say_line = _teller(wizard)
    begun: set[str] = set()
    try:
        wizard.fill(plan)
        while (page := wizard.page()).name != "done":
            if page.name == "review" and wizard.plan() != plan:
                raise HostNotReady(
                    "The plan does not fit this machine as it is.",
                    why=_reasons(page),
                    next_step="Make the plan in the wizard: it shows what fits. Or choose a smaller model.",
                )
            take_further(wizard, say_line, begun)
        say_line(page)
        return wizard.export_folder()
    except KeyboardInterrupt:
        if begun:
            goes_on = say("What was begun goes on by itself; `islet runs list` shows it.")
            print(catalogue(wizard.language).say(goes_on), file=sys.stderr)
        raise
    finally:
        wizard.close()
        shutil.rmtree(folder, ignore_errors=True)


def take_further(wizard: Wizard, tell: Callable[[Page], None], begun: set[str]) -> None:
    """Wait while the page is busy, then do what leads on from it.

    begun: pages whose work was begun; what was ended from outside is not begun a second time

    Raises: ApplianceError, when the page cannot be passed.
    """
    while (page := wizard.page()).level == "busy":
        tell(page)
        time.sleep(POLL_S)
        wizard.tick()
    tell(page)
    if page.level == "fail":
        raise wizard.trouble() or _refusal(page)
    if page.name == "home":  # where a page leads that has lost its run
        raise StepFailed(
            "The run cannot be gone on with.",
            why=_reasons(page),
            next_step="Find out who removed it; then give the same command again, which makes a new run.",
        )
    offered = {action.name for action in page.actions if not action.why_not}
    action = STARTS.get(page.name, "next")
    if action not in offered or not (page.level == "info" or action == "start"):
        action = "next"
    if action not in offered or page.name in begun and action != "next":
        raise _refusal(page)
    if action != "next":
        begun.add(page.name)
    wizard.act(action)


def _teller(wizard: Wizard) -> Callable[[Page], None]:
    """Says on stderr where the flow is: every new page, and a busy one now and then."""
    last: tuple[str, str, float] = ("", "", 0.0)

    def tell(page: Page) -> None:
        nonlocal last
        now = time.monotonic()
        if (page.name, page.verdict) == last[:2] and now - last[2] < SAY_EVERY_S:
            return
        last = (page.name, page.verdict, now)
        words = catalogue(wizard.language)
        line = say("{label}: {value}", label=words.say(page.title), value=words.say(page.verdict))
        print(words.say(line), file=sys.stderr, flush=True)

    return tell


def _refusal(page: Page) -> ApplianceError:
    """The page's own trouble as an error."""
    kind: type[ApplianceError] = BadInput
    if page.name in ("health", "plan", "values"):
        kind = HostNotReady
    elif page.name in ("training", "compare", "export"):
        kind = StepFailed
    what = say("The page {title} cannot be passed.", title=page.title)
    return kind(what, why=_reasons(page), next_step=page.verdict)


def _reasons(page: Page) -> str:
    """What the page shows as not in order."""
    rows = [row for block in page.blocks if isinstance(block, Facts) for row in block.rows]
    bad = [say("{label}: {value}", label=row.label, value=row.value) for row in rows if row.level in BAD]
    told = [block.text for block in page.blocks if isinstance(block, Paragraph) and block.level in BAD]
    return listed([*bad, *told] or [page.verdict], "; ")
