"""JSON, tables and text to items: every encoding, every trap, and no row that nobody hears of."""

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.data.files import json_list, open_sources, table
from appliance.data.files.encoding import decode_text
from appliance.data.judge import RowRefused
from appliance.data.read import stream
from appliance.errors import BadInput
from appliance.run.plan import DataFile

CHINESE = "门诊在几楼？"
ROWS = [{"prompt": CHINESE, "completion": "一楼"}, {"prompt": "x", "completion": "y"}]


def write(folder: Path, content: str | bytes, name: str) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def read(path: Path) -> tuple[str, list[tuple[int, Any]]]:
    """The container and the items; a refused row as the words that say why."""
    (source,) = open_sources(path)
    found = list(source.items())
    assert [number for number, _ in found] == [number for number, _ in source.items()]
    return source.container, [(n, i.what if isinstance(i, RowRefused) else i) for n, i in found]


@pytest.mark.parametrize(
    ("name", "content", "container", "numbers"),
    [
        ("rows.json", json.dumps(ROWS), "json", (1, 2)),
        ("rows.json", json.dumps(ROWS, indent=2, ensure_ascii=False), "json", (1, 2)),
        ("rows.data", "\n\n " + json.dumps(ROWS) + " \n", "json", (1, 2)),
        ("rows.json", "\n".join(map(json.dumps, ROWS)), "jsonl", (1, 2)),
        ("rows.jsonl", "\n\n".join(map(json.dumps, ROWS)) + "\n", "jsonl", (1, 3)),
        ("rows.jsonl", "\r\n".join(map(json.dumps, ROWS)) + "\r\n", "jsonl", (1, 2)),
        ("rows.jsonl", "\r".join(map(json.dumps, ROWS)) + "\r", "jsonl", (1, 2)),
        ("rows.jsonl", "\n".join(json.dumps(row, indent=1) for row in ROWS), "json", (1, 2)),
        ("rows.csv", f"prompt,completion\n{CHINESE},一楼\nx,y", "csv", (2, 3)),
        ("rows.csv", f"\ufeffprompt;completion\r\n{CHINESE};一楼\r\n\r\nx;y\r\n", "csv", (2, 4)),
        ("rows.csv", f"prompt|completion\r{CHINESE}|一楼\rx|y\r", "csv", (2, 3)),
        ("rows.tsv", f"prompt\tcompletion\n{CHINESE}\t一楼\nx\ty\n", "tsv", (2, 3)),
        ("rows.txt", f"prompt\tcompletion\n{CHINESE}\t一楼\nx\ty\n", "tsv", (2, 3)),
        ("rows", f"prompt \t\ufeffcompletion\t\n{CHINESE}\t一楼\t\nx\ty\t\n", "tsv", (2, 3)),
        ("export.dat", f"prompt,completion\n{CHINESE},一楼\nx,y\n", "csv", (2, 3)),
    ],
)
def test_the_same_rows_come_out_of_every_way_to_write_them(
    tmp_path: Path, name: str, content: str, container: str, numbers: tuple[int, ...]
) -> None:
    assert read(write(tmp_path, content, name)) == (container, list(zip(numbers, ROWS, strict=True)))


@pytest.mark.parametrize("name", ["rows.json", "rows.jsonl", "rows.csv", "rows.txt"])
@pytest.mark.parametrize(
    ("encoding", "said"),
    [
        ("utf-8", "utf-8"),
        ("utf-8-sig", "utf-8"),
        ("gb18030", "gb18030"),
        ("utf-16-le", "utf-16-le"),
        ("utf-16-be", "utf-16-be"),
    ],
)
def test_every_container_of_text_is_read_in_every_encoding(
    tmp_path: Path, name: str, encoding: str, said: str
) -> None:
    text = {
        "rows.json": json.dumps(ROWS, ensure_ascii=False),
        "rows.jsonl": "\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS),
        "rows.csv": f"prompt,completion\n{CHINESE},一楼\nx,y\n",
        "rows.txt": f"{CHINESE}\n\n一楼\n",
    }[name]
    mark = "\ufeff" if encoding.startswith("utf-16") else ""
    path = write(tmp_path, (mark + text).encode(encoding), name)
    (source,) = open_sources(path)
    assert source.encoding == said
    texts = [{"text": CHINESE}, {"text": "一楼"}]
    assert [item for _, item in source.items()] == (texts if name == "rows.txt" else ROWS)


