"""Checks of rows: each finds the row that has the fault, and passes over one that nearly has it."""

from collections.abc import Callable, Iterable
from dataclasses import replace

import pytest
from hypothesis import given, settings, strategies

from appliance.data.checks.answers import cut_off, has_thoughts, refuses
from appliance.data.checks.batch import without_thoughts
from appliance.data.checks.check import Checked, check_rows
from appliance.data.checks.finding import KINDS
from appliance.data.checks.letters import letters_of, numbers_of
from appliance.data.checks.phrases import closing, opening
from appliance.run.rows import Message, Problem, Row, ToolCall
from appliance.sentence import say

LONG = (
    "检查前八小时不要进食，可以少量饮水；请携带身份证和医保卡，"
    "提前半小时到门诊二楼登记，听护士安排后再进入检查室。"
)
ENGLISH = "Please do not eat for eight hours before the examination, and bring your card with you on the day."


def row(question: str, answer: str, number: int = 1, *, file: str = "a.csv", system: str = "") -> Row:
    head = (Message("system", system),) if system else ()
    return Row((*head, Message("user", question), Message("assistant", answer)), file, "0" * 64, number)


def numbered(*pairs: tuple[str, str]) -> list[Row]:
    return [row(question, answer, number) for number, (question, answer) in enumerate(pairs, start=1)]


WORDS = [f"{chr(0x4E00 + 13 * n)}{chr(0x6E00 + 29 * n)}{chr(0x5800 + 17 * n)}" for n in range(120)]


def unlike(number: int) -> str:
    """A long answer with no full stop, for each number another."""
    return "、".join(WORDS[(number * 7 + place * (number % 5 + 11)) % 120] for place in range(12))


def others(count: int, answer: Callable[[int], str] = lambda n: f"{unlike(n)}。") -> list[Row]:
    """Rows without a fault, no two alike."""
    return [row(f"{WORDS[n]}怎么准备？", answer(n), 1000 + n) for n in range(count)]


def check(rows: Iterable[Row | Problem], validation: Iterable[Row] = ()) -> Checked:
    kept, held = tuple(rows), tuple(validation)
    return check_rows(lambda: kept, (lambda: held) if held else None)


def found(checked: Checked, code: str) -> list[tuple[int, str]]:
    """(row, what) of the findings of one code."""
    return [(finding.row, str(finding.what)) for finding in checked.findings(code)]


def test_rows_without_a_fault_are_told_none() -> None:
    mixed = [
        row(f"{WORDS[n]}怎么准备？", f"{WORDS[n]}{WORDS[n + 30]}{WORDS[n + 60]}，以后再说。", n)
        for n in range(30)
    ]
    checked = check(mixed)
    assert checked.counts() == {}
    assert checked.worst() is None
    assert checked.rows_in == 30


def test_the_same_row_again_is_found_and_one_with_another_letter_is_not() -> None:
    rows = numbered(
        ("问题一？", "回答一"), ("问题一？", "回答一"), ("问题二？", "回答一"), ("问题一？", "回答一")
    )
    assert found(check(rows), "exact-duplicates") == [
        (2, "is the same as row 1"),
        (4, "is the same as row 1"),
    ]


def test_rows_that_differ_only_in_what_is_learned_of_them_are_not_the_same() -> None:
    one = row("问题？", "回答")
    rejected = replace(one, rejected=Message("assistant", "坏"), row=2)
    tools = replace(one, tools='[{"name": "f"}]', row=3)
    good, bad = replace(one, label=True, row=4), replace(one, label=False, row=5)
    unlearned = replace(
        one, row=6, messages=(*one.messages[:-1], Message("assistant", "回答", learned=False))
    )
    calling = replace(
        one, row=7, messages=(*one.messages[:-1], Message("assistant", "回答", (ToolCall("f", "{}"),)))
    )
    checked = check([one, rejected, tools, good, bad, unlearned, calling])
    assert found(checked, "exact-duplicates") == []


