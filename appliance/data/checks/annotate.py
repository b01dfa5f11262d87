"""A copy of a person's own file with what is wrong beside each row; nothing else in it changes."""

from collections.abc import Callable
from pathlib import Path

from appliance.data.checks import annotate_json, annotate_sheet, annotate_table
from appliance.data.checks.check import Checked
from appliance.data.checks.finding import Finding
from appliance.data.checks.remarks import Remarks, Write
from appliance.data.dataset_info import entry_of
from appliance.data.files import Source, open_sources
from appliance.data.files.content import digest, file_content
from appliance.data.tally import files_changed
from appliance.data.written import check_place
from appliance.durable import whole_file
from appliance.errors import BadInput
from appliance.run.plan import DataFile
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


def check_annotatable(file: DataFile, out: Path) -> Source:
    """Pass if a copy of `file` can be written to `out`; what is in it.

    Raises: BadInput, when it is of a kind without room for a remark, or `out` is there, or its folder is not,
        or its name ends otherwise than the file's.
    """
    check_place(out)
    path, entry = Path(file.path), entry_of(file)
    sources = open_sources(path, sheet=file.sheet) if entry.file.path == file.path else ()
    if len(sources) != 1 or sources[0].container not in WRITERS or _is_packed(path, sources[0]):
        raise BadInput(
            say("{path} has no room for remarks.", path=path),
            why="only CSV, TSV, Excel, JSON and JSON lines are copied with remarks",
            next_step="Leave --annotate out, and use --json for a list of all findings.",
        )
    if out.suffix.lower() != path.suffix.lower():  # a workbook by another name opens nowhere
        raise BadInput(
            say("{path} cannot be written.", path=out),
            why=say("the copy is of the same kind as {path}", path=path.name),
            next_step=say("Give it a name that ends with {ending}.", ending=path.suffix or path.name),
        )
    return sources[0]


def annotate(source: Source, out: Path, checked: Checked, title: str, words: Words) -> int:
    """Write a copy of a file, whose rows `checked` was told to train, to `out` with a column `title`.

    source: what `check_annotatable` gave before the rows were looked at

    Returns how many remarks found no place.

    Raises: BadInput, when `out` is there by now, or the file is not what it was; OSError.
    """
    check_place(out)
    if digest(file_content(source.path))[0] != source.sha256:  # remarks would stand beside other rows
        raise files_changed()
    remarks = Remarks((row, words(found)) for row, found in checked.trained())
    with whole_file(out, mode=0o600) as sink:  # as private as the file may have to be
        WRITERS[source.container](source, sink, title, remarks)
    return remarks.end()


def _is_packed(path: Path, source: Source) -> bool:
    """Whether the rows are not in the file itself: in a folder's file, or in an archive."""
    if source.path != path or source.container == "xlsx":
        return source.path != path
    with path.open("rb") as file:
        return file.read(4).startswith(PACKED)
