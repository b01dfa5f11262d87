"""`islet data check` and `clean`, as a person or a script gives them."""

import csv
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from appliance.cli import main
from appliance.data.canonical import read_rows
from appliance.data.checks.check import check_rows
from appliance.data.checks.clean import DROPPABLE, OF_A_MODEL, OF_A_VALIDATION, Wishes, write_clean
from appliance.data.checks.finding import KINDS
from appliance.data_commands.reading import Reader
from appliance.errors import BadInput
from appliance.run.plan import DataFile
from tests.tiny import tiny_model

SECRET = "慕容雪晴"


def islet(*arguments: object, language: str = "en") -> Result:
    return CliRunner(env={"ISLET_LANG": language, "COLUMNS": "80"}).invoke(
        main, ["data", *map(str, arguments)], catch_exceptions=False
    )


def table(path: Path, *rows: tuple[str, str]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("prompt", "completion"), *rows])
    return path


@pytest.fixture
def faulty(tmp_path: Path) -> Path:
    """Two good rows, the first again, a clash, one that is cut off, one that refuses, one that is empty."""
    return table(
        tmp_path / "rows.csv",
        (f"{SECRET}在几楼？", "三楼西侧病房"),
        ("药房几点开门？", "早上八点整"),
        (f"{SECRET}在几楼？", "三楼西侧病房"),
        ("药房几点开门？", "中午十二点半"),
        ("住院要带什么？", "请带好身份证、"),
        ("我该吃什么药？", "抱歉，我无法提供医疗建议。"),
        ("挂号在哪里？", ""),
    )


def test_a_row_that_must_be_mended_sets_the_exit_code(tmp_path: Path, faulty: Path) -> None:
    good = table(tmp_path / "good.csv", ("药房几点开门？", "早上八点整"), ("挂号在哪里？", "一楼大厅"))
    assert islet("check", good).exit_code == 0
    assert islet("check", faulty).exit_code == 6
    warned = table(
        tmp_path / "warned.csv", ("药房几点开门？", "早上八点整"), ("药房几点开门？", "早上八点整")
    )
    assert islet("check", warned).exit_code == 0
    assert islet("check", warned, "--strict").exit_code == 6
    noted = table(
        tmp_path / "noted.csv",
        *((f"{n}号床呼叫铃不响时应当怎么办理？", "请按墙上的红色按钮。") for n in (1, 2)),
    )
    result = islet("check", noted, "--strict")
    assert "other-numbers" in result.stdout and result.exit_code == 0


def test_the_table_names_codes_counts_rows_and_fixes(faulty: Path) -> None:
    lines = [line.rstrip() for line in islet("check", faulty).stdout.splitlines()]
    assert lines[1].split() == ["rows.csv", "pairs", "(detected)", "utf-8", "7", "6", "1"]
    told = {
        line.split()[2]: line.split()[:2] for line in lines if line.split()[:1] in (["REFUSED"], ["warning"])
    }
    assert told == {
        "unusable": ["REFUSED", "1"],
        "conflicts": ["warning", "2"],
        "exact-duplicates": ["warning", "1"],
        "cut-off": ["warning", "1"],
        "refusals": ["warning", "1"],
    }
    assert "  rows.csv, row 8, completion: is empty (write it, or delete the row)" in lines
    assert "  rows.csv, row 4: is the same as row 2" in lines
    assert "exact-duplicates: delete one: `islet data clean --drop exact-duplicates`" in lines


def test_as_many_rows_are_shown_as_were_asked_for(tmp_path: Path) -> None:
    same = table(tmp_path / "rows.csv", *(("几点开门？", "早上八点整"),) * 9)
    assert islet("check", same, "--show", 3).stdout.count("is the same as row 2") == 3
    assert "and 5 more; --show and --json list more" in islet("check", same, "--show", 3).stdout
    assert islet("check", same, "--show", 100).stdout.count("is the same as row 2") == 8
    assert islet("check", same, "--show", 0).stdout.count("is the same as row 2") == 0


