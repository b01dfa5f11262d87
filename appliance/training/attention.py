"""Attention inside the documents of a packed sequence, and never across: exact, with no mask built.

Registered with transformers under `SEGMENTS`. On a CPU each document is one call of torch's own
scaled dot product; on CUDA, in 16 bits, all are one call of torch's `varlen_attn`.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

SEGMENTS = "islet_segments"

UNSUPPORTED = ("softcap", "s_aux", "position_bias")
"""Arguments with which some architectures change the attention's mathematics."""

SIXTEEN_BIT = (torch.float16, torch.bfloat16)


def register() -> None:
    """Make `attn_implementation=SEGMENTS` known. No mask function is registered: none is wanted."""
    from transformers import AttentionInterface

    AttentionInterface.register(SEGMENTS, segment_attention)


def segment_attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    cu_seq_lens_q: Tensor | None = None,
    max_length_q: int | None = None,
    **more: Any,
) -> tuple[Tensor, None]:
    """Causal attention within each document.

    query:          (1, heads, T, head_dim)
    key, value:     (1, key-value heads, T, head_dim)
    cu_seq_lens_q:  (documents + 1,) int32
    sliding_window: tokens that a token sees, itself included; None: all before it
    returns:        (1, T, heads, head_dim)

    Raises: RuntimeError, when it is called for anything but a packed sequence, or by an architecture
    whose attention has parts that it does not know: it must never be wrong in silence.
    """
    if attention_mask is not None:
        raise RuntimeError("a packed sequence has no attention mask")
    if cu_seq_lens_q is None or max_length_q is None or query.size(0) != 1:
        raise RuntimeError("segment attention needs one packed sequence with its document bounds")
    unknown = [name for name in UNSUPPORTED if more.get(name) is not None]
    if unknown:
        raise RuntimeError(f"segment attention does not know {', '.join(unknown)}")
    # The varlen kernel takes 16-bit values only.
    attend = _varlen if query.is_cuda and query.dtype in SIXTEEN_BIT else _one_by_one
    return attend(query, key, value, cu_seq_lens_q, max_length_q, scaling, dropout, sliding_window), None


def _one_by_one(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    cu_seq_lens: Tensor,
    longest: int,
    scaling: float | None,
    dropout: float,
    window: int | None,
) -> Tensor:
    bounds = cu_seq_lens.tolist()
    grouped = query.size(1) != key.size(1)
    parts = []
    for start, end in zip(bounds, bounds[1:], strict=False):
        mask = None
        if window is not None and end - start > window:
            mask = torch.ones(end - start, end - start, dtype=torch.bool, device=query.device)
            mask = mask.tril().triu(1 - window)
        parts.append(
            F.scaled_dot_product_attention(
                query[:, :, start:end],
                key[:, :, start:end],
                value[:, :, start:end],
                attn_mask=mask,
                is_causal=mask is None,
                scale=scaling,
                dropout_p=dropout,
                enable_gqa=grouped,
            )
        )
    return torch.cat(parts, 2).transpose(1, 2).contiguous()


def _varlen(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    cu_seq_lens: Tensor,
    longest: int,
    scaling: float | None,
    dropout: float,
    window: int | None,
) -> Tensor:
    from torch.nn.attention.varlen import varlen_attn

    if dropout:
        raise RuntimeError("the attention's own dropout is not supported on CUDA")
    out = varlen_attn(
        query[0].transpose(0, 1),
        key[0].transpose(0, 1),
        value[0].transpose(0, 1),
        cu_seq_lens,
        cu_seq_lens,
        longest,
        longest,
        scale=scaling,
        # (tokens to the left, tokens to the right): causal.
        window_size=(-1 if window is None else window - 1, 0),
        enable_gqa=query.size(1) != key.size(1),
    )
    if isinstance(out, tuple):
        raise RuntimeError("only the output was asked for")
    return out[None]
