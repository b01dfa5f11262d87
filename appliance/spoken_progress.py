"""Progress whose stages are named in the language of who looks on."""

from contextlib import AbstractContextManager

from appliance.locale import language_of
from appliance.locale.voice import Voice
from appliance.progress import Advance, Progress, Terminal


class Spoken:
    """Names stages in the person's language."""

    def __init__(self, shown: Progress) -> None:
        self._shown, self._tell = shown, Voice(language_of())

    def stage(self, what: str, *, total: int | None, unit: str = "B") -> AbstractContextManager[Advance]:
        """Open a stage of that name."""
        return self._shown.stage(self._tell.again(what), total=total, unit=self._tell.again(unit))

    def note(self, text: str) -> None:
        """Say what is being waited for."""
        self._shown.note(self._tell.again(text))


def spoken() -> Progress:
    """What a command shows of its work at a terminal, or in a log."""
    return Spoken(Terminal())
