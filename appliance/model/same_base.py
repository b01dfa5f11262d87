"""Whether a run's base model is still the one that training began with, by the hashes of its files.

An adapter fits every base of the same shapes. Only the record tells another one of them apart; without
it (a run made elsewhere) nothing can be known, and nothing is said.
"""

import hashlib
from collections.abc import Mapping
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
        lines = (f"{sha256}  {name}\n" for name, sha256 in hashes(base).items())
        write_whole(record, "".join(lines).encode())


def check_base_sums(base: Path, record: Path) -> None:
    """Judge that the model folder `base` is the one that `record` was written of, where there is a record.

    Raises: BadInput, naming the first file that differs.
    """
    if not record.is_file():
        return
    differ = changed_files(record, hashes(base))
    if differ:
        raise BadInput(
            say("The base model in {base} is not the one that the run was trained over.", base=base),
            why=say("{file} is another file than it was then", file=differ[0]),
            next_step="Put the base back (`islet rollback` where a release replaced it), or train anew.",
        )


def changed_files(record: Path, now: Mapping[str, str]) -> list[str]:
    """Names of the files that are others than when `record` was written, or came or went since.

    now: SHA-256 of the base's files by name; those that change nothing are passed over

    Raises: OSError, when the record cannot be read.
    """
    recorded = set(record.read_text(encoding="utf-8", errors="replace").splitlines())
    judged = {f"{sha256}  {name}" for name, sha256 in now.items() if _is_judged(name)}
    return sorted({line.partition("  ")[2] for line in recorded ^ judged})


def hashes(base: Path) -> dict[str, str]:
    """SHA-256 by name of all files that change what the model in the folder `base` computes or reads."""
    found = {}
    for path in sorted(path for path in base.iterdir() if path.is_file() and _is_judged(path.name)):
        with path.open("rb") as file:
            found[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def _is_judged(name: str) -> bool:
    return name in JUDGED or ("/" not in name and name.endswith(".safetensors"))
