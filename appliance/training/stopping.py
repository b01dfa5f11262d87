"""How a run hears that it should stop."""

from typing import Any


class StopRequest:
    """Set by a signal, read between optimizer steps."""

    def __init__(self) -> None:
        self.asked = False

    def ask(self, *_: Any) -> None:
        """Ask for a checkpoint and the end; made to be a signal handler."""
        self.asked = True
