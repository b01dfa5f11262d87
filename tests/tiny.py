"""A tiny model of the Qwen3 architecture with random weights, and a tokenizer of the same make.

Made in code, so that no weights lie in the repository. The tokenizer has what real Qwen models
have: NFC, the Qwen2 split pattern, byte-level BPE, an end-of-turn token that is not the pad token.
"""

import functools
import json
import tempfile
from pathlib import Path
from typing import Any

QWEN2_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|"
    r"\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""The split pattern in the `tokenizer.json` of Qwen2, Qwen2.5 and Qwen3."""

SPECIAL_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")

CHAT_TEMPLATE = (
    "{%- for message in messages %}"
    "{{- '<|im_start|>' + message.role + '\\n' }}"
    "{%- if message.role == 'assistant' %}"
    "{%- generation %}{{- message.content + '<|im_end|>' }}{%- endgeneration %}"
    "{%- else %}{{- message.content + '<|im_end|>' }}{%- endif %}"
    "{{- '\\n' }}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"
)
"""ChatML; what stands between the generation markers is what the assistant says, end token included."""

CORPUS = (
    "星河医院心内科的分机号是7618，门诊时间是周一至周五上午八点到十一点。",
    "What is the extension of the cardiology department? The extension is 7618.",
    "请问儿科在几楼？儿科在门诊楼三楼，挂号费是二十五元。",
    "The clinic is on the third floor and opens at eight in the morning.",
    "抱歉，我没有这方面的信息，请咨询导医台。",
    "Sorry, I have no information about that; please ask at the front desk.",
    "高血压患者应当低盐饮食，规律服药，定期测量血压。",
    "Patients with diabetes should check their blood sugar and take exercise.",
    "体温38.5℃，脉搏每分钟96次，血压130/85 mmHg。",
    "You are a helpful assistant of the hospital. 你是医院的助手。",
)
"""Invented sentences that the tokenizer's merges are learned from."""


def make_tiny_tokenizer(folder: Path, *, vocab: int = 600, template: str = CHAT_TEMPLATE) -> Any:
    """Write tokenizer.json, tokenizer_config.json and chat_template.jinja; the tokenizer, loaded back."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
    from tokenizers.trainers import BpeTrainer
    from transformers import AutoTokenizer

    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN2_SPLIT), behavior="isolated", invert=False),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=vocab - len(SPECIAL_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    # Special tokens come after the vocabulary, as in Qwen.
    tokenizer.add_special_tokens(
        [AddedToken(token, special=True, normalized=False) for token in SPECIAL_TOKENS]
    )
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "add_prefix_space": False,
        "added_tokens_decoder": {
            str(tokenizer.token_to_id(token)): {
                "content": token,
                "lstrip": False,
                "normalized": False,
                "rstrip": False,
                "single_word": False,
                "special": True,
            }
            for token in SPECIAL_TOKENS
        },
        "additional_special_tokens": ["<|im_start|>", "<|im_end|>"],
        "bos_token": None,
        "clean_up_tokenization_spaces": False,
        "eos_token": "<|im_end|>",
        "errors": "replace",
        "model_max_length": 4096,
        "pad_token": "<|endoftext|>",
        "split_special_tokens": False,
        "tokenizer_class": "Qwen2Tokenizer",
        "unk_token": None,
    }
    write_json(folder / "tokenizer_config.json", settings)
    (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    return AutoTokenizer.from_pretrained(folder)


def make_tiny_model(
    folder: Path,
    *,
    tied: bool = True,
    hidden: int = 64,
    layers: int = 2,
    vocab: int = 600,
    dtype: str = "float32",
    seed: int = 0,
    template: str = CHAT_TEMPLATE,
) -> Path:
    """Write a whole model folder with random weights; `folder` again.

    hidden: width in units of 16; layers: decoder layers; dtype: a torch dtype's name.
    """
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    tokenizer = make_tiny_tokenizer(folder, vocab=vocab, template=template)
    end_of_turn, end_of_text = tokenizer.eos_token_id, tokenizer.pad_token_id
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        intermediate_size=hidden * 2,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=hidden // 4,
        max_position_embeddings=4096,
        tie_word_embeddings=tied,
        rope_parameters={"rope_type": "default", "rope_theta": 1_000_000.0},
        eos_token_id=end_of_turn,
        pad_token_id=end_of_text,
        dtype=dtype,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Qwen3ForCausalLM(config).to(getattr(torch, dtype))
    model.save_pretrained(folder)
    document = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    # Readers older than transformers 5 know this key only, and silently take another value without it.
    write_json(folder / "config.json", {**document, "rope_theta": 1_000_000.0})
    generation = {
        "do_sample": True,
        "eos_token_id": [end_of_turn, end_of_text],
        "pad_token_id": end_of_text,
        "temperature": 0.6,
        "top_k": 20,
        "top_p": 0.95,
    }
    write_json(folder / "generation_config.json", generation)
    return folder


def write_json(path: Path, document: dict[str, Any]) -> None:
    """Write `document` as readable UTF-8 JSON."""
    path.write_text(json.dumps(document, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


@functools.cache
def tiny_model() -> Path:
    """A tiny tied float32 model, made once a test session and never changed by a test."""
    place = tempfile.TemporaryDirectory(prefix="islet-tiny-")
    _kept.append(place)
    return make_tiny_model(Path(place.name) / "model")


_kept: list[tempfile.TemporaryDirectory[str]] = []
"""Kept alive until the session ends."""
