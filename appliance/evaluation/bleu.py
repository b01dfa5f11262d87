"""BLEU for Chinese, English and both mixed, equal to sacrebleu's figures with its `zh` tokenizer. Pure.

Carried as code of ours, because sacrebleu would bring five more wheels over the air gap (one of them
compiled) for these lines. Signature: `nrefs:1|case:mixed|eff:yes|tok:zh|smooth:exp|version:2.6.0`.
Source: Papineni et al. 2002, section 2; sacrebleu 2.6.0 (Apache-2.0), `metrics/bleu.py`,
`tokenizers/tokenizer_zh.py` and `tokenizers/tokenizer_re.py`.
"""

import math
import re
from collections import Counter
from collections.abc import Sequence

MAX_ORDER = 4
"""Longest n-gram counted."""

CHINESE = re.compile(
    "["
    "\u3400-\u4db5\u4e00-\u9fbb\uf900-\ufa2d\ufa30-\ufa6a\ufa70-\ufad9\uff00-\uffef\u2e80-\u2eff"
    "\u3000-\u303f\u31c0-\u31ef\u2f00-\u2fdf\u2ff0-\u2fff\u3100-\u312f\u31a0-\u31bf\ufe10-\ufe1f"
    "\ufe30-\ufe4f\u2600-\u26ff\u2700-\u27bf\u3200-\u33ff"
    "\u2001-\u2a6d\u2f81-\u2fa1"
    "]"
)
"""Characters that stand alone. The last two ranges are what sacrebleu's `\\u20000` to `\\u2a6d6` and
`\\u2f800` to `\\u2fa1d` come to in Python: four digits and a letter, so no ideographs of extension B, but
quotation marks, `℃` and arrows. They are kept, so that a figure here is a figure anywhere."""

SPACED = (
    (re.compile(r"([\{-\~\[-\` -\&\(-\+\:-\@\/])"), r" \1 "),
    (re.compile(r"([^0-9])([\.,])"), r"\1 \2 "),
    (re.compile(r"([\.,])([^0-9])"), r" \1 \2"),
    (re.compile(r"([0-9])(-)"), r"\1 \2 "),
)
"""mteval-v13a's rules for the rest: punctuation stands alone, save in numbers."""


def bleu_tokens(text: str) -> list[str]:
    """The tokens that BLEU counts: Chinese characters one by one, other words and punctuation apart."""
    spaced = CHINESE.sub(r" \g<0> ", text.strip())
    for pattern, replacement in SPACED:
        spaced = pattern.sub(replacement, spaced)
    return spaced.split()


def bleu(answers: Sequence[str], expected: Sequence[str]) -> float:
    """BLEU of all answers taken together, 0 to 100; one expected text each.

    Answers shorter than four tokens count the orders that they have (`eff:yes`): without that, a set of
    answers like `7618` would get 0 even when all are right.
    """
    matches, totals = [0] * MAX_ORDER, [0] * MAX_ORDER
    answer_length = expected_length = 0
    for answer, wanted in zip(answers, expected, strict=True):
        given, reference = bleu_tokens(answer), bleu_tokens(wanted)
        answer_length, expected_length = answer_length + len(given), expected_length + len(reference)
        for order in range(1, MAX_ORDER + 1):
            ours, theirs = _grams(given, order), _grams(reference, order)
            matches[order - 1] += (ours & theirs).total()
            totals[order - 1] += ours.total()
    if not any(matches):
        return 0.0
    brevity = min(1.0, math.exp(1 - expected_length / answer_length))
    precisions = _precisions(matches, totals)
    return 100 * brevity * math.exp(sum(map(math.log, precisions)) / len(precisions))


def _precisions(matches: Sequence[int], totals: Sequence[int]) -> list[float]:
    """Share of n-grams that match, by order; where none does, half, a quarter … of one (`smooth:exp`)."""
    precisions = []
    smoothing = 1.0
    for match, total in zip(matches, totals, strict=True):
        if total == 0:
            break
        if match == 0:
            smoothing *= 2
        precisions.append((match or 1 / smoothing) / total)
    return precisions


def _grams(tokens: Sequence[str], order: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(tokens[start : start + order]) for start in range(len(tokens) - order + 1))
