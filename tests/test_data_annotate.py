"""Copies of a person's own file with what is wrong beside each row: nothing else in them changes."""

import codecs
import csv
import gzip
import io
import json
import xml.etree.ElementTree as ElementTree
import zipfile
from pathlib import Path

import pytest

from appliance.data.checks.annotate import annotate, check_annotatable
from appliance.data.checks.annotate_sheet import letters_of
from appliance.data.checks.check import check_rows
from appliance.data.checks.remarks import Remarks, safe_cell
from appliance.data.files import open_sources
from appliance.data.read import read_file, stream
from appliance.errors import BadInput
from appliance.run.plan import DataFile
from tests.workbooks import row, sheet, workbook


def annotated(path: Path, out: Path, *, sheet: str = "") -> int:
    """The copy, with the codes of a row as its remark; how many remarks found no place."""
    file = DataFile(str(path), sheet=sheet)
    source = check_annotatable(file, out)
    checked = check_rows(lambda: stream(file))
    return annotate(source, out, checked, "check", lambda found: " ".join(each.code for each in found))


def cells(path: Path, encoding: str, delimiter: str = ",") -> list[list[str]]:
    return list(csv.reader(io.StringIO(path.read_bytes().decode(encoding), newline=""), delimiter=delimiter))


TABLE = (
    "prompt,completion,备注\r\n"
    "门诊几楼？,三楼,=1+1\r\n"
    '"门诊几楼？","三楼",x\r\n'
    "\r\n"
    "几点开门？,,\r\n"
    '"多\r\n行","一,二",-5\r\n'
)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "utf-16"])
def test_a_table_keeps_its_cells_its_order_and_its_encoding(tmp_path: Path, encoding: str) -> None:
    path, out = tmp_path / "rows.csv", tmp_path / "out.csv"
    path.write_bytes(TABLE.encode(encoding))
    assert annotated(path, out) == 0
    written = out.read_bytes()
    assert written.startswith(codecs.BOM_UTF8) == encoding.startswith("utf-8")  # Excel needs it
    assert written.startswith(codecs.BOM_UTF16_LE) == (encoding == "utf-16")
    assert cells(out, "utf-8-sig" if encoding == "utf-8" else encoding) == [
        ["prompt", "completion", "备注", "check"],
        ["门诊几楼？", "三楼", "=1+1", ""],
        ["门诊几楼？", "三楼", "x", "exact-duplicates"],
        [],
        ["几点开门？", "", "", "unusable"],
        ["多\r\n行", "一,二", "-5", ""],
    ]
    assert out.stat().st_mode & 0o777 == 0o600


def test_the_column_stands_right_of_the_widest_row_under_a_name_that_is_free(tmp_path: Path) -> None:
    path, out = tmp_path / "rows.tsv", tmp_path / "out.tsv"
    path.write_text("prompt\tcompletion\tcheck\na\tb\tc\td\te\nf\t\tg\nh\ti\tj\n", encoding="utf-8")
    assert annotated(path, out) == 0
    assert cells(out, "utf-8-sig", "\t") == [
        ["prompt", "completion", "check", "", "", "check 2"],
        ["a", "b", "c", "d", "e", "unusable"],
        ["f", "", "g", "", "", "unusable"],
        ["h", "i", "j", "", "", ""],
    ]


def test_json_lines_get_a_field_and_are_else_what_they_were(tmp_path: Path) -> None:
    lines = [
        '{"instruction": "几楼？",  "output": "三楼", "n": 1.50}',
        '{"output": "三楼", "instruction": "几楼？", "check": "mine" }',
        "",
        '{"instruction": "几点？", "output": ""}',
        '{"instruction": broken',
        "{}",
    ]
    path, out = tmp_path / "rows.jsonl", tmp_path / "out.jsonl"
    path.write_bytes("\r\n".join(lines).encode())
    assert annotated(path, out) == 1  # a line that is no JSON has no room
    assert out.read_bytes().decode().split("\r\n") == [
        lines[0],
        '{"output": "三楼", "instruction": "几楼？", "check": "mine", "check 2": "exact-duplicates" }',
        "",
        '{"instruction": "几点？", "output": "", "check 2": "unusable"}',
        lines[4],
        '{"check 2": "unusable"}',
    ]


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("encoding", ["utf-8", "gb18030"])
def test_a_json_list_is_read_back_with_the_field(tmp_path: Path, indent: int | None, encoding: str) -> None:
    items = [
        {"instruction": "一科几楼？", "output": "三楼}"},
        {"instruction": "二科几楼？", "output": "", "history": [["a", "b"]]},
        ["no object"],
        {"instruction": "一科几楼？", "output": "三楼}"},
    ]
    path, out = tmp_path / "rows.json", tmp_path / "out.json"
    path.write_bytes(json.dumps(items, ensure_ascii=False, indent=indent).encode(encoding))
    assert annotated(path, out) == 1
    expected = [
        items[0],
        {**items[1], "check": "unusable"},
        items[2],
        {**items[3], "check": "exact-duplicates"},
    ]  # type: ignore[dict-item]
    assert json.loads(out.read_bytes().decode(encoding)) == expected


