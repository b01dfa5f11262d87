"""`islet doctor`: is this site in order, from the stored files to two real training steps.

Every check runs, whatever the others found; what is wrong is said with why and next.
"""

import json
import tempfile
from collections.abc import Callable
from pathlib import Path

from appliance.errors import ApplianceError
from appliance.model.base import installed_models
from appliance.progress import Progress
from appliance.run.plan import DataChoice, DataFile, ModelChoice, Plan, TrainingChoice, write_plan
from appliance.sentence import reason, say
from appliance.site import audit
from appliance.site.health.finding import Finding
from appliance.site.layout import Site
from appliance.site.preflight import look_at_box
from appliance.site.releases import current_release
from appliance.site.runtime import try_imports
from appliance.site.store import check_stored
from appliance.training import control

ROWS = [{"instruction": f"{i} + {i} = ?", "output": str(2 * i)} for i in range(1, 9)]


def examine(site: Site, progress: Progress) -> list[Finding]:
    """Every finding, in the order in which they were made."""
    return [
        *look_at_box(site),
        _tried(say("stored files"), lambda: _stored(site, progress)),
        _tried(say("imports"), lambda: _imports(site, progress)),
        _tried(say("audit log"), lambda: _audited(site)),
        _tried(say("two training steps"), lambda: _train(site, progress)),
    ]


def _tried(name: str, check: Callable[[], str]) -> Finding:
    """What `check` says; its failure is a finding, not an end."""
    try:
        return Finding(name, True, check())
    except ApplianceError as error:
        return Finding(name, False, error.what, error.why, error.next_step)
    except OSError as error:
        return Finding(
            name, False, "a file could not be read", reason(error), "Run install.sh again with the medium."
        )


def _stored(site: Site, progress: Progress) -> str:
    contents = current_release(site).contents()
    with progress.stage("hashing the store", total=sum(e.size for e in contents.entries)) as advance:
        check_stored(site, contents, advance)
    return say("{count} files have the hashes that were signed", count=len(contents.entries))


def _audited(site: Site) -> str:
    return say("{count} entries, the chain holds", count=len(audit.check(site.audit).entries))


def _imports(site: Site, progress: Progress) -> str:
    try_imports(site.current / "runtime", current_release(site).contents(), progress)
    return say("what this release is for can be imported")


def _train(site: Site, progress: Progress) -> str:
    """Two optimizer steps on the smallest installed model, in a folder that is thrown away."""
    names = installed_models(site.models)
    if not names:
        return say("no model is installed: nothing to train")
    smallest = min(names, key=lambda name: _size(site.models / name))
    with (
        tempfile.TemporaryDirectory(dir=site.state, prefix=".doctor-") as folder,
        progress.stage("training two steps", total=2, unit="steps") as advance,
    ):
        work = Path(folder)
        (work / "rows.json").write_text(json.dumps(ROWS), encoding="utf-8")
        plan = Plan(
            format="islet-plan-1",
            name="doctor",
            model=ModelChoice(smallest),
            data=DataChoice((DataFile(str(work / "rows.json"), "alpaca"),)),
            training=TrainingChoice(steps=2, rank=4, warmup_steps=0, pack_tokens=256),
        )
        write_plan(plan, work / "plan.toml")
        run = control.prepare_run(work / "plan.toml", work / "runs", site.models)
        control.train(run, lambda event: advance(1) if event.kind == "progress" else None)
    return say("{model} was trained for two steps", model=smallest)


def _size(model: Path) -> int:
    return sum(path.stat().st_size for path in model.glob("*.safetensors"))
