"""What names a patient is found by kind and place, and goes; its text is nowhere but in the old file."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.data.privacy.checks import id_check_character, is_luhn_right
from appliance.data.privacy.clean import Cleaning, Wishes
from appliance.data.privacy.detector import Detector
from appliance.data.privacy.kinds import Found, Kind, merged
from appliance.data.privacy.made_up import made_up_notes
from appliance.data.privacy.measure import measure
from appliance.data.privacy.redact import Redactor
from appliance.data.privacy.surrogates import Surrogates
from appliance.errors import BadInput
from appliance.run.rows import Message, Row

STRUCTURED = set(Kind) - {Kind.NAME, Kind.ADDRESS}
NAMES_OF_OTHER_THINGS = """
帕金森病 克罗恩病 阿尔茨海默病 马凡综合征 白塞病 霍奇金淋巴瘤 唐氏综合征 梅尼埃病 贝尔麻痹 雷诺现象
库欣综合征 艾迪生病 桥本甲状腺炎 川崎病 高安动脉炎 马应龙麝香痔疮膏 云南白药 华法林 安宫牛黄丸 陈皮
黄芪 黄连 白术 甘草 金银花 车前子 马来酸氯苯那敏 阿莫西林 左氧氟沙星 高血压 高热 黄疸 白细胞
张口受限 肌张力 石膏固定 毛细支气管炎 范可尼综合征 雷公藤多苷 葛根汤 柴胡 龙胆泻肝丸 鲁米那 施万细胞瘤
"""
"""Diseases called after people, drugs, herbs, findings: written for this test, not taken from the rules."""


def found(text: str, **settings: object) -> list[tuple[str, str]]:
    """(kind, what stands there) of each finding."""
    detector = Detector(**settings)  # type: ignore[arg-type]
    return [(one.kind.value, text[one.start : one.end]) for one in detector.find(text)]


def row(*contents: str) -> Row:
    roles = ("user", "assistant") * len(contents)
    messages = tuple(Message(role, text) for role, text in zip(roles, contents, strict=False))  # type: ignore[arg-type]
    return Row(messages, "rows.json", "0" * 64, 1)


def test_the_check_character_is_that_of_the_standard() -> None:
    assert id_check_character("11010519491231002") == "X"  # GB 11643-1999, appendix
    assert is_luhn_right("79927398713")  # ISO/IEC 7812-1
    assert not is_luhn_right("79927398710")


def test_an_identity_number_is_found_beside_chinese_and_its_check_is_shown() -> None:
    right = Detector().find("身份证号11010519491231002X，已核对")
    wrong = Detector().find("身份证号110105194912310021，已核对")
    assert [(one.kind, one.check) for one in right] == [(Kind.ID, "passed")]
    assert [(one.kind, one.check) for one in wrong] == [(Kind.ID, "failed")]
    assert wrong[0].confidence < right[0].confidence


@pytest.mark.parametrize(
    ("text", "kind", "there"),
    [
        ("手机13812345678，", "mobile", "13812345678"),
        ("Tel.13812345678", "mobile", "13812345678"),
        ("出院日期.2023-04-20", "date", "2023-04-20"),
        ("致电+86 139-1234-5678。", "mobile", "+86 139-1234-5678"),
        ("电话１３８１２３４５６７８", "mobile", "１３８１２３４５６７８"),
        ("座机010-62345678转801", "landline", "010-62345678转801"),
        ("call (555) 234-5678 today", "landline", "(555) 234-5678"),
        ("住院号：ZY20230415", "record-number", "ZY20230415"),
        ("MRN: 0012345", "record-number", "0012345"),
        ("卡6222021234567890128入账", "bank-card", "6222021234567890128"),
        ("护照E12345678", "passport", "E12345678"),
        ("车牌京A·12345", "plate", "京A·12345"),
        ("邮箱zhang.wei@mail.example.cn。", "e-mail", "zhang.wei@mail.example.cn"),
        ("见https://pacs.example.cn/s/1，", "url", "https://pacs.example.cn/s/1"),
        ("微信：wxid_abc123", "account", "wxid_abc123"),
        ("2023年4月15日入院", "date", "2023年4月15日"),
        ("on March 3, 2021 she", "date", "March 3, 2021"),
        ("二〇二三年五月六日", "date", "二〇二三年五月六日"),
        ("享年92岁", "age", "92"),
        ("a 93-year-old man", "age", "93"),
        ("现住址：浙江省杭州市西湖区文三路12号3栋502室。", "address", "浙江省杭州市西湖区文三路12号3栋502室"),
        ("lives at 12 Old Mill Road, Leeds LS1 4AP.", "address", "12 Old Mill Road, Leeds LS1 4AP"),
        ("姓名：欧阳明德", "name", "欧阳明德"),
        ("患者于洋，男，34岁", "name", "于洋"),
        ("由其妻李淑芬陪同", "name", "李淑芬"),
        ("牧民阿依古丽·买买提", "name", "阿依古丽·买买提"),
        ("seen by Dr. Mary O'Connell in clinic", "name", "Mary O'Connell"),
    ],
)
def test_finds(text: str, kind: str, there: str) -> None:
    assert (kind, there) in found(text)


@pytest.mark.parametrize("word", NAMES_OF_OTHER_THINGS.split())
@pytest.mark.parametrize(
    "around", ["患者{}，继续治疗。", "诊断：{}。", "予{}口服，患者{}加重", "主任医师查房示：{}。"]
)
def test_a_disease_or_a_drug_is_no_name(word: str, around: str) -> None:
    assert found(around.replace("{}", word)) == []


@pytest.mark.parametrize(
    "text",
    [
        "血压180/110mmHg，心率76次/分",
        "国药准字H20051234",
        "pH 7.35，PaO2 85mmHg",
        "每次2片，连服14天",
        "Parkinson's disease, Hodgkin lymphoma, Foley catheter",
        "Glasgow Coma Scale 15, version 2021.3",
        "1990年代",
        "56岁",
    ],
)
def test_what_names_nobody_stays(text: str) -> None:
    assert found(text) == []


def test_a_day_that_no_calendar_has_is_no_date() -> None:
    assert found("2023-02-30") == [] and found("2023-02-28") == [("date", "2023-02-28")]


def test_names_of_the_site_are_found_wherever_they_stand() -> None:
    assert found("复查时提到能静婉一次", names=["能静婉"]) == [("name", "能静婉")]
    assert found("Annabel said Ann left", names=["Ann"]) == [("name", "Ann")]
    assert found("SEEN: ANN O'HARA", names=["Ann O'Hara"]) == [("name", "ANN O'HARA")]


@pytest.mark.parametrize(
    ("listed", "written"),
    [
        ("张伟", "张 伟"),
        ("张　伟", "张伟"),
        ("能静婉", "能静\r\n  婉"),
        ("Ann O'Hara", "ann  o’hara"),
        ("Ann O’Hara", "O'Hara,Ann"),
        ("阿依古丽·买买提", "阿依古丽.买买提"),
        ("阿依古丽·买买提", "阿依古丽 · 买买提"),
        ("阿依古丽·买买提", "阿依古丽买买提"),
    ],
)
def test_a_name_of_the_site_is_found_as_forms_and_lines_divide_it(listed: str, written: str) -> None:
    for before, behind in (("", ""), ("复查  时提到 ", "\n 一次"), ("see\n ", ", then\n\n")):
        assert found(before + written + behind, names=[listed]) == [("name", written)]


def test_letters_that_grow_in_lower_case_move_no_finding() -> None:
    assert found("İİİ and ſ then Ann left", names=["Ann", "sam"]) == [("name", "Ann")]


def test_a_long_list_of_names_and_a_long_text_are_searched_in_one_pass() -> None:
    names = [
        f"{first}{second}{third}"
        for first in "王李张刘陈杨赵"
        for second in "伟芳娜敏静丽强磊军洋" * 9
        for third in "一二三"
    ]
    text = "今日复查血常规，未见异常。" * 2000 + "能静婉" + "电话13812345678。" * 2000
    detector = Detector(names=[*names, "能静婉"])
    kinds = [one.kind for one in detector.find(text)]
    assert kinds.count(Kind.NAME) == 1 and kinds.count(Kind.MOBILE) == 2000


def test_record_numbers_of_the_site_have_its_own_form_and_a_bad_form_is_named() -> None:
    assert found("见 K77-1234", record_patterns=("K[0-9]{2}-[0-9]{4}",)) == [("record-number", "K77-1234")]
    with pytest.raises(BadInput, match=r"K\["):
        Detector(record_patterns=("K[",))


def test_of_findings_that_overlap_the_longest_stays() -> None:
    long, short = Found(Kind.ID, 0, 18, 0.6), Found(Kind.DATE, 6, 14, 0.9)
    assert merged([short, long]) == (long,)


def test_what_rules_find_of_made_up_notes_reaches_the_goals() -> None:
    notes = made_up_notes(1500, seed=7)
    alone = {one.kind: one for one in measure(notes)}
    listed = {one.kind: one for one in measure(notes, with_names=True)}
    assert all(alone[kind].there >= 15 for kind in Kind)
    assert {kind: alone[kind].recall for kind in STRUCTURED if alone[kind].recall < 0.99} == {}
    assert alone[Kind.NAME].recall >= 0.80 and listed[Kind.NAME].recall >= 0.95
    assert min(one.precision for one in alone.values()) >= 0.95


def test_measuring_counts_what_is_missed_and_what_is_wrong() -> None:
    notes = made_up_notes(300, seed=3)
    for note in notes:
        assert all(note.text[start:end] for _, start, end in note.truth)
    (names,) = [one for one in measure(notes) if one.kind is Kind.NAME]
    assert names.there == sum(len(note.names) for note in notes)


def test_every_row_is_masked_in_its_own_language_and_nothing_is_left() -> None:
    cleaning = Cleaning(Wishes(names=("张伟",)))
    rows = [
        row("患者张伟，男，56岁，手机13812345678", "请张伟复诊"),
        row("Mr. John Baker, MRN: 123456", "ok"),
    ]
    first, second = cleaning.through(rows)
    assert first.messages[0].content == "患者[姓名]，男，56岁，手机[电话]"
    assert first.messages[1].content == "请[姓名]复诊"
    assert second.messages[0].content == "Mr. [NAME], MRN: [RECORD NUMBER]"
    assert [(one.kind, one.found, one.rows, one.left) for one in cleaning.result().kinds] == [
        (Kind.NAME, 3, 2, 0),
        (Kind.MOBILE, 1, 1, 0),
        (Kind.RECORD, 1, 1, 0),
    ]


def test_false_values_are_the_same_for_the_same_and_dates_of_one_patient_move_together() -> None:
    redactor = Redactor(Detector(), dict.fromkeys(Kind, "replace"), Surrogates(b"k" * 32))
    text = "患者张伟，男，住院号：123456，2023年4月15日入院，2023-04-20出院"
    first, second = redactor.redact(row(text, "好")).row, redactor.redact(row(text, "好")).row
    other = redactor.redact(row(text.replace("123456", "654321"), "好")).row
    new = first.messages[0].content
    assert second == first and other.messages[0].content != new
    days = [int(new.split("年")[0][-4:]), *map(int, re.findall(r"(\d+)月(\d+)日", new)[0])]
    later = [int(part) for part in re.findall(r"(\d{4})-(\d{2})-(\d{2})", new)[0]]
    import datetime

    assert datetime.date(*later) - datetime.date(*days) == datetime.timedelta(5)
    assert "123456" not in new and "张伟" not in new and "2023-04-20" not in new


def test_false_numbers_cannot_be_real_ones() -> None:
    false = Surrogates(b"k" * 32)
    number = false.instead(Kind.ID, "11010519491231002X", "p") or ""
    assert len(number) == 18 and number[:2] == "00" and id_check_character(number[:17]) != number[17]
    card = false.instead(Kind.BANK_CARD, "6222021234567890128", "p") or ""
    assert len(card) == 19 and not is_luhn_right(card)
    assert (false.instead(Kind.MOBILE, "+86 138-1234-5678", "p") or "").startswith("+86 000-")
    assert (false.instead(Kind.LANDLINE, "010-62345678", "p") or "").startswith("000-")
    assert (false.instead(Kind.ID, "001-23-4567", "p") or "").startswith("000-")


@pytest.mark.parametrize(
    ("kind", "first", "others"),
    [
        (
            Kind.MOBILE,
            "13812345678",
            ["138 1234 5678", "+86 138-1234-5678", "１３８１２３４５６７８", "1381\n2345678"],
        ),
        (Kind.ID, "11010519491231002X", ["110105 19491231 002x", "110105-19491231-002X"]),
        (Kind.LANDLINE, "01062345678", ["010-62345678", "(010) 6234 5678"]),
        (Kind.RECORD, "ZY2023", ["zy-2023", "ZY 2023"]),
    ],
)
def test_one_number_has_one_false_number_however_it_is_written(
    kind: Kind, first: str, others: list[str]
) -> None:
    def digits(value: str) -> str:
        false = Surrogates(b"k" * 32).instead(kind, value, "p") or ""
        return "".join(re.findall("[0-9]", false.removeprefix("+86")))

    assert {digits(other) for other in others} == {digits(first)}


def test_one_person_has_one_false_name_however_it_is_written() -> None:
    def name(value: str) -> str:
        return Surrogates(b"k" * 32).instead(Kind.NAME, value, "p") or ""

    first, last = name("John Smith").split()
    assert name("Smith, John") == f"{last}, {first}" and name("SMITH, JOHN") == f"{last}, {first}".upper()
    assert name("Smith") == last and name("John") == first
    assert len({name("张伟"), name("张 伟"), name("张\n伟")}) == 1 and len(name("张 伟")) == 2
    assert name("José Álvarez").isascii() and " " in name("José Álvarez")


def test_thousands_of_people_keep_numbers_of_their_own_and_none_the_true_one() -> None:
    false = Surrogates(b"k" * 32)
    numbers = [f"138{at:08}" for at in range(2000)]
    assert len({false.instead(Kind.MOBILE, number, "p") for number in numbers}) > 1995
    assert all(false.instead(Kind.RECORD, f"{at}", "p") != f"{at}" for at in range(1000))


def test_all_dates_of_a_group_move_together_whatever_else_a_row_tells_of_it() -> None:
    redactor = Redactor(Detector(), dict.fromkeys(Kind, "replace"), Surrogates(b"k" * 32))

    def day(text: str, group: str = "") -> str:
        new = redactor.redact(replace(row(text, "好"), group=group)).row.messages[0].content
        return re.findall(r"\d{4}-\d{2}-\d{2}(?!\d)", new)[-1]

    texts = ("身份证110105 19491231 002X，2023-05-01入院", "检查号：77，2023-05-01", "2023-05-01复查")
    assert len({day(text, "g1") for text in texts}) == 1
    assert day(texts[0]) == day("身份证11010519491231002x，2023-05-01出院")


def test_another_key_gives_other_values() -> None:
    values = {Surrogates(bytes([at]) * 32).instead(Kind.RECORD, "ZY20230415", "p") for at in range(20)}
    assert len(values) == 20 and all(value and value.startswith("ZY") for value in values)


SECRETS = ("张伟", "13812345678", "ZY20230415", "2023年4月15日")


def privacy(*arguments: str | Path, answers: str = "") -> "subprocess.CompletedProcess[str]":
    code = "from appliance.cli import main; main()"
    command = [sys.executable, "-c", code, "data", "privacy", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, input=answers)


@pytest.fixture
def rows_file(tmp_path: Path) -> Path:
    item = {
        "instruction": "患者张伟，男，住院号：ZY20230415，手机13812345678，2023年4月15日入院",
        "output": "好",
    }
    file = tmp_path / "rows.json"
    file.write_text(
        json.dumps([item, {"instruction": "什么是高血压？", "output": "血压高。"}]), encoding="utf-8"
    )
    return file


def test_looking_shows_kinds_and_counts_and_never_what_was_found(rows_file: Path) -> None:
    before = rows_file.read_bytes()
    for arguments in ((rows_file,), (rows_file, "--json")):
        done = privacy(*arguments)
        assert done.returncode == 0 and not any(secret in done.stdout + done.stderr for secret in SECRETS)
    assert json.loads(done.stdout)["rows_with_identifiers"] == 1
    assert rows_file.read_bytes() == before and list(rows_file.parent.iterdir()) == [rows_file]


def test_new_rows_can_be_read_again_and_the_report_holds_no_text(rows_file: Path, tmp_path: Path) -> None:
    out, names = tmp_path / "clean.jsonl", tmp_path / "names.txt"
    names.write_text("张伟\n", encoding="utf-8")
    keep = ("--keep", "date", "the study needs them")
    done = privacy(rows_file, "--out", out, "--names", names, "--forget-names", *keep)
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "clean.jsonl.privacy.json").read_text(encoding="utf-8"))
    assert report["rows_in"] == report["rows_out"] + report["rows_refused"] == 2
    assert report["kept"] == [{"kind": "date", "reason": "the study needs them"}]
    assert not any(secret in json.dumps(report, ensure_ascii=False) for secret in SECRETS)
    text = out.read_text(encoding="utf-8")
    assert "2023年4月15日" in text and not any(secret in text for secret in SECRETS[:3])
    assert not names.exists() and out.stat().st_mode & 0o777 == 0o600
    again = privacy(out, "--json")
    assert [kind["kind"] for kind in json.loads(again.stdout)["identifiers"]] == ["date"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("李秀英\n张伟,男,45\n", "Line 2 of"),
        ("张伟\t13812345678\n", "Line 1 of"),
        ("姓名\n张伟\n", "Line 1 of"),
        ("Baker, John, m\n", "Line 1 of"),
        ("\n \n", "holds no name"),
    ],
)
def test_a_list_that_holds_more_than_names_is_refused_without_its_words(
    text: str, said: str, rows_file: Path, tmp_path: Path
) -> None:
    names = tmp_path / "names.txt"
    names.write_text(text, encoding="utf-8")
    done = privacy(rows_file, "--names", names)
    assert done.returncode == 6 and said in done.stderr and "next: " in done.stderr
    assert not any(word in done.stderr for word in ("张伟", "138", "Baker"))


def test_names_with_a_comma_a_number_or_one_letter_are_no_fault_of_a_list(
    rows_file: Path, tmp_path: Path
) -> None:
    names = tmp_path / "names.txt"
    names.write_text("Baker, John\n王芳之子1\n张\n张伟\n\n", encoding="gb18030")
    assert privacy(rows_file, "--names", names).returncode == 0


def test_what_a_person_objects_to_is_not_written(rows_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "clean.jsonl"
    done = privacy(rows_file, "--out", out, "--review", "1", answers="y\n")
    assert done.returncode == 6 and "next: " in done.stderr and not out.exists()
    done = privacy(rows_file, "--out", out, "--review", "1", answers="n\n")
    assert done.returncode == 0 and out.exists()


def test_a_row_that_is_looked_at_does_nothing_to_the_terminal(tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    asked = {"prompt": "谁？\u001b[8m隐\r去\u202e", "completion": "a\nb"}
    rows.write_text(json.dumps(asked), encoding="utf-8")
    done = privacy(rows, "--out", tmp_path / "clean.jsonl", "--review", "1", answers="n\n")
    assert "user: 谁？<U+001B>[8m隐<U+000D>去<U+202E>\nassistant: a\nb\n" in done.stderr


def test_nothing_is_written_over_and_nothing_into_a_folder_that_is_not_there(rows_file: Path) -> None:
    before = rows_file.read_bytes()
    for out in (rows_file, rows_file.parent / "gone/clean.jsonl"):
        done = privacy(rows_file, "--out", out, "--review", "1")
        assert done.returncode == 6 and "next: " in done.stderr and "Row 1" not in done.stdout + done.stderr
    assert rows_file.read_bytes() == before


def test_a_review_that_nobody_finishes_writes_nothing(rows_file: Path, tmp_path: Path) -> None:
    done = privacy(rows_file, "--out", tmp_path / "clean.jsonl", "--review", "1")
    assert done.returncode == 2 and "not all looked at" in done.stderr
    assert list(tmp_path.iterdir()) == [rows_file]


def test_for_scripts_the_answer_is_json_and_nothing_else(rows_file: Path, tmp_path: Path) -> None:
    done = privacy(rows_file, "--json", "--out", tmp_path / "clean.jsonl")
    assert json.loads(done.stdout)["rows"] == 2 and (tmp_path / "clean.jsonl").exists()
