"""What somebody meets who brings a hospital system's export and has read nothing: every answer leads on."""

import csv
import io
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from wcwidth import wcswidth

from appliance.cli import main
from appliance.data.canonical import read_rows
from appliance.locale import catalogue
from tests.workbooks import row, sheet, workbook

COLUMNS = ("患者问题", "医生答复", "科室", "病历号")
PHONE = "13800138000"  # nobody's: it stands in examples


def islet(*words: object, language: str = "en") -> Result:
    return CliRunner(env={"ISLET_LANG": language, "COLUMNS": "80"}).invoke(
        main, [str(word) for word in words], catch_exceptions=False
    )


def export(path: Path, *, names: tuple[str, ...] = COLUMNS, patients: int = 8) -> Path:
    """A table as a hospital system writes it: Chinese names, GB18030, `;`; every patient asks twice."""
    text = io.StringIO(newline="")
    table = csv.writer(text, delimiter=";")
    table.writerow(names)
    for number in range(patients * 2):
        patient = number % patients
        asked = f"第{number}问：电话{PHONE}，挂号在哪里办理？"
        table.writerow([asked, f"请到第{number}号窗口办理", "内科", f"ZY{patient:07}"])
    path.write_bytes(text.getvalue().encode("gb18030"))
    return path


@pytest.mark.parametrize("answer", ["医生答复", "医师回复", "医师答复（脱敏）"])
def test_what_hospital_systems_call_an_answer_is_known(tmp_path: Path, answer: str) -> None:
    path = export(tmp_path / "rows.csv", names=("患者问题", answer, "科室", "病历号"))
    done = islet("data", "check", path)
    assert done.exit_code == 0, done.output
    assert f"`{answer}` is the answer" in done.output.replace("\n", " ").replace("  ", " ")


def test_a_column_that_is_known_stands_in_the_example_of_what_to_type(tmp_path: Path) -> None:
    path = export(tmp_path / "rows.csv", names=("患者问题", "处理", "科室", "病历号"))
    assert "--column prompt=患者问题 --column response=NAME" in islet("data", "check", path).output
    path = export(tmp_path / "other.csv", names=("主诉", "医生答复", "科室", "病历号"))
    assert "--column prompt=NAME --column response=医生答复" in islet("data", "check", path).output


def test_rows_without_identifiers_still_split_by_patient(tmp_path: Path) -> None:
    path, clean, safe = (tmp_path / name for name in ("rows.csv", "clean.parquet", "safe.parquet"))
    done = islet("data", "clean", export(path), "--group", "病历号", "--out", clean)
    assert done.exit_code == 0, done.output
    assert islet("data", "privacy", clean, "--out", safe).exit_code == 0
    rows = read_rows(safe)
    assert len(rows) == 16 and all(PHONE not in each.messages[0].content for each in rows)
    done = islet("data", "split", safe, "--out", tmp_path / "sides", "--validation", "25%")
    assert "None of 8 groups is on two sides." in done.output
    sides = [{each.group for each in read_rows(tmp_path / "sides" / f"{name}.parquet")} for name in SIDES]
    assert "" not in sides[0] | sides[1] and not sides[0] & sides[1]
    assert b"ZY00" not in safe.read_bytes()


SIDES = ("train", "validation")


def test_privacy_knows_patients_by_a_column_too(tmp_path: Path) -> None:
    path, safe = tmp_path / "rows.csv", tmp_path / "safe.parquet"
    assert islet("data", "privacy", export(path), "--group", "病历号", "--out", safe).exit_code == 0
    assert len({each.group for each in read_rows(safe)}) == 8
    refused = islet("data", "privacy", path, "--group", "住院号", "--out", tmp_path / "other.parquet")
    assert refused.exit_code == 6 and "has no column `住院号`" in refused.output


@pytest.mark.parametrize("name", ["标注", "标注.csv", "标注.xls"])
def test_a_workbook_is_not_copied_to_a_name_that_excel_would_not_open(tmp_path: Path, name: str) -> None:
    rows = sheet(row(1, "患者问题", "医生答复"), row(2, "几楼？", "三楼西侧"))
    path = workbook(tmp_path / "rows.xlsx", {"问诊": rows})
    refused = islet("data", "check", path, "--annotate", tmp_path / name)
    assert refused.exit_code == 6
    assert "next: Give it a name that ends with .xlsx." in refused.output
    assert not (tmp_path / name).exists()
    assert islet("data", "check", path, "--annotate", tmp_path / "标注.XLSX").exit_code == 0


def test_a_data_set_that_is_named_like_a_file_is_told_how_it_is_named(tmp_path: Path) -> None:
    refused = islet("data", "show", "wenzhen@2")
    assert refused.exit_code == 6
    assert "write dataset:wenzhen@2" in refused.output
    said = islet("data", "show", "wenzhen", language="zh_CN").output
    assert "请写成 dataset:wenzhen；" in said


def test_the_sides_of_a_split_are_nouns_in_chinese() -> None:
    assert [catalogue("zh_CN").say(name) for name in ("train", "validation", "test")] == [
        "训练",
        "验证",
        "测试",
    ]


@pytest.mark.parametrize("group", [(), ("data",), ("runs",), ("audit",), ("roles",)])
def test_no_sentence_in_a_list_of_commands_is_cut(group: tuple[str, ...]) -> None:
    shown = islet(*group, "--help").output
    assert "..." not in shown.split("Commands:")[1]
    assert max(map(len, shown.splitlines())) <= 80


def test_the_commands_on_rows_stand_in_the_order_of_the_work() -> None:
    lines = islet("data", "--help").output.split("Commands:\n")[1].splitlines()
    names = [line.split()[0] for line in lines if line[2:3].strip()]
    assert names[:7] == ["check", "show", "clean", "privacy", "add", "list", "split"]


def test_a_data_set_is_told_with_the_commas_of_the_language_in_lines_that_fit(tmp_path: Path) -> None:
    (tmp_path / "state" / "datasets").mkdir(parents=True)
    place = ("--prefix", tmp_path / "opt", "--state", tmp_path / "state")
    words = (*place, "data", "add", "ward", export(tmp_path / "rows.csv"))
    said = islet(*words, language="zh_CN").output.splitlines()
    assert said[1].startswith("  16 条对话，")
    assert max(map(wcswidth, said)) <= 80
    shown = islet(*place, "data", "remove", "ward@1", "--reason", "x").stdout.splitlines()
    assert shown[1].startswith("  16 conversations, ") and shown[2].startswith("  SHA-256 ")


def test_rows_that_must_be_mended_come_with_the_way_to_find_them(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("患者问题,医生答复,科室,备注\n几楼？,,内科,无\n几点？,八点整,内科,无\n", encoding="utf-8")
    done = islet("data", "check", path)
    assert done.exit_code == 6 and "`--annotate COPY`" in done.output
    said = islet("data", "check", path, language="zh_CN").output
    assert "未读取：备注，科室" in said  # not the comma of English
