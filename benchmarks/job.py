"""The job that every trainer is given: a base with random weights, its tokenizer, and rows. Made in code.

The rows are a short question/answer mix of made-up words; speed does not depend on what they mean. All
trainers read the same files, so what is compared is the trainer and nothing else.
"""

import json
import random
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

SEED = 20
ROWS = 64
WORDS_PER_ROW = (42, 340)
"""Words of a row, question and answer together; one word is about one token."""
ANSWER_SHARE = (0.4, 0.7)
"""Share of a row's words that are its answer."""
VOCABULARY = 2400
SYLLABLES = [consonant + vowel for consonant in "bdfgklmnprstvz" for vowel in "aeiou"]

SPECIAL_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
CHAT_TEMPLATE = (
    "{%- for message in messages %}{{- '' if loop.first else '\\n' }}"
    "{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '\\n<|im_start|>assistant\\n' }}{%- endif %}"
)
"""ChatML that ends with the end-of-turn token: then every trainer learns the answer and this token, and
no newline after it."""


@dataclass(frozen=True)
class Shape:
    """A base of the Qwen3 architecture, in float32, its head tied to its embeddings."""

    name: str
    hidden: int
    layers: int
    vocabulary: int


SHAPES = (
    Shape("large head", hidden=512, layers=8, vocabulary=32_000),
    Shape("small head", hidden=640, layers=4, vocabulary=4_000),
)
"""Short-cuts in the vocabulary head weigh much on the first and little on the second, as on large models."""


@dataclass(frozen=True)
class Job:
    """What a driver in `benchmarks/peers` reads: one trainer's run."""

    base: str
    """Folder of the base."""
    rows: str
    """JSON list of {instruction, input, output}."""
    scratch: str
    """Empty folder for whatever the trainer writes."""
    result: str
    """Where the driver writes what was measured, as JSON."""
    learning_rate: float
    options: dict[str, Any]
    """The trainer's own settings."""
    epochs: float = 1.001
    """An epoch, and one optimizer step more; the first step is not timed (`benchmarks/peers/meter.py`)."""
    rank: int = 8
    alpha: float = 16.0
    seed: int = 1

    def write(self, path: Path) -> None:
        """Write the job as JSON."""
        path.write_text(json.dumps(asdict(self), indent=2), encoding="utf-8")


def make_rows(path: Path) -> None:
    """Write the rows: the same on every machine."""
    chance = random.Random(SEED)  # noqa: S311 - made-up text, not a secret
    words = _words()
    rows = []
    for _ in range(ROWS):
        # Many short rows and few long ones, as in collections of questions.
        total = round(WORDS_PER_ROW[0] * (WORDS_PER_ROW[1] / WORDS_PER_ROW[0]) ** (chance.random() ** 1.6))
        answer = round(total * chance.uniform(*ANSWER_SHARE))
        question = " ".join(chance.choices(words, k=total - answer))
        rows.append(
            {"instruction": question, "input": "", "output": " ".join(chance.choices(words, k=answer))}
        )
    path.write_text(json.dumps(rows), encoding="utf-8")


def make_base(folder: Path, shape: Shape) -> None:
    """Write the whole folder of a base: random weights, tokenizer, template."""
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    folder.mkdir(parents=True)
    tokenizer = make_tokenizer(folder)
    config = Qwen3Config(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden,
        intermediate_size=shape.hidden * 3,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.hidden // 64,
        num_key_value_heads=shape.hidden // 128,
        head_dim=64,
        max_position_embeddings=4096,
        tie_word_embeddings=True,
        # Wider than usual, so that the loss depends on what a token sees: a trainer that lets packed rows
        # see each other, or learns other tokens, shows in it.
        initializer_range=0.05,
        rope_parameters={"rope_type": "default", "rope_theta": 1_000_000.0},
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        dtype="float32",
    )
    torch.manual_seed(SEED)
    Qwen3ForCausalLM(config).save_pretrained(folder)
    for path in folder.iterdir():
        path.chmod(0o644)


def make_tokenizer(folder: Path, template: str = CHAT_TEMPLATE) -> Any:
    """Write the tokenizer's files; the tokenizer, loaded back."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers
    from tokenizers.trainers import BpeTrainer
    from transformers import AutoTokenizer

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            # A newline is a token of its own: it makes no difference where a trainer cuts the text.
            pre_tokenizers.Split(Regex(r"\n| ?[^\s]+"), behavior="isolated", invert=False),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=3_900, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), show_progress=False
    )
    tokenizer.train_from_iterator([" " + word for word in _words()] + ["user", "assistant"], trainer)
    tokenizer.add_special_tokens(
        [AddedToken(token, special=True, normalized=False) for token in SPECIAL_TOKENS]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "model_max_length": 4096,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2), encoding="utf-8")
    (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    return AutoTokenizer.from_pretrained(folder)


def _words() -> list[str]:
    """Made-up words of two and three syllables."""
    chance = random.Random(SEED)  # noqa: S311 - made-up text, not a secret
    words = {"".join(chance.choices(SYLLABLES, k=chance.choice((2, 3)))) for _ in range(VOCABULARY)}
    return sorted(words)
