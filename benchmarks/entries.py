"""Entries of a `dataset_info.json` with made-up rows: whatever LLaMA-Factory's formats can say.

Where Islet is meant to do another thing than LLaMA-Factory 0.9.5, the row is listed in `mended` with the name
of the trap; every other difference is a fault of ours.
"""

import csv
import io
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Rows = list[dict[str, Any]]
Stage = Literal["sft", "pt", "rm", "kto"]

UNLISTED = "a key that `columns` or `tags` leaves out loses its default"
ABSENT = "a column that the file does not have ends the run, though its cells may be empty"
DROPPED = "a row in the wrong order or of the wrong length is left out after a line in the log"
CRASHED = "a row that cannot be taken ends the run, and its number is not said"
UNSAID = "a row without an answer is left out without a word"
EMPTY = "an empty answer is learned"
DETAILED = "the openai form adds `detailed thinking off`, or a line end, to the system prompt"
LOOSE_LABEL = "`kto_tag` that is no boolean: the row is left out of KTO without a word"
LOST_REPLY = "a tool's reply at the end of an openai row is forgotten"
LOOSE_PAIR = "a worse answer that is no text: the row is left out of the comparison without a word"
SPACE = "white space around a text is learned"
ENCODED = "a file that is not plain UTF-8 ends the run"
NO_TOOLS = "no tools, written as `[]`, make an empty system turn"
QUOTED = "arguments as JSON text, OpenAI's own way, are learned as a string in quotes"
FILLED = "arguments that other rows have are learned as null"
RETYPED = "a column that is all numbers or dates is no text: its rows are left out, or end the run"
BLANKED = "words such as NA and None in a table become nothing"


@dataclass(frozen=True)
class Entry:
    """One dataset: what its entry says, its rows, and how it is trained."""

    name: str
    rows: Rows | bytes
    """Items, or the file's bytes where they are the point."""
    info: dict[str, Any] = field(default_factory=dict)
    """The entry, `file_name` apart."""
    suffix: str = ".json"
    stage: Stage = "sft"
    template: Literal["qwen3_nothink", "qwen3"] = "qwen3_nothink"
    thinking: bool | None = None
    """LLaMA-Factory's `enable_thinking`."""
    mask_history: bool = False
    mended: dict[int, str] = field(default_factory=dict)
    """Row, counted from 1 → the trap for whose sake Islet does another thing."""

    @property
    def file_name(self) -> str:
        """Name of the file beside `dataset_info.json`."""
        return self.name.replace(" ", "-") + self.suffix

    def write(self, folder: Path) -> None:
        """Write the rows."""
        rows, suffix = self.rows, self.suffix
        (folder / self.file_name).write_bytes(rows if isinstance(rows, bytes) else _content(rows, suffix))


def _content(rows: Rows, suffix: str) -> bytes:
    if suffix == ".json":
        return json.dumps(rows, ensure_ascii=False, indent=1).encode()
    if suffix == ".jsonl":
        return b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows)
    text = io.StringIO(newline="")
    table = csv.DictWriter(text, list(rows[0]))
    table.writeheader()
    table.writerows(rows)
    return text.getvalue().encode()


def write_entries(folder: Path, entries: tuple[Entry, ...]) -> None:
    """Write every file, and the `dataset_info.json` that names them."""
    folder.mkdir(parents=True, exist_ok=True)
    for entry in entries:
        entry.write(folder)
    info = {entry.name: {"file_name": entry.file_name, **entry.info} for entry in entries}
    (folder / "dataset_info.json").write_text(
        json.dumps(info, ensure_ascii=False, indent=1), encoding="utf-8"
    )


QUESTION, ANSWER = "儿科在几楼？", "在门诊楼三楼。"
MORE, REPLY = "几点上班？", "上午八点。"
NOTE = "体温38.5℃，脉搏96次/分。"
TOOLS = json.dumps(
    [
        {
            "name": "find_bed",
            "description": "空床",
            "parameters": {"type": "object", "properties": {"ward": {"type": "string"}}},
        }
    ],
    ensure_ascii=False,
)
CALL = json.dumps({"name": "find_bed", "arguments": {"ward": "儿科"}}, ensure_ascii=False)
CALLS = json.dumps(
    [{"name": "find_bed", "arguments": {"ward": each}} for each in ("儿科", "内科")], ensure_ascii=False
)
FOUND = '{"bed": 12}'
THOUGHT = "<think>\n先看楼层表。\n</think>\n\n"

