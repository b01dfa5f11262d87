"""A good file of every shape: what it is taken for, and what its rows become."""

import json
import re
from pathlib import Path
from typing import Any, get_args

import pytest

from appliance.data.kinds import of_kind
from appliance.data.read import Reading, read_files, report_document, report_of, stream
from appliance.errors import BadInput
from appliance.run.plan import DataFile, FormatName
from appliance.run.rows import Problem, Row
from tests.data_goods import workbook

THOUGHT = "<think>\n先看病史。\n</think>\n\n复查。"
TOOL = {"type": "function", "function": {"name": "查床位", "parameters": {"type": "object"}}}


def write(folder: Path, items: Any, name: str = "rows.json") -> Path:
    path = folder / name
    path.write_text(json.dumps(items), encoding="utf-8")
    return path


def read(folder: Path, items: Any, **choice: Any) -> Reading:
    return read_files([DataFile(str(write(folder, items)), **choice)])


def turns(row: Row) -> list[tuple[str, ...]]:
    """Each turn in short: its role, its text, and the names of the tools that it calls."""
    return [(turn.role, turn.content, *(call.name for call in turn.calls)) for turn in row.messages]


def said(*pairs: str) -> list[tuple[str, str]]:
    return [(("user", "assistant")[at % 2], text) for at, text in enumerate(pairs)]


def human(text: str) -> dict[str, str]:
    return {"from": "human", "value": text}


def gpt(text: str) -> dict[str, str]:
    return {"from": "gpt", "value": text}


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def assistant(text: str | None, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": text, **more}


CHATS: dict[str, tuple[str, dict[str, Any], list[tuple[str, str]]]] = {
    "alpaca": ("alpaca", {"instruction": "总结", "input": "病历", "output": "好"}, said("总结\n病历", "好")),
    "alpaca without an instruction": ("alpaca", {"input": "病历", "output": "好"}, said("病历", "好")),
    "alpaca with system and history": (
        "alpaca",
        {"instruction": "c", "output": "d", "system": "s", "history": [["a", "b"]]},
        [("system", "s"), *said("a", "b", "c", "d")],
    ),
    "ShareGPT": ("sharegpt", {"conversations": [human("a"), gpt("b"), human("c"), gpt("d")]}, said(*"abcd")),
    "ShareGPT with a system turn, which comes before the column": (
        "sharegpt",
        {"conversations": [{"from": "system", "value": "t"}, human("a"), gpt("b")], "system": "s"},
        [("system", "t"), *said("a", "b")],
    ),
    "ShareGPT with a system column": (
        "sharegpt",
        {"conversations": [human("a"), gpt("b")], "system": "s"},
        [("system", "s"), *said("a", "b")],
    ),
    "OpenAI": ("messages", {"messages": [user("a"), assistant("b")]}, said("a", "b")),
    "OpenAI with a developer": (
        "messages",
        {"messages": [{"role": "developer", "content": "s"}, user("a"), assistant("b")]},
        [("system", "s"), *said("a", "b")],
    ),
    "OpenAI with parts of text": (
        "messages",
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}]}, assistant("b")]},
        said("a", "b"),
    ),
    "OpenAI with what is thought": (
        "messages",
        {"messages": [user("a"), assistant("复查。", reasoning_content="先看病史。")]},
        said("a", THOUGHT),
    ),
    "roles of one way in columns of the other": (
        "messages",
        {"conversations": [{"role": "human", "content": "a"}, {"role": "gpt", "content": "b"}]},
        said("a", "b"),
    ),
    "prompt and completion": ("pairs", {"prompt": "a", "completion": "b"}, said("a", "b")),
    "TRL's conversational prompt and completion": (
        "pairs",
        {"prompt": [{"role": "system", "content": "s"}, user("a")], "completion": [assistant("b")]},
        [("system", "s"), *said("a", "b")],
    ),
    "query and response with history": (
        "pairs",
        {"query": "c", "response": "d", "system": "s", "history": [["a", "b"]]},
        [("system", "s"), *said("a", "b", "c", "d")],
    ),
    "question, thinking and answer": (
        "pairs",
        {"question": "a", "thinking": "先看病史。", "answer": "复查。"},
        said("a", THOUGHT),
    ),
    "Chinese headers": (
        "pairs",
        {"问题": "a", "思考过程": "先看病史。", "答案": "复查。", "系统提示": "s"},
        [("system", "s"), *said("a", THOUGHT)],
    ),
    "Chinese headers like Alpaca's": ("alpaca", {"指令": "a", "输入": "b", "输出": "c"}, said("a\nb", "c")),
    "headers in capitals": ("pairs", {"Question ": "a", "ANSWER": "b"}, said("a", "b")),
    "headers with remarks": ("pairs", {"问题（患者）": "a", "回答：": "b"}, said("a", "b")),
}


