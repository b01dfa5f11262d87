"""A copy of a person's own file with what is wrong beside each row; nothing else in it changes."""

import heapq
from collections.abc import Callable, Iterator
from pathlib import Path

from appliance.data.checks import annotate_json, annotate_sheet, annotate_table
from appliance.data.checks.check import Checked
from appliance.data.checks.finding import Finding
from appliance.data.checks.remarks import Remarks, Write
from appliance.data.files import Source, open_sources
from appliance.data.written import check_place
from appliance.durable import whole_file
from appliance.errors import BadInput
from appliance.sentence import say

Words = Callable[[list[Finding]], str]
"""What is written beside a row, of all that was found in it."""

WRITERS: dict[str, Write] = {
    "csv": annotate_table.write,
    "tsv": annotate_table.write,
    "json": annotate_json.write_list,
    "jsonl": annotate_json.write_lines,
    "xlsx": annotate_sheet.write,
}
"""By container."""


PACKED = (b"PK\x03\x04", b"\x1f\x8b")
"""What zip and gzip files begin with. Source: APPNOTE 4.3.7; RFC 1952, section 2.3.1."""


def check_annotatable(path: Path, out: Path, sheet: str) -> tuple[Source, ...]:
    """Pass if a copy of the file at `path` can be written to `out`; what is in it.

    Raises: BadInput, when it is of a kind without room for a remark, or `out` is there, or its folder is not.
    """
    check_place(out)
    sources = open_sources(path, sheet=sheet)
    if any(_is_packed(path, source) or source.container not in WRITERS for source in sources):
        raise BadInput(
            say("{path} has no room for remarks.", path=path),
            why="only CSV, TSV, Excel, JSON and JSON lines are copied with remarks",
            next_step="Leave --annotate out, and use --json for a list of all findings.",
        )
    return sources


def annotate(path: Path, out: Path, sheet: str, checked: Checked, title: str, words: Words) -> int:
    """Write a copy of the file at `path` to `out`, with a column `title`; how many remarks found no place.

    Raises: BadInput, as `check_annotatable`; OSError.
    """
    sources = check_annotatable(path, out, sheet)
    remarks = [Remarks(_found(checked, source.name, words)) for source in sources]
    with whole_file(out, mode=0o600) as sink:  # as private as the file may have to be
        WRITERS[sources[0].container](sources, sink, title, remarks)
    return sum(each.end() for each in remarks)


def _is_packed(path: Path, source: Source) -> bool:
    """Whether the rows are not in the file itself: in a folder's file, or in an archive."""
    if source.path != path or source.container == "xlsx":
        return source.path != path
    with path.open("rb") as file:
        return file.read(4).startswith(PACKED)


def _found(checked: Checked, file: str, words: Words) -> Iterator[tuple[int, str]]:
    """(row, what is written) for the rows of one file, rising."""
    usable = ((found[0].row, found) for _, found in checked.by_row() if found[0].file == file)
    unusable = ((one.row, [one]) for one in checked.findings("unusable") if one.file == file)
    for row, found in heapq.merge(usable, unusable, key=lambda each: each[0]):
        yield row, words(found)