def test_json_has_every_finding_in_english_and_no_words_of_a_row(faulty: Path) -> None:
    result = islet("check", faulty, "--json", language="zh_CN")
    told: dict[str, Any] = json.loads(result.stdout)
    assert result.exit_code == 6
    assert (told["rows_in"], told["rows"], told["worst"]) == (7, 6, "refused")
    assert told["counts"] == {
        "unusable": 1,
        "conflicts": 2,
        "exact-duplicates": 1,
        "cut-off": 1,
        "refusals": 1,
    }
    assert len(told["findings"]) == 6
    assert told["findings"][0] == {
        "code": "unusable",
        "severity": "refused",
        "file": "rows.csv",
        "row": 8,
        "field": "completion",
        "what": "is empty",
        "fix": "write it, or delete the row",
    }
    assert {each["code"] for each in told["findings"]} <= KINDS.keys()
    assert SECRET not in result.stdout
    assert told["files"][0]["sha256"]


def test_json_of_rows_without_a_fault_is_json(tmp_path: Path) -> None:
    good = table(tmp_path / "good.csv", ("药房几点开门？", "早上八点整"))
    assert json.loads(islet("check", good, "--json").stdout)["findings"] == []


def test_nothing_found_is_said_with_what_that_does_not_mean(tmp_path: Path) -> None:
    good = table(tmp_path / "good.csv", ("药房几点开门？", "早上八点整"))
    assert "not whether an answer is right" in islet("check", good).stdout
    assert "不能判断回答是否正确" in islet("check", good, language="zh_CN").stdout


def test_the_copy_is_in_the_language_of_the_command(tmp_path: Path, faulty: Path) -> None:
    for language, title, remark in (
        ("en", "islet check", "REFUSED: completion: is empty (write it, or delete the row)"),
        ("zh_CN", "检查结果", "不可用：completion：为空（请填写，或删除该行）"),
    ):
        out = tmp_path / f"{language}.csv"
        assert islet("check", faulty, "--annotate", out, language=language).exit_code == 6
        rows = list(csv.reader(out.read_text(encoding="utf-8-sig").splitlines()))
        assert (rows[0][2], rows[7][2], rows[2][2] == "") == (title, remark, False)
        assert rows[1][2] == ""
        assert SECRET not in "".join(row[2] for row in rows)


def test_several_files_have_no_one_copy(tmp_path: Path, faulty: Path) -> None:
    result = islet("check", faulty, faulty, "--annotate", tmp_path / "out.csv")
    assert result.exit_code == 2 and "one FILE" in result.stderr


def test_validation_rows_that_are_trained_are_told(tmp_path: Path, faulty: Path) -> None:
    held = table(tmp_path / "held.csv", ("药房几点开门", "八点"), ("化验在哪里？", "二楼"))
    result = islet("check", faulty, "--validation", held)
    assert "held.csv, row 2, the question: is the question of row 3 of rows.csv too" in result.stdout


def test_a_clean_file_has_what_the_report_does_not_list(tmp_path: Path, faulty: Path) -> None:
    out = tmp_path / "out.parquet"
    result = islet("clean", faulty, "--out", out)
    assert result.exit_code == 0
    rows = read_rows(out)
    report = json.loads((tmp_path / "out.parquet.clean.json").read_text(encoding="utf-8"))
    assert [row.row for row in rows] == [2, 3, 5, 6, 7]
    assert report["dropped"] == [
        {"file": "rows.csv", "row": 4, "codes": ["exact-duplicates"]},
        {"file": "rows.csv", "row": 8, "codes": ["unusable"], "field": "completion", "what": "is empty"},
    ]
    assert report["rows_in"] == 7 == report["rows_out"] + len(report["dropped"])
    assert SECRET not in json.dumps(report, ensure_ascii=False)
    assert (tmp_path / "out.parquet.clean.json").stat().st_mode & 0o777 == 0o600
    told = json.loads(islet("check", out, "--json").stdout)
    assert "exact-duplicates" not in told["counts"]


