"""Where things lie on the box.

```
PREFIX/store/ab/cdef…      every file once, named by its sha256, read-only
PREFIX/releases/12/        runtime/, and models/, tools/, wheels/ as hard links into the store
                           too: runtime.tar.gz, which the runtime was made of; installed.json, contents.json;
                           runtime.sums: hashes of what the runtime became
PREFIX/current             -> releases/12, switched by one rename
PREFIX/trust/              root, state
PREFIX/bin/islet           -> ../current/runtime/bin/islet
STATE/                     datasets/ runs/ exports/ audit.jsonl, and what else STATE_NAMES tells
```
"""

import sys
from dataclasses import dataclass
from pathlib import Path

from appliance.errors import HostNotReady
from appliance.sentence import say


@dataclass(frozen=True)
class Site:
    """One installed box."""

    prefix: Path
    state: Path

    @property
    def store(self) -> Path:
        """Every file of every release, by its sha256."""
        return self.prefix / "store"

    @property
    def current(self) -> Path:
        """The release in use."""
        return self.prefix / "current"

    @property
    def models(self) -> Path:
        """Installed base models: `org/name/`."""
        return self.current / "models"

    @property
    def converter(self) -> Path:
        """llama.cpp's converter."""
        return self.current / "tools" / "llama.cpp"

    @property
    def runs(self) -> Path:
        """Run folders."""
        return self.state / "runs"

    @property
    def datasets(self) -> Path:
        """Data sets of the site: `name/version/`."""
        return self.state / "datasets"

    @property
    def audit(self) -> Path:
        """The audit log."""
        return self.state / "audit.jsonl"

    def release(self, number: int) -> Path:
        """The folder of one release."""
        return self.prefix / "releases" / str(number)

    def stored(self, sha256: str) -> Path:
        """Where the store keeps the file with this hash."""
        return self.store / sha256[:2] / sha256[2:]


RUNTIME_SUMS = "runtime.sums"
"""File in a release's folder: the hashes of what its runtime was when its installation ended."""
NOTE = "installed.json"
"""File in a release's folder that is written last, and says that all of it is there."""
STATE_NAMES = frozenset(
    ("datasets", "doctor", "exports", "format", "logs", "plans", "runs")
    + ("supervisor", "supervisor.sock", "wizard")
)
"""What Islet makes right under the state folder, beside the audit log: anything else is somebody else's."""
STATE_NOTE = "state"
"""File under the prefix that holds the path of the state folder."""


def this_site() -> Site:
    """The site whose runtime this Python is: PREFIX/releases/N/runtime.

    Raises: HostNotReady, when this Python is not an installed runtime.
    """
    runtime = Path(sys.prefix)
    prefix = runtime.parents[2] if len(runtime.parents) > 2 else runtime
    note = prefix / STATE_NOTE
    if runtime.name != "runtime" or not note.is_file():
        raise HostNotReady(
            "This is not an installed site.",
            why=say("{runtime} is not the runtime of a release", runtime=runtime),
            next_step="Run the islet command under the prefix, or give --prefix and --state.",
        )
    return Site(prefix, Path(note.read_text(encoding="utf-8").strip()))
