"""Asking a model: batched greedy generation. The same question gets the same answer every time."""

from collections.abc import Sequence
from typing import Any

from appliance.evaluation.prompt import prompt_of
from appliance.model.chat import token_ids
from appliance.progress import Advance
from appliance.run.rows import Row

BATCH = 32
"""Questions that are generated for at once, at most."""

MOST_TOKENS = 16_384
"""Tokens, padding and answers included, that the model keeps keys and values of at once: of one of 8 billion
weights (36 layers, 8 key heads of 128, 16 bits) 2.4 GB. A longer question is asked alone."""


def ask(
    model: Any,
    tokenizer: Any,
    rows: Sequence[Row],
    *,
    stop_ids: Sequence[int],
    max_new_tokens: int,
    advance: Advance = lambda amount: None,
) -> list[str]:
    """One answer to the question of each of `rows`, in order, without its end token.

    Prompts of like length share a batch, padded on the left and masked, so that padding changes nothing.
    """
    prompts = [prompt_of(tokenizer, row) for row in rows]
    lengths = [len(token_ids(tokenizer, prompt)) for prompt in prompts]
    answers = [""] * len(prompts)
    for batch in batches_of(lengths, max_new_tokens):
        texts = _generate(model, tokenizer, [prompts[index] for index in batch], stop_ids, max_new_tokens)
        for index, text in zip(batch, texts, strict=True):
            answers[index] = text
        advance(len(batch))
    return answers


def batches_of(lengths: Sequence[int], max_new_tokens: int) -> list[list[int]]:
    """Indices of prompts asked at once, the shortest first: at most BATCH, and MOST_TOKENS when answered."""
    batches: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        fitting = min(BATCH, MOST_TOKENS // (lengths[index] + max_new_tokens))
        if not batches or len(batches[-1]) >= fitting:
            batches.append([])
        batches[-1].append(index)
    return batches


def _generate(
    model: Any, tokenizer: Any, prompts: Sequence[str], stop_ids: Sequence[int], max_new_tokens: int
) -> list[str]:
    import torch
    from transformers import GenerationConfig

    inputs = tokenizer(
        list(prompts), return_tensors="pt", padding=True, padding_side="left", add_special_tokens=False
    ).to(model.device)
    # A fresh one: the model's own may sample, or punish repetition.
    greedy = GenerationConfig(
        do_sample=False,
        max_new_tokens=max_new_tokens,
        eos_token_id=list(stop_ids),
        pad_token_id=tokenizer.pad_token_id,
    )
    own, model.generation_config = model.generation_config, greedy
    try:
        with torch.inference_mode():
            output = model.generate(
                input_ids=inputs["input_ids"],
                attention_mask=inputs["attention_mask"],
                generation_config=greedy,
            )
    finally:
        model.generation_config = own
    written = output[:, inputs["input_ids"].size(1) :].tolist()
    return [
        tokenizer.decode(_until(ids, stop_ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)
        for ids in written
    ]


def _until(ids: Sequence[int], stop_ids: Sequence[int]) -> list[int]:
    """The ids before the first one that ends an answer."""
    end = next((place for place, each in enumerate(ids) if each in stop_ids), len(ids))
    return list(ids[:end])