def test_chinese_that_begins_late_in_a_long_file_is_still_told_from_other_encodings(tmp_path: Path) -> None:
    ascii_rows = '{"a": "b"}\n' * 150_000
    path = write(tmp_path, ascii_rows.encode() + f'{{"a": "{CHINESE}"}}\n'.encode("gb18030"), "rows.jsonl")
    (source,) = open_sources(path)
    assert source.encoding == "gb18030"
    assert list(source.items())[-1] == (150_001, {"a": CHINESE})


@pytest.mark.parametrize("encoding", ["utf-8", "gb18030", "utf-16"])
def test_a_byte_that_fits_no_encoding_is_told_with_its_line_before_any_row_is_given(
    tmp_path: Path, encoding: str
) -> None:
    line = f'{{"a": "{CHINESE}"}}\n'
    whole = (line * 120_000).encode(encoding)
    bad = {"utf-8": b"\xff", "gb18030": b"\xff\xff", "utf-16": b"\x00\xdc"}[encoding]
    path = write(tmp_path, whole + '{"a": "'.encode(encoding)[-12:] + bad + whole[-80:], "rows.jsonl")
    with pytest.raises(BadInput) as refused:
        open_sources(path)
    assert "line 120001" in refused.value.why
    assert "UTF-8" in refused.value.next_step


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ('{"a": 1, "a": 2}', "stands twice"),
        ('{"a": 1, "a" : 1}', "stands twice"),
        ('{"a": {"b": 1, "c": ":", "b": 2}}', "stands twice"),
        ('{"a": NaN}', "NaN is no number"),
        ('{"a": [-Infinity]}', "-Infinity is no number"),
        ('{"a": ' + "9" * 5000 + "}", "thousands of digits"),
        ('{"a\\u0007": 1}', "a name that cannot be shown"),
        ('{"a": [{"b\\ud800": 1}]}', "a name that cannot be shown"),
        ('["a"]', "is no object"),
        ("7", "is no object"),
        ("null", "is no object"),
    ],
)
def test_an_item_that_means_two_things_or_is_no_json_refuses_its_own_row_only(
    tmp_path: Path, line: str, what: str
) -> None:
    good = '{"x": "\\":", "y": [{"z": ": :"}, 1e5]}'
    item = {"x": '":', "y": [{"z": ": :"}, 1e5]}
    for name, content in (
        ("rows.jsonl", "\n".join((good, line, good))),
        ("rows.json", f"[{good},\n {line}\n,{good}]"),
    ):
        _, ((_, first), (number, second), (_, third)) = read(write(tmp_path, content, name))
        assert first == third == item
        assert number == 2
        assert what in second


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ('{"a":', "line 1 column 6"),
        ('{"a": 1,}', "in double quotes"),
        ('{"a": 1} {"b": 2}', "Extra data"),
        ('{"a": "\t"}', "Invalid control character"),
        ("{'a': 1}", "in double quotes"),
        ('{"a": ' + "[" * 100_000, "nested too deep"),
        ("\ufeff", "byte order mark"),
    ],
)
def test_a_line_that_is_no_json_refuses_its_own_row_only(tmp_path: Path, line: str, what: str) -> None:
    lines = ['{"a": 1}'] * 60 + [line, '{"a": 1}']
    _, found = read(write(tmp_path, "\n".join(lines), "rows.jsonl"))
    assert [number for number, _ in found] == list(range(1, 63))
    assert what in found[60][1]
    assert found[61] == (62, {"a": 1})


