"""The canonical row: OpenAI-style messages and where they came from. What is wrong with one that is none."""

from dataclasses import dataclass
from typing import Literal

from appliance.sentence import Sentence, as_sentence, say

Role = Literal["system", "user", "assistant", "tool"]
RowKind = Literal["chat", "preference", "label", "text"]
"""What a row teaches: an answer, which of two answers is better, whether an answer is good, or plain text."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool that an answer asks for."""

    name: str
    arguments: str
    """A JSON object, as text."""


@dataclass(frozen=True, slots=True)
class Message:
    """One turn."""

    role: Role
    content: str
    """May be empty where `calls` are not; thoughts stand before the answer as `<think>…</think>`."""
    calls: tuple[ToolCall, ...] = ()
    """What an assistant's turn calls; each result follows as a turn of the role `tool`."""
    learned: bool = True
    """Whether an assistant's turn is taught; no other turn ever is."""


@dataclass(frozen=True, slots=True)
class Row:
    """One thing to learn: a conversation that ends with an answer, or a text."""

    messages: tuple[Message, ...]
    """Empty for a text. Of a preference row the last one is the chosen answer."""
    file: str
    """Name of the file that it was read from."""
    source_sha256: str
    """64 lower-case hex digits, over that file's bytes."""
    row: int
    """Position in the file: of the item in a JSON list, of the line in JSONL, both from 1; in a table
    the number that a spreadsheet shows, where the header is row 1."""
    tools: str = ""
    """The tools that the answers may call: a JSON list, as text; "" for none."""
    rejected: Message | None = None
    """The answer that is worse than the last of `messages`."""
    label: bool | None = None
    """Whether the last answer is a good one (KTO)."""
    text: str = ""
    """What is learned as it stands (continued pre-training)."""
    steps: tuple[str, ...] = ()
    """What was done to it since it was read, each in a word or two: `columns renamed`, `names replaced`."""
    group: str = ""
    """What it belongs to and must not be parted from (a patient), by a made-up name that tells nothing of it;
    "" where nothing is known."""

    @property
    def kind(self) -> RowKind:
        """What it teaches."""
        if self.text:
            return "text"
        if self.rejected is not None:
            return "preference"
        return "chat" if self.label is None else "label"

    @property
    def question(self) -> tuple[Message, ...]:
        """Everything before the last answer."""
        return self.messages[:-1]

    @property
    def answer(self) -> str:
        """The last answer; of a text nothing."""
        return self.messages[-1].content if self.messages else ""


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
