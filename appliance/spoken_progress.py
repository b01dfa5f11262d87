"""Progress whose stages are named in the language of who looks on."""

from contextlib import AbstractContextManager
from typing import TextIO

from appliance.locale import language_of
from appliance.locale.voice import Voice
from appliance.progress import Advance, Progress, Terminal, Words


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


class SpokenWords(Words):
    """The same in the person's language."""

    def __init__(self) -> None:
        self._tell = Voice(language_of())

    def of(self, done: str, total: str) -> str:
        """How much of how much."""
        return self._tell("{done} of {total}", done=done, total=total)

    def left(self, time: str) -> str:
        """How long it will take from now."""
        return self._tell("{time} left", time=time)

    def took(self, done: str, time: str) -> str:
        """How much was done in how long."""
        return self._tell("{done} in {time}", done=done, time=time)


def spoken(stream: TextIO | None = None) -> Progress:
    """What a command shows of its work at a terminal, or in a log."""
    return Spoken(Terminal(stream, SpokenWords()))
