"""The page on which a file is explained that does not explain itself: what it asks, and what comes of it."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from appliance.data.read import read_files
from appliance.errors import BadInput
from appliance.locale import catalogue
from appliance.run.plan import DataFile
from appliance.site.layout import Site
from appliance.training.looked import LookState
from appliance.wizard.desk import Desk
from appliance.wizard.draft import with_value
from appliance.wizard.flow import STEPS
from appliance.wizard.page import Facts, Page
from appliance.wizard.step import to_page
from appliance.wizard.steps.columns import COLUMNS
from tests.data_goods import workbook
from tests.test_look import LOOK

ZH = catalogue("zh_CN")
HIS = [
    {"住院号": "ZY00012345", "患者主诉": "咳嗽三天。", "处理意见": "多饮水，复查。"},
    {"住院号": "ZY00012346", "患者主诉": "头痛一周。", "处理意见": "测量血压。"},
]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    for folder in ("datasets", "runs", "exports"):
        (tmp_path / "state" / folder).mkdir(parents=True)
    (tmp_path / "opt" / "trust").mkdir(parents=True)
    desk = Desk(Site(tmp_path / "opt", tmp_path / "state"))
    yield desk
    desk.close()


def choose(desk: Desk, *paths: Path) -> Page:
    """The page about these files, once their first rows are read."""
    files = tuple(DataFile(str(path)) for path in paths)
    desk.keep(desk.changed(plan=with_value(desk.draft.plan, "data.train", files)))
    return shown(desk)


def shown(desk: Desk) -> Page:
    while (page := to_page(COLUMNS, desk)).level == "busy":
        time.sleep(0.01)
    return page


def answer(desk: Desk, field: str, value: str) -> Page:
    question = next(each for each in COLUMNS.questions if each.name == field)
    assert question.asked(desk)
    desk.keep(question.take(desk, value))
    return shown(desk)


def write(path: Path, rows: object) -> Path:
    path.write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")
    return path


def test_an_export_with_columns_of_its_own_is_read_after_two_answers(desk: Desk, tmp_path: Path) -> None:
    path = write(tmp_path / "his.json", HIS)
    page = choose(desk, path)
    assert page.private, "it shows rows"
    assert [field.name for field in page.fields] == ["prompt", "response"]
    assert next(action.why_not for action in page.actions if action.name == "next")
    options = page.fields[0].options
    assert [option.value for option in options] == ["住院号", "患者主诉", "处理意见"]
    assert [ZH.say(option.label) for option in options][1] == "患者主诉\t咳嗽三天。 | 头痛一周。"
    page = answer(desk, "prompt", "患者主诉")
    assert page.level == "info"
    page = answer(desk, "response", "处理意见")
    assert (page.level, page.verdict) == ("ok", "Every file is understood.")
    reading = read_files(desk.draft.plan.data.train)
    assert [row.answer for row in reading.rows] == ["多饮水，复查。", "测量血压。"]


def test_a_file_that_says_what_it_holds_shows_why_and_asks_nothing(desk: Desk, tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "儿科在几楼？"}, {"role": "assistant", "content": "三楼"}]
    page = choose(desk, write(tmp_path / "chat.json", [{"messages": turns}]))
    assert page.fields == ()
    (facts,) = page.blocks
    assert isinstance(facts, Facts)
    assert [fact.label for fact in facts.rows] == ["File", "Taken for"]
    assert "messages" in facts.rows[1].value
    assert not page.private


def test_columns_that_were_found_can_be_changed_and_back_keeps_them(desk: Desk, tmp_path: Path) -> None:
    rows = [{"question": "几楼？", "answer": "三楼", "short": "3"}]
    page = choose(desk, write(tmp_path / "rows.json", rows))
    assert [field.value for field in page.fields] == ["question", "answer"]
    answer(desk, "response", "short")
    assert [row.answer for row in read_files(desk.draft.plan.data.train).rows] == ["3"]
    again = Desk(desk.site)
    assert again.draft.plan.data.train[0].columns == {"response": "short"}, "it is on disk"
    again.close()


def test_question_and_answer_can_change_places_in_a_file_of_two_columns(desk: Desk, tmp_path: Path) -> None:
    choose(desk, write(tmp_path / "two.json", [{"甲": "三楼", "乙": "几楼？"}]))
    answer(desk, "prompt", "甲")
    answer(desk, "response", "乙")
    page = answer(desk, "prompt", "乙")
    assert [field.value for field in page.fields] == ["乙", "甲"]
    (row,) = read_files(desk.draft.plan.data.train).rows
    assert (row.messages[0].content, row.answer) == ("几楼？", "三楼")
    choose(desk, write(tmp_path / "half.json", [{"甲": "三楼", "乙": "几楼？"}]))
    answer(desk, "prompt", "甲")
    answer(desk, "response", "甲")
    assert desk.draft.plan.data.train[0].columns == {"response": "甲"}
    page = choose(desk, write(tmp_path / "found.json", [{"question": "三楼", "answer": "几楼？"}]))
    assert [field.value for field in page.fields] == ["question", "answer"]
    page = answer(desk, "response", "question")
    assert [field.value for field in page.fields] == ["answer", "question"]


def test_a_file_that_was_mended_is_looked_at_again(desk: Desk, tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_text("{", encoding="utf-8")
    assert choose(desk, path).level == "fail"
    write(path, [{"question": "几楼？", "answer": "三楼"}])
    assert "again" in [action.name for action in shown(desk).actions]
    COLUMNS.takes["again"](desk)
    assert shown(desk).level == "ok"


def test_a_workbook_with_several_sheets_is_asked_about_once(desk: Desk, tmp_path: Path) -> None:
    path = tmp_path / "his.xlsx"
    rows = [["question", "answer"], ["几楼？", "三楼"]]
    path.write_bytes(workbook({"门诊": rows, "住院": [["question", "answer"], ["几点？", "八点"]]}))
    page = choose(desk, path)
    assert [field.name for field in page.fields] == ["sheet"]
    assert [option.value for option in page.fields[0].options] == ["门诊", "住院"]
    page = answer(desk, "sheet", "住院")
    assert page.level == "ok"
    assert [row.answer for row in read_files(desk.draft.plan.data.train).rows] == ["八点"]


def test_an_entry_of_a_dataset_info_is_chosen_by_name(desk: Desk, tmp_path: Path) -> None:
    write(tmp_path / "a.json", [{"instruction": "几楼？", "output": "三楼"}])
    entries = {"wards": {"file_name": "a.json"}, "drugs": {"file_name": "none.json"}}
    page = choose(desk, write(tmp_path / "dataset_info.json", entries))
    assert [option.value for option in page.fields[0].options] == ["wards", "drugs"]
    page = answer(desk, "dataset", "drugs")
    assert page.level == "info", "its file is not there"
    page = answer(desk, "dataset", "wards")
    assert page.level == "ok"
    assert [row.answer for row in read_files(desk.draft.plan.data.train).rows] == ["三楼"]


def test_conversations_beside_a_pair_of_columns_are_asked_about(desk: Desk, tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "几楼？"}, {"role": "assistant", "content": "三楼"}]
    path = write(tmp_path / "both.json", [{"messages": turns, "question": "几点？", "answer": "八点"}])
    page = choose(desk, path)
    assert page.level == "info" and page.fields[0].name == "messages"
    page = answer(desk, "messages", "messages")
    assert page.level == "ok"
    assert [row.answer for row in read_files(desk.draft.plan.data.train).rows] == ["三楼"]
    answer(desk, "messages", "two columns")
    answer(desk, "prompt", "question")
    page = answer(desk, "response", "answer")
    assert page.level == "ok"
    assert [row.answer for row in read_files(desk.draft.plan.data.train).rows] == ["八点"]


def test_of_several_files_the_one_that_is_not_certain_comes_first(desk: Desk, tmp_path: Path) -> None:
    good = write(tmp_path / "good.json", [{"instruction": "几楼？", "output": "三楼"}])
    his = write(tmp_path / "his.json", HIS)
    page = choose(desk, good, his)
    assert (page.fields[0].name, page.fields[0].value) == ("file", str(his))
    assert "his.json" in page.verdict and "good.json" not in page.verdict


def test_what_cannot_be_read_at_all_is_said_with_what_to_do(desk: Desk, tmp_path: Path) -> None:
    path = tmp_path / "broken.json"
    path.write_text("[{]", encoding="utf-8")
    page = choose(desk, path)
    assert (page.level, page.fields) == ("fail", ())
    (facts,) = page.blocks
    assert isinstance(facts, Facts)
    assert [fact.label for fact in facts.rows] == ["What happened", "Why", "What to do"]


def test_the_check_leads_there_when_a_file_is_not_understood(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = BadInput("Not known.", why="two ways", next_step="Say which.")
    monkeypatch.setattr(desk, "look", lambda: LookState(error=error))
    page = to_page(STEPS["check"], desk)
    action = next(each for each in page.actions if each.name == "columns")
    assert action.default and not action.why_not
    assert STEPS["check"].takes["columns"](desk) == "columns"


def test_the_check_counts_what_else_was_found_and_says_how_to_see_it(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = msgspec.structs.replace(LOOK, problem_count=0, too_long=0, duplicates=0, conflicts=0)
    monkeypatch.setattr(desk, "look", lambda: LookState(look=found))
    page = to_page(STEPS["check"], desk)
    text = "\n".join(ZH.say(str(block)) for block in page.blocks)
    assert "--annotate" in text
    facts = {fact.label: fact for block in page.blocks if isinstance(block, Facts) for fact in block.rows}
    assert (facts["nearly the same row again"].value, facts["nearly the same row again"].level) == (
        "5 rows",
        "warn",
    )
    assert facts["Not read"].value == "note"
    assert page.level == "warn"
