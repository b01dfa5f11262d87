"""ROUGE for Chinese, English and both mixed. Pure.

The usual package keeps only `a-z0-9`, so that every Chinese answer scores 0. Here a token is one
ideograph or kana, or a run of other letters and digits in lower case; punctuation is no token. On plain
English that is the usual package's tokenisation without stemming, and the figures are its figures.
Source: Lin 2004, "ROUGE: A Package for Automatic Evaluation of Summaries", sections 2 and 3.1.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

TOKENS = re.compile(
    "["
    "\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
    "]"
    "|[^\\W_\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]+"
)
"""One ideograph or kana (Unicode blocks of CJK ideographs with all extensions, Hiragana, Katakana), else a
run of letters and digits."""


@dataclass(frozen=True)
class Rouge:
    """F1, 0 to 1, each."""

    rouge_1: float
    """Single tokens in common."""
    rouge_2: float
    """Pairs of neighbours in common."""
    rouge_l: float
    """The longest sequence in common, with gaps."""


def rouge_tokens(text: str) -> list[str]:
    """The tokens that ROUGE counts. Full-width letters and digits are their narrow forms (NFKC)."""
    return TOKENS.findall(unicodedata.normalize("NFKC", text).lower())


def rouge(answer: str, expected: str) -> Rouge:
    """How much the answer and the expected text have in common.

    Where neither has a token (`+` and `-` are answers too), or neither a pair of them, what counts is
    whether the texts are equal.
    """
    given, wanted = rouge_tokens(answer), rouge_tokens(expected)
    equal = float(answer.strip() == expected.strip())
    if not given and not wanted:
        return Rouge(equal, equal, equal)
    pairs = equal if max(len(given), len(wanted)) < 2 else _overlap(given, wanted, 2)
    return Rouge(
        _overlap(given, wanted, 1), pairs, _f1(_longest_common(given, wanted), len(given), len(wanted))
    )


def _overlap(given: Sequence[str], wanted: Sequence[str], order: int) -> float:
    ours, theirs = _grams(given, order), _grams(wanted, order)
    return _f1((ours & theirs).total(), ours.total(), theirs.total())


def _grams(tokens: Sequence[str], order: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(tokens[start : start + order]) for start in range(len(tokens) - order + 1))


def _f1(common: int, given: int, wanted: int) -> float:
    """The harmonic mean of precision and recall; 0 where nothing is in common."""
    return 2 * common / (given + wanted) if common else 0.0


def _longest_common(given: Sequence[str], wanted: Sequence[str]) -> int:
    """Tokens in the longest common subsequence; time is the product of the lengths, memory one of them."""
    before = [0] * (len(wanted) + 1)
    for token in given:
        row = [0]
        for place, other in enumerate(wanted):
            row.append(before[place] + 1 if token == other else max(before[place + 1], row[place]))
        before = row
    return before[-1]
