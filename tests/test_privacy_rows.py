"""Rows of every kind lose their identifiers and nothing else, in whichever field one stands."""

import ast
import json
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.data.canonical import read_rows
from appliance.data.privacy import made_up
from appliance.data.privacy.clean import Cleaning, Review, Wishes, write_clean
from appliance.data.privacy.fields import json_field
from appliance.data.privacy.kinds import Kind
from appliance.data.privacy.spread import Spread
from appliance.data.read import read_file
from appliance.errors import BadInput, HostNotReady
from appliance.run.rows import Message, Problem, Row, ToolCall

SAID = "患者张伟，男，56岁，手机13812345678"
MASKED = "患者[姓名]，男，56岁，手机[电话]"
TOOLS = (
    '[{"type": "function", "function": {"name": "find_patient",  "description": "by name", "strict": true}}]'
)
SECRETS = ("张伟", "13812345678", "李秀英", "ZY00123456")


def row(*messages: Message, **fields: object) -> Row:
    return Row(messages, "rows.json", "0" * 64, 7, **fields)  # type: ignore[arg-type]


def cleaned(one: Row, **wishes: object) -> Row:
    (new,) = Cleaning(Wishes(**wishes)).through([one])  # type: ignore[arg-type]
    return new


def test_what_tools_are_asked_and_answer_is_searched_by_name_and_value() -> None:
    arguments = '{"姓名": "\\u5f20\\u4f1f",  "patientId": 8800123456, "bed": 12, "ok": true}'
    answer = '{"联系人": "李秀英", "电话": "13812345678", "血压": "120/80"}'
    new = cleaned(
        row(
            Message("user", "查一下"),
            Message("assistant", "", (ToolCall("find_patient", arguments),), learned=False),
            Message("tool", answer),
            Message("assistant", "找到了"),
            tools=TOOLS,
        )
    )
    call = new.messages[1].calls[0]
    asked = json.loads(call.arguments)
    assert call.name == "find_patient" and not new.messages[1].learned and new.tools == TOOLS
    assert asked == {"姓名": "[姓名]", "patientId": "[病历号]", "bed": 12, "ok": True}
    assert ',  "patientId": ' in call.arguments and '"bed": 12, "ok": true}' in call.arguments
    assert json.loads(new.messages[2].content) == {
        "联系人": "[姓名]", "电话": "[电话]", "血压": "120/80",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (
            row(Message("user", SAID), Message("assistant", "好"), rejected=Message("assistant", SAID)),
            row(Message("user", MASKED), Message("assistant", "好"), rejected=Message("assistant", MASKED)),
        ),
        (
            row(Message("user", "问"), Message("assistant", SAID, learned=False), label=False),
            row(Message("user", "问"), Message("assistant", MASKED, learned=False), label=False),
        ),
        (row(text=SAID, group="g7"), row(text=MASKED, group="g7")),
        (
            row(Message("user", "问"), Message("assistant", f"<think>{SAID}</think>")),
            row(Message("user", "问"), Message("assistant", f"<think>{MASKED}</think>")),
        ),
    ],
    ids=["preference", "label", "text", "thoughts"],
)  # fmt: skip
def test_every_kind_of_row_keeps_all_but_what_names_somebody(one: Row, expected: Row) -> None:
    assert cleaned(one) == replace(expected, steps=("identifiers masked",))
    assert cleaned(one, keep={Kind.NAME: "why", Kind.MOBILE: "why"}) == one


def test_a_row_that_names_nobody_is_the_same_row() -> None:
    one = row(
        Message("user", '{"血压": [120, 80],\n "note": "\\u6b63\\u5e38"}'),
        Message("assistant", "", (ToolCall("look", '{ "a" : 1.50 }'), ToolCall("look", "no JSON"))),
        Message("tool", "[1, 2]"),
        Message("assistant", "正常"),
        tools=TOOLS,
        label=True,
        steps=("columns renamed",),
    )
    assert cleaned(one) == one


def test_a_name_that_one_turn_shows_is_found_in_all_of_them() -> None:
    new = cleaned(row(Message("user", SAID), Message("assistant", "张伟的检查都正常，请复查。")))
    assert new.messages[1].content == "[姓名]的检查都正常，请复查。"
    new = cleaned(
        row(Message("user", "Seen by Dr. Mary Quillfeather."), Message("assistant", "Quillfeather agreed."))
    )
    assert new.messages[1].content == "[NAME] agreed."


def test_the_name_of_a_file_names_nobody_either() -> None:
    new = cleaned(replace(row(text="出院小结"), file="住院号ZY00123456.txt"))
    assert new.file == "住院号[病历号].txt"


def test_a_file_that_is_called_after_a_patient_is_not_in_any_row() -> None:
    for name, masked in (("张伟.txt", "[姓名].txt"), ("a/李秀英 CT.txt", "a/[姓名] CT.txt")):
        assert cleaned(replace(row(text="什么是高血压？"), file=name)).file == masked
    for name in ("高血压.json", "心内科问答.csv", "Ward.csv", "a/全科.xlsx"):
        assert cleaned(replace(row(text="什么是高血压？"), file=name)).file == name


def test_what_is_called_by_a_patients_name_in_a_document_is_masked() -> None:
    answer = '{"张伟": {"电话": "13812345678"},  "13912345678" : 1}'
    new = cleaned(row(Message("user", "谁"), Message("assistant", answer)), names=("张伟",))
    assert new.messages[1].content == '{"[姓名]": {"电话": "[电话]"},  "[电话]" : 1}'


