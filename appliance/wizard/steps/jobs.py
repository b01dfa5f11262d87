"""What pages that wait for a job share: how far it is, beginning it, ending it."""

from appliance.job import JobState, Kind, start_job, stop_job
from appliance.progress import amount_text
from appliance.sentence import say
from appliance.wizard.desk import Desk
from appliance.wizard.page import (
    Action,
    Bar,
    Block,
    Confirm,
    Paragraph,
)
from appliance.wizard.step import error_facts


def job_blocks(state: JobState) -> tuple[Block, ...]:
    """How far a job is, or why it ended without a result."""
    if state.state == "running":
        amount = amount_text(state.done, "B") if state.unit == "B" and state.done else ""
        if state.total and state.unit != "B":
            amount = say("{done:,} of {total:,}", done=state.done, total=state.total)
        return (Bar(state.stage or say("starting"), state.done, state.total, amount),)
    if state.state == "interrupted":
        return (
            Paragraph("It was ended from outside before it was through; nothing half-made was kept.", "warn"),
        )
    if state.error is not None:
        return (error_facts(state.error),)
    return ()


def begin_job(desk: Desk, kind: Kind) -> None:
    """Start a job on the open run, in the person's language."""
    start_job(desk.run.run, kind, desk.site, desk.language)


def stop_action(kind: Kind) -> Action:
    """The action that ends a job; what was there before it stays."""
    sure = Confirm(
        "Stop this?",
        (say("What is half-made is thrown away; what was there before stays."),),
        stay="Let it go on",
        go="Stop it",
    )
    return Action(f"stop-{kind}", "Stop", key="f6", confirm=sure)


def end_job(desk: Desk, kind: Kind) -> None:
    """Have a job on the open run end."""
    stop_job(desk.run.run, kind)
