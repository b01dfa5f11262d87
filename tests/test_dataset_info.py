"""LLaMA-Factory's `dataset_info.json`: the same meaning, without its traps."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from appliance.cli import main
from appliance.data.read import Reading, read_files
from appliance.errors import BadInput
from appliance.run.plan import DataFile
from tests.test_data_shapes import assistant, gpt, human, said, turns, user, write

ALPACA = {"instruction": "a", "input": "b", "output": "c"}
TOLD = {"from": "observation", "value": "2"}


def read(folder: Path, entry: dict[str, Any], items: Any, **choice: Any) -> Reading:
    """The rows of one entry, whose file is `data.json`."""
    write(folder, items, "data.json")
    info = write(folder, {"set": {"file_name": "data.json", **entry}}, "dataset_info.json")
    return read_files([DataFile(str(info), dataset="set", **choice)])


def refused(folder: Path, entry: dict[str, Any]) -> BadInput:
    with pytest.raises(BadInput) as error:
        read(folder, entry, [ALPACA])
    return error.value


OPENAI_TAGS = {
    "role_tag": "role",
    "content_tag": "content",
    "user_tag": "user",
    "assistant_tag": "assistant",
    "system_tag": "system",
}
"""LLaMA-Factory's own example, which leaves out the tags of tools."""

GOOD: dict[str, tuple[dict[str, Any], dict[str, Any], list[tuple[str, ...]]]] = {
    "no more than a file": ({}, ALPACA, said("a\nb", "c")),
    "columns of another name": (
        {
            "columns": {
                "prompt": "q",
                "query": "d",
                "response": "r",
                "system": "s",
                "history": "h",
            }
        },
        {"q": "a", "d": "b", "r": "c", "s": "s", "h": [["x", "y"]]},
        [("system", "s"), *said("x", "y", "a\nb", "c")],
    ),
    "columns that it does not list keep their names": (
        {"columns": {"system": "sys"}},
        {**ALPACA, "sys": "s"},
        [("system", "s"), *said("a\nb", "c")],
    ),
    "a column that it sets to null is not read": (
        {"columns": {"prompt": "instruction", "query": None, "response": "output"}},
        ALPACA,
        said("a", "c"),
    ),
    "a column that it does not list and that has no usual name is not read": (
        {},
        {**ALPACA, "system": "s", "history": [["x", "y"]], "kto_tag": True},
        said("a\nb", "c"),
    ),
    "ShareGPT": (
        {"formatting": "sharegpt", "columns": {"messages": "conversations", "system": "system"}},
        {"conversations": [human("a"), gpt("b")], "system": "s"},
        [("system", "s"), *said("a", "b")],
    ),
    "ShareGPT with tags of its own": (
        {
            "formatting": "sharegpt",
            "columns": {"messages": "turns"},
            "tags": {"role_tag": "who", "content_tag": "what", "user_tag": "病人", "assistant_tag": "院方"},
        },
        {"turns": [{"who": "病人", "what": "a"}, {"who": "院方", "what": "b"}]},
        said("a", "b"),
    ),
    "ShareGPT with OpenAI's tags": (
        {"formatting": "sharegpt", "columns": {"messages": "messages"}, "tags": OPENAI_TAGS},
        {"messages": [user("a"), assistant("b")]},
        said("a", "b"),
    ),
    "OpenAI whose tags leave out those of tools": (
        {"formatting": "openai", "columns": {"messages": "messages"}, "tags": OPENAI_TAGS},
        {
            "messages": [
                user("a"),
                assistant("", tool_calls=[{"function": {"name": "f", "arguments": "{}"}}]),
                {"role": "tool", "content": "2"},
                {"role": "tool", "content": "3"},
                assistant("b"),
            ]
        },
        [("user", "a"), ("assistant", "", "f"), ("tool", "2"), ("tool", "3"), ("assistant", "b")],
    ),
}


@pytest.mark.parametrize(("entry", "item", "expected"), GOOD.values(), ids=GOOD.keys())
def test_reads_what_an_entry_says(
    tmp_path: Path, entry: dict[str, Any], item: dict[str, Any], expected: list[tuple[str, ...]]
) -> None:
    reading = read(tmp_path, entry, [item, item])
    assert reading.problems == ()
    assert [(row.kind, turns(row)) for row in reading.rows] == [("chat", expected)] * 2


def test_plain_text_is_named_as_a_prompt_without_an_answer(tmp_path: Path) -> None:
    reading = read(tmp_path, {"columns": {"prompt": "text"}}, [{"text": "一篇"}, {"text": ""}])
    assert [row.text for row in reading.rows] == ["一篇"]
    assert reading.problems[0].field == "text"
    assert reading.files[0].format == "text"


