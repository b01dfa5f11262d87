"""Mixing: the order is that of `datasets.interleave_datasets`, shares come out, nothing is lost."""

from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.cli import main
from appliance.data.mix import STRATEGIES, Part, Plan, Recipe, Strategy, look_through, mixed, plan_mix
from appliance.errors import BadInput
from appliance.run.rows import Message, Problem, Row

STOPS = {"under": "first_exhausted", "over": "all_exhausted", "once": "all_exhausted_without_replacement"}
"""What LLaMA-Factory hands to `datasets` for its `interleave_*`: src/llamafactory/data/data_utils.py."""


def rows(name: str, count: int, *, length: int = 1) -> list[Row]:
    return [
        Row((Message("user", f"{name} {at}"), Message("assistant", "x" * length)), name, name * 64, at + 1)
        for at in range(count)
    ]


def parts_of(*counts: int, lengths: Sequence[int] = ()) -> tuple[list[Part], list[list[Row]]]:
    """Sets a, b, … of so many rows; rows of the n-th have answers of `lengths[n]` signs, a token each."""
    sets = [
        rows(chr(97 + at), count, length=lengths[at] if lengths else 1) for at, count in enumerate(counts)
    ]
    return [look_through(each[0].file, each, lambda row: len(row.answer)) for each in sets], sets


def streams(sets: Sequence[Iterable[Row | Problem]]) -> list[object]:
    return [lambda each=each: iter(each) for each in sets]


def came_out(plan: Plan, parts: list[Part], sets: Sequence[Iterable[Row | Problem]]) -> list[tuple[str, int]]:
    return [(row.file, row.row) for row in mixed(plan, parts, streams(sets))]  # type: ignore[arg-type]


def by_datasets(
    counts: Sequence[int], shares: Sequence[float], strategy: Strategy, seed: int
) -> list[tuple[str, int]]:
    """The same from the library that LLaMA-Factory uses."""
    from datasets import Dataset, interleave_datasets

    sets = [
        Dataset.from_dict({"file": [chr(97 + at)] * count, "row": list(range(1, count + 1))})
        for at, count in enumerate(counts)
    ]
    whole = [share / sum(shares) for share in shares] or None
    found = interleave_datasets(sets, probabilities=whole, seed=seed, stopping_strategy=STOPS[strategy])
    return [(each["file"], each["row"]) for each in found]


@pytest.mark.parametrize("strategy", sorted(STOPS))
@pytest.mark.parametrize(
    ("counts", "shares"),
    [
        ((3, 4, 5), ()),
        ((3, 4, 3), ()),
        ((7, 2), (25, 75)),
        ((1500, 700, 40), (22.5, 67.5, 10)),
        ((5, 5), (1, 1)),
        ((1, 3000), (1, 3)),
    ],
)
def test_takes_turns_as_datasets_does(
    counts: tuple[int, ...], shares: tuple[float, ...], strategy: Strategy
) -> None:
    parts, sets = parts_of(*counts)
    for seed in (1, 42):
        plan = plan_mix(parts, Recipe(strategy, shares, seed=seed))
        assert came_out(plan, parts, sets) == by_datasets(counts, shares, strategy, seed)


def test_one_after_another_as_they_come() -> None:
    parts, sets = parts_of(3, 2)
    expected = [("a", 1), ("a", 2), ("a", 3), ("b", 1), ("b", 2)]
    assert came_out(plan_mix(parts, Recipe()), parts, sets) == expected


def test_a_quarter_of_reasoning_to_three_of_dialogue_and_a_tenth_of_general_rows() -> None:
    parts, sets = parts_of(400, 900, 5000)
    plan = plan_mix(parts, Recipe(shares=(22.5, 67.5, 10)))
    # Dialogue is the scarcest: 900 rows are 67.5 %, so there are 1333 rows in all.
    assert plan.rows == (300, 900, 133)
    out = came_out(plan, parts, sets)
    assert len(out) == len(set(out)) == 1333
    assert [file for file, _ in out] == sorted(file for file, _ in out)
    assert [number for file, number in out if file == "a"] == sorted(
        number for file, number in out if file == "a"
    )
    assert max(number for file, number in out if file == "c") > 4000  # from all of it, not from its beginning


def test_shares_of_tokens_come_out_in_tokens() -> None:
    parts, _ = parts_of(1000, 1000, lengths=(90, 10))
    concat = plan_mix(parts, Recipe(shares=(25, 75), measure="tokens"))
    assert concat.tokens == (3330, 10000) and concat.rows == (37, 1000)
    for strategy in ("under", "over", "once"):
        turns = plan_mix(parts, Recipe(strategy, (25, 75), measure="tokens"))
        if strategy != "once":  # which takes all there is
            assert turns.share(0, "tokens") == pytest.approx(0.25, abs=0.05)
    assert plan_mix(parts, Recipe("under", (25, 75))).share(0, "tokens") > 0.7


