"""What is wrong with a row, and what cannot be told of a file: refused by name, never emptied or guessed."""

import os
import random
from pathlib import Path
from typing import Any

import pytest

from appliance.data.read import read_files
from appliance.errors import BadInput
from appliance.run.plan import DataFile
from tests.test_data_shapes import (
    CHATS,
    LABELS,
    PAIRS,
    TOOL_ROWS,
    assistant,
    gpt,
    human,
    read,
    said,
    turns,
    user,
    write,
)

ALPACA = {"instruction": "a", "output": "b"}
SHAREGPT = {"conversations": [human("a"), gpt("b")]}
OPENAI = {"messages": [user("a"), assistant("b")]}
PAIR = {"instruction": "a", "chosen": "b", "rejected": "c"}
TOLD = {"from": "observation", "value": "2"}
CALLED = {"id": "1", "function": {"name": "f", "arguments": "{}"}}

TRAPS: dict[str, tuple[dict[str, Any], dict[str, Any], str, str]] = {
    "roles out of order": (
        SHAREGPT,
        {"conversations": [human("a"), human("b"), gpt("c")]},
        "conversations[2].from",
        "is user where assistant must be",
    ),
    "an odd number of turns": (
        SHAREGPT,
        {"conversations": [human("a"), gpt("b"), human("c")]},
        "conversations",
        "does not end with an answer",
    ),
    "an answer first": (
        SHAREGPT,
        {"conversations": [gpt("b"), human("a"), gpt("b")]},
        "conversations[1].from",
        "is assistant where user must be",
    ),
    "no turns": (SHAREGPT, {"conversations": []}, "conversations", "no list of turns"),
    "an unknown speaker": (
        SHAREGPT,
        {"conversations": [{"from": "nurse", "value": "a"}, gpt("b")]},
        "conversations[1].from",
        "none of system, user, assistant, tool",
    ),
    "a bad role in chosen": (
        {"conversations": [human("a")], "chosen": gpt("b"), "rejected": gpt("c")},
        {"conversations": [human("a")], "chosen": human("b"), "rejected": gpt("c")},
        "chosen",
        "is no answer",
    ),
    "an unknown role in rejected": (
        {"conversations": [human("a")], "chosen": gpt("b"), "rejected": gpt("c")},
        {"conversations": [human("a")], "chosen": gpt("b"), "rejected": {"from": "x", "value": "c"}},
        "rejected.from",
        "none of",
    ),
    "an answered question before a pair": (
        {"conversations": [human("a")], "chosen": gpt("b"), "rejected": gpt("c")},
        {"conversations": [human("a"), gpt("x")], "chosen": gpt("b"), "rejected": gpt("c")},
        "conversations",
        "does not end with a question",
    ),
    "a label that is none": (
        {**ALPACA, "kto_tag": True},
        {**ALPACA, "kto_tag": "maybe"},
        "kto_tag",
        "neither yes nor no",
    ),
    "a label that is two": ({**ALPACA, "kto_tag": True}, {**ALPACA, "kto_tag": 2}, "kto_tag", "neither yes"),
    "a label that is missing": ({**ALPACA, "kto_tag": True}, ALPACA, "kto_tag", "missing"),
    "a label that is null": (
        {**ALPACA, "kto_tag": True},
        {**ALPACA, "kto_tag": None},
        "kto_tag",
        "missing",
    ),
    "chosen that is no text": (PAIR, {**PAIR, "chosen": 7}, "chosen", "must be text, is a number"),
    "chosen that is missing beside an output": (
        PAIR,
        {"instruction": "a", "output": "b", "rejected": "c"},
        "chosen",
        "missing",
    ),
    "rejected that is missing": (PAIR, {"instruction": "a", "chosen": "b"}, "rejected", "missing"),
    "a plain answer among pairs": (PAIR, ALPACA, "rejected", "missing"),
    "a pair that is marked too": (
        {**ALPACA, "kto_tag": True},
        {**PAIR, "kto_tag": True},
        "kto_tag",
        "beside a pair",
    ),
    "a tool's answer at the end": (
        OPENAI,
        {
            "messages": [
                user("a"),
                assistant(None, tool_calls=[CALLED]),
                {"role": "tool", "content": "2"},
            ]
        },
        "messages",
        "does not end with an answer",
    ),
    "a tool's answer to nobody": (
        OPENAI,
        {"messages": [{"role": "tool", "content": "2"}, assistant("b")]},
        "messages[1].role",
        "is tool where user must be",
    ),
    "a tool's answer to a call that was not made": (
        OPENAI,
        {
            "messages": [
                user("a"),
                assistant(None, tool_calls=[CALLED]),
                {"role": "tool", "content": "2", "tool_call_id": "9"},
                assistant("b"),
            ]
        },
        "messages[3].tool_call_id",
        "call that was not made",
    ),
    "a history that is no list of pairs": (
        {**ALPACA, "history": []},
        {**ALPACA, "history": [["a", "b", "c"]]},
        "history[1]",
        "no pair",
    ),
    "a call that is no JSON": (
        SHAREGPT,
        {"conversations": [human("a"), {"from": "function_call", "value": "f(1)"}, TOLD, gpt("b")]},
        "conversations[2].value",
        "is no JSON",
    ),
    "a call without a name": (
        SHAREGPT,
        {"conversations": [human("a"), {"from": "function_call", "value": "{}"}, TOLD, gpt("b")]},
        "conversations[2].value.name",
        "missing",
    ),
    "arguments that are no object": (
        OPENAI,
        {
            "messages": [
                user("a"),
                assistant(None, tool_calls=[{"function": {"name": "f", "arguments": "[1]"}}]),
            ]
        },
        "messages[2].tool_calls[1].arguments",
        "no JSON object",
    ),
    "arguments with half a character": (
        OPENAI,
        {
            "messages": [
                user("a"),
                assistant(None, tool_calls=[{"function": {"name": "f", "arguments": {"x": "\ud83d"}}}]),
            ]
        },
        "messages[2].tool_calls[1].arguments",
        "destroyed",
    ),
    "a tool with half a character": (
        {**SHAREGPT, "tools": ""},
        {**SHAREGPT, "tools": '[{"name": "f", "description": "\\ud83d"}]'},
        "tools",
        "destroyed",
    ),
    "arguments that are no JSON of any reader": (
        OPENAI,
        {
            "messages": [
                user("a"),
                assistant(None, tool_calls=[{"function": {"name": "f", "arguments": '{"x": NaN}'}}]),
            ]
        },
        "messages[2].tool_calls[1].arguments",
        "no JSON",
    ),
    "a question that calls a tool": (
        OPENAI,
        {"messages": [{**user("a"), "tool_calls": [CALLED]}, assistant("b")]},
        "messages[1]",
        "only an answer can",
    ),
    "tools that are no JSON": ({**SHAREGPT, "tools": ""}, {**SHAREGPT, "tools": "[{"}, "tools", "is no JSON"),
    "pictures": (
        {**SHAREGPT, "images": []},
        {**SHAREGPT, "images": ["a.png"]},
        "images",
        "pictures, films or sounds, which are not learned",
    ),
    "a picture among the parts": (
        OPENAI,
        {"messages": [{"role": "user", "content": [{"type": "image_url"}]}, assistant("b")]},
        "messages[1].content[1]",
        "pictures, films or sounds",
    ),
    "nothing to learn": (
        OPENAI,
        {"messages": [user("a"), assistant("b", loss=False)]},
        "messages",
        "no answer that is to be learned",
    ),
    "a question that is to be learned": (
        OPENAI,
        {"messages": [{**user("a"), "loss": True}, assistant("b")]},
        "messages[1].loss",
        "no answer to be learned",
    ),
    "a completion that is a question": (
        {"prompt": [user("a")], "completion": [assistant("b")]},
        {"prompt": [user("a")], "completion": [user("b")]},
        "completion[2].role",
        "is user where assistant must be",
    ),
    "a prompt out of order": (
        {"prompt": [user("a")], "completion": [assistant("b")]},
        {"prompt": [user("a"), user("c")], "completion": [assistant("b")]},
        "prompt[2].role",
        "is user where assistant must be",
    ),
    "thoughts in two places": (
        {"question": "a", "thinking": "t", "answer": "b"},
        {"question": "a", "thinking": "t", "answer": "<think>u</think>b"},
        "thinking",
        "another field",
    ),
}


