"""How likely a model finds the expected answers: the mean negative log-likelihood of their tokens."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from appliance.evaluation.prompt import answer_of, prompt_of
from appliance.model.chat import token_ids
from appliance.progress import Advance
from appliance.run.rows import Row

BATCH_TOKENS = 1024
"""Answer tokens that are judged at once: with a vocabulary of 150,000, 0.6 GB of float32 logits."""

MOST_TOKENS = 16_384
"""Tokens, prompts and padding included, that go through the model at once: of a model of 8 billion weights
0.4 GB for each of the few widest layers' values that live at a time. A longer row goes alone."""


@dataclass(frozen=True)
class AnswerLoss:
    """What a model would have paid to write one expected answer."""

    total: float
    """Negative log-likelihood of all its tokens, in nats."""
    tokens: int
    """How many they are, the one that ends the answer included."""


def answer_losses(
    model: Any,
    tokenizer: Any,
    rows: Sequence[Row],
    *,
    batch_tokens: int = BATCH_TOKENS,
    advance: Advance = lambda amount: None,
) -> list[AnswerLoss]:
    """The loss of each row's last answer, in order.

    Rows of like length share a batch, padded on the left and masked, so that padding changes nothing and
    all answers stand at the end, where alone logits are computed.
    """
    pairs = [_ids(tokenizer, row) for row in rows]
    losses: dict[int, AnswerLoss] = {}
    for batch in batches_of(pairs, batch_tokens):
        losses.update(zip(batch, _losses(model, [pairs[index] for index in batch]), strict=True))
        advance(len(batch))
    return [losses[index] for index in range(len(rows))]


def perplexity(losses: Sequence[AnswerLoss]) -> float | None:
    """exp of the mean loss over the tokens of all answers; None where that is no finite number."""
    mean = sum(loss.total for loss in losses) / sum(loss.tokens for loss in losses)
    # exp(700) is near the largest number there is; a broken model's loss can be anything, even NaN.
    return math.exp(mean) if mean < 700 else None


def batches_of(pairs: Sequence[tuple[list[int], list[int]]], tokens: int) -> list[list[int]]:
    """Indices of rows judged at once: like lengths together, at most `tokens` answer tokens and MOST_TOKENS
    in all, padding included."""
    order = sorted(range(len(pairs)), key=lambda index: sum(map(len, pairs[index])))
    batches: list[list[int]] = []
    longest = 0
    for index in order:
        longest = max(longest, len(pairs[index][1]))
        width = sum(map(len, pairs[index]))  # of the whole batch: the longest so far
        count = len(batches[-1]) + 1 if batches else 0
        if not batches or longest * count > tokens or width * count > MOST_TOKENS:
            batches.append([])
            longest = len(pairs[index][1])
        batches[-1].append(index)
    return batches


def _ids(tokenizer: Any, row: Row) -> tuple[list[int], list[int]]:
    """Token ids of the prompt, and of the answer with its end token, cut where generation begins."""
    return token_ids(tokenizer, prompt_of(tokenizer, row)), token_ids(tokenizer, answer_of(tokenizer, row))


def _losses(model: Any, pairs: Sequence[tuple[list[int], list[int]]]) -> list[AnswerLoss]:
    import torch
    from torch.nn.functional import cross_entropy

    width = max(len(prompt) + len(answer) for prompt, answer in pairs)
    kept = max(len(answer) for _, answer in pairs) + 1
    ids = torch.zeros((len(pairs), width), dtype=torch.long)
    mask = torch.zeros_like(ids)
    for line, (prompt, answer) in enumerate(pairs):
        length = len(prompt) + len(answer)
        ids[line, width - length :] = torch.tensor([*prompt, *answer])
        mask[line, width - length :] = 1
    with torch.inference_mode():
        logits = model(
            input_ids=ids.to(model.device),
            attention_mask=mask.to(model.device),
            position_ids=(mask.cumsum(1) - 1).clamp(min=0).to(model.device),
            logits_to_keep=kept,
            use_cache=False,
        ).logits
    losses = []
    for line, (_, answer) in enumerate(pairs):
        # Each logit tells of the token after it, so the last one tells of nothing.
        told, wanted = logits[line, -len(answer) - 1 : -1], ids[line, -len(answer) :]
        loss = cross_entropy(told.float(), wanted.to(told.device), reduction="sum")
        losses.append(AnswerLoss(float(loss), len(answer)))
    return losses
