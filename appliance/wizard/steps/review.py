"""Everything once more before it starts."""

import base64
import hashlib
from pathlib import Path
from shlex import quote

import msgspec

from appliance.progress import amount_text
from appliance.run.plan import Plan, write_plan
from appliance.sentence import listed, say
from appliance.wizard.desk import Desk
from appliance.wizard.draft import Draft, share_as_runs
from appliance.wizard.page import Action, Block, Fact, Facts, Heading, Paragraph, Verbatim
from appliance.wizard.starting import start_run
from appliance.wizard.step import Step, Verdict
from appliance.wizard.steps.plan import (
    PRESET_LABELS,
    changed_facts,
    duration,
    length_text,
    plan_trouble,
    plan_verdict,
    seconds_of,
    settle_plan,
    settled_plan,
)
from appliance.wizard.titles import TITLES


def fingerprint(plan: Plan, sums: tuple[str, ...]) -> str:
    """Twelve characters that change when any choice or any byte of the data changes.

    sums: SHA-256 of the files of rows, in the plan's order
    """
    told = msgspec.json.encode([msgspec.to_builtins(plan), list(sums)], order="deterministic")
    letters = base64.b32encode(hashlib.sha256(told).digest()).decode()[:12]
    return "-".join((letters[:4], letters[4:8], letters[8:]))


def _fingerprint(desk: Desk) -> str:
    look = desk.found()
    return fingerprint(settled_plan(desk), tuple(file.sha256 for file in look.files) if look else ())


def _memory(desk: Desk) -> str:
    """What the run takes: the larger of what was computed and what a trial measured."""
    fitted, trial = desk.settings(), desk.measured()
    known = [fitted.estimate.total_bytes] if fitted and fitted.estimate else []
    known += [trial.peak_bytes] if trial else []
    return amount_text(max(known), "B") if known else "?"


def _takes(memory: str, seconds: float | None) -> str:
    if seconds is None:
        return say("{memory} of memory; the time is being measured", memory=memory)
    return say("{memory} of memory, about {time}", memory=memory, time=duration(seconds))


def _review_blocks(desk: Desk) -> tuple[Block, ...]:
    plan, look = settled_plan(desk), desk.found()
    training = plan.training
    rows = (
        say(
            "{learn} rows to learn, {test} kept for test, {refused} left out",
            learn=look.rows - look.held_out,
            test=look.held_out,
            refused=look.problem_count,
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
        length=length_text(training),
        tokens=training.pack_tokens,
        seed=training.seed,
    )
    fitted = desk.settings()
    memory = _memory(desk)
    facts = [
        Fact("Base model", plan.model.base),
        Fact("Data", listed([*(Path(file.path).name for file in plan.data.train), rows])),
        *([Fact("System prompt", plan.model.system)] if plan.model.system else []),
        Fact("Plan", values),
        Fact("Takes", _takes(memory, seconds_of(desk, training))),
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
    if fitted is not None and (changed := changed_facts(desk, fitted.training)):
        blocks.append(Facts(changed))
    if saved := desk.local.get("saved"):
        islet = desk.site.prefix / "bin" / "islet"
        lines = (f"{quote(str(islet))} --plan {quote(str(saved))}",)
        blocks += [
            Paragraph("The answers are saved. This repeats them without questions:", "ok"),
            Verbatim(lines),
        ]
    return tuple(blocks)


def _review_verdict(desk: Desk) -> Verdict:
    verdict = plan_verdict(desk)
    if verdict.stops or desk.settings() is None:
        return Verdict(verdict.level, verdict.text, stops=True)
    return Verdict("ok", "Ready. Start begins the training; it goes on when you leave.")


def _save(desk: Desk) -> None:
    """Write the answers as a plan file that `islet --plan` and `islet train --plan` read."""
    settle_plan(desk)
    path = desk.answer_file()
    share_as_runs(path.parent)
    write_plan(desk.draft.plan, path)
    desk.local["saved"] = path


def _start(desk: Desk) -> str:
    settle_plan(desk)
    run = start_run(desk.draft.plan, desk.site, desk.folder)
    # The answers have become a run, and are kept in its folder: what is begun next is another one.
    desk.keep_if_possible(Draft(language=desk.draft.language, run=run.root.name))
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
    trouble=plan_trouble,
    live=lambda desk: desk.trial().running or desk.found() is None,
)
