"""The live page of a run: it only looks; the worker does not know that anybody does."""

import datetime

import msgspec

from appliance.job.train import start_training
from appliance.progress import amount_text
from appliance.run.lock import ask_to_end
from appliance.run.plan import read_plan
from appliance.run.told import state_word
from appliance.sentence import say
from appliance.wizard.desk import Desk
from appliance.wizard.page import Action, Bar, Block, Chart, Confirm, Fact, Facts, Level, Paragraph, Series
from appliance.wizard.running import RunView
from appliance.wizard.step import Step, Verdict, begin_anew, error_facts
from appliance.wizard.steps.plan import duration
from appliance.wizard.titles import TITLES

TAIL_LINES = 3
FEWEST_TO_TELL = 10
"""Steps in a tenth of the curve below which its mean says nothing."""
CHART_ROWS = 4
"""With the figures above and the log below, all of a page of 24 lines."""

LEVELS: dict[str, Level] = {
    "made": "warn",
    "preparing": "busy",
    "training": "busy",
    "finished": "ok",
    "stopped": "warn",
    "interrupted": "warn",
    "failed": "fail",
}


def _blocks(desk: Desk) -> tuple[Block, ...]:
    view = desk.run
    progress = view.progress
    step, steps = progress.get("step", 0), progress.get("steps", 0)
    state = Fact(
        "Run",
        say("{name}: {state}", name=view.run.root.name, state=state_word(view.state)),
        LEVELS.get(view.state),
    )
    blocks: list[Block] = [
        Facts((state,)),
        Bar("Step", step, steps, say("{step} of {steps}", step=step, steps=steps) if steps else ""),
    ]
    if progress:
        blocks.append(Facts(_figures(view)))
    if view.failure is not None and view.state == "failed":
        blocks.append(error_facts(view.failure))
    if view.losses:
        series = [Series("learned rows", "*", tuple(view.losses))]
        if view.held_out:
            series.append(Series("test rows", "o", tuple(view.held_out)))
        blocks.append(Chart("Loss", tuple(series), rows=CHART_ROWS))
    if view.tail:
        blocks += [_log_line(moment, sentence) for moment, sentence in list(view.tail)[-TAIL_LINES:]]
    return tuple(blocks)


def _log_line(moment: str, sentence: str) -> Paragraph:
    return Paragraph(say("{time}  {what}", time=local_time(moment), what=sentence))


def local_time(moment: str) -> str:
    """The box's own time of day of a UTC time in a log."""
    try:
        return f"{datetime.datetime.fromisoformat(moment).astimezone():%H:%M:%S}"
    except ValueError:
        return moment


def _figures(view: RunView) -> tuple[Fact, ...]:
    progress, memory = view.progress, view.memory
    ends = [Fact("Ends", say("measuring"))] if view.at_work else []
    if view.at_work and progress.get("eta_s") is not None:
        at = datetime.datetime.now().astimezone() + datetime.timedelta(seconds=progress["eta_s"])
        ends = [Fact("Ends", say("{time}, in {left}", time=f"{at:%H:%M}", left=duration(progress["eta_s"])))]
    used = amount_text(progress.get("memory_bytes", 0), "B")
    limit = say(" of {free} free", free=amount_text(memory["free_bytes"], "B")) if memory else ""
    return (
        *ends,
        Fact("Speed", say("{rate:,.0f} tokens/s", rate=progress["tokens_per_s"])),
        Fact("Memory", say("{used}{limit}", used=used, limit=limit)),
        Fact("Saved", say("step {step}", step=view.saved_step) if view.saved_step else say("not yet")),
    )


def _verdict(desk: Desk) -> Verdict:
    match desk.run.state:
        case "made":
            return Verdict("warn", "The training has not begun yet. It can be started.", stops=True)
        case "finished":
            return Verdict("ok", _hint(desk.run))
        case "stopped":
            return Verdict("warn", "Stopped, with everything saved. It can go on from there.", stops=True)
        case "interrupted":
            return Verdict(
                "warn", "The worker was ended from outside. It can go on from what was saved.", stops=True
            )
        case "failed":
            return Verdict("fail", "Training ended by an error; read above what to do.", stops=True)
    if _is_stopping(desk):
        return Verdict("busy", "Stopping: the current step is finished and saved first.", stops=True)
    return Verdict("busy", "You can leave and close this window. To come back, type: islet", stops=True)


def _hint(view: RunView) -> str:
    """What the curve says, where it says something."""
    losses = [loss for _, loss in view.held_out]
    if len(losses) >= 3 and losses[-1] > 1.05 * min(losses):
        return say("Trained. The test loss rose at the end: fewer passes may do better.")
    last = [loss for _, loss in view.losses]
    tenth = len(last) // 10
    if tenth < FEWEST_TO_TELL:
        return say("Trained. Next: the same questions before and after.")
    before, end = last[-2 * tenth : -tenth], last[-tenth:]
    if before and sum(end) / len(end) < 0.9 * sum(before) / len(before):
        return say("Trained. The loss was still falling: more passes may help.")
    return say("Trained. Next: the same questions before and after.")


def _stop(desk: Desk) -> None:
    """Ask the worker to end; it saves first, which may take a while."""
    desk.local["stopping"] = ask_to_end(desk.run.run.lock)


def _is_stopping(desk: Desk) -> bool:
    return desk.run.worker is not None and desk.local.get("stopping") == desk.run.worker


def _go_on(desk: Desk) -> None:
    start_training(desk.run.run, desk.site)
    desk.run.refresh()


def _change(desk: Desk) -> str:
    """Begin the answers anew from this run's plan: its values stay, its name is asked again."""
    plan = read_plan(desk.run.run.plan)
    draft = desk.changed(plan=msgspec.structs.replace(plan, name=""), preset="advanced", reached="plan")
    desk.keep(draft)
    return "plan"


def _actions(desk: Desk) -> tuple[Action, ...]:
    view = desk.run
    if view.at_work:
        lines = (
            say("Last saved: step {step}.", step=view.saved_step)
            if view.saved_step
            else say("Nothing was saved yet."),
            say("Stopping saves what is learned; it can go on from there later."),
        )
        sure = Confirm("Stop training?", lines, stay="Keep training", go="Stop and keep what is learned")
        why_not = say("It is being stopped.") if _is_stopping(desk) else ""
        return (Action("stop", "Stop and keep", key="f6", why_not=why_not, confirm=sure),)
    if view.state == "finished":
        return (Action("change", "Train again with changes", key="f5", confirm=begin_anew(desk)),)
    return (
        Action("change", "Change the plan", key="f5", confirm=begin_anew(desk)),
        Action("continue", "Go on training", key="f6", default=True),
    )


TRAINING = Step(
    name="training",
    number=8,
    title=TITLES["training"],
    help=(
        "The loss says how far the model's answers are from yours; it should fall. The test loss is measured "
        "on rows it never learns from: when that rises, the model begins to repeat instead of understand.",
        "Training goes on when you leave, close the window or lose the connection. After a power cut it goes "
        "on from the last saved step.",
    ),
    blocks=_blocks,
    verdict=_verdict,
    before=lambda desk: "home",
    after=lambda desk: "compare",
    actions=_actions,
    takes={"stop": _stop, "continue": _go_on, "change": _change},
    trouble=lambda desk: desk.run.failure if desk.run.state == "failed" else None,
    live=lambda desk: desk.run.state != "finished",
)
