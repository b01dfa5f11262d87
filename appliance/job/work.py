"""Evaluation, export and report of a run on a site, audit entries included: what commands and jobs do.

Whoever starts the process calls `appliance.model.offline.go_offline` first.
"""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.job.record import at_work
from appliance.job.state import Kind
from appliance.progress import Progress
from appliance.run.folder import RunFolder
from appliance.run.lock import PATIENCE_S
from appliance.site.layout import Site
from appliance.supervisor.record import record

if TYPE_CHECKING:
    from appliance.evaluation.results import Summary
    from appliance.export.package import ExportResult

REPORT_PATIENCE_S = 600.0
"""How long the end of an export waits for a report that another is writing: that one is of the old export."""


def evaluate_run(run: RunFolder, site: Site, progress: Progress) -> "Summary":
    """Ask the plan's questions before and after, with an entry in the audit log; the figures.

    Raises: as `appliance.evaluation.compare.evaluate`; HostNotReady, when the run is being evaluated.
    """
    with at_work(run, "evaluate", progress) as told:
        from appliance.evaluation.compare import evaluate

        found = evaluate(run, told)
        record(site, "evaluate", run=run.root.name, summary_sha256=_sha256(run.evaluation / "summary.json"))
        return found


def export_run(run: RunFolder, site: Site, progress: Progress) -> "ExportResult":
    """Merge, convert, compare and pack the run, with an entry in the audit log.

    Raises: as `appliance.export.package.export`; HostNotReady, when the run is being exported.
    """
    with at_work(run, "export", progress) as told:
        return _export(run, site, told)


def report_run(run: RunFolder, site: Site, progress: Progress, *, patience_s: float = PATIENCE_S) -> Path:
    """Write the run's report, with an entry in the audit log; the path of its page.

    Raises: as `appliance.report.write.write_report`; HostNotReady, when it is being written.
    """
    with at_work(run, "report", progress, patience_s=patience_s) as told:
        from appliance.report.site_facts import gather
        from appliance.report.write import write_report

        page = write_report(run, gather(site, run), progress=told)
        record(site, "report", run=run.root.name, html_sha256=_sha256(page))
        return page


def do(kind: Kind, run: RunFolder, site: Site, progress: Progress) -> None:
    """What the job `kind` does. An export ends with the report, so that this speaks of what was made.

    Raises: what these raise.
    """
    if kind == "evaluate":
        evaluate_run(run, site, progress)
    elif kind == "report":
        report_run(run, site, progress)
    else:
        with at_work(run, "export", progress) as told:
            _export(run, site, told)
            report_run(run, site, told, patience_s=REPORT_PATIENCE_S)


def _export(run: RunFolder, site: Site, progress: Progress) -> "ExportResult":
    from appliance.export.package import export

    made = export(run, site.converter, progress)
    record(site, "export", run=run.root.name, sums_sha256=_sha256(made.folder / "SHA256SUMS"))
    return made


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
