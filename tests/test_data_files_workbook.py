"""Workbooks to items: what a person sees in the cells, or words for why it is not certain."""

import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from appliance.data.files import open_sources
from appliance.data.files.cell import read_format
from appliance.data.files.sheet import read_merged
from appliance.data.judge import RowRefused
from appliance.errors import BadInput
from tests.workbooks import number, row, sheet, text, workbook

HEADER = row(1, "prompt", "completion")


def items(path: Path, sheet: str = "") -> list[tuple[int, Any]]:
    (source,) = open_sources(path, sheet=sheet)
    return list(source.items())


def one(tmp_path: Path, *rows: str, merged: tuple[str, ...] = (), shared: str = "") -> Path:
    return workbook(tmp_path / "rows.xlsx", {"问答": sheet(*rows, merged=merged)}, shared=shared)


def value(tmp_path: Path, cell: str, **more: Any) -> Any:
    path = workbook(tmp_path / "rows.xlsx", {"a": sheet(HEADER, row(2, "x", cell))}, **more)
    return items(path)[0][1]["completion"]


def test_rows_have_the_numbers_that_the_spreadsheet_shows_and_empty_ones_are_none(tmp_path: Path) -> None:
    path = one(tmp_path, HEADER, row(2, "a", "b"), row(5, "c"), row(6, text("C6", " ")))
    (source,) = open_sources(path)
    assert (source.container, source.sheet, source.encoding) == ("xlsx", "问答", "")
    assert list(source.items()) == [
        (2, {"prompt": "a", "completion": "b"}),
        (5, {"prompt": "c", "completion": ""}),
    ]
    assert list(source.items()) == list(source.items())


def test_shared_texts_in_pieces_are_joined_and_their_pronunciation_left_out(tmp_path: Path) -> None:
    shared = "<si><t>plain</t></si><si><r><t>北</t></r><r><t>京</t></r><rPh><t>beijing</t></rPh></si>"
    cells = [f'<c r="{place}2" t="s"><v>{at}</v></c>' for place, at in (("A", 0), ("B", 1))]
    path = one(tmp_path, HEADER, row(2, *cells), shared=shared)
    assert items(path) == [(2, {"prompt": "plain", "completion": "北京"})]


@pytest.mark.parametrize(
    ("cell", "shown"),
    [
        (number("B2", "12"), "12"),
        (number("B2", "0.30000000000000004"), "0.3"),
        (number("B2", "-3.5"), "-3.5"),
        (number("B2", "110101199003071"), "110101199003071"),  # an old identity card's 15 digits
        (number("B2", "45047", "date"), "2023-05-01"),
        (number("B2", "45047", "chinese date"), "2023-05-01"),
        (number("B2", "45047", "east asian date"), "2023-05-01"),
        (number("B2", "45047.5625", "moment"), "2023-05-01 13:30"),
        (number("B2", "0.354166666666667", "time"), "08:30"),
        (number("B2", "59", "date"), "1900-02-28"),
        (number("B2", "61", "date"), "1900-03-01"),
        (number("B2", "1.5", "hours"), "36:00:00"),
        (number("B2", "123", "zeros"), "000123"),
        (number("B2", "0.125", "share"), "12.5%"),
        (number("B2", "0.5", "whole share"), "50%"),
        (number("B2", "7", "words"), "days 7"),
        (number("B2", "1234.5", "money"), "1234.5"),
        ('<c r="B2" t="b"><v>1</v></c>', "TRUE"),
        ('<c r="B2" t="str"><f>A2&amp;"b"</f><v>ab</v></c>', "ab"),
        ('<c r="B2" t="d"><v>2023-05-01</v></c>', "2023-05-01"),
        (text("B2", "a_x000A_b"), "a\nb"),
    ],
)
def test_a_cell_is_what_a_person_sees_in_it(tmp_path: Path, cell: str, shown: str) -> None:
    assert value(tmp_path, cell) == shown


