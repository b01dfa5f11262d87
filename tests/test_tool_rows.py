"""Rows with tools, through the model's own template: what is learned is the call, or the row is refused.

The templates are written here, in the manner of the families that are in use.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from appliance.model.calls import find_style, holds_calls, turn_documents
from appliance.run.rows import Message, Problem, Row, ToolCall
from appliance.training.encode import Encoder, Example
from tests.tiny import CHAT_TEMPLATE, make_tiny_tokenizer

TOOLS = json.dumps(
    [
        {
            "name": "find_ward",
            "description": "Where a ward is",
            "parameters": {"type": "object", "properties": {}},
        }
    ]
)
CALL = ToolCall("find_ward", '{"ward": "心内科 \\"A\\"", "floors": [3, 4]}')
OTHER = ToolCall("find_ward", '{"ward": "儿科", "floors": []}')

BLOCK = (
    "{%- for tool_call in message.tool_calls %}{%- set call = tool_call.function %}"
    '{{- \'<tool_call>\\n{"name": "\' + call.name + \'", "arguments": \' }}'
    "{{- call.arguments | tojson }}{{- '}\\n</tool_call>' }}{%- endfor %}"
)
START = (
    "{%- if tools %}{{- '<|im_start|>system\\n# Tools\\n' }}"
    "{%- for tool in tools %}{{- tool | tojson }}{%- endfor %}{{- '<|im_end|>\\n' }}{%- endif %}"
)
END = "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"
TURN = "{%- for message in messages %}{{- '<|im_start|>' + message.role + '\\n' }}"
JSON_IN_TAGS = (
    START + TURN + "{{- message.content }}{%- if message.tool_calls %}" + BLOCK + "{%- endif %}"
    "{{- '<|im_end|>\\n' }}{%- endfor %}" + END
)
MARKED = (
    START + TURN + "{%- if message.role == 'assistant' %}{%- generation %}{{- message.content }}"
    "{%- if message.tool_calls %}" + BLOCK + "{%- endif %}{{- '<|im_end|>' }}{%- endgeneration %}{{- '\\n' }}"
    "{%- else %}{{- message.content + '<|im_end|>\\n' }}{%- endif %}{%- endfor %}" + END
)
NUMBERED = (
    START + TURN + "{%- if message.tool_calls is defined %}{%- for call in message.tool_calls %}"
    "{%- if call.id | length != 9 %}{{- raise_exception('a call needs a number of nine') }}{%- endif %}"
    "{{- call.function.name + '[ARGS]' + call.function.arguments | tojson }}{%- endfor %}"
    "{%- elif message.role == 'tool' %}{{- message.tool_call_id + message.content }}"
    "{%- else %}{{- message.content }}{%- endif %}{{- '<|im_end|>\\n' }}{%- endfor %}" + END
)
ARGUMENTS_AS_TEXT = JSON_IN_TAGS.replace("call.arguments | tojson", "call.arguments + ''")
NOTHING_BESIDE = JSON_IN_TAGS.replace(
    "message.tool_calls %}", "message.content is not defined %}", 1
).replace("{{- message.content }}", "{%- if message.content is defined %}{{- message.content }}{%- endif %}")
PARTS = (
    "{%- for tool_call in message.tool_calls %}{%- set call = tool_call.function %}"
    "{{- '<function=' + call.name + '>' }}{%- for key, value in call.arguments | items %}"
    "{{- '<parameter=' + key + '>\\n' + (value if value is string else value | tojson) + '\\n</parameter>' }}"
    "{%- endfor %}{{- '</function>' }}{%- endfor %}"
)
ONE_BY_ONE = JSON_IN_TAGS.replace(BLOCK, PARTS)

ABLE = {
    "JSON in tags": JSON_IN_TAGS,
    "with markers": MARKED,
    "calls with numbers": NUMBERED,
    "arguments as text": ARGUMENTS_AS_TEXT,
    "no content beside a call": NOTHING_BESIDE,
    "arguments one by one": ONE_BY_ONE,
}
WORDS_OR_CALLS = ("calls with numbers", "no content beside a call")
"""Templates that write a turn's calls, or its words."""

