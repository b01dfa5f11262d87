"""Excel workbooks (.xlsx, .xlsm): which sheet, its columns, its rows.

Read by own code on the standard library, in constant memory but for the table of shared texts: a reader that
holds a sheet as a rectangle needs as much memory as the file's farthest cell says. Old .xls and locked
workbooks are refused with words.
"""

import zipfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import PurePosixPath
from typing import Any
from xml.parsers import expat

from appliance.data.files import cell, sheet
from appliance.data.files.columns import Columns, read_columns
from appliance.data.files.content import Content
from appliance.data.files.packed import MemberContent, damaged_archive
from appliance.data.files.shared_texts import AnyText, read_shared_texts
from appliance.data.judge import RowRefused
from appliance.errors import BadInput
from appliance.sentence import listed, say

MAIN_PART = "xl/workbook.xml"
PART_LIMIT_BYTES = 64 << 20
"""Of the list of sheets, of the styles."""

Item = tuple[int, dict[str, Any] | RowRefused]
Element = tuple[str, dict[str, str]]


@dataclass(frozen=True)
class Sheet:
    """A sheet as the workbook lists it."""

    name: str
    part: str
    hidden: bool


class Workbook:
    """A workbook's list of sheets; what is read of it is read when it is needed."""

    def __init__(self, content: Content) -> None:
        """Raises: BadInput, when it is damaged."""
        self._content = content
        with self._damage_told():
            with content.open() as stream, zipfile.ZipFile(stream) as archive:
                self._sizes = {member.filename: member.compress_size for member in archive.infolist()}
            relations = {
                found["Id"]: (found.get("Type", ""), _target(found.get("Target", "")))
                for name, found in self._elements("xl/_rels/workbook.xml.rels")
                if name == "Relationship" and "Id" in found
            }
            elements = self._elements(MAIN_PART)
            self._from_1904 = any(
                name == "workbookPr" and found.get("date1904") in ("1", "true") for name, found in elements
            )
            self.sheets = tuple(_sheets(elements, relations))
            parts = {kind.rpartition("/")[2]: part for kind, part in relations.values()}
            self._strings_part, self._styles_part = parts.get("sharedStrings", ""), parts.get("styles", "")

    def choose(self, wanted: str) -> Sheet:
        """The sheet of that name; without one, the only sheet that is shown and holds rows.

        Raises: BadInput, when there is none, or more than one.
        """
        names = [each.name for each in self.sheets]
        if wanted:
            for each in self.sheets:
                if each.name == wanted:
                    return each
            raise BadInput(
                say("{path} has no sheet {sheet}.", path=self._content.place, sheet=wanted),
                why=say("its sheets are {names}", names=listed(names)),
                next_step="Name one of these.",
            )
        filled = self.filled()
        if len(filled) == 1:
            return filled[0]
        if not filled:
            raise BadInput(
                say("{path} has no sheet with rows.", path=self._content.place),
                why=say("its sheets are {names}; those that are shown are empty", names=listed(names)),
                next_step="Name the sheet to read (--sheet, or `sheet` in the plan), if it is a hidden one.",
            )
        raise BadInput(
            say("{path} has several sheets with rows.", path=self._content.place),
            why=say("they are {names}", names=listed([each.name for each in filled])),
            next_step="Name the sheet to read: --sheet NAME, or `sheet` in the plan.",
        )

    def filled(self) -> list[Sheet]:
        """The sheets that are shown and hold rows. Raises: BadInput, when one is damaged."""
        return [each for each in self.sheets if not each.hidden and self._has_cells(each)]

    def items(self, chosen: Sheet) -> Iterator[Item]:
        """(row, values by column) for every row under the header that is not empty.

        Raises: BadInput, when there is no header, or the sheet is damaged.
        """
        with self._damage_told():
            strings, formats = self._strings(), self._formats()
            with closing(self._part(chosen.part)) as stream:
                merged = sheet.read_merged(stream)
            with closing(self._part(chosen.part)) as stream:
                rows = _filled_down(sheet.read_rows(stream, strings, formats), merged)
                header, first = next(rows, None), next(rows, None)
                if header is None:
                    return
                columns = self._columns(header, first, merged)
                for number, cells in chain([first] if first else [], rows):
                    yield number, _fields(columns, cells, merged.is_wide(number))

    def _columns(
        self, header: tuple[int, sheet.Cells], first: tuple[int, sheet.Cells] | None, merged: sheet.Merged
    ) -> Columns:
        row, cells = header
        if merged.is_wide(row) or row in merged.down:
            raise BadInput(
                say(
                    "{source} has merged cells where the names of the columns must be.",
                    source=self._content.place,
                ),
                why=say("cells of row {row} are merged", row=row),
                next_step="Keep one row of names, one name in each cell; delete what is above it.",
            )
        names = [str(value) if isinstance(value, str) else "" for value in _in_a_row(cells)]
        below = [str(value) for value in _in_a_row(first[1])] if first else []
        return read_columns(names, below, row, self._content.place)

    def _has_cells(self, each: Sheet) -> bool:
        with self._damage_told(), closing(self._part(each.part)) as stream:
            return next(sheet.read_rows(stream, AnyText(), ()), None) is not None

    def _strings(self) -> list[str]:
        """The texts that cells refer to by number."""
        if self._strings_part not in self._sizes:
            return []
        with closing(self._part(self._strings_part)) as stream:
            return read_shared_texts(stream, self._content.place)

    def _formats(self) -> list[cell.Format | None]:
        """How numbers are shown, by the style of their cell."""
        if self._styles_part not in self._sizes:
            return []
        codes: dict[int, str] = {}
        found: list[cell.Format | None] = []
        within = False
        for name, attributes in self._elements(self._styles_part):
            if name == "numFmt":
                codes[int(attributes["numFmtId"])] = attributes.get("formatCode", "")
            elif name in ("cellXfs", "cellStyles", "dxfs"):
                within = name == "cellXfs"
            elif name == "xf" and within:
                number = int(attributes.get("numFmtId", 0))
                found.append(cell.read_format(number, codes.get(number, ""), from_1904=self._from_1904))
        return found

    def _part(self, part: str) -> Any:
        return MemberContent(
            self._content, part, self._content.name, self._content.place, self._sizes[part]
        ).open()

    def _elements(self, part: str) -> list[Element]:
        """All elements of a small part: (name without prefix, attributes without prefixes)."""
        found: list[Element] = []

        def start(name: str, attributes: dict[str, str]) -> None:
            bare = {key.rpartition(":")[2]: value for key, value in attributes.items()}
            found.append((name.rpartition(":")[2], bare))

        parser = sheet.plain_parser()
        parser.StartElementHandler = start
        with closing(self._part(part)) as stream:
            content = stream.read(PART_LIMIT_BYTES + 1)
        if len(content) > PART_LIMIT_BYTES:
            raise sheet.DamagedSheet(part)
        parser.Parse(content, True)
        return found

    @contextmanager
    def _damage_told(self) -> Iterator[None]:
        try:
            yield
        except (
            expat.ExpatError,
            LookupError,
            ValueError,
            OverflowError,
            zipfile.BadZipFile,
            OSError,
        ) as error:
            raise damaged_archive(self._content.place, error) from None


