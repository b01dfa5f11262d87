"""The GGUF format, parsed and bounded by us: what a file says of itself, and that its tensors lie in it.

One parser for all who must know: the policy of the bundler, the export at the site. Engines have read past
a file's end where it said that a tensor lies there (CVE-2026-7482). Standard library only.
Source of the format: llama.cpp, docs of ggml `gguf.md`, version 3; block sizes from gguf-py's
`GGML_QUANT_SIZES`.
"""

import math
import mmap
import struct
from dataclasses import dataclass
from pathlib import Path

from appliance.errors import BadInput
from appliance.sentence import reason, say

MAX_NAME_BYTES = 65_535
MAX_STRING_BYTES = 16 << 20
"""The longest sound string is a chat template of some kilobytes."""
MAX_ENTRIES = 1 << 20
"""More than any model's settings or tensors."""
MAX_ARRAY = 1 << 26
MAX_ARRAY_STRINGS = 1 << 22
"""Walked one by one; vocabularies have some hundred thousand."""

STRING, ARRAY = 8, 9
SCALARS = {
    0: "<B",
    1: "<b",
    2: "<H",
    3: "<h",
    4: "<I",
    5: "<i",
    6: "<f",
    7: "<?",
    10: "<Q",
    11: "<q",
    12: "<d",
}
"""struct formats by GGUF value type."""

