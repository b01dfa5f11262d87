"""Rows that are nearly the same: against every pair compared by hand, and what is paired with what."""

import random
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from appliance.data.checks.batch import batches
from appliance.data.checks.check import Checked, check_rows
from appliance.data.checks.letters import letters_of
from appliance.data.checks.near import ALIKE, Candidates, NearDuplicates, alike, jaccard
from appliance.data.checks.shingles import BANDS, ROWS_A_BAND, band_hashes, row_starts, shingles
from appliance.run.rows import Message, Row

CHINESE = (
    "患者因反复胸闷气促三月余入院既往有高血压病史十余年长期口服降压药物控制尚可查体双肺呼吸音粗"
    "未闻及明显干湿啰音心界向左下扩大心率齐各瓣膜听诊区无杂音腹软无压痛双下肢轻度水肿入院后完善检查"
    "予以利尿扩血管改善心功能等治疗症状好转今日出院嘱低盐饮食按时服药定期门诊复查如有不适随时就诊"
)
ENGLISH = re.findall(
    "[a-z]+",
    """
    the patient was admitted with chest pain and shortness of breath after walking up stairs for some weeks
    there is a history of raised pressure treated with tablets once daily lungs were clear heart sounds normal
    abdomen soft both legs slightly swollen after water tablets he felt better and went home today he should
    weigh himself each morning eat little salt take all tablets and come back when breathing gets worse again
    """,
)