def test_a_deep_or_broken_document_is_searched_as_it_stands() -> None:
    for text in ("[" * 100_000, '{"a": 1', '"13812345678"', "13812345678"):
        assert [leaf.value for leaf in json_field(text).leaves] == [text]
    field = json_field('{"a": {"phone": [13812345678, "x"]}, "b": "y"}')
    assert [(leaf.before, leaf.value) for leaf in field.leaves] == [
        ("", "a"), ("", "phone"), ("phone: ", "13812345678"), ("phone: ", "x"), ("", "b"), ("b: ", "y"),
    ]  # fmt: skip
    assert field.made_of(["a", "phone", "0", "x", "b", '"']) == '{"a": {"phone": [0, "x"]}, "b": "\\""}'
    new = field.made_of(["a", "tel", "012", "张", "b", "y"])
    assert new == '{"a": {"tel": ["012", "\\u5f20"]}, "b": "y"}'


@pytest.mark.parametrize("ending", ["parquet", "jsonl"])
def test_new_rows_of_every_kind_are_read_back_as_they_were_written(ending: str, tmp_path: Path) -> None:
    rows = [
        row(
            Message("user", SAID),
            Message("assistant", "查", (ToolCall("find_patient", '{"name": "李秀英"}'),), learned=False),
            Message("tool", "无"),
            Message("assistant", "好"),
            tools=TOOLS,
        ),
        row(Message("user", SAID), Message("assistant", "好"), rejected=Message("assistant", "不好")),
        row(Message("user", SAID), Message("assistant", "好"), label=True),
    ]  # fmt: skip
    for number, one in enumerate(rows):
        out = tmp_path / f"{number}.{ending}"
        done = write_clean(out, [one], Wishes(names=("李秀英",)), lambda _: Review(0, ()))
        assert not any(secret.encode() in out.read_bytes() for secret in SECRETS) and done.rows == 1
        (back,) = read_rows(out) if ending == "parquet" else read_file(out).rows
        expected = cleaned(one, names=("李秀英",))
        assert (back.messages, back.rejected, back.label) == (
            expected.messages,
            expected.rejected,
            expected.label,
        )
        assert (json.loads(back.tools) if back.tools else "") == (
            json.loads(expected.tools) if expected.tools else ""
        )


def test_rows_that_cannot_be_used_are_counted_and_what_a_person_says_stops_everything(tmp_path: Path) -> None:
    rows = [
        row(Message("user", SAID), Message("assistant", "好")),
        Problem("rows.json", 2, "output", "empty", ""),
    ]
    wishes, out = Wishes(looked_at=5), tmp_path / "new.jsonl"
    with pytest.raises(BadInput, match="1 of the rows"):
        write_clean(out, rows, wishes, lambda done: Review(len(done.sample), (done.sample[0][0],)))
    assert list(tmp_path.iterdir()) == []
    done = write_clean(out, rows, wishes, lambda done: Review(len(done.sample), ()))
    report = json.loads((tmp_path / "new.jsonl.privacy.json").read_text(encoding="utf-8"))
    assert (done.rows, done.refused, report["rows_in"], report["review"]["looked_at"]) == (1, 1, 2, 1)


def test_new_rows_do_not_stay_where_their_report_cannot_be_written(tmp_path: Path) -> None:
    out = tmp_path / f"{'x' * 235}.jsonl"  # a name that is too long once the report's ending stands behind it
    rows = [row(Message("user", SAID), Message("assistant", "好"))]
    with pytest.raises(HostNotReady, match="cannot be written"):
        write_clean(out, rows, Wishes(), lambda done: Review(0, ()))
    assert list(tmp_path.iterdir()) == []


def test_what_is_looked_at_is_spread_over_all_rows() -> None:
    for many in (0, 1, 7, 1000):
        spread = Spread[str](5)
        for number in range(1, many + 1):
            spread.add(number, "x")
        numbers = [number for number, _ in spread.taken(5)]
        assert len(numbers) == len(set(numbers)) == min(many, 5)
        assert many < 1000 or numbers[0] == 1 and numbers[-1] > 600
    nothing = Spread[str](0)
    nothing.add(1, "x")
    assert nothing.taken(5) == ()


def test_half_of_what_is_looked_at_had_nothing_that_was_found() -> None:
    def looked_at(named: int, others: int) -> list[bool]:
        cleaning = Cleaning(Wishes(looked_at=4))
        said = [SAID] * named + ["什么是高血压？"] * others
        for _ in cleaning.through([row(Message("user", each), Message("assistant", "好")) for each in said]):
            pass
        return [shown.messages[0].content == MASKED for _, shown in cleaning.result().sample]

    assert looked_at(9, 9) == [True, True, False, False]
    assert looked_at(1, 9) == [True, False, False, False]
    assert looked_at(9, 1) == [True, True, True, False]
    assert looked_at(1, 1) == [True, False] and looked_at(0, 0) == []


def test_the_generator_of_notes_shares_no_list_and_no_pattern_with_the_rules() -> None:
    folder = Path(made_up.__file__).parent
    rules = {path.stem for path in folder.glob("*.py")} - {"__init__", "made_up", "kinds", "measure", "clean"}
    assert not {f"{made_up.__package__}.{rule}" for rule in rules} & _imported(folder / "made_up.py")
    for rule in sorted(rules):
        assert made_up.__name__ not in _imported(folder / f"{rule}.py")
        assert "made_up.toml" not in (folder / f"{rule}.py").read_text(encoding="utf-8")
    assert "words.toml" not in (folder / "made_up.py").read_text(encoding="utf-8")


def _imported(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