@pytest.mark.parametrize(
    ("code", "value", "shown"),
    [
        ("0%", 0.125, "13%"),  # Excel rounds halves away from zero, ...
        ("0%", 0.285, "29%"),  # ... of the number as it was typed: the nearest float times 100 is below 28.5
        ("0%", -0.125, "-13%"),
        ("0.0%", 1e14, "10000000000000000.0%"),
        ("0." + "0" * 60 + "%", 0.5, "50." + "0" * 30 + "%"),
        ("000", 2.5, "003"),
        ("000", -5.0, "-005"),
        ('0" mg"', 5.0, "5 mg"),
        ('0.0"mmol/L"', 7.4, "7.4mmol/L"),
        ('General"岁"', 61.0, "61岁"),
        ('"ZY"000000', 123.0, "ZY000123"),
        ("[$¥-804]#,##0.00", 12.5, "¥12.5"),
        ("0\\次", -3.0, "-3次"),
    ],
)
def test_a_number_is_shown_as_a_spreadsheet_shows_it(code: str, value: float, shown: str) -> None:
    show = read_format(164, code, from_1904=False)
    assert show is not None and show(value) == shown


@pytest.mark.parametrize(
    "code",
    ["0.00", "#,##0_ ;[Red]\\-#,##0\\ ", '"高";"低"', '"文字"', "0.00E+00", "@", "# ?/?", "0_);(0)"],
)
def test_a_number_stays_as_it_is_stored_where_its_format_adds_nothing_that_is_certain(code: str) -> None:
    assert read_format(164, code, from_1904=False) is None


def test_dates_of_old_macs_begin_in_1904(tmp_path: Path) -> None:
    assert value(tmp_path, number("B2", "43585", "date"), from_1904=True) == "2023-05-01"


@pytest.mark.parametrize(
    ("cell", "what"),
    [
        (number("B2", "1.10101199003071E+17"), "more than 15 digits"),
        (number("B2", "110101199003071234", "zeros"), "more than 15 digits"),
        ('<c r="B2" t="e"><v>#N/A</v></c>', "the error #N/A"),
        ('<c r="B2"><f>SUM(C1:C9)</f></c>', "whose result is not stored"),
        ('<c r="B2"><f>[1]Sheet1!A1</f></c>', "whose result is not stored"),
    ],
)
def test_a_cell_that_lost_what_was_meant_spoils_only_rows_that_need_it(
    tmp_path: Path, cell: str, what: str
) -> None:
    found = value(tmp_path, cell)
    assert isinstance(found, RowRefused)
    assert what in found.what
    assert found.fix


def test_a_cell_merged_downwards_stands_in_each_row_and_one_that_spans_columns_refuses_its_row(
    tmp_path: Path,
) -> None:
    path = one(
        tmp_path,
        row(1, "科室", "prompt", "completion"),
        row(2, "心内科", "a", "b"),
        row(3, text("B3", "c"), text("C3", "d")),
        row(4, "骨科", "e"),
        row(5, "骨科", "f", "g"),
        merged=("A2:A3", "B4:C4"),
    )
    (second, third, fourth, fifth) = items(path)
    assert second[1]["科室"] == third[1]["科室"] == "心内科"
    assert fifth[1]["科室"] == "骨科"
    assert fourth[0] == 4
    assert "spans several columns" in fourth[1].what


def test_a_span_over_many_rows_is_seen_behind_any_number_of_small_ones(tmp_path: Path) -> None:
    rows = [row(at, "a", "b", "c", "d") for at in range(2, 102)]
    small = tuple(f"C{at}:D{at}" for at in range(3, 90))
    path = one(tmp_path, row(1, "q", "a", "x", "y"), *rows, merged=("A2:B95", *small))
    refused = [number for number, item in items(path) if isinstance(item, RowRefused)]
    assert refused == list(range(2, 96))


