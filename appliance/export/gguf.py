"""A model folder as one GGUF file, by llama.cpp's own converter in a process of its own.

The converter knows tokenizers by a hash over sample text. A tokenizer of our own making, or one with
a token more, is unknown to it; its pre-tokenizer may still be, byte for byte, that of a known family,
and then that family's name is right. Anything else is refused: a wrong name shows in no error
message, only in wrong tokens.
"""

import json
import math
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from appliance import process
from appliance.bundle.gguf import read_gguf
from appliance.bundle.safetensors import Tensor, read_safetensors
from appliance.durable import sync_file
from appliance.errors import BadInput, StepFailed
from appliance.export.merge import check_room
from appliance.model.base import check_base, weight_files
from appliance.progress import Progress
from appliance.sentence import reason, say

OutType = Literal["f16", "bf16", "f32", "q8_0"]

BLOCK_BYTES = {"f16": 64, "bf16": 64, "f32": 128, "q8_0": 34}
"""Bytes of 32 elements; q8_0 stores them as 8-bit numbers with one 16-bit scale."""

LAUNCHER = Path(__file__).with_name("launch_converter.py")

OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
}
KEPT_VARIABLES = ("PATH", "LD_LIBRARY_PATH", "TMPDIR", "LANG", "LC_ALL", "OMP_NUM_THREADS", "OMP_WAIT_POLICY")
"""What the converter's process inherits; nothing that points Python or the libraries elsewhere."""

_LETTERS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


@dataclass(frozen=True)
class Family:
    """A pre-tokenizer that llama.cpp has under a name."""

    name: str
    """The value of `tokenizer.ggml.pre`."""
    pattern: str
    """The split pattern, exactly as in tokenizer.json."""
    ignore_merges: bool
    """Whether a word that is a token of its own is taken whole; llama.cpp ties this to the name."""


FAMILIES = (
    # llama.cpp 0c1e57098, src/llama-vocab.cpp: "original regex from tokenizer.json" at each pre type,
    # and `ignore_merges` where the name is looked up.
    Family("qwen2", _LETTERS + r"\p{N}" + _REST, ignore_merges=False),
    Family("llama-bpe", _LETTERS + r"\p{N}{1,3}" + _REST, ignore_merges=True),
)


@dataclass(frozen=True)
class GgufResult:
    """What a conversion made."""

    path: Path
    size: int
    """Bytes."""
    pre_tokenizer: str
    """The family that llama.cpp will split text like."""
    took_s: float


def convert(
    model: Path, converter: Path, into: Path, outtype: OutType, progress: Progress, *, name: str
) -> GgufResult:
    """Write the model folder `model` as the GGUF file `into`, using the converter's files in `converter`.

    name: what the file says the model is called; without it, that would be the folder's name

    Raises: BadInput, when the model brings code, or its tokenizer is of no known family; HostNotReady,
    when there is too little room; StepFailed, with the converter's last lines, when it fails.
    """
    check_base(model)
    if not (converter / "convert_hf_to_gguf.py").is_file():
        raise BadInput(
            say("{folder} holds no converter.", folder=converter),
            why="convert_hf_to_gguf.py is not there",
            next_step="Install a bundle that has the GGUF converter, or give its folder.",
        )
    family = find_family(model / "tokenizer.json")
    need_bytes = estimate_size(weight_files(model), outtype)
    check_room(into.parent, need_bytes)
    # Resolved, because the converter runs in another folder.
    command: list[str | Path] = [sys.executable, "-I", "-B", LAUNCHER, converter.resolve()]
    command += [family.name if family else "-", model.resolve(), "--model-name", name]
    command += ["--outtype", outtype, "--outfile", into.resolve()]
    inherited = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    started = time.monotonic()
    with progress.stage(say("convert to GGUF"), total=need_bytes) as advance:
        process.run(command, next_step=_next_step(family), env={**inherited, **OFFLINE}, cwd=into.parent)
        advance(need_bytes)
    into.chmod(0o644)
    sync_file(into)  # its folder gets its name only when all in it is on the disk
    pre = _check_result(into)
    return GgufResult(into, into.stat().st_size, pre, time.monotonic() - started)


def find_family(tokenizer: Path) -> Family | None:
    """The family whose pre-tokenizer `tokenizer` (a tokenizer.json) has byte for byte, if there is one.

    Raises: BadInput, when the file cannot be read.
    """
    try:
        document = json.loads(tokenizer.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput(
            say("{path} cannot be read.", path=tokenizer),
            why=reason(error),
            next_step="Install the base model again.",
        ) from error
    for family in FAMILIES:
        if _is_of_family(document, family):
            return family
    return None


def estimate_size(weights: Sequence[Path], outtype: OutType) -> int:
    """Bytes of the GGUF of the safetensors files `weights`, from their headers.

    The vocabulary and other settings, a few megabytes, come on top.
    """
    tensors = [tensor for path in weights for tensor in read_safetensors(path).tensors]
    return sum(_stored_bytes(tensor, outtype) for tensor in tensors)


def _stored_bytes(tensor: Tensor, outtype: OutType) -> int:
    """Bytes of one tensor: vectors stay float32, and rows that do not fill blocks are stored as f16."""
    elements = math.prod(tensor.shape)
    if len(tensor.shape) < 2:
        return elements * 4
    if outtype == "q8_0" and tensor.shape[-1] % 32:
        return elements * 2
    return elements * BLOCK_BYTES[outtype] // 32


def _is_of_family(document: Any, family: Family) -> bool:
    """Whether a tokenizer.json splits text exactly as `family` does."""
    match document:
        case {
            "pre_tokenizer": {
                "type": "Sequence",
                "pretokenizers": [
                    {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False},
                    {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False},
                ],
            },
            "model": {"type": "BPE", **bpe},
        }:
            plain = not bpe.get("byte_fallback") and not bpe.get("dropout")
            merges_agree = bool(bpe.get("ignore_merges")) == family.ignore_merges
            return bool(pattern == family.pattern and plain and merges_agree)
    return False


def _next_step(family: Family | None) -> str:
    """What to do when the converter fails; without a family the tokenizer is the likely cause."""
    if family is None:
        return say(
            "If it says that the pre-tokenizer was not recognized: this tokenizer is of no known family, and "
            "a guess would give wrong tokens. Choose another base model."
        )
    return say("Read the converter's lines above; `islet export` tries again.")


def _check_result(path: Path) -> str:
    """The pre-tokenizer in the file just written, after its bounds were judged.

    Raises: StepFailed, when the file is unsound: then the converter is at fault, not the operator.
    """
    try:
        settings = read_gguf(path).settings
    except BadInput as error:
        raise StepFailed(
            "The converter wrote an unsound file.", why=error.why, next_step=error.next_step
        ) from error
    return str(settings.get("tokenizer.ggml.pre", "none"))
