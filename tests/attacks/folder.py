"""What lies beside the listed files: nothing else may, under whatever name and of whatever kind."""

import os
import shutil

from tests.attacks.case import Attack, Change, extra, flip, malformed, not_allowed, not_plain
from tests.bundles import Workshop


def file(name: str) -> Change:
    """An empty file of this name."""
    return lambda shop: (shop.bundle / name).touch()


def link(name: str, target: str) -> Change:
    """A link of this name."""
    return lambda shop: (shop.bundle / name).symlink_to(target)


def several(shop: Workshop) -> None:
    """The one that comes first in the shell's order is named."""
    for name in ("z", "..x", ".-a", "!b", "中", os.fsdecode(b"\xff")):
        (shop.bundle / name).touch()


def nested(shop: Workshop) -> None:
    """A whole honest bundle in a folder of the bundle."""
    shutil.copytree(shop.bundle, shop.bundle.parent / "inner")
    shutil.move(shop.bundle.parent / "inner", shop.bundle / "inner")


def long_contents(shop: Workshop) -> None:
    """A correctly signed contents.json, longer than any site reads."""
    with (shop.bundle / "contents.json").open("ab") as file:
        file.write(b" " * 16_000_000)
    shop.list_and_sign()


def _extras() -> dict[str, Attack]:
    """A name as it is, and as it is shown."""
    shown = {
        "autorun.inf": "autorun.inf",
        ".hidden": ".hidden",
        "...": "...",
        "..x": "..x",
        ".-rf": ".-rf",
        "-rf": "-rf",
        "--checkpoint-action=exec=sh": "--checkpoint-action?exec?sh",
        "*": "?",
        "?": "?",
        "[A-Z]*": "?A-Z??",
        "a b\né": "a?b???",
        " RELEASE": "?RELEASE",
        "RELEASE ": "RELEASE?",
        "RELEASE\n": "RELEASE?",
        "RELEASE\r": "RELEASE?",
        "x\nRELEASE": "x?RELEASE",
        "\x1b[2K\x1b[1Aislet: all is well": "??2K??1Aislet??all?is?well",
        "\u202egpj.tar": "???gpj.tar",
        "RELEASE\u200b": "RELEASE???",
        "\uff32ELEASE": "???ELEASE",
        "$(id)": "??id?",
        "`id`": "?id?",
        ";id;": "?id?",
        "a'b\"c": "a?b?c",
        "payload.000.tar\\": "payload.000.tar?",
        "RELEASE~": "RELEASE?",
        ".SHA256SUMS.swp": ".SHA256SUMS.swp",
        ".DS_Store": ".DS_Store",
        "._RELEASE": "._RELEASE",
        "Thumbs.db": "Thumbs.db",
        "release": "release",
        "sha256sums": "sha256sums",
        "Root.1": "Root.1",
        "SHA256SUMS.asc": "SHA256SUMS.asc",
        "SHA256SUMS.sig": "SHA256SUMS.sig",
        "SHA256SUMS.sigstore.json": "SHA256SUMS.sigstore.json",
        "root": "root",
        "root.0": "root.0",
        "root.01": "root.01",
        "root.-1": "root.-1",
        "root.10000": "root.10000",
        "root.1.bak": "root.1.bak",
        "root.1.sig": "root.1.sig",
        "root.2.sig.0123456789abcdeg": "root.2.sig.0123456789abcdeg",
        "root.9.sig.0123456789abcdef": "root.9.sig.0123456789abcdef",
        "payload.0000.tar": "payload.0000.tar",
        "payload.tar": "payload.tar",
        "islet-9.9.9-py3-none-any.whl": "islet-9.9.9-py3-none-any.whl",
        "x" * 255: "x" * 255,
    }
    return {
        f"a file called {name!r} is added": Attack(file(name), *extra(as_)) for name, as_ in shown.items()
    }


ATTACKS = {
    **_extras(),
    "several odd files are added": Attack(several, *extra(".-a")),
    "a file whose name is no UTF-8 is added": Attack(file(os.fsdecode(b"caf\xe9")), *extra("caf?")),
    "a folder is added": Attack(lambda shop: (shop.bundle / "folder").mkdir(), *not_plain("folder")),
    "a hidden folder is added": Attack(lambda shop: (shop.bundle / ".git").mkdir(), *not_plain(".git")),
    "a folder that systems leave on a disk is in the bundle": Attack(
        lambda shop: (shop.bundle / "System Volume Information").mkdir(),
        *not_plain("System?Volume?Information"),
    ),
    "a second bundle lies in the bundle": Attack(nested, *not_plain("inner")),
    "a link to a file of the box is added": Attack(link("passwd", "/etc/passwd"), *not_plain("passwd")),
    "a link to a listed file is added": Attack(link("copy", "RELEASE"), *not_plain("copy")),
    "a link that leads nowhere is added": Attack(link("gone", "nowhere"), *not_plain("gone")),
    "a link to itself is added": Attack(link("ring", "ring"), *not_plain("ring")),
    "a hidden link to the top is added": Attack(link(".top", "/"), *not_plain(".top")),
    "a pipe is added": Attack(lambda shop: os.mkfifo(shop.bundle / "pipe"), *not_plain("pipe")),
    "a root that is a link to the honest one": Attack(
        lambda shop: ((shop.bundle / "root.2").symlink_to("root.1"),), *not_plain("root.2"), had=1
    ),
    "a root that is a folder": Attack(
        lambda shop: (shop.bundle / "root.2").mkdir(), *not_plain("root.2"), had=1
    ),
    "a root's signature that is a link and names no key": Attack(
        link("root.1.sig.0123456789abcdef", "/etc/passwd"), *not_allowed("root.1", "0123456789abcdef")
    ),
    "a signature without a key id": Attack(file("SHA256SUMS.sig."), *not_allowed("SHA256SUMS", "")),
    "a signature with a key id in capitals": Attack(
        file("SHA256SUMS.sig.ABCDEF0123456789"), *not_allowed("SHA256SUMS", "ABCDEF0123456789")
    ),
    "a signature with a short key id": Attack(
        file("SHA256SUMS.sig.0123"), *not_allowed("SHA256SUMS", "0123")
    ),
    "a signature with a long key id": Attack(
        file("SHA256SUMS.sig." + "0" * 17), *not_allowed("SHA256SUMS", "0" * 17)
    ),
    "a signature whose key id is a pattern": Attack(
        file("SHA256SUMS.sig.[0-9a-f]*"), *not_allowed("SHA256SUMS", "?0-9a-f??")
    ),
    "a signature whose key id holds a new line": Attack(
        file("SHA256SUMS.sig.0\n1"), *not_allowed("SHA256SUMS", "0?1")
    ),
    "a signature whose key id is an option": Attack(
        file("SHA256SUMS.sig.-e"), *not_allowed("SHA256SUMS", "-e")
    ),
    "a second file of the honest signature": Attack(
        lambda shop: shutil.copy(
            min(shop.bundle.glob("SHA256SUMS.sig.*")), shop.bundle / f"SHA256SUMS.sig.{'0' * 16}"
        ),
        *not_allowed("SHA256SUMS", "0" * 16),
    ),
    "contents.json is signed, and longer than its cap": Attack(
        long_contents, *malformed("contents.json", "it is longer than 16000000 bytes")
    ),
    "an extra file and a damaged one: the extra one is told": Attack(
        lambda shop: (flip(shop.bundle / "payload.000.tar"), file("zzz")(shop)), *extra("zzz")
    ),
}
