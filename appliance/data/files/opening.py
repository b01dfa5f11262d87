"""A path to sources: what a file is follows from its bytes; its name decides only between table and text."""

import io
import json
import zipfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, TextIO

from appliance.data.files import arrow, json_lines, json_list, lines, table
from appliance.data.files.content import CHUNK_BYTES, Content, FileContent, digest, file_content
from appliance.data.files.encoding import Text, look_at_text, open_text
from appliance.data.files.gathered import archive_contents, folder_contents
from appliance.data.files.packed import GzipContent, HeldContent, damaged_archive
from appliance.data.files.source import Container, Items, Source
from appliance.data.files.workbook import MAIN_PART, Workbook, workbook_items
from appliance.errors import BadInput
from appliance.sentence import Sentence, listed, say

ZIP, GZIP, COMPOUND = b"PK\x03\x04", b"\x1f\x8b", b"\xd0\xcf\x11\xe0"
"""What archives and old Office documents begin with."""

SAMPLE_BYTES = 1 << 16
LOOKED_LINES = 50
TEXT_NAMES = ("", ".txt", ".text", ".md")
TABLE_NAMES = (".csv", ".tsv", ".tab")
SAVE_AS = say("Open it in Excel or WPS, and save it as .xlsx.")
EXPORT_IT = say("Export it as JSON, or as a table (CSV, Excel) with the names of the columns in row 1.")


def open_sources(path: Path, *, sheet: str = "") -> tuple[Source, ...]:
    """What there is to read at `path`, in order: of a folder or a zip archive each data file.

    sheet: of a workbook; needed where several sheets hold rows

    Raises: BadInput, when it is not there, of no kind that is known, damaged, or not certain.
    """
    notes: list[Sentence] = []
    if path.is_dir():
        contents, notes = folder_contents(path)
    else:
        file = file_content(path)
        contents = [file]
        if _head(file).startswith(ZIP) and _kind_of_zip(file) == "archive":
            contents, notes = archive_contents(file)
    sources = [open_content(content, sheet) for content in contents]
    if sheet and not any(source.sheet for source in sources):
        raise BadInput(
            say("{path} has no sheet {sheet}.", path=path, sheet=sheet),
            why="it is no workbook",
            next_step="Leave the name of the sheet out.",
        )
    sources[0] = replace(sources[0], notes=(*sources[0].notes, *notes))
    return tuple(sources)


def sheet_names(path: Path) -> tuple[str, ...]:
    """The sheets of a workbook that are shown and hold rows; none of what is no workbook.

    Raises: BadInput, when it is not there, or damaged.
    """
    if path.is_dir():
        return ()
    content = file_content(path)
    if not _head(content).startswith(ZIP) or _kind_of_zip(content) == "archive":
        return ()
    return tuple(each.name for each in Workbook(content).filled())


def open_content(content: Content, sheet: str = "") -> Source:
    """The source that `content` is.

    Raises: BadInput, as `open_sources`.
    """
    head = _head(content)
    if head.startswith(GZIP):
        return _open_gzip(content)
    if head.startswith(ZIP):
        return _open_workbook(content, sheet)
    if head.startswith(COMPOUND):
        raise _compound(content)
    if head.startswith(arrow.PARQUET):
        return _binary(content, "parquet", partial(arrow.parquet_items, _held(content)))
    if head.startswith((arrow.ARROW_FILE, arrow.ARROW_STREAM)):
        return _binary(content, "arrow", partial(arrow.arrow_items, _held(content)))
    text = look_at_text(content)
    container, read = _text_reader(content, text)
    return Source(content.name, content.path, container, text.encoding, text.sha256, text.size, read)


def _head(content: Content) -> bytes:
    with closing(content.open()) as stream:
        return stream.read(8)


def _held(content: Content) -> Content:
    """The same, which can be read here and there."""
    return content if isinstance(content, FileContent) else HeldContent(content)


def _binary(content: Content, container: Container, read: Callable[[], Items], sheet: str = "") -> Source:
    sha256, size = digest(content)
    source = Source(content.name, content.path, container, "", sha256, size, read, sheet)
    if container in ("parquet", "arrow"):
        source.sample(1)  # damage shows at once
    return source


def _open_gzip(content: Content) -> Source:
    if not isinstance(content, FileContent):
        raise _packed_twice(content)
    sha256, size = digest(content)
    unpacked = GzipContent(content, size)
    if _head(unpacked).startswith((GZIP, ZIP)):
        raise _packed_twice(content)
    return replace(open_content(unpacked), sha256=sha256, size=size)


def _open_workbook(content: Content, sheet: str) -> Source:
    held = _held(content)
    if _kind_of_zip(held) == "archive":
        raise _packed_twice(content)
    book = Workbook(held)
    chosen = book.choose(sheet)
    hidden = [each.name for each in book.sheets if each.hidden and each != chosen]
    source = _binary(content, "xlsx", partial(workbook_items, held, chosen), chosen.name)
    notes = [say("hidden sheets were not read: {names}", names=listed(hidden))] if hidden else []
    return replace(source, notes=tuple(notes))


