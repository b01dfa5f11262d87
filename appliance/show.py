"""What the commands print: tables on stdout, live lines on stderr. Never the text of a patient's row.

All of it is said in the language that the environment asks for; JSON is the same in every language.
"""

import json
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column, Table

from appliance.errors import ApplianceError
from appliance.locale import language_of
from appliance.locale.voice import Voice
from appliance.progress import amount_text
from appliance.run.events import Event
from appliance.run.overview import list_runs
from appliance.run.retention import find_retention, today
from appliance.run.told import event_sentence, progress_sentence, state_word
from appliance.site.health.lines import finding_lines

if TYPE_CHECKING:
    from appliance.evaluation.results import Summary
    from appliance.export.package import ExportResult
    from appliance.site.health.finding import Finding


class TrainingView:
    """A live line for a run: a bar on a terminal, a plain line for each event elsewhere."""

    def __init__(self) -> None:
        self._say = _voice()
        self._console = Console(stderr=True)
        columns = [TextColumn("  {task.description}"), BarColumn(24), TextColumn("{task.fields[facts]}")]
        self._bar = Progress(*columns, TimeRemainingColumn(), console=self._console)
        self._task = self._bar.add_task(self._say("training"), total=None, facts="")
        self._next_step = 1

    def __enter__(self) -> "TrainingView":
        if self._console.is_terminal:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def show(self, event: Event) -> None:
        """Show one event; of the many that tell a step, a log gets a tenth of the run each."""
        if event.kind == "progress":
            step, steps = event.fields["step"], event.fields["steps"]
            if self._console.is_terminal:
                facts = self._say.again(progress_sentence(event.fields))
                self._bar.update(self._task, total=steps, completed=step, facts=facts)
                return
            if step < self._next_step and step != steps:
                return
            self._next_step = step + max(steps // 10, 1)
        if line := event_line(event, self._say):
            self._console.print(f"  {line}", highlight=False, markup=False)


def event_line(event: Event, say: Voice) -> str | None:
    """One event in words; None for what a log need not repeat."""
    sentence = event_sentence(event)
    return None if sentence is None else say.again(sentence)


def print_findings(findings: "list[Finding]", *, as_json: bool) -> None:
    """What the doctor found; what is wrong comes with why and next."""
    if as_json:
        _print_json([asdict(finding) for finding in findings])
        return
    for line in finding_lines(findings, _voice()):
        print(line)


def print_inventory(held: dict[str, Any], *, as_json: bool) -> None:
    """What a site holds; every file only as JSON."""
    if as_json:
        _print_json(held)
        return
    say = _voice()
    sums = Column(say("SHA-256 of its list"), overflow="fold")  # to be compared: never with a part left out
    columns = say("release"), say("created"), say("files"), say("size"), sums
    view = Table(*columns, box=None, header_style="bold")
    for release in held["releases"]:
        number = str(release["number"])
        if release["number"] == held["current"]:
            number = say("{number} (in use)", number=number)
        size = amount_text(sum(file["size"] for file in release["files"]), "B")
        view.add_row(number, release["created"], str(len(release["files"])), size, release["sums-sha256"])
    Console().print(held["product"])
    Console().print(view)


def print_runs(folder: Path, supervised: Mapping[str, str], *, as_json: bool) -> None:
    """All runs, newest last.

    supervised: what a supervisor says of those that it has in hand, which may be more than their folders tell
    """
    rows = []
    for line in list_runs(folder):
        told = supervised.get(line.name)
        state = told if told == "queued" or (told and line.state == "unreadable") else line.state
        step = f"{line.step}/{line.steps}" if line.step else ""
        rows.append({"run": line.name, "state": state, "step": step, **_kept(folder / line.name)})
    if as_json:
        _print_json(rows)
        return
    say = _voice()
    has_days = any("keep_until" in row for row in rows)
    days = [say("keep until")] if has_days else []
    name = Column(say("run"), no_wrap=True, overflow="fold")  # to be copied: never with a part left out
    others = (Column(each, overflow="fold") for each in (say("state"), say("step"), *days))
    view = Table(name, *others, box=None, header_style="bold")
    for row in rows:
        until = str(row.get("keep_until", ""))
        day = [say("{day} OVERDUE", day=until) if row.get("overdue") else until] if has_days else []
        view.add_row(str(row["run"]), say.again(state_word(str(row["state"]))), str(row["step"]), *day)
    Console().print(view)
    if overdue := sum(1 for row in rows if row.get("overdue")):
        print(say("Overdue: {count}. Look at them, then: islet runs remove RUN", count=overdue))


def _kept(run: Path) -> dict[str, object]:
    """Until when a run may be kept, where a day was set that this account may see."""
    with suppress(OSError, ApplianceError):
        if retention := find_retention(run):
            return {"keep_until": retention.until.isoformat(), "overdue": retention.is_overdue(today())}
    return {}


def print_stopped(was_at_work: bool) -> None:
    """What came of stopping a run."""
    say = _voice()
    print(say("stopped, with a checkpoint") if was_at_work else say("no worker was at work"))


def print_summary(summary: "Summary", *, as_json: bool) -> None:
    """Right answers before and after, a line a set."""
    if as_json:
        _print_json(msgspec.to_builtins(summary.sets))
        return
    say = _voice()
    columns = say("questions"), say("judged"), say("right"), "BLEU", "ROUGE-L", say("perplexity")
    view = Table(*columns, box=None, header_style="bold")
    for s in summary.sets:
        view.add_row(
            s.name,
            say("equal") if s.judge == "exact" else say("contains"),
            say(
                "{right_before} → {right_after} of {questions}",
                right_before=s.right_before,
                right_after=s.right_after,
                questions=s.questions,
            ),
            say("{was} → {now}", was=f"{s.before.bleu:.0f}", now=f"{s.after.bleu:.0f}"),
            say("{was} → {now}", was=f"{s.before.rouge_l:.2f}", now=f"{s.after.rouge_l:.2f}"),
            say(
                "{was} → {now}",
                was=_perplexity(s.before.perplexity, say),
                now=_perplexity(s.after.perplexity, say),
            ),
        )
    Console().print(view)


def print_export(made: "ExportResult") -> None:
    """What left the run, how alike its stages are, and the lines for Ollama."""
    console, say = Console(), _voice()
    columns = say("compared"), say("places"), say("largest difference"), say("allowed"), ""
    view = Table(*columns, box=None, header_style="bold")
    for each in made.parity.comparisons:
        figures = (str(each.positions), f"{each.largest_difference:.2g}", f"{each.allowed_difference:.2g}")
        view.add_row(say.again(each.compared), *figures, say("same") if each.passed else say("DIFFERENT"))
    console.print(view)
    sizes = say(
        "merged {merged}, GGUF {gguf}; merge {merge_s:.1f} s, conversion {gguf_s:.1f} s, "
        "comparison {parity_s:.1f} s",
        merged=amount_text(made.merged_bytes, "B"),
        gguf=amount_text(made.gguf_bytes, "B"),
        merge_s=made.merge_s,
        gguf_s=made.gguf_s,
        parity_s=made.parity_s,
    )
    console.print(sizes, highlight=False)
    lines = say("{folder}: README.md there has the lines for Ollama", folder=made.folder)
    console.print(lines, highlight=False, soft_wrap=True)


def _perplexity(value: float | None, say: Voice) -> str:
    return say("not finite") if value is None else f"{value:.3g}"


def _voice() -> Voice:
    return Voice(language_of())


def _print_json(value: Any) -> None:
    json.dump(value, sys.stdout, ensure_ascii=False, indent=1)
    print()
