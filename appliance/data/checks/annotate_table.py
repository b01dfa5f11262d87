"""CSV and TSV with a column more, its own delimiter and encoding kept; UTF-8 gets the mark that Excel needs.

The column stands right of the widest row, so that a row with too many cells moves nothing. Cells stay as they
are; quotes are written where they are needed. A row with too few cells stays so, unless it has a remark. The
file is held in memory.
"""

import codecs
import csv
import io
from typing import BinaryIO

from appliance.data.checks.remarks import Remarks, free_name, safe_cell, text_of
from appliance.data.files import Source
from appliance.data.files.table import CELL_LIMIT, find_delimiter

SAMPLE_CHARACTERS = 1 << 16


def write(source: Source, sink: BinaryIO, title: str, remarks: Remarks) -> None:
    """Write the table with a column more."""
    mark, text = text_of(source)
    csv.field_size_limit(CELL_LIMIT)
    delimiter = _delimiter(source, text)
    width = max(map(len, csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)), default=0)
    sink.write(codecs.BOM_UTF8 if source.encoding == "utf-8" else mark)
    out = io.TextIOWrapper(sink, encoding=source.encoding, newline="", write_through=True)
    ends = "\r\n" if "\r\n" in text[:SAMPLE_CHARACTERS] else "\n"
    writer = csv.writer(out, delimiter=delimiter, lineterminator=ends)
    header: list[str] = []
    for row, cells in enumerate(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), start=1):
        beside = remarks.at(row)
        if not header and any(cell.strip() for cell in cells):
            header, beside = cells, free_name(title, cells.__contains__)
        if beside or (header and len(cells) == len(header)):
            cells = [*cells, *[""] * (width - len(cells)), safe_cell(beside)]
        writer.writerow(cells)
    out.detach()


def _delimiter(source: Source, text: str) -> str:
    if source.container == "tsv":
        return "\t"
    sample = text[:SAMPLE_CHARACTERS]
    return find_delimiter(sample, len(sample) == len(text), source.path) or ","