@pytest.mark.parametrize(("good", "bad", "field", "what"), TRAPS.values(), ids=TRAPS.keys())
def test_a_row_that_would_silently_become_another_is_refused_by_its_number_and_field(
    tmp_path: Path, good: dict[str, Any], bad: dict[str, Any], field: str, what: str
) -> None:
    # More good rows than a sample has: what the file is has been settled when the bad one comes.
    reading = read(tmp_path, [*[good] * 120, bad, good])
    (problem,) = reading.problems
    assert (problem.row, problem.field) == (121, field)
    assert what in problem.what and problem.fix
    assert len(reading.rows) == 121 == reading.files[0].rows_out == reading.files[0].rows_in - 1


AMBIGUOUS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "two shapes": ({**OPENAI, "prompt": "a", "completion": "b"}, ("--format messages", "--format pairs")),
    "Alpaca and a pair": (
        {**ALPACA, "question": "a", "answer": "b"},
        ("--format alpaca", "--format pairs"),
    ),
    "two questions": (
        {"question": "a", "prompt": "x", "answer": "b"},
        ("--column prompt=question", "--column prompt=prompt"),
    ),
    "two answers": (
        {"问题": "a", "回答": "b", "参考答案": "c"},
        ("--column response=回答", "--column response=参考答案"),
    ),
    "two lists of turns": ({**SHAREGPT, **OPENAI}, ("--column messages=",)),
}


