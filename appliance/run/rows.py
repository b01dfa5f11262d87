"""The canonical row: OpenAI-style messages and where they came from. What is wrong with one that is none."""

from dataclasses import dataclass
from typing import Literal

from appliance.sentence import Sentence, as_sentence, say

Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True)
class Message:
    """One turn."""

    role: Role
    content: str


@dataclass(frozen=True)
class Row:
    """One conversation, ending with an answer."""

    messages: tuple[Message, ...]
    file: str
    """Name of the file that it was read from."""
    source_sha256: str
    """64 lower-case hex digits, over that file's bytes."""
    row: int
    """Position in the file: of the item in a JSON list, of the line in JSONL, both from 1; in a table
    the number that a spreadsheet shows, where the header is row 1."""

    @property
    def question(self) -> tuple[Message, ...]:
        """Everything before the last answer."""
        return self.messages[:-1]

    @property
    def answer(self) -> str:
        """The last answer."""
        return self.messages[-1].content


@dataclass(frozen=True)
class Problem:
    """Why one row is not used, and what to do."""

    file: str
    row: int
    field: str
    what: str
    fix: str

    def sentence(self) -> Sentence:
        """All of it in one line."""
        return say(
            "{file}, row {row}, {field}: {what} ({fix})",
            file=self.file,
            row=self.row,
            field=self.field,
            what=as_sentence(self.what),
            fix=as_sentence(self.fix),
        )

    def __str__(self) -> str:
        return str(self.sentence())
