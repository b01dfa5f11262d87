"""Whether an answer is right. Pure."""

from typing import Literal


def is_right(answer: str, expected: str, judge: Literal["exact", "contains"]) -> bool:
    """`exact`: the answer is the expected text, outer white space aside. `contains`: it holds it."""
    given, wanted = answer.strip(), expected.strip()
    return given == wanted if judge == "exact" else wanted in given