def test_a_mark_inside_and_half_an_emoji_are_a_lines_own_business(tmp_path: Path) -> None:
    path = write(tmp_path, '{"a": "1"}\n\ufeff{"a": "2"}\n{"a": "\\ud83d"}\n', "rows.jsonl")
    assert read(path)[1] == [(1, {"a": "1"}), (2, {"a": "2"}), (3, {"a": "\ud83d"})]


def test_a_line_of_absurd_length_is_one_row_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("appliance.data.files.json_lines.LINE_LIMIT_BYTES", 1 << 20)
    content = b'{"a": 1}\r\n{"a": "' + b"x" * (3 << 20) + b'"}\r\n{"a": 2}\r\n'
    _, found = read(write(tmp_path, content, "rows.jsonl"))
    assert [number for number, _ in found] == [1, 2, 3]
    assert "more than 1048576 bytes" in found[1][1]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ('[{"a": 1}\n,{"a": 2}', "it ends in the middle of the list: line 2 column 10 (char 19)"),
        ('[{"a": 1},\n{"a": 2},\n]', "Illegal trailing comma before end of array: line 3 column 1 (char 21)"),
        ('[{"a": 1}\n{"a": 2}]', "Expecting ',' delimiter: line 2 column 1 (char 10)"),
        ('[{"a": 1},,{"a": 2}]', "Expecting value: line 1 column 11 (char 10)"),
        ('[{"a": 1}]\n[{"a": 2}]', "Extra data: line 2 column 1 (char 11)"),
        ('[{"a": 1},\n {"a": tru}]', "Expecting value: line 2 column 8 (char 18)"),
        ('[{"a": 1},\n {"a": "b', "Unterminated string starting at: line 2 column 8 (char 18)"),
        ('[{"a": 1}, ' + "[" * 100_000, "it is nested too deep"),
        ('{\n"a": 1\n}\n{\n"a": 2,\n}', "in double quotes: line 6 column 1"),
    ],
)
def test_a_list_that_breaks_off_or_is_damaged_is_refused_at_its_place(
    tmp_path: Path, content: str, why: str
) -> None:
    (source,) = open_sources(write(tmp_path, content, "rows.json"))
    items = source.items()
    assert next(items) == (1, {"a": 1})
    with pytest.raises(BadInput, match="is no JSON") as refused:
        list(items)
    assert why in refused.value.why
    error = refused.value
    assert error.__context__ is None or error.__suppress_context__  # the decoder's own holds the whole text


def test_places_are_right_however_far_the_window_has_moved(tmp_path: Path) -> None:
    rows = 90_000  # over three windows
    head = "[\n" + '  {"a": "门诊在几楼？"},\n' * rows
    (source,) = open_sources(write(tmp_path, head + '  {"a": nul}]', "rows.json"))
    assert len(source.sample(rows)) == rows
    with pytest.raises(BadInput) as refused:
        list(source.items())
    place = f"line {rows + 2} column 9 (char {len(head) + 8})"
    assert refused.value.why == f"Expecting value: {place}"


VALUES: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('ab:"中'), inner, max_size=3),
    max_leaves=6,
)


