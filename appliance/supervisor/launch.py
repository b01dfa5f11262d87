"""The first thing that runs as the trainer: `python -m appliance.supervisor.launch RUN`.

The supervisor makes no file in a folder that is not its own: the log is opened here, with the trainer's own
rights. Then this process becomes the worker: same number, same start time, nothing of the supervisor left.
"""

import os
import sys
from pathlib import Path


def main(run: Path) -> None:
    """Write to the run's log from now on, and become its worker."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK
    log = os.open(run / "worker.log", flags, 0o640)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.execv(sys.executable, [*worker_command(run)])  # noqa: S606  (no shell; that is the point)


def worker_command(run: Path) -> list[str]:
    """What a worker's command line is. -P: the current folder must not be able to replace a module."""
    return [sys.executable, "-P", "-m", "appliance.training.worker", str(run)]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
