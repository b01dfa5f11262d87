"""Means to write runtime.tar.gz as no tool of ours would: any header, any order, any gzip."""

import gzip
from collections.abc import Callable
from dataclasses import dataclass

from tests.attacks.case import Attack, Change, malformed
from tests.bundles import Workshop

NAME = "runtime.tar.gz"
TIME = 1_700_000_000
END = bytes(1024)
GZIP = "it is not one whole gzip file"
TOO_MUCH = "it unfolds to more than RELEASE says"
STRANGE = "it holds something other than plain files, folders and links within itself"


@dataclass(frozen=True)
class Raw:
    """One member: its name decides its place; its bytes are whatever they are."""

    name: bytes
    bytes: bytes


def octal(value: int, width: int) -> bytes:
    return b"%0*o\0" % (width - 1, value)


def base256(value: int) -> bytes:
    """Twelve bytes as GNU tar writes what octal digits cannot."""
    return (value % 2**95 | 2**95).to_bytes(12, "big") if value >= 0 else (value % 2**96).to_bytes(12, "big")


def raw_header(
    name: bytes,
    *,
    size: int = 0,
    size_field: bytes | None = None,
    mode: int = 0o644,
    kind: bytes = b"0",
    link: bytes = b"",
    time: int = TIME,
    time_field: bytes | None = None,
    uid: bytes = b"0000000\0",
    gid: bytes = b"0000000\0",
    magic: bytes = b"ustar\x0000",
    owner: bytes = b"",
    device: bytes = b"",
    prefix: bytes = b"",
    rest: bytes = b"",
    checksum: Callable[[int], bytes] = lambda total: b"%06o\0 " % total,
) -> bytes:
    """512 bytes with these fields, and the checksum that belongs to them."""
    block = bytearray(512)
    for at, field in (
        (0, name[:100]),
        (100, octal(mode, 8)),
        (108, uid),
        (116, gid),
        (124, octal(size, 12) if size_field is None else size_field),
        (136, octal(time, 12) if time_field is None else time_field),
        (148, b" " * 8),
        (156, kind),
        (157, link[:100]),
        (257, magic),
        (265, owner),
        (329, device),
        (345, prefix),
        (500, rest),
    ):
        block[at : at + len(field)] = field
    block[148:156] = checksum(sum(block))
    return bytes(block)


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 512)


def member(name: str | bytes, data: bytes = b"", **fields: object) -> Raw:
    """A member whose size is that of its data, unless a field says otherwise."""
    raw = name if isinstance(name, bytes) else name.encode()
    fields = {"size": len(data)} | fields
    return Raw(raw, raw_header(raw, **fields) + padded(data))  # type: ignore[arg-type]


def link(name: str | bytes, target: str | bytes, **fields: object) -> Raw:
    """A symbolic link."""
    to = target if isinstance(target, bytes) else target.encode()
    return member(name, **{"kind": b"2", "link": to, "mode": 0o777} | fields)  # type: ignore[arg-type]


def hard(name: str, target: str) -> Raw:
    """A hard link."""
    return member(name, kind=b"1", link=target.encode())


def folder(name: str, mode: int = 0o755) -> Raw:
    return member(f"{name}/", kind=b"5", mode=mode)


def pax(records: dict[str, str | bytes], kind: bytes = b"x") -> bytes:
    """An extended header (POSIX.1-2017, pax, "pax Extended Header")."""
    data = b""
    for key, value in records.items():
        text = value if isinstance(value, bytes) else value.encode()
        body = b" " + key.encode() + b"=" + text + b"\n"
        length = len(body)
        while length != len(str(length)) + len(body) and length < 10**9:
            length = len(str(length)) + len(body)
        data += str(length).encode() + body
    return raw_header(b"././@PaxHeader", size=len(data), kind=kind) + padded(data)


def long(data: bytes, kind: bytes = b"L") -> bytes:
    """GNU's header of a long name (`L`) or of a link's long target (`K`)."""
    return raw_header(b"././@LongLink", size=len(data), kind=kind, mode=0) + padded(data)


def before(extension: bytes, of: Raw) -> Raw:
    """An extension header, and the member that it is about."""
    return Raw(of.name, extension + of.bytes)


SEEN = "seen-by-the-interpreter"
"""What the environment's interpreter leaves in the prefix: it is a script that lists what lies about it."""
_SCRIPT = '#!/bin/sh\ncd "${0%/bin/*}" && find . ! -type d >"${0%/releases/*}/' + SEEN + '"\n'
PYTHON = member("bin/python", _SCRIPT.encode(), mode=0o755)
LIBRARY = member("lib/a.txt", b"x" * 600)


def archive(*members: Raw, end: bytes = END, ordered: bool = True) -> bytes:
    """A tar of an environment that starts, and these members, in the order of their names."""
    found = [PYTHON, LIBRARY, *members]
    if ordered:
        found.sort(key=lambda one: one.name.removesuffix(b"/"))
    return b"".join(one.bytes for one in found) + end


def zipped(data: bytes) -> bytes:
    return gzip.compress(data, 1, mtime=0)


def packed(data: bytes) -> Change:
    """runtime.tar.gz is this, listed and signed."""

    def change(shop: Workshop) -> None:
        (shop.bundle / NAME).write_bytes(data)
        shop.list_and_sign()

    return change


def holds(*members: Raw, end: bytes = END, ordered: bool = True) -> Attack:
    """An environment with members that it must not have."""
    return Attack(packed(zipped(archive(*members, end=end, ordered=ordered))), *malformed(NAME, STRANGE))


def unfolds(data: bytes, why: str) -> Attack:
    """A runtime.tar.gz that is no gzip file, or too much of one."""
    return Attack(packed(data), *malformed(NAME, why))