@pytest.mark.parametrize(("item", "options"), AMBIGUOUS.values(), ids=AMBIGUOUS.keys())
def test_what_can_be_read_in_two_ways_is_asked_with_what_settles_it(
    tmp_path: Path, item: dict[str, Any], options: tuple[str, ...]
) -> None:
    with pytest.raises(BadInput, match="can be read in more than one way") as refused:
        read(tmp_path, [item])
    for option in options:
        assert option in refused.value.next_step


def test_each_option_that_is_offered_settles_it(tmp_path: Path) -> None:
    both = {**OPENAI, "prompt": "c", "completion": "d"}
    assert turns(read(tmp_path, [both], format="messages").rows[0]) == said("a", "b")
    assert turns(read(tmp_path, [both], format="pairs").rows[0]) == said("c", "d")
    two = {"question": "a", "prompt": "x", "answer": "b"}
    assert turns(read(tmp_path, [two], columns={"prompt": "prompt"}).rows[0]) == said("x", "b")


def test_columns_that_nobody_knows_are_named_and_a_mapping_reads_them(tmp_path: Path) -> None:
    items = [{"病情": "a", "处理": "b", "医院": "c", "处理依据": "d"}]
    with pytest.raises(BadInput, match="is not known") as refused:
        read(tmp_path, items)
    assert "`病情`, `处理`" in refused.value.why and "--column prompt=NAME" in refused.value.next_step
    reading = read(tmp_path, items, columns={"prompt": "病情", "response": "处理", "thinking": "处理依据"})
    assert turns(reading.rows[0]) == said("a", "<think>\nd\n</think>\n\nb")
    assert reading.rows[0].steps[0] == "columns named by the plan"
    assert reading.files[0].ignored_fields == ("医院",)


def test_two_columns_that_nobody_knows_are_offered_as_they_would_be_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput) as refused:
        read(tmp_path, [{"病 情": "a", "处理": "b"}])
    assert "--column 'prompt=病 情' --column response=处理;" in refused.value.next_step


def test_what_is_known_by_its_name_is_told_beside_a_mapping_and_can_be_left_out(tmp_path: Path) -> None:
    items = [{"病情": "a", "处理": "b", "系统": "s"}]
    mapping = {"prompt": "病情", "response": "处理"}
    reading = read(tmp_path, items, columns=mapping)
    assert turns(reading.rows[0])[0] == ("system", "s")
    assert reading.files[0].notices == (
        "`系统` is the system prompt, by its name: to leave it out, say --column system=",
    )
    assert turns(read(tmp_path, items, columns={**mapping, "system": ""}).rows[0]) == said("a", "b")


def test_half_a_mapping_is_asked_for_the_other_half(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="is not known") as refused:
        read(tmp_path, [{"病情": "a", "处理": "b"}], columns={"prompt": "病情"})
    assert "only `病情` is known" in refused.value.why
    (row,) = read(tmp_path, [{"病情": "a", "回答": "b"}], columns={"prompt": "病情"}).rows
    assert turns(row) == said("a", "b")


def test_a_column_that_is_empty_in_every_row_is_named_as_empty_and_not_as_unknown(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="is not known") as refused:
        read(tmp_path, [{"prompt": "a", "completion": " "}])
    assert refused.value.why == "nothing stands under `completion` in the rows looked at"


def test_an_answer_by_its_chinese_name_is_no_plain_text(tmp_path: Path) -> None:
    items = [{"题": "a", "输出": "b"}]
    (row,) = read(tmp_path, items, format="alpaca", columns={"prompt": "题"}).rows
    assert turns(row) == said("a", "b")


