"""`python -m appliance.supervisor --prefix DIR --state DIR`: what islet.service runs."""

import argparse
import os
import sys
from pathlib import Path

from appliance.errors import ApplianceError
from appliance.site.layout import Site
from appliance.supervisor.keeper import Keeper
from appliance.supervisor.server import Server
from appliance.trace import trace_text


def main(arguments: list[str]) -> int:
    """Supervise the site named in `arguments`; the exit code."""
    parser = argparse.ArgumentParser(prog="appliance.supervisor")
    parser.add_argument("--prefix", type=Path, required=True)
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--at-once", type=int, default=1, help="how many runs may be at work")
    chosen = parser.parse_args(arguments)
    os.umask(0o077)
    try:
        keeper = Keeper(Site(chosen.prefix, chosen.state), at_once=chosen.at_once)
        Server(chosen.state, keeper).serve()
    except ApplianceError as error:
        print(f"islet: {error}", file=sys.stderr)
        return error.exit_code
    except Exception as error:
        print(trace_text(error), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