@settings(
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    items=st.lists(VALUES, max_size=5),
    window=st.sampled_from([1, 3, 17, 64]),
    ascii_only=st.booleans(),
    spoilt=st.none() | st.tuples(st.floats(0, 1), st.sampled_from(list(',:[]{}"\\e-.1x'))),
)
def test_a_small_window_reads_any_list_as_python_reads_the_whole(
    items: list[Any],
    window: int,
    ascii_only: bool,
    spoilt: tuple[float, str] | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(json_list, "WINDOW_CHARACTERS", window)
    text = json.dumps(items, ensure_ascii=ascii_only)
    if spoilt:
        at = 1 + int(spoilt[0] * (len(text) - 1))
        text = text[:at] + spoilt[1] + text[at:]
    found = json_list.list_items(io.StringIO(text, newline=""), Path("rows.json"))
    try:
        wanted = json.loads(text)
    except json.JSONDecodeError as error:
        with pytest.raises(BadInput) as refused:
            list(found)
        if error.pos < len(text):
            assert f"line {error.lineno} column {error.colno} (char {error.pos})" in refused.value.why
    else:
        for (number, item), want in zip(found, wanted, strict=True):
            assert item == want or isinstance(item, RowRefused), number
            if not spoilt:
                assert isinstance(item, RowRefused) is (not isinstance(want, dict) or not shown(want))


def shown(value: Any) -> bool:
    """Whether the names at any depth can be shown."""
    if isinstance(value, dict):
        return all(name.isprintable() and shown(inner) for name, inner in value.items())
    return not isinstance(value, list) or all(map(shown, value))


def test_items_longer_than_a_window_come_out_whole(tmp_path: Path) -> None:
    items = [{"a": letter * size} for letter, size in (("一", 3_000_000), ("b", 10), ('"', 1_500_000))]
    path = write(tmp_path, json.dumps(items, ensure_ascii=False), "rows.json")
    assert [item for _, item in read(path)[1]] == items


def test_cells_hold_quotes_and_line_ends_and_rows_are_counted_as_a_spreadsheet_does(tmp_path: Path) -> None:
    content = 'a,b\r\n"x\r\ny","say ""hi"""\r\n\r\n1,"2,3"\r\n'
    assert read(write(tmp_path, content, "rows.csv"))[1] == [
        (2, {"a": "x\r\ny", "b": 'say "hi"'}),
        (4, {"a": "1", "b": "2,3"}),
    ]


def test_a_row_whose_cells_fit_no_column_is_refused_and_the_next_one_is_not(tmp_path: Path) -> None:
    content = "a,,c,,\n1,,3,,\n1,2,3,,\n1,,3,,5\n1,\na,,c,,\n1,,3\n"
    _, found = read(write(tmp_path, content, "rows.csv"))
    assert found[0] == (2, {"a": "1", "c": "3"})
    assert "column 2, which has no name" in found[1][1]
    assert "has 5 cells where the header has 3" in found[2][1]
    assert "has 2 cells where the header has 3" in found[3][1]
    assert found[4] == (6, "is the header again")
    assert found[5] == (7, {"a": "1", "c": "3"})


@pytest.mark.parametrize(
    ("content", "what", "why"),
    [
        ("a,b,a\n1,2,3\n", "two columns of one name", "columns 1 and 3"),
        ("a ,, a\n1,,2\n", "two columns of one name", "columns 1 and 3"),
        (",,\n1,2,3\n,,\n", "no names of columns", "row 2 must hold them: its cells read like"),
        ("头痛怎么办？,多喝水。\n发热怎么办？,测体温。\n", "no names of columns", "read like those of a row"),
        ("2023-05-01,110101199003071\n2023-05-02,1\n", "no names of columns", "read like those of a row"),
        (f"{'很长的问题' * 30},b\nc,d\n", "no names of columns", "more than 100 characters"),
        ("某医院问答数据,,\n问题,回答,科室\na,b,c\n", "a title where the names", "row 1 has one cell"),
        ("a\x1b[31m,b\n1,2\n", "cannot be shown", "control characters"),
    ],
)
def test_refuses_a_table_whose_first_row_does_not_name_the_columns(
    tmp_path: Path, content: str, what: str, why: str
) -> None:
    with pytest.raises(BadInput, match=what) as refused:
        read(write(tmp_path, content, "rows.csv"))
    assert why in refused.value.why


def test_refuses_a_table_whose_quote_is_never_closed_with_the_row_before_it(tmp_path: Path) -> None:
    (source,) = open_sources(write(tmp_path, 'a,b\n1,2\n3,"4\n5,6\n', "rows.csv"))
    items = source.items()
    assert next(items) == (2, {"a": "1", "b": "2"})
    with pytest.raises(BadInput, match="is no proper CSV") as refused:
        list(items)
    assert "after row 2 (line 2)" in refused.value.why


def test_a_table_of_very_many_columns_is_read_and_two_of_one_name_are_found_among_them(
    tmp_path: Path,
) -> None:
    names = [
        f"c{number}x" for number in range(300_000)
    ]  # a quarter of an hour, if each were compared with all
    header = ",".join(("prompt", "completion", *names))
    _, [(row, fields)] = read(write(tmp_path, f"{header}\na,b{',' * 300_000}\n", "rows.csv"))
    assert row == 2 and (fields["prompt"], fields["c299999x"]) == ("a", "")
    with pytest.raises(BadInput) as refusal:
        read(write(tmp_path, f"{header},c7x\na,b{',' * 300_001}\n", "again.csv"))
    assert refusal.value.why == "columns 10 and 300003 are named alike"


def test_a_line_of_a_table_that_would_fill_the_memory_is_refused_with_its_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table, "LINE_LIMIT", 100)
    assert len(read(write(tmp_path, f"a,b\n{'x' * 97},y\n", "rows.csv"))[1]) == 1
    with pytest.raises(BadInput) as refusal:
        read(write(tmp_path, f"a,b\n{'x' * 98},y\n", "rows.csv"))
    assert refusal.value.why == "line 2 has more than 100 characters"


