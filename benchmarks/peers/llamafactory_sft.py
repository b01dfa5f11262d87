"""LLaMA-Factory's own `run_exp`, with the settings that its YAML files would hold."""

import json
from pathlib import Path

from meter import Meter, read_job

TEMPLATE = "benchmark"


def main() -> None:
    """Train, and write what was measured."""
    job = read_job()
    meter = Meter(job)
    _register_template()
    from llamafactory.train.tuner import run_exp

    rows = Path(job.rows)
    datasets = Path(job.scratch) / "data"
    datasets.mkdir()
    (datasets / "dataset_info.json").write_text(
        json.dumps({"rows": {"file_name": str(rows)}}), encoding="utf-8"
    )
    run_exp(
        {
            "stage": "sft",
            "do_train": True,
            "model_name_or_path": job.base,
            "finetuning_type": "lora",
            "lora_target": "all",
            "lora_rank": job.rank,
            "lora_alpha": int(job.alpha),
            "lora_dropout": 0.0,
            "template": TEMPLATE,
            "dataset_dir": str(datasets),
            "dataset": "rows",
            "output_dir": str(Path(job.scratch) / "out"),
            "num_train_epochs": job.epochs,
            "learning_rate": job.learning_rate,
            "lr_scheduler_type": "cosine",
            "seed": job.seed,
            "use_cpu": True,
            # On by default, and slower; there is room for the activations.
            "disable_gradient_checkpointing": True,
            "save_strategy": "no",
            "logging_strategy": "no",
            "report_to": "none",
            "disable_tqdm": True,
            **job.options,
        }
    )
    meter.write()


def _register_template() -> None:
    """The base's own chat template in LLaMA-Factory's form (its `chatml` also learns a last newline)."""
    from llamafactory.data.formatter import StringFormatter
    from llamafactory.data.template import register_template

    register_template(
        name=TEMPLATE,
        format_user=StringFormatter(
            slots=["<|im_start|>user\n{{content}}<|im_end|>\n<|im_start|>assistant\n"]
        ),
        format_assistant=StringFormatter(slots=["{{content}}<|im_end|>"]),
        stop_words=["<|im_end|>"],
    )


if __name__ == "__main__":
    main()
