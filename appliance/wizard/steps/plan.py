"""How it is learned, what it is called, and everything once more before it starts."""

import base64
import hashlib
import re
import shutil
from pathlib import Path

import msgspec

from appliance.progress import amount_text
from appliance.run.plan import EXPORT_NAME, RUN_NAME, ExportChoice, Plan, TrainingChoice, write_plan
from appliance.sentence import listed, say
from appliance.training.looked import estimate_seconds
from appliance.wizard.desk import Desk
from appliance.wizard.draft import Draft, Preset, with_value
from appliance.wizard.page import Action, Bar, Block, Fact, Facts, Heading, Level, Option, Paragraph, Verbatim
from appliance.wizard.presets import preset_settings
from appliance.wizard.question import (
    Question,
    WrongAnswer,
    decimal_number,
    percent,
    plan_question,
    show_number,
    whole_number,
    yes_or_no,
)
from appliance.wizard.starting import start_run
from appliance.wizard.step import Step, Verdict
from appliance.wizard.titles import TITLES

PRESET_LABELS: dict[Preset, str] = {
    "quick": say("Quick look"),
    "balanced": say("Balanced"),
    "best": say("Best"),
    "advanced": say("Own values"),
}


# Plan


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
    model = desk.model()
    return preset_settings(preset, desk.draft.plan.training, model.context_tokens if model else None)


def _seconds(desk: Desk, training: TrainingChoice) -> float | None:
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
            time=duration(_seconds(desk, training)),
            memory=memory,
        )
        options.append(Option(preset, row))
    return tuple(options)


def _passes(training: TrainingChoice) -> str:
    """How long, in a column of passes."""
    return _length(training) if training.steps else show_number(training.epochs)


def _length(training: TrainingChoice) -> str:
    if training.steps:
        return say("{steps} steps", steps=training.steps)
    return say("{passes:g} passes", passes=training.epochs)


def _take_preset(desk: Desk, text: str) -> Draft:
    preset = next((each for each in PRESET_LABELS if each == text), None)
    if preset is None:
        raise WrongAnswer("Choose one of the lines.")
    draft = desk.changed(preset=preset)
    return msgspec.structs.replace(draft, plan=with_value(draft.plan, "training", desk.preset(draft)))


def _plan_blocks(desk: Desk) -> tuple[Block, ...]:
    fitted = desk.settings()
    look = desk.found()
    if fitted is None or look is None:
        return (Paragraph("The data is being looked at; memory and time follow.", "busy"),)
    trial = desk.trial()
    blocks: list[Block] = []
    if fitted.estimate is not None:
        need, free = fitted.estimate.total_bytes, look.free_bytes
        text = say("{need} of {free} free", need=amount_text(need, "B"), free=amount_text(free, "B"))
        blocks.append(Bar("Memory", need, max(free, 1), text))
    facts = [Fact("Trial", *_trial_said(desk)), _room(desk)]
    if fitted.changed:
        wanted = _wanted(desk, desk.draft.preset)
        facts.append(Fact("Changed to fit", _changes(fitted.training, wanted), "warn"))
    blocks.append(Facts(tuple(facts)))
    if trial.error is not None:
        blocks.append(Facts((Fact("Why", trial.error.why), Fact("Next", trial.error.next_step))))
    return tuple(blocks)


def _trial_said(desk: Desk) -> tuple[str, Level]:
    """What the trial has found out, and how that stands."""
    state = desk.trial()
    if state.error is not None:
        return state.error.what, "fail"
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


def _changes(training: TrainingChoice, wanted: TrainingChoice) -> str:
    """What is other than it was wanted."""
    before, now = msgspec.to_builtins(wanted), msgspec.to_builtins(training)
    return ", ".join(f"{name} = {value}" for name, value in now.items() if before[name] != value)