def test_merged_cells_are_seen_in_either_quotes_and_begun_ones_are_each_looked_at_once() -> None:
    assert read_merged(BytesIO(b"<mergeCell ref='A2:A4'/>")).down == {2: [(0, 4)]}
    begun = b"<!-- " + b"<mergeCell " * 4_000_000 + b"-->"  # hours, if each were followed to the end
    assert not read_merged(BytesIO(begun + b'<mergeCells><mergeCell ref="B5:B6"/></mergeCells>')).wide


@pytest.mark.parametrize(
    ("rows", "merged", "what"),
    [
        ((row(1, "问答数据 2023"), row(2, "prompt", "completion"), row(3, "a", "b")), (), "has a title"),
        ((row(1, "患者"), row(2, "prompt", "completion")), ("A1:B1",), "has merged cells"),
        ((row(1, "prompt", "completion"), row(3, "a", "b")), ("A1:A2",), "has merged cells"),
        ((row(1, number("A1", "1"), number("B1", "2")), row(2, "a", "b")), (), "has no names"),
        ((row(1, "a", "a"), row(2, "x", "y")), (), "two columns of one name"),
    ],
)
def test_refuses_a_sheet_whose_first_row_does_not_name_the_columns(
    tmp_path: Path, rows: tuple[str, ...], merged: tuple[str, ...], what: str
) -> None:
    with pytest.raises(BadInput, match=what):
        items(one(tmp_path, *rows, merged=merged))


def test_asks_which_sheet_is_meant_and_takes_the_only_one_that_holds_rows(tmp_path: Path) -> None:
    part = sheet(HEADER, row(2, "a", "b"))
    path = workbook(tmp_path / "rows.xlsx", {"一": part, "二": part, "三": sheet()})
    with pytest.raises(BadInput) as refused:
        open_sources(path)
    assert refused.value.why == "they are 一, 二"
    assert "--sheet" in refused.value.next_step
    assert items(path, "二") == [(2, {"prompt": "a", "completion": "b"})]
    with pytest.raises(BadInput, match="has no sheet 四") as refused:
        open_sources(path, sheet="四")
    assert refused.value.why == "its sheets are 一, 二, 三"


def test_a_hidden_sheet_is_read_only_when_it_is_named_and_said_when_it_is_not(tmp_path: Path) -> None:
    sheets = {"a": sheet(HEADER, row(2, "a", "b")), "字典": sheet(HEADER, row(2, "c", "d"))}
    path = workbook(tmp_path / "rows.xlsx", sheets, hidden=("字典",))
    (source,) = open_sources(path)
    assert source.sheet == "a"
    assert source.notes == ("hidden sheets were not read: 字典",)
    assert items(path, "字典")[0][1]["prompt"] == "c"
    only = workbook(tmp_path / "hidden.xlsx", {"字典": sheets["字典"]}, hidden=("字典",))
    with pytest.raises(BadInput, match="has no sheet with rows"):
        open_sources(only)


def test_a_cell_in_the_farthest_corner_costs_nothing_and_its_row_is_refused(tmp_path: Path) -> None:
    far = '<row r="1048576"><c r="XFD1048576" t="inlineStr"><is><t>x</t></is></c></row>'
    first, last = items(one(tmp_path, HEADER, row(2, "a", "b"), far))
    assert first == (2, {"prompt": "a", "completion": "b"})
    assert last[0] == 1048576
    assert "column 16384, which has no name" in last[1].what


BOMB = '<!DOCTYPE a [<!ENTITY b "bbbbbbbb"><!ENTITY c "&b;&b;">]>'