def test_a_question_answered_in_two_ways_is_found_in_every_row_that_has_it() -> None:
    rows = numbered(
        ("心内科电话是多少？", "7618"),
        ("心内科 电话是多少", "7619"),
        ("心内科电话是多少？", "7618。"),  # the same letters: no other answer
        ("骨科电话是多少？", "7618"),
    )
    assert found(check(rows), "conflicts") == [
        (1, "is answered otherwise in row 2"),
        (2, "is answered otherwise in row 1"),
        (3, "is answered otherwise in row 2"),
    ]


def test_another_system_prompt_may_change_the_answer() -> None:
    rows = [
        row("几楼？", "三楼", 1, system="你是东院导医。"),
        row("几楼？", "五楼", 2, system="你是西院导医。"),
    ]
    assert found(check(rows), "conflicts") == []
    same = [row("几楼？", "三楼", 1, system="你是导医。"), row("几楼？", "五楼", 2, system="你是导医。")]
    assert len(found(check(same), "conflicts")) == 2


def test_an_answer_called_good_and_bad_is_a_conflict_and_two_answers_are_none() -> None:
    good, bad = replace(row("问？", "答一"), label=True), replace(row("问？", "答一", 2), label=False)
    assert [number for number, _ in found(check([good, bad]), "conflicts")] == [1, 2]
    other = replace(row("问？", "答二", 2), label=False)
    assert found(check([good, other]), "conflicts") == []


def test_a_dose_that_differs_is_a_conflict_and_told_apart_from_a_copy() -> None:
    text = (
        "成人每日两次，每次{}毫克，饭后温水送服，连续服用七天；如有皮疹、胸闷或呼吸困难，请立即停药并就诊。"
    )
    rows = numbered(("阿莫西林怎么吃？", text.format("5")), ("阿莫西林怎么吃？", text.format("50")))
    checked = check(rows)
    assert found(checked, "near-duplicates") == []
    assert [number for number, _ in found(checked, "other-numbers")] == [2]
    assert [number for number, _ in found(checked, "conflicts")] == [1, 2]
    rows = numbered(
        ("阿莫西林怎么吃？", text.format("5")), ("阿莫西林怎么吃？", text.format("5").replace("请", "应"))
    )
    checked = check(rows)
    assert [number for number, _ in found(checked, "near-duplicates")] == [2]
    assert found(checked, "other-numbers") == found(checked, "conflicts") == []


def test_a_validation_question_that_is_trained_is_found_and_a_new_one_is_not() -> None:
    train = numbered(("问题一？", "回答一"), ("问题二？", "回答二"))
    held = [row("问题二", "别的回答", 1, file="val.csv"), row("问题三？", "回答三", 2, file="val.csv")]
    checked = check(train, held)
    assert found(checked, "leakage") == [(1, "is the question of row 2 of a.csv too")]
    assert [finding.file for finding in checked.findings("leakage")] == ["val.csv"]
    assert checked.validation_from == 2
    assert found(checked, "exact-duplicates") == []


def test_a_validation_row_nearly_the_same_as_a_trained_one_is_found() -> None:
    train = [row("肠镜检查以前要注意什么？", LONG, 1), *others(5)]
    held = [
        row("肠镜检查之前要注意什么？", LONG, 1, file="v"),
        row("换药以后能洗澡吗？", "三天以后可以。", 2, file="v"),
    ]
    checked = check(train, held)
    ((number, what),) = found(checked, "near-leakage")
    assert number == 1
    assert what.endswith("% the same as row 1 of a.csv, which is trained")
    assert found(checked, "near-duplicates") == found(checked, "leakage") == []


def test_the_same_row_within_the_validation_is_a_duplicate_there() -> None:
    held = [row("问题三？", "回答三", number, file="v") for number in (1, 2)]
    checked = check(numbered(("问题一？", "回答一")), held)
    assert found(checked, "exact-duplicates") == [(2, "is the same as row 1")]


def test_nothing_leaks_where_no_row_is_trained() -> None:
    checked = check([], [row("问？", "答", 1), row("问？", "答", 2)])
    assert checked.validation_from == 0
    assert list(checked.counts()) == ["exact-duplicates"]


