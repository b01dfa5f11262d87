"""Four-bit bases: NF4 with double quantisation, by bitsandbytes, and the same values wherever they are used.

Source: QLoRA, arXiv 2305.14314, section 3. Blocks of 64 weights, their scales in 8 bits, blocks of 256.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

BLOCK = 64
"""Weights that share one scale."""


def nf4_settings() -> Any:
    """What transformers quantises linear layers by; embeddings and vocabulary head are left as they are."""
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True)


def fix_computation(model: Any) -> None:
    """Have every four-bit layer of `model` compute the same in training, evaluation and after a resume.

    - It computes in bfloat16 where the base is bfloat16, else in float32, whatever reaches it first.
    - bitsandbytes keeps its weights: on a CPU with AVX512-BF16 the first call in evaluation mode would
      repack them with coarser scales, and training after it would have wrong gradients without a word.
    """
    import torch
    from bitsandbytes.nn import Linear4bit

    for layer in model.modules():
        if isinstance(layer, Linear4bit):
            layer.compute_dtype = torch.bfloat16 if model.dtype == torch.bfloat16 else torch.float32
            layer.compute_type_is_set = True
            layer.support_avx512bf16_for_cpu = False


def as_trained(weight: "Tensor") -> "Tensor":
    """The values of a linear layer's weight once it is quantised: what a QLoRA adapter is trained over.

    weight: (out, in), any float dtype; returned in float32, unrounded
    """
    from bitsandbytes.functional import dequantize_4bit, quantize_4bit

    # A bfloat16 weight and its float32 copy quantise to the same bytes; only what comes back is rounder.
    packed, state = quantize_4bit(
        weight.detach().float(), blocksize=BLOCK, compress_statistics=True, quant_type="nf4"
    )
    values: Tensor = dequantize_4bit(packed, state)
    return values