@pytest.mark.parametrize(
    "part",
    [
        sheet(HEADER, row(2, "a", "b"), before=BOMB),
        sheet(HEADER, row(2, "a", "b"))[:-20],
        sheet(HEADER, '<row r="9999999999"/>'),
        sheet(row(5, "a"), row(4, "b")),
        sheet(HEADER, row(2, '<c r="A2" t="s"><v>-1</v></c>')),
        sheet(HEADER, row(2, '<c r="A2" t="s"><v>7</v></c>')),
        sheet(HEADER, row(2, number("A2", "1e999"))),
        sheet(HEADER, row(2, number("A2", "twelve"))),
        sheet(HEADER, '<row r="2"><c r="ZZZZZ2"><v>1</v></c></row>'),
        "no XML at all",
    ],
    ids=[
        "document type",
        "cut off",
        "row number",
        "rows backwards",
        "shared text before the first",
        "shared text after the last",
        "endless number",
        "no number",
        "column",
        "no XML",
    ],
)
def test_refuses_a_damaged_or_hostile_sheet(tmp_path: Path, part: str) -> None:
    path = workbook(tmp_path / "rows.xlsx", {"a": part})
    with pytest.raises(BadInput, match="is damaged"):
        items(path)


def test_refuses_a_sheet_that_unpacks_without_end(tmp_path: Path) -> None:
    path = workbook(tmp_path / "rows.xlsx", {"a": sheet(HEADER, row(2, "a", "b" * 150_000_000))})
    with pytest.raises(BadInput, match="far more than it should"):
        items(path)


def test_refuses_what_only_looks_like_a_workbook_and_says_what_it_is(tmp_path: Path) -> None:
    files = {
        "old.xls": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "old Office"),
        "locked.xlsx": (b"\xd0\xcf\x11\xe0" + "EncryptedPackage".encode("utf-16-le"), "with a password"),
        "page.xls": ("<html><table><tr><td>姓名</td></tr></table></html>".encode("gb18030"), "a web page"),
        "broken.xlsx": (b"PK\x03\x04\x00\x00spreadsheet", "cannot be unpacked"),
    }
    for name, (content, why) in files.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(BadInput) as refused:
            open_sources(tmp_path / name)
        assert why in refused.value.why, name
    with zipfile.ZipFile(tmp_path / "text.docx", "w") as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("word/document.xml", "<document/>")
    with pytest.raises(BadInput) as refused:
        open_sources(tmp_path / "text.docx")
    assert "no .xlsx workbook" in refused.value.why


def test_an_export_that_is_text_under_a_workbooks_name_is_read_as_the_table_that_it_is(
    tmp_path: Path,
) -> None:
    path = tmp_path / "导出.xls"
    path.write_bytes("姓名\t诊断\r\n张三\t肺炎\r\n李四\t骨折\r\n".encode("gb18030"))
    (source,) = open_sources(path)
    assert (source.container, source.encoding) == ("tsv", "gb18030")
    assert [item for _, item in source.items()][1] == {"姓名": "李四", "诊断": "骨折"}


def test_a_prefix_of_names_as_some_programs_write_it_changes_nothing(tmp_path: Path) -> None:
    part = sheet(HEADER, row(2, "a", "b"), row(3, "c", "d"), merged=("A2:B2",))
    prefixed = part.replace("<", "<x:").replace("<x:/", "</x:").replace("xmlns=", "xmlns:x=")
    (second, third) = items(workbook(tmp_path / "rows.xlsx", {"a": prefixed}))
    assert isinstance(second[1], RowRefused)
    assert third == (3, {"prompt": "c", "completion": "d"})


def test_nothing_of_the_formats_is_lost_where_a_workbook_has_no_styles(tmp_path: Path) -> None:
    path = workbook(tmp_path / "full.xlsx", {"a": sheet(HEADER, row(2, number("A2", "7", "date")))})
    bare = tmp_path / "rows.xlsx"
    with zipfile.ZipFile(path) as full, zipfile.ZipFile(bare, "w") as archive:
        for name in full.namelist():
            if name != "xl/styles.xml":
                archive.writestr(name, full.read(name))
    assert items(bare) == [(2, {"prompt": "7", "completion": ""})]