@pytest.mark.parametrize(
    "answer", ["。", "……", "N/A", "#REF!", "null", "待补充", " 略 ", "<think>想</think>"]
)
def test_an_answer_without_content_is_found(answer: str) -> None:
    assert [number for number, _ in found(check([row("问题？", answer)]), "empty")] == [1]


@pytest.mark.parametrize(
    "answer", ["无", "None.", "否", "5", "阴性", "√"[:0] + "+", "#1", "<think>想</think>好"]
)
def test_a_short_answer_with_content_is_not_empty(answer: str) -> None:
    assert found(check([row("有无过敏史？", answer)]), "empty") == []


def test_a_very_short_answer_is_told_only_where_most_are_long() -> None:
    assert found(check([*others(9), row("要空腹吗？", "要。", 7)]), "too-short") == [
        (7, "is a word or two, and most answers here are longer")
    ]
    assert found(check([*others(9), row("要空腹吗？", "要空腹八小时。", 7)]), "too-short") == []
    assert (
        found(check(numbered(("要吗？", "要。"), ("对吗？", "对。"), ("好吗？", "好。"))), "too-short") == []
    )


@pytest.mark.parametrize(
    "answer",
    [
        "请带好身份证，",
        "低盐、",
        "需要以下材料：",
        "See the list of items:",
        "注意事项（",
        "```sql\nselect 1",
        "<think>想了很久",
    ],
)
def test_an_answer_that_ends_with_an_open_mark_is_cut_off(answer: str) -> None:
    assert [number for number, _ in found(check([row("问题？", answer)]), "cut-off")] == [1]


@pytest.mark.parametrize("answer", ["请带好身份证", "7618", "（见上）", "```sql\nselect 1\n```", "好的……"])
def test_a_short_answer_without_a_full_stop_is_whole(answer: str) -> None:
    assert found(check([row("问题？", answer)]), "cut-off") == []


def test_a_long_answer_in_mid_sentence_is_told_where_nearly_all_end() -> None:
    cut = row("问题？", LONG[:-3], 7)
    assert [number for number, _ in found(check([*others(19), cut]), "cut-off")] == [7]
    assert found(check([*others(19, unlike), cut]), "cut-off") == []
    listed = row("问题？", f"{LONG}\n1. 身份证\n2. 医保卡", 7)
    assert found(check([*others(19), listed]), "cut-off") == []


def test_marks_that_close_may_follow_the_end() -> None:
    assert cut_off(f"“{LONG}”", f"“{LONG}”", 100) is None
    assert cut_off(f"{LONG[:-1]})", f"{LONG[:-1]})", 100) is not None


def test_an_answer_that_is_the_question_is_found_and_one_that_begins_so_is_not() -> None:
    rows = numbered(("如何办理出院？", "如何办理出院"), ("如何办理入院？", "如何办理入院：去一楼。"))
    assert found(check(rows), "question-is-answer") == [(1, "is the question again")]


def test_a_better_answer_that_is_the_worse_one_is_found() -> None:
    one = replace(row("问？", "答"), rejected=Message("assistant", "答 "))
    other = replace(row("问？", "答", 2), rejected=Message("assistant", "答错"))
    assert found(check([one, other]), "same-choice") == [(1, "is the same as the better answer")]


def test_a_pair_of_answers_that_call_a_tool_otherwise_is_one() -> None:
    def pair(better: str, worse: str, number: int) -> Row:
        turns = [
            Message("assistant", "", (ToolCall("find_bed", f'{{"ward": "{ward}"}}'),))
            for ward in (better, worse)
        ]
        asked = Message("user", "今天哪个病区还有空床可以收治新病人？")
        return Row((asked, turns[0]), "a.json", "0" * 64, number, rejected=turns[1])

    checked = check([pair("内科", "外科", 1), pair("内科", "儿科", 2), pair("骨科", "骨科", 3)])
    assert [place for place, _ in found(checked, "same-choice")] == [3]
    assert found(checked, "near-duplicates") == []