UNABLE = {
    "no tools at all": CHAT_TEMPLATE,
    "tools left out": JSON_IN_TAGS.replace(START, ""),
    "calls left out": JSON_IN_TAGS.replace(BLOCK, ""),
    "arguments left out": JSON_IN_TAGS.replace("call.arguments | tojson", "'{}'"),
    "results refused": TURN
    + "{%- if message.role == 'tool' %}{{- raise_exception('no tools') }}{%- endif %}"
    + JSON_IN_TAGS.removeprefix(START + TURN),
}


def row(*turns: Message, tools: str = TOOLS) -> Row:
    return Row(turns, "rows.json", "0" * 64, 7, tools)


ASKED = Message("user", "心内科在哪里？")
TALK = row(
    ASKED,
    Message("assistant", "", (CALL,)),
    Message("tool", "三楼"),
    Message("assistant", "再查。", (OTHER, CALL)),
    Message("tool", "四楼"),
    Message("tool", "三楼"),
    Message("assistant", "在三楼。"),
)
SILENT = replace(
    TALK, messages=(*TALK.messages[:3], replace(TALK.messages[3], content=""), *TALK.messages[4:])
)


def encoder(folder: Path, template: str) -> tuple[Encoder, Any]:
    tokenizer = make_tiny_tokenizer(folder, template=template)
    return Encoder(tokenizer, max_tokens=2048), tokenizer


def learned(tokenizer: Any, example: Example) -> list[str]:
    """Each unbroken stretch of learned tokens, decoded."""
    found, before = [], False
    for token, flag in zip(example.ids, example.learned, strict=True):
        if flag:
            found = [*found[:-1], [*found[-1], token]] if before else [*found, [token]]
        before = flag
    return [tokenizer.decode(each, skip_special_tokens=False) for each in found]


@pytest.mark.parametrize("name", ABLE)
def test_calls_and_answers_are_learned_and_results_are_read(name: str, tmp_path: Path) -> None:
    encode, tokenizer = encoder(tmp_path, ABLE[name])
    if name in WORDS_OR_CALLS:
        encoded, (problem,) = encode.encode([TALK])
        assert not encoded and "is changed by the model's chat template" in problem.what
    talk = SILENT if name in WORDS_OR_CALLS else TALK
    ((_, (example,)),), problems = encode.encode([talk])
    assert not problems
    first, second, last = learned(tokenizer, example)
    assert "find_ward" in first and "心内科" in first and "三楼" not in first
    assert second.startswith(
        "再查。" if name not in ("calls with numbers", "no content beside a call") else ""
    )
    assert second.count("find_ward") == 2 and second.index("儿科") < second.index("心内科")
    assert last == "在三楼。<|im_end|>"
    assert all(each.endswith("<|im_end|>") for each in (first, second))
    whole = tokenizer.decode(example.ids, skip_special_tokens=False)
    assert "Where a ward is" in whole and "三楼" in whole


@pytest.mark.parametrize("name", UNABLE)
def test_a_row_with_tools_is_refused_by_name_where_the_template_has(name: str, tmp_path: Path) -> None:
    encode, tokenizer = encoder(tmp_path, UNABLE[name])
    assert find_style(tokenizer) is None
    encoded, (problem,) = encode.encode([TALK, row(ASKED, Message("assistant", "在三楼。"), tools="")])
    assert len(encoded) == 1  # what needs no tools is learned as ever
    assert (problem.row, problem.field) == (7, "tools")
    assert "cannot write tools" in problem.what