def test_what_is_left_out_is_chosen_and_a_row_with_two_faults_is_listed_once(tmp_path: Path) -> None:
    rows = table(
        tmp_path / "rows.csv",
        ("药房几点开门？", "抱歉，我无法回答、"),
        ("药房几点开门？", "早上八点整"),
        ("药房几点开门？", "早上八点整"),
    )
    out = tmp_path / "out.jsonl"
    islet("clean", rows, "--out", out, "--drop", "refusals, cut-off")
    report = json.loads((tmp_path / "out.jsonl.clean.json").read_text(encoding="utf-8"))
    assert report["dropped"] == [{"file": "rows.csv", "row": 2, "codes": ["cut-off", "refusals"]}]
    assert (report["rows_in"], report["rows_out"]) == (3, 2)
    assert len(out.read_text(encoding="utf-8").splitlines()) == 2


def test_with_nothing_to_drop_all_usable_rows_stay(tmp_path: Path, faulty: Path) -> None:
    islet("clean", faulty, "--out", tmp_path / "out.parquet", "--drop", "")
    assert len(read_rows(tmp_path / "out.parquet")) == 6


def test_marks_and_thoughts_are_mended_and_the_row_says_so(tmp_path: Path) -> None:
    rows = table(
        tmp_path / "rows.csv",
        ("<|im_start|>几楼？", "<think>想</think>三楼<|im_end|>"),
        ("几点？", "八点"),
        ("几号？", "<|im_end|>"),
        ("<|im_start|>", "三号"),
    )
    out = tmp_path / "out.parquet"
    islet("clean", rows, "--out", out, "--mend", "template-marks,thinking-mixed")
    first, second = read_rows(out)
    assert [turn.content for turn in first.messages] == ["几楼？", "三楼"]
    assert first.steps[-2:] == ("control tokens removed", "thoughts removed")
    assert not {"control tokens removed", "thoughts removed"} & set(second.steps)
    report = json.loads((tmp_path / "out.parquet.clean.json").read_text(encoding="utf-8"))
    assert [each["row"] for each in report["mended"]] == [2]
    assert report["dropped"] == [{"file": "rows.csv", "row": row, "codes": ["empty"]} for row in (4, 5)]
    assert report["rows_in"] == report["rows_out"] + len(report["dropped"])


def test_of_rows_that_say_the_same_one_without_another_fault_stays(tmp_path: Path) -> None:
    asked = "反复上腹部疼痛伴恶心呕吐三天，既往有胃溃疡病史十年，长期服用奥美拉唑，下一步应该如何处理？"
    said = "建议完善胃镜检查，继续抑酸治疗，注意饮食，避免辛辣刺激食物，定期复查，如有黑便及时就诊"
    rows = table(
        tmp_path / "rows.csv",
        (asked, f"{said}，"),  # cut off: another stands for it
        (asked, f"{said}。"),
        (asked, f"{said}。"),
        (asked, f"{said}！"),
        (asked, f"{said}："),
        ("几楼？", "三楼"),
    )
    out = tmp_path / "out.parquet"
    islet("clean", rows, "--out", out, "--drop", "cut-off,near-duplicates,exact-duplicates")
    assert [row.row for row in read_rows(out)] == [3, 7]
    report = json.loads((tmp_path / "out.parquet.clean.json").read_text(encoding="utf-8"))
    assert {each["row"]: each["codes"] for each in report["dropped"]} == {
        2: ["cut-off"],
        4: ["exact-duplicates"],
        5: ["near-duplicates"],
        6: ["cut-off", "near-duplicates"],
    }


