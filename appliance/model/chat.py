"""Chat templates: rendering messages to text, and the token that ends an answer."""

from collections.abc import Sequence
from typing import Any

from appliance.errors import BadInput
from appliance.model.calls import STYLES, find_style, tool_documents, turn_documents, uses_tools
from appliance.run.rows import Message
from appliance.sentence import say

PROBE = "islet probe"
"""An answer that no template contains."""


def render(
    tokenizer: Any,
    messages: Sequence[Message],
    *,
    tools: str = "",
    answer_next: bool = False,
    thinking: bool = False,
) -> str:
    """The text that the model reads for `messages`; with `answer_next`, up to where its answer begins.

    A template that cannot write tools leaves them out: `appliance.model.calls.find_style` tells.

    tools: as in `Row.tools`
    thinking: whether a template that can think aloud is asked to: only of an answer that does
    """
    text = tokenizer.apply_chat_template(
        template_turns(tokenizer, messages, tools),
        tools=tool_documents(tools),
        tokenize=False,
        add_generation_prompt=answer_next,
        enable_thinking=thinking,
    )
    return str(text)


def thinks(answer: Message) -> bool:
    """Whether an answer holds what is thought before it."""
    return "</think>" in answer.content


def template_turns(tokenizer: Any, messages: Sequence[Message], tools: str = "") -> list[dict[str, Any]]:
    """The turns as this tokenizer's template takes them."""
    style = find_style(tokenizer) if uses_tools(messages, tools) else None
    return turn_documents(messages, style or STYLES[0])


def token_ids(tokenizer: Any, text: str) -> list[int]:
    """Token ids of rendered text; the template has written every special token itself."""
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def end_of_turn(tokenizer: Any) -> str:
    """The text of the special token that the template writes right after an answer.

    Raises: BadInput, when the tokenizer has no chat template, or the template ends answers without a
    special token: a model trained so would never stop.
    """
    name = str(getattr(tokenizer, "name_or_path", "the model"))
    if not tokenizer.chat_template:
        raise BadInput(
            say("{name} has no chat template.", name=name),
            why="neither chat_template.jinja nor tokenizer_config.json holds one",
            next_step="Choose the chat (instruct) variant of the model.",
        )
    text = render(tokenizer, [Message("user", "?"), Message("assistant", PROBE)])
    after = text.rpartition(PROBE)[2]
    for token in sorted(special_tokens(tokenizer), key=len, reverse=True):
        if after.startswith(token):
            return token
    raise BadInput(
        say("The chat template of {name} does not end an answer with a stop token.", name=name),
        why=say("after the answer it writes {text}", text=repr(after[:40])),
        next_step="Choose another model, or have its supplier correct the template.",
    )


def special_tokens(tokenizer: Any) -> list[str]:
    """Texts of all tokens that are added as special."""
    return [token.content for token in tokenizer.added_tokens_decoder.values() if token.special]
