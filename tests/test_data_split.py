"""Splitting: no question and no patient on two sides, the same rows every time, each side its share."""

import csv
import json
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.cli import main
from appliance.data.beside import Column, Groups
from appliance.data.canonical import read_rows
from appliance.data.read import stream
from appliance.data.split import Index, Parted, Side, Wanted, part, quotas, split_held_out
from appliance.data.tally import Tally
from appliance.errors import BadInput
from appliance.run.plan import DataFile
from appliance.run.rows import Message, Row
from tests.workbooks import number, sheet, workbook
from tests.workbooks import row as row_of_sheet

PATIENT = "病历号-889-canary"


def row(question: str, answer: str = "x", *, group: str = "", number: int = 1, text: str = "") -> Row:
    turns = () if text else (Message("user", question), Message("assistant", answer))
    return Row(turns, "a", "a" * 64, number, text=text, group=group)


def parted(
    rows: Sequence[Row],
    seed: int = 1,
    *,
    by_answer: bool = False,
    validation: Wanted | None = None,
    test: Wanted | None = None,
) -> Parted:
    index = Index(
        seed, (lambda each: each.answer) if by_answer else (lambda each: ""), lambda each: len(each.answer)
    )
    for each in rows:
        index.add(each)
    wanted: dict[Side, Wanted] = {}
    if validation:
        wanted["validation"] = validation
    if test:
        wanted["test"] = test
    return part(index, wanted)


def sides(rows: Sequence[Row], found: Parted) -> dict[str, set[Side]]:
    """What each question and each group came to lie on."""
    lie: dict[str, set[Side]] = {}
    for place, each in enumerate(rows):
        for name in (f"q {each.question}{each.text}", *([f"g {each.group}"] if each.group else [])):
            lie.setdefault(name, set()).add(found.side_of(place))
    return lie


def test_three_sides_have_the_rows_that_were_wanted() -> None:
    rows = [row(str(number)) for number in range(1000)]
    found = parted(rows, validation=Wanted(share=0.1), test=Wanted(rows=50))
    assert found.rows == {"train": 850, "validation": 100, "test": 50}
    assert found.tokens == {"train": 850, "validation": 100, "test": 50}
    assert len(found.sides) == 1000


@pytest.mark.parametrize(("share", "total", "rows"), [(0.29, 100, 29), (0.333, 1000, 333), (0.1, 19, 1)])
def test_a_share_is_of_so_many_rows_as_it_says(share: float, total: int, rows: int) -> None:
    assert Wanted(share=share).of(total) == rows


def test_a_question_that_differs_in_marks_or_the_systems_prompt_alone_is_on_one_side() -> None:
    rows = []
    for at in range(40):
        rows += [row(f"第{at}个问题，怎么办？"), row(f"第{at}个问题 怎么办")]
        turns = Message("system", "你是医生。"), *row(f"第{at}个问题怎么办?").messages
        rows.append(Row(turns, "a", "a" * 64, 1))
    found = parted(rows, validation=Wanted(share=0.3))
    assert found.bundles == 40 and found.rows["validation"] == 36
    for at in range(0, len(rows), 3):
        assert len({found.side_of(at + each) for each in range(3)}) == 1
    train, held_out = split_held_out(rows, 0.3, seed=3)
    words = [
        {"".join(filter(str.isalnum, row.question[-1].content)) for row in side} for side in (train, held_out)
    ]
    assert held_out and not words[0] & words[1]


def test_the_same_rows_in_any_order_and_others_by_another_seed() -> None:
    rows = [row(str(number)) for number in range(300)]
    chosen = {
        rows[at].question for at, side in enumerate(parted(rows, validation=Wanted(rows=30)).sides) if side
    }
    turned = rows[::-1]
    again = {
        turned[at].question
        for at, side in enumerate(parted(turned, validation=Wanted(rows=30)).sides)
        if side
    }
    other = {
        rows[at].question for at, side in enumerate(parted(rows, 2, validation=Wanted(rows=30)).sides) if side
    }
    assert chosen == again != other


