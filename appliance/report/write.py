"""Write the report of a run: `report/report.md`, and the same as one page, `report/report.html`."""

from datetime import UTC, datetime
from pathlib import Path

from appliance.durable import write_whole
from appliance.errors import HostNotReady
from appliance.locale import Language, language_of
from appliance.locale.voice import Voice
from appliance.progress import Progress, Silent
from appliance.report.facts import read_facts
from appliance.report.gaps import Missing
from appliance.report.markdown import to_markdown
from appliance.report.page import to_page
from appliance.report.sections import to_document
from appliance.report.site_facts import SiteFacts
from appliance.run.folder import RunFolder
from appliance.sentence import say

MODE = 0o640
"""The report shows rows of the training data: its group may read it, others may not."""

NO_SITE = Missing(say("no installed site was asked"))


def write_report(
    run: RunFolder,
    site: SiteFacts | None = None,
    *,
    language: Language | None = None,
    now: datetime | None = None,
    progress: Progress | None = None,
) -> Path:
    """The path of the page; both files replace those of an earlier report.

    site: what `gather` found, None where nothing is installed; language: by default what the environment
    asks for; now: the time it is written, UTC. The rest comes from the run folder, so that two reports of an
    unchanged run differ in that time alone.

    Raises: BadInput, when the run's plan cannot be read; HostNotReady, when a file of the run cannot be
    read or the report cannot be written.
    """
    folder = run.root / "report"
    try:
        facts = read_facts(run, site or SiteFacts(NO_SITE, NO_SITE), progress or Silent())
        document = to_document(facts, Voice(language or language_of()), now=now or datetime.now(UTC))
        folder.mkdir(mode=0o750, exist_ok=True)
        write_whole(folder / "report.md", to_markdown(document).encode(), mode=MODE)
        write_whole(folder / "report.html", to_page(document).encode(), mode=MODE)
    except OSError as error:
        raise HostNotReady(
            "The report could not be written.",
            why=str(error),
            next_step="Free some space there, or make the run folder readable, and write the report again.",
        ) from error
    return folder / "report.html"
