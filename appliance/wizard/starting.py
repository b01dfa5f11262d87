"""Making a run from answers and starting it, by the command that also starts it without a wizard.

In a process of its own: judging the chat template for Ollama needs the tokenizer's library, which a front
must not import.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

from appliance.errors import StepFailed
from appliance.run.failure import error_of
from appliance.run.folder import RunFolder, open_run
from appliance.run.plan import Plan, write_plan
from appliance.sentence import say
from appliance.site.layout import Site

PATIENCE_S = 300.0
"""How long the first import of the libraries may take on a cold, slow disk."""


def start_run(plan: Plan, site: Site, folder: Path) -> RunFolder:
    """The new run of `plan`, with a worker at work on it that outlives this process.

    folder: where the plan file is written, the person's own

    Raises: what `islet train` raises: BadInput, HostNotReady, StepFailed.
    """
    path = folder / f"plan-{os.getpid()}.toml"  # another wizard of this person may be starting another plan
    write_plan(plan, path)
    try:
        ended = subprocess.run(
            _command(site, path),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
            start_new_session=True,  # a Ctrl+C or a closed window must not end it half-way
        )
        told = json.loads(ended.stdout)
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        raise StepFailed(
            "The run could not be started.",
            why=say("the command that starts it ended without an answer ({kind})", kind=type(error).__name__),
            next_step="Run `islet doctor`, which checks the installation.",
        ) from error
    finally:
        path.unlink(missing_ok=True)  # the run has a copy
    if "run" not in told:
        raise error_of(told)
    return open_run(Path(told["run"]))


def _command(site: Site, plan: Path) -> list[str]:
    """`islet train` of this installation and this site."""
    here = ["--prefix", str(site.prefix), "--state", str(site.state)]
    train = ["train", "--plan", str(plan), "--detach", "--json"]
    return [sys.executable, "-P", "-m", "appliance.cli", *here, *train]
