"""Rows in = rows out + rows reported, whatever a file holds: a part of `python -m tests.data_fuzz`."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.data.read import read_file
from appliance.errors import ApplianceError
from tests.data_fuzz import spoilt_files
from tests.data_goods import GOODS, ROWS, WRITERS, Good, answer, question

FILES = 300

NAMES = st.sampled_from(
    ["instruction", "output", "messages", "conversations", "role", "content", "from", "value", "text", "x"]
)
VALUES: Any = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=8,
)


@pytest.mark.parametrize("container", WRITERS)
def test_every_good_file_is_read_whole(container: str, tmp_path: Path) -> None:
    for good in GOODS:
        if good.container != container:
            continue
        path = tmp_path / good.name
        path.write_bytes(good.write(good.items()))
        reading = read_file(path)
        assert [str(problem) for problem in reading.problems] == [], good
        assert len(reading.rows) == ROWS, good
        for number, row in enumerate(reading.rows, start=1):
            text = row.text or "\n".join(turn.content for turn in row.messages)
            assert question(number) in text and answer(number) in text, good


def test_a_spoilt_file_ends_in_rows_and_reports_or_in_an_error_for_people() -> None:
    outcomes, wrong = spoilt_files(0, FILES)
    assert wrong == []
    assert set(outcomes) == {"read", "read with problems", "refused"}


@settings(
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(items=st.lists(VALUES, min_size=1, max_size=5), lines=st.booleans())
def test_any_json_at_all_is_read_or_reported_item_by_item(
    tmp_path: Path, items: list[Any], lines: bool
) -> None:
    path = tmp_path / "rows.json"
    good = {"instruction": "儿科在几楼？", "output": "三楼"}
    all_items = [good, *items]
    text = "\n".join(map(json.dumps, all_items)) if lines else json.dumps(all_items)
    path.write_text(text, encoding="utf-8")
    try:
        reading = read_file(path, format="alpaca")
    except ApplianceError as error:
        pytest.fail(f"refused as a whole: {error}")
    assert len(reading.rows) + len(reading.problems) == len(all_items)
    assert reading.rows[0].answer == "三楼"


@pytest.mark.parametrize("spoilt", [{"from": "gpt", "value": "x"}, "null", 1, [1]])
def test_a_first_row_that_is_spoilt_says_nothing_of_the_others(spoilt: Any, tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    for shape in ("sharegpt", "messages", "messages pairs"):
        items = Good(shape, "json").items()
        items[0]["conversations" if shape == "sharegpt" else "messages"] = spoilt
        path.write_text(json.dumps(items), encoding="utf-8")
        reading = read_file(path)
        assert [problem.row for problem in reading.problems] == [1], shape


def test_a_ranked_entry_may_name_an_answer_that_its_file_does_not_have(tmp_path: Path) -> None:
    entry = {
        "file_name": "rows.json",
        "ranking": True,
        "columns": {
            "prompt": "instruction",
            "response": "output",
            "chosen": "chosen",
            "rejected": "rejected",
        },
    }
    row = {"instruction": "儿科在几楼？", "chosen": "三楼", "rejected": "不知道"}
    (tmp_path / "rows.json").write_text(json.dumps([row]), encoding="utf-8")
    (tmp_path / "dataset_info.json").write_text(json.dumps({"rows": entry}), encoding="utf-8")
    reading = read_file(tmp_path / "dataset_info.json")
    assert [(each.kind, each.answer) for each in reading.rows] == [("preference", "三楼")]


@pytest.mark.parametrize(
    "entry",
    [
        {"file_name": "\ud800"},
        {"file_name": "\0"},
        {"file_name": "a" * 5000},
        {"file_name": "rows.json", "formatting": "\ud800"},
        {"file_name": "rows.json", "columns": []},
        "\ud800",
    ],
)
def test_an_entry_with_anything_in_it_is_refused_by_an_error_for_people(entry: Any, tmp_path: Path) -> None:
    (tmp_path / "rows.json").write_text("[]", encoding="utf-8")
    (tmp_path / "dataset_info.json").write_text(json.dumps({"rows": entry}), encoding="utf-8")
    with pytest.raises(ApplianceError):
        read_file(tmp_path / "dataset_info.json")


def test_a_column_of_turns_that_is_null_in_an_entry_keeps_its_usual_name(tmp_path: Path) -> None:
    rows = [{"conversations": [{"from": "human", "value": "几楼？"}, {"from": "gpt", "value": "三楼"}]}]
    entry = {"file_name": "rows.json", "formatting": "sharegpt", "columns": {"messages": None}}
    (tmp_path / "rows.json").write_text(json.dumps(rows), encoding="utf-8")
    (tmp_path / "dataset_info.json").write_text(json.dumps({"rows": entry}), encoding="utf-8")
    assert [row.answer for row in read_file(tmp_path / "dataset_info.json").rows] == ["三楼"]
