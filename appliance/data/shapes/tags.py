"""How the turns of one file say who speaks, and what."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from appliance.data.shapes.names import CONTENT_TAGS, ROLE_TAGS
from appliance.data.shapes.shape import KNOWN_ROLES, Tags, TurnRole, as_list

SPEAKERS: Mapping[str, TurnRole] = MappingProxyType(
    {
        "user_tag": "user",
        "assistant_tag": "assistant",
        "observation_tag": "tool",
        "function_tag": "call",
        "system_tag": "system",
    }
)
"""Source of the names: LLaMA-Factory, data/README.md."""


def find_tags(turns: Any, shape: str, asked: Mapping[Any, str], *, sparse: bool) -> Tags:
    """The tags of a file whose first turns are `turns`. Those that are not named keep their usual words."""
    turns = as_list(turns)
    first = turns[0] if isinstance(turns, list) and turns and isinstance(turns[0], dict) else {}
    usual = ("from", "value") if shape == "sharegpt" else ("role", "content")
    role = asked.get("role_tag") or _first(first, (usual[0], *ROLE_TAGS)) or usual[0]
    content = asked.get("content_tag") or _first(first, (usual[1], *CONTENT_TAGS)) or usual[1]
    named = {asked[tag]: speaker for tag, speaker in SPEAKERS.items() if asked.get(tag)}
    return Tags(role, content, MappingProxyType({**KNOWN_ROLES, **named}), sparse)


def _first(turn: Mapping[str, Any], tags: tuple[str, ...]) -> str:
    return next((tag for tag in tags if tag in turn), "")
