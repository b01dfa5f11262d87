"""Starts the full screen. Textual is imported only after the environment says how it must behave.

What an administrator's shell sets for Textual is taken away: some of its variables open a connection to a
development console, write every message into a file, or save pictures of the screen.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.wizard.front import Flow

if TYPE_CHECKING:
    from appliance.wizard.terminal import Display

SLOW_FRAMES_PER_S = 2
FRAMES_PER_S = 20


def run(flow: Flow, display: "Display", *, logs: Path | None = None) -> int:
    """Show the flow's pages until the person leaves; the exit code.

    0: left, or the terminal hung up, or was told to end; every answer was kept.
    1: a fault of our own: one sentence on the screen, type and place of the fault in a file in `logs`.
    """
    prepare_environment(display)
    from appliance.wizard.full.program import Program

    return Program(flow, display, logs=logs).show()


def prepare_environment(display: "Display") -> None:
    """Have Textual draw as this terminal can. Only works before Textual is imported."""
    for name in [name for name in os.environ if name == "TEXTUAL" or name.startswith("TEXTUAL_")]:
        del os.environ[name]
    os.environ["TEXTUAL_THEME"] = "ansi-dark"  # the terminal's own colours; with NO_COLOR none at all
    os.environ["TEXTUAL_ANIMATIONS"] = "none"
    os.environ["TEXTUAL_SMOOTH_SCROLL"] = "0"
    os.environ["TEXTUAL_FPS"] = str(SLOW_FRAMES_PER_S if display.slow else FRAMES_PER_S)
    if display.plain:
        os.environ["TEXTUAL_DISABLE_KITTY_KEY"] = "1"  # old consoles print the request as letters
    if not display.colour:
        os.environ["NO_COLOR"] = "1"
