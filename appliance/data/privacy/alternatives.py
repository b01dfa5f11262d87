"""Lists of words as patterns that the regular expression engine searches fast.

It skips to the first characters of alternatives only where each begins with a plain character: a set, a
group, a lookaround or a switch of case in front makes it try every place, ten times as slowly.
"""

import re
from collections.abc import Iterable
from itertools import product


def any_of(words: Iterable[str]) -> str:
    """A group that matches one of `words`, the longest first; a word may end in a pattern."""
    return f"(?:{'|'.join(sorted(set(words), key=lambda word: (-len(word), word)))})"


def any_case(words: Iterable[str], then: str = "") -> str:
    """The same for English words: as they are, in capitals, and with one or every first letter large.

    then: a pattern that stands behind each.
    """
    return any_of(
        re.escape(form) + then
        for word in words
        for form in (word, word.upper(), word[:1].upper() + word[1:], word.title())
    )


def crossed(firsts: Iterable[str], lasts: Iterable[str]) -> list[str]:
    """Every word of the first list with every one of the second behind it."""
    return [first + last for first, last in product(firsts, lasts)]
