"""Plain `transformers.Trainer` with PEFT: the rows of a batch padded to the longest."""

import json
from pathlib import Path
from typing import Any

from meter import IGNORED, Meter, read_job


def main() -> None:
    """Train, and write what was measured."""
    job = read_job()
    meter = Meter(job)
    from peft import LoraConfig, get_peft_model
    from transformers import (
        AutoModelForCausalLM,
        AutoTokenizer,
        DataCollatorForSeq2Seq,
        Trainer,
        TrainingArguments,
    )

    tokenizer = AutoTokenizer.from_pretrained(job.base)
    lora = LoraConfig(r=job.rank, lora_alpha=job.alpha, target_modules="all-linear", task_type="CAUSAL_LM")
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(job.base), lora)
    arguments = TrainingArguments(
        output_dir=job.scratch,
        num_train_epochs=job.epochs,
        learning_rate=job.learning_rate,
        lr_scheduler_type="cosine",
        seed=job.seed,
        use_cpu=True,
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        **job.options,
    )
    rows = json.loads(Path(job.rows).read_text(encoding="utf-8"))
    Trainer(
        model=model,
        args=arguments,
        train_dataset=[_encoded(row, tokenizer) for row in rows],
        data_collator=DataCollatorForSeq2Seq(tokenizer),
    ).train()
    meter.write()


def _encoded(row: dict[str, str], tokenizer: Any) -> dict[str, list[int]]:
    messages = [
        {"role": "user", "content": row["instruction"]},
        {"role": "assistant", "content": row["output"]},
    ]
    prompt = tokenizer.apply_chat_template(messages[:1], tokenize=False, add_generation_prompt=True)
    whole = tokenizer.apply_chat_template(messages, tokenize=False)
    prompt_ids = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    answer_ids = tokenizer(whole.removeprefix(prompt), add_special_tokens=False)["input_ids"]
    return {
        "input_ids": prompt_ids + answer_ids,
        "attention_mask": [1] * len(prompt_ids + answer_ids),
        "labels": [IGNORED] * len(prompt_ids) + answer_ids,
    }


if __name__ == "__main__":
    main()