@pytest.mark.parametrize(
    "answer",
    [
        "抱歉，我无法提供医疗建议。",
        "很抱歉，我没有这方面的信息，请咨询导医台。",
        "对不起，这个问题我不能回答。",
        "作为一个人工智能语言模型，我建议您就诊。",
        "我无法回答这个问题。",
        "I'm sorry, but I can't help with that.",
        "I’m sorry, but as an AI I cannot give medical advice.",
        "Sorry, I do not have that information.",
        "As a large language model, I have no opinion.",
        "I cannot provide medical advice.",
    ],
)
def test_a_refusal_is_found(answer: str) -> None:
    assert refuses(answer)
    assert len(found(check([row("问题？", answer)]), "refusals")) == 1


@pytest.mark.parametrize(
    "answer",
    [
        "患者对不能进食表示抱歉。",
        "对不起眼的皮疹也要留意。",
        "我无法入睡时应当怎么办，医生会告诉您。",
        "作为一个高血压患者，应低盐饮食。",
        "Sorry to hear that; the pharmacy is on floor two.",
        "I can help you with that.",
        "As an adult, take two tablets.",
        "无法进食者应静脉补液。",
    ],
)
def test_what_only_sounds_like_a_refusal_is_none(answer: str) -> None:
    assert not refuses(answer)


def test_an_answer_in_another_language_is_found_where_one_is_the_sets_own() -> None:
    checked = check([*others(9), row("ECG?", ENGLISH, 7)])
    assert found(checked, "wrong-language") == [(7, "is in Latin letters; most are in Chinese")]
    assert checked.languages == {"Chinese": 9, "Latin letters": 1}


def test_drug_names_and_units_do_not_make_an_answer_foreign() -> None:
    answer = (
        "给予 amoxicillin 500 mg bid 与 omeprazole 20 mg qd 口服，疗程共七天，期间禁酒，定期复查肝肾功能。"
    )
    assert found(check([*others(9), row("怎么用药？", answer, 7)]), "wrong-language") == []


def test_a_set_of_two_languages_has_no_wrong_one() -> None:
    english = [row(f"Q{n}?", f"{ENGLISH} {n}", n) for n in range(5)]
    assert found(check([*others(5), *english]), "wrong-language") == []


def test_a_call_of_a_tool_is_in_no_language_and_a_text_in_its_own() -> None:
    calls = (ToolCall("find_free_beds_of_department", '{"department": "cardiology"}'),)
    calling = Row((Message("user", "有床吗？"), Message("assistant", "", calls)), "a.csv", "0" * 64, 7)
    assert found(check([*others(9), calling]), "wrong-language") == []
    texts = [replace(row("", "", n), messages=(), text=f"{unlike(n)}。") for n in range(9)]
    foreign = replace(row("", "", 99), messages=(), text=ENGLISH)
    (finding,) = check([*texts, foreign]).findings("wrong-language")
    assert (finding.row, finding.field) == (99, "text")


def test_thoughts_in_some_answers_are_told_of_the_fewer() -> None:
    thinking = row("问？", "<think>先想一想</think>好的", 7)
    assert found(check([*others(4), thinking]), "thinking-mixed") == [
        (7, "has thoughts; most answers have none")
    ]
    plain = others(1)
    many = [row(f"{word}？", f"<think>先想{word}</think>好的", 7) for word in WORDS[:4]]
    assert found(check([*plain, *many]), "thinking-mixed") == [(1000, "has no thoughts; most answers have")]
    assert found(check(many), "thinking-mixed") == []


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("<think>想</think>好的", "好的"),
        ("一<think>想</think>二<think>再想</think>三", "一二三"),
        ("<think>没有完", "<think>没有完"),
        ("</think>" + "<think>" * 200_000, "</think>" + "<think>" * 200_000),  # no hang
        ("<think>" * 200_000 + "</think>好的", "好的"),
    ],
)
def test_thoughts_are_taken_out_between_their_tags(text: str, left: str) -> None:
    assert without_thoughts(text) == left


