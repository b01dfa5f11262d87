"""trl's `SFTTrainer` on prompts with completions: the loss on the completions only, as it documents."""

import json
from pathlib import Path

from meter import Meter, read_job


def main() -> None:
    """Train, and write what was measured."""
    job = read_job()
    meter = Meter(job)
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    rows = json.loads(Path(job.rows).read_text(encoding="utf-8"))
    dataset = Dataset.from_list(
        [
            {
                "prompt": [{"role": "user", "content": row["instruction"]}],
                "completion": [{"role": "assistant", "content": row["output"]}],
            }
            for row in rows
        ]
    )
    arguments = SFTConfig(
        output_dir=job.scratch,
        num_train_epochs=job.epochs,
        learning_rate=job.learning_rate,
        lr_scheduler_type="cosine",
        seed=job.seed,
        use_cpu=True,
        # Both are on by default, and slower: the job is float32, and there is room for the activations.
        bf16=False,
        gradient_checkpointing=False,
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        **job.options,
    )
    SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(job.base),
        args=arguments,
        train_dataset=dataset,
        processing_class=AutoTokenizer.from_pretrained(job.base),
        peft_config=LoraConfig(
            r=job.rank, lora_alpha=job.alpha, target_modules="all-linear", task_type="CAUSAL_LM"
        ),
    ).train()
    meter.write()


if __name__ == "__main__":
    main()