def _plan_verdict(desk: Desk) -> Verdict:
    if desk.look().error is not None:
        return Verdict("fail", "The data cannot be used: go back to it.", stops=True)
    fitted = desk.settings()
    if fitted is None:
        return Verdict("busy", "Looking at the data.")
    if not fitted.fits:
        return Verdict(
            "fail", "This does not fit into memory: choose a smaller model or shorter packs.", stops=True
        )
    trial = desk.trial()
    if trial.error is not None:
        return Verdict(
            "fail", "A trial of these settings failed: choose others, or a smaller model.", stops=True
        )
    if trial.trial is None:
        return Verdict("busy", "Measuring memory and time with a few real steps; you may go on meanwhile.")
    if not trial.trial.fits:
        what = "The trial took more than nine tenths of the free memory: choose shorter packs or a smaller model."
        return Verdict("fail", what, stops=True)
    if _room(desk).level != "ok":
        return Verdict("warn", "There may be too little room on disk for the export.")
    return Verdict("ok", "This plan fits this machine.")


def _settle_plan(desk: Desk) -> None:
    """Take over what had to be changed to fit."""
    fitted = desk.settings()
    if fitted is not None and fitted.changed:
        desk.keep(desk.changed(plan=with_value(desk.draft.plan, "training", fitted.training)))


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
    verdict=_plan_verdict,
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
        plan_question(
            "data.held_out_share",
            "Keep for test (%)",
            "Rows that the model never learns from: they show whether it has understood or only repeats. "
            "0 to 50.",
            kind="number",
            read=percent,
            show=lambda share: show_number(100 * share),
        ),
    ),
    before=lambda desk: "check",
    after=lambda desk: "values" if desk.draft.preset == "advanced" else "result",
    settle=_settle_plan,
    actions=lambda desk: (Action("again", "Measure again", key="f5"),),
    takes={"again": lambda desk: desk.try_again()},
    live=lambda desk: desk.trial().running or desk.found() is None,
)


# Values


METHODS = {"lora": say("LoRA: over the base as it is"), "qlora": say("QLoRA: over the base in four bits")}


def _take_method(desk: Desk, text: str) -> Draft:
    if text not in METHODS:
        raise WrongAnswer("Choose one of the lines.")
    return desk.changed(plan=with_value(desk.draft.plan, "training.method", text))


def _has_steps(desk: Desk) -> bool:
    return desk.draft.plan.training.steps > 0


def _take_recompute(desk: Desk, text: str) -> Draft:
    plan = with_value(desk.draft.plan, "training.recompute_activations", yes_or_no(text))
    return desk.changed(plan=plan)


VALUES = Step(
    name="values",
    number=5,
    title=TITLES["values"],
    help=("Every value that a preset would choose. F1 in a field explains it.",),
    blocks=lambda desk: (),
    verdict=_plan_verdict,
    questions=(
        Question(
            name="training.method",
            label="Method",
            help="Four bits take about a quarter of the memory of a 16-bit base, and cost a little quality.",
            kind="choice",
            show=lambda desk: desk.draft.plan.training.method,
            take=_take_method,
            options=lambda desk: tuple(Option(name, label) for name, label in METHODS.items()),
        ),
        plan_question(
            "training.epochs",
            "Passes over the rows",
            "How often every row is learned. 3 is usual.",
            kind="number",
            read=decimal_number,
            show=show_number,
            asked=lambda desk: not _has_steps(desk),
        ),
        plan_question(
            "training.steps",
            "Optimizer steps",
            "How many times the adapter is changed; 0: as many as the passes make.",
            kind="number",
            read=whole_number,
            asked=_has_steps,
        ),
        plan_question(
            "training.learning_rate",
            "Learning rate",
            "How far each step goes. 0.0002 is usual; halve it when the loss jumps.",
            kind="number",
            read=decimal_number,
            show=show_number,
        ),
        plan_question(
            "training.rank",
            "Rank",
            "Width of the adapter: 8 to 64 are usual.",
            kind="number",
            read=whole_number,
        ),
        plan_question(
            "training.alpha",
            "Alpha",
            "How strongly the adapter counts: twice the rank is usual.",
            kind="number",
            read=decimal_number,
            show=show_number,
        ),
        plan_question(
            "training.pack_tokens",
            "Longest row (tokens)",
            "A longer row is refused. Shorter takes less memory.",
            kind="number",
            read=whole_number,
        ),
        plan_question(
            "training.packs_per_step",
            "Packs a step",
            "How many packs of rows are learned together before the adapter is changed.",
            kind="number",
            read=whole_number,
        ),
        Question(
            name="training.recompute_activations",
            label="Compute again to save memory",
            help="Much less memory, slower by a third or more.",
            kind="yesno",
            show=lambda desk: "yes" if desk.draft.plan.training.recompute_activations else "no",
            take=_take_recompute,
        ),
    ),
    before=lambda desk: "plan",
    after=lambda desk: "result",
    settle=_settle_plan,
    live=lambda desk: desk.trial().running or desk.found() is None,
)