def test_a_cap_takes_rows_from_everywhere_the_same_each_time() -> None:
    parts, sets = parts_of(1000, 10)
    plan = plan_mix(parts, Recipe(caps=(50, 0), seed=3))
    assert plan.rows == (50, 10)
    out = came_out(plan, parts, sets)
    assert out == came_out(plan_mix(parts, Recipe(caps=(50, 0), seed=3)), parts, sets)
    assert out != came_out(plan_mix(parts, Recipe(caps=(50, 0), seed=4)), parts, sets)
    assert 300 < sum(number for file, number in out if file == "a") / 50 < 700


def test_what_comes_out_says_that_it_was_mixed_and_where_it_came_from() -> None:
    parts, sets = parts_of(1, 1)
    (first, _) = mixed(plan_mix(parts, Recipe()), parts, streams(sets))  # type: ignore[arg-type]
    assert (first.file, first.source_sha256, first.row, first.steps) == ("a", "a" * 64, 1, ("mixed",))


def test_rows_that_cannot_be_used_are_counted_and_left_out() -> None:
    bad = Problem("a", 2, "output", "is empty", "fill it in")
    items = [rows("a", 1)[0], bad, *rows("a", 3)[2:]]
    part = look_through("a", items, None)
    assert (len(part.lengths), part.refused, part.problems) == (2, 1, [bad])
    assert came_out(plan_mix([part], Recipe()), [part], [items]) == [("a", 1), ("a", 3)]


@pytest.mark.parametrize("after", [rows("a", 2), rows("b", 3)])
def test_a_file_that_changes_meanwhile_is_never_mixed(after: list[Row]) -> None:
    part = look_through("ward.csv", rows("a", 3), None)
    with pytest.raises(BadInput, match=r"ward\.csv changed"):
        came_out(plan_mix([part], Recipe()), [part], [after])


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        (Recipe(shares=(1,)), "2 sets and 1 shares"),
        (Recipe(caps=(1, 2, 3)), "2 sets and 3 caps"),
        (Recipe(shares=(1, 0)), "more than 0"),
        (Recipe(shares=(1, -1)), "more than 0"),
        (Recipe(shares=(1, float("nan"))), "more than 0"),
        (Recipe("under", (1, float("inf"))), "more than 0"),
        (Recipe("under", (1e308, 1e308)), "more than 0"),
        (Recipe(shares=(5e-324, 5e-324)), "more than 0"),
        (Recipe(caps=(1, -1)), "less than 0"),
        (Recipe("over", (1, 1e-12)), "no end"),
    ],
)
def test_refuses(recipe: Recipe, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        plan_mix(parts_of(2, 2)[0], recipe)


def test_a_cap_that_is_no_number_of_rows_is_refused_and_not_read_as_none(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"prompt": "a", "completion": "b"}\n')
    done = CliRunner().invoke(main, ["data", "mix", str(path), "--caps", "0.5", "--check"])
    assert done.exit_code == 2 and "--caps takes numbers of rows" in done.output


def test_an_empty_set_is_named() -> None:
    with pytest.raises(BadInput, match=r"empty\.json holds no row"):
        plan_mix([*parts_of(2)[0], Part("empty.json")], Recipe())


@given(
    st.lists(st.integers(1, 60), min_size=1, max_size=4),
    st.sampled_from(STRATEGIES),
    st.integers(0, 5),
    st.data(),
)
@settings(max_examples=60, deadline=None)
def test_rows_come_out_as_planned_whatever_the_recipe(
    counts: list[int], strategy: Strategy, seed: int, data: st.DataObject
) -> None:
    shares = data.draw(st.lists(st.integers(1, 9), min_size=len(counts), max_size=len(counts)) | st.just([]))
    caps = data.draw(st.lists(st.integers(0, 70), min_size=len(counts), max_size=len(counts)) | st.just([]))
    parts, sets = parts_of(*counts, lengths=[at + 1 for at in range(len(counts))])
    plan = plan_mix(parts, Recipe(strategy, tuple(shares), tuple(caps), seed=seed))
    out = Counter(came_out(plan, parts, sets))
    by_part = tuple(sum(n for (file, _), n in out.items() if file == part.name) for part in parts)
    assert by_part == plan.rows
    assert plan.tokens == tuple(count * (at + 1) for at, count in enumerate(plan.rows))
    capped = [min(count, caps[at]) if caps and caps[at] else count for at, count in enumerate(counts)]
    for at, part in enumerate(parts):
        different = {number for file, number in out if file == part.name}
        assert different <= set(range(1, counts[at] + 1)) and len(different) <= capped[at]
    if strategy in ("concat", "under", "once"):
        assert set(out.values()) <= {1}
    if strategy in ("over", "once"):
        assert [len({n for file, n in out if file == part.name}) for part in parts] == capped


def test_the_lengths_of_rows_are_all_that_is_kept_of_them() -> None:
    part = look_through("a", (row for row in rows("a", 5000)), None)
    assert isinstance(part.lengths, array)
    kept = [value for value in vars(part).values() if isinstance(value, list | set)]
    assert sum(len(each) for each in kept) == 1  # the file's hash