def test_a_mapping_to_a_column_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="has no column `提问`") as refused:
        read(tmp_path, [{"问题": "a", "答案": "b"}], columns={"prompt": "提问"})
    assert "`问题`, `答案`" in refused.value.why


def test_names_that_hold_data_are_not_repeated_in_a_message(tmp_path: Path) -> None:
    with pytest.raises(BadInput) as refused:
        read(tmp_path, [{"患者张三，电话13800138000": "x", "高血压三年。": "y"}])
    assert "13800138000" not in str(refused.value) and "高血压" not in str(refused.value)
    assert "column 1, column 2" in refused.value.why


def test_a_file_whose_name_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode("病历.json".encode("gb18030"))
    write(tmp_path, [ALPACA]).rename(path)
    with pytest.raises(BadInput, match="cannot be shown") as refused:
        read_files([DataFile(str(path))])
    str(refused.value).encode()


def test_a_column_of_classes_is_no_label(tmp_path: Path) -> None:
    reading = read(tmp_path, [{**ALPACA, "label": "肺炎"}, {**ALPACA, "label": "流感"}])
    assert [row.kind for row in reading.rows] == ["chat", "chat"]
    assert reading.files[0].ignored_fields == ("label",)


def test_a_column_of_pictures_can_be_left_unread(tmp_path: Path) -> None:
    items = [{**ALPACA, "图片": "a.png"}]
    assert "--column images=" in read(tmp_path, items).problems[0].fix
    assert turns(read(tmp_path, items, columns={"images": ""}).rows[0]) == said("a", "b")


def test_a_label_that_comes_late_is_not_overlooked(tmp_path: Path) -> None:
    late = [{**ALPACA, "label": None}] * 120 + [{**ALPACA, "label": True}, {**ALPACA, "label": "x"}]
    reading = read(tmp_path, late)
    assert [row.kind for row in reading.rows[-2:]] == ["chat", "label"]
    assert [(each.row, each.field) for each in reading.problems] == [(122, "label")]


def test_a_mark_can_be_left_unread(tmp_path: Path) -> None:
    reading = read(tmp_path, [{**ALPACA, "label": 1}], columns={"kto_tag": ""})
    assert [row.kind for row in reading.rows] == ["chat"]


ODD_VALUES: tuple[Any, ...] = (
    None, "", " ", "x", 7, 0.5, True, [], {}, ["x"], [["a", "b"]], [1], {"x": 1}, [{}], [None],
    [{"role": "user"}], [{"from": "gpt", "value": "x"}], "[", '[{"role": 1}]', "\ud800", {"role": []},
)  # fmt: skip


def test_rows_in_are_rows_out_and_problems_whatever_a_field_holds(tmp_path: Path) -> None:
    draw = random.Random(7)
    goods = [item for _, item, _ in CHATS.values()] + [item for _, item in PAIRS.values()]
    goods += [item for item, _ in LABELS.values()] + list(TOOL_ROWS.values())
    for good in goods:
        items = [dict(good) for _ in range(30)]
        for item in items[10:]:
            for field in draw.sample(sorted(item), draw.randint(1, len(item))):
                if draw.random() < 0.2:
                    del item[field]
                else:
                    item[field] = draw.choice(ODD_VALUES)
        reading = read_files([DataFile(str(write(tmp_path, items)))])
        numbers = sorted([row.row for row in reading.rows] + [each.row for each in reading.problems])
        assert numbers == list(range(1, 31))
        assert {row.row for row in reading.rows} >= set(range(1, 11))


def test_turns_that_are_changed_anywhere_are_read_or_refused(tmp_path: Path) -> None:
    draw = random.Random(11)
    good = TOOL_ROWS["OpenAI"]
    items = []
    for _ in range(300):
        messages = [dict(turn) for turn in good["messages"]]
        for _ in range(draw.randint(1, 3)):
            turn = draw.choice(messages)
            turn[draw.choice(["role", "content", "tool_calls", "tool_call_id", "loss"])] = draw.choice(
                ODD_VALUES
            )
        if draw.random() < 0.3:
            draw.shuffle(messages)
        items.append({**good, "messages": messages})
    reading = read(tmp_path, [good] * 20 + items)
    assert len(reading.rows) + len(reading.problems) == 320
    assert len(reading.rows) >= 20 and reading.problems
