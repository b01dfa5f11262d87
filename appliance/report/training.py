"""The section on the training: its course in figures, the curve, the warnings. Pure."""

from collections.abc import Sequence

from appliance.locale.voice import Voice
from appliance.report.blocks import (
    Block,
    Column,
    Curve,
    Pairs,
    Paragraph,
    Section,
    Table,
    running_window,
)
from appliance.report.facts import Facts
from appliance.report.figures import moment, number

SHOWN_WARNINGS = 50
TABLE_STEPS = 10
"""Steps in the table beside the curve, at most."""

HELD_OUT_RISE = 1.02
"""The held-out loss has risen when the last is this many times the lowest."""


def training_section(facts: Facts, say: Voice) -> Section:
    """All of it; the figures of the curve stand in a table too."""
    story = facts.story
    rows = [
        (say("Began"), moment(story.began, say)),
        (say("Last event"), moment(story.ended, say)),
        (say("Optimizer steps"), say("{part} of {whole}", part=story.step, whole=story.steps)),
        (say("Tokens learned in one pass"), number(story.learned_tokens, say)),
        (say("Mean speed"), say("{rate} tokens/s", rate=number(story.tokens_per_s, say))),
        (say("Most memory reported"), f"{number(story.memory_bytes, say)} B"),
        (say("Went on from a checkpoint at step"), ", ".join(map(str, story.resumed)) or say("none")),
    ]
    blocks: list[Block] = []
    if story.losses:
        last = [loss for _, loss in story.losses[-max(1, len(story.losses) // 20) :]]
        rows.append((say("Loss at the first step"), number(story.losses[0][1], say)))
        rows.append(
            (say("Loss, mean of the last {steps} steps", steps=len(last)), number(sum(last) / len(last), say))
        )
        blocks += [_curve(facts, say), _loss_table(facts, say)]
    else:
        blocks.append(Paragraph(say("No step was reported."), "caution"))
    if story.held_out:
        lowest = min(story.held_out, key=lambda point: point[1])
        for name, (step, loss) in (
            (say("Held-out loss, last"), story.held_out[-1]),
            (say("Held-out loss, lowest"), lowest),
        ):
            rows.append((name, say("{value} at step {step}", value=number(loss, say), step=step)))
        if story.held_out[-1][1] > HELD_OUT_RISE * lowest[1]:
            said = say(
                "The held-out loss was lowest at step {step} and rose after it: the model began to learn its "
                "rows by heart. Fewer steps may serve better.",
                step=lowest[0],
            )
            blocks.append(Paragraph(said, "caution"))
    elif story.losses:
        blocks.append(
            Paragraph(
                say("No rows were held out, so nothing was measured on rows that the model did not see."),
                "quiet",
            )
        )
    if story.warnings:
        columns = Column(say("Time")), Column(say("What is wrong"), "prose"), Column(say("Why"), "prose")
        shown = (
            (moment(time, say), say.again(what), say.again(why))
            for time, what, why in story.warnings[-SHOWN_WARNINGS:]
        )
        blocks += [Paragraph(say("Warnings and failures:")), Table(columns, tuple(shown))]
    return Section(say("Training"), (Pairs(tuple(rows)), *blocks))


def _curve(facts: Facts, say: Voice) -> Curve:
    return Curve(
        facts.story.losses,
        facts.story.held_out,
        step_label=say("Step"),
        loss_label=say("Loss"),
        raw_label=say("each step"),
        mean_label=say("mean of the last {steps} steps", steps=running_window(facts.story.losses)),
        held_out_label=say("Held-out loss"),
    )


def _loss_table(facts: Facts, say: Voice) -> Table:
    """Losses at evenly spread steps, the first and the last among them, and all held-out ones."""
    losses, held_out = dict(facts.story.losses), dict(facts.story.held_out)
    steps = sorted(losses)
    spread = max(1, -(-len(steps) // TABLE_STEPS))
    shown = sorted({steps[0], *steps[spread - 1 :: spread], steps[-1], *_thinned(sorted(held_out))})
    rows = (
        (
            str(step),
            number(losses[step], say) if step in losses else "",
            number(held_out[step], say) if step in held_out else "",
        )
        for step in shown
    )
    columns = (
        Column(say("Step"), "number"),
        Column(say("Loss"), "number"),
        Column(say("Held-out loss"), "number"),
    )
    kept = 3 if held_out else 2
    return Table(columns[:kept], tuple(row[:kept] for row in rows))


def _thinned(steps: Sequence[int]) -> Sequence[int]:
    return steps[:: max(1, -(-len(steps) // TABLE_STEPS))]
