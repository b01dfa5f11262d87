"""What the commands on data sets print: names, counts, hashes and days; no row. Standard library and rich."""

import datetime
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from appliance.locale import language_of
from appliance.locale.voice import Voice
from appliance.progress import amount_text
from appliance.run.retention import Retention, today
from appliance.sentence import Sentence, say
from appliance.site.reach import Reach, reach_sentences

if TYPE_CHECKING:
    from appliance.data.mix import Part, Recipe
    from appliance.data.mix import Plan as MixPlan
    from appliance.data.registry.removal import RemovalPlan
    from appliance.data.registry.store import Listing, Version
    from appliance.data.split import Parted
    from appliance.data.tally import Tally
    from appliance.run.rows import Problem

SHOWN_PROBLEMS = 10
SHOWN_RUNS = 20
HASH_SIGNS = 16
"""Of a hash, in a table that fits 80 columns; JSON has all of it."""

KINDS: dict[str, Sentence] = {
    "chat": say("conversations"),
    "preference": say("preferences"),
    "label": say("judged answers"),
    "text": say("texts"),
}


def voice() -> Voice:
    """Says sentences in the language that the environment asks for."""
    return Voice(language_of())


def line(text: str) -> str:
    """`text` that somebody else wrote (a name, a record), as a line that does nothing to the terminal."""
    return "".join(sign if sign.isprintable() else "?" for sign in text)


def cell(text: str) -> str:
    """The same in a table, where brackets mean something else."""
    return escape(line(text))


def print_json(value: Any) -> None:
    """`value` for scripts."""
    print(json.dumps(value, ensure_ascii=False, indent=1))


def kinds_text(kinds: dict[Any, int], tell: Voice) -> str:
    """Rows by what they teach: `120 conversations, 8 texts`."""
    return tell(", ").join(f"{count:,} {tell.again(KINDS[kind])}" for kind, count in kinds.items())


def print_added(version: "Version", tally: "Tally", *, as_json: bool) -> None:
    """What a new version is."""
    if as_json:
        facts = msgspec.to_builtins(version.record)
        print_json({**facts, "problems": [_problem(each) for each in tally.problems]})
        return
    tell, record = voice(), version.record
    print(tell("Added: {reference}", reference=f"dataset:{record.reference}"))
    print("  " + tell(", ").join((kinds_text(record.kinds, tell), amount_text(record.size, "B"))))
    print(f"  SHA-256 {record.sha256}")
    _print_of_none(tally, tell)
    print_refused(record.refused, tally.problems, tell)
    if version.retention:
        print(tell("  It may be kept until {day}.", day=version.retention.until))


def print_converted(out: Path, tally: "Tally", *, as_json: bool) -> None:
    """What was written."""
    facts = {"file": str(out), "rows": tally.rows, "refused": tally.refused, "kinds": dict(tally.kinds)}
    if as_json:
        print_json({**facts, "groups": len(tally.groups), "problems": [_problem(e) for e in tally.problems]})
        return
    tell = voice()
    print(tell("Written: {out}, {kinds}", out=out, kinds=kinds_text(tally.kinds, tell)))
    if tally.groups:
        print(tell("  groups: {count}", count=len(tally.groups)))
    _print_of_none(tally, tell)
    print_refused(tally.refused, tally.problems, tell)


def _print_of_none(tally: "Tally", tell: Voice) -> None:
    """How many rows are of no group where others are: whose they are is not known."""
    if tally.groups and tally.of_none:
        print(tell("  rows of no group: {count}", count=tally.of_none))


def print_refused(refused: int, problems: "Sequence[Problem]", tell: Voice) -> None:
    """How many rows were left out, and the first of them."""
    if refused:
        print(tell("  Rows that cannot be used and were left out: {count}", count=refused))
    for problem in problems[:SHOWN_PROBLEMS]:
        print(f"  {line(tell.again(problem.sentence()))}")


@dataclass(frozen=True)
class SplitShown:
    """A split, for the eyes."""

    out: Path
    parted: "Parted"
    groups: int
    tally: "Tally"
    counted: bool
    """Whether tokens were counted."""
    written: bool
    by_words: bool
    """Whether what each side has its share of is told by words of rows: answers, values of a column."""


