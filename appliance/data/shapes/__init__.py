"""What an item means: the shapes in which files write conversations, pairs, labels and texts.

Pure functions from one item to its parts. Which shape a file has, and which of its columns is which, is
settled once from a sample (`appliance.data.shapes.detect`), then the same for every row. Knows no files.
"""

from collections.abc import Callable, Mapping
from typing import Any

from appliance.data.shapes.pairs import pair_parts
from appliance.data.shapes.shape import Parts, Shape, ShapeName
from appliance.data.shapes.texts import text_parts
from appliance.data.shapes.turns import ignored_in_turns, turns_parts

READERS: Mapping[ShapeName, Callable[[Mapping[str, Any], Shape], Parts]] = {
    "alpaca": pair_parts,
    "pairs": pair_parts,
    "sharegpt": turns_parts,
    "messages": turns_parts,
    "text": text_parts,
}


def parts_of(item: Mapping[str, Any], shape: Shape) -> Parts:
    """What one item is.

    Raises: RowRefused, naming the column that is wrong.
    """
    return READERS[shape.name](item, shape)


def ignored_of(item: Mapping[str, Any], shape: Shape) -> set[str]:
    """Names of what an item holds and nothing is made of."""
    used = set(shape.columns.values())
    return {str(name) for name in item if name not in used}


def has_turns(shape: Shape) -> bool:
    """Whether its rows are lists of turns, in which more can be that nothing is made of."""
    return shape.name in ("sharegpt", "messages")


__all__ = ["Parts", "Shape", "has_turns", "ignored_in_turns", "ignored_of", "parts_of"]