def workbook_items(content: Content, chosen: Sheet) -> Iterator[Item]:
    """The items of one sheet, opened anew."""
    yield from Workbook(content).items(chosen)


def _sheets(elements: list[Element], relations: dict[str, tuple[str, str]]) -> Iterator[Sheet]:
    for name, found in elements:
        if name == "sheet" and found.get("id") in relations:
            kind, part = relations[found["id"]]
            if kind.endswith("/worksheet"):  # others hold a picture
                yield Sheet(found["name"], part, found.get("state", "visible") != "visible")


def _target(target: str) -> str:
    """The part that a relation of the workbook names."""
    if target.startswith("/"):
        return target[1:]
    return PurePosixPath("xl", target).as_posix()


def _filled_down(
    rows: Iterator[tuple[int, sheet.Cells]], merged: sheet.Merged
) -> Iterator[tuple[int, sheet.Cells]]:
    """Rows in which a cell that was merged with those below stands in each of them, as a person sees it.

    Rows that hold nothing else stay out: they are empty.
    """
    starts = sorted(merged.down)
    standing: dict[int, tuple[int, cell.Value]] = {}
    at = 0
    for number, cells in rows:
        for column, (last, value) in list(standing.items()):
            if last < number:
                del standing[column]
            else:
                cells.setdefault(column, value)
        while at < len(starts) and starts[at] <= number:
            if starts[at] == number:
                for column, last in merged.down[number]:
                    if column in cells:
                        standing[column] = (last, cells[column])
            at += 1
        yield number, cells


def _in_a_row(cells: sheet.Cells) -> list[cell.Value]:
    """All cells up to the last, the empty ones as ""."""
    return [cells.get(column, "") for column in range(max(cells, default=-1) + 1)]


def _fields(columns: Columns, cells: sheet.Cells, wide: bool) -> dict[str, Any] | RowRefused:
    if wide:
        fix = say("unmerge it, and write each value into its own cell")
        return RowRefused("row", "has a cell that spans several columns", fix)
    beyond = max(cells, default=0) + 1 - len(columns.names)
    if beyond > 0:
        what = say("has a value in column {position}, which has no name", position=max(cells) + 1)
        return RowRefused("row", what, "name that column in the first row, or empty it")
    return columns.fields([cells.get(column, "") for column in range(len(columns.names))])
