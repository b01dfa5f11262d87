"""What can be seen of a row by itself, or beside what most rows are like."""

import re
from array import array
from collections.abc import Callable, Iterator

import numpy as np

from appliance.data.checks.batch import Batch, said
from appliance.data.checks.finding import Hits
from appliance.data.checks.spots import Spots
from appliance.run.rows import Row
from appliance.sentence import Sentence, say

PLACEHOLDERS = frozenset(
    ("null", "nan", "n/a", "na", "nil", "tbd", "todo", "undefined", "待补充", "待填写", "待填", "略")
    + ("#n/a", "#ref!", "#value!", "#name?", "#div/0!", "#null!", "#num!")
)
"""What stands where an answer was to be written, or where a spreadsheet failed. `none` and 无 are no such:
they answer many questions."""

SHORT_UNITS = 4
"""An answer is very short up to so many letters (a Han character counts as two), ..."""
USUAL_UNITS = 40
"""... where half of all answers are longer than this."""

LONG_UNITS = 60
"""From so many letters on, an answer is expected to end like a sentence, ..."""
ENDED_SHARE = 0.9
"""... where so many of the long ones do."""

OPEN_ENDS = frozenset(",，、；;：:（(【[「『《“‘")
"""No text ends with one of these."""

CLOSERS = "”’\"')）】]」』》*_` \n"
"""What may follow the end of a last sentence."""

LIST_LINE = re.compile(r"\s*(?:[-*•·#|>]|\d{1,3}[.、)）])")
"""A line of a list or a table: it needs no full stop."""

REFUSES = re.compile(
    r"(?:(?:非常|十分|很|真的)?(?:抱歉|对不起|不好意思)[，,。！! ]{0,3}[^。\n]{0,30}?"
    r"(?:无法|不能|没有|不便|不会|不了解|不清楚|不知道)"
    r"|我(?:无法|不能|不便)(?:提供|回答|协助|帮助|给出|为您|为你)"
    r"|(?:i['’]?\s?a?m )?(?:so |very |really |truly )?sorry\b[^.\n]{0,80}?"
    r"\b(?:can(?:no|['’])?t|can not|unable|not able|do(?:n['’]t| not))\b"
    r"|i (?:can(?:no|['’])t|can not|am (?:unable|not able) to)"
    r" (?:help|assist|provide|answer|give|offer|comply))",
    re.IGNORECASE,
)
AS_A_MODEL = re.compile(
    r"作为(?:一个|一名|一款)?(?:ai\b|人工智能|大?语言模型|大模型)"
    r"|\bas an? (?:ai|artificial intelligence|(?:large )?language model)\b",
    re.IGNORECASE,
)
HEAD = 200
"""Characters in which a refusal is looked for."""

UNCLOSED, OPEN_END, NO_END = range(3)
CUT: tuple[Sentence, ...] = (
    say("is cut off: what is opened in it (thoughts, a block of code) is not closed"),
    say("is cut off: it ends with a mark after which more must come"),
    say("may be cut off: it ends in mid-sentence, and most long answers here do not"),
)


class Answers:
    """Looks at batches in order; says at the end what it saw."""

    def __init__(self) -> None:
        self._spots = Spots()
        self._units = array("I")
        self._short: list[int] = []
        self._open: list[int] = []
        self._long = 0
        self._thinks: list[int] = []
        self._plain: list[int] = []

    def look(self, batch: Batch) -> None:
        """Look at the rows of `batch`."""
        units = batch.letters.units()[1::2].tolist()
        for place, (row, answer, length) in enumerate(zip(batch.rows, batch.answers, units, strict=True)):
            if row.kind == "text":
                continue
            at = batch.first + place
            self._units.append(length)
            if length == 0 or answer.strip().lower() in PLACEHOLDERS:
                self._spots.add("empty", "answer", at)
                continue
            if length <= SHORT_UNITS:
                self._short.append(at)
            self._alone(at, row, answer, length)
            if _same_letters(batch, place):
                self._spots.add("question-is-answer", "answer", at)
            (self._thinks if has_thoughts(row) else self._plain).append(at)

    def _alone(self, at: int, row: Row, answer: str, units: int) -> None:
        """What one answer shows."""
        if refuses(answer):
            self._spots.add("refusals", "answer", at)
        if row.rejected is not None and said(row.rejected).strip() == said(row.messages[-1]).strip():
            self._spots.add("same-choice", "rejected", at)
        how = cut_off(row.answer, answer, units)
        if how in (UNCLOSED, OPEN_END):
            self._spots.add("cut-off", "answer", at, how)
        elif units >= LONG_UNITS:
            self._long += 1
            if how == NO_END:
                self._open.append(at)

    def hits(self) -> Iterator[Hits]:
        """All that is found."""
        if self._open and len(self._open) <= (1 - ENDED_SHARE) * self._long:
            for at in self._open:
                self._spots.add("cut-off", "answer", at, NO_END)
        if self._units and np.median(np.array(self._units)) >= USUAL_UNITS:
            for at in self._short:
                self._spots.add("too-short", "answer", at)
        fewer, more = sorted((self._thinks, self._plain), key=len)
        for at in fewer:
            self._spots.add("thinking-mixed", "answer", at, 1 + (fewer is self._thinks) if more else 0)
        yield from self._spots.hits(WORDS)


WORDS: dict[str, Callable[[int], Sentence]] = {
    "empty": lambda _: say("is empty, or a placeholder"),
    "too-short": lambda _: say("is a word or two, and most answers here are longer"),
    "cut-off": lambda how: CUT[how],
    "question-is-answer": lambda _: say("is the question again"),
    "same-choice": lambda _: say("is the same as the better answer"),
    "refusals": lambda _: say("refuses to answer"),
    "thinking-mixed": lambda thinks: (
        say("has thoughts; most answers have none")
        if thinks == 2
        else say("has no thoughts; most answers have")
    ),
}


def refuses(answer: str) -> bool:
    """Whether an answer begins as a refusal does, or speaks of itself as a model."""
    head = answer[:HEAD].lstrip("*_\"'“‘ ")
    return REFUSES.match(head) is not None or AS_A_MODEL.search(head) is not None


def cut_off(whole: str, answer: str, units: int) -> int | None:
    """How an answer seems to be cut off, if it does; of the last way only long ones are suspected.

    whole: with its thoughts
    """
    if ("<think>" in whole and "</think>" not in whole) or answer.count("```") % 2:
        return UNCLOSED
    end = answer.rstrip()
    if end[-1:] in OPEN_ENDS:
        return OPEN_END
    if units < LONG_UNITS or not end.rstrip(CLOSERS)[-1:].isalnum():
        return None
    return None if LIST_LINE.match(end.rpartition("\n")[2]) else NO_END


def has_thoughts(row: Row) -> bool:
    """Whether thoughts stand before the answer; an empty pair of tags is none."""
    before, tag, _ = row.answer.partition("</think>")
    return bool(tag) and bool(before.replace("<think>", "").strip())


def _same_letters(batch: Batch, place: int) -> bool:
    question, answer = batch.letters.of(2 * place), batch.letters.of(2 * place + 1)
    return len(question) == len(answer) and bool((question == answer).all())
