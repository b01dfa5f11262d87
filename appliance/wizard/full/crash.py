"""A fault of our own: one sentence for the person, types and places for the engineers, no value for anybody.

Textual's own report prints local variables, and an error's text may quote a row; both may be a patient's.
"""

import sys
import threading
from pathlib import Path

from appliance.sentence import say
from appliance.trace import keep_trace

STOPPED = say(
    "E-UI-900: The screen program stopped. A training run is not affected, and your answers are kept. "
    "To come back, type: islet"
)


def silence_threads(logs: Path | None) -> None:
    """Have faults in threads, and those that Python cannot raise, kept as traces instead of printed."""

    def keep_thread(told: threading.ExceptHookArgs) -> None:
        if told.exc_value is not None:
            keep_trace(told.exc_value, logs)

    def keep_unraisable(told: "sys.UnraisableHookArgs") -> None:
        if told.exc_value is not None:
            keep_trace(told.exc_value, logs)

    threading.excepthook = keep_thread
    sys.unraisablehook = keep_unraisable
