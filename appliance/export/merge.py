"""The base model with its adapter in it: a folder of the same files, written tensor by tensor.

- Memory is that of the largest changed tensor in float32, not of the model.
- Headers are copied unchanged and untouched tensors in the kernel, so every byte that the adapter does
  not change is the base's byte.
- The sum is taken in float32 and rounded once to the base's type.
- An adapter trained over a quantised base can be merged into the values that this base had in training,
  instead of the unquantised ones: then the result computes what was trained.
- Every tensor of the adapter is used, or the merge is refused before anything is written.
- Written aside and renamed whole; a merge that was cut off is done again from the start.
"""

import json
import math
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from appliance.bundle.safetensors import SafetensorsFile, Tensor, read_safetensors
from appliance.durable import sync_folder
from appliance.errors import BadInput, HostNotReady, StepFailed
from appliance.export.adapter import Adapter, adapter_refusal, read_adapter
from appliance.model.base import weight_files
from appliance.model.nf4 import as_trained
from appliance.progress import Advance, Progress, amount_text
from appliance.sentence import reason, say

if TYPE_CHECKING:
    import torch

COPIED_SUFFIXES = (".json", ".jinja", ".txt", ".model", ".md")
COPIED_NAMES = ("LICENSE", "NOTICE", "LICENCE", "USE_POLICY")
TIED = ("lm_head.weight", "model.embed_tokens.weight")
"""Names of output head and token embedding in decoder models of transformers."""

COPY_CHUNK_BYTES = 64 << 20
ROWS_ELEMENTS = 1 << 20
"""Elements of a changed tensor that are summed, rounded and written at a time."""
ROOM_TO_SPARE = 1.02
"""File systems need a little more than the bytes written."""


@dataclass(frozen=True)
class MergeResult:
    """What a merge made."""

    folder: Path
    merged_tensors: int
    """Tensors that the adapter changed."""
    size: int
    """Bytes of weights written."""


def merge(
    base: Path, adapter: Path, into: Path, progress: Progress, *, dequantised: bool = False
) -> MergeResult:
    """Write the model folder `base` with the LoRA `adapter` merged into it as the folder `into`.

    base:    a folder with config.json, tokenizer files and safetensors weights
    adapter: a folder with adapter_config.json and adapter_model.safetensors
    into:    replaced when it exists
    dequantised: take each weight that has an adapter as NF4 keeps it (appliance.model.nf4). Training
        quantises exactly those that it puts an adapter on.

    Raises: BadInput, when base or adapter is unsound or they do not belong together; HostNotReady,
    when there is too little room; StepFailed, when a merged weight is not finite.
    """
    change = read_adapter(adapter)
    shards = [read_safetensors(path) for path in weight_files(base)]
    _check_belongs(base, change, shards)
    size = sum(shard.path.stat().st_size for shard in shards)
    into.parent.mkdir(parents=True, exist_ok=True)
    check_room(into.parent, size)
    aside = into.with_name(into.name + ".partial")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(mode=0o755)
    for path in _side_files(base):
        _write_copy(path, aside / path.name)
    with (
        progress.stage(say("merge the adapter"), total=size) as advance,
        change.file.path.open("rb") as source,
    ):
        for shard in shards:
            _merge_shard(shard, change, source, aside / shard.path.name, advance, dequantised)
    put_in_place(aside, into)
    return MergeResult(into, len(change.lora) + len(change.replaced), size)


def check_room(folder: Path, need_bytes: int) -> None:
    """Judge that `need_bytes` fit beside what is in `folder`.

    Raises: HostNotReady.
    """
    free_bytes = shutil.disk_usage(folder).free
    if free_bytes < need_bytes * ROOM_TO_SPARE:
        raise HostNotReady(
            say("{folder} has too little room.", folder=folder),
            why=say(
                "{needed} needed, {free} free",
                needed=amount_text(need_bytes, "B"),
                free=amount_text(free_bytes, "B"),
            ),
            next_step="Free space there, or put the run on another disk.",
        )


def put_in_place(aside: Path, into: Path) -> None:
    """Rename the finished folder `aside` to `into`; an older `into` is removed."""
    old = into.with_name(into.name + ".old")
    if old.exists() and not into.exists():  # the last one was killed between the two renames
        old.rename(into)
    shutil.rmtree(old, ignore_errors=True)
    try:
        if into.exists():
            into.rename(old)
        aside.rename(into)
    except BaseException:  # also a stop between the two
        if old.exists() and not into.exists():
            old.rename(into)
        raise
    sync_folder(into.parent)
    shutil.rmtree(old, ignore_errors=True)


