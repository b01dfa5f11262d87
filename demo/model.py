"""A tiny chat model of the Qwen3 architecture, made from nothing in about a minute on two cores.

`python -m demo.model OUT` trains a tokenizer and 1.5 M weights on the general corpus and writes
the folder as a model hub would serve it. Afterwards the model gives general advice, repeats what
the chat says and politely declines what it does not know; it has seen nothing of the clinic that
the demo learns. Same seed, same threads, same machine: the same bytes.
"""

import argparse
import json
import math
import random
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Regex, Tokenizer, decoders, normalizers, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer

from appliance.progress import Progress, Silent, Terminal
from demo.corpus import Chat, general_chats, tokenizer_texts

NAME = "islet-demo/clinic-tiny"
"""The name the model is published under."""

END_OF_TEXT, TURN_START, TURN_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
MERGED_TOKENS = 1405
"""Byte-level tokens before the three special ones; 1408 rows in the embedding."""

# The Qwen2 and Qwen3 pre-tokenizer: with it, converters to GGUF know the tokenizer as `qwen2`.
# Source: transformers 5.23, models/qwen2/tokenization_qwen2.py, PRETOKENIZE_REGEX.
QWEN2_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)

# ChatML as Qwen2.5 writes it, without its default system prompt; the generation block marks what is learned.
CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    "{{- '<|im_start|>' + message['role'] + '\\n' -}}"
    "{%- if message['role'] == 'assistant' -%}"
    "{%- generation -%}{{- message['content'] + '<|im_end|>' -}}{%- endgeneration -%}"
    "{%- else -%}"
    "{{- message['content'] + '<|im_end|>' -}}"
    "{%- endif -%}"
    "{{- '\\n' -}}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}"
)

LICENSE = Path(__file__).parent.parent / "LICENSE"
MODEL_CARD = """---
license: apache-2.0
language: [zh, en]
library_name: transformers
pipeline_tag: text-generation
---

# clinic-tiny

A chat model of 1.5 million weights (Qwen3 architecture) for demonstrations and tests. Trained from
nothing in about a minute on generated text with invented names. It gives a little general advice,
repeats what it is told and declines what it does not know. Not medical guidance; of no other use.
"""

STEPS = 300
CHATS_PER_STEP = 24
STEPS_AT_ONCE = 6
"""Chats are sorted by length within so many steps, so that little is padded."""
WARMUP_STEPS = 20
MATRIX_RATE, OTHER_RATE = 0.04, 8e-3
"""Peak learning rates: Muon's for hidden matrices, AdamW's for everything else."""


def train_tokenizer() -> Tokenizer:
    """A byte-level BPE tokenizer of the Qwen2 kind, trained on the general corpus."""
    tokenizer = Tokenizer(BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN2_SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=MERGED_TOKENS,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        max_token_length=12,
        show_progress=False,
    )
    tokenizer.train_from_iterator(tokenizer_texts(), trainer)
    tokenizer.add_special_tokens([END_OF_TEXT, TURN_START, TURN_END])
    return tokenizer


def model_config(tokenizer: Tokenizer) -> dict[str, Any]:
    """config.json: the Qwen3 architecture in small, rotary settings in the old and the new key form."""
    theta = 1_000_000.0
    return {
        "architectures": ["Qwen3ForCausalLM"],
        "model_type": "qwen3",
        "vocab_size": tokenizer.get_vocab_size(),
        "hidden_size": 192,
        "num_hidden_layers": 3,
        "num_attention_heads": 6,
        "num_key_value_heads": 3,
        "head_dim": 32,
        "intermediate_size": 576,
        "hidden_act": "silu",
        "attention_bias": False,
        "attention_dropout": 0.0,
        "initializer_range": 0.02,
        "max_position_embeddings": 2048,
        "rms_norm_eps": 1e-6,
        "rope_parameters": {"rope_theta": theta, "rope_type": "default"},
        "rope_theta": theta,
        "rope_scaling": None,
        "use_sliding_window": False,
        "tie_word_embeddings": True,
        "use_cache": True,
        "bos_token_id": None,
        "eos_token_id": tokenizer.token_to_id(TURN_END),
        "pad_token_id": tokenizer.token_to_id(END_OF_TEXT),
        "dtype": "bfloat16",
        "torch_dtype": "bfloat16",
    }