def made_up(count: int, seed: int) -> list[str]:
    """Texts of both languages; of about half of them one or two copies with a few places changed."""
    pick = random.Random(seed)
    texts: list[str] = []
    while len(texts) < count:
        if pick.random() < 0.6:
            pieces = [pick.choice(CHINESE) for _ in range(pick.randint(20, 120))]
            glue, words = "", list(CHINESE)
        else:
            pieces = [pick.choice(ENGLISH) for _ in range(pick.randint(10, 60))]
            glue, words = " ", ENGLISH
        texts.append(glue.join(pieces))
        for _ in range(pick.choice((0, 0, 1, 2))):
            copy = list(pieces)
            for _ in range(pick.randint(1, max(2, len(copy) // 9))):
                copy[pick.randrange(len(copy))] = pick.choice(words)
            texts.append(glue.join(copy))
    pick.shuffle(texts)
    return texts[:count]


def windows(text: str) -> set[str]:
    """Shingles by the letter of their definition: four letters, a Han character counted as two."""
    letters = [each for each in unicodedata.normalize("NFKC", text).casefold() if each.isalnum()]
    found = set()
    for first in range(len(letters)):
        spread = "".join(each * 2 if "\u4e00" <= each <= "\u9fff" else each for each in letters[first:])[:4]
        if len(spread) == 4 or first == 0:
            found.add(spread)
    return found


def by_hand(one: set[str], other: set[str]) -> float:
    return len(one & other) / len(one | other)


def rows_of(texts: Iterable[str]) -> list[Row]:
    """Each text as a question and an answer."""
    return [
        Row((Message("user", text[:9]), Message("assistant", text[9:])), "a", "0" * 64, number)
        for number, text in enumerate(texts)
    ]


def check(rows: list[Row]) -> Checked:
    return check_rows(lambda: rows)


def pairs_of(rows: list[Row]) -> list[tuple[int, int, float]]:
    near = NearDuplicates()
    for batch in batches(rows):
        near.look(batch)
    return list(alike(near.candidates(np.zeros(len(rows), dtype=bool)), batches(rows)))


@pytest.mark.parametrize("text", ["高血压5mg药", "abc", "a", "高", "高血", "Chest pain, 胸痛", "１２ mmHg"])
def test_shingles_are_as_many_as_their_definition_says(text: str) -> None:
    letters = letters_of([text, ""])
    hashes, starts = shingles(letters, row_starts(letters))
    assert len(np.unique(hashes)) == len(windows(text))
    assert starts.tolist() == [0, len(hashes)]


def test_shingles_of_a_row_do_not_reach_into_the_next() -> None:
    texts = ["高血压", "", "pain", "", "", "", "糖尿病5", ""]
    letters = letters_of(texts)
    hashes, starts = shingles(letters, row_starts(letters))
    alone = [shingles(one := letters_of([text, ""]), row_starts(one))[0].tolist() for text in texts[::2]]
    together = [hashes[a:b].tolist() for a, b in zip(starts[:-1], starts[1:], strict=True)]
    assert together == alone
    assert together[2] == []


def test_the_index_is_the_share_of_common_shingles() -> None:
    one, other = np.array([1, 2, 3, 5], dtype=np.uint64), np.array([2, 3, 4, 9, 11], dtype=np.uint64)
    assert jaccard(one, other) == jaccard(other, one) == 2 / 7
    assert jaccard(one, one) == 1


@pytest.mark.parametrize("seed", [1, 2])
def test_what_is_found_is_what_comparing_every_pair_finds(seed: int) -> None:
    texts = made_up(600, seed)
    sets = [windows(text) for text in texts]
    truth = {(b, a) for a, b in combinations(range(len(texts)), 2) if by_hand(sets[a], sets[b]) >= ALIKE}
    found = pairs_of(rows_of(texts))
    assert all((row, earlier) in truth for row, earlier, _ in found)  # no false pair
    for row, earlier, score in found:
        assert score == pytest.approx(by_hand(sets[row], sets[earlier]))
    wanted = {row for row, _ in truth}
    assert len(wanted) > 100
    given_up = {row for row, _, _ in found}
    alone = {row for row in wanted if row not in given_up and not _near_one_given_up(row, truth, given_up)}
    assert len(alone) <= 0.01 * len(wanted)


def _near_one_given_up(row: int, truth: set[tuple[int, int]], given_up: set[int]) -> bool:
    """Whether all earlier rows that it resembles were given up themselves: then it stays."""
    return all(earlier in given_up for later, earlier in truth if later == row)


def test_bands_let_through_what_their_formula_says() -> None:
    pick = random.Random(5)
    shared = 0
    rounds = 400
    for number in range(rounds):  # pairs of 40 and 40 shingles of which 32 are common: 32 / 48
        common = [f"{number}c{place:02d}" for place in range(32)]
        sides = [common + [f"{number}{side}{place:02d}" for place in range(8)] for side in "xy"]
        hashes = np.array([pick.getrandbits(64) for _ in range(48)], dtype=np.uint64)
        known = {name: hashes[place] for place, name in enumerate(dict.fromkeys(sides[0] + sides[1]))}
        both = np.array([known[name] for side in sides for name in side], dtype=np.uint64)
        bands = band_hashes(both, np.array([0, 40, 80]))
        shared += bool((bands[0] == bands[1]).any())
    expected = 1 - (1 - (32 / 48) ** ROWS_A_BAND) ** BANDS  # 0.77
    assert shared / rounds == pytest.approx(expected, abs=0.08)  # 3.8 standard deviations


def test_a_row_is_paired_with_one_that_stays() -> None:
    first = CHINESE[:60]
    second = first[:10] + "今" + first[11:]
    third = second[:50] + "昨" + second[51:]
    fourth = third[:30] + "明" + third[31:]
    sets = [windows(text) for text in (first, second, third, fourth)]
    assert by_hand(sets[2], sets[3]) >= ALIKE > by_hand(sets[0], sets[3]) - 0.1
    found = pairs_of(rows_of([first, second, third, fourth]))
    gone = {row for row, _, _ in found}
    assert gone and all(earlier not in gone for _, earlier, _ in found)


def test_candidates_are_compared_even_where_the_likeliest_is_none() -> None:
    rows = rows_of([CHINESE[:60], CHINESE[60:120], CHINESE[:59] + "今"])
    wanted = Candidates(np.array([2], np.int32), np.array([[1, 0, -1, -1]], np.int32))
    ((row, earlier, _),) = alike(wanted, batches(rows))
    assert (row, earlier) == (2, 0)


def test_thousands_that_are_alike_are_each_told_once() -> None:
    base = CHINESE[:100]
    rows = rows_of(f"{base}{chr(0x4E00 + number)}" for number in range(3000))
    found = pairs_of(rows)
    assert len(found) == 2999
    assert {earlier for _, earlier, _ in found} == {0}


def test_rows_without_letters_are_like_nothing() -> None:
    rows = rows_of(["。。。。。。。。。。。。", "，，，，，，，，，，，，", CHINESE[:40]])
    assert pairs_of(rows) == []


def test_batches_cut_anywhere_give_the_same_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = rows_of(made_up(120, 9))
    whole = pairs_of(rows)
    monkeypatch.setattr("appliance.data.checks.batch.ROWS", 7)
    assert pairs_of(rows) == whole and whole


def test_a_worse_answer_or_a_label_that_differs_parts_two_rows() -> None:
    one, other = rows_of([CHINESE[:60], CHINESE[:59] + "今"])
    assert check([one, other]).counts() == {"near-duplicates": 1}
    worse = [
        replace(each, rejected=Message("assistant", text)) for each, text in ((one, "甲"), (other, "乙"))
    ]
    assert "near-duplicates" not in check(worse).counts()
    same = [replace(each, rejected=Message("assistant", "甲")) for each in (one, other)]
    assert check(same).counts() == {"near-duplicates": 1}
    judged = [replace(one, label=True), replace(other, label=False)]
    assert "near-duplicates" not in check(judged).counts()


def test_the_system_prompt_makes_no_rows_alike() -> None:
    system = Message("system", CHINESE)
    rows = [
        Row(
            (system, Message("user", f"{word}？"), Message("assistant", f"在{word}的{word}。")),
            "a",
            "0" * 64,
            n,
        )
        for n, word in enumerate(("外科", "内科", "药房"))
    ]
    assert check(rows).counts() == {}