def test_a_workbook_keeps_its_other_parts_and_its_rows(tmp_path: Path) -> None:
    rows = (
        row(2, "prompt", "completion"),
        row(3, "几楼？", "三楼"),
        '<row r="5" spans="1:2" ht="20"><c r="A5" t="inlineStr"><is><t>几楼？</t></is></c>'
        '<c r="B5"><f>"三"&amp;"楼"</f><v></v></c></row>',
        '<row r="6"/>',
        row(7, "几楼？", "三楼"),
    )
    part = sheet(*rows).replace("<sheetData>", '<dimension ref="A2:B7"/><sheetData>')
    path = workbook(tmp_path / "rows.xlsx", {"甲": sheet(row(1, "x")), "问答": part})
    out = tmp_path / "out.xlsx"
    assert annotated(path, out, sheet="问答") == 0
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(out) as new:
        assert new.namelist() == old.namelist()
        same = {name for name in old.namelist() if old.read(name) == new.read(name)}
        assert set(old.namelist()) - same == {"xl/worksheets/s2.xml"}
        tree = ElementTree.fromstring(new.read("xl/worksheets/s2.xml"))  # noqa: S314  # our own
    names = {"m": "http://schemas.openxmlformats.org/spreadsheetml/2006/main"}
    written = {cell.get("r"): "".join(cell.itertext()) for cell in tree.findall(".//m:c", names)}
    assert written["C2"] == "check"
    assert (written["C5"], written["C7"]) == ("unusable", "exact-duplicates")
    assert "C3" not in written and "C6" not in written
    assert tree.find(".//m:f", names) is not None
    dimension = tree.find("m:dimension", names)
    assert dimension is not None and dimension.get("ref") == "A2:C7"
    (source,) = open_sources(out, sheet="问答")
    assert [number for number, _ in source.items()] == [3, 5, 7]


def test_a_workbook_with_prefixes_and_without_places_is_annotated_too(tmp_path: Path) -> None:
    cell = '<x:c t="inlineStr"><x:is><x:t>{}</x:t></x:is></x:c>'
    lines = "".join(
        f"<x:row>{''.join(cell.format(value) for value in values)}</x:row>"
        for values in (("prompt", "completion"), ("几楼？", "三楼"), ("几楼？", "三楼"))
    )
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    part = f'<x:worksheet xmlns:x="{main}"><x:sheetData>{lines}</x:sheetData></x:worksheet>'
    path, out = workbook(tmp_path / "rows.xlsx", {"a": part}), tmp_path / "out.xlsx"
    assert annotated(path, out) == 0
    assert [item for _, item in open_sources(out)[0].items()][-1] == {
        "prompt": "几楼？",
        "completion": "三楼",
        "check": "exact-duplicates",
    }


def test_a_workbook_whose_attributes_stand_in_single_quotes_is_annotated_too(tmp_path: Path) -> None:
    rows = (row(2, "prompt", "completion"), row(4, "几楼？", "三楼"), row(9, "几楼？", "三楼"))
    part = "".join(rows).replace('"', "'")
    path = workbook(tmp_path / "rows.xlsx", {"a": sheet(part)})
    out = tmp_path / "out.xlsx"
    assert annotated(path, out) == 0
    (source,) = open_sources(out)
    assert [(number, item["check"]) for number, item in source.items() if isinstance(item, dict)] == [
        (4, ""),
        (9, "exact-duplicates"),
    ]


