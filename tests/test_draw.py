"""Blocks as lines of a terminal: none is wider than it may be, all can be read without colour."""

import random
import tomllib
from pathlib import Path

import pytest
from wcwidth import wcswidth

from appliance.errors import StepFailed
from appliance.locale import LANGUAGES, Catalogue, Language, catalogue
from appliance.sentence import say
from appliance.wizard.cells import fold, shorten, visible, wrap
from appliance.wizard.chart import number_text
from appliance.wizard.draw import failure, mark, text_lines
from appliance.wizard.page import (
    Bar,
    Block,
    Chart,
    Fact,
    Facts,
    Heading,
    Histogram,
    Level,
    Paragraph,
    Piece,
    Preview,
    Series,
    Table,
    Verbatim,
)
from appliance.wizard.spoken import spoken

EN = catalogue("en")
FALLING = Series("training", "*", ((1, 2.5), (2, 1.5), (3, 0.5)))
HELD_OUT = Series("held-out", "o", ((1, 2.5), (3, 1.5)))

BLOCKS: dict[str, Block] = {
    "paragraph": Paragraph(
        "本机的所有数据都不会离开。Nothing leaves this machine, and nothing is sent anywhere."
    ),
    "paragraph with a mark": Paragraph("磁盘空间不足，请先清理旧的训练任务，" * 4, "warn"),
    "heading": Heading("关于所选模型 About the model that was selected for this training run"),
    "facts": Facts(
        (
            Fact("签名", "2026.11, 214 files checked", "ok"),
            Fact(
                "Disk",
                "82 GB 可用；200 GB 建议用于 14B 模型",
                "fail",
                "Too little 空间。" * 6,
                "删除旧任务。" * 6,
            ),
            Fact("A label that is longer than anybody would expect it to be", "value"),
            Fact("", "x" * 200),
        )
    ),
    "table": Table(
        ("Model", "参数规模", "Note"),
        (("Qwen2.5-7B-Instruct", "7.6 B", "fits"), ("通义千问" * 8, "14.8 B", "说明" * 30)),
        frozenset({1}),
    ),
    "table of many columns": Table(tuple(f"column {n}" for n in range(12)), (("值",) * 12,)),
    "bar": Bar("第 412 步，共 1,290 步", 412, 1290, "about 11:13, in 1 h 03, 3,400 tokens/s 词元每秒"),
    "bar of unknown length": Bar("Reading 读取中", 3, 0, "3 行" * 30),
    "chart": Chart("损失 Loss", (FALLING, HELD_OUT)),
    "empty chart": Chart("Loss", (Series("训练" * 30, "*", ()),)),
    "histogram": Histogram("长度（词元）", (("0-256", 2104), ("类别" * 40, 1), ("over", 0))),
    "preview": Preview(
        "第一行 First row",
        (Piece("system: 你是助手。\n" + "很长的病历，" * 90, False), Piece("诊断\u202e：" * 90, True)),
    ),
    "verbatim": Verbatim(("FROM ./model.gguf", "SYSTEM " + "仅供草稿" * 40)),
    "failure": failure(StepFailed("It broke " * 9, why="because " * 30, next_step="do " * 60)),
}


def lines_of(block: Block, *, width: int = 78, plain: bool = True, language: Language = "en") -> list[str]:
    return text_lines(block, catalogue(language), width=width, plain=plain)


@pytest.mark.parametrize("name", BLOCKS)
@pytest.mark.parametrize("width", (40, 78, 118))
@pytest.mark.parametrize("language", LANGUAGES)
def test_no_line_is_wider_than_asked(name: str, width: int, language: Language) -> None:
    for plain in (True, False):
        for line in lines_of(BLOCKS[name], width=width, plain=plain, language=language):
            assert 0 <= wcswidth(line) <= width, line
    for line in spoken(BLOCKS[name], catalogue(language), width=width):
        assert 0 <= wcswidth(line) <= width, line


