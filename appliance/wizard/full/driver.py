"""The way to the terminal: asks old consoles nothing, and ends quietly when the terminal hangs up."""

from textual.driver import Driver
from textual.drivers.linux_driver import LinuxDriver

from appliance.wizard.terminal import Display


class HangUpDriver(LinuxDriver):
    """A driver that takes the end of the terminal for what it is."""

    def write(self, data: str) -> None:
        """Write, unless whoever writes has met the end of the terminal: its queue would fill, and block."""
        if self._writer_thread is not None and self._writer_thread.is_alive():
            super().write(data)

    def _run_input_thread(self) -> None:
        try:
            self.run_input_thread()
        except OSError:
            self._app.call_later(self._app.hang_up)  # type: ignore[attr-defined]  # the program is ours
        except BaseException as error:
            self._app.call_later(self._app._fault, error)  # type: ignore[attr-defined]


class QuietDriver(HangUpDriver):
    """The same for consoles that would print a request they do not know as letters."""

    def _request_terminal_sync_mode_support(self) -> None:
        """Nothing."""

    def _query_in_band_window_resize(self) -> None:
        """Nothing."""


def quiet_driver(display: Display) -> type[Driver]:
    """The driver for `display`."""
    return QuietDriver if display.plain else HangUpDriver
