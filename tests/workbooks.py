"""Workbooks written by hand, part by part: as the format allows, as spreadsheets or attackers write them."""

import zipfile
from pathlib import Path
from xml.sax.saxutils import escape

MAIN = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
KINDS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006/relationships"

STYLES = (
    f'<styleSheet {MAIN}><numFmts count="6">'
    '<numFmt numFmtId="164" formatCode="yyyy&quot;年&quot;m&quot;月&quot;d&quot;日&quot;"/>'
    '<numFmt numFmtId="165" formatCode="000000"/><numFmt numFmtId="166" formatCode="0.0%"/>'
    '<numFmt numFmtId="167" formatCode="[h]:mm:ss"/>'
    '<numFmt numFmtId="168" formatCode="&quot;days&quot;\\ 0"/>'
    '<numFmt numFmtId="169" formatCode="[Red]#,##0.00"/>'
    '</numFmts><cellStyleXfs count="1"><xf numFmtId="14"/></cellStyleXfs><cellXfs count="9">'
    + "".join(f'<xf numFmtId="{number}"/>' for number in (0, 14, 22, 20, 164, 165, 166, 167, 168, 169, 9, 31))
    + "</cellXfs></styleSheet>"
)
STYLE = {
    "date": 1,
    "moment": 2,
    "time": 3,
    "chinese date": 4,
    "zeros": 5,
    "share": 6,
    "hours": 7,
    "words": 8,
    "money": 9,
    "whole share": 10,
    "east asian date": 11,
}
"""Numbers of the styles above; 0 is general."""


def text(place: str, value: str) -> str:
    """A cell whose text stands in it."""
    return f'<c r="{place}" t="inlineStr"><is><t xml:space="preserve">{escape(value)}</t></is></c>'


def number(place: str, value: str, style: str = "") -> str:
    """A cell that holds a number, as the file writes it."""
    return f'<c r="{place}" s="{STYLE.get(style, 0)}"><v>{value}</v></c>'


def row(at: int, *cells: str) -> str:
    """A row; cells that are plain text are given their place."""
    made = (
        each if each.startswith("<") else text(f"{chr(65 + n)}{at}", each) for n, each in enumerate(cells)
    )
    return f'<row r="{at}">{"".join(made)}</row>'


def sheet(*rows: str, merged: tuple[str, ...] = (), before: str = "") -> str:
    """A sheet's part."""
    spans = "".join(f'<mergeCell ref="{each}"/>' for each in merged)
    behind = f'<mergeCells count="{len(merged)}">{spans}</mergeCells>' if merged else ""
    return f"{before}<worksheet {MAIN}><sheetData>{''.join(rows)}</sheetData>{behind}</worksheet>"


def workbook(
    path: Path,
    sheets: dict[str, str],
    *,
    hidden: tuple[str, ...] = (),
    shared: str = "",
    from_1904: bool = False,
) -> Path:
    """Write a workbook of these sheets, by name; `shared` is the table of shared texts."""
    listed, relations = "", ""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for at, (name, part) in enumerate(sheets.items(), start=1):
            state = ' state="hidden"' if name in hidden else ""
            listed += f'<sheet name="{escape(name)}" sheetId="{at}"{state} r:id="r{at}"/>'
            relations += f'<Relationship Id="r{at}" Type="{KINDS}/worksheet" Target="worksheets/s{at}.xml"/>'
            archive.writestr(f"xl/worksheets/s{at}.xml", part)
        relations += f'<Relationship Id="r90" Type="{KINDS}/styles" Target="/xl/styles.xml"/>'
        archive.writestr("xl/styles.xml", STYLES)
        if shared:
            relations += f'<Relationship Id="r91" Type="{KINDS}/sharedStrings" Target="sharedStrings.xml"/>'
            archive.writestr("xl/sharedStrings.xml", f"<sst {MAIN}>{shared}</sst>")
        date_base = '<workbookPr date1904="1"/>' if from_1904 else ""
        archive.writestr(
            "xl/workbook.xml",
            f'<workbook {MAIN} xmlns:r="{KINDS}">{date_base}<sheets>{listed}</sheets></workbook>',
        )
        archive.writestr(
            "xl/_rels/workbook.xml.rels", f'<Relationships xmlns="{PACKAGE}">{relations}</Relationships>'
        )
        archive.writestr("[Content_Types].xml", "<Types/>")
    return path
