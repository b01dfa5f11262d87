"""What LLaMA-Factory makes of every row: its own parser, file types, converters, templates and processors.

Rows go through one by one, so that the row that ends its run is known. Runs in LLaMA-Factory's own
environment; the argument names a JSON file of {folder, scratch, result, entries}.
"""

import json
import logging
import sys
from pathlib import Path
from typing import Any

IGNORED = -100
"""What a token is labelled with that is not learned."""


def main() -> None:
    """Take every entry apart, and write what came out."""
    wanted = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    logging.disable(logging.WARNING)
    found = {entry["name"]: _entry(wanted["folder"], wanted["scratch"], entry) for entry in wanted["entries"]}
    Path(wanted["result"]).write_text(json.dumps(found, ensure_ascii=False), encoding="utf-8")


def _entry(folder: str, scratch: str, entry: dict[str, Any]) -> list[dict[str, Any]]:
    """What became of each row; one outcome where the file as a whole ends the run."""
    from llamafactory.data.converter import get_dataset_converter
    from llamafactory.data.loader import _get_dataset_processor
    from llamafactory.data.parser import get_dataset_list
    from llamafactory.data.template import get_template_and_fix_tokenizer
    from llamafactory.hparams import DataArguments
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(entry["base"])
    settings = DataArguments(
        template=entry["template"],
        dataset_dir=folder,
        cutoff_len=1_000_000,
        mask_history=entry["mask_history"],
        enable_thinking=entry["thinking"],
        packing=False,
    )
    template = get_template_and_fix_tokenizer(tokenizer, settings)
    attributes = get_dataset_list([entry["name"]], folder)[0]
    convert = get_dataset_converter(attributes.formatting, attributes, settings)
    processor = _get_dataset_processor(settings, entry["stage"], template, tokenizer, None)

    def judged(row: dict[str, Any]) -> dict[str, Any]:
        try:
            one = {key: [value] for key, value in convert(row).items()}
            made = processor.preprocess_dataset(one)
        except Exception as error:  # noqa: BLE001  (whatever it is, their run ends there)
            return {"said": f"ends: {type(error).__name__}: {error}"[:60]}
        return _texts(made, tokenizer, entry["stage"]) if any(made.values()) else {"said": "left out"}

    try:
        return [judged(row) for row in _load(Path(folder, attributes.dataset_name), scratch)]
    except Exception as error:  # noqa: BLE001  (the same)
        return [{"said": f"ends: {type(error).__name__}"}]


def _load(path: Path, scratch: str) -> Any:
    """As their `_load_single_dataset` does."""
    from datasets import disable_progress_bars, load_dataset
    from llamafactory.extras.constants import FILEEXT2TYPE

    disable_progress_bars()
    kind = FILEEXT2TYPE[path.suffix[1:]]
    return load_dataset(path=kind, data_files=[str(path)], split="train", cache_dir=scratch)


def _texts(made: dict[str, Any], tokenizer: Any, stage: str) -> dict[str, Any]:
    """The texts of one row in pieces, each with whether it is learned."""

    def pieces(ids: list[int], labels: list[int]) -> list[tuple[str, bool]]:
        runs: list[tuple[list[int], bool]] = []
        for token, label in zip(ids, labels, strict=True):
            learned = label != IGNORED
            if not runs or runs[-1][1] != learned:
                runs.append(([], learned))
            runs[-1][0].append(token)
        return [(tokenizer.decode(run, skip_special_tokens=False), learned) for run, learned in runs]

    if stage == "pt":
        return {"answer": pieces(made["input_ids"][0], made["input_ids"][0])}
    if stage == "rm":
        return {
            "answer": pieces(made["chosen_input_ids"][0], made["chosen_labels"][0]),
            "worse": pieces(made["rejected_input_ids"][0], made["rejected_labels"][0]),
        }
    texts: dict[str, Any] = {"answer": pieces(made["input_ids"][0], made["labels"][0])}
    if stage == "kto":
        texts["good"] = made["kto_tags"][0]
    return texts


if __name__ == "__main__":
    main()
