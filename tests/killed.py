"""Train a run whose worker is killed again and again, at moments that are named. Started by test_resume.

`python -m tests.killed RUN STEP[:OPERATION] …` trains RUN in one process after the other. Each is killed
with SIGKILL when the optimizer step STEP ends, or, with OPERATION, when the first checkpoint from that
step on makes its OPERATION-th access to the disk. The last process is left alone. The processes are
forked after the libraries were imported: what is proved is the same, in a tenth of the time.
"""

import os
import signal
import sys
from pathlib import Path

from appliance.model.offline import set_offline

set_offline()

import peft  # noqa: E402, F401 - imported once, before the forks
import torch  # noqa: E402

from appliance.model import nf4  # noqa: E402, F401
from appliance.run.events import EventLog  # noqa: E402
from appliance.run.folder import open_run, read_base  # noqa: E402
from appliance.run.lock import worker_lock  # noqa: E402
from appliance.run.plan import read_plan  # noqa: E402
from appliance.training.session import train_run  # noqa: E402
from appliance.training.stopping import StopRequest  # noqa: E402


class Killer(EventLog, StopRequest):
    """Stands where a run tells its events and asks whether to stop: so it knows the step, and kills at it."""

    def __init__(self, path: Path, moment: str) -> None:
        EventLog.__init__(self, path)
        step, _, operation = moment.partition(":")
        self._at = int(step)
        self._operation = int(operation or 0)
        self._step = -1
        self._accesses = 0
        if operation:
            sys.addaudithook(self._on_audit)

    def append(self, kind: str, **fields: object) -> None:
        super().append(kind, **fields)
        if fields.get("state") == "training":
            self._step = int(str(fields["step"]))

    @property
    def asked(self) -> bool:  # type: ignore[override]
        """Asked once before training and once at the end of each step."""
        if self._step >= 0:
            self._step += 1
            if self._step >= self._at and not self._operation:
                kill()
        return False

    @asked.setter
    def asked(self, value: bool) -> None:
        pass

    def _on_audit(self, event: str, args: tuple[object, ...]) -> None:
        if self._step >= self._at and event in ("open", "os.rename", "os.mkdir", "shutil.rmtree"):
            self._accesses += f"{os.sep}.step-" in str(args[0])
            if self._accesses == self._operation:
                kill()


def kill() -> None:
    """End this process as a power cut would."""
    os.kill(os.getpid(), signal.SIGKILL)


def train_until(root: str, moment: str) -> int:
    """Train in a process of its own; how it ended: 0, or minus the number of the signal."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    run = open_run(Path(root))
    with worker_lock(run.lock):
        killer = Killer(run.events, moment)
        plan, adapter = read_plan(run.plan), run.adapter
        os._exit(0 if train_run(run, plan, read_base(run), killer, killer, adapter=adapter) else 9)
    return 1


if __name__ == "__main__":
    torch.set_num_threads(1)
    print([train_until(sys.argv[1], moment) for moment in [*sys.argv[2:], "1000000000"]])
