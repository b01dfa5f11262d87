"""The sections on files: the hashes of all that went in and of all that came out. Pure."""

from collections.abc import Sequence
from pathlib import Path

from appliance.locale.voice import Voice
from appliance.report.blocks import Block, Column, Paragraph, Section, Table
from appliance.report.facts import Facts, HashedFile
from appliance.report.gaps import Missing, gap

Line = tuple[str, str, str, str, str]
"""Part, file, bytes, SHA-256, note."""


def file_sections(facts: Facts, say: Voice) -> tuple[Section, Section]:
    """What went in, what came out."""
    return _went_in(facts, say), _came_out(facts, say)


def _hash_table(rows: Sequence[Line], say: Voice) -> Table:
    columns = (
        *(Column(say("Part"), "short"), Column(say("File")), Column(say("Bytes"), "number")),
        *(Column(say("SHA-256"), "code"), Column(say("Note"))),
    )
    return Table(columns, tuple(rows))


def _went_in(facts: Facts, say: Voice) -> Section:
    rows: list[Line] = []
    blocks: list[Block] = []
    release = facts.site.release
    if isinstance(release, Missing):
        blocks.append(gap(say("the installed release"), release, say))
    else:
        name = f"{release.product} {release.number}: SHA256SUMS"
        rows.append((say("release"), name, "", release.sums_sha256, ""))
    if isinstance(facts.base, Missing):
        blocks.append(gap(say("the base model's files"), facts.base, say))
    else:
        rows += [
            (say("base"), file.name, str(file.size), file.sha256, _listed(facts, file, say))
            for file in facts.base
        ]
    if facts.base_changed:
        changed = say(
            "These files of the base are others now than when training began, or came or went since: "
            "{files}. The hashes below are those of now, and not of what was trained over.",
            files=", ".join(facts.base_changed),
        )
        blocks.append(Paragraph(changed, "caution"))
    rows.append((say("plan"), "plan.toml", "", facts.plan_sha256, ""))
    if not isinstance(facts.check, Missing):
        rows += [
            (say("source"), Path(file.path).name, "", file.sha256, say("as read for training"))
            for file in facts.check.files
        ]
    rows += [(say("rows"), f"data/{file.name}", str(file.size), file.sha256, "") for file in facts.rows]
    if not isinstance(facts.summary, Missing):
        rows += [
            (say("questions"), f"{each.name}: {each.file}", "", each.sha256, say("as read for the questions"))
            for each in facts.summary.sets
        ]
    return Section(say("What went in"), (*blocks, _hash_table(rows, say)))


def _listed(facts: Facts, file: HashedFile, say: Voice) -> str:
    """Whether a file of the base is what was trained over and came in a signed release; empty where there is
    none to ask."""
    if file.name in facts.base_changed:
        return say("NOT as when training began")
    if isinstance(facts.site.release, Missing):
        return ""
    number = facts.site.release.listed.get(file.sha256)
    if number is None:
        return say("in no signed release here")
    return say("signed in release {number}", number=number)


def _came_out(facts: Facts, say: Voice) -> Section:
    rows: list[Line] = []
    blocks: list[Block] = []
    nothing: dict[str, str] = {}
    for part, name, files, sums in (
        (say("adapter"), say("the adapter"), facts.adapter, nothing),
        (say("merged"), say("the merged model"), facts.merged, nothing),
        (say("export"), say("the export"), facts.export, facts.export_sums),
    ):
        if isinstance(files, Missing):
            blocks.append(gap(name, files, say))
            continue
        rows += [
            (part, file.name, str(file.size), file.sha256, _as_listed(file, sums, say)) for file in files
        ]
    if rows:
        blocks.append(_hash_table(rows, say))
    return Section(say("What came out"), tuple(blocks))


def _as_listed(file: HashedFile, sums: dict[str, str], say: Voice) -> str:
    """Whether a file is what the export's own list says; empty where the list does not name it."""
    if file.name not in sums:
        return ""
    if sums[file.name] == file.sha256:
        return say("as in its SHA256SUMS")
    return say("NOT as in its SHA256SUMS")
