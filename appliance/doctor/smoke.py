"""Two real optimizer steps: the engine that trains, on a tiny model made on the spot, in its own processes.

The model is made by the runtime's own libraries, so the test needs no installed model and says the same
whatever a site has; the folder is thrown away.
"""

import json
import sys
import tempfile
from pathlib import Path

from appliance.process import run
from appliance.progress import Progress
from appliance.run.events import Event
from appliance.run.plan import DataChoice, DataFile, ModelChoice, Plan, TrainingChoice, write_plan
from appliance.sentence import say
from appliance.site.health.finding import Finding
from appliance.site.layout import Site
from appliance.site.releases import current_release
from appliance.training import control

ROWS = [{"instruction": f"{i} + {i} = ?", "output": str(2 * i)} for i in range(1, 9)]
STEPS = 2
PLAN = "doctor.toml"
"""Not `plan.toml`: the folder lies among the runs, where this account may write, and is none."""


def train_two_steps(site: Site, progress: Progress) -> Finding:
    """Make a model, train it for two steps, and see that the loss is a number.

    Raises: the worker's own error; StepFailed, when a process of it dies.
    """
    wheels = {e.component.split()[0] for e in current_release(site).contents().entries if e.kind == "wheel"}
    if "torch" not in wheels:
        return Finding("two training steps", True, "this release does not train", code="training")
    with tempfile.TemporaryDirectory(dir=site.runs, prefix=".doctor-") as folder:
        return _train(Path(folder), progress)


def _train(work: Path, progress: Progress) -> Finding:
    model = work / "models" / "islet" / "doctor"
    with progress.stage(say("making a tiny model"), total=None):
        run(
            # -P: the current folder must not be able to replace a module.
            [sys.executable, "-P", "-m", "appliance.doctor.tiny_model", model],
            next_step="Send these lines to the sender, with the file that islet doctor --support writes.",
        )
    (work / "rows.json").write_text(json.dumps(ROWS), encoding="utf-8")
    plan = Plan(
        format="islet-plan-1",
        name="doctor",
        model=ModelChoice("islet/doctor"),
        data=DataChoice((DataFile(str(work / "rows.json"), "alpaca"),)),
        training=TrainingChoice(steps=STEPS, rank=4, warmup_steps=0, pack_tokens=256, threads=1),
    )
    write_plan(plan, work / PLAN)
    seen: list[Event] = []
    with progress.stage(say("training two steps"), total=STEPS, unit=say("steps")) as advance:

        def show(event: Event) -> None:
            seen.append(event)
            if event.kind == "progress":
                advance(1)

        control.train(control.prepare_run(work / PLAN, work / "runs", work / "models"), show)
    return _told(seen)


def _told(events: list[Event]) -> Finding:
    device = next((str(e.fields.get("device")) for e in events if e.kind == "memory"), "?")
    steps = max((e.fields.get("step", 0) for e in events if e.kind == "progress"), default=0)
    return Finding(
        "two training steps",
        steps == STEPS,
        say("{steps} of {wanted} steps on {device}", steps=steps, wanted=STEPS, device=device),
        "the worker told of no more",
        "Run islet doctor again; if it is so again, send the file that islet doctor --support writes.",
        code="training",
        facts={"device": device, "steps": steps},
    )