def test_a_ranked_entry_gives_pairs_and_nothing_else(tmp_path: Path) -> None:
    good = {"instruction": "a", "chosen": "好", "rejected": "坏"}
    bad = {"instruction": "a", "output": "c", "chosen": ["好"], "rejected": "坏"}
    columns = {"prompt": "instruction", "chosen": "chosen", "rejected": "rejected"}
    for entry in ({"ranking": True, "columns": columns}, {"ranking": True}):
        reading = read(tmp_path, entry, [good, bad, {"instruction": "a", "output": "c"}])
        assert [row.kind for row in reading.rows] == ["preference"]
        assert [(each.row, each.field) for each in reading.problems] == [(2, "chosen"), (3, "rejected")]


def test_a_ranked_entry_of_turns_gives_pairs(tmp_path: Path) -> None:
    item = {"conversations": [human("a"), gpt("b"), human("c")], "chosen": gpt("好"), "rejected": gpt("坏")}
    columns = {"messages": "conversations", "chosen": "chosen", "rejected": "rejected"}
    (row,) = read(tmp_path, {"formatting": "sharegpt", "ranking": True, "columns": columns}, [item]).rows
    assert turns(row) == said("a", "b", "c", "好")
    assert row.rejected is not None and row.rejected.content == "坏"


def test_an_entry_that_is_not_ranked_reads_no_pair_and_says_so(tmp_path: Path) -> None:
    columns = {"chosen": "chosen", "rejected": "rejected"}
    reading = read(tmp_path, {"columns": columns}, [{**ALPACA, "chosen": "x", "rejected": "y"}])
    assert [row.kind for row in reading.rows] == ["chat"]
    assert "`ranking` is not true: chosen and rejected are not read" in reading.files[0].notices


@pytest.mark.parametrize(("value", "label"), [(True, True), (1, True), ("false", False)])
def test_a_mark_is_read_as_what_it_says(tmp_path: Path, value: Any, label: bool) -> None:
    entry = {"columns": {"kto_tag": "mark"}}
    reading = read(tmp_path, entry, [{**ALPACA, "mark": value}, {**ALPACA, "mark": None}])
    assert [row.label for row in reading.rows] == [label]
    assert [(each.row, each.field) for each in reading.problems] == [(2, "mark")]


def test_rows_that_are_out_of_order_are_listed_by_their_numbers(tmp_path: Path) -> None:
    good, bad = {"conversations": [human("a"), gpt("b")]}, {"conversations": [human("a"), human("b")]}
    reading = read(tmp_path, {"formatting": "sharegpt"}, [good, bad, good, {"conversations": [human("a")]}])
    assert [row.row for row in reading.rows] == [1, 3]
    assert [each.row for each in reading.problems] == [2, 4]


def test_num_samples_takes_fewer_or_more_and_the_same_every_time(tmp_path: Path) -> None:
    items = [{"instruction": str(number), "output": "x"} for number in range(10)]
    few = read(tmp_path, {"num_samples": 4}, items)
    assert len(few.rows) == few.files[0].rows_in == 4 and few.files[0].left_out == 6
    assert read(tmp_path, {"num_samples": 4}, items).rows == few.rows
    many = read(tmp_path, {"num_samples": 25}, items)
    numbers = [row.row for row in many.rows]
    assert len(numbers) == 25 and set(numbers) == set(range(1, 11))
    assert {numbers.count(number) for number in set(numbers)} == {2, 3}


def test_a_folder_is_read_as_one_set(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    for name in ("1.json", "2.json"):
        write(tmp_path / "parts", [ALPACA], name)
    info = write(tmp_path, {"set": {"file_name": "parts"}}, "dataset_info.json")
    reading = read_files([DataFile(str(info), dataset="set")])
    assert len(reading.rows) == 2


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a hub": ({"hf_hub_url": "org/set"}, "it has the key `hf_hub_url`, and nothing here opens a connection"),
    "another hub": ({"ms_hub_url": "org/set"}, "`ms_hub_url`"),
    "a third": ({"om_hub_url": "org/set"}, "`om_hub_url`"),
    "a cloud": ({"cloud_file_name": "s3://x"}, "`cloud_file_name`"),
    "a script": ({"script_url": "make"}, "no code that comes with data is run"),
    "no file": ({"file_name": None}, "it has no `file_name`"),
    "a file above it": ({"file_name": "../data.json"}, "not outside"),
    "a file elsewhere": ({"file_name": "/etc/passwd"}, "not outside"),
    "the folder itself": ({"file_name": "."}, "not outside"),
    "a part of a file": ({"split": "train[:10]"}, "a file has only train"),
    "a number of samples that is none": ({"num_samples": 0}, "must be from 1 to"),
    "samples without end": ({"num_samples": 10**12}, "must be from 1 to 50,000,000"),
    "a column for what is no field": ({"columns": {"answer": "x"}}, "Invalid enum value 'answer'"),
    "a format that is none": ({"formatting": "chatml"}, "Invalid enum value 'chatml'"),
    "ranking in words": ({"ranking": "yes"}, "Expected `bool`, got `str`"),
}


