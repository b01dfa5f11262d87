"""How it is learned: the presets, with what each takes of this box."""

import shutil

import msgspec

from appliance.errors import ApplianceError
from appliance.progress import amount_text
from appliance.run.plan import Plan, TrainingChoice
from appliance.sentence import say
from appliance.training.looked import estimate_seconds
from appliance.wizard.desk import Desk
from appliance.wizard.draft import Draft, Preset, with_value
from appliance.wizard.page import Action, Bar, Block, Fact, Facts, Level, Option, Paragraph
from appliance.wizard.question import (
    Question,
    WrongAnswer,
    held_out_question,
    show_number,
)
from appliance.wizard.step import Step, Verdict
from appliance.wizard.titles import TITLES

PRESET_LABELS: dict[Preset, str] = {
    "quick": say("Quick look"),
    "balanced": say("Balanced"),
    "best": say("Best"),
    "advanced": say("Own values"),
}


def duration(seconds: float | None) -> str:
    """About how long, as people say it."""
    if seconds is None:
        return say("measuring")
    if seconds < 90:
        return say("{count} s", count=max(round(seconds), 1))
    if seconds < 5400:
        return say("{count} min", count=round(seconds / 60))
    return say("{hours} h {minutes} min", hours=int(seconds // 3600), minutes=int(seconds % 3600 // 60))


def _wanted(desk: Desk, preset: Preset) -> TrainingChoice:
    """What a preset means here; own values begin with those of the preset chosen so far."""
    if preset == "advanced":
        return desk.wanted(desk.draft)
    return desk.wanted(desk.changed(preset=preset))


def seconds_of(desk: Desk, training: TrainingChoice) -> float | None:
    """How long these settings take on this box; None while nobody has measured."""
    look, trial = desk.found(), desk.measured()
    if look is None or trial is None:
        return None
    return estimate_seconds(look, training, trial.tokens_per_s, recomputed=trial.recomputed)


def _preset_options(desk: Desk) -> tuple[Option, ...]:
    options = []
    for preset, label in PRESET_LABELS.items():
        wanted = _wanted(desk, preset)
        fitted = desk.settings(wanted)
        training = fitted.training if fitted else wanted
        memory = amount_text(fitted.estimate.total_bytes, "B") if fitted and fitted.estimate else "?"
        row = say(
            "{label}\t{length}\t{rank}\t{time}\t{memory}",
            label=label,
            length=_passes(training),
            rank=training.rank,
            time=duration(seconds_of(desk, training)),
            memory=memory,
        )
        options.append(Option(preset, row))
    return tuple(options)


def _passes(training: TrainingChoice) -> str:
    """How long, in a column of passes."""
    return length_text(training) if training.steps else show_number(training.epochs)


def length_text(training: TrainingChoice) -> str:
    """How long, in passes or steps."""
    if training.steps:
        return say("{steps} steps", steps=training.steps)
    return say("{passes:g} passes", passes=training.epochs)


def _take_preset(desk: Desk, text: str) -> Draft:
    preset = next((each for each in PRESET_LABELS if each == text), None)
    if preset is None:
        raise WrongAnswer("Choose one of the lines.")
    plan = with_value(desk.draft.plan, "training", _wanted(desk, preset))
    return desk.changed(preset=preset, plan=plan)


def _plan_blocks(desk: Desk) -> tuple[Block, ...]:
    fitted = desk.settings()
    look = desk.found()
    if fitted is None or look is None:
        return (Paragraph("The data is being looked at; memory and time follow.", "busy"),)
    blocks: list[Block] = []
    if fitted.estimate is not None:
        need, free = fitted.estimate.total_bytes, look.free_bytes
        text = say("{need} of {free} free", need=amount_text(need, "B"), free=amount_text(free, "B"))
        blocks.append(Bar("Memory", need, max(free, 1), text))
    facts = [Fact("Trial", *_trial_said(desk))] if fitted.fits else []
    facts.append(_room(desk))
    blocks.append(Facts((*facts, *changed_facts(desk, fitted.training))))
    if (error := _trial_error(desk)) is not None:
        blocks.append(Facts((Fact("Why", error.why), Fact("Next", error.next_step))))
    return tuple(blocks)


def _trial_error(desk: Desk) -> ApplianceError | None:
    """Why there is no trial: it failed, or these rows would not be trained on."""
    state = desk.trial()
    return state.error or state.refusal


def plan_trouble(desk: Desk) -> ApplianceError | None:
    """The error of the look at the rows, or of the trial."""
    return desk.look().error or _trial_error(desk)


def _trial_said(desk: Desk) -> tuple[str, Level]:
    """What the trial has found out, and how that stands."""
    state, error = desk.trial(), _trial_error(desk)
    if error is not None:
        return error.what, "fail"
    if state.trial is None:
        return say("a few real steps on the longest rows are being measured"), "busy"
    trial = state.trial
    said = say(
        "{rate:,.0f} tokens/s, {peak} at the peak on the longest rows",
        rate=trial.tokens_per_s,
        peak=amount_text(trial.peak_bytes, "B"),
    )
    return said, "ok" if trial.fits else "fail"


def _room(desk: Desk) -> Fact:
    """Room on disk: a merged model and its GGUF files beside the base."""
    model = desk.model()
    need = 3 * model.size if model else 0
    free = shutil.disk_usage(desk.site.state).free
    text = say("about {need} of {free} free", need=amount_text(need, "B"), free=amount_text(free, "B"))
    return Fact("Disk", text, "ok" if need < free else "fail")


def changed_facts(desk: Desk, training: TrainingChoice) -> tuple[Fact, ...]:
    """What of `training` is other than the chosen preset says, to fit this box; nothing when nothing is."""
    before, now = msgspec.to_builtins(_wanted(desk, desk.draft.preset)), msgspec.to_builtins(training)
    changes = ", ".join(f"{name} = {value}" for name, value in now.items() if before[name] != value)
    return (Fact("Changed to fit", changes, "warn"),) if changes else ()


def plan_verdict(desk: Desk) -> Verdict:
    """How the plan stands on this machine, as far as that is known."""
    if desk.look().error is not None:
        return Verdict("fail", "The data cannot be used: go back to it.", stops=True)
    if desk.models.done and desk.model() is None:
        return Verdict("fail", "The base model is not installed: go back and choose another.", stops=True)
    fitted = desk.settings()
    if fitted is None:
        return Verdict("busy", "Looking at the data.")
    if not fitted.fits:
        return Verdict(
            "fail", "This does not fit into memory: choose a smaller model or shorter packs.", stops=True
        )
    trial = desk.trial()
    if trial.refusal is not None:
        return Verdict("fail", trial.refusal.what, stops=True)
    if trial.error is not None:
        return Verdict(
            "fail", "A trial of these settings failed: choose others, or a smaller model.", stops=True
        )
    if trial.trial is None:
        return Verdict("busy", "Measuring memory and time with a few real steps; you may go on meanwhile.")
    if not trial.trial.fits:
        what = "The trial took over nine tenths of the free memory: choose shorter packs or a smaller model."
        return Verdict("fail", what, stops=True)
    if _room(desk).level != "ok":
        return Verdict("warn", "There may be too little room on disk for the export.")
    return Verdict("ok", "This plan fits this machine.")


def settled_plan(desk: Desk) -> Plan:
    """The plan with what the preset means for these rows, and what has to be changed to fit."""
    fitted = desk.settings()
    return desk.draft.plan if fitted is None else with_value(desk.draft.plan, "training", fitted.training)


def settle_plan(desk: Desk) -> None:
    """Take that over into the answers. Raises: HostNotReady, when they cannot be kept."""
    desk.keep(desk.changed(plan=settled_plan(desk)))


PLAN = Step(
    name="plan",
    number=5,
    title=TITLES["plan"],
    help=(
        "A pass is once through all rows. More passes learn the rows better and begin to repeat them word "
        "for word. The rank says how much the adapter can learn.",
        "Memory is computed from the model and your rows; a few real steps on the longest rows then measure "
        "memory and time on this machine.",
    ),
    blocks=_plan_blocks,
    verdict=plan_verdict,
    questions=(
        Question(
            name="preset",
            label="How to learn",
            help="Quick look: to see that everything works. Balanced: the usual choice. Best: more passes, a "
            "higher rank. Own values: every value can be changed.",
            kind="choice",
            show=lambda desk: desk.draft.preset,
            take=_take_preset,
            options=_preset_options,
            columns=("Preset", "Passes", "Rank", "Time", "Memory"),
        ),
        held_out_question(),
    ),
    before=lambda desk: "check",
    after=lambda desk: "values" if desk.draft.preset == "advanced" else "result",
    settle=settle_plan,
    actions=lambda desk: (Action("again", "Measure again", key="f5"),),
    takes={"again": lambda desk: desk.try_again()},
    trouble=plan_trouble,
    live=lambda desk: desk.trial().running or desk.found() is None,
)
