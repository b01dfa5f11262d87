"""A workbook's table of shared texts: what cells refer to by number. The one part that is held in memory."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

from appliance.data.files.cell import text_value
from appliance.data.files.content import chunks
from appliance.data.files.sheet import plain_parser
from appliance.errors import BadInput
from appliance.sentence import say

LIMIT_CHARACTERS = 256 << 20


def read_shared_texts(stream: BinaryIO, source: Path) -> list[str]:
    """The texts, in order.

    Raises: BadInput, when they are too many; expat.ExpatError, when it is no such table.
    """
    reader = _Reader()
    for chunk in chunks(stream):
        reader.take(chunk)
        if reader.characters > LIMIT_CHARACTERS:
            raise BadInput(
                say("{path} holds too much text.", path=source),
                why=say("more than {limit} characters", limit=LIMIT_CHARACTERS),
                next_step="Save it as CSV in UTF-8.",
            )
    reader.take(b"", final=True)
    return reader.found


class AnyText(Sequence[str]):
    """Stands for the texts where only whether there is a cell is asked."""

    def __getitem__(self, at: Any) -> Any:
        return "text"

    def __len__(self) -> int:
        return 0


class _Reader:
    """Collects the texts; what says how one is pronounced is left out."""

    def __init__(self) -> None:
        self.found: list[str] = []
        self.characters = 0
        self._parts: list[str] = []
        self._phonetic = False
        self._parser = plain_parser()
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end

    def take(self, chunk: bytes, final: bool = False) -> None:
        """The next piece of the part."""
        self._parser.Parse(chunk, final)

    def _start(self, name: str, _: dict[str, str]) -> None:
        match name.rpartition(":")[2]:
            case "si":
                self._parts = []
            case "rPh":
                self._phonetic = True
            case "t" if not self._phonetic:
                self._parser.CharacterDataHandler = self._parts.append

    def _end(self, name: str) -> None:
        match name.rpartition(":")[2]:
            case "t":
                self._parser.CharacterDataHandler = None
            case "rPh":
                self._phonetic = False
            case "si":
                self.found.append(text_value("".join(self._parts)))
                self.characters += len(self.found[-1])
