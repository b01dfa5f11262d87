"""A job's process: `python -m appliance.job RUN KIND --prefix DIR --state DIR`, started by `start_job`."""

import argparse
import signal
import sys
from pathlib import Path
from typing import get_args

from appliance.errors import ApplianceError
from appliance.job.state import Kind
from appliance.job.work import do
from appliance.model.offline import go_offline
from appliance.progress import Silent
from appliance.run.folder import open_run
from appliance.site.layout import Site
from appliance.trace import trace_text


def main(arguments: list[str]) -> int:
    """Do the job named in `arguments`; the exit code."""
    parser = argparse.ArgumentParser(prog="appliance.job")
    parser.add_argument("run", type=Path)
    parser.add_argument("kind", choices=get_args(Kind))
    parser.add_argument("--prefix", type=Path, required=True)
    parser.add_argument("--state", type=Path, required=True)
    chosen = parser.parse_args(arguments)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # also where it was started by hand in a terminal
    go_offline()
    try:
        do(chosen.kind, open_run(chosen.run), Site(chosen.prefix, chosen.state), Silent())
    except ApplianceError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except Exception as error:
        print(trace_text(error), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
