"""The section on the site: its release, its software, its audit log. Pure."""

from appliance.locale.voice import Voice
from appliance.report.blocks import Block, Column, Pairs, Paragraph, Section, Table
from appliance.report.facts import Facts
from appliance.report.figures import moment
from appliance.report.gaps import Missing, gap
from appliance.report.site_facts import Audit

OWN_COLUMNS = ("time", "event", "uid", "user", "login", "before", "run", "key", "release_sums")
"""Fields of an audit entry that are not listed among its facts."""


def record_section(facts: Facts, say: Voice) -> Section:
    """All of it; the entries of the audit log as they are written there."""
    release, audit = facts.site.release, facts.site.audit
    rows: list[tuple[str, str]] = []
    blocks: list[Block] = []
    if isinstance(release, Missing):
        blocks.append(gap(say("the installed release"), release, say))
    else:
        made = say(
            "{product} {number}, made {time}",
            product=release.product,
            number=release.number,
            time=moment(release.created, say),
        )
        rows += [(say("Release in use"), made), (say("SHA-256 of its SHA256SUMS"), release.sums_sha256)]
    if isinstance(audit, Missing):
        blocks.append(gap(say("the audit log"), audit, say))
    else:
        entries = say(
            "{entries}, the chain holds; {torn} torn by a power cut", entries=audit.entries, torn=audit.torn
        )
        rows += [(say("Audit log, head of the chain"), audit.head), (say("Audit log, entries"), entries)]
    versions = ", ".join(f"{name} {version}" for name, version in facts.versions)
    rows.append((say("Software where this report was written"), versions))
    blocks.append(Pairs(tuple(rows)))
    if not isinstance(audit, Missing) and audit.of_run:
        title = Paragraph(say("Entries of the audit log that name this run:"))
        blocks += [title, _entries(audit, say)]
    return Section(say("Site, software and record"), tuple(blocks))


def _entries(audit: Audit, say: Voice) -> Table:
    columns = (
        *(Column(say("Time"), "short"), Column(say("Event"))),
        *(Column(say("Account"), "short"), Column(say("Facts"), "prose")),
    )
    rows = (
        (
            moment(str(entry.get("time", "")), say),
            str(entry.get("event", "")),
            " ".join(str(entry[name]) for name in ("user", "uid", "login") if name in entry),
            ", ".join(f"{name} {value}" for name, value in entry.items() if name not in OWN_COLUMNS),
        )
        for entry in audit.of_run
    )
    return Table(columns, tuple(rows))
