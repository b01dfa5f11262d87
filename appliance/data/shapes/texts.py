"""Plain text, which is learned as it stands."""

from collections.abc import Mapping
from typing import Any

from appliance.data.judge import required_text
from appliance.data.shapes.shape import Parts, Shape, refuse_media


def text_parts(item: Mapping[str, Any], shape: Shape) -> Parts:
    """The text of one item.

    Raises: RowRefused, naming the column.
    """
    refuse_media(item, shape)
    return Parts(text=required_text(item, shape.column("text")), steps=shape.steps)