@pytest.mark.parametrize(("shape", "item", "expected"), CHATS.values(), ids=CHATS.keys())
def test_reads_a_conversation_in_every_shape(
    tmp_path: Path, shape: str, item: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    reading = read(tmp_path, [item, item])
    assert reading.problems == ()
    assert [turns(row) for row in reading.rows] == [expected, expected]
    (report,) = reading.files
    assert (report.format, report.detected, report.container) == (shape, True, "json")
    assert (report.rows_in, report.rows_out, report.kinds) == (2, 2, (("chat", 2),))
    again = read(tmp_path, [item, item], format=shape)
    assert [row.messages for row in again.rows] == [row.messages for row in reading.rows]
    assert not again.files[0].detected


PAIRS: dict[str, tuple[str, dict[str, Any]]] = {
    "alpaca": ("alpaca", {"instruction": "a", "chosen": "好", "rejected": "坏"}),
    "alpaca with an output beside": (
        "alpaca",
        {"instruction": "a", "output": "x", "chosen": "好", "rejected": "坏"},
    ),
    "ShareGPT": ("sharegpt", {"conversations": [human("a")], "chosen": gpt("好"), "rejected": gpt("坏")}),
    "OpenAI": (
        "messages",
        {"messages": [user("a")], "chosen": assistant("好"), "rejected": assistant("坏")},
    ),
    "ms-swift's turns": ("messages", {"messages": [user("a"), assistant("好")], "rejected_response": "坏"}),
    "ms-swift's turns twice": (
        "messages",
        {"messages": [user("a"), assistant("好")], "rejected_messages": [user("a"), assistant("坏")]},
    ),
    "ms-swift's query": ("pairs", {"query": "a", "response": "好", "rejected_response": "坏"}),
    "TRL": ("pairs", {"prompt": "a", "chosen": "好", "rejected": "坏"}),
    "TRL's conversational": (
        "pairs",
        {"prompt": [user("a")], "chosen": [assistant("好")], "rejected": [assistant("坏")]},
    ),
    "TRL's with the question in both": (
        "pairs",
        {"chosen": [user("a"), assistant("好")], "rejected": [user("a"), assistant("坏")]},
    ),
    "whole conversations beside the prompt": (
        "pairs",
        {"prompt": "a", "chosen": [user("a"), assistant("好")], "rejected": [user("a"), assistant("坏")]},
    ),
    "Chinese headers": ("pairs", {"问题": "a", "较好的回答": "好", "较差的回答": "坏"}),
}


@pytest.mark.parametrize(("shape", "item"), PAIRS.values(), ids=PAIRS.keys())
def test_reads_a_pair_of_answers_in_every_shape(tmp_path: Path, shape: str, item: dict[str, Any]) -> None:
    reading = read(tmp_path, [item])
    assert reading.problems == ()
    (row,) = reading.rows
    assert (row.kind, turns(row)) == ("preference", said("a", "好"))
    assert row.rejected is not None and (row.rejected.role, row.rejected.content) == ("assistant", "坏")
    assert (reading.files[0].format, reading.files[0].kinds) == (shape, (("preference", 1),))


LABELS: dict[str, tuple[dict[str, Any], bool]] = {
    "alpaca": ({"instruction": "a", "output": "b", "kto_tag": True}, True),
    "ShareGPT": ({"conversations": [human("a"), gpt("b")], "kto_tag": False}, False),
    "OpenAI": ({"messages": [user("a"), assistant("b")], "label": True}, True),
    "TRL": ({"prompt": "a", "completion": "b", "label": False}, False),
    "TRL's conversational": ({"prompt": [user("a")], "completion": [assistant("b")], "label": True}, True),
    "a number": ({"instruction": "a", "output": "b", "kto_tag": 0}, False),
    "a word": ({"instruction": "a", "output": "b", "kto_tag": "True"}, True),
    "a Chinese word": ({"问题": "a", "答案": "b", "是否合格": "否"}, False),
}


@pytest.mark.parametrize(("item", "expected"), LABELS.values(), ids=LABELS.keys())
def test_reads_a_marked_answer_in_every_shape(tmp_path: Path, item: dict[str, Any], expected: bool) -> None:
    reading = read(tmp_path, [item])
    assert reading.problems == ()
    (row,) = reading.rows
    assert (row.kind, row.label, turns(row)) == ("label", expected, said("a", "b"))


@pytest.mark.parametrize("item", [{"text": "一篇文章"}, {"正文": "一篇文章", "来源": "院刊"}])
def test_reads_plain_text(tmp_path: Path, item: dict[str, Any]) -> None:
    (row,) = read(tmp_path, [item]).rows
    assert (row.kind, row.text, row.messages) == ("text", "一篇文章", ())


def test_no_system_prompt_goes_before_a_text(tmp_path: Path) -> None:
    reading = read_files([DataFile(str(write(tmp_path, [{"text": "一"}])))], system="s")
    assert reading.rows[0].messages == ()


CALL = {"name": "查床位", "arguments": {"科": "心内"}}
TOLD = [
    ("user", "有床吗"),
    ("assistant", "", "查床位"),
    ("tool", "有 2 张"),
    ("assistant", "有两张。"),
]
TOOL_ROWS: dict[str, dict[str, Any]] = {
    "ShareGPT": {
        "conversations": [
            human("有床吗"),
            {"from": "function_call", "value": json.dumps(CALL, ensure_ascii=False)},
            {"from": "observation", "value": "有 2 张"},
            gpt("有两张。"),
        ],
        "tools": json.dumps([TOOL["function"]], ensure_ascii=False),
    },
    "OpenAI": {
        "messages": [
            user("有床吗"),
            assistant(
                None,
                tool_calls=[
                    {
                        "id": "1",
                        "type": "function",
                        "function": {"name": "查床位", "arguments": '{"科": "心内"}'},
                    }
                ],
            ),
            {"role": "tool", "content": "有 2 张", "tool_call_id": "1"},
            assistant("有两张。"),
        ],
        "tools": [TOOL],
    },
    "OpenAI's first way": {
        "messages": [
            user("有床吗"),
            assistant(None, function_call={"name": "查床位", "arguments": '{"科": "心内"}'}),
            {"role": "function", "name": "查床位", "content": "有 2 张"},
            assistant("有两张。"),
        ],
        "functions": [TOOL["function"]],
    },
}


@pytest.mark.parametrize("item", TOOL_ROWS.values(), ids=TOOL_ROWS.keys())
def test_reads_tools_their_calls_and_what_they_say(tmp_path: Path, item: dict[str, Any]) -> None:
    reading = read(tmp_path, [item])
    assert reading.problems == ()
    (row,) = reading.rows
    assert turns(row) == TOLD
    assert json.loads(row.messages[1].calls[0].arguments) == {"科": "心内"}
    assert json.loads(row.tools) == [TOOL]


def test_names_that_parquet_adds_to_objects_are_no_part_of_a_call(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    def row(arguments: dict[str, Any]) -> dict[str, Any]:
        called = assistant(None, tool_calls=[{"function": {"name": "f", "arguments": arguments}}])
        return {"messages": [user("a"), called, {"role": "tool", "content": "2"}, assistant("b")]}

    path = tmp_path / "rows.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([row({"x": 1}), row({"y": 2})]), path)
    reading = read_files([DataFile(str(path))])
    assert [row.messages[1].calls[0].arguments for row in reading.rows] == ['{"x": 1}', '{"y": 2}']


def test_a_call_may_have_thoughts_before_it_and_may_be_several(tmp_path: Path) -> None:
    value = f"<think>\n查\n</think>\n{json.dumps([CALL, CALL], ensure_ascii=False)}"
    rounds = [human("有床吗"), {"from": "function_call", "value": value}, gpt("有")]
    rounds.insert(2, {"from": "observation", "value": "2"})
    (row,) = read(tmp_path, [{"conversations": rounds}]).rows
    assert row.messages[1].content == "<think>\n查\n</think>"
    assert len(row.messages[1].calls) == 2


def test_results_of_several_calls_stand_in_the_order_of_the_calls(tmp_path: Path) -> None:
    calls = [{"id": each, "function": {"name": each, "arguments": "{}"}} for each in ("a", "b")]
    messages = [
        user("q"),
        assistant(None, tool_calls=calls),
        {"role": "tool", "tool_call_id": "b", "content": "of b"},
        {"role": "tool", "tool_call_id": "a", "content": "of a"},
        assistant("done"),
    ]
    (row,) = read(tmp_path, [{"messages": messages}]).rows
    assert [turn.content for turn in row.messages] == ["q", "", "of a", "of b", "done"]


@pytest.mark.parametrize("mark", [{"loss": False}, {"weight": 0}, {"loss": 0}])
def test_an_answer_that_is_marked_as_not_to_be_learned_is_kept_and_not_learned(
    tmp_path: Path, mark: dict[str, Any]
) -> None:
    messages = [user("a"), assistant("b", **mark), user("c"), assistant("d", weight=1, loss=None)]
    (row,) = read(tmp_path, [{"messages": messages}]).rows
    assert [turn.learned for turn in row.messages if turn.role == "assistant"] == [False, True]


def test_a_table_holds_lists_as_json(tmp_path: Path) -> None:
    cells = [json.dumps(each).replace('"', '""') for each in ([user("a"), assistant("b")], [TOOL])]
    path = tmp_path / "rows.csv"
    path.write_text(f'messages,tools\n"{cells[0]}","{cells[1]}"\n', encoding="utf-8")
    (row,) = read_files([DataFile(str(path))]).rows
    assert turns(row) == said("a", "b")
    assert json.loads(row.tools) == [TOOL]


def test_the_sheet_of_a_workbook_is_named_and_told(tmp_path: Path) -> None:
    path = tmp_path / "导出.xlsx"
    sheets = {
        "说明": [["第一行"]],
        "问答": [["问题", "答案"], ["a", "b"]],
        "旧": [["问题", "答案"], ["c", "d"]],
    }
    path.write_bytes(workbook(sheets))
    reading = read_files([DataFile(str(path), sheet="问答")])
    assert [turns(row) for row in reading.rows] == [said("a", "b")]
    assert (reading.rows[0].row, reading.files[0].sheet, reading.files[0].container) == (2, "问答", "xlsx")


def test_a_file_of_lines_is_text(tmp_path: Path) -> None:
    path = tmp_path / "院刊.txt"
    path.write_text("第一篇\n\n第二篇\n", encoding="utf-8")
    reading = read_files([DataFile(str(path))])
    assert [(row.row, row.text) for row in reading.rows] == [(1, "第一篇"), (3, "第二篇")]
    assert (reading.files[0].format, reading.files[0].container) == ("text", "text")


def test_the_report_says_what_the_file_was_taken_for_and_why(tmp_path: Path) -> None:
    items = [{"问题": "a", "回答": "b", "科室": "x"}] * 3 + [{"问题": "a"}]
    (report,) = read(tmp_path, items).files
    assert (
        report.why
        == "3 of the 4 rows that were looked at are so; `问题` is the question, `回答` is the answer"
    )
    assert report.columns == (("prompt", "问题"), ("response", "回答"))
    assert report.ignored_fields == ("科室",)
    assert report_of(json.loads(json.dumps(report_document(report)))) == report


def test_a_stream_gives_the_same_again_and_its_reports_at_the_end(tmp_path: Path) -> None:
    good, bad = {"prompt": "a", "completion": "b"}, {"prompt": "a", "completion": ""}
    streamed = stream(DataFile(str(write(tmp_path, [good, bad, good]))), system="s")
    assert streamed.reports == []
    kinds = [type(each) for each in streamed]
    assert kinds == [Row, Problem, Row]
    assert [type(each) for each in streamed] == kinds
    (report,) = streamed.reports
    assert (report.rows_in, report.rows_out) == (3, 2)


def test_rows_of_another_kind_are_refused_with_what_they_are_for(tmp_path: Path) -> None:
    items = [{"instruction": "a", "output": "b"}, {"instruction": "a", "chosen": "b", "rejected": "c"}]
    reading = of_kind(read(tmp_path, items), "chat")
    assert [row.row for row in reading.rows] == [1]
    (problem,) = reading.problems
    assert (problem.row, problem.field) == (2, "row")
    assert problem.what == "is a pair of a better and a worse answer, which DPO learns from"


DOCUMENT = (Path(__file__).parents[1] / "docs" / "data.md").read_text(encoding="utf-8")
EXAMPLES = [
    (shape, text)
    for shape, section in re.findall(r"^### `(\w+)`\n(.*?)(?=^##)", DOCUMENT, re.MULTILINE | re.DOTALL)
    for text in re.findall(r"^```json\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
]


@pytest.mark.parametrize(("shape", "text"), EXAMPLES)
def test_every_example_of_the_documentation_is_read_as_what_it_stands_under(
    tmp_path: Path, shape: str, text: str
) -> None:
    reading = read(tmp_path, [json.loads(text)])
    assert reading.problems == () and len(reading.rows) == 1
    assert (reading.files[0].format, reading.files[0].ignored_fields) == (shape, ())


def test_the_documentation_has_examples_of_every_shape() -> None:
    assert {shape for shape, _ in EXAMPLES} == set(get_args(FormatName)) - {"auto"}


@pytest.mark.parametrize("indent", [None, 1])
def test_rows_in_a_list_within_one_object_are_pointed_at(tmp_path: Path, indent: int | None) -> None:
    path = tmp_path / "rows.json"
    path.write_text(json.dumps({"version": 1, "data": [{"instruction": "a", "output": "b"}]}, indent=indent))
    with pytest.raises(BadInput) as refused:
        read_files([DataFile(str(path))])
    assert refused.value.next_step == "The rows seem to stand in `data`: save that list as a file of its own."


def test_a_table_of_which_nothing_is_known_may_lack_the_names_of_its_columns(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("头痛怎么办,多喝水\n腹痛怎么办,看医生\n", encoding="utf-8")
    with pytest.raises(BadInput) as refused:
        read_files([DataFile(str(path))])
    assert refused.value.next_step.endswith("If the first row holds no names, write them above it first.")
