"""Before anything is chosen: language, home, and the health of the box."""

from pathlib import Path

from appliance.data.registry.store import list_all
from appliance.errors import ApplianceError
from appliance.locale import LANGUAGES, OWN_NAMES, find_language
from appliance.run.overview import AT_WORK, RunLine
from appliance.run.told import state_word
from appliance.sentence import listed, say
from appliance.site.health.finding import Finding
from appliance.site.preflight import is_brief
from appliance.site.releases import current_release
from appliance.wizard.desk import Desk
from appliance.wizard.draft import Draft
from appliance.wizard.files import is_file
from appliance.wizard.page import Action, Block, Fact, Facts, Level, Option, Paragraph
from appliance.wizard.question import Question, WrongAnswer
from appliance.wizard.step import Step, Verdict, as_failure, begin_anew, error_facts
from appliance.wizard.titles import TITLES

SHOWN_RUNS = 20
CONTINUE, NEW = "continue", "new"


# Language


def _take_language(desk: Desk, text: str) -> Draft:
    language = find_language(text)
    if language is None:
        raise WrongAnswer("Choose one of the languages listed.")
    return desk.changed(language=language)


LANGUAGE = Step(
    name="language",
    number=0,
    title=TITLES["language"],
    help=("Every page can be shown in either language; F2 changes it at any time.",),
    blocks=lambda desk: (Paragraph("Choose a language. / 请选择语言。"),),
    verdict=lambda desk: Verdict(
        "info", "This can be changed on every page: F2. / 任何页面按 F2 均可切换语言。"
    ),
    questions=(
        Question(
            name="language",
            label="Language / 语言",
            help="The language of all pages and messages.",
            kind="choice",
            show=lambda desk: desk.language,
            take=_take_language,
            options=lambda desk: tuple(Option(each, OWN_NAMES[each]) for each in LANGUAGES),
        ),
    ),
    after=lambda desk: "home",
    settle=lambda desk: desk.keep_if_possible(desk.changed(language=desk.language)),
)


# Home


def _runs(desk: Desk) -> list[RunLine]:
    return desk.runs()[:SHOWN_RUNS]


def _home_options(desk: Desk) -> tuple[Option, ...]:
    options = []
    if desk.draft.is_begun:
        where = TITLES.get(desk.draft.reached, desk.draft.reached)
        options.append(Option(CONTINUE, say("Go on with the answers so far\t{where}\t", where=where)))
    options.append(Option(NEW, "A new model\t\t"))
    for line in _runs(desk):
        step = f"{line.step}/{line.steps}" if line.steps else ""
        options.append(
            Option(
                line.name,
                say("{run}\t{state}\t{step}", run=line.name, state=state_word(line.state), step=step),
            )
        )
    return tuple(options)


def _chosen_at_home(desk: Desk) -> str:
    chosen = desk.local.get("go")
    runs = _runs(desk)
    options = [CONTINUE] if desk.draft.is_begun else []
    options += [NEW, *(line.name for line in runs)]
    if chosen in options:
        return str(chosen)
    at_work = next((line.name for line in runs if line.state in AT_WORK), None)
    return at_work or options[0]


def _take_go(desk: Desk, text: str) -> Draft:
    if text not in [option.value for option in _home_options(desk)]:
        raise WrongAnswer("Choose one of the lines.")
    desk.local["go"] = text
    return desk.draft


def _home_blocks(desk: Desk) -> tuple[Block, ...]:
    facts = [Fact("Software", _software(desk))]
    models = desk.models.value
    names = ", ".join(model.name for model in models[:3]) if models else ""
    if models is not None:
        more = say("{names} and {more} more", names=names, more=len(models) - 3) if len(models) > 3 else names
        facts.append(Fact("Models", more or "none installed", "ok" if models else "warn"))
    facts.append(Fact("Data", _data(desk)))
    if older := max(len(desk.runs()) - SHOWN_RUNS, 0):
        facts.append(Fact("Runs", say("{count} older ones are not shown: `islet runs list`", count=older)))
    facts += [_warning(finding) for finding in desk.health.value or () if not finding.good]
    if trouble := desk.local.get("trouble"):
        facts.append(Fact("Run", trouble, "warn"))
    if desk.set_aside is not None:
        what = say("your last answers could not be read; they are kept in {path}", path=desk.set_aside)
        facts.append(Fact("Answers", what, "warn"))
    lead = Paragraph("Tune a language model on this machine. Nothing leaves this machine.")
    return (lead, Facts(tuple(facts)))


def _warning(finding: Finding) -> Fact:
    return Fact(finding.name, finding.what, finding_level(finding))


def _software(desk: Desk) -> str:
    try:
        release = current_release(desk.site)
    except (ApplianceError, OSError, ValueError, KeyError):
        return "the installed release cannot be read"
    return say("{product} release {number}", product=release.product, number=release.number)


