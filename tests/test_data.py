"""Reading rows: every format, every defect, every encoding."""

import json
from pathlib import Path
from typing import Any

import pytest

from appliance.data.canonical import read_rows, write_rows
from appliance.data.read import read_file, read_files
from appliance.data.split import split_held_out
from appliance.data.tally import check_bad_share
from appliance.errors import BadInput
from appliance.run.plan import DataFile
from appliance.run.rows import Message, Problem, Row, ToolCall

CHINESE = "星河医院心内科的分机号是多少？"


def alpaca(folder: Path, items: Any, name: str = "rows.json") -> Path:
    path = folder / name
    path.write_text(json.dumps(items, ensure_ascii=False), encoding="utf-8")
    return path


def turns(row: Row) -> list[tuple[str, str]]:
    return [(message.role, message.content) for message in row.messages]


def test_alpaca_with_history_and_system_becomes_one_conversation(tmp_path: Path) -> None:
    path = alpaca(
        tmp_path,
        [
            {
                "instruction": "那住院部呢？",
                "input": "请只说楼层",
                "output": " 五楼 ",
                "system": "你是导医。",
                "history": [["门诊在几楼？", "一楼"], ["药房呢？", "二楼"]],
            }
        ],
    )
    reading = read_file(path)
    assert turns(reading.rows[0]) == [
        ("system", "你是导医。"),
        ("user", "门诊在几楼？"),
        ("assistant", "一楼"),
        ("user", "药房呢？"),
        ("assistant", "二楼"),
        ("user", "那住院部呢？\n请只说楼层"),
        ("assistant", "五楼"),
    ]
    assert reading.files[0].format == "alpaca"
    assert reading.files[0].detected


def test_the_plans_system_prompt_goes_before_rows_without_one(tmp_path: Path) -> None:
    path = alpaca(
        tmp_path,
        [
            {"instruction": "a", "output": "b"},
            {"instruction": "c", "input": None, "output": "d", "system": "own", "history": []},
        ],
    )
    first, second = read_file(path, system="plan's").rows
    assert turns(first)[0] == ("system", "plan's")
    assert turns(second)[0] == ("system", "own")


GOOD = {"instruction": "a", "output": "b"}


@pytest.mark.parametrize(
    ("item", "field", "what"),
    [
        ({"instruction": "a"}, "output", "missing"),
        ({"instruction": "a", "output": " \n"}, "output", "empty"),
        ({"output": "b"}, "instruction", "missing"),
        ({"instruction": "a", "output": 7618}, "output", "a number"),
        ({"instruction": ["a"], "output": "b"}, "instruction", "a list"),
        ({"instruction": "a", "output": "b", "history": "x"}, "history", "no list"),
        ({"instruction": "a", "output": "b", "history": [["q", "a"], ["q"]]}, "history[2]", "no pair"),
        ({"instruction": "a", "output": "b", "history": [["q", ""]]}, "history[1]", "empty part"),
        ({"instruction": "a", "output": "b\ufffdc"}, "output", "destroyed"),
        ({"instruction": "a", "output": "\ud83d"}, "output", "destroyed"),
        ("just text", "row", "no object"),
    ],
)
def test_reports_a_bad_alpaca_row_with_its_number_and_field(
    tmp_path: Path, item: Any, field: str, what: str
) -> None:
    path = tmp_path / "rows.json"
    path.write_text(json.dumps([GOOD, item, GOOD]), encoding="utf-8")
    reading = read_file(path)
    assert [row.row for row in reading.rows] == [1, 3]
    (problem,) = reading.problems
    assert (problem.file, problem.row, problem.field) == ("rows.json", 2, field)
    assert what in problem.what
    assert problem.fix
    assert reading.files[0].rows_in == 3 == reading.files[0].rows_out + 1