@pytest.mark.parametrize("seed", range(20))
def test_text_of_any_characters_stays_within_its_width(seed: int) -> None:
    chance = random.Random(seed)
    spans = (
        (0x20, 0x530),
        (0x900, 0xE00),
        (0x2000, 0x3100),
        (0x4E00, 0x4E80),
        (0xAC00, 0xAC80),
        (0xFE00, 0x10000),
        (0x1F000, 0x1FB00),
    )
    everything = [code for first, end in spans for code in range(first, end)]
    text = visible("".join(chr(chance.choice(everything)) for _ in range(400)))
    for lines in (wrap(text, 24), fold(text, 24), [shorten(text, 24)]):
        assert all(0 <= wcswidth(line) <= 24 for line in lines)


def test_wrapping_loses_nothing_but_spaces() -> None:
    text = "患者，男，58 岁，因“胸痛 3 小时”入院。 Given aspirin 300 mg at once; sent to the (cath) lab!"
    assert "".join(wrap(text, 20)).replace(" ", "") == text.replace(" ", "")


def test_lines_of_chinese_begin_with_no_closing_mark() -> None:
    assert wrap("你好，世界，再见", 4) == ["你", "好，", "世", "界，", "再见"]
    assert wrap("见（附录）一", 4) == ["见", "（附", "录）", "一"]


def test_words_are_kept_whole_where_they_fit() -> None:
    assert wrap("one two three", 7) == ["one two", "three"]
    assert wrap("abcdefghij", 4) == ["abcd", "efgh", "ij"]


def test_what_acts_on_a_terminal_is_written_out() -> None:
    assert visible("a\x1b[31mb\u202ec\u200bd\r\n\te") == "a<U+001B>[31mb<U+202E>c<U+200B>d\n    e"


@pytest.mark.parametrize("language", LANGUAGES)
def test_marks_are_six_cells_of_no_colour(language: Language) -> None:
    levels: tuple[Level, ...] = ("ok", "warn", "fail", "busy", "info")
    marks = [mark(level, catalogue(language)) for level in levels]
    assert [wcswidth(each) for each in marks] == [6] * 5
    assert len(set(marks)) == 5
    assert marks[0] == {"en": "[ OK ]", "zh_CN": "[正常]"}[language]


def test_text_is_never_read_as_markup() -> None:
    text = "[bold]not bold[/bold] :smile: [link=x]"
    for block in (Paragraph(text), Heading(text), Table((text,), ((text,),)), Verbatim((text,))):
        assert text in lines_of(block)


def test_facts_stand_in_columns_with_what_to_do_below() -> None:
    facts = Facts(
        (Fact("Bundle", "signature valid", "ok"), Fact("磁盘", "82 GB", "fail", "Too small.", "Free some."))
    )
    assert lines_of(facts) == [
        "[ OK ] Bundle  signature valid",
        "[FAIL] 磁盘    82 GB",
        "               Why: Too small.",
        "               To do: Free some.",
    ]


def test_facts_without_states_have_no_column_for_them() -> None:
    assert lines_of(Facts((Fact("Data", "rows.csv"), Fact("Plan", "Balanced")))) == [
        "Data  rows.csv",
        "Plan  Balanced",
    ]


def test_numbers_of_a_table_stand_right_under_wide_headers() -> None:
    table = Table(("Model", "参数"), (("小模型", "7 B"), ("big", "1,432 B")), frozenset({1}))
    assert lines_of(table) == ["Model      参数", "小模型      7 B", "big     1,432 B"]


def test_a_table_that_cannot_fit_is_told_row_by_row() -> None:
    table = Table(
        ("Name", "Before", "After", "Change", "Verdict"),
        (("form", "62 percent", "97 percent", "up by 35", "is better"),),
    )
    assert lines_of(table, width=35) == [
        "Name: form",
        "  Before: 62 percent",
        "  After: 97 percent",
        "  Change: up by 35",
        "  Verdict: is better",
    ]


