"""Rows on the screen and in other files: what the model sees, nothing acts on the terminal, nothing lost."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from appliance.cli import main
from appliance.data.canonical import is_canonical, read_rows
from appliance.data.read import read_file, stream
from appliance.data.written import write as write_to
from appliance.data_commands.shown import legend, problem_lines, row_lines
from appliance.errors import BadInput
from appliance.locale.voice import Voice
from appliance.run.plan import DataFile
from appliance.run.rows import Message, Problem, Row, ToolCall
from appliance.training.document import unseen
from appliance.training.seen import Eyes
from appliance.wizard.cells import cells_of
from tests.tiny import tiny_model

HOSTILE = "\x1b[2J\x1b]0;gone\x07好\u202egnp.exe\x00\r隐\u200b藏\x9b31m"
ASKED = Message("user", "儿科在几楼？")
CALL = ToolCall("find", '{"ward": "儿科"}')
TOOLS = '[{"type": "function", "function": {"name": "find", "parameters": {}}}]'


def row(*messages: Message, **fields: object) -> Row:
    return Row(messages, "ward.json", "a" * 64, 3, **fields)  # type: ignore[arg-type]


CONVERSATIONS = [
    row(Message("system", "短答。"), ASKED, Message("assistant", "三楼。")),
    row(ASKED, Message("assistant", "旧", learned=False), ASKED, Message("assistant", "新 <b>&\n\n下一行")),
    row(
        ASKED,
        Message("assistant", "", (CALL, CALL)),
        Message("tool", "三"),
        Message("tool", "四"),
        Message("assistant", "三楼。"),
        tools=TOOLS,
    ),
    row(ASKED, Message("assistant", "<think>\n想\n</think>\n\n三楼。")),
]  # fmt: skip
PAIRS = [
    row(ASKED, Message("assistant", "三楼。"), rejected=Message("assistant", "不知道")),
    row(
        ASKED,
        Message("assistant", "a"),
        ASKED,
        Message("assistant", "好"),
        rejected=Message("assistant", "差"),
    ),
]
LABELS = [
    row(ASKED, Message("assistant", "好"), label=True),
    row(ASKED, Message("assistant", "差"), label=False),
]
TEXTS = [row(text="病历书写规范。\n第二行"), row(text="又一篇")]
KINDS = {"conversations": CONVERSATIONS, "pairs": PAIRS, "labels": LABELS, "texts": TEXTS}


def write_jsonl(path: Path, rows: list[Row]) -> int:
    return write_to(path, rows)


def islet(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def write(path: Path, items: object) -> Path:
    path.write_text(json.dumps(items, ensure_ascii=False), encoding="utf-8")
    return path


def meant(rows: tuple[Row, ...]) -> list[tuple[object, ...]]:
    """All of the rows but where they came from."""
    return [(each.messages, each.tools, each.rejected, each.label, each.text) for each in rows]


@pytest.mark.parametrize("kind", KINDS)
def test_lines_are_read_back_as_the_same_rows(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    assert write_jsonl(path, KINDS[kind]) == len(KINDS[kind])
    reading = read_file(path)
    assert reading.problems == ()
    assert meant(reading.rows) == meant(tuple(KINDS[kind]))
    assert path.stat().st_mode & 0o777 == 0o600


def test_lines_hold_conversations_or_texts_and_never_both(tmp_path: Path) -> None:
    for rows in ([*CONVERSATIONS, *TEXTS], [*TEXTS, *CONVERSATIONS]):
        with pytest.raises(BadInput, match=r"cannot hold these rows"):
            write_jsonl(tmp_path / "rows.jsonl", rows)
        assert list(tmp_path.iterdir()) == []


def test_converted_rows_keep_where_they_came_from_and_stay_the_same(tmp_path: Path) -> None:
    table = tmp_path / "ward.csv"
    table.write_text("question,answer\n一,1\n二,2\n", encoding="utf-8-sig")
    first, lines, second = (tmp_path / name for name in ("a.parquet", "b.jsonl", "c.parquet"))
    for source, out in ((table, first), (first, lines), (first, second)):
        done = islet("data", "convert", source, "--out", out)
        assert done.exit_code == 0, done.output
    direct = read_file(table).rows
    assert read_rows(first) == read_rows(second) == direct
    assert [(each.file, each.row) for each in read_rows(first)] == [("ward.csv", 2), ("ward.csv", 3)]
    assert is_canonical(first) and not is_canonical(lines)
    assert first.read_bytes() == second.read_bytes()
    assert meant(read_file(lines).rows) == meant(direct)
    # What trains from it reads the same rows, with the plan's system prompt where they have none.
    seen = list(stream(DataFile(str(first)), system="短答。"))
    assert [each.messages[0] for each in seen if isinstance(each, Row)] == [Message("system", "短答。")] * 2


@pytest.mark.parametrize("out", ["rows.txt", "rows.json", "there.parquet", "no/folder.parquet"])
def test_nothing_is_written_over_or_anywhere(out: str, tmp_path: Path) -> None:
    (tmp_path / "there.parquet").write_text("mine")
    done = islet(
        "data",
        "convert",
        write(tmp_path / "a.json", [{"instruction": "q", "output": "a"}]),
        "--out",
        tmp_path / out,
    )
    assert done.exit_code == 6
    assert (tmp_path / "there.parquet").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "there.parquet"]


def test_bad_rows_stop_a_conversion_unless_they_may_be_left_out(tmp_path: Path) -> None:
    file = write(
        tmp_path / "a.json", [{"instruction": "q", "output": "a"}, {"instruction": "q", "output": ""}]
    )
    out = tmp_path / "out.parquet"
    refused = islet("data", "convert", file, "--out", out)
    assert refused.exit_code == 6 and "1 of 2 rows" in refused.output and not out.exists()
    done = islet("data", "convert", file, "--out", out, "--max-bad-share", 0.5, "--json")
    facts = json.loads(done.output)
    assert (facts["rows"], facts["refused"], facts["kinds"]) == (1, 1, {"chat": 1})
    assert [problem["row"] for problem in facts["problems"]] == [2]


def seen(rows: list[Row], language: str = "en", *, by_model: bool = True, cells: int = 80) -> list[str]:
    """The lines that `islet data show` prints for rows, through the tiny model or as they are kept."""
    eyes, tell = Eyes(tiny_model()) if by_model else None, Voice(language)  # type: ignore[arg-type]
    lines = []
    for each in rows:
        documents = eyes.documents(each) if eyes else unseen(each)
        if isinstance(documents, Problem):
            lines += problem_lines(documents, tell, cells)
        else:
            lines += row_lines(each, documents, tell, cells, eyes.specials if eyes else ())
    return [*lines, *legend(tell, cells)]


def test_what_is_learned_is_marked_by_a_word_and_a_sign() -> None:
    lines = seen(CONVERSATIONS[:2])
    assert " reads  | <|im_start|>system" in lines and " learns > 三楼。<|im_end|>" in lines
    assert lines.count("ward.json, row 3") == 2
    assert "        | 旧<|im_end|>" in lines  # not learned: only read
    assert " learns > 新 <b>&" in lines and "        > 下一行<|im_end|>" in lines
    assert sum("tokens: " in line and "learned: " in line for line in lines) == 2


@pytest.mark.parametrize("by_model", [False, True])
def test_both_answers_of_a_pair_and_texts_are_shown(by_model: bool) -> None:
    better, worse = "\n".join(seen(PAIRS[:1], by_model=by_model)).split("the worse answer")
    assert "the better answer" in better and "三楼。" in better and "不知道" in worse
    assert " learns > 病历书写规范。" in seen(TEXTS, by_model=by_model)
    assert "marked as bad" in "\n".join(seen(LABELS[1:], by_model=by_model))


@pytest.mark.parametrize("language", ["en", "zh_CN"])
@pytest.mark.parametrize("by_model", [False, True])
def test_nothing_in_a_row_acts_on_the_terminal_and_no_line_is_too_wide(language: str, by_model: bool) -> None:
    turns = (Message("user", HOSTILE), Message("assistant", f"{HOSTILE}{'长' * 300} {'w' * 300}\n\t尾"))
    rows = [replace(row(*turns), file=f"a{HOSTILE}.json"), replace(row(*turns, tools=TOOLS), file=HOSTILE)]
    for cells in (40, 80):
        lines = seen(rows, language, by_model=by_model, cells=cells)
        assert not set("".join(lines)) & set("\x00\x07\x1b\x9b\r\u202e\u200b\n\t")
        assert max(cells_of(line) for line in lines) <= cells
        assert any("learns" in line for line in lines) == (language == "en")


def test_the_command_shows_rows_without_a_model_and_refused_ones_by_name(tmp_path: Path) -> None:
    file = write(
        tmp_path / "a.json",
        [{"instruction": "红\x1b[31m", "output": "a"}, {"instruction": "q", "output": ""}],
    )
    done = islet("data", "show", file)
    assert done.exit_code == 0, done.output
    assert "a.json, row 1" in done.output and " learns > a" in done.output and "\x1b" not in done.output
    assert "a.json, row 2, output" in done.output
    assert "row 1" not in islet("data", "show", file, "--row", 2).output
    missing = islet("data", "show", file, "--row", 9)
    assert missing.exit_code == 6 and "no such row" in missing.output
    assert islet("data", "show", file, "--json").exit_code == 2


def test_rows_are_counted_without_being_shown(tmp_path: Path) -> None:
    items = [{"instruction": "q", "output": "canary"}, {"instruction": "q", "output": ""}]
    file = write(tmp_path / "a.json", [*items, {"instruction": "r", "output": "b"}])
    plain = islet("data", "show", file, "--count")
    assert "rows: 2" in plain.output and "cannot be used: 1" in plain.output and "canary" not in plain.output
    facts = json.loads(islet("data", "show", file, "--count", "--json").output)
    assert facts == {"rows": 2, "refused": 1, "kinds": {"chat": 2}}


def test_a_row_that_the_model_cannot_write_says_why() -> None:
    assert any("cannot write tools" in line for line in seen(CONVERSATIONS[2:3]))


def test_every_word_of_it_is_said_in_chinese() -> None:
    shown = "\n".join(seen([*CONVERSATIONS[:1], *PAIRS[:1]], "zh_CN"))
    for english in ("reads", "learns", "tokens", "answer", "row "):
        assert english not in shown
    assert "词元" in shown and "较差的回答" in shown


def test_mixing_by_command_shows_what_comes_out_and_repeats_itself(tmp_path: Path) -> None:
    reasoning = write(
        tmp_path / "reasoning.json", [{"instruction": f"r{n}", "output": "x"} for n in range(40)]
    )
    dialogue = write(tmp_path / "dialogue.json", [{"instruction": f"d{n}", "output": "y"} for n in range(90)])
    words = ("data", "mix", reasoning, dialogue, "--shares", "25,75")
    shown = islet(*words, "--check", "--json")
    assert shown.exit_code == 0, shown.output
    facts = json.loads(shown.output)
    assert [(each["rows"], each["share"]) for each in facts["sets"]] == [(30, 0.25), (90, 0.75)]
    outs = [tmp_path / name for name in ("a.parquet", "b.parquet")]
    for out in outs:
        done = islet(*words, "--out", out)
        assert done.exit_code == 0, done.output
        assert max(map(len, done.output.splitlines()[:-1])) <= 80
    assert outs[0].read_bytes() == outs[1].read_bytes()
    assert len(read_rows(outs[0])) == facts["rows"] == 120
    assert islet(*words).exit_code == 2
    assert islet("data", "mix", reasoning, "--check", "--by", "tokens").exit_code == 2
    for shares in ("x", "nan", "1e999"):
        assert islet("data", "mix", reasoning, "--check", "--shares", shares).exit_code == 2


COMMANDS = """
import json, sys
from click.testing import CliRunner
from appliance.cli import main
for words in json.loads(sys.argv[1]):
    done = CliRunner().invoke(main, ["data", *words])
    assert done.exit_code == 0, done.output
    print(json.dumps(json.loads(done.output)))
"""


@pytest.mark.slow
def test_commands_count_in_the_tokens_of_a_model(tmp_path: Path) -> None:
    file = str(
        write(tmp_path / "a.json", [{"instruction": f"q{n}", "output": "a" * (n + 1)} for n in range(20)])
    )
    by_model = ["--model", str(tiny_model()), "--json"]
    words = [
        ["show", file, "--count", *by_model],
        ["mix", file, file, "--check", "--by", "tokens", *by_model],
        ["split", file, "--out", str(tmp_path / "out"), "--validation", "5", "--check", *by_model],
    ]
    done = subprocess.run([sys.executable, "-c", COMMANDS, json.dumps(words)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    shown, mixed, parted = (json.loads(line) for line in done.stdout.splitlines())
    assert shown["rows"] == 20 and shown["learned"] < shown["tokens"]
    assert mixed["tokens"] == 2 * shown["tokens"] == 2 * sum(parted["tokens"].values())
