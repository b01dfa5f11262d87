"""A document as one HTML page: no script, nothing from outside, readable in light, dark and on A4. Pure."""

from html import escape
from pathlib import Path

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
from appliance.report.curve import curve_svg

POLICY = "default-src 'none'; style-src 'unsafe-inline'"
"""A second wall: should anything be taken for markup after all, the browser loads and runs nothing."""

STYLE = Path(__file__).with_name("report.css")
"""Put into the page, which is one file."""


def to_page(document: Document) -> str:
    """The whole page; nothing that stands in the document's text is markup."""
    sections = "\n".join(_section(section) for section in document.sections)
    return f"""<!DOCTYPE html>
<html lang="{text(document.language)}">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{text(document.title)}</title>
<style>
{STYLE.read_text(encoding="utf-8").strip()}
</style>
</head>
<body>
<h1>{text(document.title)}</h1>
<p class="subtitle">{text(document.subtitle)}</p>
<p class="notice">{text(document.notice)}</p>
{sections}
</body>
</html>
"""


def text(plain: str) -> str:
    """`plain` so that a browser shows it as it is, in an element and in a quoted attribute."""
    return escape(visible(plain), quote=True)


def _section(section: Section) -> str:
    blocks = "\n".join(_block(block) for block in section.blocks)
    return f"<section>\n<h2>{text(section.title)}</h2>\n{blocks}\n</section>"


def _block(block: Block) -> str:
    match block:
        case Paragraph(plain, kind):
            return f'<p class="{kind}">{text(plain)}</p>'
        case Pairs(rows, dense):
            lines = (f"<tr><th>{text(name)}</th><td>{text(value)}</td></tr>" for name, value in rows)
            table = '<table class="pairs"><tbody>\n' + "\n".join(lines) + "\n</tbody></table>"
            return f'<div class="dense">\n{table}\n</div>' if dense else table
        case Table():
            return _table(block)
        case Curve():
            return curve_svg(block)
        case Signatures():
            return _signatures(block)


def _table(table: Table) -> str:
    head = "".join(f'<th class="{column.kind}">{text(column.title)}</th>' for column in table.columns)
    lines = []
    for row in table.rows:
        cells = zip(table.columns, row, strict=True)
        lines.append(
            "<tr>"
            + "".join(f'<td class="{column.kind}">{text(cell)}</td>' for column, cell in cells)
            + "</tr>"
        )
    body = "\n".join(lines)
    look = ' class="figures"' if all(column.kind == "number" for column in table.columns) else ""
    whole = f"<table{look}><thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table>"
    return f'<div class="wide">\n{whole}\n</div>'


def _signatures(block: Signatures) -> str:
    decisions = "\n".join(f'<p><span class="tick"></span>{text(each)}</p>' for each in block.decisions)
    head = "".join(f"<th>{text(column)}</th>" for column in block.columns)
    empty = "<td></td>" * (len(block.columns) - 1)
    roles = "\n".join(f"<tr><th>{text(role)}</th>{empty}</tr>" for role in block.roles)
    return (
        f'<div class="sign">\n{decisions}\n<p class="remarks">{text(block.remarks)}</p>\n'
        f'<table class="sign"><thead><tr>{head}</tr></thead><tbody>\n{roles}\n</tbody></table>\n</div>'
    )