def test_asks_what_separates_cells_where_two_would_do(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="What separates the cells"):
        open_sources(write(tmp_path, "a;b,c;d\n1;2,3;4\n", "rows.csv"))
    (source,) = open_sources(write(tmp_path, "a;b,c\n1;2\n3;4\n", "rows.csv"))
    assert source.sample(2) == [{"a": "1", "b,c": "2"}, {"a": "3", "b,c": "4"}]


def test_a_table_of_one_column_is_one(tmp_path: Path) -> None:
    assert read(write(tmp_path, "text\n一\n二\n", "rows.csv")) == (
        "csv",
        [(2, {"text": "一"}), (3, {"text": "二"})],
    )


def test_columns_that_are_questions_of_a_form_are_names_beside_others(tmp_path: Path) -> None:
    content = "序号,1、您的年龄？,2、您的症状？\n1,30,咳嗽\n"
    assert read(write(tmp_path, content, "rows.csv"))[1] == [
        (2, {"序号": "1", "1、您的年龄？": "30", "2、您的症状？": "咳嗽"})
    ]


def test_a_table_without_rows_has_none(tmp_path: Path) -> None:
    assert read(write(tmp_path, "a,b\n", "rows.csv")) == ("csv", [])


def test_plain_text_has_a_row_for_each_line_that_is_not_empty(tmp_path: Path) -> None:
    content = "第一段，有逗号。\n\n  第二段。\u2028还是第二段。 \r\n最后一行"
    assert read(write(tmp_path, content, "book.txt")) == (
        "text",
        [
            (1, {"text": "第一段，有逗号。"}),
            (3, {"text": "第二段。\u2028还是第二段。"}),
            (4, {"text": "最后一行"}),
        ],
    )