def test_each_side_has_its_share_of_every_answer() -> None:
    rows = [
        row(f"{answer}{n}", answer)
        for answer, count in (("阴性", 900), ("阳性", 90), ("待查", 10))
        for n in range(count)
    ]
    found = parted(rows, by_answer=True, validation=Wanted(rows=100), test=Wanted(rows=100))
    assert found.strata == {
        "阴性": {"train": 720, "validation": 90, "test": 90},
        "阳性": {"train": 72, "validation": 9, "test": 9},
        "待查": {"train": 8, "validation": 1, "test": 1},
    }


def test_texts_are_told_apart_by_what_they_say() -> None:
    rows = [row("", text=f"text {number % 20}") for number in range(40)]
    found = parted(rows, validation=Wanted(share=0.5))
    assert found.rows["validation"] == 20
    assert all(len(each) == 1 for each in sides(rows, found).values())


@given(
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, 6)), min_size=4, max_size=80),
    st.integers(0, 3),
    st.sampled_from([0.1, 0.25, 0.4]),
)
@settings(max_examples=80, deadline=None)
def test_no_question_and_no_patient_is_ever_parted(
    pairs: list[tuple[int, int]], seed: int, share: float
) -> None:
    rows = [row(f"q{q}", group=f"p{p}" if p else "", number=at) for at, (q, p) in enumerate(pairs)]
    try:
        found = parted(rows, seed, validation=Wanted(share=share), test=Wanted(rows=1))
    except BadInput:
        return  # everything hangs together
    assert all(len(each) == 1 for each in sides(rows, found).values())
    assert found.rows["train"] > 0
    assert found.rows["validation"] <= max(1, share * len(rows)) and found.rows["test"] <= 1
    assert sum(found.rows.values()) == len(rows)
    train, held = split_held_out(rows, share, seed=seed)
    assert not {each.group for each in train if each.group} & {each.group for each in held}
    assert not {each.question for each in train} & {each.question for each in held}


def test_patients_tie_questions_together_over_many_rows() -> None:
    # a-b share a question, b-c a patient, c-d a question: all four hang together, whatever the order.
    chain = [row("1", group="p1"), row("1", group="p2"), row("2", group="p2"), row("2", group="p3")]
    rows = [*chain, *(row(f"other {n}") for n in range(36))]
    for seed in range(20):
        found = parted(rows, seed, validation=Wanted(rows=10))
        assert len({found.side_of(at) for at in range(4)}) == 1
    assert found.bundles == 37


def test_says_when_more_rows_are_wanted_than_there_are() -> None:
    rows = [row(str(number)) for number in range(10)]
    for validation, test in ((Wanted(rows=11), None), (Wanted(share=0.5), Wanted(rows=5))):
        with pytest.raises(BadInput, match="Nothing would be left to train"):
            parted(rows, validation=validation, test=test)


def test_says_when_what_hangs_together_leaves_nothing() -> None:
    rows = [row("the same", str(number)) for number in range(10)]
    with pytest.raises(BadInput, match="No row can go to validation"):
        parted(rows, validation=Wanted(share=0.2))


@pytest.mark.parametrize(
    ("number", "sizes", "expected"),
    [
        (10, [900, 90, 10], [9, 1, 0]),
        (3, [1, 1, 1], [1, 1, 1]),
        (2, [1, 1, 1], [1, 1, 0]),
        (0, [5], [0]),
        (7, [3, 11], [2, 5]),
    ],
)
def test_shares_out_whole_numbers(number: int, sizes: list[int], expected: list[int]) -> None:
    # By hand, after the method of the largest remainder.
    assert quotas(number, sizes) == expected


# --- by files -----------------------------------------------------------------------------------


def ward(folder: Path, name: str = "ward.csv", *, patients: int = 40, column: str = "patient") -> Path:
    """Four questions of each patient; an answer is one of two."""
    path = folder / name
    with path.open("w", encoding="utf-8", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["question", "answer", column])
        for patient in range(patients):
            for visit in range(4):
                lines.writerow(
                    [
                        f"{name} 问 {patient}/{visit}？",
                        "阳性" if visit == 0 else "阴性",
                        f"{PATIENT}-{patient}",
                    ]
                )
    return path


