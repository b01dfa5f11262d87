"""Rows of a table with a prompt and a completion column (and, if wanted, a system column)."""

from typing import Any

from appliance.data.judge import RowRefused, conversation, required_text, text_of
from appliance.errors import BadInput
from appliance.run.rows import Message
from appliance.sentence import say

REQUIRED = ("prompt", "completion")
FIELDS = (*REQUIRED, "system")


def table_messages(item: Any) -> tuple[Message, ...]:
    """The conversation in one row.

    Raises: RowRefused, naming the column; BadInput, when there are no such columns.
    """
    if isinstance(item, RowRefused):
        raise item
    item = {name.lower(): cell for name, cell in item.items()}
    if not all(name in item for name in REQUIRED):
        raise BadInput(
            "The table has no columns `prompt` and `completion`.",
            why=say("the columns are {columns}", columns=", ".join(item)),
            next_step="Name the two columns so in the first row.",
        )
    turn = (required_text(item, "prompt"), required_text(item, "completion"))
    return conversation(text_of(item, "system"), [turn])
