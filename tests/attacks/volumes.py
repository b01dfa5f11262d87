"""Volumes as a holder of the release key could write them: signed, and not what contents.json says."""

import gzip
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

from appliance.bundle.archive import BLOCK, header
from tests.attacks.case import Attack, Change, damaged, flip
from tests.bundles import Workshop

FIRST, LAST = "payload.000.tar", "payload.001.tar"
CONFIG = "models/islet/tiny/config.json"
AT_CONFIG = 0
"""Where the first volume's first header stands: that of CONFIG, 700 bytes."""

Edit = Callable[[bytearray], object]


def contradicts(name: str) -> tuple[int, str, str]:
    """The answer for a volume that was signed and is not what contents.json implies."""
    what = f"{name} and contents.json contradict each other."
    return 3, what, "a tar header is not the one listed"


def signed(name: str, edit: Edit) -> Change:
    """A volume has other bytes, listed and signed."""

    def change(shop: Workshop) -> None:
        path = shop.bundle / name
        before = path.read_bytes()
        data = bytearray(before)
        edit(data)
        assert bytes(data) != before
        path.write_bytes(data)
        shop.list_and_sign()

    return change


def block(made: bytes) -> Edit:
    """Another header in place of the first."""

    def edit(data: bytearray) -> None:
        data[:BLOCK] = made

    return edit


def told(change: Callable[[tarfile.TarInfo], object], form: int = tarfile.USTAR_FORMAT) -> Edit:
    """The first header as Python's tarfile writes it, with something else in it."""
    info = tarfile.TarInfo(CONFIG)
    info.size = 700
    change(info)
    return block(info.tobuf(form)[:BLOCK])


def _set(**fields: object) -> Callable[[tarfile.TarInfo], None]:
    def change(info: tarfile.TarInfo) -> None:
        for name, value in fields.items():
            setattr(info, name, value)

    return change


def _bytes_at(place: int, made: bytes) -> Edit:
    """Some bytes of the first header are others, and its checksum is right again."""

    def edit(data: bytearray) -> None:
        data[place : place + len(made)] = made
        data[148:156] = b" " * 8
        data[148:156] = f"{sum(data[:BLOCK]):06o}\0 ".encode()

    return edit


HEADERS: dict[str, Edit] = {
    "of another name": told(_set(name="models/islet/tiny/other.json")),
    "of an absolute name": told(_set(name="/etc/passwd")),
    "of a name that leads out": told(_set(name="../../etc/passwd")),
    "of a link": told(_set(type=tarfile.SYMTYPE, linkname="/etc/passwd")),
    "of a hard link": told(_set(type=tarfile.LNKTYPE, linkname="/etc/passwd")),
    "of a device": told(_set(type=tarfile.CHRTYPE, devmajor=1, devminor=3)),
    "of a block device": told(_set(type=tarfile.BLKTYPE, devmajor=8, devminor=0)),
    "of a pipe": told(_set(type=tarfile.FIFOTYPE)),
    "of a folder": told(_set(type=tarfile.DIRTYPE)),
    "of a contiguous file": told(_set(type=tarfile.CONTTYPE)),
    "of the old type (CVE-2025-13462)": told(_set(type=tarfile.AREGTYPE)),
    "of a sparse file": told(_set(type=tarfile.GNUTYPE_SPARSE)),
    "of GNU's long name": told(_set(type=tarfile.GNUTYPE_LONGNAME)),
    "of GNU's long link": told(_set(type=tarfile.GNUTYPE_LONGLINK)),
    "of pax fields": told(_set(type=tarfile.XHDTYPE)),
    "of global pax fields": told(_set(type=tarfile.XGLTYPE)),
    "of an unknown type": told(_set(type=b"Z")),
    "of GNU's form": told(_set(), tarfile.GNU_FORMAT),
    "with a setuid mode": told(_set(mode=0o4755)),
    "with a mode for all": told(_set(mode=0o777)),
    "with an owner": told(_set(uid=1000)),
    "with an owner's name": told(_set(uname="root")),
    "with a time": told(_set(mtime=1)),
    "with a smaller size (CVE-2025-62518)": told(_set(size=0)),
    "with a larger size": told(_set(size=701)),
    "with a size of eight petabytes": told(_set(size=8 * 2**50), tarfile.GNU_FORMAT),
    "with a size below 0 (CVE-2025-8194)": _bytes_at(124, b"\xff" * 12),
    "with a size in base 256": _bytes_at(124, b"\x80" + bytes(9) + (700).to_bytes(2, "big")),
    "with a size of blanks": _bytes_at(124, b" " * 12),
    "with a size without an end": _bytes_at(124, b"000000001274"),
    "with a name after a NUL": _bytes_at(len(CONFIG) + 1, b"../x"),
    "with a prefix": _bytes_at(345, b"../.."),
    "with a link's target": _bytes_at(157, b"/etc/passwd"),
    "with bytes after its end": _bytes_at(505, b"payload"),
    "with another magic": _bytes_at(257, b"ustar  \0"),
    "without a magic": _bytes_at(257, bytes(8)),
    "with a wrong checksum": lambda data: data.__setitem__(150, data[150] ^ 1),
    "with a checksum of blanks": lambda data: data.__setitem__(slice(148, 156), b" " * 8),
    "of zeros": block(bytes(BLOCK)),
    "of ones": block(b"\xff" * BLOCK),
    "of the next file": block(header("models/islet/tiny/model.safetensors.part000", 700, 0o644)),
}


