"""The safetensors format, parsed and bounded by us: names, shapes and places of tensors, never values.

Standard library only. Source of the format: safetensors README, "Format" (8-byte little-endian
header length, JSON header, data); its own limit for the header is 100 MB.
"""

import json
import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appliance.errors import BadInput

MAX_HEADER_BYTES = 100_000_000
"""The format's own limit (safetensors/src/tensor.rs, MAX_HEADER_SIZE)."""

DTYPE_BYTES = {
    "F64": 8,
    "F32": 4,
    "F16": 2,
    "BF16": 2,
    "I64": 8,
    "I32": 4,
    "I16": 2,
    "I8": 1,
    "U8": 1,
    "BOOL": 1,
    "F8_E4M3": 1,
    "F8_E5M2": 1,
}
"""Bytes an element, by the format's names."""


@dataclass(frozen=True)
class Tensor:
    """Where one tensor lies."""

    name: str
    dtype: str
    """A key of DTYPE_BYTES."""
    shape: tuple[int, ...]
    begin: int
    """First byte, counted from the start of the file."""
    end: int
    """One past the last byte."""


@dataclass(frozen=True)
class SafetensorsFile:
    """One file: its tensors in the order of their bytes, which follow each other without a gap."""

    path: Path
    data_start: int
    """Bytes before the first tensor: the length field and the header."""
    tensors: tuple[Tensor, ...]


def read_safetensors(path: Path) -> SafetensorsFile:
    """The tensors of the file at `path`, judged: known types, sizes that match shapes, no gap, no overlap.

    Raises: BadInput, naming the file and what is wrong in it.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length_field = file.read(8)
            length = struct.unpack("<Q", length_field)[0] if len(length_field) == 8 else -1
            if not 2 <= length <= min(MAX_HEADER_BYTES, size - 8):
                raise _refusal(path, f"its header length is {length} bytes in a file of {size}")
            header = file.read(length)
    except OSError as error:
        raise _refusal(path, str(error)) from error
    tensors = _tensors(path, _decode(path, header), data_start=8 + length)
    end = tensors[-1].end if tensors else 8 + length
    if end != size:
        raise _refusal(path, f"its tensors end at byte {end}, the file at byte {size}")
    return SafetensorsFile(path, 8 + length, tensors)


def _decode(path: Path, header: bytes) -> dict[str, Any]:
    """The header's JSON object; a name given twice is refused, because readers differ in which they take."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({name for name, _ in pairs}) != len(pairs):
            raise _refusal(path, "its header gives a name twice")
        return dict(pairs)

    try:
        document = json.loads(header, object_pairs_hook=once)
    except (ValueError, RecursionError) as error:
        raise _refusal(path, f"its header is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise _refusal(path, "its header is not a JSON object")
    return document


def _tensors(path: Path, document: dict[str, Any], *, data_start: int) -> tuple[Tensor, ...]:
    """The entries as tensors, sorted by place and checked to follow each other."""
    found = [
        _tensor(path, name, entry, data_start) for name, entry in document.items() if name != "__metadata__"
    ]
    found.sort(key=lambda tensor: (tensor.begin, tensor.end))
    expected = data_start
    for tensor in found:
        if tensor.begin != expected:
            raise _refusal(path, f"tensor {tensor.name} starts at byte {tensor.begin}, not {expected}")
        expected = tensor.end
    return tuple(found)


def _tensor(path: Path, name: str, entry: object, data_start: int) -> Tensor:
    """One entry of the header, its size judged against its shape."""
    match entry:
        case {"dtype": str(dtype), "shape": [*shape], "data_offsets": [int(begin), int(end)], **rest}:
            known = not rest and dtype in DTYPE_BYTES
            sizes_are_right = all(type(size) is int and size >= 0 for size in shape)
            if known and sizes_are_right and 0 <= begin <= end:
                if end - begin != math.prod(shape) * DTYPE_BYTES[dtype]:
                    raise _refusal(path, f"tensor {name} has {end - begin} bytes, not what its shape needs")
                return Tensor(name, dtype, tuple(shape), data_start + begin, data_start + end)
    raise _refusal(path, f"tensor {name} has an entry that is not understood: {str(entry)[:200]}")


def _refusal(path: Path, why: str) -> BadInput:
    """The refusal of the file at `path`."""
    return BadInput(
        f"{path} is not a sound safetensors file.",
        why=why,
        next_step="Copy the file again from where it came from.",
    )