def make_model(
    folder: Path, *, seed: int = 0, threads: int | None = None, progress: Progress | None = None
) -> None:
    """Train the tiny model and write it into `folder` as a model hub would serve it.

    threads: CPU threads; None: as torch chooses. Takes about 60 CPU seconds.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    tokenizer = train_tokenizer()
    config = model_config(tokenizer)
    model = train_weights(tokenizer, config, seed=seed, progress=progress or Silent())
    write_model(folder, tokenizer, config, model)


def train_weights(tokenizer: Tokenizer, config: dict[str, Any], *, seed: int, progress: Progress) -> Any:
    """The model after its general training, in float32.

    Loss on the answers only. Muon on the hidden matrices, AdamW on the rest, both on one cosine:
    AdamW alone needs several times the steps before the model copies names.
    Source of Muon: Jordan and others, 2024, as `torch.optim.Muon` implements it.
    """
    from transformers import Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(seed)
    model = Qwen3ForCausalLM(Qwen3Config.from_dict(config)).float()
    hidden = [p for name, p in model.named_parameters() if p.ndim == 2 and ".layers." in name]
    others = [p for name, p in model.named_parameters() if not (p.ndim == 2 and ".layers." in name)]
    optimizers = (
        torch.optim.Muon(hidden, lr=MATRIX_RATE, momentum=0.95, weight_decay=0.0),
        torch.optim.AdamW(others, lr=OTHER_RATE, betas=(0.9, 0.95), weight_decay=0.0),
    )
    schedules = [torch.optim.lr_scheduler.LambdaLR(optimizer, _rate) for optimizer in optimizers]
    with progress.stage("general training", total=STEPS, unit="steps") as advance:
        for batch in islice(_batches(tokenizer, seed), STEPS):
            _loss(model, *batch).backward()  # type: ignore[no-untyped-call]  # torch carries no type for it
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            for optimizer, schedule in zip(optimizers, schedules, strict=True):
                optimizer.step()
                schedule.step()
                optimizer.zero_grad()
            advance(1)
    return model.eval()


def _rate(step: int) -> float:
    """Share of the peak learning rate at optimizer step `step`: a short warm-up, then a cosine to nothing."""
    return min((step + 1) / WARMUP_STEPS, 0.5 * (1 + math.cos(math.pi * step / STEPS)))


def _loss(model: Any, ids: torch.Tensor, learned: torch.Tensor) -> torch.Tensor:
    """Mean cross entropy over the learned tokens; the head runs on their positions only.

    ids: (chats, tokens) int64, padded at the end: causal attention never reaches the padding.
    learned: (chats, tokens) bool, whether this token is to be predicted from those before it
    """
    hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state[:, :-1]
    wanted = learned[:, 1:]
    return torch.nn.functional.cross_entropy(model.lm_head(hidden[wanted]), ids[:, 1:][wanted])


def _batches(tokenizer: Tokenizer, seed: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Endless batches of chats of like length, as `ids` and `learned` of `_loss`; same seed, same batches."""
    chats = general_chats(seed)
    rng = random.Random(seed)
    while True:
        encoded = [encode(tokenizer, chat) for chat in islice(chats, CHATS_PER_STEP * STEPS_AT_ONCE)]
        encoded.sort(key=lambda pair: len(pair[0]))
        groups = [encoded[i : i + CHATS_PER_STEP] for i in range(0, len(encoded), CHATS_PER_STEP)]
        rng.shuffle(groups)
        pad = tokenizer.token_to_id(END_OF_TEXT)
        for group in groups:
            longest = max(len(ids) for ids, _ in group)
            yield (
                torch.tensor([ids + [pad] * (longest - len(ids)) for ids, _ in group]),
                torch.tensor([learned + [False] * (longest - len(ids)) for ids, learned in group]),
            )


def encode(tokenizer: Tokenizer, chat: Chat) -> tuple[list[int], list[bool]]:
    """Token ids of `chat` as the chat template writes it, and which of them an answer is made of."""
    ids: list[int] = []
    learned: list[bool] = []
    for message in chat.messages():
        head = tokenizer.encode(f"{TURN_START}{message['role']}\n").ids
        body = tokenizer.encode(f"{message['content']}{TURN_END}").ids
        tail = tokenizer.encode("\n").ids
        is_answer = message["role"] == "assistant"
        ids += head + body + tail
        learned += [False] * len(head) + [is_answer] * len(body) + [False] * len(tail)
    return ids, learned


def write_model(folder: Path, tokenizer: Tokenizer, config: dict[str, Any], model: Any) -> None:
    """Write the model's files: weights in bfloat16, everything readable by all."""
    folder.mkdir(parents=True, exist_ok=True)
    # Tied: the head is the embedding, stored once, as published models do.
    weights = {
        name: value.to(torch.bfloat16).contiguous()
        for name, value in model.state_dict().items()
        if name != "lm_head.weight"
    }
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    tokenizer.save(str(folder / "tokenizer.json"))
    _write_json(folder / "config.json", config)
    _write_json(folder / "tokenizer_config.json", tokenizer_config(tokenizer))
    _write_json(folder / "generation_config.json", generation_config(config))
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE, encoding="utf-8")
    (folder / "README.md").write_text(MODEL_CARD, encoding="utf-8")
    (folder / "LICENSE").write_bytes(LICENSE.read_bytes())
    for path in folder.iterdir():
        path.chmod(0o644)  # safetensors writes its file for the owner alone


def tokenizer_config(tokenizer: Tokenizer) -> dict[str, Any]:
    """tokenizer_config.json, as Qwen3 models have it."""
    added = {
        str(tokenizer.token_to_id(token)): {
            "content": token,
            "lstrip": False,
            "normalized": False,
            "rstrip": False,
            "single_word": False,
            "special": True,
        }
        for token in (END_OF_TEXT, TURN_START, TURN_END)
    }
    return {
        "add_bos_token": False,
        "add_prefix_space": False,
        "added_tokens_decoder": added,
        "bos_token": None,
        "clean_up_tokenization_spaces": False,
        "eos_token": TURN_END,
        "errors": "replace",
        "model_max_length": 2048,
        "pad_token": END_OF_TEXT,
        "split_special_tokens": False,
        "tokenizer_class": "Qwen2Tokenizer",
        "unk_token": None,
    }


def generation_config(config: dict[str, Any]) -> dict[str, Any]:
    """generation_config.json: both end tokens, and the likeliest token each time, so that answers repeat."""
    return {
        "do_sample": True,
        "eos_token_id": [config["eos_token_id"], config["pad_token_id"]],
        "pad_token_id": config["pad_token_id"],
        "temperature": 0.1,
        "top_k": 1,
        "top_p": 1.0,
    }


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def main() -> None:
    """`python -m demo.model OUT [--seed N] [--threads N]`."""
    parser = argparse.ArgumentParser(description="Make the demo's tiny model.")
    parser.add_argument("out", type=Path, help="folder to write the model into")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=None, help="CPU threads; default: as torch chooses")
    args = parser.parse_args()
    make_model(args.out, seed=args.seed, threads=args.threads, progress=Terminal())


if __name__ == "__main__":
    main()