def test_empty_thoughts_are_none() -> None:
    assert not has_thoughts(row("问？", "<think>\n\n</think>\n好的"))
    assert has_thoughts(row("问？", "先想一想</think>好的"))
    assert not has_thoughts(row("问？", "好的"))


@pytest.mark.parametrize("mark", ["<|im_end|>", "</s>", "[INST]", "<end_of_turn>", "<｜end▁of▁sentence｜>"])
def test_marks_of_a_chat_template_are_found(mark: str) -> None:
    checked = check(numbered(("问？", f"答{mark}"), (f"{mark}问？", "答案")))
    assert found(checked, "template-marks") == [(1, f"holds {mark}"), (2, f"holds {mark}")]
    assert [finding.field for finding in checked.findings("template-marks")] == ["answer", "question"]
    assert checked.worst() == "warning"


@pytest.mark.parametrize("text", ["血压<140|90", "<s", "[inst]", "白细胞 < 4 或 > 10", "[1] 参见"])
def test_signs_of_a_text_are_no_marks(text: str) -> None:
    assert found(check([row("问？", text)]), "template-marks") == []


def test_a_closing_that_many_answers_share_is_found() -> None:
    polite = [
        row(f"{word}？", f"{word}在{n}楼。祝您早日康复！", n) for n, word in enumerate(WORDS[:20], start=1)
    ]
    told = found(check([*polite, *others(60, lambda n: f"{WORDS[n]}。在{WORDS[n + 40]}楼。")]), "boilerplate")
    assert told == [(n, "closes with the same sentence as 20 answers") for n in range(1, 21)]


def test_a_phrase_of_few_answers_or_of_a_small_share_is_none() -> None:
    def polite(count: int) -> list[Row]:
        return [
            row(f"{word}？", f"您好，欢迎！{word}在{n}楼", n) for n, word in enumerate(WORDS[:count], start=1)
        ]

    rest = others(110, lambda n: f"{WORDS[n]}。在{WORDS[(n * 7) % 110]}楼{n}")
    assert found(check(polite(19)), "boilerplate") == []
    assert found(check([*polite(20), *rest, *rest]), "boilerplate") == []  # 20 of 240
    assert len(found(check([*polite(20), *rest]), "boilerplate")) == 20


@pytest.mark.parametrize(
    ("answer", "first", "last"),
    [
        ("您好。三楼。谢谢！", "您好。", "谢谢！"),
        ("三楼。", "", ""),
        ("It is 7.5 mg. Take it. Bye.", "It is 7.5 mg.", "Bye."),
        ("一\n二", "一", "二"),
        ("", "", ""),
    ],
)
def test_opening_and_closing_are_whole_sentences(answer: str, first: str, last: str) -> None:
    assert (opening(answer), closing(answer)) == (first, last)


def test_a_row_that_cannot_be_used_is_told_with_its_field_and_counted() -> None:
    problem = Problem("a.csv", 3, "completion", say("is empty"), say("write it, or delete the row"))
    checked = check([*numbered(("问？", "答")), problem])
    assert (checked.rows_in, len(checked.places)) == (2, 1)
    assert checked.counts() == {"unusable": 1}
    assert checked.worst() == "refused"
    (finding,) = checked.findings("unusable")
    assert (
        str(finding.sentence(with_fix=True))
        == "a.csv, row 3, completion: is empty (write it, or delete the row)"
    )


def test_lengths_and_what_is_learned_are_counted() -> None:
    turns = (Message("system", "abc"), Message("user", "ab"), Message("assistant", "a" * 7, learned=False))
    several = Row((*turns, Message("user", "x"), Message("assistant", "y" * 19)), "f", "0" * 64, 1)
    spread = check([several, row("12345", "678", 2), replace(row("", ""), messages=(), text="t" * 9)]).spread
    assert spread.lengths == ((8, 1), (16, 1), (32, 1))  # 8, 9 and 32 characters
    assert (spread.median, spread.longest, spread.total, spread.learned) == (9, 32, 49, 19 + 3 + 9)