def islet(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def patients_of(path: Path) -> set[str]:
    """Patients whose question is in a file that was written."""
    return {each.messages[-2].content.split()[2].split("/")[0] for each in read_rows(path)}


def test_no_patient_is_on_two_sides_of_a_split_file(tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ("--validation", "20%", "--test", 16, "--group", "patient", "--by", "answer")
    done = islet("data", "split", ward(tmp_path), "--out", out, *words)
    assert done.exit_code == 0, done.output
    files = {name: out / f"{name}.parquet" for name in ("train", "validation", "test")}
    assert {name: len(read_rows(path)) for name, path in files.items()} == {
        "train": 112,
        "validation": 32,
        "test": 16,
    }
    found = [patients_of(path) for path in files.values()]
    assert sum(map(len, found)) == len(set().union(*found)) == 40
    for path in files.values():
        assert PATIENT.encode() not in path.read_bytes()
        assert path.stat().st_mode & 0o777 == 0o600
    assert PATIENT not in done.output
    *table, written = done.output.splitlines()
    assert written == f"Written: {out}"
    assert max(map(len, table)) <= 80


def test_a_patient_is_the_same_over_files_and_named_by_nothing_that_tells_whom(tmp_path: Path) -> None:
    first, second = ward(tmp_path, "a.csv", patients=3), ward(tmp_path, "b.csv", patients=3)
    again = []
    for _ in range(2):
        column = Column("patient")
        groups = Groups(column)
        found: dict[str, set[str]] = {}
        for path in (first, second):
            file = DataFile(str(path))
            column.open(file)
            for each in groups.through(stream(file)):
                assert isinstance(each, Row)
                found.setdefault(each.question[0].content.split()[2].split("/")[0], set()).add(each.group)
        again.append(found)
    assert again[0] == again[1] and {len(names) for names in found.values()} == {1}
    assert len(set().union(*found.values())) == 3
    assert all(len(name) == 16 and name.isalnum() for names in found.values() for name in names)


def test_two_files_of_one_name_keep_their_own_patients(tmp_path: Path) -> None:
    column = Column("patient")
    rows = []
    for at, folder in enumerate((tmp_path / "x", tmp_path / "y")):
        folder.mkdir()
        path = folder / "ward.json"
        path.write_text(json.dumps([{"instruction": f"q{at}", "output": "a", "patient": f"p{at}"}]))
        file = DataFile(str(path))
        column.open(file)
        rows += [each for each in stream(file) if isinstance(each, Row)]
    assert [column.of(each) for each in rows] == ["p0", "p1"]


def test_a_patient_whose_number_a_spreadsheet_lost_is_no_patient_of_all_such_rows(tmp_path: Path) -> None:
    lines = [
        row_of_sheet(at, f"问 {at}", "答", number(f"C{at}", str(110101199003070000 + at))) for at in (2, 3, 4)
    ]
    last = row_of_sheet(5, "问 5", "答", "住院-5")
    path = workbook(tmp_path / "ward.xlsx", {"a": sheet(row_of_sheet(1, "问题", "回答", "号"), *lines, last)})
    refused = islet("data", "convert", path, "--out", tmp_path / "rows.parquet", "--group", "号")
    assert refused.exit_code == 6 and "3 of 4 rows cannot be used" in refused.output
    assert "号: is a number of more than 15 digits" in refused.output
    assert not (tmp_path / "rows.parquet").exists()
    words = ("--group", "号", "--max-bad-share", "0.8")
    assert islet("data", "convert", path, "--out", tmp_path / "rows.parquet", *words).exit_code == 0
    (kept,) = read_rows(tmp_path / "rows.parquet")
    assert kept.row == 5 and kept.group


def test_a_number_in_powers_of_ten_is_no_patient_of_all_such_rows_of_a_csv(tmp_path: Path) -> None:
    path = tmp_path / "ward.csv"
    numbers = ["4.30102E+17", "4.30102E+17", "1.23457e+011", "4.5", "ZY00１", "zy 001", "E+12"]
    path.write_text(
        "号,问题,答案\n" + "".join(f"{each},问{at}？,答\n" for at, each in enumerate(numbers)),
        encoding="utf-8",
    )
    words = ("--group", "号", "--max-bad-share", "0.5")
    done = islet("data", "convert", path, "--out", tmp_path / "rows.parquet", *words)
    assert done.exit_code == 0 and "row 2, 号: is a number in powers of ten" in done.output
    kept = read_rows(tmp_path / "rows.parquet")
    assert [each.row for each in kept] == [5, 6, 7, 8] and all(each.group for each in kept)
    assert kept[1].group == kept[2].group and len({each.group for each in kept}) == 3


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--group", "nobody", "--validation", "10"], "has no column `nobody`"),
        (["--validation", "0"], "is no number of rows"),
        (["--validation", "100%"], "is no number of rows"),
        (["--validation", "x"], "is no number of rows"),
        ([], "--validation"),
        (["--validation", "10", "--by", "column:nobody"], "has no column `nobody`"),
    ],
)
def test_refuses_to_split(words: list[str], said: str, tmp_path: Path) -> None:
    done = islet("data", "split", ward(tmp_path), "--out", tmp_path / "out", *words)
    assert done.exit_code in (2, 6) and said in done.output
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_split_that_is_ended_leaves_no_row_behind(number: signal.Signals, tmp_path: Path) -> None:
    path = ward(tmp_path, patients=5000)
    words = ("data", "split", str(path), "--out", str(tmp_path / "out"), "--validation", "10%")
    with subprocess.Popen([sys.executable, "-m", "appliance.cli", *words]) as child:
        while not list(tmp_path.glob(".out.*")):
            assert child.poll() is None
            time.sleep(0.005)
        child.send_signal(number)
    assert child.returncode == 128 + number
    assert list(tmp_path.iterdir()) == [path]


