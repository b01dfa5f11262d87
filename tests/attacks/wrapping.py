"""What is around the members of runtime.tar.gz: gzip in other forms, bombs, ends that are none, odd corners.

`CORNERED` holds what no tar acts on, in fields and padding that none reads: the appliance refuses it,
install.sh unpacks what it lists, and nothing else comes of it.
"""

import bz2
import io
import lzma
import struct
import zipfile
import zlib

from tests.attacks.case import Attack
from tests.attacks.tarballs import (
    END,
    GZIP,
    STRANGE,
    TOO_MUCH,
    Raw,
    archive,
    base256,
    before,
    holds,
    member,
    packed,
    padded,
    pax,
    raw_header,
    unfolds,
    zipped,
)

HONEST = zipped(archive())


def gzip_member(data: bytes, flags: int, fields: bytes) -> bytes:
    """One gzip member with optional fields (RFC 1952, 2.3)."""
    squeezed = zlib.compressobj(1, zlib.DEFLATED, -15)
    body = squeezed.compress(data) + squeezed.flush()
    head = b"\x1f\x8b\x08" + bytes([flags]) + bytes(6) + fields
    return head + body + struct.pack("<II", zlib.crc32(data), len(data) % 2**32)


def with_header_hash(data: bytes) -> bytes:
    head = b"\x1f\x8b\x08\x02" + bytes(6)
    return gzip_member(data, 2, struct.pack("<H", zlib.crc32(head) & 0xFFFF))