# fmt: off
BLOCKS = {
    0: ("F32", 1, 4), 1: ("F16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20), 6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34), 9: ("Q8_1", 32, 36), 10: ("Q2_K", 256, 84),
    11: ("Q3_K", 256, 110), 12: ("Q4_K", 256, 144), 13: ("Q5_K", 256, 176), 14: ("Q6_K", 256, 210),
    15: ("Q8_K", 256, 292), 16: ("IQ2_XXS", 256, 66), 17: ("IQ2_XS", 256, 74), 18: ("IQ3_XXS", 256, 98),
    19: ("IQ1_S", 256, 50), 20: ("IQ4_NL", 32, 18), 21: ("IQ3_S", 256, 110), 22: ("IQ2_S", 256, 82),
    23: ("IQ4_XS", 256, 136), 24: ("I8", 1, 1), 25: ("I16", 1, 2), 26: ("I32", 1, 4), 27: ("I64", 1, 8),
    28: ("F64", 1, 8), 29: ("IQ1_M", 256, 56), 30: ("BF16", 1, 2), 34: ("TQ1_0", 256, 54),
    35: ("TQ2_0", 256, 66), 39: ("MXFP4", 32, 17), 40: ("NVFP4", 64, 36), 41: ("Q1_0", 128, 18),
    42: ("Q2_0", 64, 18),
}
# fmt: on
"""By ggml type: name, elements a block, bytes a block."""

Value = int | float | bool | str


@dataclass(frozen=True)
class GgufTensor:
    """Where one tensor lies."""

    name: str
    type: str
    """A ggml type's name, `F16`."""
    shape: tuple[int, ...]
    """As ggml counts: the fastest dimension first."""
    begin: int
    """First byte, counted from the start of the file."""
    end: int
    """One past the last byte."""


@dataclass(frozen=True)
class GgufFile:
    """One file's settings (arrays left out) and tensors, all inside the file."""

    path: Path
    settings: dict[str, Value]
    tensors: tuple[GgufTensor, ...]


def read_gguf(path: Path) -> GgufFile:
    """The GGUF file at `path`, judged: every length, name and tensor lies inside it.

    Raises: BadInput, naming the file and what is wrong in it.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _Reader(path, data).read()
    except (OSError, ValueError) as error:  # ValueError: an empty file, or text that is not UTF-8
        raise _refusal(path, reason(error)) from error
    except struct.error as error:
        raise _refusal(path, "it ends in the middle of its header") from error


class _Reader:
    """Walks the header once; `at` is the next byte."""

    def __init__(self, path: Path, data: mmap.mmap) -> None:
        self.path = path
        self.data = data
        self.at = 0

    def read(self) -> GgufFile:
        """The whole file."""
        if self.data[:4] != b"GGUF":
            raise _refusal(self.path, "it does not begin with GGUF")
        self.at = 4
        version = self._number("<I")
        if version != 3:
            raise _refusal(self.path, say("its version is {version}, not 3", version=version))
        tensor_count, setting_count = self._count(MAX_ENTRIES), self._count(MAX_ENTRIES)
        settings: dict[str, Value] = {}
        for _ in range(setting_count):
            key = self._string(MAX_NAME_BYTES)
            value = self._value(int(self._number("<I")))
            if value is not None and settings.setdefault(key, value) is not value:
                raise _refusal(self.path, say("it gives {key} twice", key=key))
        return GgufFile(self.path, settings, self._tensors(tensor_count, settings))

    def _tensors(self, count: int, settings: dict[str, Value]) -> tuple[GgufTensor, ...]:
        """The tensors, judged to lie aligned in the data and over each other nowhere."""
        alignment = settings.get("general.alignment", 32)
        if not isinstance(alignment, int) or alignment < 8 or alignment & (alignment - 1):
            raise _refusal(self.path, say("its alignment is {alignment}", alignment=alignment))
        infos = [self._tensor_info() for _ in range(count)]
        data_start = math.ceil(self.at / alignment) * alignment
        tensors = []
        for name, kind, shape, offset, size in infos:
            if offset % alignment or data_start + offset + size > len(self.data):
                raise _refusal(self.path, say("tensor {name} does not lie in the file", name=name))
            tensors.append(GgufTensor(name, kind, shape, data_start + offset, data_start + offset + size))
        tensors.sort(key=lambda tensor: tensor.begin)
        if len({tensor.name for tensor in tensors}) != len(tensors):
            raise _refusal(self.path, "it gives a tensor twice")
        for before, after in zip(tensors, tensors[1:], strict=False):
            if after.begin < before.end:
                raise _refusal(
                    self.path,
                    say("tensors {before} and {after} overlap", before=before.name, after=after.name),
                )
        return tuple(tensors)

    def _tensor_info(self) -> tuple[str, str, tuple[int, ...], int, int]:
        """Name, type, shape, offset in the data, and size in bytes of the next tensor."""
        name = self._string(MAX_NAME_BYTES)
        dimensions = int(self._number("<I"))
        if not 1 <= dimensions <= 4:
            raise _refusal(
                self.path, say("tensor {name} has {dimensions} dimensions", name=name, dimensions=dimensions)
            )
        shape = tuple(int(self._number("<Q")) for _ in range(dimensions))
        type_id = int(self._number("<I"))
        if type_id not in BLOCKS:
            raise _refusal(
                self.path,
                say("tensor {name} is of type {kind}, which is not known here", name=name, kind=type_id),
            )
        kind, block, block_bytes = BLOCKS[type_id]
        if shape[0] % block or 0 in shape:
            raise _refusal(
                self.path,
                say("tensor {name} of type {kind} has shape {shape}", name=name, kind=kind, shape=shape),
            )
        return name, kind, shape, int(self._number("<Q")), math.prod(shape) // block * block_bytes

    def _value(self, kind: int) -> Value | None:
        """The next value; None for an array, which is only walked over."""
        if kind in SCALARS:
            return self._number(SCALARS[kind])
        if kind == STRING:
            return self._string(MAX_STRING_BYTES)
        if kind != ARRAY:
            raise _refusal(self.path, say("a setting is of type {kind}, which is not known", kind=kind))
        inner = int(self._number("<I"))
        count = self._count(MAX_ARRAY_STRINGS if inner == STRING else MAX_ARRAY)
        if inner in SCALARS:
            self._skip(count * struct.calcsize(SCALARS[inner]))
        elif inner == STRING:
            for _ in range(count):
                self._skip(self._count(MAX_STRING_BYTES))
        else:
            raise _refusal(self.path, say("a setting is an array of type {inner}", inner=inner))
        return None

    def _number(self, form: str) -> int | float | bool:
        """The next number."""
        (value,) = struct.unpack_from(form, self.data, self.at)
        self.at += struct.calcsize(form)
        if not isinstance(value, int | float):
            raise RuntimeError("a number was asked for")
        return value

    def _count(self, most: int) -> int:
        """The next length, at most `most`."""
        count = int(self._number("<Q"))
        if count > most:
            raise _refusal(self.path, say("it gives a length of {count}", count=count))
        return count

    def _string(self, most: int) -> str:
        """The next text."""
        length = self._count(most)
        start = self.at
        self._skip(length)
        return self.data[start : self.at].decode("utf-8")

    def _skip(self, length: int) -> None:
        """Step over bytes that must be there."""
        self.at += length
        if self.at > len(self.data):
            raise _refusal(self.path, "it ends in the middle of its header")


def _refusal(path: Path, why: str) -> BadInput:
    """The refusal of the file at `path`."""
    return BadInput(
        say("{path} is not a sound GGUF file.", path=path), why=why, next_step="Export the run again."
    )