# Names and files


GGUF_CHOICES: dict[str, tuple[str, ...]] = {"f16": ("f16",), "q8_0": ("q8_0",), "both": ("f16", "q8_0")}
GGUF_LABELS = {
    "f16": say("16 bits: as trained"),
    "q8_0": say("8 bits: half the size, hardly different"),
    "both": say("both; Ollama gets the first"),
}


def suggested_name(plan: Plan) -> str:
    """A run's name from its first file's; `run` where that has no Latin letter."""
    stem = _slug(Path(plan.data.train[0].path).stem, 40) if plan.data.train else ""
    return stem if RUN_NAME.fullmatch(stem) else "run"


def named(plan: Plan) -> Plan:
    """`plan` with the names that nobody has given yet: the run's from the data, Ollama's from both."""
    if plan.name:
        return plan
    plan = with_value(plan, "name", suggested_name(plan))
    for_ollama = _slug(f"{Path(plan.model.base).name}-{plan.name}", 80)
    if plan.export == ExportChoice() and EXPORT_NAME.fullmatch(for_ollama):
        plan = with_value(plan, "export.name", for_ollama)
    return plan


def _slug(text: str, longest: int) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower())[:longest].strip("-")


def _take_gguf(desk: Desk, text: str) -> Draft:
    if text not in GGUF_CHOICES:
        raise WrongAnswer("Choose one of the lines.")
    return desk.changed(plan=with_value(desk.draft.plan, "export.gguf", GGUF_CHOICES[text]))


def _gguf_options(desk: Desk) -> tuple[Option, ...]:
    options = [Option(name, GGUF_LABELS[name]) for name in GGUF_CHOICES]
    own = desk.draft.plan.export.gguf
    if own not in GGUF_CHOICES.values():
        options.append(Option("own", ", ".join(own)))  # what an answer file says beside these
    return tuple(options)


def _shown_gguf(desk: Desk) -> str:
    own = desk.draft.plan.export.gguf
    return next((name for name, types in GGUF_CHOICES.items() if types == own), "own")


RESULT = Step(
    name="result",
    number=6,
    title=TITLES["result"],
    help=("What the run, the model and its files will be called. Nothing in Ollama is replaced by itself.",),
    blocks=lambda desk: (Paragraph("What the run is called, and what comes out of it."),),
    verdict=lambda desk: Verdict("ok", "These names can be used."),
    questions=(
        plan_question(
            "name",
            "Name of the run",
            "1 to 40 lower-case letters, digits and `-`. It names the folder of the run.",
        ),
        plan_question(
            "export.name",
            "Name in Ollama",
            "1 to 80 lower-case letters, digits, `.`, `_` and `-`. It also names the files.",
        ),
        Question(
            name="export.gguf",
            label="Model file",
            help="16 bits hold the model as it was trained. 8 bits take half the room and memory.",
            kind="choice",
            show=_shown_gguf,
            take=_take_gguf,
            options=_gguf_options,
        ),
    ),
    before=lambda desk: "values" if desk.draft.preset == "advanced" else "plan",
    after=lambda desk: "review",
)


# Review


def fingerprint(plan: Plan, sums: tuple[str, ...]) -> str:
    """Twelve characters that change when any choice or any byte of the data changes.

    sums: SHA-256 of the files of rows, in the plan's order
    """
    told = msgspec.json.encode([msgspec.to_builtins(plan), list(sums)], order="deterministic")
    letters = base64.b32encode(hashlib.sha256(told).digest()).decode()[:12]
    return "-".join((letters[:4], letters[4:8], letters[8:]))


def _fingerprint(desk: Desk) -> str:
    look = desk.found()
    return fingerprint(desk.draft.plan, tuple(file.sha256 for file in look.files) if look else ())


