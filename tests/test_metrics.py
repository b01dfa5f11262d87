"""BLEU, ROUGE and perplexity against figures from outside.

BLEU: sacrebleu 2.6.0, `BLEU(tokenize="zh", effective_order=True)`. ROUGE: rouge-score 0.1.2 (F-measure),
given the same tokens (its `tokenizer` argument), and rouge-chinese 1.0.3, which agrees where no token
comes twice; on plain English rouge-score with its own tokenizer. Perplexity: transformers' own loss.
"""

import math
from typing import Any

import pytest
import torch

from appliance.evaluation.bleu import bleu, bleu_tokens
from appliance.evaluation.likelihood import AnswerLoss, answer_losses, perplexity
from appliance.evaluation.rouge import Rouge, rouge, rouge_tokens
from appliance.model.base import load_base, load_tokenizer
from appliance.run.rows import Message, Row
from tests.tiny import tiny_model

PAIRS: list[tuple[str, str, float, tuple[float, float, float]]] = [
    # answer, expected, BLEU of the pair, ROUGE-1, -2, -L
    ("分机号是7618。", "心内科的分机号是7618。", 51.341711903259224, (5 / 7, 2 / 3, 5 / 7)),
    (
        "The clinic opens at 8:30, not 9.",
        "The clinic opens at 8:30 a.m., not at 9.",
        44.03288427322774,
        (16 / 19, 10 / 17, 16 / 19),
    ),
    (
        "体温38.5℃，请服 paracetamol 120 mg／次。",
        "体温38.5℃，可服 Paracetamol 120 mg／次，每日3次。",
        35.849064146592,
        (10 / 13, 2 / 3, 10 / 13),
    ),
    (
        "抱歉，我没有这方面的信息。",
        "抱歉，我没有这方面的信息，请咨询导医台。",
        54.314331795337864,
        (11 / 14, 10 / 13, 11 / 14),
    ),
    (
        "高血压患者应当低盐饮食",
        "高血压患者应当规律服药，低盐饮食",
        51.62236909521245,
        (11 / 13, 3 / 4, 11 / 13),
    ),
    ("I don't know", "“Ask” the front-desk (room 3-12)!", 0.0, (0.0, 0.0, 0.0)),
    ("a b c d e f", "a c b d f e", 12.703318703865376, (1.0, 0.0, 2 / 3)),
    ("", "空", 0.0, (0.0, 0.0, 0.0)),
]


@pytest.mark.parametrize(("answer", "expected", "score", "_overlap"), PAIRS)
def test_bleu_of_one_answer_is_sacrebleus(answer: str, expected: str, score: float, _overlap: Any) -> None:
    assert bleu([answer], [expected]) == pytest.approx(score, abs=1e-9)


def test_bleu_of_a_set_is_sacrebleus_not_the_mean_of_its_rows() -> None:
    pairs = [*((answer, expected) for answer, expected, _, _ in PAIRS), ("7618", "7618")]
    score = bleu([answer for answer, _ in pairs], [expected for _, expected in pairs])
    assert score == pytest.approx(40.05575033558296, abs=1e-9)


def test_bleu_of_short_right_answers_is_a_hundred() -> None:
    assert bleu(["7618", "三楼"], ["7618", "三楼"]) == pytest.approx(100)


def test_bleu_takes_characters_apart_as_sacrebleu_does() -> None:
    assert bleu_tokens("体温38.5℃，BP 130/85; 3-12。") == [
        *("体", "温", "38.5", "℃", "，", "BP", "130", "/", "85", ";", "3", "-", "12", "。")
    ]
    assert bleu_tokens("“\U00020001”") == ["“", "\U00020001", "”"]


@pytest.mark.parametrize(("answer", "expected", "_score", "overlap"), PAIRS)
def test_rouge_is_the_reference_packages(answer: str, expected: str, _score: Any, overlap: Any) -> None:
    found = rouge(answer, expected)
    assert (found.rouge_1, found.rouge_2, found.rouge_l) == pytest.approx(overlap, abs=1e-12)


def test_rouge_tells_chinese_answers_apart_where_the_usual_package_sees_only_digits() -> None:
    # rouge-score with its own tokenizer gives 1.0 to the first, because 7618 is all that it keeps.
    assert rouge("儿科在7618室。", "心内科的分机号是7618。").rouge_1 < 0.5
    assert rouge("三楼", "三楼") == Rouge(1.0, 1.0, 1.0)


def test_rouge_takes_text_apart_by_characters_and_lower_cased_words() -> None:
    assert rouge_tokens("心内科 ＢＰ 130/85，It's Größe_2\U00020001すし") == [
        *("心", "内", "科", "bp", "130", "85", "it", "s", "größe", "2", "\U00020001", "す", "し")
    ]


@pytest.mark.parametrize(
    ("answer", "expected", "score"), [("+", "+", 1.0), ("-", "+", 0.0), (" 阴 ", "阴", 1.0)]
)
def test_answers_without_tokens_or_pairs_count_when_they_are_equal(
    answer: str, expected: str, score: float
) -> None:
    assert rouge(answer, expected) == Rouge(score, score, score)


def row(answer: str, *question: str) -> Row:
    return Row(
        (*(Message("user", text) for text in question), Message("assistant", answer)), "f", "0" * 64, 1
    )


ROWS = [
    row("好", "a"),
    row("儿科在门诊楼三楼，挂号费是二十五元。", "请问儿科在几楼？" * 9),
    row("The extension is 7618.", "Where is it?"),
    row("抱歉", "体温38.5℃？"),
]


def losses_by_hand(model: Any, tokenizer: Any) -> list[float]:
    """Mean loss of each answer with its end token, by transformers' own loss, a row at a time."""
    found = []
    for each in ROWS:
        text = f"<|im_start|>user\n{each.question[0].content}<|im_end|>\n<|im_start|>assistant\n"
        prompt = tokenizer(text, add_special_tokens=False)["input_ids"]
        answer = tokenizer(f"{each.answer}<|im_end|>", add_special_tokens=False)["input_ids"]
        labels = torch.tensor([[-100] * len(prompt) + answer])
        with torch.no_grad():
            found.append(float(model(input_ids=torch.tensor([prompt + answer]), labels=labels).loss))
    return found


@pytest.mark.parametrize("batch_tokens", [1, 30, 100_000])
def test_losses_in_padded_batches_are_those_that_transformers_computes_row_by_row(batch_tokens: int) -> None:
    model, tokenizer = load_base(tiny_model()), load_tokenizer(tiny_model())
    done: list[int] = []
    losses = answer_losses(model, tokenizer, ROWS, batch_tokens=batch_tokens, advance=done.append)
    means = [loss.total / loss.tokens for loss in losses]
    assert means == pytest.approx(losses_by_hand(model, tokenizer), rel=1e-5)
    assert sum(done) == len(ROWS)
    assert (len(done) > 1) is (batch_tokens < 100_000)


def test_perplexity_is_over_tokens_not_over_answers() -> None:
    losses = [AnswerLoss(2.0, 1), AnswerLoss(4.0, 3)]
    assert perplexity(losses) == pytest.approx(math.exp(1.5))  # 6 nats over 4 tokens


@pytest.mark.parametrize("total", [math.nan, math.inf, 1e6])
def test_a_perplexity_that_is_no_finite_number_is_none(total: float) -> None:
    assert perplexity([AnswerLoss(total, 1)]) is None
