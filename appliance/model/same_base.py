"""Whether a run's base model is still the one that training began with, by the hashes of its files.

An adapter fits every base of the same shapes. Only the record tells another one of them apart; without
it (a run made elsewhere) nothing can be known, and nothing is said.
"""

import hashlib
from pathlib import Path

from appliance.durable import write_whole
from appliance.errors import BadInput
from appliance.sentence import say

JUDGED = ("config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
"""Files that change what the model computes or reads, beside its weights."""


def keep_base_sums(base: Path, record: Path) -> None:
    """Write the hashes of the model folder `base` to `record`; where they stand already, judge by them.

    Raises: BadInput, as `check_base_sums` does.
    """
    if record.is_file():
        check_base_sums(base, record)
    else:
        write_whole(record, _sums(base).encode())


def check_base_sums(base: Path, record: Path) -> None:
    """Judge that the model folder `base` is the one that `record` was written of, where there is a record.

    Raises: BadInput, naming the first file that differs.
    """
    if not record.is_file():
        return
    recorded = set(record.read_text(encoding="utf-8").splitlines())
    differ = sorted(line.partition("  ")[2] for line in recorded ^ set(_sums(base).splitlines()))
    if differ:
        raise BadInput(
            say("The base model in {base} is not the one that the run was trained over.", base=base),
            why=say("{file} is another file than it was then", file=differ[0]),
            next_step="Put the base back (`islet rollback` where a release replaced it), or train anew.",
        )


def _sums(base: Path) -> str:
    """Lines of SHA-256 and name, as sha256sum writes them."""
    files = [base / name for name in JUDGED if (base / name).is_file()]
    lines = []
    for path in sorted([*files, *base.glob("*.safetensors")]):
        with path.open("rb") as file:
            lines.append(f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {path.name}\n")
    return "".join(lines)
