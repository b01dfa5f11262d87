"""Sentences as wards write them, made to break the rules for patients' data."""

import re
import tomllib
from pathlib import Path

import pytest

from appliance.data.privacy.detector import Detector

NOTES = Path(__file__).with_name("notes")
HARD = tomllib.loads((NOTES / "hard.toml").read_text(encoding="utf-8"))
NOT_NAMES = tomllib.loads((NOTES / "not_names.toml").read_text(encoding="utf-8"))
MARK = re.compile(r"\[\[([a-z-]+):(.*?)\]\]", re.DOTALL)
KNOWN_MISSES = frozenset(HARD["known_misses"])
"""Nicknames, numerals and conjunctions in names, names beside which no word asks for one, and the like."""


def marked(sentence: str) -> tuple[str, list[tuple[str, int, int]]]:
    """The text of a marked sentence, and what is in it: (kind, first character, the one after the last)."""
    text, truth, at = "", [], 0
    for match in MARK.finditer(sentence):
        text += sentence[at : match.start()]
        truth.append((match[1], len(text), len(text) + len(match[2])))
        text += match[2]
        at = match.end()
    return text + sentence[at:], truth


@pytest.mark.parametrize("sentence", [*HARD["chinese"], *HARD["english"]])
def test_what_a_ward_writes_is_found_with_its_kind_and_nothing_else_is(sentence: str) -> None:
    text, truth = marked(sentence)
    found = Detector().find(text)
    covered = {at for one in found for at in range(one.start, one.end)}
    for kind, start, end in truth:
        if text[start:end] not in KNOWN_MISSES:
            assert covered.issuperset(range(start, end)), text[start:end]
            assert kind in {one.kind for one in found if one.start < end and start < one.end}
    for one in found:
        assert any(one.start < end and start < one.end for _, start, end in truth), text[one.start : one.end]


@pytest.mark.parametrize("sentence", HARD["harmless"])
def test_a_sentence_without_an_identifier_stays_as_it_is(sentence: str) -> None:
    assert [sentence[one.start : one.end] for one in Detector().find(sentence)] == []


def test_what_is_known_to_be_missed_is_a_small_part_and_no_more_than_that() -> None:
    detector = Detector()
    there, missed = 0, set()
    for sentence in (*HARD["chinese"], *HARD["english"]):
        text, truth = marked(sentence)
        covered = {at for one in detector.find(text) for at in range(one.start, one.end)}
        there += len(truth)
        missed |= {text[start:end] for _, start, end in truth if not covered.issuperset(range(start, end))}
    assert missed == KNOWN_MISSES and len(missed) < 0.08 * there


def test_diseases_drugs_and_methods_called_after_people_are_no_names() -> None:
    chinese, english = NOT_NAMES["chinese"].split(), NOT_NAMES["english"]
    assert len(chinese) >= 100 and len(english) >= 50
    around = {
        "chinese": NOT_NAMES["around_chinese"],
        "english": NOT_NAMES["around_english"],
    }
    detector = Detector()
    wrong = {
        sentence: [sentence[one.start : one.end] for one in found]
        for language, words in (("chinese", chinese), ("english", english))
        for word in words
        for sentence in (frame.replace("{}", word) for frame in around[language])
        if (found := detector.find(sentence))
    }
    assert wrong == {}
