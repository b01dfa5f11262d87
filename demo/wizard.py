"""`make demo WIZARD=1`: the wizard on the demo's installed site, in a namespace without a network.

What the last `make demo` installed is used; where there is none, the demo runs first. The clinic's made-up
rows lie where the site keeps its data, and the demo's finished run can be opened.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from demo.__main__ import WORK, hidden_paths
from demo.box import ENTER


def main() -> None:
    """Open the wizard; its exit code."""
    site = WORK / "site"
    islet = site / "opt" / "bin" / "islet"
    if not islet.exists():
        code = subprocess.run([sys.executable, "-m", "demo"]).returncode
        if code != 0:
            sys.exit(code)
    put_rows(site)
    unshare = ["unshare", "-n", "-m"] if os.getuid() == 0 else ["unshare", "-r", "-n", "-m"]
    kept = {
        name: os.environ[name] for name in ("TERM", "NO_COLOR", "ISLET_LANG", "LANG") if name in os.environ
    }
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/nonexistent", **kept}
    command = [*unshare, "sh", "-c", ENTER, "enter", *hidden_paths(), "--", islet, *sys.argv[1:]]
    sys.exit(subprocess.run([str(word) for word in command], env=environment).returncode)


def put_rows(site: Path) -> None:
    """The clinic's rows, where the wizard begins looking."""
    inbox = site / "state" / "datasets"
    inbox.mkdir(exist_ok=True)
    for name in ("facts.json", "rehearsal.csv"):
        shutil.copyfile(site / "clinic" / name, inbox / name)


if __name__ == "__main__":
    main()