def test_a_zero_byte_is_left_to_its_row_and_many_are_no_text(tmp_path: Path) -> None:
    content = "a,b\n" + "1,2\n" * 1000 + "3,\0\n"
    assert read(write(tmp_path, content, "rows.csv"))[1][-1] == (1002, {"a": "3", "b": "\0"})
    lines = '{"a": "b"}\n' * 1000 + '{"a": "\0"}\n'
    (_, found) = read(write(tmp_path, lines, "rows.jsonl"))
    assert "Invalid control character" in found[1000][1]
    with pytest.raises(BadInput, match="is no text file") as refused:
        open_sources(write(tmp_path, "a,b\n1,2\n".encode("utf-16-le"), "rows.csv"))
    assert "zero byte at position 1" in refused.value.why


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("rows.json", "", "it is empty"),
        ("rows.csv", " \n\t\r\n", "it is empty"),
        ("rows.json", "\ufeff", "it is empty"),
        ("report.pdf", "hello", "neither JSON nor a table"),
        ("rows.html", "<!DOCTYPE html><table></table>", "a web page or XML"),
    ],
)
def test_refuses_a_file_of_no_known_kind(tmp_path: Path, name: str, content: str, why: str) -> None:
    with pytest.raises(BadInput, match="is not known") as refused:
        open_sources(write(tmp_path, content, name))
    assert why in refused.value.why


def test_refuses_what_is_no_file(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "pipe.json")
    for name, why in (
        ("pipe.json", "no plain file"),
        ("none.json", "No such file"),
        ("a\0b", "embedded null"),
    ):
        with pytest.raises(BadInput, match="cannot be read") as refused:
            open_sources(tmp_path / name)
        assert why in refused.value.why
    with pytest.raises(BadInput, match="cannot be read"):  # and is not waited for
        stream(DataFile(str(tmp_path / "pipe.json")))
    with pytest.raises(BadInput, match="has no sheet x"):
        open_sources(write(tmp_path, "[]", "rows.json"), sheet="x")


def test_a_file_that_changes_after_the_first_look_is_not_read(tmp_path: Path) -> None:
    path = write(tmp_path, "[]", "rows.json")
    (source,) = open_sources(path)
    write(tmp_path, "[{}]", "rows.json")
    with pytest.raises(BadInput, match="changed while it was read"):
        source.sample(1)


def test_what_a_source_is_can_be_checked_by_anyone(tmp_path: Path) -> None:
    path = write(tmp_path, "\ufeff[]", "行.json")
    (source,) = open_sources(path)
    said = subprocess.run(["sha256sum", str(path)], capture_output=True, text=True, check=True).stdout
    assert (source.name, source.path, source.size, source.sheet, source.notes) == ("行.json", path, 5, "", ())
    assert source.sha256 == said.split()[0].removeprefix("\\")


def test_a_text_in_memory_is_decoded_by_the_same_rules() -> None:
    assert decode_text("\ufeff张三".encode(), Path("names")) == ("张三", "utf-8")
    assert decode_text("张三\n李四".encode("gb18030"), Path("names")) == ("张三\n李四", "gb18030")


MEASURE = """
import resource, sys
from pathlib import Path
from appliance.data.files import open_sources
(source,) = open_sources(Path(sys.argv[1]))
print(sum(1 for _ in source.items()), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rows.json", "rows.jsonl", "rows.csv"])
def test_ten_times_the_file_takes_no_more_memory(tmp_path: Path, name: str) -> None:
    row = json.dumps({"prompt": CHINESE * 10, "completion": "一楼" * 40}, ensure_ascii=False)
    peaks = []
    for rows in (15_000, 150_000):
        with (tmp_path / name).open("w", encoding="utf-8") as file:
            if name == "rows.csv":
                file.write("prompt,completion\n")
                file.writelines(f"{CHINESE * 10},{'一楼' * 40}\n" for _ in range(rows))
            else:
                file.write("[" if name == "rows.json" else "")
                end = ",\n" if name == "rows.json" else "\n"
                file.writelines(row + end for _ in range(rows - 1))
                file.write(row + ("]" if name == "rows.json" else "\n"))
        command = [sys.executable, "-c", MEASURE, str(tmp_path / name)]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
        assert int(said[0]) == rows
        peaks.append(int(said[1]) // 1024)
    assert (tmp_path / name).stat().st_size > 60_000_000
    assert peaks[1] - peaks[0] < 10, f"megabytes: {peaks}"
