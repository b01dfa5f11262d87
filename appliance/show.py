"""What the commands print: tables on stdout, live lines on stderr. Never the text of a patient's row."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from appliance.progress import amount_text
from appliance.run.events import Event, read_events
from appliance.run.folder import RunFolder

if TYPE_CHECKING:
    from appliance.data.read import Reading
    from appliance.evaluation.results import Summary
    from appliance.export.package import ExportResult
    from appliance.site.audit import Checked
    from appliance.site.preflight import Finding

SHOWN_PROBLEMS = 20


class TrainingView:
    """A live line for a run: a bar on a terminal, a plain line for each event elsewhere."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        columns = [TextColumn("  {task.description}"), BarColumn(24), TextColumn("{task.fields[facts]}")]
        self._bar = Progress(*columns, TimeRemainingColumn(), console=self._console)
        self._task = self._bar.add_task("training", total=None, facts="")
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
                self._bar.update(self._task, total=steps, completed=step, facts=_progress(event.fields))
                return
            if step < self._next_step and step != steps:
                return
            self._next_step = step + max(steps // 10, 1)
        if line := event_line(event):
            self._console.print(f"  {line}", highlight=False, markup=False)


def _progress(fields: dict[str, Any]) -> str:
    rate = f"{fields['tokens_per_s']:.0f} tokens/s"
    return f"step {fields['step']} of {fields['steps']}: loss {fields['loss']:.3f}, {rate}"


def event_line(event: Event) -> str | None:
    """One event in words; None for what a log need not repeat."""
    f = event.fields
    match event.kind:
        case "state":
            return str(f["state"])
        case "data":
            tokens = f"{f['learned_tokens']} of {f['tokens']} tokens to learn, {f['packs']} packs"
            return f"{f['rows']} rows, {f['refused']} refused, {tokens}"
        case "progress":
            return _progress(f)
        case "held_out":
            return f"step {f['step']}: held-out loss {f['loss']:.3f}"
        case "checkpoint" | "resumed":
            return f"{event.kind} at step {f['step']}"
        case "warning":
            return f"warning: {f['what']} {f['why']}"
        case "failed":
            return f"failed: {f['what']}"
    return None


def print_reading(reading: "Reading", *, as_json: bool) -> None:
    """What data files hold, and each row that cannot be used."""
    if as_json:
        facts = {
            "files": [asdict(f) for f in reading.files],
            "problems": [asdict(p) for p in reading.problems],
        }
        _print_json(facts)
        return
    view = Table(box=None, header_style="bold")
    for title in ("file", "format", "encoding", "rows", "used", "refused"):
        view.add_column(title)
    for file in reading.files:
        found = f"{file.format} (detected)" if file.detected else file.format
        refused = str(file.rows_in - file.rows_out)
        view.add_row(
            Path(file.path).name, found, file.encoding, str(file.rows_in), str(file.rows_out), refused
        )
    Console().print(view)
    for problem in reading.problems[:SHOWN_PROBLEMS]:
        print(problem)
    if len(reading.problems) > SHOWN_PROBLEMS:
        print(f"… and {len(reading.problems) - SHOWN_PROBLEMS} more; --json lists all")


def print_findings(findings: "list[Finding]", *, as_json: bool) -> None:
    """What the doctor found; what is wrong comes with why and next."""
    if as_json:
        _print_json([asdict(finding) for finding in findings])
        return
    for finding in findings:
        print(f"{'good ' if finding.good else 'WRONG'}  {finding.name}: {finding.what}")
        if not finding.good:
            print(f"       why: {finding.why}\n       next: {finding.next_step}")


def print_inventory(held: dict[str, Any], *, as_json: bool) -> None:
    """What a site holds; every file only as JSON."""
    if as_json:
        _print_json(held)
        return
    view = Table("release", "made", "files", "size", "SHA-256 of its list", box=None, header_style="bold")
    for release in held["releases"]:
        number = f"{release['number']}{' (in use)' if release['number'] == held['current'] else ''}"
        size = amount_text(sum(file["size"] for file in release["files"]), "B")
        view.add_row(number, release["created"], str(len(release["files"])), size, release["sums-sha256"])
    Console().print(held["product"])
    Console().print(view)


def print_audit(log: "Checked", *, as_json: bool) -> None:
    """The audit log, whose chain holds."""
    if as_json:
        _print_json({"entries": log.entries, "torn": log.torn, "head": log.head})
        return
    for entry in log.entries:
        facts = {k: v for k, v in entry.items() if k not in ("time", "event", "uid", "before")}
        print(entry["time"], f"uid {entry['uid']}", entry["event"], *(f"{k}={v}" for k, v in facts.items()))
    torn = f", {log.torn} torn by a power cut" if log.torn else ""
    print(f"{len(log.entries)} entries, the chain holds{torn}; head {log.head}")


def print_runs(folder: Path, *, as_json: bool) -> None:
    """All runs, newest last."""
    from appliance.run.lock import find_worker

    rows = []
    for root in sorted(path for path in folder.glob("*") if (path / "plan.toml").is_file()):
        run = RunFolder(root)
        events = read_events(run.events)
        state = next((e.fields["state"] for e in reversed(events) if e.kind == "state"), "made")
        step = next(
            (f"{e.fields['step']}/{e.fields['steps']}" for e in reversed(events) if e.kind == "progress"), ""
        )
        if state in ("preparing", "training") and find_worker(run.lock) is None:
            state = "interrupted"
        rows.append({"run": root.name, "state": state, "step": step})
    if as_json:
        _print_json(rows)
        return
    view = Table("run", "state", "step", box=None, header_style="bold")
    for row in rows:
        view.add_row(row["run"], row["state"], row["step"])
    Console().print(view)


def print_summary(summary: "Summary", *, as_json: bool) -> None:
    """Right answers before and after, a line a set."""
    if as_json:
        _print_json(msgspec.to_builtins(summary.sets))
        return
    view = Table(
        "questions", "judged", "right", "BLEU", "ROUGE-L", "perplexity", box=None, header_style="bold"
    )
    for s in summary.sets:
        view.add_row(
            s.name,
            "equal" if s.judge == "exact" else "contains",
            f"{s.right_before} → {s.right_after} of {s.questions}",
            f"{s.before.bleu:.0f} → {s.after.bleu:.0f}",
            f"{s.before.rouge_l:.2f} → {s.after.rouge_l:.2f}",
            f"{_perplexity(s.before.perplexity)} → {_perplexity(s.after.perplexity)}",
        )
    Console().print(view)


def print_export(made: "ExportResult") -> None:
    """What left the run, how alike its stages are, and the lines for Ollama."""
    console = Console()
    view = Table("compared", "places", "largest difference", "allowed", "", box=None, header_style="bold")
    for each in made.parity.comparisons:
        figures = (str(each.positions), f"{each.largest_difference:.2g}", f"{each.allowed_difference:.2g}")
        view.add_row(each.compared, *figures, "same" if each.passed else "DIFFERENT")
    console.print(view)
    sizes = f"merged {amount_text(made.merged_bytes, 'B')}, GGUF {amount_text(made.gguf_bytes, 'B')}"
    times = f"merge {made.merge_s:.1f} s, conversion {made.gguf_s:.1f} s, comparison {made.parity_s:.1f} s"
    console.print(f"{sizes}; {times}", highlight=False)
    console.print(f"{made.folder}: README.md there has the lines for Ollama", highlight=False, soft_wrap=True)


def _perplexity(value: float | None) -> str:
    return "not finite" if value is None else f"{value:.3g}"


def _print_json(value: Any) -> None:
    json.dump(value, sys.stdout, ensure_ascii=False, indent=1)
    print()
