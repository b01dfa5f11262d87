"""The safetensors format, parsed and bounded by us: names, shapes and places of tensors, never values.

One parser for all who must know: the policy of the bundler, the loading and the merge at the site.
Standard library only. Source of the format: safetensors README, "Format" (8-byte little-endian header
length, JSON header, data).
"""

import json
import struct
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from appliance.errors import BadInput
from appliance.sentence import reason, say

MAX_HEADER_BYTES = 100_000_000
"""The format's own limit (safetensors/src/tensor.rs, MAX_HEADER_SIZE)."""
MAX_TENSORS = 200_000
"""Caps the time that a header can take; one file of a real model has some thousands."""
MAX_DIMENSIONS = 64

# fmt: off
DTYPE_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8,
    "F8_E5M2FNUZ": 8, "U16": 16, "I16": 16, "F16": 16, "BF16": 16, "U32": 32, "I32": 32, "F32": 32,
    "U64": 64, "I64": 64, "F64": 64, "C64": 64, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
}
# fmt: on
"""Bits an element, by the format's names."""


@dataclass(frozen=True)
class Tensor:
    """Where one tensor lies."""

    name: str
    dtype: str
    """A key of DTYPE_BITS."""
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
            field = file.read(8)
            length = struct.unpack("<Q", field)[0] if len(field) == 8 else MAX_HEADER_BYTES + 1
            if length > min(MAX_HEADER_BYTES, size - 8):
                raise ValueError(say("its header is longer than the file or than the format allows"))
            header = file.read(length)
        return SafetensorsFile(path, 8 + length, parse_header(header, size - 8 - length))
    except (OSError, ValueError) as error:
        raise BadInput(
            say("{path} is not a sound safetensors file.", path=path),
            why=reason(error),
            next_step="Copy the file again from where it came from.",
        ) from error


def parse_header(header: bytes, data_bytes: int) -> tuple[Tensor, ...]:
    """The tensors that a header describes, in the order of their bytes.

    data_bytes: how many bytes follow the header; the tensors must lie end to end over all of them.

    Raises: ValueError, with what is wrong, in words.
    """
    document = _decode(header)
    start = 8 + len(header)
    tensors = [_tensor(name, entry, start) for name, entry in document.items()]
    tensors.sort(key=lambda tensor: (tensor.begin, tensor.end))
    end = start
    for tensor in tensors:
        if tensor.begin != end:
            raise ValueError(say("its tensors overlap or leave a gap"))
        end = tensor.end
    if end - start != data_bytes:
        raise ValueError(
            say("its tensors need {needed} bytes, the file has {there}", needed=end - start, there=data_bytes)
        )
    return tuple(tensors)


def _decode(header: bytes) -> dict[str, Any]:
    """The header's entries; a name given twice is refused, because readers differ in which they take."""
    try:
        document = json.loads(header, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise ValueError(say("its header is not JSON: {error}", error=reason(error))) from None
    if not header.startswith(b"{") or not isinstance(document, dict):
        raise ValueError(say("its header is not an object"))
    metadata = document.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise ValueError(say("its __metadata__ is not text"))
    if len(document) > MAX_TENSORS:
        raise ValueError(say("it has more than {most} tensors", most=MAX_TENSORS))
    return document


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError(say("a name appears twice"))
    return document


def _tensor(name: str, entry: object, start: int) -> Tensor:
    """One entry of the header, its size judged against its type and shape."""
    match entry:
        case {"dtype": str(dtype), "shape": [*shape], "data_offsets": [first, last], **rest}:
            plain = all(type(size) is int and 0 <= size < 1 << 62 for size in [*shape, first, last])
            if plain and not rest and dtype in DTYPE_BITS and len(shape) <= MAX_DIMENSIONS:
                bits = prod(shape) * DTYPE_BITS[dtype]
                if bits % 8 == 0 and last - first == bits // 8:
                    return Tensor(name, dtype, tuple(shape), start + first, start + last)
    raise ValueError(say("the tensor {name} is not described as the format says", name=repr(name)))
