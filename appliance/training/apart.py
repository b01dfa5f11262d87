"""Whether a model keeps the documents of a pack apart: tried on the model itself, before it is trained.

Attention that does not know the bounds of documents says so. Layers that carry a state along the sequence
(convolutions, state spaces), or attention of a model's own, may not know them and say nothing: rows would
then be learned behind words of other rows.
"""

from typing import Any

import torch

from appliance.errors import BadInput
from appliance.model.memory import is_out_of_memory
from appliance.sentence import say
from appliance.training.encode import Example
from appliance.training.packing import collate

FIRST_TOKENS, SECOND_TOKENS = 24, 16

ALLOWED = {torch.float32: 1e-4, torch.bfloat16: 0.05, torch.float16: 0.05}
"""Of the largest logit: beyond rounding by the model's type over all its layers, and below what a word of
another document does."""


def check_apart(model: Any, name: str) -> None:
    """Pass if a document has the logits behind another one that it has alone.

    model: with `appliance.training.attention` as its attention, in evaluation mode

    Raises: BadInput, when it has others, or the model cannot be given packed documents.
    """
    vocabulary = int(model.get_input_embeddings().num_embeddings)
    first = _document(FIRST_TOKENS, 7, vocabulary)
    second = _document(SECOND_TOKENS, 11, vocabulary)
    try:
        alone = _logits(model, [second])
        behind = _logits(model, [first, second])[-len(alone) :]
    except Exception as error:  # whatever an architecture meets in its own code
        if is_out_of_memory(error):
            raise
        said = (str(error) or type(error).__name__).splitlines()[0][:200]
        raise _refusal(name, say("it cannot be given packed rows: {error}", error=said)) from error
    # No number, where the other is one, is a difference; where both have none there is nothing to tell.
    same = (alone == behind) | (alone.isnan() & behind.isnan())
    difference = float((alone - behind).abs().nan_to_num(float("inf")).masked_fill(same, 0.0).max())
    allowed = ALLOWED.get(model.dtype, ALLOWED[torch.bfloat16]) * float(alone.abs().nan_to_num(0.0).max())
    if difference > allowed:
        raise _refusal(
            name,
            say(
                "rows that are packed together see each other in it: off by {difference:.2g}, "
                "{allowed:.2g} allowed",
                difference=difference,
                allowed=allowed,
            ),
        )


def _document(tokens: int, stride: int, vocabulary: int) -> Example:
    """Made-up tokens, all but the first learned."""
    ids = tuple((stride * place + stride) % vocabulary for place in range(tokens))
    return Example(ids, (False, *(True for _ in ids[1:])))


def _logits(model: Any, documents: list[Example]) -> torch.Tensor:
    """Of every learned token, (tokens, vocabulary) float32."""
    inputs = {
        name: value.to(model.device) if isinstance(value, torch.Tensor) else value
        for name, value in collate(documents).items()
        if name != "targets"
    }
    with torch.inference_mode():
        logits: torch.Tensor = model(**inputs, use_cache=False).logits[0].float().cpu()
    return logits


def _refusal(name: str, why: str) -> BadInput:
    return BadInput(
        say("The model {name} cannot be trained here.", name=name),
        why=why,
        next_step=say(
            "Choose a model whose layers are attention alone, such as Qwen 2.5, Qwen 3 or Llama 3."
        ),
    )