def test_near_duplicates_are_left_out_whatever_the_validation_has(tmp_path: Path) -> None:
    asked = "反复上腹部疼痛伴恶心呕吐三天，既往有胃溃疡病史十年，长期服用奥美拉唑，{}下一步应该如何处理？"
    rows = table(
        tmp_path / "rows.csv",
        *((asked.format(each), "完善胃镜检查，继续抑酸治疗。") for each in ("", "请问", "那么", "他的")),
        ("几楼？", "三楼"),
    )
    held = table(tmp_path / "held.csv", (asked.format(""), "完善胃镜检查，继续抑酸治疗。"))
    out = tmp_path / "out.parquet"
    words = ("--drop", "leakage,near-duplicates", "--validation", held)
    assert islet("clean", rows, "--out", out, *words).exit_code == 0
    assert [row.row for row in read_rows(out)] == [3, 6]
    report = json.loads((tmp_path / "out.parquet.clean.json").read_text(encoding="utf-8"))
    assert [each["codes"] for each in report["dropped"]] == [["leakage"], *[["near-duplicates"]] * 2]


def test_trained_rows_that_the_validation_has_are_left_out_of_the_trained_ones(tmp_path: Path) -> None:
    rows = table(tmp_path / "rows.csv", ("药房几点开门？", "八点"), ("挂号在哪里？", "一楼大厅"))
    held = table(tmp_path / "held.csv", ("药房几点开门", "八点整"), ("化验在哪里？", "二楼"))
    out = tmp_path / "out.parquet"
    islet("clean", rows, "--out", out, "--drop", "leakage", "--validation", held)
    assert [(row.file, row.row) for row in read_rows(out)] == [("rows.csv", 3)]
    report = json.loads((tmp_path / "out.parquet.clean.json").read_text(encoding="utf-8"))
    assert report["dropped"] == [{"file": "rows.csv", "row": 2, "codes": ["leakage"]}]


def test_rows_of_a_file_that_changes_after_the_check_are_not_left_out_by_what_it_found(
    tmp_path: Path,
) -> None:
    path = table(tmp_path / "rows.csv", ("一", "甲"), ("一", "甲"), ("二", "乙"))
    rows = Reader([DataFile(str(path))])
    checked = check_rows(rows)
    table(path, ("二", "乙"), ("三", "丙"), ("一", "甲"))
    with pytest.raises(BadInput, match="changed while they were read"):
        write_clean(tmp_path / "new.jsonl", rows, checked, 0, Wishes())
    assert [each.name for each in tmp_path.iterdir()] == ["rows.csv"]


@pytest.mark.parametrize("command", ["clean", "privacy"])
def test_where_no_row_can_be_used_nothing_is_written_and_it_is_said(tmp_path: Path, command: str) -> None:
    source = tmp_path / "rows.jsonl"
    source.write_text('{"messages": [{"role": "user", "content": "问"}]}\n', encoding="utf-8")
    done = islet(command, source, "--out", tmp_path / "out.parquet")
    assert done.exit_code == 6
    assert done.stderr.splitlines()[0] == "islet: No row is left to write."
    assert [path.name for path in tmp_path.iterdir()] == ["rows.jsonl"]


def test_clean_writes_over_nothing_and_knows_its_codes(tmp_path: Path, faulty: Path) -> None:
    out = tmp_path / "out.parquet"
    (tmp_path / "out.parquet.clean.json").write_text("{}")
    result = islet("clean", faulty, "--out", out)
    assert result.exit_code == 6 and "is there already" in result.stderr
    assert not out.exists()
    wrong = islet("clean", faulty, "--out", tmp_path / "b.parquet", "--drop", "typos")
    assert wrong.exit_code == 2 and "near-duplicates" in wrong.stderr
    assert islet("clean", faulty, "--out", tmp_path / "b.parquet", "--mend", "empty").exit_code == 2


@pytest.mark.parametrize(
    ("option", "codes", "missing"),
    [
        ("--drop", "empty,too-long", "--model"),
        ("--mend", "control-tokens", "--model"),
        ("--drop", "near-leakage", "--validation"),
    ],
)
def test_what_cannot_be_found_is_not_left_out_in_silence(
    tmp_path: Path, faulty: Path, option: str, codes: str, missing: str
) -> None:
    result = islet("clean", faulty, "--out", tmp_path / "out.parquet", option, codes)
    assert result.exit_code == 2 and f"found only with {missing}" in result.stderr
    assert not (tmp_path / "out.parquet").exists()