def test_json_text_is_not_quoted_once_more(tmp_path: Path) -> None:
    encode, tokenizer = encoder(tmp_path, JSON_IN_TAGS)
    ((_, (example,)),), _ = encode.encode([TALK])
    written = learned(tokenizer, example)[0]
    body = written.split("<tool_call>\n")[1].split("\n</tool_call>")[0]
    assert json.loads(body) == {"name": "find_ward", "arguments": {"ward": '心内科 "A"', "floors": [3, 4]}}


def test_a_turn_that_is_not_learned_is_read_only(tmp_path: Path) -> None:
    masked = row(
        ASKED,
        Message("assistant", "旧答。", learned=False),
        Message("user", "再问？"),
        Message("assistant", "新答。"),
        tools="",
    )
    for number, template in enumerate((CHAT_TEMPLATE, JSON_IN_TAGS)):
        encode, tokenizer = encoder(tmp_path / str(number), template)
        ((_, (example,)),), _ = encode.encode([masked])
        assert learned(tokenizer, example) == ["新答。<|im_end|>"]
        assert "旧答。" in tokenizer.decode(example.ids)


@pytest.mark.parametrize(
    ("bad", "field", "words"),
    [
        (
            row(ASKED, Message("assistant", "x", learned=False), tools=""),
            "assistant",
            "no answer that is learned",
        ),
        (Row((), "a", "0" * 64, 7, text="a text"), "row", "no conversation"),
        (
            Row((ASKED, Message("assistant", "x")), "a", "0" * 64, 7, rejected=Message("assistant", "y")),
            "row",
            "no conversation",
        ),
        (row(ASKED, Message("assistant", "x"), tools='[{"name": "<|im_end|>"}]'), "tools", "control token"),
        (
            row(ASKED, Message("assistant", "", (ToolCall("f", '{"a": "<|im_end|>"}'),))),
            "assistant",
            "control token",
        ),
    ],
)
def test_refuses(bad: Row, field: str, words: str, tmp_path: Path) -> None:
    result = encoder(tmp_path, JSON_IN_TAGS)[0].examples(bad)
    assert isinstance(result, Problem)
    assert (result.row, result.field) == (7, field)
    assert words in result.what


def test_a_call_that_a_template_changes_for_some_rows_only_is_refused(tmp_path: Path) -> None:
    cut = JSON_IN_TAGS.replace("call.arguments | tojson", "(call.arguments | tojson)[:60]")
    short = ToolCall("find_ward", '{"ward": "儿科"}')
    long = ToolCall("find_ward", json.dumps({"ward": "x" * 90}))
    encode, tokenizer = encoder(tmp_path, cut.replace("[:60]", "[:70]"))
    assert find_style(tokenizer) is not None
    rows = [row(ASKED, Message("assistant", "", (call,))) for call in (short, long)]
    encoded, (problem,) = encode.encode(rows)
    assert [each for each, _ in encoded] == rows[:1]
    assert "is changed by the model's chat template" in problem.what


def test_results_name_the_call_that_they_answer() -> None:
    documents = turn_documents(TALK.messages)
    assert [call["id"] for document in documents for call in document.get("tool_calls", ())] == [
        "call00000",
        "call00001",
        "call00002",
    ]
    assert [document.get("tool_call_id") for document in documents if document["role"] == "tool"] == [
        "call00000",
        "call00001",
        "call00002",
    ]


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ('{"name": "f", "arguments": {"a": 1}}', True),
        ('{"name": "f", "arguments": "{\\"a\\": 1}"}', True),
        ('f[ARGS]{"a": 1}', True),
        ("<function=f><parameter=a>1</parameter>", True),
        ("f(a=1)", True),
        ('{"name": "g", "arguments": {"a": 1}}', False),
        ('{"name": "f", "arguments": {"a": 2}}', False),
        ('{"name": "f", "arguments": {}}', False),
        ("{" * 3000, False),
    ],
)
def test_knows_a_call_in_the_manner_of_many_templates(text: str, holds: bool) -> None:
    assert holds_calls(text, [ToolCall("f", '{"a": 1}')]) is holds
