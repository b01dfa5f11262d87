"""The section on the data: every file, every row that was refused and why. Pure."""

from pathlib import Path

from appliance.data.canonical import Check
from appliance.locale.voice import Voice
from appliance.report.blocks import Block, Column, Paragraph, Section, Table
from appliance.report.facts import Facts
from appliance.report.gaps import Missing, gap

SHOWN_PROBLEMS = 50


def data_section(facts: Facts, say: Voice) -> Section:
    """All of it; the counts add up before the reader's eyes."""
    check = facts.check
    if isinstance(check, Missing):
        return Section(say("Data"), (gap(say("the check of the data"), check, say),))
    total = say(
        "{read} rows read = {trained} trained + {held_out} held out + {refused} refused, in reading or by "
        "the model.",
        **counts(check),
    )
    blocks: list[Block] = [_files(check, say), Paragraph(total)]
    for file in check.files:
        if file.ignored_fields:
            name, fields = Path(file.path).name, ", ".join(file.ignored_fields)
            said = say("{file}: fields that nothing is made of: {fields}.", file=name, fields=fields)
            blocks.append(Paragraph(said, "quiet"))
    if check.problems:
        shown = min(SHOWN_PROBLEMS, len(check.problems))
        title = say("Refused rows, {shown} of {total} shown:", shown=shown, total=len(check.problems))
        blocks += [Paragraph(title), _problems(check, say)]
    return Section(say("Data"), tuple(blocks))


def counts(check: Check) -> dict[str, int]:
    """How many rows went which way, by the names that sentences give them."""
    return {
        "read": check.rows_in,
        "trained": check.train_rows,
        "held_out": check.held_out_rows,
        "refused": check.refused_rows,
    }


def _files(check: Check, say: Voice) -> Table:
    columns = (
        *(Column(say("File")), Column(say("Format")), Column(say("Rows in"), "number")),
        *(Column(say("Usable as read"), "number"), Column(say("Refused in reading"), "number")),
        Column(say("SHA-256"), "code"),
    )
    rows = []
    for file in check.files:
        form = say("{format} (detected)", format=file.format) if file.detected else file.format
        form = f"{form}, {file.encoding}" if file.encoding else form
        figures = str(file.rows_in), str(file.rows_out), str(file.rows_in - file.rows_out)
        rows.append((file.name or Path(file.path).name, form, *figures, file.sha256))
    return Table(columns, tuple(rows))


def _problems(check: Check, say: Voice) -> Table:
    columns = (
        *(Column(say("File")), Column(say("Row"), "number"), Column(say("Field"))),
        *(Column(say("What is wrong"), "prose"), Column(say("What to do"), "prose")),
    )
    rows = (
        (each.file, str(each.row), each.field, say.again(each.what), say.again(each.fix))
        for each in check.problems[:SHOWN_PROBLEMS]
    )
    return Table(columns, tuple(rows))
