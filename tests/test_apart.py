"""A model that would let packed rows see each other is refused before anything is learned."""

from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, Gemma2Config, GraniteMoeHybridConfig, Lfm2Config, LlamaConfig
from transformers import PreTrainedConfig as Config

from appliance.errors import BadInput
from appliance.training import attention
from appliance.training.apart import SECOND_TOKENS, check_apart

SIZES = {
    "vocab_size": 100,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
}
CONVOLUTIONS = Lfm2Config(**SIZES, full_attn_idxs=[1, 3])
STATES = GraniteMoeHybridConfig(
    **SIZES,
    mamba_n_heads=8,
    mamba_d_head=16,
    mamba_d_state=16,
    layer_types=["mamba", "attention", "mamba", "attention"],
    num_local_experts=0,
    shared_intermediate_size=64,
)


def model_of(config: Config, dtype: torch.dtype = torch.float32) -> torch.nn.Module:
    attention.register()
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(config, attn_implementation=attention.SEGMENTS).to(dtype).eval()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_model_of_attention_alone_is_taken(dtype: torch.dtype) -> None:
    check_apart(model_of(LlamaConfig(**SIZES), dtype), "a/b")


@pytest.mark.parametrize("config", [CONVOLUTIONS, STATES], ids=["convolutions", "states"])
def test_a_model_that_carries_a_state_over_the_bound_is_refused(config: Config) -> None:
    with pytest.raises(BadInput, match="The model a/b cannot be trained here") as refused:
        check_apart(model_of(config), "a/b")
    assert "see each other" in refused.value.why


def test_a_model_whose_attention_is_not_known_is_refused_and_no_error_of_the_program() -> None:
    with pytest.raises(BadInput) as refused:
        check_apart(model_of(Gemma2Config(**SIZES, head_dim=16)), "a/b")
    assert "does not know softcap" in refused.value.why


def test_no_number_behind_another_document_is_a_difference() -> None:
    model = model_of(LlamaConfig(**SIZES))

    def spoil(_: torch.nn.Module, __: object, output: Any) -> None:
        if output.logits.shape[1] > SECOND_TOKENS:
            output.logits[0, -1, 0] = float("nan")

    model.register_forward_hook(spoil)
    with pytest.raises(BadInput) as refused:
        check_apart(model, "a/b")
    assert "see each other" in refused.value.why


def test_what_is_no_number_alone_too_says_nothing() -> None:
    model = model_of(LlamaConfig(**SIZES))

    def spoil(_: torch.nn.Module, __: object, output: Any) -> None:
        output.logits[..., 0] = float("nan")

    model.register_forward_hook(spoil)
    check_apart(model, "a/b")