SIDE_WORDS: dict[str, Sentence] = {
    "train": say("train"),
    "validation": say("validation"),
    "test": say("test"),
}


def print_split(split: SplitShown, *, as_json: bool) -> None:
    """Rows and tokens of each side, and by what they are."""
    parted = split.parted
    if as_json:
        facts = {"folder": str(split.out), "written": split.written, "rows": dict(parted.rows)}
        lengths = {"tokens": dict(parted.tokens)} if split.counted else {}
        strata = {
            str(number) if split.by_words else name: dict(sides)
            for number, (name, sides) in enumerate(parted.strata.items(), start=1)
        }
        print_json({**facts, **lengths, "groups": split.groups, "refused": split.tally.refused, "by": strata})
        return
    tell = voice()
    columns = [tell("part"), tell("rows"), *([tell("tokens")] if split.counted else [])]
    names = list(parted.strata) if 1 < len(parted.strata) <= SHOWN_STRATA else []
    view = Table(*columns, *(shown(name) or tell("nothing") for name in names), box=None, header_style="bold")
    for side, rows in parted.rows.items():
        tokens = [f"{parted.tokens[side]:,}"] if split.counted else []
        view.add_row(
            tell.again(SIDE_WORDS[side]),
            f"{rows:,}",
            *tokens,
            *(f"{parted.strata[name][side]:,}" for name in names),
        )
    Console().print(view)
    if split.groups:
        print(tell("None of {count} groups is on two sides.", count=split.groups))
    _print_of_none(split.tally, tell)
    print(tell("No question is on two sides."))
    print_refused(split.tally.refused, split.tally.problems, tell)
    print(tell("Written: {folder}", folder=split.out) if split.written else tell("Nothing was written."))


SHOWN_STRATA = 4
_LONGEST_STRATUM = 12


def shown(name: str) -> str:
    """What somebody's cell says, for the head of a column: short, nothing in it acts on a terminal."""
    return cell(name[:_LONGEST_STRATUM] + ("…" if len(name) > _LONGEST_STRATUM else ""))


def print_mix(plan: "MixPlan", parts: "Sequence[Part]", recipe: "Recipe", *, counted: bool) -> None:
    """What comes out of a mixture, by set."""
    tell = voice()
    by = tell("share (tokens)") if recipe.measure == "tokens" else tell("share (rows)")
    columns = [tell("set"), tell("has"), tell("gives"), *([tell("tokens")] if counted else []), by]
    view = Table(*columns, box=None, header_style="bold")
    for at, part in enumerate(parts):
        tokens = [f"{plan.tokens[at]:,}"] if counted else []
        gives = f"{plan.rows[at]:,}"
        if plan.rows[at] > sum(plan.kept[at]):
            gives = tell("{rows} (repeated)", rows=gives)
        view.add_row(
            cell(part.name),
            f"{len(part.lengths):,}",
            gives,
            *tokens,
            f"{plan.share(at, recipe.measure):.1%}",
        )
    total = [f"{sum(plan.tokens):,}"] if counted else []
    view.add_row(
        tell("together"), f"{sum(len(part.lengths) for part in parts):,}", f"{sum(plan.rows):,}", *total, ""
    )
    Console().print(view)
    for part in parts:
        print_refused(part.refused, part.problems, tell)


def print_mixed(out: Path | None) -> None:
    """Where the mixture is."""
    print(voice()("Written: {folder}", folder=out) if out else voice()("Nothing was written."))


def mix_document(
    plan: "MixPlan", parts: "Sequence[Part]", recipe: "Recipe", *, counted: bool
) -> dict[str, Any]:
    """The same for scripts."""
    sets = [
        {
            "name": part.name,
            "has": len(part.lengths),
            "refused": part.refused,
            "rows": plan.rows[at],
            **({"tokens": plan.tokens[at]} if counted else {}),
            "share": round(plan.share(at, recipe.measure), 6),
        }
        for at, part in enumerate(parts)
    ]
    facts = {"strategy": recipe.strategy, "by": recipe.measure, "seed": recipe.seed, "rows": sum(plan.rows)}
    return {**facts, **({"tokens": sum(plan.tokens)} if counted else {}), "sets": sets}


def _problem(problem: Any) -> dict[str, Any]:
    return {name: str(value) if name in ("what", "fix") else value for name, value in asdict(problem).items()}