def _kind_of_zip(content: Content) -> Literal["workbook", "archive"]:
    """Whether a zip file is a workbook, or a folder of files.

    Raises: BadInput, when it is a document of another kind.
    """
    try:
        with content.open() as stream, zipfile.ZipFile(stream) as archive:
            names = set(archive.namelist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise damaged_archive(content.place, error) from None
    if MAIN_PART in names:
        return "workbook"
    if names & {"xl/workbook.bin", "content.xml", "[Content_Types].xml"}:
        raise BadInput(
            say("The format of {path} is not known.", path=content.place),
            why="it is an office document, but no .xlsx workbook",
            next_step=SAVE_AS,
        )
    return "archive"


def _text_reader(content: Content, text: Text) -> tuple[Container, Any]:
    sample, whole = _sample(content, text)
    start = sample.lstrip("\ufeff \t\r\n")[:1]
    if not start:
        raise _unknown(content, say("it is empty"))
    if start == "<":
        raise _unknown(content, say("it is a web page or XML, whatever its name says"), SAVE_AS)
    suffix = Path(content.name.lower().removesuffix(".gz")).suffix
    if start == "[":
        return "json", partial(_from_text, json_list.list_items, content, text)
    if start == "{":
        if _is_lines(sample, whole):
            return "jsonl", partial(_from_bytes, json_lines.line_items, content, text)
        return "json", partial(_from_text, json_list.object_items, content, text)
    delimiter = _delimiter(content, sample, whole, suffix)
    if delimiter:
        named: Container = "tsv" if delimiter == "\t" else "csv"
        return named, partial(_from_text, partial(_table, delimiter), content, text)
    if suffix in TEXT_NAMES:
        return "text", partial(_from_bytes, lines.text_items, content, text)
    raise _unknown(content, say("it begins like neither JSON nor a table"))


def _delimiter(content: Content, sample: str, whole: bool, suffix: str) -> str:
    """What separates the cells, where it is a table; else ""."""
    if suffix in TABLE_NAMES:
        return table.find_delimiter(sample, whole, content.place) or ","  # else a table of one column
    candidates = ("\t",) if suffix in TEXT_NAMES else table.DELIMITERS
    return next((each for each in candidates if table.is_even(sample, whole, each)), "")


def _sample(content: Content, text: Text) -> tuple[str, bool]:
    """The beginning of a text, and whether that is all of it."""
    with open_text(content, text) as stream:
        head = stream.read(SAMPLE_BYTES)
        whole = not stream.read(1)
    return head.decode("utf-8", "ignore"), whole  # the last character may be cut


def _is_lines(sample: str, whole: bool) -> bool:
    """Whether objects are on a line each, not over several: a damaged first line does not make it another."""
    found = sample.replace("\r", "\n").split("\n")
    complete = [text for line in (found if whole else found[:-1]) if (text := line.strip("\ufeff \t"))]
    if not complete or any(_is_object(line) for line in complete[:LOOKED_LINES]):
        return True
    return complete[0].endswith("}") or any(line.startswith("{") for line in complete[1:2])


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _table(delimiter: str, text: TextIO, source: Path) -> Items:
    return table.table_items(text, source, delimiter)


def _from_text(items: Any, content: Content, text: Text) -> Items:
    with io.TextIOWrapper(open_text(content, text), encoding="utf-8", newline="") as stream:
        yield from items(stream, content.place)


def _from_bytes(items: Any, content: Content, text: Text) -> Items:
    with closing(open_text(content, text)) as stream:
        yield from items(stream)


def _unknown(content: Content, why: str, next_step: str = EXPORT_IT) -> BadInput:
    return BadInput(
        say("The format of {path} is not known.", path=content.place), why=why, next_step=next_step
    )


def _compound(content: Content) -> BadInput:
    """The error for what older Office programs write, and newer ones where a password is set."""
    with closing(content.open()) as stream:
        locked = "EncryptedPackage".encode("utf-16-le") in stream.read(CHUNK_BYTES)
    if locked:
        return BadInput(
            say("{path} is encrypted.", path=content.place),
            why="it opens with a password only",
            next_step="Open it in Excel or WPS, take the password off, and save it as .xlsx.",
        )
    return BadInput(
        say("The format of {path} is not known.", path=content.place),
        why="it is a document of an old Office program (.xls)",
        next_step=SAVE_AS,
    )


def _packed_twice(content: Content) -> BadInput:
    return BadInput(
        say("{path} is packed twice.", path=content.place),
        why=say("{name} is an archive inside another", name=content.name),
        next_step="Unpack the outer one, and name what is in it.",
    )