def lora_delta(a: "torch.Tensor", b: "torch.Tensor", scale: float) -> "torch.Tensor":
    """What an adapter adds to a weight: scale · B·A, (out, in), float32.

    a: (rank, in), b: (out, rank)

    Source: LoRA, arXiv 2106.09685, section 4.1.
    """
    return (b.float() @ a.float()).mul_(scale)


def summed(base: "torch.Tensor", delta: "torch.Tensor", magnitude: "torch.Tensor | None") -> "torch.Tensor":
    """Rows of the weight that behaves like `base` with its adapter applied; `delta` is used up.

    base: (rows, in), any float dtype; returned in the same dtype
    delta: (rows, in), float32; magnitude: (rows,) or None

    The sum is taken in float32 and rounded once. With a magnitude each row is then scaled to that length
    (DoRA, arXiv 2402.09353, equation 5).
    """
    import torch

    delta += base
    if magnitude is None:
        return delta.to(base.dtype)
    norm: torch.Tensor = torch.linalg.norm(delta, dim=1)
    return ((magnitude.float() / norm).view(-1, 1) * delta).to(base.dtype)


def _check_belongs(base: Path, change: Adapter, shards: list[SafetensorsFile]) -> None:
    """Refuse an adapter of which one tensor has no place, the wrong shape, or a tied place in the base."""
    tensors = {tensor.name: tensor for shard in shards for tensor in shard.tensors}
    path = change.file.path
    tied = _is_tied(base)
    for name in (*change.lora, *change.replaced):
        if tied and name in TIED:
            raise adapter_refusal(
                path, say("{name}: the base shares one weight between embedding and output head", name=name)
            )
        if name not in tensors:
            raise adapter_refusal(
                path,
                say(
                    "{name} is not a weight of the base {base}; is it of another base?", name=name, base=base
                ),
            )
        if tensors[name].dtype not in ("F32", "F16", "BF16"):
            raise _base_refusal(
                base,
                say("{name} is stored as {dtype}: a quantised base", name=name, dtype=tensors[name].dtype),
            )
        if not math.prod(tensors[name].shape) or not tensors[name].shape:
            raise _base_refusal(
                base, say("{name} has shape {shape}, so no rows", name=name, shape=tensors[name].shape)
            )
    for name, lora in change.lora.items():
        shape = (lora.b.shape[0], lora.a.shape[1])
        rows = (shape[0],) if lora.magnitude is None else lora.magnitude.shape
        if tensors[name].shape != shape or rows != shape[:1]:
            raise adapter_refusal(
                path,
                _shapes(name, tensors[name].shape, shape),
            )
    for name, whole in change.replaced.items():
        if whole.shape != tensors[name].shape:
            raise adapter_refusal(
                path,
                _shapes(name, tensors[name].shape, whole.shape),
            )


def _is_tied(base: Path) -> bool:
    """Whether embedding and output head share one weight; transformers' default is that they do."""
    try:
        config = json.loads((base / "config.json").read_text(encoding="utf-8"))
        inner = config.get("text_config", {})
        return bool(config.get("tie_word_embeddings", inner.get("tie_word_embeddings", True)))
    except (OSError, ValueError, AttributeError) as error:
        raise _base_refusal(base / "config.json", reason(error)) from error


def _merge_shard(
    shard: SafetensorsFile,
    change: Adapter,
    adapter_file: BinaryIO,
    into: Path,
    advance: Advance,
    dequantised: bool,
) -> None:
    """Write one shard: header and untouched tensors copied, changed tensors computed."""
    with shard.path.open("rb") as source, into.open("xb") as target:
        copied = 0
        for tensor in shard.tensors:
            if tensor.name in change.lora or tensor.name in change.replaced:
                _copy_range(source, target, copied, tensor.begin, advance)
                for rows in _changed(tensor, source, change, adapter_file, dequantised):
                    target.write(_bytes(tensor.name, rows))
                advance(tensor.end - tensor.begin)
                copied = tensor.end
        _copy_range(source, target, copied, shard.path.stat().st_size, advance)
        _finish(target)


def _changed(
    tensor: Tensor, source: BinaryIO, change: Adapter, adapter_file: BinaryIO, dequantised: bool
) -> "Iterator[torch.Tensor]":
    """One changed tensor in the base's type, some rows at a time.

    Only B·A is held whole, because a product of fewer rows may be summed in another order.
    """
    dtype = _dtype(tensor)
    lora = change.lora.get(tensor.name)
    if lora is None:
        for begin, end in _row_ranges(tensor):
            yield _load(adapter_file, change.replaced[tensor.name], begin, end).to(dtype)
        return
    magnitude = None if lora.magnitude is None else _load(adapter_file, lora.magnitude)
    # Whole, because the scales of its blocks are themselves quantised about their mean.
    quantised = as_trained(_load(source, tensor)) if dequantised else None
    delta = lora_delta(_load(adapter_file, lora.a), _load(adapter_file, lora.b), lora.scale)
    for begin, end in _row_ranges(tensor):
        base = _load(source, tensor, begin, end) if quantised is None else quantised[begin:end].to(dtype)
        lengths = None if magnitude is None else magnitude[begin:end]
        yield summed(base, delta[begin:end], lengths)


