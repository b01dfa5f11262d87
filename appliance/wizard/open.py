"""Opening the wizard: offline first, then the front that this terminal can show."""

import os
import sys
from dataclasses import replace
from importlib.util import find_spec

from appliance.locale import VARIABLE, find_language
from appliance.model.offline import go_offline
from appliance.site.layout import Site
from appliance.wizard.session import Wizard
from appliance.wizard.terminal import ensure_utf8, look_at_terminal


def open_wizard(site: Site, ui: str) -> int:
    """Lead a person through the journey; the exit code.

    Raises: HostNotReady, when `ui` asks for what this terminal cannot show.
    """
    go_offline()
    ensure_utf8()
    display = look_at_terminal(ui)
    if display.front == "full" and find_spec("textual") is None:  # a bundle may leave the full screen out
        display = replace(display, front="line")
    wizard = Wizard(site, language=find_language(os.environ.get(VARIABLE, "")), chinese=display.chinese)
    try:
        if display.front == "full":
            from appliance.wizard.full.app import run

            return run(wizard, display, logs=site.state / "logs")
        from appliance.wizard.lines import run as run_lines

        return run_lines(wizard, display)
    finally:
        wizard.close()
        let_go_of_lost_terminal()


def let_go_of_lost_terminal() -> None:
    """Have what cannot be written any more go nowhere: Python would try again at its end and exit 120.

    That is no fault of the person's, whose terminal is gone."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:  # hung up
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
