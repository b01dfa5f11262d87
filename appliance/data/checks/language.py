"""The language of answers, by their letters alone: Han characters against words of Latin letters.

One Han character weighs as much as five Latin letters, which are about a word. What most answers are in is
the set's own language; a set of two languages has none, and no finding.
"""

from collections import Counter
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from appliance.data.checks.batch import Batch
from appliance.data.checks.finding import Hits
from appliance.data.checks.letters import HAN, LATIN, OTHER
from appliance.data.checks.places import Places
from appliance.sentence import Sentence, say

UNDECIDED, CHINESE, LATIN_WORDS, OTHERS = range(4)
NAMES: dict[int, Sentence] = {
    CHINESE: say("Chinese"),
    LATIN_WORDS: say("Latin letters"),
    OTHERS: say("other letters"),
}
LETTERS_A_WORD = 5
LEAST = 6
"""Han characters and words in an answer whose language is told."""
MOST_SHARE = 0.8
"""Share of the answers that one language must have to be the set's own."""


class Languages:
    """Looks at batches in order; keeps two bytes for each row."""

    def __init__(self) -> None:
        self._found: list[NDArray[np.uint8]] = []
        self._texts: list[NDArray[np.bool_]] = []

    def look(self, batch: Batch) -> None:
        """Tell the language of each answer of `batch`."""
        han, latin, others = (batch.letters.counts(kind)[1::2] for kind in (HAN, LATIN, OTHER))
        weights = np.stack((han, latin / LETTERS_A_WORD, others / 2))
        told = weights.argmax(axis=0) + 1
        told[weights.sum(axis=0) < LEAST] = UNDECIDED
        # A call of a tool is in the words of its program.
        told[[bool(row.messages and row.messages[-1].calls) for row in batch.rows]] = UNDECIDED
        self._found.append(told.astype(np.uint8))
        self._texts.append(np.array([not row.messages for row in batch.rows], dtype=bool))

    def counts(self) -> Counter[int]:
        """Answers in each language; very short ones are in none."""
        found = Counter[int]()
        for each in self._found:
            found.update(each.tolist())
        del found[UNDECIDED]
        return found

    def hits(self) -> Iterator[Hits]:
        """Answers that are in another language than most."""
        counts = self.counts()
        if not counts:
            return
        ((most, count),) = counts.most_common(1)
        if count < MOST_SHARE * counts.total():
            return
        found = np.concatenate(self._found)
        other, is_text = (found != most) & (found != UNDECIDED), np.concatenate(self._texts)
        for field, those in (("answer", other & ~is_text), ("text", other & is_text)):
            at = np.flatnonzero(those)
            yield Hits("wrong-language", at, _words(found[at].tolist(), most), field)


def _words(languages: list[int], most: int) -> Callable[[int, Places], Sentence]:
    return lambda position, places: say(
        "is in {own}; most are in {most}", own=NAMES[languages[position]], most=NAMES[most]
    )
