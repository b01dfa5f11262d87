"""What belongs to an answer beside its text: what is thought before it, and whether it is a good one."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from appliance.data.judge import RowRefused, missing
from appliance.data.shapes.shape import Shape
from appliance.sentence import say

YES = frozenset({"true", "1", "1.0", "yes", "y", "t", "desirable", "good", "是", "真", "对", "好", "合格"})
NO = frozenset(
    {"false", "0", "0.0", "no", "n", "f", "undesirable", "bad", "否", "假", "错", "坏", "差", "不合格"}
)

LABEL_READ = "label read from other words"
THOUGHTS_JOINED = "thoughts joined with the answer"


class Label(NamedTuple):
    """Whether an answer is good, and how that was read."""

    value: bool | None
    steps: tuple[str, ...]


NO_LABEL = Label(None, ())


def label_of(item: Mapping[str, Any], shape: Shape) -> Label:
    """The label of an item; `NO_LABEL` where the file has none.

    Raises: RowRefused, when it is there and says neither yes nor no: the row must not become a plain answer.
    """
    value = shape.held(item, "kto_tag")
    if value is None:
        if "kto_tag" in shape.needs:
            raise missing(item, shape.column("kto_tag"))
        return NO_LABEL
    if isinstance(value, bool):
        return Label(value, ())
    said = as_label(value)
    if said is None:
        what = say("says neither yes nor no")
        raise RowRefused(shape.column("kto_tag"), what, "write true for a good answer, false for a bad one")
    return Label(said, (LABEL_READ,))


def as_label(value: Any) -> bool | None:
    """A label as files write them; None for what is none."""
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower() if isinstance(value, str | int | float) else ""
    return True if word in YES else False if word in NO else None


def with_thoughts(thought: str, answer: str, place: str) -> str:
    """The answer with what is thought before it, as models that think write it.

    Source: the chat templates of Qwen3 and DeepSeek-R1, which take both apart at `</think>` and write them
    with these line ends.

    Raises: RowRefused, when the answer holds thoughts already.
    """
    if not thought:
        return answer
    if "<think>" in answer or "</think>" in thought:
        raise RowRefused(place, "holds thoughts, and so does another field", "leave them in one of the two")
    return f"<think>\n{thought}\n</think>\n\n{answer}".rstrip()
