"""The section on the training: its course in figures, the curve, the warnings. Pure."""

from collections.abc import Sequence

from appliance.report.blocks import Block, Column, Curve, Pairs, Paragraph, Section, Table
from appliance.report.facts import Facts
from appliance.report.figures import moment, number
from appliance.report.words import Words

SHOWN_WARNINGS = 50
TABLE_STEPS = 10
"""Steps in the table beside the curve, at most."""

HELD_OUT_RISE = 1.02
"""The held-out loss has risen when the last is this many times the lowest."""


def training_section(facts: Facts, words: Words) -> Section:
    """All of it; the figures of the curve stand in a table too."""
    story = facts.story
    rows = [
        (words.began, moment(story.began, words)),
        (words.ended, moment(story.ended, words)),
        (words.steps, words.of.format(story.step, story.steps)),
        (words.learned_tokens, number(story.learned_tokens, words)),
        (words.speed, words.speed_text.format(number(story.tokens_per_s, words))),
        (words.memory, f"{number(story.memory_bytes, words)} B"),
        (words.resumed, ", ".join(map(str, story.resumed)) or words.none),
    ]
    blocks: list[Block] = []
    if story.losses:
        last = [loss for _, loss in story.losses[-max(1, len(story.losses) // 20) :]]
        rows.append((words.first_loss, number(story.losses[0][1], words)))
        rows.append((words.last_loss.format(len(last)), number(sum(last) / len(last), words)))
        blocks += [_curve(facts, words), _loss_table(facts, words)]
    else:
        blocks.append(Paragraph(words.no_losses, "caution"))
    if story.held_out:
        lowest = min(story.held_out, key=lambda point: point[1])
        for name, (step, loss) in (
            (words.held_out_last, story.held_out[-1]),
            (words.held_out_best, lowest),
        ):
            rows.append((name, words.at_step.format(number(loss, words), step)))
        if story.held_out[-1][1] > HELD_OUT_RISE * lowest[1]:
            blocks.append(Paragraph(words.held_out_rose.format(lowest[0]), "caution"))
    elif story.losses:
        blocks.append(Paragraph(words.no_held_out, "quiet"))
    if story.warnings:
        columns = Column(words.time), Column(words.problem, "prose"), Column(words.why, "prose")
        shown = ((moment(time, words), what, why) for time, what, why in story.warnings[-SHOWN_WARNINGS:])
        blocks += [Paragraph(words.warnings), Table(columns, tuple(shown))]
    return Section(words.training, (Pairs(tuple(rows)), *blocks))


def _curve(facts: Facts, words: Words) -> Curve:
    return Curve(
        facts.story.losses,
        facts.story.held_out,
        step_label=words.step,
        loss_label=words.loss,
        raw_label=words.each_step,
        mean_label=words.running_mean,
        held_out_label=words.held_out_loss,
    )


def _loss_table(facts: Facts, words: Words) -> Table:
    """Losses at evenly spread steps, the first and the last among them, and all held-out ones."""
    losses, held_out = dict(facts.story.losses), dict(facts.story.held_out)
    steps = sorted(losses)
    spread = max(1, -(-len(steps) // TABLE_STEPS))
    shown = sorted({steps[0], *steps[spread - 1 :: spread], steps[-1], *_thinned(sorted(held_out))})
    rows = (
        (
            str(step),
            number(losses[step], words) if step in losses else "",
            number(held_out[step], words) if step in held_out else "",
        )
        for step in shown
    )
    columns = (
        Column(words.step, "number"),
        Column(words.loss, "number"),
        Column(words.held_out_loss, "number"),
    )
    kept = 3 if held_out else 2
    return Table(columns[:kept], tuple(row[:kept] for row in rows))


def _thinned(steps: Sequence[int]) -> Sequence[int]:
    return steps[:: max(1, -(-len(steps) // TABLE_STEPS))]
