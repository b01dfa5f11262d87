"""From a finished run to a folder that Ollama takes: merge, GGUF, Modelfile, parity, checksums.

What would fail late is judged first: the chat template, every Modelfile value, and room for all files,
before the merge begins. The folder appears whole, and only when parity holds; a
blocked export leaves its report.
"""

import hashlib
import math
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from appliance.bundle.safetensors import read_safetensors
from appliance.data.canonical import read_rows
from appliance.durable import write_whole
from appliance.errors import BadInput, HostNotReady
from appliance.export.gguf import OutType, convert, estimate_size
from appliance.export.merge import check_room, merge, put_in_place
from appliance.export.modelfile import Modelfile, describe
from appliance.export.parity import (
    Converted,
    ParityReport,
    Subject,
    check_parity,
    measure_parity,
    report_json,
)
from appliance.model.base import weight_files
from appliance.model.memory import free_memory_bytes
from appliance.model.same_base import check_base_sums
from appliance.progress import Progress, amount_text
from appliance.run.folder import RunFolder, read_base
from appliance.run.plan import ExportChoice, Plan, read_plan
from appliance.sentence import reason, say

PARITY = "parity.json"
F32_BYTES = 4
MOST_QUESTIONS = 4
"""The run's own questions that are asked in the parity gate, beside the fixed ones."""


@dataclass(frozen=True)
class ExportResult:
    """What an export made, and what it took."""

    folder: Path
    ggufs: tuple[Path, ...]
    """The first is the one that the Modelfile names."""
    merged_bytes: int
    gguf_bytes: int
    """Of all GGUF files."""
    merge_s: float
    gguf_s: float
    parity_s: float
    parity: ParityReport


def export(run: RunFolder, converter: Path, progress: Progress) -> ExportResult:
    """Merge, convert, describe, compare and pack the run; its `export/` is replaced.

    converter: folder with llama.cpp's converter

    Raises: BadInput, when the run is not finished, the base is another one than it was trained over, or
    base, adapter or plan cannot be exported;
    HostNotReady, when there is too little room or memory; StepFailed, when a step fails or parity does not
    hold: then `export.blocked/` has the report and there is no GGUF.
    """
    plan, base = read_plan(run.plan), _base(run)
    check_base_sums(base, run.base_sums)
    aside, blocked = (run.export.with_name(run.export.name + end) for end in (".partial", ".blocked"))
    choice = plan.export
    files = _gguf_files(choice)
    modelfile = plan_modelfile(plan, base)
    text = modelfile.text()
    _check_room(run, base, choice)
    check_memory(base, free_memory_bytes())
    started = time.monotonic()
    merged = merge(base, run.adapter, run.merged, progress, dequantised=_is_dequantised(plan))
    merge_s = time.monotonic() - started
    for folder in (aside, blocked):
        shutil.rmtree(folder, ignore_errors=True)
    aside.mkdir(mode=0o755)
    ggufs = [
        convert(run.merged, converter, aside / name, outtype, progress, name=choice.name)
        for name, outtype in files.items()
    ]
    started = time.monotonic()
    converted = tuple(Converted(aside / name, outtype.upper()) for name, outtype in files.items())
    parity = measure_parity(_subject(run, base, plan, converted), progress)
    parity_s = time.monotonic() - started
    write_whole(aside / PARITY, report_json(parity).encode())
    if parity.first_difference is not None:
        for gguf in ggufs:
            gguf.path.unlink()
        put_in_place(aside, blocked)
        check_parity(parity)
    write_whole(aside / "Modelfile", text.encode())
    write_whole(aside / "README.md", _readme(plan, modelfile, parity).encode())
    _write_sums(aside, (*files, "Modelfile", PARITY, "README.md"), progress)
    put_in_place(aside, run.export)
    return ExportResult(
        folder=run.export,
        ggufs=tuple(run.export / name for name in files),
        merged_bytes=merged.size,
        gguf_bytes=sum(gguf.size for gguf in ggufs),
        merge_s=merge_s,
        gguf_s=sum(gguf.took_s for gguf in ggufs),
        parity_s=parity_s,
        parity=parity,
    )


def plan_modelfile(plan: Plan, base: Path) -> Modelfile:
    """The Modelfile that an export of `plan` will have; its `text()` may refuse too.

    Known before training: what is refused here would be refused after it.

    Raises: BadInput, when the base's template or settings, or the system prompt, cannot be written.
    """
    gguf = next(iter(_gguf_files(plan.export)))
    return describe(base, gguf=gguf, system=plan.model.system, num_ctx=plan.export.num_ctx)


def _gguf_files(choice: ExportChoice) -> dict[str, OutType]:
    """Types of the GGUF files by name; the Modelfile names the first."""
    return {f"{choice.name}-{outtype}.gguf": outtype for outtype in choice.gguf}


