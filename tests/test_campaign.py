"""The frame of `make campaign`: what it sums up, and that a section which does not end counts as wrong."""

import pytest

from tests.campaign import Count, apart, main, sections, table


def test_counts_of_one_kind_are_summed_and_what_is_wrong_is_seen() -> None:
    counts = [Count("flips", 99_000, 0), Count("attacks", 10, 0), Count("flips", 1_000, 2)]
    assert table(counts).splitlines() == [
        "             tried  wrong",
        "flips      100,000      2",
        "attacks         10      0",
        "accepted, answered wrongly or lost: 2",
    ]


def test_a_section_that_is_not_there_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rows", "nonsense"]) == 2
    assert "there is no section nonsense; there are: crash-first" in capsys.readouterr().out


def test_every_command_that_changes_a_box_has_a_section() -> None:
    named = {name.removeprefix("crash-") for name in sections() if name.startswith("crash-")}
    assert {"first", "resident", "migration", "rollback", "gc", "uninstall", "backup", "restore"} <= named


@pytest.mark.slow
def test_a_section_that_does_not_end_is_wrong() -> None:
    name, counts = apart("nonsense")
    assert (name, [count.wrong for count in counts]) == ("nonsense", [1])