def _bytes(name: str, merged: "torch.Tensor") -> memoryview:
    """The bytes of rows to be written.

    Raises: StepFailed, when a value is not finite.
    """
    import torch

    if not torch.isfinite(merged).all():
        raise StepFailed(
            say("The merged weight {name} is not finite.", name=name),
            why="base or adapter holds infinite values, or their sum does not fit the base's type",
            next_step="Train again with a lower learning rate, or keep an earlier checkpoint.",
        )
    return merged.contiguous().view(torch.uint8).numpy().data.cast("B")


def _row_ranges(tensor: Tensor) -> Iterator[tuple[int, int]]:
    """First and last (exclusive) of some rows, until all are named."""
    rows = tensor.shape[0]
    step = max(1, ROWS_ELEMENTS // max(1, math.prod(tensor.shape[1:])))
    for begin in range(0, rows, step):
        yield begin, min(begin + step, rows)


def _load(file: BinaryIO, tensor: Tensor, begin: int = 0, end: int | None = None) -> "torch.Tensor":
    """The rows `begin` to `end` of one tensor; all of them where nothing is said."""
    import torch

    rows = tensor.shape[0]
    end = rows if end is None else end
    row_bytes = (tensor.end - tensor.begin) // rows
    data = bytearray((end - begin) * row_bytes)
    file.seek(tensor.begin + begin * row_bytes)
    if file.readinto(data) != len(data):  # type: ignore[attr-defined]
        raise _became_shorter(file)
    return torch.frombuffer(data, dtype=_dtype(tensor)).view(end - begin, *tensor.shape[1:])


def _dtype(tensor: Tensor) -> "torch.dtype":
    """The type of one tensor's values."""
    import torch

    return {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}[tensor.dtype]


def _side_files(base: Path) -> Iterator[Path]:
    """Configuration, tokenizer and licence files of a model folder; never weights, never code."""
    for path in sorted(base.iterdir()):
        wanted = path.suffix in COPIED_SUFFIXES or path.name.split(".")[0].upper() in COPIED_NAMES
        if path.is_file() and wanted:
            yield path


def _write_copy(source: Path, into: Path) -> None:
    """A copy of one small file, on disk when this returns."""
    with source.open("rb") as file, into.open("xb") as target:
        shutil.copyfileobj(file, target)
        _finish(target)


def _finish(target: BinaryIO) -> None:
    """Readable by whoever serves the model, and on disk."""
    os.fchmod(target.fileno(), 0o644)
    target.flush()
    os.fsync(target.fileno())


def _copy_range(source: BinaryIO, target: BinaryIO, begin: int, end: int, advance: Advance) -> None:
    """Append bytes `begin` to `end` of `source` to `target`, in the kernel where it can."""
    target.flush()
    while begin < end:
        want = min(end - begin, COPY_CHUNK_BYTES)
        try:
            done = os.copy_file_range(source.fileno(), target.fileno(), want, begin)
        except OSError:
            # Not between these file systems (EXDEV, ENOTSUP), or not in this kernel (ENOSYS).
            source.seek(begin)
            done = target.write(source.read(want))
            target.flush()
        if done == 0:
            raise _became_shorter(source)
        begin += done
        advance(done)


def _became_shorter(file: BinaryIO) -> BadInput:
    """The refusal of a file that has fewer bytes than its header said when it was judged."""
    return BadInput(
        say("{file} became shorter while it was read.", file=file.name),
        why="it ends before the tensors that its header names",
        next_step="Run `islet doctor`, then merge again.",
    )


def _shapes(name: str, base: tuple[int, ...], adapter: tuple[int, ...]) -> str:
    """Two shapes of one tensor that do not go together."""
    return say(
        "{name} is {base} in the base, {adapter} in the adapter", name=name, base=base, adapter=adapter
    )


def _base_refusal(path: Path, why: str) -> BadInput:
    """The refusal of a base model."""
    return BadInput(
        say("{path} cannot be merged into.", path=path),
        why=why,
        next_step="Choose a base model with 16-bit safetensors.",
    )
