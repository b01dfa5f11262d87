"""An Excel workbook with a column more in the sheet that was read: spliced into its XML, all else copied.

Formulas, formats, pictures and other sheets stay what they are. Remarks are written as texts, which no
spreadsheet computes. The sheet is held in memory.
"""

import re
import zipfile
import zlib
from collections.abc import Iterator
from typing import BinaryIO
from xml.sax.saxutils import escape

from appliance.data.checks.remarks import Remarks, free_name
from appliance.data.files import Source
from appliance.data.files.content import CHUNK_BYTES, file_content
from appliance.data.files.packed import damaged_archive
from appliance.data.files.sheet import column_of
from appliance.data.files.workbook import Workbook
from appliance.errors import BadInput
from appliance.sentence import say

_ROW = re.compile(r"<((?:\w+:)?)row\b([^<>]*?)(/?)>")
_NUMBER = re.compile(r"(?<![\w:])r=[\"'](\d+)[\"']")
_SPANS = re.compile(r"\s+spans=(?:\"[^\"]*\"|'[^']*')")
_CELL = re.compile(r"<(?:\w+:)?c[\s/>]")
_PLACE = re.compile(r"<(?:\w+:)?c\s(?:[^<>]*?\s)?r=[\"']([A-Z]{1,3})\d+[\"']")
_VALUE = re.compile(r"<(?:\w+:)?[vt][ >]")
_DIMENSION = re.compile(r"(<(?:\w+:)?dimension\s+ref=[\"'][A-Z]+\d+:)([A-Z]+)(\d+[\"'])")
_UNWRITABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot hold. Source: XML 1.0, section 2.2."""


def write(source: Source, sink: BinaryIO, title: str, remarks: Remarks) -> None:
    """Write the workbook with a column more in its sheet."""
    part = Workbook(file_content(source.path)).choose(source.sheet).part
    with zipfile.ZipFile(source.path) as old, zipfile.ZipFile(sink, "w") as new:
        for member in old.infolist():
            if member.filename == part:
                text = _text(b"".join(_unpacked(old, member, source)), source)
                new.writestr(member, "".join(_spliced(text, title, remarks)), member.compress_type)
            else:
                with new.open(_same(member), "w") as writing:
                    for chunk in _unpacked(old, member, source):
                        writing.write(chunk)


def _unpacked(old: zipfile.ZipFile, member: zipfile.ZipInfo, source: Source) -> Iterator[bytes]:
    """What a member holds, piece by piece.

    Raises: BadInput, when it is damaged: the rows do not need all of them.
    """
    try:
        with old.open(member) as reading:
            while chunk := reading.read(CHUNK_BYTES):
                yield chunk
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, RuntimeError, NotImplementedError) as error:
        raise damaged_archive(source.path, error) from error


def _text(part: bytes, source: Source) -> str:
    """Raises: BadInput, when a sheet is written in another encoding, which no spreadsheet does by itself."""
    try:
        return part.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadInput(
            say("{path} has no room for remarks.", path=source.path),
            why="its sheet is not written in UTF-8",
            next_step="Open it in a spreadsheet, save it as .xlsx, and start again.",
        ) from error


def _same(member: zipfile.ZipInfo) -> zipfile.ZipInfo:
    """A member of the same name, time and packing."""
    same = zipfile.ZipInfo(member.filename, member.date_time)
    packed = member.compress_type != zipfile.ZIP_STORED
    same.compress_type = zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED
    same.external_attr = member.external_attr
    return same


def _spliced(text: str, title: str, remarks: Remarks) -> Iterator[str]:
    """The pieces of the sheet with a cell more in each row that has a remark, and in the header."""
    column = letters_of(_width(text))
    name = free_name(title, lambda name: f">{escape(name)}<" in text)
    text = _DIMENSION.sub(lambda found: f"{found[1]}{column}{found[3]}", text, count=1)
    written, row, header_seen = 0, 0, False
    for opening in _ROW.finditer(text):
        prefix, attributes, closed = opening.groups()
        number = _NUMBER.search(attributes)
        row = int(number[1]) if number else row + 1
        end = opening.end() if closed else text.index(f"</{prefix}row>", opening.end())
        beside = remarks.at(row)
        if not header_seen and _VALUE.search(text, opening.end(), end):
            header_seen, beside = True, name
        if beside:
            yield text[written : opening.start()]
            yield f"<{prefix}row{_SPANS.sub('', attributes)}>{text[opening.end() : end]}"
            yield _cell(prefix, f"{column}{row}", beside)
            yield f"</{prefix}row>" if closed else ""
            written = end
    yield text[written:]


def _width(text: str) -> int:
    """Columns up to the last that any row has; cells may say where they are, or stand one after another."""
    last = max(map(column_of, set(_PLACE.findall(text))), default=-1)
    most = max((len(_CELL.findall(each)) for each in _ROW.split(text)), default=0)
    return max(last + 1, most)


def letters_of(column: int) -> str:
    """What a spreadsheet calls a column, counted from 0."""
    letters = ""
    while column >= 0:
        letters = chr(ord("A") + column % 26) + letters
        column = column // 26 - 1
    return letters


def _cell(prefix: str, place: str, text: str) -> str:
    inner = f'<{prefix}t xml:space="preserve">{escape(_UNWRITABLE.sub("", text))}</{prefix}t>'
    return f'<{prefix}c r="{place}" t="inlineStr"><{prefix}is>{inner}</{prefix}is></{prefix}c>'