def zip_of(data: bytes) -> bytes:
    """A zip archive of one member: gzip unfolds these too."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("runtime.tar", data)
    return out.getvalue()


def bent(at: int, made: bytes) -> bytes:
    """The honest file with other bytes somewhere."""
    data = bytearray(HONEST)
    data[at : at + len(made)] = made
    return bytes(data)


WRAPPINGS: dict[str, bytes] = {
    "empty": b"",
    "one byte": b"\x1f",
    "a gzip header alone": HONEST[:10],
    "a tar that is not zipped": archive(),
    "a zip archive": zip_of(archive()),
    "xz": lzma.compress(archive()),
    "bzip2": bz2.compress(archive()),
    "zlib without gzip": zlib.compress(archive()),
    "bare deflate": zlib.compress(archive(), wbits=-15),
    "text": b"see https://example.org\n",
    "zeros": bytes(500),
    "gzip in gzip": b"x" + zipped(HONEST),
    "zipped by an unknown method": bent(2, b"\x07"),
    "zipped with reserved flags": bent(3, b"\xe0"),
    "zipped with the mark of encryption": bent(3, b"\x20"),
    "zipped with a name": gzip_member(archive(), 8, b"../../opt/escape\0"),
    "zipped with a remark": gzip_member(archive(), 16, b"remark\0"),
    "zipped with a field more": gzip_member(archive(), 4, b"\x04\0ab\0\0"),
    "zipped with a hash of its header": with_header_hash(archive()),
    "zipped with the mark of text": gzip_member(archive(), 1, b""),
    "cut in the middle": HONEST[: len(HONEST) // 2],
    "cut before its hash": HONEST[:-8],
    "cut by its last byte": HONEST[:-1],
    "of a wrong hash": bent(len(HONEST) - 8, bytes([HONEST[-8] ^ 1])),
    "of a wrong length": bent(len(HONEST) - 4, bytes([HONEST[-4] ^ 1])),
    "of a flipped bit in its middle": bent(len(HONEST) // 2, bytes([HONEST[len(HONEST) // 2] ^ 8])),
    "followed by a byte": HONEST + b"x",
    "followed by a script": HONEST + b"\n#!/bin/sh\nid\n",
    "followed by zeros": HONEST + bytes(100),
    "followed by itself": HONEST + HONEST,
    "followed by an empty member": HONEST + zipped(b""),
    "followed by half a member": HONEST + HONEST[:20],
    "of two members that make one tar": zipped(archive()[:512]) + zipped(archive()[512:]),
}

BOMBS: dict[str, bytes] = {
    "a file of 100 MB of zeros": zipped(archive(member("lib/b", bytes(100_000_000)))),
    "100 MB of zeros after its end": zipped(archive() + bytes(100_000_000)),
    "100 MB of zeros before its start": zipped(bytes(100_000_000) + archive()),
    "100 MB of zeros alone": zipped(bytes(100_000_000)),
    "100 MB in a pax header": zipped(raw_header(b"x", size=100_000_000, kind=b"x") + bytes(100_000_000)),
    "100 MB in a long name": zipped(raw_header(b"x", size=100_000_000, kind=b"L") + b"a" * 100_000_000),
    "a million empty files": zipped(b"".join(raw_header(b"lib/%07d" % i) for i in range(200_000)) + END),
    "one byte more than RELEASE says": zipped(
        archive(member("lib/b", bytes(1_000_000 - len(archive()) - 512 + 1)))
    ),
}

ENDS: dict[str, Attack] = {
    "no end": holds(end=b""),
    "half an end": holds(end=bytes(512)),
    "half a block at its end": holds(end=bytes(1024 + 256)),
    "a third zero block": holds(end=bytes(1536)),
    "zeros up to a record": holds(end=bytes(10_240)),
    "a file after its end": holds(end=END + member("lib/b", b"x").bytes + END),
    "a file that leads out after its end": holds(end=END + member("/opt/escape", b"x").bytes + END),
    "a script after its end": holds(end=END + padded(b"#!/bin/sh\nid\n")),
    "a zero block between its files": holds(end=bytes(512) + member("lib/b", b"x").bytes + END),
    "a header that is cut off": holds(end=member("lib/b", b"x").bytes[:100]),
    "a file that is cut off": holds(end=member("lib/b", b"x" * 600).bytes[:700]),
    "no members but bytes": unfolds(zipped(b"x" * 10_240), STRANGE),
    "nothing in it": unfolds(zipped(b""), STRANGE),
    "a wrong checksum": holds(member("lib/b", b"x", checksum=lambda total: b"%06o\0 " % (total + 1))),
    "a checksum of blanks": holds(member("lib/b", b"x", checksum=lambda total: b" " * 8)),
    "a checksum of zeros": holds(member("lib/b", b"x", checksum=lambda total: bytes(8))),
    "a first header of a wrong checksum": holds(
        Raw(b"a", raw_header(b"a", checksum=lambda total: b"000000\0 "))
    ),
    "a tar within it": holds(Raw(b"lib/b", raw_header(b"lib/b", size=0) + archive())),
}


def corner(one: Raw) -> Attack:
    """Bytes that no tar reads."""
    return holds(one)


CORNERS: dict[str, Attack] = {
    "bytes in a file's padding": corner(Raw(b"lib/b", raw_header(b"lib/b", size=1) + b"x" * 512)),
    "bytes at a header's end": corner(member("lib/b", b"x", rest=b"payload")),
    "a device's number on a file": corner(member("lib/b", b"x", device=b"0000001\0")),
    "a link's target on a file": corner(member("lib/b", b"x", link=b"/etc/passwd")),
    "GNU's magic": corner(member("lib/b", b"x", magic=b"ustar  \0")),
    "no magic": corner(member("lib/b", b"x", magic=bytes(8))),
    "a size in base 256": corner(member("lib/b", b"x", size_field=b"\x80" + bytes(10) + b"\1")),
    "a size of 2^64 + 1, which some read as 1": corner(member("lib/b", b"x", size_field=base256(2**64 + 1))),
    "a size with blanks": corner(member("lib/b", b"x", size_field=b"         1 \0")),
    "a checksum with blanks": corner(member("lib/b", b"x", checksum=lambda total: b"%6o\0 " % total)),
    "a name after a NUL": corner(Raw(b"lib/b", raw_header(b"lib/b\0/../../x", size=1) + padded(b"x"))),
    "a file of the old kind": corner(member("lib/b", b"x", kind=b"\0")),
    "a larger size by pax, which takes the end for bytes of a file, so that the sum is right": corner(
        before(pax({"size": "1536"}), member("lib/b", b"x" * 512))
    ),
    "a folder with a link's target": corner(member("lib/b/", kind=b"5", mode=0o755, link=b"/opt")),
    "a contiguous file": corner(member("lib/b", b"x", kind=b"7")),
    "a sparse file": corner(member("lib/b", b"x", kind=b"S")),
    "a time with seconds of its own": corner(member("lib/b", b"x", time=1_700_000_001)),
}

WHOLE = packed(zipped(archive(member("lib/--checkpoint=1 $(id);'&#~.txt", b"x"), member("lib/A.TXT", b"y"))))
"""Odd names that every tar takes as they are: this is an environment like another."""

ATTACKS = (
    {f"a runtime that is {how}": unfolds(data, GZIP) for how, data in WRAPPINGS.items()}
    | {f"a runtime with {how}": unfolds(data, TOO_MUCH) for how, data in BOMBS.items()}
    | {f"a runtime with {how}": attack for how, attack in ENDS.items()}
)
CORNERED = {f"a runtime with {how}": attack for how, attack in CORNERS.items()} | {
    "a runtime after an empty gzip member": unfolds(zipped(b"") + HONEST, GZIP)
}
