"""The sections on what the model answered before and after, rows that got worse first. Pure."""

from collections.abc import Sequence

from appliance.evaluation.results import Answer
from appliance.locale.voice import Voice
from appliance.report.blocks import Column, Paragraph, Section, Table, shortened
from appliance.report.facts import Facts
from appliance.report.figures import arrow, change, percent
from appliance.report.gaps import Missing, gap

SHOWN_ROWS = 25
"""Rows of one set in the report, more where more right answers were lost."""

MOST_ROWS = 200
"""Rows of one set, however many were lost."""

SHOWN_CHARACTERS = 200
"""Of a question or an answer."""

MOST = 1e300
"""A perplexity beyond every other: one that is no finite number."""

Pair = tuple[Answer, Answer]
"""One row before and after."""


def lost(answers: Sequence[Pair]) -> list[Pair]:
    """The rows that were right before and are wrong after."""
    return [pair for pair in answers if pair[0].right and not pair[1].right]


def worst_first(answers: Sequence[Pair]) -> list[Pair]:
    """By what the tuning did: a right answer lost, then ROUGE-L, then perplexity; else in their order."""

    def gain(pair: Pair) -> tuple[int, float, float]:
        before, after = pair
        worse = min(after.perplexity or MOST, MOST) - min(before.perplexity or MOST, MOST)
        return int(after.right) - int(before.right), after.rouge_l - before.rouge_l, -worse

    return sorted(answers, key=gain)


def evaluation_section(facts: Facts, say: Voice) -> Section:
    """All sets, a line each."""
    summary = facts.summary
    if isinstance(summary, Missing):
        return Section(say("Before and after"), (gap(say("the evaluation"), summary, say),))
    columns = (
        *(Column(say("Questions")), Column(say("Judged by")), Column(say("Asked"), "number")),
        *(Column(say("Right"), "number"), Column(say("Equal"), "number"), Column("BLEU", "number")),
        *(Column(f"ROUGE-{which}", "number") for which in ("1", "2", "L")),
        Column(say("Perplexity"), "number"),
    )
    judges = {"exact": say("exact"), "contains": say("contains")}
    rows = []
    for each in summary.sets:
        asked = str(each.questions)
        if each.questions != each.rows:
            asked = say("{part} of {whole}", part=each.questions, whole=each.rows)
        b, a = each.before, each.after
        equal = arrow(percent(b.exact, say), percent(a.exact, say), say)
        rows.append(
            (
                *(each.name, judges[each.judge], asked, arrow(each.right_before, each.right_after, say)),
                *(equal, change(b.bleu, a.bleu, say, digits=1)),
                change(b.rouge_1, a.rouge_1, say, digits=2),
                change(b.rouge_2, a.rouge_2, say, digits=2),
                change(b.rouge_l, a.rouge_l, say, digits=2),
                change(b.perplexity, a.perplexity, say),
            )
        )
    said = say(
        "The same questions to the base alone and to the tuned model, answered greedily, at most {most} new "
        "tokens. Each figure is given before → after, over the questions asked.",
        most=summary.max_new_tokens,
    )
    remark = say(
        "Right: equal to the expected answer, or, where a set is judged by “contains”, holding it; in such a "
        "set BLEU and ROUGE compare a whole answer with a part of one and say little. What is thought before "
        "an answer (<think>) is judged by perplexity alone. BLEU: 0 to 100, as sacrebleu with tok:zh, "
        "eff:yes. ROUGE: F1 over characters of Chinese and words of other languages, 0 to 1. Perplexity: of "
        "the expected answers and the tokens that end them; 1 is certain."
    )
    table = Table(columns, tuple(rows))
    known = [
        Paragraph(
            say(
                "Of the questions in “{set}” {part} of {whole} were trained on: right answers there may be "
                "known by heart, and tell nothing of questions that are new.",
                set=each.name,
                part=each.trained_on,
                whole=each.questions,
            ),
            "caution",
        )
        for each in summary.sets
        if each.trained_on
    ]
    return Section(say("Before and after"), (Paragraph(said), table, *known, Paragraph(remark, "quiet")))


def answer_sections(facts: Facts, say: Voice) -> list[Section]:
    """One section a set, with its rows."""
    if isinstance(facts.answers, Missing):
        return []
    by_set: dict[str, list[Pair]] = {}
    for pair in facts.answers:
        by_set.setdefault(pair[0].set, []).append(pair)
    return [_answers(name, pairs, say) for name, pairs in by_set.items()]


def _answers(name: str, pairs: Sequence[Pair], say: Voice) -> Section:
    columns = (
        Column(say("Row"), "number"),
        *(
            Column(title, "prose")
            for title in (say("Question"), say("Expected"), say("Before"), say("After"))
        ),
        Column(say("Verdict"), "short"),
        Column("ROUGE-L", "number"),
    )
    verdict = {True: say("right"), False: say("wrong")}
    rows = []
    shown = worst_first(pairs)[: min(MOST_ROWS, max(SHOWN_ROWS, len(lost(pairs))))]
    for before, after in shown:
        texts = before.question, before.expected, before.answer, after.answer
        cut = (shortened(text, SHOWN_CHARACTERS, say) for text in texts)
        verdicts = arrow(verdict[before.right], verdict[after.right], say)
        overlap = change(before.rouge_l, after.rouge_l, say, digits=2)
        rows.append((str(before.row), *cut, verdicts, overlap))
    count = say(
        "{shown} of {total} rows shown, rows that got worse first. Right before and wrong after: {lost}. All "
        "rows stand in evaluation/before.jsonl and evaluation/after.jsonl.",
        shown=len(shown),
        total=len(pairs),
        lost=len(lost(pairs)),
    )
    hidden = say("Characters that cannot be seen, or turn the reading direction, are written as ⟨U+code⟩.")
    title, table = say("Answers in “{set}”", set=name), Table(columns, tuple(rows))
    return Section(title, (Paragraph(count), table, Paragraph(hidden, "quiet")))