def test_a_bar_says_its_share_and_never_rounds_up() -> None:
    assert lines_of(Bar("Step 999 of 1,000", 999, 1000, "ends 11:13"), width=60) == [
        "Step 999 of 1,000  [###################.]   99 %  ends 11:13",
    ]
    assert lines_of(Bar("", 5, 5)) == [f"[{'#' * 38}]  100 %"]


@pytest.mark.parametrize(("done", "total"), ((3.0, 0.0), (float("nan"), 5.0), (1.0, float("inf"))))
def test_a_bar_whose_end_nobody_knows_only_says_that_work_goes_on(done: float, total: float) -> None:
    assert lines_of(Bar("Reading", done, total, "3 rows")) == ["Reading  [ .. ]  3 rows"]


def test_a_chart_in_marks() -> None:
    assert lines_of(Chart("Loss", (FALLING, HELD_OUT), rows=5), width=16)[-6:] == [
        " 2.50 |o",
        "      |",
        " 1.50 |    *   o",
        "      |",
        " 0.50 |        *",
        "       1       3",
    ]


def test_a_chart_in_dots_draws_the_densest_curve_and_marks_the_other() -> None:
    lines = lines_of(Chart("Loss", (HELD_OUT, FALLING)), plain=False)
    assert [line.split()[:2] for line in lines[:3]] == [["Loss"], ["o", "held-out"], ["⠒⠒", "training"]]
    assert sum("o" in line.partition("|")[2] for line in lines[3:-1]) == 2
    diagonal = Chart("", (Series("t", "*", ((0, 1.0), (1, 0.0))),), rows=2)
    # 8 columns and 2 rows are 16 by 8 dots; a straight line goes down one dot every two.
    assert lines_of(diagonal, width=15, plain=False)[-3:] == [
        " 1.00 |⠉⠒⠤⣀",
        " 0.00 |    ⠉⠒⠤⣀",
        "       0      1",
    ]


def test_a_chart_says_its_facts_in_words() -> None:
    words = lines_of(Chart("Loss", (FALLING,)))
    assert words[0] == "Loss   * training 0.500 at step 3, lowest 0.500 at step 3"
    chinese = lines_of(Chart("Loss", (FALLING,)), language="zh_CN")
    assert "0.500（第 3 步），最低 0.500（第 3 步）" in chinese[0]


def test_a_chart_shows_all_of_many_points_in_its_width() -> None:
    series = Series("t", "*", tuple((step, float(step)) for step in range(1, 5001)))
    lines = lines_of(Chart("", (series,), rows=6), width=60)
    assert lines[1].startswith(" 5,000 |") and lines[6].startswith("     1 |*")
    assert lines[-1].endswith("5,000")


def test_a_chart_without_a_number_draws_nothing_and_says_so() -> None:
    assert lines_of(Chart("Loss", (Series("t", "*", ()),))) == ["Loss   * t: nothing measured yet"]
    broken = Series("t", "*", ((1, float("nan")), (2, 0.5)))
    assert (
        lines_of(Chart("", (broken,)))[0]
        == "* t 0.500 at step 2, lowest 0.500 at step 2 (1 values are no numbers)"
    )


def test_values_that_are_all_alike_stand_in_the_middle() -> None:
    flat = Series("t", "*", ((1, 0.7), (2, 0.7)))
    assert lines_of(Chart("", (flat,), rows=3), width=18)[-4:] == [
        "       |",
        " 0.700 |*        *",
        "       |",
        "        1        2",
    ]


@pytest.mark.parametrize(
    ("value", "span", "text"),
    (
        (2.54, 2.17, "2.54"),
        (0.6, None, "0.600"),
        (1234.5, 900.0, "1,234"),
        (2e-5, None, "2.0e-05"),
        (0.0, 0.0, "0.00"),
    ),
)
def test_numbers_have_the_digits_that_tell_them_apart(value: float, span: float | None, text: str) -> None:
    assert number_text(value, span) == text