PLAIN = {"prompt": "instruction", "query": "input", "response": "output"}
OPENAI_TAGS = {
    "role_tag": "role",
    "content_tag": "content",
    "user_tag": "user",
    "assistant_tag": "assistant",
    "system_tag": "system",
}
"""As LLaMA-Factory's own README gives them: the tool roles are left out."""
TOOL_TAGS = {**OPENAI_TAGS, "observation_tag": "tool", "function_tag": "function_call"}
OPENAI = {"formatting": "openai", "columns": {"messages": "messages"}, "tags": OPENAI_TAGS}
OPENAI_TOOLS = {
    "formatting": "openai",
    "columns": {"messages": "messages", "tools": "tools"},
    "tags": TOOL_TAGS,
}
SHAREGPT_TOOLS = {
    "formatting": "sharegpt",
    "columns": {"messages": "conversations", "system": "system", "tools": "tools"},
}
PAIR = {"chosen": "chosen", "rejected": "rejected"}
ALPACA_PAIRS = {"ranking": True, "columns": {"prompt": "instruction", "query": "input", **PAIR}}
SHAREGPT_PAIRS = {
    "formatting": "sharegpt",
    "ranking": True,
    "columns": {"messages": "conversations", **PAIR},
}


def alpaca(instruction: Any, output: Any, input: Any = "", **more: Any) -> dict[str, Any]:
    """An alpaca row."""
    return {"instruction": instruction, "input": input, "output": output, **more}


def said(*turns: tuple[str, Any], **more: Any) -> dict[str, Any]:
    """A sharegpt row."""
    return {"conversations": [{"from": who, "value": what} for who, what in turns], **more}


def turns(*given: tuple[str, Any], **more: Any) -> dict[str, Any]:
    """An openai row; turns of another form than (role, content) are given as objects."""
    return {"messages": [{"role": who, "content": what} for who, what in given], **more}


def turn(who: str, what: str) -> dict[str, str]:
    """A sharegpt turn."""
    return {"from": who, "value": what}


def _calling(arguments: Any = None) -> dict[str, Any]:
    function = {"name": "find_bed", "arguments": arguments or {"ward": "儿科"}}
    call = {"id": "1", "type": "function", "function": function}
    return {"role": "assistant", "content": "", "tool_calls": [call]}


ASKED = {"role": "user", "content": QUESTION}
ANSWERED = {"role": "assistant", "content": ANSWER}
TOOLED = {"role": "tool", "content": FOUND}
TALK = (("human", QUESTION), ("gpt", ANSWER))
CHAT = (("user", QUESTION), ("assistant", ANSWER))