def print_datasets(listing: "Listing", *, removed: bool, as_json: bool) -> None:
    """All versions, and what was removed."""
    day = today()
    if as_json:
        document: dict[str, Any] = {
            "datasets": [
                {**msgspec.to_builtins(each.record), **retention_facts(each.retention, day)}
                for each in listing.versions
            ],
            "unreadable": list(listing.unreadable),
        }
        if removed:
            document["removed"] = [msgspec.to_builtins(each) for each in listing.removed]
        print_json(document)
        return
    tell = voice()
    if not listing.versions:
        print(tell("There is no data set. Add one: islet data add NAME FILES"))
    columns = tell("data set"), tell("rows"), tell("added"), tell("by"), tell("keep until"), "SHA-256"
    view = Table(*columns, box=None, header_style="bold")
    for each in listing.versions:
        record = each.record
        until = until_text(each.retention, day, tell)
        who = record.made_by.login or record.made_by.user
        made, sha256 = cell(record.created[:10]), cell(record.sha256[:HASH_SIGNS])
        view.add_row(record.reference, f"{record.rows:,}", made, cell(who), until, sha256)
    if listing.versions:
        Console().print(view)
    for name in listing.unreadable:
        print(tell("cannot be read: {name}", name=line(name)))
    overdue = sum(1 for each in listing.versions if each.retention and each.retention.is_overdue(day))
    if overdue:
        print(tell("Overdue: {count}. Look at them, then: islet data remove NAME@VERSION", count=overdue))
    if removed:
        _print_removed(listing, tell)


def _print_removed(listing: "Listing", tell: Voice) -> None:
    for each in listing.removed:
        said = "removed: {name}@{version}, {rows} rows, on {day} by {who}: {reason}"
        facts = {"name": each.name, "version": each.version, "rows": each.rows, "reason": each.reason}
        who = each.removed_by.login or each.removed_by.user
        print(line(tell(said, day=each.removed[:10], who=who, **facts)))


def retention_facts(retention: Retention | None, day: datetime.date) -> dict[str, Any]:
    """The last day, and whether it is over, for scripts."""
    if retention is None:
        return {"keep_until": None, "overdue": False}
    return {"keep_until": retention.until.isoformat(), "overdue": retention.is_overdue(day)}


def until_text(retention: Retention | None, day: datetime.date, tell: Voice) -> str:
    """The last day, with a word where it is over."""
    if retention is None:
        return ""
    until = retention.until.isoformat()
    return tell("{day} OVERDUE", day=until) if retention.is_overdue(day) else until


def print_kept(name: str, until: datetime.date) -> None:
    """Until when something may be kept now."""
    print(voice()("{name} may be kept until {day}.", name=name, day=until))


def print_removal(plan: "RemovalPlan", reach: Reach) -> None:
    """What removing a version would do, and what it would not."""
    tell, record = voice(), plan.version.record
    print(tell("To be removed: {reference}", reference=f"dataset:{record.reference}"))
    size, sha256 = amount_text(plan.size, "B"), line(record.sha256)
    print("  " + tell(", ").join((kinds_text(record.kinds, tell), size)))
    print(f"  SHA-256 {sha256}")
    if plan.runs:
        print(tell("These runs were made from it and hold copies of its rows, which stay:"))
        for name in plan.runs[:SHOWN_RUNS]:
            print(f"  {line(name)}")
    print_reach(reach, tell)


def print_run_removal(name: str, size: int, reach: Reach) -> None:
    """What removing a run would do, and what it would not."""
    tell = voice()
    print(tell("To be removed: {reference}", reference=name))
    print(
        tell(
            "  its rows, checkpoints, adapter, merged model, export and reports: {size}",
            size=amount_text(size, "B"),
        )
    )
    print_reach(reach, tell)


def print_reach(reach: Reach, tell: Voice) -> None:
    """What deletion reaches on this disk."""
    print(tell("The files are overwritten once, then removed. What that does not reach:"))
    for sentence in reach_sentences(reach):
        print(f"  {tell.again(sentence)}")


def print_gone(name: str) -> None:
    """That something was removed."""
    print(voice()("Removed: {name}. The audit log says who, when and why.", name=name))
