"""Volumes: plain ustar, in one fixed form, so that their bytes follow from contents.json alone.

A member is a 512-byte header, the data, zeros up to the next 512; two zero blocks end a volume
(POSIX.1-2017, pax, "ustar Interchange Format"). Owner 0, time 0, no names of people. The site
never interprets a header: it knows from contents.json where bytes lie, and checks that each
header is the one that this module would have written.
"""

from dataclasses import dataclass

from appliance.bundle import names

BLOCK = 512
END = bytes(2 * BLOCK)


@dataclass(frozen=True)
class Part:
    """A run of a file's bytes inside a volume."""

    volume: str
    offset: int
    """Bytes from the volume's start to the data; the header stands in the 512 before."""
    length: int
    """Bytes."""


def padding(length: int) -> int:
    """How many zero bytes follow data of `length` bytes."""
    return -length % BLOCK


def part_path(path: str, index: int, count: int) -> str:
    """The member name of part `index` of a file cut into `count`."""
    return path if count == 1 else f"{path}.part{index:03d}"


def has_header(path: str) -> bool:
    """Whether a member may be called `path`: it fits ustar's name and prefix."""
    return _split(path) is not None


def header(path: str, length: int, mode: int, *, kind: str = "0", link: str = "", time_s: int = 0) -> bytes:
    """The header of a member of `length` bytes.

    kind: ustar's type: "0" a file, "2" a link to `link`, "5" a folder. time_s: seconds since 1970.

    Raises: ValueError, when the path, the length or the link does not fit; the bundler checks all first.
    """
    split = _split(path)
    if split is None or length > names.MEMBER_BYTES or not link.isascii() or len(link) > 100:
        raise ValueError(f"no ustar header can hold {path!r} with {length} bytes and {link!r}")
    prefix, name = split
    block = bytearray(BLOCK)
    for at, text in (
        (0, name),
        (100, f"{mode:07o}"),
        (108, "0000000"),
        (116, "0000000"),
        (124, f"{length:011o}"),
        (136, f"{time_s:011o}"),
        (148, " " * 8),
        (156, kind),
        (157, link),
        (257, "ustar\00000"),
        (345, prefix),
    ):
        block[at : at + len(text)] = text.encode("ascii")
    block[148:156] = f"{sum(block):06o}\0 ".encode("ascii")
    return bytes(block)


def _split(path: str) -> tuple[str, str] | None:
    """`path` as ustar's (prefix, name), at most 155 and 100 bytes; None if it cannot be."""
    if not path.isascii():
        return None
    if len(path) <= 100:
        return "", path
    for at in range(len(path) - 101, min(len(path), 156)):
        if path[at] == "/":
            return path[:at], path[at + 1 :]
    return None