def test_rows_of_nobody_are_told_where_others_are_of_somebody(tmp_path: Path) -> None:
    path = ward(tmp_path)
    with path.open("a", encoding="utf-8") as file:
        file.write("ward.csv 问 x？,阴性,\nward.csv 问 y？,阴性, \n")
    words = (path, "--out", tmp_path / "out", "--validation", "25%", "--check")
    assert "  rows of no group: 2\n" in islet("data", "split", *words, "--group", "patient").output
    assert "no group" not in islet("data", "split", *words).output


def test_json_names_kinds_and_files_and_no_answer_and_nobody(tmp_path: Path) -> None:
    path, options = ward(tmp_path), ("--validation", "25%", "--check", "--json")
    found = {
        by: json.loads(islet("data", "split", path, "--out", tmp_path / "out", "--by", by, *options).stdout)
        for by in ("file", "answer", "column:patient")
    }
    assert {by: list(each["by"])[:2] for by, each in found.items()} == {
        "file": ["ward.csv"],
        "answer": ["1", "2"],
        "column:patient": ["1", "2"],
    }
    assert found["answer"]["by"] == {
        "1": {"train": 30, "validation": 10, "test": 0},
        "2": {"train": 90, "validation": 30, "test": 0},
    }
    assert len(found["column:patient"]["by"]) == 40 and PATIENT not in json.dumps(found)


def test_a_file_that_changes_while_it_is_split_is_not_split(tmp_path: Path) -> None:
    first, second = ward(tmp_path), ward(tmp_path, "other.csv")
    tally = Tally()
    read = [each for path in (first, second) for each in stream(DataFile(str(path)))]
    assert len(list(tally.through(read[:160]))) == len(list(tally.again(read[:160]))) == 160
    with pytest.raises(BadInput, match="changed while they were read"):
        list(tally.again(read[160:]))


def test_shows_what_would_come_out_and_writes_nothing(tmp_path: Path) -> None:
    done = islet(
        "data",
        "split",
        ward(tmp_path),
        "--out",
        tmp_path / "out",
        "--validation",
        "0.25",
        "--check",
        "--json",
    )
    assert json.loads(done.output)["rows"] == {"train": 120, "validation": 40, "test": 0}
    assert not (tmp_path / "out").exists()
