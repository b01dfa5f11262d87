"""What a row asks and what it wants, as text: the same prompt in generation, in perplexity and in training.

Tools and thoughts are part of it: a model that was taught with its tools, or to think aloud, is asked so.
"""

from collections.abc import Sequence
from typing import Any

from appliance.errors import BadInput
from appliance.model.chat import end_of_turn, render, thinks, token_ids
from appliance.run.rows import Message, Row
from appliance.sentence import say


def prompt_of(tokenizer: Any, row: Row) -> str:
    """The text that stands before the row's last answer.

    Raises: BadInput, when the model's chat template refuses it.
    """
    return _written(tokenizer, row, row.question, answer_next=True)


def answer_of(tokenizer: Any, row: Row) -> str:
    """The row's last answer as the template writes it behind the prompt, with the token that ends it.

    Raises: BadInput, when the model's chat template refuses it.
    """
    end, prompt = end_of_turn(tokenizer), prompt_of(tokenizer, row)
    whole = _written(tokenizer, row, row.messages)
    stop = whole.find(end, len(prompt)) if whole.startswith(prompt) else -1
    # Some templates write a turn that is over in another way than one that begins: then the bare answer.
    return whole[len(prompt) : stop + len(end)] if stop >= 0 else row.answer + end


def expected_text(tokenizer: Any, row: Row) -> str:
    """What the row's last answer reads like when a model writes it: its calls as the template writes them."""
    if not row.messages[-1].calls:
        return row.answer
    written = answer_of(tokenizer, row).removesuffix(end_of_turn(tokenizer))
    ids = token_ids(tokenizer, written)
    return str(tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))


def _written(tokenizer: Any, row: Row, messages: Sequence[Message], *, answer_next: bool = False) -> str:
    from jinja2.exceptions import TemplateError

    aloud = thinks(row.messages[-1])
    try:
        return render(tokenizer, messages, tools=row.tools, answer_next=answer_next, thinking=aloud)
    except TemplateError as error:
        raise BadInput(
            say("{file}, row {row}, cannot be asked.", file=row.file, row=row.row),
            why=say("is refused by the model's chat template: {error}", error=error),
            next_step=say("Correct these questions: every one is asked."),
        ) from error
