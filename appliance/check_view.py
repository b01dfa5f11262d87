"""How findings about rows are shown: a table of codes, the first rows of each. Never a row's words."""

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from appliance.locale import language_of
from appliance.locale.voice import Voice
from appliance.sentence import Sentence, say

if TYPE_CHECKING:
    from appliance.data.checks.check import Checked, Spread
    from appliance.data.checks.clean import Cleaned
    from appliance.data.checks.finding import Finding
    from appliance.data.read import FileReport

UNITS: dict[str, Sentence] = {"tokens": say("tokens"), "characters": say("characters")}
BARS = 20
"""Cells of the longest bar of the histogram."""


def print_checked(checked: "Checked", files: "Sequence[FileReport]", *, show: int) -> None:
    """What was found, in the person's language, at most `show` rows of it."""
    tell = Voice(language_of())
    console = Console(highlight=False)
    counts = checked.counts()
    console.print(_files(files, tell))
    for line in (*_reasons(files, tell), *_first(checked, counts, show, tell)):
        indent = len(line) - len(line.lstrip())
        console.print(Padding(Text(line.lstrip()), (0, 0, 0, indent)))
    console.print(Text(_lengths(checked.spread, tell)))
    if counts:  # at the end, so that a screen of 24 lines still shows it
        console.print(_codes(counts, tell))
    console.print(Text(_verdict(checked, tell)))


def write_json(checked: "Checked", files: "Sequence[FileReport]") -> None:
    """All findings to stdout, a finding a line; the same in every language."""
    head: dict[str, Any] = {
        "files": [asdict(file) for file in files],
        "rows_in": checked.rows_in,
        "rows": len(checked.places),
        "counts": checked.counts(),
        "worst": checked.worst(),
        "spread": asdict(checked.spread),
        "languages": checked.languages,
    }
    body = json.dumps(head, ensure_ascii=False, indent=1).removesuffix("\n}")
    sys.stdout.write(f'{body},\n "findings": [')
    between = "\n"
    for code in checked.counts():
        for finding in checked.findings(code):
            sys.stdout.write(f"{between}  {json.dumps(asdict(finding), ensure_ascii=False)}")
            between = ",\n"
    sys.stdout.write("\n ]\n}\n")


def column_title() -> str:
    """What the column of remarks is called."""
    return Voice(language_of())("islet check")


def remark(found: "list[Finding]") -> str:
    """What is written beside a row, of all that was found in it."""
    from appliance.data.checks.finding import SEVERITIES

    tell = Voice(language_of())
    parts = [
        tell(
            "{severity}: {field}: {what} ({fix})",
            severity=tell.again(SEVERITIES[one.severity]),
            field=tell.again(one.field_name),
            what=tell.again(one.what),
            fix=tell.again(one.fix),
        )
        for one in found
    ]
    return tell("; ").join(parts)


def print_annotated(out: Path, left: int) -> None:
    """Where the annotated copy is, and how many rows could hold no remark."""
    tell = Voice(language_of())
    print(tell("Written: {out}", out=out))
    if left:
        print(
            tell(
                "Rows that could hold no remark, because they are no rows of their format: {count}",
                count=left,
            )
        )


def print_cleaned(cleaned: "Cleaned", out: Path, *, as_json: bool) -> None:
    """What became of the rows, and where they are."""
    from appliance.data.checks.clean import report_of

    facts = {"rows_in": cleaned.rows_in, "rows_out": cleaned.rows_out, "mended": len(cleaned.mended)}
    if as_json:
        told = {**facts, "dropped": len(cleaned.dropped), "counts": cleaned.counts()}
        print(json.dumps({**told, "report": str(report_of(out))}, ensure_ascii=False, indent=1))
        return
    tell = Voice(language_of())
    print(tell("Written: {rows_out:,} of {rows_in:,} rows; {mended:,} of them mended.", **facts))
    for code, count in cleaned.counts().items():
        print("  " + tell("left out for {code}: {count:,}", code=code, count=count))
    print(tell("The rows: {out}", out=out))
    print(tell("Each row that was left out, and why: {report}", report=report_of(out)))


def _files(files: "Iterable[FileReport]", tell: Voice) -> Table:
    columns = tell("file"), tell("format"), tell("encoding"), tell("rows"), tell("used"), tell("refused")
    view = Table(*columns, box=None, header_style="bold")
    for file in files:
        found = tell("{format} (detected)", format=file.format) if file.detected else file.format
        counts = (file.rows_in, file.rows_out, file.rows_in - file.rows_out)
        view.add_row(
            Text(file.name or Path(file.path).name), found, file.encoding, *(f"{count:,}" for count in counts)
        )
    return view


def _reasons(files: "Iterable[FileReport]", tell: Voice) -> Iterator[str]:
    """What each file was taken for and why, and what of it is not read."""
    for file in files:
        said = [tell.again(file.why), *(tell.again(each) for each in file.notices)]
        if file.ignored_fields:
            said.append(tell("not read: {fields}", fields=tell(", ").join(file.ignored_fields)))
        if file.left_out:
            said.append(tell("rows left out, as fewer are wanted: {count:,}", count=file.left_out))
        yield from (f"{file.name}: {each}" for each in said if each)


def _lengths(spread: "Spread", tell: Voice) -> str:
    if not spread.total:
        return ""
    unit = tell.again(UNITS[spread.unit])
    words = tell(
        "Half of the rows have up to {median:,} {unit}, the longest {longest:,}; {share:.0%} is learned.",
        median=spread.median,
        longest=spread.longest,
        unit=unit,
        share=spread.learned / spread.total,
    )
    bars = "  ".join(f"≤{bound:,} {count:,}" for bound, count in spread.lengths)
    return f"{words}\n{bars}"


def _codes(counts: dict[str, int], tell: Voice) -> Table:
    from appliance.data.checks.finding import KINDS, SEVERITIES

    view = Table(
        tell("gravity"), tell("rows"), tell("finding"), tell("what it is"), box=None, header_style="bold"
    )
    view.columns[1].justify = "right"
    for code, count in counts.items():
        kind = KINDS[code]
        view.add_row(tell.again(SEVERITIES[kind.severity]), f"{count:,}", code, tell.again(kind.title))
    return view


def _verdict(checked: "Checked", tell: Voice) -> str:
    match checked.worst():
        case None:
            return tell("Nothing found. Checks see the form of rows, not whether an answer is right.")
        case "refused":
            return tell(
                "Mend the rows that are REFUSED: training does not take them. `--annotate COPY` writes a "
                "copy of your file with what was found beside each row."
            )
    return tell("Training takes all rows. What is found may still harm what the model learns.")


def _first(checked: "Checked", counts: dict[str, int], show: int, tell: Voice) -> Iterator[str]:
    """How to mend each code, and its first rows, as evenly as `show` allows."""
    from appliance.data.checks.finding import KINDS

    left = show
    for place, (code, count) in enumerate(counts.items()):
        part = max(left // (len(counts) - place), 1 if left else 0)
        if not part:
            break
        has_own_fix = code == "unusable"
        yield code if has_own_fix else f"{code}: {tell.again(KINDS[code].fix)}"
        shown = 0
        for finding in checked.findings(code):
            if shown == part:
                break
            shown += 1
            yield f"  {tell.again(finding.sentence(with_fix=has_own_fix))}"
        left -= shown
        if count > shown:
            yield "  " + tell("and {count:,} more; --show and --json list more", count=count - shown)