def _data(desk: Desk) -> str:
    """The data sets of the site, and files of rows that lie beside them."""
    folders = (desk.site.state / "datasets", desk.site.current / "datasets")
    files = [path.name for folder in folders for path in _inside(folder) if is_file(path)]
    found = [*_registered(desk), *files]
    if not found:
        return say("none in {folder}; any folder can be chosen", folder=folders[0])
    return listed(found[:4] + (["…"] if len(found) > 4 else []))


def _registered(desk: Desk) -> list[str]:
    """`NAME@VERSION` of each data set that this account may read."""
    try:
        return [each.record.reference for each in list_all(desk.site.datasets).versions]
    except ApplianceError:
        return []


def _inside(folder: Path) -> list[Path]:
    """What lies in `folder`; nothing where it is not there, or another's."""
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _open(desk: Desk) -> str:
    """The page that the choice at home leads to."""
    chosen = _chosen_at_home(desk)
    if chosen == NEW:
        desk.keep(Draft(language=desk.draft.language))
        desk.look_again()
        return "health"
    if chosen == CONTINUE:
        return desk.draft.reached
    desk.open_run(chosen)
    desk.keep_if_possible(desk.changed(run=chosen))
    return furthest_page(desk)


def furthest_page(desk: Desk) -> str:
    """The page on which something is to be done next about the open run."""
    view = desk.run
    if (view.run.export / "Modelfile").is_file() and view.job("export").state != "running":
        return "done"
    if view.job("export").state != "none":
        return "export"
    if (view.run.evaluation / "summary.json").is_file():
        return "export"
    return "compare" if view.state == "finished" else "training"


def _home_verdict(desk: Desk) -> Verdict:
    if desk.draft.is_begun and _chosen_at_home(desk) == NEW:
        return Verdict("warn", "A new model begins without the answers so far: they are dropped.")
    return Verdict("info", "Choose a line and press Next.")


HOME = Step(
    name="home",
    number=0,
    title=TITLES["home"],
    help=(
        "A run is one training, from the choice of a model to the file for Ollama. Open one to see how it "
        "stands, or begin a new one.",
        "Leaving never stops a training. To come back, log in and type: islet",
    ),
    blocks=_home_blocks,
    verdict=_home_verdict,
    questions=(
        Question(
            name="go",
            label="What next",
            help="Answers that were begun are kept; a run goes on by itself whether it is looked at or not.",
            kind="choice",
            show=_chosen_at_home,
            take=_take_go,
            options=_home_options,
            columns=("Run", "State", "Step"),
        ),
    ),
    after=_open,
    sure=lambda desk: begin_anew(desk) if _chosen_at_home(desk) == NEW else None,
    live=lambda desk: not (desk.health.done and desk.models.done),
)


# Health


def finding_level(finding: Finding) -> Level:
    """How a finding stands."""
    if finding.good:
        return "ok"
    return "fail" if finding.blocking else "warn"


def _health_blocks(desk: Desk) -> tuple[Block, ...]:
    lead = Paragraph("What this machine has for the work. Your answers are saved after every one.")
    findings = desk.health.value
    if desk.health.error is not None:
        return (lead, error_facts(as_failure(desk.health.error)))
    if findings is None:
        return (lead, Paragraph("The machine is being looked at.", "busy"))
    facts = [
        Fact(
            each.name,
            each.what,
            finding_level(each),
            *(("", "") if each.good else (each.why, each.next_step)),
        )
        for each in findings
        if is_brief(each)
    ]
    return (lead, Facts(tuple(facts)))


def _health_verdict(desk: Desk) -> Verdict:
    findings = desk.health.value
    if findings is None:
        if desk.health.error is not None:
            return Verdict("warn", "The machine could not be looked at. You can go on, or check again.")
        return Verdict("busy", "Looking at the machine.", stops=True)
    if any(finding.blocking and not finding.good for finding in findings):
        return Verdict("fail", "What is marked must be mended first; then check again.", stops=True)
    if any(not finding.good for finding in findings):
        return Verdict("warn", "You can go on; read what is marked first.")
    return Verdict("ok", "This machine is ready.")


def _again(desk: Desk) -> str | None:
    desk.look_at_box_again()
    return None


HEALTH = Step(
    name="health",
    number=1,
    title=TITLES["health"],
    help=(
        "Room on disk, memory, graphics card, clock and rights. What is marked with a warning does not stop "
        "you; each says why it matters and what to do.",
        "`islet doctor` examines more: every installed file, and two real training steps.",
    ),
    blocks=_health_blocks,
    verdict=_health_verdict,
    before=lambda desk: "home",
    after=lambda desk: "model",
    actions=lambda desk: (Action("again", "Check again", key="f5"),),
    takes={"again": _again},
    live=lambda desk: not desk.health.done,
)
