"""What a file is by its bytes, whatever it is called: pickles, programs, archives.

Pure functions over bytes. A pickle is looked for by walking its opcodes, never by loading it
(`pickletools`, standard library); source of the signs: each format's own description, file(1).
"""

import pickletools
import re
import zipfile
from pathlib import Path

from bundler.rules import Rule

HEAD_BYTES = 64 << 20
"""How much of a file is looked at; text and settings may not be larger."""
MAX_OPCODES = 200_000
"""More than any text yields that happens to begin like a pickle."""

CALLS = frozenset({"REDUCE", "OBJ", "NEWOBJ", "NEWOBJ_EX", "BUILD"})
_NAME = re.compile(r"[A-Za-z_][\w.]* [A-Za-z_][\w.]*")
"""What GLOBAL and INST name: a module and something in it."""

SIGNS: tuple[tuple[bytes, Rule, str], ...] = (
    (b"\x7fELF", "code", "a program or library (ELF)"),
    (b"MZ", "code", "a program or library (Windows)"),
    (b"\xcf\xfa\xed\xfe", "code", "a program or library (macOS)"),
    (b"\xca\xfe\xba\xbe", "code", "a program or library (Java, macOS)"),
    (b"\0asm", "code", "a program (WebAssembly)"),
    (b"#!", "code", "a script with an interpreter's line"),
    (b"\x1f\x8b", "disguise", "compressed data (gzip)"),
    (b"BZh", "disguise", "compressed data (bzip2)"),
    (b"\xfd7zXZ\0", "disguise", "compressed data (xz)"),
    (b"\x28\xb5\x2f\xfd", "disguise", "compressed data (zstd)"),
    (b"\x04\x22\x4d\x18", "disguise", "compressed data (lz4)"),
    (b"x\x9c", "disguise", "compressed data (zlib)"),
    (b"7z\xbc\xaf", "disguise", "an archive (7z)"),
    (b"Rar!", "disguise", "an archive (rar)"),
    (b"\x89HDF\r\n\x1a\n", "pickle", "HDF5, which Keras stores code in"),
    (b"\x93NUMPY", "disguise", "a NumPy array, which may hold pickled objects"),
)

CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
"""Control characters that no text holds; a pickle of protocol 2 and later begins with one."""


def find_sign(path: Path) -> tuple[Rule, str] | None:
    """The rule that the bytes of the file at `path` break, and what they are; None if nothing is known."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if zipfile.is_zipfile(path):
        return "pickle", "a zip archive, as torch.save writes it: what it unpickles runs code"
    if is_pickle(head):
        return "pickle", "a pickle: it can run any code when it is loaded"
    if head[257:262] == b"ustar":
        return "disguise", "an archive (tar)"
    return next(((rule, words) for sign, rule, words in SIGNS if head.startswith(sign)), None)


def is_pickle(data: bytes) -> bool:
    """Whether `data` begins with a pickle that calls something, or is one from start to end.

    Protocols 0 and 1 are text-like, so a letter that happens to be an opcode is no pickle yet.
    """
    framed = len(data) > 2 and data[0] == 0x80 and 2 <= data[1] <= 5
    named, count, at = False, 0, 0
    try:
        for opcode, argument, position in pickletools.genops(data):
            count, at = count + 1, position or 0
            if opcode.name in ("GLOBAL", "INST") and _NAME.fullmatch(str(argument)):
                named = True
                if opcode.name == "INST":
                    return True
            named = named or opcode.name == "STACK_GLOBAL"
            if (named and opcode.name in CALLS) or count > MAX_OPCODES:
                return True
    except (ValueError, UnicodeError, OverflowError):
        return framed and count > 2
    return framed or (count > 2 and not data[at + 1 :].strip())


def is_text(data: bytes) -> bool:
    """Whether `data` is text in some encoding that keeps ASCII as it is."""
    return CONTROL.search(data) is None


def is_vocabulary(data: bytes) -> bool:
    """Whether `data` is a SentencePiece model: fields 1 to 5 of a protobuf message, from start to end.

    Source: sentencepiece_model.proto, message ModelProto (and extensions from 200 on).
    """
    at, fields = 0, 0
    while at < len(data):
        tag, at = _varint(data, at)
        length, at = _varint(data, at)
        if tag & 7 != 2 or not (1 <= tag >> 3 <= 5 or tag >> 3 >= 200) or length < 0:
            return False
        at += length
        fields += 1
    return at == len(data) and fields > 0


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """The number at `at`, and where the next begins; -1 where there is none. Source: protobuf, encoding."""
    value = 0
    for i, byte in enumerate(data[at : at + 10]):
        value |= (byte & 0x7F) << (7 * i)
        if byte < 0x80:
            return value, at + i + 1
    return -1, len(data) + 1