@pytest.mark.parametrize(("entry", "why"), REFUSED.values(), ids=REFUSED.keys())
def test_refuses_an_entry_that_cannot_be_read_here_and_says_why(
    tmp_path: Path, entry: dict[str, Any], why: str
) -> None:
    assert why in refused(tmp_path, entry).why


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    write(tmp_path, [ALPACA], "secret.json")
    (inside / "link.json").symlink_to(tmp_path / "secret.json")
    assert "not outside" in refused(inside, {"file_name": "link.json"}).why


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert str(tmp_path / "none.json") in refused(tmp_path, {"file_name": "none.json"}).what


def test_what_changes_nothing_is_said(tmp_path: Path) -> None:
    reading = read(tmp_path, {"subset": "zh", "folder": "x", "load_from": "file"}, [ALPACA])
    assert reading.files[0].notices == (
        "entry `set`: `load_from` is not known and changes nothing",
        "`subset` is meant for a hub and changes nothing here",
        "`folder` is meant for a hub and changes nothing here",
    )


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
def test_an_entry_may_be_named_in_chinese_in_any_encoding(tmp_path: Path, encoding: str) -> None:
    write(tmp_path, [{"问": "a", "答": "b"}], "心内科.json")
    entry = {"file_name": "心内科.json", "columns": {"prompt": "问", "response": "答"}}
    info = tmp_path / "dataset_info.json"
    info.write_bytes(json.dumps({"心内科问答": entry}, ensure_ascii=False).encode(encoding))
    assert turns(read_files([DataFile(str(info), dataset="心内科问答")]).rows[0]) == said("a", "b")


def test_the_folder_will_do_and_one_entry_needs_no_name(tmp_path: Path) -> None:
    write(tmp_path, [ALPACA], "data.json")
    write(tmp_path, {"only": {"file_name": "data.json"}}, "dataset_info.json")
    assert len(read_files([DataFile(str(tmp_path))]).rows) == 1


def test_one_entry_of_several_must_be_named(tmp_path: Path) -> None:
    write(tmp_path, [ALPACA], "data.json")
    info = write(
        tmp_path, {"a": {"file_name": "data.json"}, "b": {"file_name": "data.json"}}, "dataset_info.json"
    )
    with pytest.raises(BadInput, match="several entries") as several:
        read_files([DataFile(str(info))])
    assert "its entries are a, b" in several.value.why and "--dataset a" in several.value.next_step
    with pytest.raises(BadInput, match="no entry `c`"):
        read_files([DataFile(str(info), dataset="c")])


@pytest.mark.parametrize(("text", "why"), [("[]", "no entries"), ("{", "no JSON"), ('{"a": 1}', "entry `a`")])
def test_what_is_no_list_of_entries_is_refused(tmp_path: Path, text: str, why: str) -> None:
    info = tmp_path / "dataset_info.json"
    info.write_text(text)
    with pytest.raises(BadInput) as error:
        read_files([DataFile(str(info), dataset="a")])
    assert why in error.value.why


def test_a_command_takes_the_entry_and_the_columns(tmp_path: Path) -> None:
    write(tmp_path, [{"病情": "a", "处理": "b"}], "data.json")
    write(tmp_path, {"a": {"file_name": "data.json"}, "b": {"file_name": "data.json"}}, "dataset_info.json")
    options = ["--dataset", "a", "--column", "prompt=病情", "--column", "response=处理"]
    done = CliRunner().invoke(main, ["data", "check", str(tmp_path), *options, "--json"])
    assert done.exit_code == 0, done.output
    (file,) = json.loads(done.stdout)["files"]
    assert (file["rows_out"], file["name"]) == (1, "data.json")


@pytest.mark.parametrize("column", ["prompt", "question=问题", "=问题"])
def test_a_column_option_that_names_no_field_is_a_wrong_usage(tmp_path: Path, column: str) -> None:
    path = write(tmp_path, [ALPACA], "data.json")
    done = CliRunner().invoke(main, ["data", "check", str(path), "--column", column])
    assert done.exit_code == 2
    assert "FIELD=NAME" in done.output
