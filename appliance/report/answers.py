"""The sections on what the model answered before and after, rows that got worse first. Pure."""

from collections.abc import Sequence

from appliance.evaluation.results import Answer
from appliance.report.blocks import Column, Paragraph, Section, Table, shortened
from appliance.report.facts import Facts
from appliance.report.figures import change
from appliance.report.gaps import Missing, gap
from appliance.report.words import Words

SHOWN_ROWS = 25
"""Rows of one set in the report, more where more right answers were lost."""

MOST_ROWS = 200
"""Rows of one set, however many were lost."""

SHOWN_CHARACTERS = 200
"""Of a question or an answer."""

Pair = tuple[Answer, Answer]
"""One row before and after."""


def lost(answers: Sequence[Pair]) -> list[Pair]:
    """The rows that were right before and are wrong after."""
    return [pair for pair in answers if pair[0].right and not pair[1].right]


def worst_first(answers: Sequence[Pair]) -> list[Pair]:
    """By what the tuning did: a right answer lost, then ROUGE-L, then perplexity; else in their order."""

    def gain(pair: Pair) -> tuple[int, float, float]:
        before, after = pair
        worse = (after.perplexity or 0.0) - (before.perplexity or 0.0)
        return int(after.right) - int(before.right), after.rouge_l - before.rouge_l, -worse

    return sorted(answers, key=gain)


def evaluation_section(facts: Facts, words: Words) -> Section:
    """All sets, a line each."""
    summary = facts.summary
    if isinstance(summary, Missing):
        return Section(words.evaluation, (gap(words.the_evaluation, summary, words),))
    columns = (
        *(Column(words.questions), Column(words.judge), Column(words.asked, "number")),
        *(Column(words.right, "number"), Column(words.exact, "number"), Column("BLEU", "number")),
        *(Column(f"ROUGE-{which}", "number") for which in ("1", "2", "L")),
        Column(words.perplexity, "number"),
    )
    rows = []
    for each in summary.sets:
        asked = str(each.questions)
        if each.questions != each.rows:
            asked = words.asked_of.format(each.questions, each.rows)
        b, a = each.before, each.after
        equal = (f"{100 * scores.exact:.0f} %" for scores in (b, a))
        rows.append(
            (
                *(each.name, each.judge, asked, words.arrow.format(each.right_before, each.right_after)),
                *(words.arrow.format(*equal), change(b.bleu, a.bleu, words, digits=1)),
                change(b.rouge_1, a.rouge_1, words, digits=2),
                change(b.rouge_2, a.rouge_2, words, digits=2),
                change(b.rouge_l, a.rouge_l, words, digits=2),
                change(b.perplexity, a.perplexity, words),
            )
        )
    said = Paragraph(words.evaluation_text.format(summary.max_new_tokens))
    return Section(words.evaluation, (said, Table(columns, tuple(rows)), Paragraph(words.figures, "quiet")))


def answer_sections(facts: Facts, words: Words) -> list[Section]:
    """One section a set, with its rows."""
    if isinstance(facts.answers, Missing):
        return []
    by_set: dict[str, list[Pair]] = {}
    for pair in facts.answers:
        by_set.setdefault(pair[0].set, []).append(pair)
    return [_answers(name, pairs, words) for name, pairs in by_set.items()]


def _answers(name: str, pairs: Sequence[Pair], words: Words) -> Section:
    columns = (
        Column(words.row, "number"),
        *(Column(title, "prose") for title in (words.question, words.expected, words.before, words.after)),
        Column(words.verdict, "short"),
        Column("ROUGE-L", "number"),
    )
    rows = []
    shown = worst_first(pairs)[: min(MOST_ROWS, max(SHOWN_ROWS, len(lost(pairs))))]
    for before, after in shown:
        texts = before.question, before.expected, before.answer, after.answer
        cut = (shortened(text, SHOWN_CHARACTERS, words.more_characters) for text in texts)
        verdicts = (words.is_right if each.right else words.is_wrong for each in (before, after))
        overlap = change(before.rouge_l, after.rouge_l, words, digits=2)
        rows.append((str(before.row), *cut, words.arrow.format(*verdicts), overlap))
    count = words.rows_shown.format(len(shown), len(pairs), len(lost(pairs)))
    return Section(
        words.rows.format(name),
        (Paragraph(count), Table(columns, tuple(rows)), Paragraph(words.hidden, "quiet")),
    )