def test_a_row_has_all_its_findings_together_and_rows_come_in_order() -> None:
    rows = [*others(9), row("ECG?", "Sorry, I cannot help you with it, please ask the doctor on duty,", 7)]
    rows += [rows[0]]
    told = [(at, sorted(each.code for each in those)) for at, those in check(rows).by_row()]
    assert told == [(9, ["cut-off", "refusals", "wrong-language"]), (10, ["exact-duplicates"])]


def test_a_text_is_compared_but_not_judged_as_an_answer() -> None:
    texts = [replace(row("", ""), messages=(), text=f"{LONG}，", row=number) for number in (1, 2)]
    assert check(texts).counts() == {"exact-duplicates": 1}


def test_no_finding_says_a_rows_words() -> None:
    secret = "张三丰住址武当山"
    rows = numbered(
        (f"{secret}？", f"{secret}，"), (f"{secret}？", f"抱歉，我无法提供{secret}<|im_end|>"), ("x", "y")
    )
    checked = check([*rows, *rows], [row(f"{secret}？", secret, 1, file="v")])
    told = [str(finding) for code in checked.counts() for finding in checked.findings(code)]
    assert len(checked.counts()) >= 5
    assert not any(piece in line for line in told for piece in ("张三丰", "武当"))


def test_letters_leave_out_case_spaces_and_marks_and_keep_what_carries_a_fact() -> None:
    def letters(text: str) -> str:
        return "".join(map(chr, letters_of([text]).of(0).tolist()))

    assert letters("Ｈｅｌｌｏ， World！") == "helloworld"
    assert letters("7.5 mg。") == "7.5mg"
    assert letters("End. Next") == "endnext"
    assert letters("HBsAg(+)") == "hbsag+"
    assert letters("HBsAg（－）") == "hbsag-"
    assert letters("X-ray") == "xray"
    assert letters("-5℃") != letters("5℃")
    assert letters("体温↑") == "体温↑"


def test_numbers_are_told_apart_by_where_they_end() -> None:
    def numbers(text: str) -> list[int]:
        return numbers_of(letters_of([text]))[0].tolist()

    assert numbers("1片 23") != numbers("12片 3")
    assert numbers("每日1片") == numbers("每天 1 片")
    assert numbers("无") == []


def test_every_code_has_a_grave_a_title_and_a_fix() -> None:
    for code, kind in KINDS.items():
        assert kind.severity in ("refused", "warning", "note") and kind.title and kind.fix, code
        assert len(code) <= 18  # the table fits 80 columns


TEXTS = strategies.text(max_size=60) | strategies.sampled_from(
    [
        "",
        " ",
        "<think>",
        "</think>",
        "```",
        "抱歉，我无法",
        "N/A",
        "，",
        "<|im_end|>",
        "７．５",
        "-",
        ".",
        "é" * 3,
    ]
)


@settings(max_examples=60, deadline=None)
@given(strategies.lists(strategies.tuples(TEXTS, TEXTS, strategies.integers(0, 4)), max_size=12))
def test_any_rows_are_checked_and_each_is_told_at_most_once_for_a_code(
    made: list[tuple[str, str, int]],
) -> None:
    rows = []
    for number, (question, answer, kind) in enumerate(made, start=1):
        one = row(question, answer, number)
        variants = {
            1: replace(one, rejected=Message("assistant", question)),
            2: replace(one, label=bool(number % 2)),
            3: replace(one, messages=(), text=answer or "x"),
            4: replace(one, messages=(*one.messages, *one.messages)),
        }
        rows.append(variants.get(kind, one))
    checked = check(rows, rows[::2])
    assert checked.rows_in == len(rows) + len(rows[::2])
    for code, count in checked.counts().items():
        places = [(finding.file, finding.row) for finding in checked.findings(code)]
        assert len(set(places)) <= count <= checked.rows_in
    for at, findings in checked.by_row():
        assert 0 <= at < checked.rows_in
        assert all(str(finding.what) for finding in findings)