ENTRIES: tuple[Entry, ...] = (
    # Alpaca
    Entry("alpaca", [alpaca(QUESTION, ANSWER), alpaca("翻译成英文", "Fever", NOTE), alpaca("", REPLY, MORE)]),
    Entry("alpaca lines", [alpaca(QUESTION, ANSWER), alpaca(MORE, REPLY)], suffix=".jsonl"),
    Entry("alpaca table", [alpaca(QUESTION, "三楼，\n电梯左侧。"), alpaca(MORE, REPLY, NOTE)], suffix=".csv"),
    Entry(
        "alpaca without input",
        [{"instruction": QUESTION, "output": ANSWER}, {"instruction": MORE, "output": REPLY}],
        mended={1: ABSENT, 2: ABSENT},
    ),
    Entry("alpaca some inputs", [{"instruction": QUESTION, "output": ANSWER}, alpaca(MORE, REPLY, NOTE)]),
    Entry("alpaca lines within", [alpaca("第一行\n\n第二行", "一\n\n二", "三\n四")]),
    Entry(
        "alpaca outer space",
        [alpaca(QUESTION, ANSWER), alpaca(f" {QUESTION}", f"{ANSWER}\n")],
        mended={2: SPACE},
    ),
    Entry(
        "alpaca answers",
        [alpaca(QUESTION, ANSWER), alpaca(MORE, ""), alpaca(MORE, None)],
        mended={2: EMPTY, 3: UNSAID},
    ),
    Entry(
        "alpaca system",
        [alpaca(QUESTION, ANSWER, role="你是导医台。"), alpaca(MORE, REPLY, role="")],
        {"columns": {**PLAIN, "system": "role"}},
    ),
    Entry("alpaca system not named", [alpaca(QUESTION, ANSWER, system="你是导医台。")]),
    Entry(
        "alpaca history",
        [alpaca(MORE, REPLY, history=[[QUESTION, ANSWER]]), alpaca(QUESTION, ANSWER, history=[])],
        {"columns": {**PLAIN, "history": "history"}},
    ),
    Entry("alpaca history not named", [alpaca(MORE, REPLY, history=[[QUESTION, ANSWER]])]),
    Entry(
        "alpaca history masked",
        [alpaca(MORE, REPLY, history=[[QUESTION, ANSWER], ["谢谢", "不客气"]])],
        {"columns": {**PLAIN, "history": "history"}},
        mask_history=True,
    ),
    Entry(
        "alpaca history of three",
        [alpaca(MORE, REPLY, history=[[QUESTION, ANSWER, "?"]]), alpaca(MORE, REPLY, history=[["一", "二"]])],
        {"columns": {**PLAIN, "history": "history"}},
        mended={1: CRASHED},
    ),
    Entry(
        "alpaca renamed",
        [{"问题": QUESTION, "补充": NOTE, "回答": ANSWER}, {"问题": MORE, "补充": "", "回答": REPLY}],
        {"columns": {"prompt": "问题", "query": "补充", "response": "回答"}},
    ),
    Entry(
        "alpaca without query",
        [{"q": QUESTION, "a": ANSWER}],
        {"columns": {"prompt": "q", "response": "a"}},
    ),
    Entry(
        "alpaca columns partly",
        [alpaca(QUESTION, ANSWER, sys="你是导医台。")],
        {"columns": {"system": "sys"}},
        mended={1: UNLISTED},
    ),
    Entry(
        "alpaca GB18030",
        json.dumps([alpaca(QUESTION, ANSWER)], ensure_ascii=False).encode("gb18030"),
        mended={1: ENCODED},
    ),
    Entry(
        "alpaca marked UTF-8",
        b"\xef\xbb\xbf" + json.dumps([alpaca(QUESTION, ANSWER)]).encode(),
        mended={1: ENCODED},
    ),
    Entry(
        "alpaca table of numbers",
        [alpaca("分机号？", "7618"), alpaca("邮编？", "010020")],
        suffix=".csv",
        mended={1: RETYPED, 2: RETYPED},
    ),
    Entry(
        "alpaca table with a number",
        [alpaca("010020", "北京"), alpaca("200030", "上海")],
        suffix=".csv",
        mended={1: RETYPED, 2: RETYPED},
    ),
    Entry(
        "alpaca table with NA",
        [alpaca("Sodium, in capitals?", "NA"), alpaca("Any allergy?", "None"), alpaca(MORE, REPLY)],
        suffix=".csv",
        mended={1: BLANKED, 2: BLANKED},
    ),
    Entry(
        "alpaca dates",
        [alpaca("复诊哪天？", "2026-11-21"), alpaca("手术哪天？", "2026-12-01")],
        suffix=".jsonl",
        mended={1: RETYPED, 2: RETYPED},
    ),
    # ShareGPT
    Entry(
        "sharegpt", [said(*TALK), said(*TALK, ("human", MORE), ("gpt", REPLY))], {"formatting": "sharegpt"}
    ),
    Entry(
        "sharegpt masked",
        [said(*TALK, ("human", MORE), ("gpt", REPLY))],
        {"formatting": "sharegpt"},
        mask_history=True,
    ),
    Entry(
        "sharegpt system",
        [
            said(*TALK, system="你是导医台。"),
            said(("system", "你是药房。"), *TALK, system="你是导医台。"),
            said(("system", "你是药房。"), *TALK, system=""),
        ],
        {"formatting": "sharegpt", "columns": {"messages": "conversations", "system": "system"}},
    ),
    Entry(
        "sharegpt tools",
        [
            said(
                ("human", "儿科有床吗？"),
                ("function_call", CALL),
                ("observation", FOUND),
                ("gpt", "12床。"),
                system="你是床位员。",
                tools=TOOLS,
            ),
            said(("human", "儿科有床吗？"), ("function_call", CALLS), system="", tools=TOOLS),
            said(*TALK, system="", tools=TOOLS),
            said(*TALK, system="", tools="[]"),
        ],
        SHAREGPT_TOOLS,
        mended={4: NO_TOOLS},
    ),
    Entry(
        "sharegpt call after thought",
        [said(("human", "儿科有床吗？"), ("function_call", THOUGHT + CALL), system="", tools=TOOLS)],
        SHAREGPT_TOOLS,
    ),
    Entry(
        "sharegpt damaged call",
        [
            said(("human", QUESTION), ("function_call", "{find_bed"), system="", tools=TOOLS),
            said(*TALK, system="", tools="[{"),
            said(*TALK, system="", tools=TOOLS),
        ],
        SHAREGPT_TOOLS,
        mended={1: CRASHED, 2: CRASHED},
    ),
    Entry(
        "sharegpt order",
        [
            said(("gpt", ANSWER), ("human", QUESTION)),
            said(*TALK, ("human", MORE)),
            said(("human", QUESTION), ("doctor", ANSWER)),
            said(("human", QUESTION), ("human", MORE), ("gpt", REPLY)),
            said(*TALK),
        ],
        {"formatting": "sharegpt"},
        mended=dict.fromkeys((1, 2, 3, 4), DROPPED),
    ),
    Entry(
        "sharegpt own tags",
        [
            {"chat": [{"who": "病人", "text": QUESTION}, {"who": "医生", "text": ANSWER}]},
            {
                "chat": [
                    {"who": "设定", "text": "你是导医台。"},
                    {"who": "病人", "text": QUESTION},
                    {"who": "医生", "text": ANSWER},
                ]
            },
        ],
        {
            "formatting": "sharegpt",
            "columns": {"messages": "chat"},
            "tags": {
                "role_tag": "who",
                "content_tag": "text",
                "user_tag": "病人",
                "assistant_tag": "医生",
                "system_tag": "设定",
                "observation_tag": "结果",
                "function_tag": "调用",
            },
        },
    ),
    Entry(
        "sharegpt tags partly",
        [said(("user", QUESTION), ("gpt", ANSWER)), said(("user", MORE), ("gpt", REPLY))],
        {"formatting": "sharegpt", "tags": {"user_tag": "user"}},
        mended={1: UNLISTED, 2: UNLISTED},
    ),
    # OpenAI
    Entry(
        "openai as sharegpt",
        [turns(*CHAT), turns(("system", "你是药房。"), *CHAT)],
        OPENAI | {"formatting": "sharegpt"},
    ),
    Entry(
        "openai",
        [turns(*CHAT), turns(("system", "你是药房。"), *CHAT)],
        OPENAI,
        mended={1: DETAILED, 2: DETAILED},
    ),
    Entry(
        "openai tools",
        [
            {"messages": [ASKED, _calling(), TOOLED, ANSWERED], "tools": TOOLS},
            {"messages": [ASKED, _calling(), TOOLED, {**TOOLED, "content": "无"}, ANSWERED], "tools": TOOLS},
            {"messages": [ASKED, _calling()], "tools": TOOLS},
        ],
        OPENAI_TOOLS,
    ),
    Entry(
        "openai tools and system",
        [
            {
                "messages": [
                    {"role": "system", "content": "你是床位员。"},
                    ASKED,
                    _calling(),
                    TOOLED,
                    ANSWERED,
                ],
                "tools": TOOLS,
            }
        ],
        OPENAI_TOOLS,
        mended={1: DETAILED},
    ),
    Entry(
        "openai tools as README",
        [{"messages": [ASKED, _calling(), TOOLED, ANSWERED], "tools": TOOLS}],
        OPENAI_TOOLS | {"tags": OPENAI_TAGS},
        mended={1: UNLISTED},
    ),
    Entry(
        "openai arguments as text",
        [{"messages": [ASKED, _calling(arguments='{"ward": "儿科"}'), TOOLED, ANSWERED], "tools": TOOLS}],
        OPENAI_TOOLS,
        mended={1: QUOTED},
    ),
    Entry(
        "openai arguments of two kinds",
        [
            {"messages": [ASKED, _calling(), TOOLED, ANSWERED], "tools": TOOLS},
            {"messages": [ASKED, _calling(arguments={"bed": 12}), TOOLED, ANSWERED], "tools": TOOLS},
        ],
        OPENAI_TOOLS,
        mended={1: FILLED, 2: FILLED},
    ),
    Entry(
        "openai reply last",
        [
            {"messages": [ASKED, _calling(), TOOLED], "tools": TOOLS},
            {"messages": [ASKED, _calling(), TOOLED, ANSWERED], "tools": TOOLS},
        ],
        OPENAI_TOOLS,
        mended={1: LOST_REPLY},
    ),
    # Preference
    Entry(
        "alpaca pairs",
        [
            {"instruction": QUESTION, "input": "", "chosen": ANSWER, "rejected": "不知道。"},
            {"instruction": "翻译", "input": NOTE, "chosen": "Fever", "rejected": "Cold"},
        ],
        ALPACA_PAIRS,
        stage="rm",
    ),
    Entry(
        "alpaca pairs beside an answer",
        [{"instruction": QUESTION, "input": "", "chosen": ANSWER, "rejected": "不知道。"}],
        {"ranking": True, "columns": {**PLAIN, **PAIR}},
        stage="rm",
    ),
    Entry(
        "alpaca pairs of another kind",
        [{"instruction": QUESTION, "input": "", "chosen": 1, "rejected": 2}],
        ALPACA_PAIRS,
        stage="rm",
        mended={1: LOOSE_PAIR},
    ),
    Entry(
        "sharegpt pairs",
        [
            said(("human", QUESTION), chosen=turn("gpt", ANSWER), rejected=turn("gpt", "不知道。")),
            said(*TALK, ("human", MORE), chosen=turn("gpt", REPLY), rejected=turn("gpt", "不知道。")),
            said(*TALK, chosen=turn("gpt", REPLY), rejected=turn("gpt", "不知道。")),
            said(("human", QUESTION), chosen=turn("human", ANSWER), rejected=turn("gpt", "不知道。")),
        ],
        SHAREGPT_PAIRS,
        stage="rm",
        mended={3: DROPPED, 4: "a worse or better answer by the wrong speaker is kept"},
    ),
    Entry(
        "openai pairs",
        [
            {
                "messages": [ASKED],
                "chosen": ANSWERED,
                "rejected": {"role": "assistant", "content": "不知道。"},
            }
        ],
        {
            "formatting": "openai",
            "ranking": True,
            "columns": {"messages": "messages", **PAIR},
            "tags": OPENAI_TAGS,
        },
        stage="rm",
        mended={1: DETAILED},
    ),
    # KTO
    Entry(
        "alpaca labels",
        [alpaca(QUESTION, ANSWER, label=True), alpaca(QUESTION, "不知道。", label=False)],
        {"columns": {**PLAIN, "kto_tag": "label"}},
        stage="kto",
    ),
    Entry(
        "alpaca labels as text",
        [alpaca(QUESTION, ANSWER, label="true"), alpaca(QUESTION, "不知道。", label="false")],
        {"columns": {**PLAIN, "kto_tag": "label"}},
        stage="kto",
        mended={1: LOOSE_LABEL, 2: LOOSE_LABEL},
    ),
    Entry(
        "alpaca labels as numbers",
        [alpaca(QUESTION, ANSWER, label=1), alpaca(QUESTION, "不知道。", label=0)],
        {"columns": {**PLAIN, "kto_tag": "label"}},
        stage="kto",
        mended={1: LOOSE_LABEL, 2: LOOSE_LABEL},
    ),
    Entry(
        "sharegpt labels",
        [said(*TALK, label=True), said(*TALK, ("human", MORE), ("gpt", "不知道。"), label=False)],
        {"formatting": "sharegpt", "columns": {"messages": "conversations", "kto_tag": "label"}},
        stage="kto",
    ),
    # Text
    Entry(
        "texts",
        [{"text": NOTE}, {"text": "第一段。\n第二段。"}],
        {"columns": {"prompt": "text"}},
        suffix=".jsonl",
        stage="pt",
    ),
    # Thinking
    Entry("thoughts", [alpaca(QUESTION, THOUGHT + ANSWER), alpaca(MORE, REPLY)], template="qwen3"),
    Entry("thoughts in words of Qwen", [alpaca(QUESTION, THOUGHT + ANSWER), alpaca(MORE, REPLY)]),
    Entry("no thoughts wanted", [alpaca(MORE, REPLY)], template="qwen3", thinking=False),
    Entry(
        "thoughts in two answers",
        [said(("human", QUESTION), ("gpt", THOUGHT + ANSWER), ("human", MORE), ("gpt", THOUGHT + REPLY))],
        {"formatting": "sharegpt"},
        template="qwen3",
    ),
)