@pytest.mark.slow
def test_rows_are_measured_in_the_tokens_of_the_model_that_is_named(tmp_path: Path) -> None:
    rows = table(tmp_path / "rows.csv", ("几楼？", "三楼" * 80), ("几点？", "八点"))
    code = "from appliance.cli import main; main()"
    command = ["data", "check", rows, "--model", tiny_model(), "--max-tokens", "64", "--json"]
    done = subprocess.run([sys.executable, "-c", code, *map(str, command)], capture_output=True, timeout=900)
    told = json.loads(done.stdout)
    assert done.returncode == 6
    assert [each["row"] for each in told["findings"] if each["code"] == "too-long"] == [2]
    assert told["spread"]["unit"] == "tokens"


@pytest.mark.parametrize(("language", "grave"), [("en", "REFUSED"), ("zh_CN", "不可用")])
def test_no_line_is_wider_than_a_terminal_of_80_columns(faulty: Path, language: str, grave: str) -> None:
    result = islet("check", faulty, language=language)
    assert grave in result.stdout
    assert all(width_of(line) <= 80 for line in result.stdout.splitlines())


def width_of(line: str) -> int:
    from wcwidth import wcswidth

    return int(wcswidth(line))


@pytest.mark.parametrize("seed", range(6))
def test_rows_in_are_rows_out_and_rows_listed_whatever_is_dropped_or_mended(
    tmp_path: Path, seed: int
) -> None:
    pick = random.Random(seed)
    words = [
        "几楼？",
        "三楼",
        "<|im_end|>",
        "<think>想</think>",
        "抱歉，我无法回答。",
        "5",
        "，",
        "",
        "八点整开门。",
        "N/A",
    ]
    made = [tuple("".join(pick.choices(words, k=pick.randint(0, 3))) for _ in range(2)) for _ in range(60)]
    rows = table(tmp_path / "rows.csv", *made)  # type: ignore[arg-type]
    there = {number for number, cells in enumerate(made, start=2) if any(cell.strip() for cell in cells)}
    found = [code for code in DROPPABLE if code not in (*OF_A_MODEL, *OF_A_VALIDATION)]
    drop = pick.sample(found, pick.randint(0, len(found)))
    mend = pick.sample(["template-marks", "thinking-mixed"], pick.randint(0, 2))
    out = tmp_path / "out.parquet"
    islet("clean", rows, "--out", out, "--drop", ",".join(drop), "--mend", ",".join(mend))
    report = json.loads((tmp_path / "out.parquet.clean.json").read_text(encoding="utf-8"))
    kept, left_out = [row.row for row in read_rows(out)], [each["row"] for each in report["dropped"]]
    assert sorted(kept + left_out) == sorted(there)
    assert (report["rows_in"], report["rows_out"]) == (len(there), len(kept))
    again = json.loads(islet("check", out, "--json").stdout)["counts"]
    if "template-marks" in mend:
        assert "template-marks" not in again
    if "exact-duplicates" in drop and not mend:
        assert "exact-duplicates" not in again


@pytest.mark.parametrize("name", ["e\x1b[31mvil.csv", "a\nb.csv", "a\u202evsc.csv"])
def test_a_name_of_a_file_that_acts_on_the_terminal_is_refused_and_does_nothing(
    name: str, tmp_path: Path
) -> None:
    rows = table(tmp_path / name, ("几楼？", "三楼"))
    for words in (("check", rows), ("mix", rows, "--check"), ("privacy", rows)):
        done = islet(*words)
        assert done.exit_code == 6 and "cannot be shown" in done.output
        assert not {"\x1b", "\u202e"} & set(done.output) and "a\nb" not in done.output
    assert islet("check", table(tmp_path / "问答　2023.csv", ("几楼？", "三楼"))).exit_code == 0