def test_a_histogram_shows_that_something_is_there_however_little() -> None:
    histogram = Histogram("Length", (("0-256", 400), ("over", 1), ("none", 0)))
    assert lines_of(histogram, width=29) == [
        "Length",
        " 0-256  ################  400",
        "  over  .                   1",
        "  none                      0",
    ]


def test_a_preview_tells_what_is_learned_by_a_word() -> None:
    preview = Preview(
        "Row 1",
        (Piece("<user>\nHello\n", False), Piece("Hi!", True), Piece("<end>", True), Piece("\n", False)),
    )
    assert lines_of(preview) == [
        "Row 1",
        " reads  | <user>",
        "        | Hello",
        " learns > Hi!<end>",
        " What stands after > the model learns to write; the rest it only reads.",
    ]
    assert lines_of(preview, language="zh_CN")[1:4] == [" 读入 | <user>", "      | Hello", " 学写 > Hi!<end>"]


def test_a_long_preview_keeps_the_ends_of_its_parts() -> None:
    question = "\n".join(f"q{number}" for number in range(50))
    answer = "\n".join(f"a{number}" for number in range(50))
    assert lines_of(Preview("", (Piece(question, False), Piece(answer, True))))[:-1] == [
        " reads  | q0",
        "        | q1",
        "        | ... 47 lines left out ...",
        "        | q49",
        " learns > a0",
        "        > a1",
        "        > ... 47 lines left out ...",
        "        > a49",
    ]


def test_a_preview_of_many_turns_keeps_the_first_and_the_last() -> None:
    turns = tuple(Piece(f"turn {number}", number % 2 == 1) for number in range(10))
    assert lines_of(Preview("", turns))[:-1] == [
        " reads  | turn 0",
        " learns > turn 1",
        " reads  | ... 6 parts left out ...",
        " reads  | turn 8",
        " learns > turn 9",
    ]


def test_text_of_rows_cannot_act_on_the_terminal() -> None:
    for block in (Preview("", (Piece("a\x1b[2Jb\u202ec", True),)), Verbatim(("a\x1b[2Jb\u202ec",))):
        assert "a<U+001B>[2Jb<U+202E>c" in "\n".join(lines_of(block))


def test_words_replace_pictures_for_those_who_listen() -> None:
    assert spoken(Bar("Step 412 of 1,290", 412, 1290, "ends 11:13"), EN, width=78) == [
        "Step 412 of 1,290  31 %  ends 11:13"
    ]
    assert spoken(Histogram("Length", (("0-256", 2104),)), EN, width=78) == ["Length", "  0-256: 2,104"]
    assert spoken(Chart("Loss", (FALLING,)), EN, width=78) == [
        "Loss",
        "  training 0.500 at step 3, lowest 0.500 at step 3",
    ]


def test_sentences_are_aligned_after_they_are_translated() -> None:
    chinese = Catalogue("zh_CN", {"Disk": "磁盘空间", "{free} free": "剩余 {free}", "GPU": "显卡"})
    facts = Facts((Fact("Disk", say("{free} free", free="82 GB"), "ok"), Fact("GPU", "H20")))
    assert text_lines(facts, chinese, width=60, plain=True) == [
        "[ OK ] 磁盘空间  剩余 82 GB",
        "       显卡      H20",
    ]


def test_the_words_of_the_fronts_have_no_characters_of_uncertain_width() -> None:
    path = Path(__file__).parent.parent / "appliance" / "locale" / "zh_CN" / "fronts.toml"
    for english, chinese in tomllib.loads(path.read_text(encoding="utf-8")).items():
        # wcwidth can count ambiguous characters as wide, as terminals set for Chinese do.
        assert wcswidth(chinese, ambiguous_width=2) == wcswidth(chinese), english
