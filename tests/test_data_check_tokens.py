"""Rows in a model's tokens: what is too long, what ends without a stop, what the template refuses."""

import functools
from collections.abc import Sequence
from dataclasses import replace

from appliance.data.checks.check import Checked, check_rows
from appliance.data.checks.tokens import Measure
from appliance.model.base import load_tokenizer
from appliance.run.rows import Message, Problem, Row
from appliance.training.measure import RowTokens
from tests.tiny import tiny_model


@functools.cache
def tokens() -> RowTokens:
    return RowTokens(tiny_model(), limit=64)


def row(question: str, answer: str, number: int = 1) -> Row:
    return Row((Message("user", question), Message("assistant", answer)), "a", "0" * 64, number)


def check(*rows: Row) -> Checked:
    return check_rows(lambda: rows, tokens=tokens())


def found(checked: Checked, code: str) -> list[tuple[int, str, str]]:
    return [(each.row, each.field, str(each.what)) for each in checked.findings(code)]


def by_hand(question: str, answer: str) -> tuple[int, int]:
    """(tokens up to the stop token, tokens that are learned), by the template of the tiny model."""
    tokenizer = load_tokenizer(tiny_model())
    before = f"<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n"
    learned = len(tokenizer(f"{answer}<|im_end|>", add_special_tokens=False)["input_ids"])
    return len(tokenizer(before, add_special_tokens=False)["input_ids"]) + learned, learned


def test_a_row_is_as_long_as_training_makes_it() -> None:
    length, learned = by_hand("几楼？", "三楼。")
    assert tokens().measure(row("几楼？", "三楼。")) == Measure(length, learned, length, 0, stops=True)


def test_a_longer_row_is_told_with_how_many_tokens_too_many() -> None:
    answer = "三"
    while by_hand("几楼？", answer)[0] < 64:
        answer += "三"
    length, _ = by_hand("几楼？", answer + "楼" * 20)
    assert by_hand("几楼？", answer)[0] == 64  # the tiny model's tokens of 三 are one each
    checked = check(row("几楼？", answer, 1), row("几楼？", answer + "楼" * 20, 2))
    assert found(checked, "too-long") == [
        (2, "row", f"is {length} tokens long, {length - 64} more than 64"),
    ]
    assert checked.worst() == "refused"


def test_lengths_and_the_learned_share_are_in_tokens() -> None:
    lengths, learned = zip(*(by_hand("几楼？", "三楼" * count) for count in (1, 2, 9)), strict=True)
    spread = check(*(row("几楼？", "三楼" * count, count) for count in (1, 2, 9))).spread
    assert (spread.unit, spread.median, spread.longest) == ("tokens", lengths[1], lengths[2])
    assert (spread.total, spread.learned) == (sum(lengths), sum(learned))


def test_the_models_own_control_tokens_are_refused_and_others_are_told() -> None:
    checked = check(row("几楼？<|im_end|>", "三楼"), row("几点？", "八点</s>", 2))
    assert found(checked, "control-tokens") == [(1, "question", "holds the model's <|im_end|>")]
    assert found(checked, "template-marks") == [(2, "answer", "holds </s>")]
    assert found(checked, "template") == []  # told once


def test_of_a_preference_the_longer_answer_counts() -> None:
    pair = replace(row("几楼？", "三楼"), rejected=Message("assistant", "不知道" * 30))
    longer, _ = by_hand("几楼？", "不知道" * 30)
    _, learned = by_hand("几楼？", "三楼")
    measure = tokens().measure(pair)
    assert isinstance(measure, Measure)
    assert (measure.tokens, measure.learned) == (longer, learned)


def test_a_text_is_measured_as_it_stands() -> None:
    text = replace(row("", ""), messages=(), text="三楼儿科")
    expected = len(load_tokenizer(tiny_model())("三楼儿科", add_special_tokens=False)["input_ids"])
    assert tokens().measure(text) == Measure(expected, expected, expected, 0, stops=True)


class Unfit:
    """A tokenizer that knows no star, ends no answer about the moon, and refuses what is about the sun."""

    limit = 99
    controls: Sequence[str] = ()

    def measure(self, row: Row) -> Measure | Problem:
        if "太阳" in row.answer:
            return Problem(row.file, row.row, "assistant", "is dropped", "leave it out")
        return Measure(9, 5, 9, row.answer.count("★"), stops="月亮" not in row.answer)


def test_unknown_tokens_missing_stops_and_refusals_are_told() -> None:
    rows = [row("一？", "★和★", 1), row("二？", "月亮", 2), row("三？", "太阳", 3), row("四？", "好天", 4)]
    checked = check_rows(lambda: rows, tokens=Unfit())
    assert found(checked, "unknown-tokens") == [
        (1, "row", "holds 2 tokens that the model does not know"),
    ]
    assert found(checked, "no-stop") == [(2, "answer", "is learned without the token that ends it")]
    assert found(checked, "template") == [(3, "assistant", "is dropped")]
    assert checked.counts().keys() == {"unknown-tokens", "no-stop", "template"}
