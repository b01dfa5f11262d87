"""Whether an answer is right. Pure."""

from typing import Literal

THOUGHTS, THOUGHTS_END = "<think>", "</think>"


def spoken(text: str) -> str:
    """What a text says, without blanks around it and without what was thought before; thoughts that never
    end say nothing."""
    before, end, after = text.rpartition(THOUGHTS_END)
    if not end and text.lstrip().startswith(THOUGHTS):
        return before.strip()
    return after.strip()


def is_right(answer: str, expected: str, judge: Literal["exact", "contains"]) -> bool:
    """`exact`: what the answer says is what the expected text says. `contains`: it holds that.

    Where nothing is expected to be said, only nothing is right.
    """
    given, wanted = spoken(answer), spoken(expected)
    return given == wanted if judge == "exact" or not wanted else wanted in given
