"""What the columns and turns of one file mean: settled once from a sample, then the same for every row."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from appliance.data.judge import RowRefused
from appliance.run.rows import Message
from appliance.sentence import say

ShapeName = Literal["alpaca", "sharegpt", "messages", "pairs", "text"]

TurnRole = Literal["system", "user", "assistant", "call", "tool"]
"""Who speaks in a turn; `call` is an assistant's turn that is nothing but calls of tools, as text."""

KNOWN_ROLES: Mapping[str, TurnRole] = MappingProxyType(
    {
        "system": "system",
        "developer": "system",
        "user": "user",
        "human": "user",
        "assistant": "assistant",
        "gpt": "assistant",
        "model": "assistant",
        "bot": "assistant",
        "chatgpt": "assistant",
        "function_call": "call",
        "tool_call": "call",
        "tool": "tool",
        "observation": "tool",
        "function": "tool",
        "tool_response": "tool",
        "function_response": "tool",
        "用户": "user",
        "患者": "user",
        "助手": "assistant",
        "医生": "assistant",
        "系统": "system",
    }
)
"""What files call those who speak. `developer` is the newer name that OpenAI gave to `system`."""

MEDIA = ("images", "videos", "audios")
"""Fields of what is no text."""


@dataclass(frozen=True)
class Tags:
    """How a turn says who speaks, and what."""

    role: str = "role"
    content: str = "content"
    roles: Mapping[str, TurnRole] = field(default_factory=lambda: KNOWN_ROLES)
    sparse: bool = False
    """Whether a null inside an object is a name that is not there: a column of objects in Parquet gives each
    the names of all."""

    def role_of(self, word: object) -> TurnRole | None:
        """Who speaks, by the file's word for it; None when it is unknown."""
        if not isinstance(word, str):
            return None
        return self.roles.get(word) or self.roles.get(word.strip().lower())


@dataclass(frozen=True)
class Shape:
    """How every row of one file is read."""

    name: ShapeName
    columns: Mapping[str, str]
    """The file's column for each field that is read: `prompt`, `query`, `response`, `thinking`, `history`,
    `system`, `tools`, `messages`, `chosen`, `rejected`, `kto_tag`, `text` and those of `MEDIA`."""
    tags: Tags = field(default_factory=Tags)
    needs: frozenset[str] = frozenset()
    """Fields that every row must have: a pair or a label that is missing must not leave a plain answer."""
    steps: tuple[str, ...] = ()
    """What is done to every row alike."""

    @cached_property
    def beside(self) -> frozenset[str]:
        """Columns of all that is neither the question nor the answer nor the turns."""
        plain = ("prompt", "query", "response", "messages")
        return frozenset(column for name, column in self.columns.items() if name not in plain)

    def is_plain(self, item: Mapping[str, Any]) -> bool:
        """Whether `item` has nothing beside its conversation, as most rows of most files: those are fast."""
        return not self.needs and self.beside.isdisjoint(item)

    def held(self, item: Mapping[str, Any], name: str) -> Any:
        """What `item` holds in the column of a field; None for nothing, and for an empty text."""
        column = self.columns.get(name)
        value = None if column is None else item.get(column)
        return None if isinstance(value, str) and not value.strip() else value

    def column(self, name: str) -> str:
        """The column of a field, as a person knows it; the field's own name where the file has none."""
        return self.columns.get(name, name)


class Parts(NamedTuple):
    """What one item is, before it is known where it came from."""

    messages: tuple[Message, ...] = ()
    tools: str = ""
    rejected: Message | None = None
    label: bool | None = None
    text: str = ""
    steps: tuple[str, ...] = ()


def as_list(value: Any) -> Any:
    """A list that a table holds as JSON text; anything else as it is."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def is_list_of_objects(value: Any) -> bool:
    """Whether a value may be a list of turns."""
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def refuse_media(item: Mapping[str, Any], shape: Shape) -> None:
    """Pass if the item is text alone.

    Raises: RowRefused, naming the column that is none.
    """
    for name in MEDIA:
        if shape.held(item, name):
            raise RowRefused(
                shape.column(name),
                say("refers to pictures, films or sounds, which are not learned"),
                say("leave the row out, or the column unread: --column {field}=", field=name),
            )