def _check_room(run: RunFolder, base: Path, choice: ExportChoice) -> None:
    """Judge that the merged folder and all GGUF files fit beside what is there.

    Raises: HostNotReady.
    """
    weights = weight_files(base)
    need_bytes = sum(path.stat().st_size for path in weights)
    need_bytes += sum(estimate_size(weights, outtype) for outtype in choice.gguf)
    check_room(run.root, need_bytes)


def check_memory(base: Path, free_bytes: int) -> None:
    """Judge that the stages can be compared, which takes the model in float32, one form at a time.

    Raises: HostNotReady, before hours are spent on merging and converting.
    """
    tensors = (tensor for path in weight_files(base) for tensor in read_safetensors(path).tensors)
    need_bytes = F32_BYTES * sum(math.prod(tensor.shape) for tensor in tensors)
    if need_bytes > free_bytes:
        raise HostNotReady(
            say("The export does not fit into memory."),
            why=say(
                "its stages are compared in float32, which takes {needed}; {free} are free",
                needed=amount_text(need_bytes, "B"),
                free=amount_text(free_bytes, "B"),
            ),
            next_step=say("End other programs, or add memory; the run stays as it is."),
        )


def _base(run: RunFolder) -> Path:
    """The base model's folder that the run recorded.

    Raises: BadInput, when the run has none, or no adapter yet.
    """
    try:
        base = read_base(run)
    except OSError as error:
        raise _unfinished(run, reason(error)) from error
    if not (run.adapter / "adapter_model.safetensors").is_file():
        raise _unfinished(run, "it has no adapter yet")
    return base


def _unfinished(run: RunFolder, why: str) -> BadInput:
    """The refusal of a run that has nothing to export."""
    return BadInput(
        say("{folder} cannot be exported.", folder=run.root),
        why=why,
        next_step="Train the run to its end first: `islet train`.",
    )


def _subject(run: RunFolder, base: Path, plan: Plan, ggufs: tuple[Converted, ...]) -> Subject:
    """What the parity gate compares."""
    largest = max(
        (tensor for path in weight_files(run.merged) for tensor in read_safetensors(path).tensors),
        key=lambda tensor: tensor.end - tensor.begin,
    )
    return Subject(
        base=base,
        adapter=run.adapter,
        merged=run.merged,
        ggufs=ggufs,
        stored=largest.dtype,
        system=plan.model.system,
        questions=tuple(_questions(run)),
        nf4=_is_dequantised(plan),
    )


def _is_dequantised(plan: Plan) -> bool:
    """Whether the adapter goes into the base's values as they were quantised in training."""
    return plan.training.nf4 and plan.export.merge_into == "dequantised"


def _questions(run: RunFolder) -> Sequence[str]:
    """The first questions that the run learned from; none where it kept no rows."""
    path = run.data / "train.parquet"
    if not path.is_file():
        return ()
    questions = {row.question[-1].content: None for row in read_rows(path) if row.question}
    return list(questions)[:MOST_QUESTIONS]


def _write_sums(folder: Path, names: Sequence[str], progress: Progress) -> None:
    """SHA256SUMS over the files `names`, as `sha256sum -c` reads it."""
    lines = []
    total = sum((folder / name).stat().st_size for name in names)
    with progress.stage(say("hash the export"), total=total) as advance:
        for name in sorted(names):
            with (folder / name).open("rb") as file:
                lines.append(f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {name}\n")
            advance((folder / name).stat().st_size)
    write_whole(folder / "SHA256SUMS", "".join(lines).encode())


def _readme(plan: Plan, modelfile: Modelfile, parity: ParityReport) -> str:
    """What lies in the folder and what to type."""
    name = plan.export.name
    others = "".join(
        f"\n`{name}-{outtype}.gguf` is the same model with other rounding; to use it, write its name after\n"
        "`FROM` in the Modelfile.\n"
        for outtype in plan.export.gguf[1:]
    )
    blanks = (
        "\nThe model was trained with messages whose outer blanks were removed. A template in a Modelfile\n"
        "cannot remove them: send messages without.\n"
        if modelfile.trims
        else ""
    )
    compared = "\n".join(
        f"| {each.compared} | {each.positions} | {each.largest_difference:.2g} "
        f"| {each.allowed_difference:.2g} |"
        for each in parity.comparisons
    )
    return f"""# {name}

On the machine that has Ollama, in this folder:

    sha256sum -c SHA256SUMS
    ollama create {name} -f Modelfile
    ollama run {name}

`{modelfile.gguf}` is the model, `Modelfile` says how Ollama talks to it. If Ollama prefers the
template inside the GGUF (its log says `template selection`), start its server with
`OLLAMA_GO_TEMPLATE=1`, so that the one in the Modelfile is used.
{blanks}{others}
The same prompts went through the model in each of its forms (`parity.json`):

| compared | positions | largest difference | allowed |
|---|---|---|---|
{compared}
"""
