"""From facts to the sections of a report, each in one function, in the order read. Pure."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import msgspec

from appliance.report.answers import answer_sections, evaluation_section, lost
from appliance.report.blocks import (
    Block,
    Column,
    Document,
    Pairs,
    Paragraph,
    Section,
    Signatures,
    Table,
    shortened,
)
from appliance.report.facts import Facts
from appliance.report.figures import flattened, moment, share
from appliance.report.files import file_sections
from appliance.report.gaps import Missing, gap
from appliance.report.training import training_section
from appliance.report.words import Words

SHOWN_PROBLEMS = 50


def to_document(facts: Facts, words: Words, *, now: datetime) -> Document:
    """The whole report, written at `now` (UTC)."""
    return Document(
        language=words.language,
        title=words.title.format(facts.plan.name),
        subtitle=words.subtitle.format(facts.run, moment(now.isoformat(), words)),
        notice=words.notice,
        sections=(
            _what(facts, words),
            _data(facts, words),
            _plan(facts, words),
            training_section(facts, words),
            evaluation_section(facts, words),
            *answer_sections(facts, words),
            _parity(facts, words),
            *file_sections(facts, words),
            _record(facts, words),
            _signatures(facts, words),
        ),
    )


def _what(facts: Facts, words: Words) -> Section:
    training, story = facts.plan.training, facts.story
    method = (words.qlora if training.nf4 else words.lora).format(training.rank, training.alpha)
    state = dict(words.states).get(story.state, story.state)
    rows = [
        (words.base, facts.base_name),
        (words.method, method),
        (words.state, words.steps_done.format(state, story.step, story.steps)),
    ]
    if not isinstance(facts.check, Missing):
        check = facts.check
        counts = check.rows_in, check.train_rows, check.held_out_rows, check.refused_rows
        rows.append((words.rows_short, words.rows_text.format(*counts)))
    if not isinstance(facts.summary, Missing):
        for each in facts.summary.sets:
            right = (share(count, each.questions, words) for count in (each.right_before, each.right_after))
            rows.append((words.right_short.format(each.name), words.right_text.format(*right)))
    if not isinstance(facts.answers, Missing):
        rows.append((words.lost_short, words.of.format(len(lost(facts.answers)), len(facts.answers))))
    if not isinstance(facts.parity, Missing):
        first = facts.parity.first_difference
        rows.append((words.parity_short, words.parity_no.format(first) if first else words.parity_yes))
    refused = facts.story.refused_connections
    rows.append((words.refused_short, words.not_recorded if refused is None else str(refused)))
    gaps = (gap(name, value, words) for name, value in _named(facts, words) if isinstance(value, Missing))
    return Section(words.what, (Paragraph(words.what_text), Pairs(tuple(rows)), *gaps))


def _named(facts: Facts, words: Words) -> Sequence[tuple[str, object]]:
    """Everything that can be missing, by its name."""
    return [
        (words.the_base, facts.base),
        (words.the_data_check, facts.check),
        (words.the_adapter, facts.adapter),
        (words.the_evaluation, facts.summary),
        (words.the_answers, facts.answers),
        (words.the_merged, facts.merged),
        (words.the_export, facts.export),
        (words.the_parity, facts.parity),
        (words.the_release, facts.site.release),
        (words.the_audit, facts.site.audit),
    ]


def _data(facts: Facts, words: Words) -> Section:
    check = facts.check
    if isinstance(check, Missing):
        return Section(words.data, (gap(words.the_data_check, check, words),))
    columns = (
        Column(words.file),
        Column(words.format),
        Column(words.rows_in, "number"),
        Column(words.rows_out, "number"),
        Column(words.rows_refused, "number"),
        Column(words.sha256, "code"),
    )
    files = []
    for file in check.files:
        form = words.detected.format(file.format) if file.detected else file.format
        rows = str(file.rows_in), str(file.rows_out), str(file.rows_in - file.rows_out)
        files.append((Path(file.path).name, f"{form}, {file.encoding}", *rows, file.sha256))
    counts = check.rows_in, check.train_rows, check.held_out_rows, check.refused_rows
    blocks: list[Block] = [Table(columns, tuple(files)), Paragraph(words.rows_sum.format(*counts))]
    blocks += [
        Paragraph(words.ignored.format(Path(file.path).name, ", ".join(file.ignored_fields)), "quiet")
        for file in check.files
        if file.ignored_fields
    ]
    if check.problems:
        shown = check.problems[:SHOWN_PROBLEMS]
        listed = (
            *(Column(words.file), Column(words.row, "number"), Column(words.field)),
            *(Column(words.problem, "prose"), Column(words.fix, "prose")),
        )
        blocks.append(Paragraph(words.refused_title.format(len(shown), len(check.problems))))
        problems = ((each.file, str(each.row), each.field, each.what, each.fix) for each in shown)
        blocks.append(Table(listed, tuple(problems)))
    return Section(words.data, tuple(blocks))


def _plan(facts: Facts, words: Words) -> Section:
    document = msgspec.to_builtins(facts.plan)
    if facts.plan.training.steps:
        del document["training"]["epochs"]  # which says nothing then
    said = Paragraph(words.plan_text.format(facts.plan_sha256))
    return Section(words.plan, (said, Pairs(tuple(flattened(document)), dense=True)))


def _parity(facts: Facts, words: Words) -> Section:
    parity = facts.parity
    if isinstance(parity, Missing):
        return Section(words.parity, (gap(words.the_parity, parity, words),))
    columns = (
        Column(words.compared),
        Column(words.places, "number"),
        Column(words.largest, "number"),
        Column(words.allowed, "number"),
        Column(words.other_choices, "number"),
        Column(words.verdict),
    )
    rows = (
        (
            each.compared,
            str(each.positions),
            f"{each.largest_difference:.2g}",
            f"{each.allowed_difference:.2g}",
            str(each.other_choices),
            words.verdict_same if each.passed else words.verdict_differs,
        )
        for each in parity.comparisons
    )
    blocks: list[Block] = [Paragraph(words.parity_text.format(parity.engine, parity.ollama))]
    if facts.parity_blocked:
        blocks.append(Paragraph(words.parity_blocked.format(parity.first_difference), "caution"))
    blocks.append(Table(columns, tuple(rows)))
    blocks += [
        Paragraph(words.first_off.format(each.stage, shortened(each.first, 200, words.more_characters)))
        for each in parity.comparisons
        if each.first
    ]
    return Section(words.parity, tuple(blocks))


def _record(facts: Facts, words: Words) -> Section:
    release, audit = facts.site.release, facts.site.audit
    rows: list[tuple[str, str]] = []
    blocks: list[Block] = []
    if isinstance(release, Missing):
        blocks.append(gap(words.the_release, release, words))
    else:
        made = words.release_text.format(release.product, release.number, moment(release.created, words))
        rows += [(words.release, made), (words.sums, release.sums_sha256)]
    if isinstance(audit, Missing):
        blocks.append(gap(words.the_audit, audit, words))
    else:
        rows.append((words.audit_head, audit.head))
        rows.append((words.audit_entries, words.audit_text.format(audit.entries, audit.torn)))
    rows.append((words.versions, ", ".join(f"{name} {version}" for name, version in facts.versions)))
    blocks.append(Pairs(tuple(rows)))
    if not isinstance(audit, Missing) and audit.of_run:
        columns = Column(words.time), Column(words.event), Column(words.who, "number"), Column(words.facts)
        known = ("time", "event", "uid", "before", "run")
        entries = (
            (
                moment(str(entry.get("time", "")), words),
                str(entry.get("event", "")),
                str(entry.get("uid", "")),
                ", ".join(f"{name} {value}" for name, value in entry.items() if name not in known),
            )
            for entry in audit.of_run
        )
        blocks += [Paragraph(words.audit_of_run), Table(columns, tuple(entries))]
    return Section(words.record, tuple(blocks))


def _signatures(facts: Facts, words: Words) -> Section:
    sign = Signatures(words.decisions, words.remarks, words.sign_columns, words.roles)
    return Section(words.signatures, (Paragraph(words.signatures_text.format(facts.run)), sign))
