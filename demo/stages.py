"""Running the demo's stages one after another, each shown as it is typed, timed, and kept for the table."""

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Stages:
    """What ran, and how long it took."""

    took_s: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Announce a stage, and keep its time."""
        print(f"\n== {name}", flush=True)
        started = time.monotonic()
        yield
        self.took_s[name] = time.monotonic() - started


def say(command: Sequence[str | Path], **keywords: object) -> None:
    """Show a command and run it; its output is the demo's output. Ends the demo when it fails."""
    words = [str(word) for word in command]
    print("$ " + " ".join(words).replace(f"{Path.cwd()}/", ""), flush=True)
    code = subprocess.run(words, **keywords).returncode  # type: ignore[call-overload]
    if code != 0:
        print(f"\nThe demo stopped: the command above ended with exit code {code}.", file=sys.stderr)
        sys.exit(code)
