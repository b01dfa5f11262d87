"""The sections on files: the hashes of all that went in and of all that came out. Pure."""

from collections.abc import Sequence
from pathlib import Path

from appliance.report.blocks import Block, Column, Section, Table
from appliance.report.facts import Facts, HashedFile
from appliance.report.gaps import Missing, gap
from appliance.report.words import Words

Line = tuple[str, str, str, str, str]
"""Part, file, bytes, SHA-256, note."""


def file_sections(facts: Facts, words: Words) -> tuple[Section, Section]:
    """What went in, what came out."""
    return _went_in(facts, words), _came_out(facts, words)


def _hash_table(rows: Sequence[Line], words: Words) -> Table:
    columns = (
        *(Column(words.part), Column(words.file), Column(words.size, "number")),
        *(Column(words.sha256, "code"), Column(words.note)),
    )
    return Table(columns, tuple(rows))


def _went_in(facts: Facts, words: Words) -> Section:
    rows: list[Line] = []
    blocks: list[Block] = []
    release = facts.site.release
    if isinstance(release, Missing):
        blocks.append(gap(words.the_release, release, words))
    else:
        name = f"{release.product} {release.number}: SHA256SUMS"
        rows.append((words.part_release, name, "", release.sums_sha256, ""))
    if isinstance(facts.base, Missing):
        blocks.append(gap(words.the_base, facts.base, words))
    else:
        rows += [
            (words.part_base, file.name, str(file.size), file.sha256, _listed(facts, file, words))
            for file in facts.base
        ]
    rows.append((words.part_plan, "plan.toml", "", facts.plan_sha256, ""))
    if not isinstance(facts.check, Missing):
        rows += [
            (words.part_source, Path(file.path).name, "", file.sha256, words.as_read)
            for file in facts.check.files
        ]
    rows += [(words.part_rows, f"data/{file.name}", str(file.size), file.sha256, "") for file in facts.rows]
    if not isinstance(facts.summary, Missing):
        rows += [
            (words.part_questions, f"{each.name}: {each.file}", "", each.sha256, words.as_asked)
            for each in facts.summary.sets
        ]
    return Section(words.hashes_in, (*blocks, _hash_table(rows, words)))


def _listed(facts: Facts, file: HashedFile, words: Words) -> str:
    """Whether a file of the base came in a signed release; empty where there is none to ask."""
    if isinstance(facts.site.release, Missing):
        return ""
    release = facts.site.release.listed.get(file.sha256)
    return words.not_in_release if release is None else words.in_release.format(release)


def _came_out(facts: Facts, words: Words) -> Section:
    rows: list[Line] = []
    blocks: list[Block] = []
    for part, name, files in (
        (words.part_adapter, words.the_adapter, facts.adapter),
        (words.part_merged, words.the_merged, facts.merged),
        (words.part_export, words.the_export, facts.export),
    ):
        if isinstance(files, Missing):
            blocks.append(gap(name, files, words))
            continue
        sums = facts.export_sums if part == words.part_export else {}
        for file in files:
            note = ""
            if file.name in sums:
                note = words.as_in_sums if sums[file.name] == file.sha256 else words.not_as_in_sums
            rows.append((part, file.name, str(file.size), file.sha256, note))
    if rows:
        blocks.append(_hash_table(rows, words))
    return Section(words.hashes_out, tuple(blocks))
