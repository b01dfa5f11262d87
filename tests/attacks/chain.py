"""Means to write roots that no tool of ours would write, signed by whoever holds the keys."""

import base64
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from appliance.bundle.root import PublicKey, Root, format_root
from bundler.keys import read_public
from bundler.signer import write_signature
from tests.attacks.case import Change
from tests.bundles import FAR, Workshop

Edit = Callable[[bytes], bytes]


def key(shop: Workshop, name: str) -> PublicKey:
    """The public half of a key of this workshop."""
    return read_public(shop.public(name))


def key_line(shop: Workshop, role: str, name: str) -> bytes:
    """A root's line for a key."""
    return b"key %s %s\n" % (role.encode(), base64.b64encode(key(shop, name).spki))


def write_root(
    shop: Workshop,
    folder: Path,
    version: int,
    *,
    root: Sequence[str] = ("root2",),
    release: Sequence[str] = ("release2",),
    signers: Sequence[str] = ("root", "root2"),
    thresholds: tuple[int, int] = (1, 1),
    expires: str = FAR,
    edit: Edit = lambda text: text,
    name: str = "",
) -> None:
    """A root in `folder`, as its fields say and then edited, signed by `signers`."""
    keys = [tuple(key(shop, name) for name in names) for names in (root, release)]
    text = edit(format_root(Root(version, expires, *thresholds, *keys)))
    path = folder / (name or f"root.{version}")
    path.write_bytes(text)
    for signer in signers:
        write_signature(path, shop.signer(signer))


def offered(version: int = 2, *, then: Sequence[str] = ("release2",), **fields: object) -> Change:
    """The medium has one root more, and its list is signed by `then`."""

    def change(shop: Workshop) -> None:
        shop.resign(*then)
        write_root(shop, shop.bundle, version, **fields)  # type: ignore[arg-type]

    return change


def edited(edit: Edit, **fields: object) -> Change:
    """The medium has a root.2 of another form, signed as it should be."""
    return offered(edit=edit, **fields)


def founded(**fields: object) -> Change:
    """Everything starts from another root.1, honestly: another number of keys, another threshold."""

    def change(shop: Workshop) -> None:
        for old in [*shop.bundle.glob("root.*"), *shop.roots.iterdir()]:
            old.unlink()
        write_root(shop, shop.roots, 1, **fields)  # type: ignore[arg-type]
        for made in shop.roots.iterdir():
            shutil.copyfile(made, shop.bundle / made.name)

    return change


def rotated(count: int = 1, *, keep_release: bool = False) -> Change:
    """The site has followed `count` rotations, each to new keys, and the honest medium has them all."""

    def change(shop: Workshop) -> None:
        for version in range(2, count + 2):
            before = "root" if version == 2 else f"root{version - 1}"
            write_root(
                shop,
                shop.roots,
                version,
                root=[f"root{version}"],
                release=["release" if keep_release else f"release{version}"],
                signers=[before, f"root{version}"],
            )
        shop.resign("release" if keep_release else f"release{count + 1}")

    return change


def both(*changes: Change) -> Change:
    """One after the other."""
    return lambda shop: [change(shop) for change in changes]