@pytest.mark.parametrize(
    ("column", "letters"), [(0, "A"), (25, "Z"), (26, "AA"), (701, "ZZ"), (702, "AAA"), (16383, "XFD")]
)
def test_columns_are_called_as_spreadsheets_call_them(column: int, letters: str) -> None:
    assert letters_of(column) == letters


def test_a_copy_is_read_as_the_same_rows(tmp_path: Path) -> None:
    path, out = tmp_path / "rows.csv", tmp_path / "out.csv"
    path.write_text("prompt,completion\n几楼？,三楼\n几楼？,三楼\n几点？,八点\n", encoding="utf-8")
    annotated(path, out)
    again = read_file(out)
    assert len(again.rows) == 3
    assert [each.messages for each in again.rows] == [each.messages for each in read_file(path).rows]


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@x", "\t=1"])
def test_no_cell_that_is_written_is_a_formula(text: str) -> None:
    assert safe_cell(text) == f"'{text}"
    assert safe_cell("warning: =1") == "warning: =1"


def test_refuses_to_write_over_a_file_or_into_what_has_no_room(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("prompt,completion\na,b\n", encoding="utf-8")
    before = path.read_bytes()
    with pytest.raises(BadInput, match="is there already"):
        annotated(path, path)
    assert path.read_bytes() == before
    with pytest.raises(BadInput, match="cannot be written"):
        annotated(path, tmp_path / "none" / "out.csv")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "rows.csv").write_bytes(before)
    packed, pressed = tmp_path / "rows.zip", tmp_path / "rows.csv.gz"
    pressed.write_bytes(gzip.compress(before))
    with zipfile.ZipFile(packed, "w") as archive:
        archive.write(path, "rows.csv")
    listed = tmp_path / "dataset_info.json"
    listed.write_text('{"a": {"file_name": "rows.csv", "columns": {"prompt": "prompt"}}}', encoding="utf-8")
    for other in (packed, pressed, listed, tmp_path / "folder"):
        with pytest.raises(BadInput, match="no room for remarks"):
            annotated(other, tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()


def test_remarks_without_a_row_are_counted() -> None:
    remarks = Remarks([(2, "a"), (3, "b"), (9, "c")])
    assert [remarks.at(row) for row in (1, 3, 4)] == ["", "b", ""]
    assert remarks.end() == 2


def test_a_copy_that_cannot_be_finished_leaves_nothing(tmp_path: Path) -> None:
    path, out = tmp_path / "rows.csv", tmp_path / "out.csv"
    path.write_text("prompt,completion\na,b\na,b\n", encoding="utf-8")
    file = DataFile(str(path))
    checked = check_rows(lambda: stream(file))
    with pytest.raises(ZeroDivisionError):
        annotate(check_annotatable(file, out), out, checked, "check", lambda found: str(1 // 0))
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_changes_after_the_check_has_no_copy(tmp_path: Path) -> None:
    path, out = tmp_path / "rows.csv", tmp_path / "out.csv"
    path.write_text("prompt,completion\na,\nb,c\n", encoding="utf-8")
    file = DataFile(str(path))
    source, checked = check_annotatable(file, out), check_rows(lambda: stream(file))
    path.write_text("prompt,completion\nb,c\na,\n", encoding="utf-8")
    with pytest.raises(BadInput, match="changed while they were read"):
        annotate(source, out, checked, "check", lambda found: "wrong")
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_wrong_with_validation_rows_stands_in_no_copy_of_the_trained_ones(tmp_path: Path) -> None:
    path, other, out = tmp_path / "rows.csv", tmp_path / "held" / "rows.csv", tmp_path / "out.csv"
    other.parent.mkdir()
    path.write_text("prompt,completion\n几楼？,三楼\n几点？,八点\n", encoding="utf-8")
    other.write_text("prompt,completion\n几楼？,三楼\n几号？,\n", encoding="utf-8")
    file, held = DataFile(str(path)), DataFile(str(other))
    checked = check_rows(lambda: stream(file), lambda: stream(held))
    assert checked.counts() == {"unusable": 1, "leakage": 1}
    assert annotate(check_annotatable(file, out), out, checked, "check", lambda found: "wrong") == 0
    assert "wrong" not in out.read_text(encoding="utf-8-sig")