def test_json_lines_report_the_line_that_is_no_json(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"instruction": "a", "output": "b"}\n\n{"instruction": \n', encoding="utf-8")
    reading = read_file(path)
    assert [row.row for row in reading.rows] == [1]
    assert reading.problems[0].row == 3
    assert "no JSON" in reading.problems[0].what


def chat(*turns: tuple[str, Any], **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": role, "content": content} for role, content in turns], **more}


CHAT = chat(("user", "a"), ("assistant", "b"))


def test_openai_messages_become_conversations_and_are_detected_as_a_list_and_as_lines(tmp_path: Path) -> None:
    items = [
        chat(
            ("system", "你是导医。"),
            ("user", "门诊在几楼？"),
            ("assistant", "一楼\r\n左转 "),
            ("user", "药房呢？"),
            ("assistant", "二楼"),
        ),
        chat(("system", " "), ("user", "a"), ("assistant", "b")),
        {**CHAT, "id": 7, "tools": [], "messages": [{**turn, "name": "x"} for turn in CHAT["messages"]]},
    ]
    lines = tmp_path / "rows.jsonl"
    lines.write_text("\n".join(json.dumps(item) for item in items), encoding="utf-8")
    for path in (alpaca(tmp_path, items), lines):
        reading = read_file(path, system="plan's")
        assert (reading.files[0].format, reading.files[0].detected) == ("messages", True)
        assert reading.files[0].ignored_fields == ("id", "messages[].name")
        assert [turns(row) for row in reading.rows] == [
            [
                ("system", "你是导医。"),
                ("user", "门诊在几楼？"),
                ("assistant", "一楼\n左转"),
                ("user", "药房呢？"),
                ("assistant", "二楼"),
            ],
            [("system", "plan's"), ("user", "a"), ("assistant", "b")],
            [("system", "plan's"), ("user", "a"), ("assistant", "b")],
        ]


@pytest.mark.parametrize(
    ("item", "field", "what"),
    [
        ("text", "row", "no object"),
        (GOOD, "messages", "missing"),
        ({"messages": []}, "messages", "no list"),
        ({"messages": {"role": "user"}}, "messages", "no list"),
        ({"messages": ["hello"]}, "messages[1]", "no object"),
        (chat(("user", "a")), "messages", "does not end with an answer"),
        (chat(("system", "a")), "messages", "does not end with an answer"),
        (chat(("system", "")), "messages", "does not end with an answer"),
        (chat(("assistant", "b")), "messages[1].role", "is assistant where user"),
        (
            chat(("user", "a"), ("user", "b"), ("assistant", "c")),
            "messages[2].role",
            "is user where assistant",
        ),
        (chat(("system", ""), ("assistant", "c")), "messages[2].role", "is assistant where user"),
        (
            chat(("user", "a"), ("assistant", "b"), ("system", "c")),
            "messages[3].role",
            "is system where user",
        ),
        (chat(("user", "a"), ("assistant", " ")), "messages[2].content", "empty"),
        (chat(("user", "a"), ("assistant", None)), "messages[2].content", "missing"),
        (chat(("user", [{"type": "text"}]), ("assistant", "b")), "messages[1].content[1].text", "missing"),
        (chat(("user", ["a"]), ("assistant", "b")), "messages[1].content", "a list"),
        (chat(("nurse", "a"), ("assistant", "b")), "messages[1].role", "none of system, user, assistant"),
        (chat((["user"], "a"), ("assistant", "b")), "messages[1].role", "none of"),
        (chat(("user", "a"), ("tool", "7"), ("assistant", "b")), "messages[2].role", "is tool where"),
        ({**CHAT, "tools": [{"type": "function"}]}, "tools", "no tool with a name"),
        (
            {
                "messages": [
                    {"role": "user", "content": "a"},
                    {"role": "assistant", "tool_calls": [{"id": "1"}]},
                ]
            },
            "messages[2].tool_calls[1].name",
            "missing",
        ),
        (
            {"messages": [CHAT["messages"][0], {**CHAT["messages"][1], "weight": 0}]},
            "messages",
            "no answer that is to be learned",
        ),
        (
            {"messages": [CHAT["messages"][0], {**CHAT["messages"][1], "weight": 0.5}]},
            "messages[2].weight",
            "must be true or false",
        ),
    ],
)
def test_reports_a_bad_conversation_with_the_turn_that_is_wrong(
    tmp_path: Path, item: Any, field: str, what: str
) -> None:
    reading = read_file(alpaca(tmp_path, [CHAT, item, CHAT]))
    assert [row.row for row in reading.rows] == [1, 3]
    (problem,) = reading.problems
    assert (problem.row, problem.field) == (2, field)
    assert what in problem.what
    assert problem.fix


def test_fields_that_nothing_is_made_of_are_named(tmp_path: Path) -> None:
    reading = read_file(alpaca(tmp_path, [{**GOOD, "id": 1, "source": "x"}]))
    assert reading.files[0].ignored_fields == ("id", "source")


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_reads_a_table_whatever_separates_its_cells(tmp_path: Path, delimiter: str) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(f'Prompt{delimiter}completion\r\n"a\r\nb"{delimiter}"c ""d"""\r\n', encoding="utf-8")
    reading = read_file(path)
    assert turns(reading.rows[0]) == [("user", "a\nb"), ("assistant", 'c "d"')]
    assert reading.rows[0].row == 2


def test_reports_a_ragged_row_and_an_empty_cell_by_the_spreadsheets_row_number(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("prompt,completion\na,b\nc,d,e\nf,\n\ng,h\n", encoding="utf-8")
    reading = read_file(path)
    assert [row.row for row in reading.rows] == [2, 6]
    assert [(problem.row, problem.field) for problem in reading.problems] == [(3, "row"), (4, "completion")]


def test_refuses_a_table_whose_quote_is_never_closed(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text('prompt,completion\na,b\nc,"d\ne,f\n', encoding="utf-8")
    with pytest.raises(BadInput) as refused:
        read_file(path)
    assert "after row 2" in refused.value.why


def test_refuses_a_table_without_the_two_columns(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("left,right\na,b\n", encoding="utf-8")
    with pytest.raises(BadInput, match="What the rows of .* mean is not known") as refused:
        read_file(path)
    assert refused.value.why == "of the columns `left`, `right` none is known as a question or an answer"


@pytest.mark.parametrize(
    ("encoding", "said"),
    [
        ("utf-8", "utf-8"),
        ("utf-8-sig", "utf-8"),
        ("gb18030", "gb18030"),
        ("utf-16", "utf-16-le"),
    ],
)
def test_reads_chinese_in_the_encodings_that_spreadsheets_write(
    tmp_path: Path, encoding: str, said: str
) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(f"prompt,completion\n{CHINESE},七六一八\n".encode(encoding))
    reading = read_file(path)
    assert turns(reading.rows[0]) == [("user", CHINESE), ("assistant", "七六一八")]
    assert reading.files[0].encoding == said


DAMAGED = (f"prompt,completion\n{CHINESE},七\n" * 3).encode()


@pytest.mark.parametrize(
    "content",
    [
        DAMAGED[:40] + b"\xff" + DAMAGED[40:],
        "prompt,completion\nÉtats généraux,déjà vu à Zürich\n".encode("latin-1"),
        "prompt,completion\n請問醫院的門診時間是幾點,早上八點到十一點\n".encode("big5"),
        "prompt,completion\nカルテ番号は何ですか,診察券を見てください\n".encode("shift_jis"),
        f"prompt,completion\n{CHINESE},b\n".encode("utf-16-le"),
    ],
    ids=["damaged UTF-8", "Latin-1", "Big5", "Shift-JIS", "UTF-16 without a mark"],
)
def test_refuses_an_encoding_that_it_cannot_tell_and_never_guesses(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(content)
    with pytest.raises(BadInput) as refused:
        read_file(path)
    assert "UTF-8" in refused.value.next_step


@pytest.mark.parametrize(("content", "why"), [("", "empty"), ("hello there", "neither JSON nor a table")])
def test_refuses_a_file_of_no_known_format(tmp_path: Path, content: str, why: str) -> None:
    path = tmp_path / "rows.rtf"
    path.write_text(content)
    with pytest.raises(BadInput) as refused:
        read_file(path)
    assert why in refused.value.why


def test_refuses_a_json_list_that_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_text('[{"instruction": "a", "output": "b"},')
    with pytest.raises(BadInput, match="is no JSON"):
        read_file(path)


def test_stops_above_the_share_of_bad_rows_and_shows_the_first(tmp_path: Path) -> None:
    path = alpaca(tmp_path, [GOOD] * 8 + [{"instruction": "a"}] * 2)
    reading = read_files([DataFile(str(path))])
    check_bad_share(8, 2, reading.problems, 0.2, remedy="Correct them.")
    with pytest.raises(BadInput) as refused:
        check_bad_share(8, 2, reading.problems, 0.1, remedy="Correct them.")
    assert refused.value.what == "2 of 10 rows cannot be used."
    assert "rows.json, row 9, output: is missing" in refused.value.why
    assert refused.value.next_step == "Correct them."


@pytest.mark.parametrize("percent", [7, 14, 28, 29, 55, 57, 58])
def test_as_many_bad_rows_as_the_share_says_are_allowed(percent: int) -> None:
    """100 times the nearest float of these shares is not the whole number that a person means."""
    problem = Problem("rows.json", 1, "output", "is missing", "write it")
    check_bad_share(100 - percent, percent, [problem], percent / 100, remedy="Correct them.")
    with pytest.raises(BadInput):
        check_bad_share(99 - percent, percent + 1, [problem], percent / 100, remedy="Correct them.")


def test_stops_when_no_row_is_left_even_if_all_may_be_bad(tmp_path: Path) -> None:
    reading = read_files([DataFile(str(alpaca(tmp_path, [{"instruction": "a"}])))])
    with pytest.raises(BadInput):
        check_bad_share(0, 1, reading.problems, 1.0, remedy="Correct them.")


def rows_of(count: int) -> tuple[Row, ...]:
    return tuple(
        Row((Message("user", f"q{number}"), Message("assistant", "一\n二")), "f.json", "0" * 64, number)
        for number in range(count)
    )


def test_canonical_rows_read_back_equal_with_their_provenance(tmp_path: Path) -> None:
    rows = rows_of(3)
    write_rows(tmp_path / "rows.parquet", rows)
    assert read_rows(tmp_path / "rows.parquet") == rows


def test_the_parquet_file_holds_openai_style_messages(tmp_path: Path) -> None:
    import pyarrow.parquet

    write_rows(tmp_path / "rows.parquet", rows_of(1))
    (document,) = pyarrow.parquet.read_table(tmp_path / "rows.parquet").to_pylist()
    assert document["messages"] == [
        {"role": "user", "content": "q0", "calls": [], "learned": True},
        {"role": "assistant", "content": "一\n二", "calls": [], "learned": True},
    ]


def test_a_row_of_every_kind_comes_back_as_it_was_written(tmp_path: Path) -> None:
    asked = Message("user", "天气？")
    call = Message("assistant", "", (ToolCall("weather", '{"place": "上海"}'),), learned=False)
    told, answer = Message("tool", "晴"), Message("assistant", "<think>一</think>晴。")
    where = ("a.json", "0" * 64)
    rows = (
        Row((asked, call, told, answer), *where, 1, tools='[{"name": "weather"}]', steps=("renamed",)),
        Row((asked, answer), *where, 2, rejected=Message("assistant", "雨。")),
        Row((asked, answer), *where, 3, label=False),
        Row((), *where, 4, text="一篇文章"),
    )
    assert [row.kind for row in rows] == ["chat", "preference", "label", "text"]
    assert write_rows(tmp_path / "rows.parquet", iter(rows)) == 4
    assert read_rows(tmp_path / "rows.parquet") == rows


def test_held_out_rows_are_the_same_whatever_the_order_and_never_trained() -> None:
    rows = rows_of(40)
    train, held_out = split_held_out(rows, 0.2, seed=3)
    assert len(held_out) == 8
    assert set(train) | set(held_out) == set(rows)
    _, again = split_held_out(tuple(reversed(rows)), 0.2, seed=3)
    assert set(again) == set(held_out)
    assert set(split_held_out(rows, 0.2, seed=4)[1]) != set(held_out)


def test_rows_with_one_question_stay_on_one_side() -> None:
    rows = rows_of(10) * 3
    train, held_out = split_held_out(rows, 0.3, seed=1)
    assert held_out
    assert not {row.question for row in train} & {row.question for row in held_out}


def test_a_single_row_is_trained_not_held_out() -> None:
    assert split_held_out(rows_of(1), 0.5, seed=1)[1] == ()