def _takes(memory: str, seconds: float | None) -> str:
    if seconds is None:
        return say("{memory} of memory; the time is being measured", memory=memory)
    return say("{memory} of memory, about {time}", memory=memory, time=duration(seconds))


def _review_blocks(desk: Desk) -> tuple[Block, ...]:
    plan, look = desk.draft.plan, desk.found()
    training = plan.training
    rows = (
        say(
            "{learn} rows to learn, {test} kept for test", learn=look.rows - look.held_out, test=look.held_out
        )
        if look
        else say("being looked at")
    )
    values = say(
        "{preset}: {method}, rank {rank}, rate {rate:g}, {length}, {tokens} tokens, seed {seed}",
        preset=PRESET_LABELS[desk.draft.preset],
        method=training.method,
        rank=training.rank,
        rate=training.learning_rate,
        length=_length(training),
        tokens=training.pack_tokens,
        seed=training.seed,
    )
    fitted = desk.settings()
    memory = amount_text(fitted.estimate.total_bytes, "B") if fitted and fitted.estimate else "?"
    facts = [
        Fact("Base model", plan.model.base),
        Fact("Data", listed([*(Path(file.path).name for file in plan.data.train), rows])),
        Fact("Plan", values),
        Fact(
            "Takes",
            say("{memory} of memory, about {time}", memory=memory, time=duration(_seconds(desk, training))),
        ),
        Fact(
            "Will write",
            say(
                "{folder}/<date>-{name}: adapter, model files, reports", folder=desk.site.runs, name=plan.name
            ),
        ),
        Fact("Will not", "change your files or models in Ollama, use the network"),
        Fact("Model file", say("{name}: {types}", name=plan.export.name, types=", ".join(plan.export.gguf))),
        Fact(
            "Fingerprint", say("{letters}  (changes when anything above changes)", letters=_fingerprint(desk))
        ),
    ]
    blocks: list[Block] = [
        Heading("Nothing has been changed yet. Please read before you start."),
        Facts(tuple(facts)),
    ]
    if fitted is not None and fitted.changed:
        changed = Fact("Changed to fit", _changes(fitted.training, desk.draft.plan.training), "warn")
        blocks.append(Facts((changed,)))
    if saved := desk.local.get("saved"):
        lines = (f"islet --plan {saved}",)
        blocks += [
            Paragraph("The answers are saved. This repeats them without questions:", "ok"),
            Verbatim(lines),
        ]
    return tuple(blocks)


def _review_verdict(desk: Desk) -> Verdict:
    verdict = _plan_verdict(desk)
    if verdict.stops or desk.settings() is None:
        return Verdict(verdict.level, verdict.text, stops=True)
    return Verdict("ok", "Ready. Start begins the training; it goes on when you leave.")


def _save(desk: Desk) -> None:
    """Write the answers as a plan file that `islet --plan` and `islet train --plan` read."""
    path = desk.answer_file()
    path.parent.mkdir(mode=0o2775, exist_ok=True)
    write_plan(desk.draft.plan, path)
    desk.local["saved"] = path


def _start(desk: Desk) -> str:
    _settle_plan(desk)
    run = start_run(desk.draft.plan, desk.site, desk.folder)
    # The answers have become a run, and are kept in its folder: what is begun next is another one.
    desk.keep(Draft(language=desk.draft.language, run=run.root.name))
    desk.open_run(run.root.name)
    return "training"


def _review_actions(desk: Desk) -> tuple[Action, ...]:
    verdict = _review_verdict(desk)
    why_not = verdict.text if verdict.stops else ""
    return (
        Action("save", "Save as answer file", key="f6"),
        Action("start", "Start training", why_not=why_not, default=True),
    )


REVIEW = Step(
    name="review",
    number=7,
    title=TITLES["review"],
    help=(
        "Everything that will happen, before anything happens. Back leads to every answer.",
        "An answer file repeats the same run without questions: islet --plan FILE",
    ),
    blocks=_review_blocks,
    verdict=_review_verdict,
    before=lambda desk: "result",
    actions=_review_actions,
    takes={"save": _save, "start": _start},
    live=lambda desk: desk.trial().running or desk.found() is None,
)