def nested(data: bytearray) -> None:
    """The first file's bytes are a tar of their own: a reader that looks for headers meets it."""
    inner = io.BytesIO()
    with tarfile.open(fileobj=inner, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("../escape"))
    data[BLOCK : BLOCK + 700] = inner.getvalue()[:700]


def _cut(length: int) -> Edit:
    return lambda data: data.__delitem__(slice(len(data) - length, None))


def larger(shop: Workshop) -> None:
    """contents.json says that a volume has one block more; list and signature are right."""
    path: Path = shop.bundle / "contents.json"
    document = json.loads(path.read_bytes())
    document["files"][0]["size"] += 512
    document["files"][0]["parts"][0]["length"] += 512
    for entry in document["files"][1:]:
        for part in entry["parts"]:
            if part["volume"] == FIRST:
                part["offset"] += 512
    document["volumes"][0]["size"] += 512
    path.write_bytes(json.dumps(document).encode())
    shop.list_and_sign()


def swapped(shop: Workshop) -> None:
    """The two volumes have each other's names, listed and signed so."""
    first, last = shop.bundle / FIRST, shop.bundle / LAST
    a, b = first.read_bytes(), last.read_bytes()
    first.write_bytes(b)
    last.write_bytes(a)
    shop.list_and_sign()


ATTACKS = {
    **{
        f"a signed volume with a header {how}": Attack(signed(FIRST, edit), *contradicts(FIRST))
        for how, edit in HEADERS.items()
    },
    "a signed volume with another last header": Attack(
        signed(LAST, lambda data: data.__setitem__(3, data[3] ^ 1)), *contradicts(LAST)
    ),
    "a signed volume with bytes in its padding": Attack(
        signed(FIRST, lambda data: data.__setitem__(BLOCK + 700, 1)), *contradicts(FIRST)
    ),
    "a signed volume with bytes in its end": Attack(
        signed(FIRST, lambda data: data.__setitem__(-1, 1)), *contradicts(FIRST)
    ),
    "a signed volume without its end": Attack(signed(FIRST, _cut(1024)), *damaged(FIRST)),
    "a signed volume without its last byte": Attack(signed(LAST, _cut(1)), *damaged(LAST)),
    "a signed volume that is empty": Attack(signed(FIRST, bytearray.clear), *damaged(FIRST)),
    "a signed volume with a block more": Attack(
        signed(LAST, lambda data: data.extend(bytes(512))), *damaged(LAST)
    ),
    "a signed volume with a second tar after it": Attack(
        signed(FIRST, lambda data: data.extend(bytes(data))), *damaged(FIRST)
    ),
    "a signed volume that is gzip": Attack(
        signed(LAST, lambda data: data.__setitem__(slice(None), gzip.compress(bytes(data)))), *damaged(LAST)
    ),
    "a signed volume whose file is a tar of its own": Attack(
        signed(FIRST, nested),
        3,
        "contents.json is not written as it must be.",
        f"the SHA-256 of {CONFIG} is not that of its bytes",
    ),
    "a signed volume with another byte in a file": Attack(
        signed(FIRST, lambda data: data.__setitem__(BLOCK + 3, data[BLOCK + 3] ^ 1)),
        3,
        "contents.json is not written as it must be.",
        f"the SHA-256 of {CONFIG} is not that of its bytes",
    ),
    "signed volumes in each other's place": Attack(swapped, *damaged(FIRST)),
    "a signed volume that is shorter than contents.json says": Attack(larger, *damaged(FIRST)),
    "a volume whose header is flipped, not signed": Attack(
        lambda shop: flip(shop.bundle / FIRST, 3), *damaged(FIRST)
    ),
}
