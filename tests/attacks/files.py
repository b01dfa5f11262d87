"""What arrives damaged, cut, swapped, missing, or as something other than a file."""

import functools
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

from tests.attacks.case import (
    Attack,
    append,
    damaged,
    extra,
    flip,
    missing,
    not_plain,
    not_verifying,
    signature,
    to_folder,
    to_link,
    to_pipe,
    too_few,
    truncate,
)
from tests.bundles import WHEEL, Workshop

LISTED = (
    "RELEASE",
    "contents.json",
    "install.sh",
    WHEEL,
    "runtime.tar.gz",
    "payload.000.tar",
    "payload.001.tar",
)
ANCHOR = (3, "root.1 is not the one on the anchor sheet.", "its SHA-256 is another")


def at(name: str, change: Callable[[Path], object]) -> Callable[[Workshop], object]:
    """The change of one file of the bundle."""
    return lambda shop: change(shop.bundle / name)


def swap(first: str, second: str) -> Callable[[Workshop], None]:
    def change(shop: Workshop) -> None:
        a, b = shop.bundle / first, shop.bundle / second
        was, other = a.read_bytes(), b.read_bytes()
        a.write_bytes(other)
        b.write_bytes(was)

    return change


def to_socket(path: Path) -> None:
    path.unlink()
    here = Path.cwd()
    os.chdir(path.parent)  # a socket's address holds 107 bytes
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(here)


def to_nothing(path: Path) -> None:
    """A link that leads nowhere."""
    path.unlink()
    path.symlink_to("nowhere")


def to_itself(path: Path) -> None:
    """A link to itself: following it never ends."""
    path.unlink()
    path.symlink_to(path.name)


def zeros(path: Path) -> None:
    """As long as it was; a medium whose blocks were never written gives that."""
    path.write_bytes(bytes(path.stat().st_size))


def root_signature(shop: Workshop) -> Path:
    return next(shop.bundle.glob("root.1.sig.*"))


def _damages() -> dict[str, Attack]:
    kinds: dict[str, Callable[[Path], object]] = {
        "a bit of {} is flipped": lambda path: flip(path, path.stat().st_size // 2),
        "{} is one byte short": truncate,
        "{} is one byte longer": lambda path: append(path, b"\0"),
        "{} is empty": lambda path: path.write_bytes(b""),
        "{} is all zeros": zeros,
    }
    return {
        sentence.format(name): Attack(at(name, change), *damaged(name))
        for sentence, change in kinds.items()
        for name in LISTED
    }


def _absent() -> dict[str, Attack]:
    return {
        f"{name} is missing": Attack(at(name, Path.unlink), *missing(name))
        for name in (*LISTED, "SHA256SUMS")
    }


def _kinds() -> dict[str, Attack]:
    """Every way in which a name may be there and no file."""
    found = {
        f"{name} is a link to the same bytes": Attack(at(name, to_link), *not_plain(name)) for name in LISTED
    }
    kinds = {"a pipe": to_pipe, "a folder": to_folder, "a socket": to_socket, "a link to itself": to_itself}
    for name in ("RELEASE", "SHA256SUMS", "root.1", "payload.000.tar"):
        for kind, change in kinds.items():
            found[f"{name} is {kind}"] = Attack(at(name, change), *not_plain(name))
    for name in ("SHA256SUMS", "root.1"):
        found[f"{name} is a link to the same bytes"] = Attack(at(name, to_link), *not_plain(name))
        found[f"{name} is a link that leads nowhere"] = Attack(at(name, to_nothing), *not_plain(name))
    for kind, change in {"a link to the same bytes": to_link, **kinds}.items():
        found[f"a signature is {kind}"] = Attack(
            functools.partial(lambda change, shop: change(signature(shop)), change),
            *not_plain("SHA256SUMS.sig.{release}"),
        )
        found[f"a root's signature is {kind}"] = Attack(
            functools.partial(lambda change, shop: change(root_signature(shop)), change),
            *not_plain("root.1.sig.{root}"),
        )
    return found


ATTACKS = {
    **_damages(),
    **_absent(),
    **_kinds(),
    "a byte in a tar header is flipped": Attack(
        at("payload.001.tar", lambda path: flip(path, 3)), *damaged("payload.001.tar")
    ),
    "a bit of SHA256SUMS is flipped": Attack(
        at("SHA256SUMS", lambda path: flip(path, 5)), *not_verifying("SHA256SUMS", "release")
    ),
    "SHA256SUMS is one byte short": Attack(
        at("SHA256SUMS", truncate), *not_verifying("SHA256SUMS", "release")
    ),
    "SHA256SUMS is empty": Attack(
        at("SHA256SUMS", lambda path: path.write_bytes(b"")), *not_verifying("SHA256SUMS", "release")
    ),
    "a line is added to SHA256SUMS": Attack(
        at("SHA256SUMS", lambda path: append(path, b"0" * 64 + b"  extra\n")),
        *not_verifying("SHA256SUMS", "release"),
    ),
    "SHA256SUMS has Windows line ends": Attack(
        at("SHA256SUMS", lambda path: path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))),
        *not_verifying("SHA256SUMS", "release"),
    ),
    "a bit of the root is flipped": Attack(at("root.1", lambda path: flip(path, 40)), *ANCHOR),
    "the root is one byte short": Attack(at("root.1", truncate), *ANCHOR),
    "the root is empty": Attack(at("root.1", lambda path: path.write_bytes(b"")), *ANCHOR),
    "the root is missing, and its signature is there": Attack(at("root.1", Path.unlink), *missing("root.1")),
    "the root's signature is missing": Attack(
        lambda shop: root_signature(shop).unlink(), *too_few("root.1", "root", "root.1", 0, 1)
    ),
    "the signature is missing": Attack(
        lambda shop: signature(shop).unlink(), *too_few("SHA256SUMS", "release", "root.1", 0, 1)
    ),
    "the folder is empty": Attack(
        lambda shop: [path.unlink() for path in shop.bundle.iterdir()],
        6,
        "{medium} holds no bundle.",
        "neither RELEASE nor SHA256SUMS is in it",
    ),
    "two volumes are swapped": Attack(
        swap("payload.000.tar", "payload.001.tar"), *damaged("payload.000.tar")
    ),
    "two control files are swapped": Attack(swap("RELEASE", "contents.json"), *damaged("RELEASE")),
    "the runtime and the wheel are swapped": Attack(swap("runtime.tar.gz", WHEEL), *damaged(WHEEL)),
    "the signatures of list and root are swapped": Attack(
        lambda shop: swap(signature(shop).name, root_signature(shop).name)(shop),
        *not_verifying("root.1", "root"),
    ),
    "a volume is twice as long, with itself": Attack(
        at("payload.001.tar", lambda path: append(path, path.read_bytes())), *damaged("payload.001.tar")
    ),
    "a volume of an older, longer build is left": Attack(
        lambda shop: shutil.copy(shop.bundle / "payload.000.tar", shop.bundle / "payload.002.tar"),
        *extra("payload.002.tar"),
    ),
    "a volume has another case": Attack(
        at("payload.000.tar", lambda path: path.rename(path.with_name("PAYLOAD.000.TAR"))),
        *extra("PAYLOAD.000.TAR"),
    ),
}
