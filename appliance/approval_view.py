"""What `islet approve` prints: an export, what was measured of it, and what was decided; no row."""

from collections.abc import Mapping

from rich.console import Console
from rich.table import Table

from appliance.data_view import cell, line, voice
from appliance.errors import ApplianceError
from appliance.evaluation.results import read_summary
from appliance.locale.voice import Voice
from appliance.progress import amount_text
from appliance.run.folder import RunFolder
from appliance.site.approval import Decision, Export, Verdict, decision_sentence
from appliance.site.audit import name_of


def print_candidate(run: RunFolder, found: Export, before: Decision | None) -> None:
    """All that an approval would stand for, and what was decided before."""
    say = voice()
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    files = say(
        "{count} files, {amount}, each as its SHA256SUMS lists it",
        count=found.files,
        amount=amount_text(found.size, "B"),
    )
    page = run.root / "report" / "report.html"
    rows = [
        (say("Run"), run.root.name),
        (say("Trained by"), name_of(run.root.stat().st_uid)),
        (say("Export"), files),
        *_right_answers(run, say),
        (say("Report"), str(page) if page.is_file() else say("none yet: islet report RUN")),
        (
            say("Until now"),
            say("nobody has decided on it") if before is None else say.again(decision_sentence(before)),
        ),
    ]
    for name, value in rows:
        table.add_row(name, cell(value))
    Console(highlight=False).print(table)
    print(f"SHA256SUMS {found.sums_sha256}")  # apart: whole within 80 columns, to be copied


def print_approved(run: str, approved: Mapping[str, Decision]) -> None:
    """What would be taken back."""
    say = voice()
    if not approved:
        print(say("Nothing of {run} is approved.", run=run))
    for sums_sha256, decision in approved.items():
        print(f"SHA256SUMS {sums_sha256}: {line(say.again(decision_sentence(decision)))}")


def print_decision(run: str, verdict: Verdict) -> None:
    """That it was written down, and for what it stands."""
    say = voice()
    if verdict == "approved":
        print(say("Approved: {run}, with the files of this SHA256SUMS and no others.", run=run))
    else:
        print(say("Withdrawn: {run}. Tell those who use the model.", run=run))


def _right_answers(run: RunFolder, say: Voice) -> list[tuple[str, str]]:
    """A line a set of questions."""
    try:
        sets = read_summary(run).sets
    except ApplianceError:
        return [(say("Right answers"), say("not counted: islet eval RUN"))]
    return [
        (
            say("Right answers in “{set}”", set=each.name),
            say(
                "{before} of {questions} before, {after} after",
                before=each.right_before,
                after=each.right_after,
                questions=each.questions,
            ),
        )
        for each in sets
    ]
