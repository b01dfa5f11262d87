"""A document as Markdown. Pure."""

import re

from appliance.report.blocks import (
    Block,
    Curve,
    Document,
    Pairs,
    Paragraph,
    Section,
    Signatures,
    Table,
    visible,
)

MARKS = re.compile(r"[\\`*_\[\]<>|~&#!$]")
"""What begins markup, raw HTML, an entity, a link or a picture in CommonMark and GitHub's tables."""

BULLET = re.compile(r"^(\s*)([-+=]|\d+[.)])(?=\s|$|[-=])")
"""What begins a list, a heading's underline or a rule at the start of a line."""


def to_markdown(document: Document) -> str:
    """The whole document; nothing that stands in its text is markup."""
    parts = [
        f"# {plain(document.title)}",
        plain(document.subtitle),
        f"**{plain(document.notice)}**",
        *(_section(section) for section in document.sections),
    ]
    return "\n\n".join(parts) + "\n"


def plain(text: str) -> str:
    """`text` on one line, so that every reader shows it as it is."""
    line = " ⏎ ".join(visible(text).replace("\r\n", "\n").split("\n")).replace("\t", " ")
    line = MARKS.sub(r"\\\g<0>", line)
    return BULLET.sub(lambda match: f"{match[1]}\\{match[2]}", line)


def _section(section: Section) -> str:
    blocks = (text for block in section.blocks if (text := _block(block)))
    return "\n\n".join([f"## {plain(section.title)}", *blocks])


def _block(block: Block) -> str:
    match block:
        case Paragraph(text, kind):
            return f"> **{plain(text)}**" if kind == "caution" else plain(text)
        case Pairs(rows):
            return "\n".join(f"- {plain(name)}: {plain(value)}" for name, value in rows)
        case Table(columns, rows):
            rule = ["---:" if column.kind == "number" else "---" for column in columns]
            lines = [[plain(column.title) for column in columns], rule]
            lines += [[plain(cell) for cell in row] for row in rows]
            return "\n".join(f"| {' | '.join(line)} |" for line in lines)
        case Curve():
            return ""  # the table beside it has the figures
        case Signatures():
            return _signatures(block)


def _signatures(block: Signatures) -> str:
    empty = " | ".join([""] * (len(block.columns) - 1))
    lines = [f"- \\[ \\] {plain(decision)}" for decision in block.decisions]
    lines += ["", f"{plain(block.remarks)}:", ""]
    lines.append(f"| {' | '.join(map(plain, block.columns))} |")
    lines.append(f"|{'---|' * len(block.columns)}")
    lines += [f"| {plain(role)} | {empty} |" for role in block.roles]
    return "\n".join(lines)
