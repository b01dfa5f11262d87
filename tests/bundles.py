"""Honest bundles, and the means to damage one and sign it again.

Keys, roots, lists, volumes and signatures are made by the bundler's own code; only what is inside
the volumes and the runtime are a few bytes. `sh install.sh --check` and `verify` judge them whole.
"""

import hashlib
import io
import shutil
import tarfile
from dataclasses import dataclass
from pathlib import Path

from appliance.bundle.contents import format_contents
from appliance.bundle.release import Release, format_release
from appliance.bundle.sums import format_sums
from appliance.progress import Silent
from bundler.keys import make_key, public_path_of, read_public
from bundler.pack import Item, lay_out, write_volumes
from bundler.roots import Change, copy_roots, init_root, newest_root, read_root, rotate_root
from bundler.signer import KeyFile, write_signature
from bundler.sources.conda import write_canonical

INSTALLER = Path(__file__).parents[1] / "install.sh"
FAR = "2099-01-01T00:00:00Z"
PAST = "2020-01-01T00:00:00Z"
WHEEL = "islet-0.1.0-py3-none-any.whl"


@dataclass
class Workshop:
    """A folder with keys, roots and one bundle."""

    root: Path

    @property
    def bundle(self) -> Path:
        """The bundle folder, to be damaged."""
        return self.root / "bundle"

    @property
    def roots(self) -> Path:
        """The roots made so far, with their signatures."""
        return self.root / "roots"

    def key(self, name: str) -> Path:
        """A key pair, made at its first use."""
        path = self.root / "keys" / f"{name}.pem"
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            make_key(path, None)
        return path

    def add_root(
        self, *, root: list[str], release: list[str], signers: list[str], threshold: int = 1, days: int = 3650
    ) -> Path:
        """Make the next root, with these keys and no others, signed by `signers`."""
        roots, releases = [self.public(name) for name in root], [self.public(name) for name in release]
        if newest_root(self.roots) == 0:
            path = init_root(
                self.roots,
                roots,
                releases,
                root_threshold=threshold,
                release_threshold=threshold,
                days=days,
            )
        else:
            before = read_root(self.roots)
            had = {key.keyid for key in (*before.root_keys, *before.release_keys)}
            kept = {read_public(path).keyid for path in (*roots, *releases)} & had
            new = [
                tuple(path for path in paths if read_public(path).keyid not in kept)
                for paths in (roots, releases)
            ]
            change = Change(*new, tuple(had - kept), threshold, threshold)
            path = rotate_root(self.roots, change, days=days)
        for name in signers:
            write_signature(path, self.signer(name))
        return path

    def signer(self, name: str) -> KeyFile:
        """Who holds a key."""
        return KeyFile(self.key(name), None)

    def public(self, name: str) -> Path:
        """The public half of a key."""
        return public_path_of(self.key(name))

    def anchor(self) -> str:
        """What the anchor sheet shows."""
        return hashlib.sha256((self.roots / f"root.{newest_root(self.roots)}").read_bytes()).hexdigest()

    def release(self, **changes: object) -> None:
        """Write RELEASE, with these fields changed."""
        fields = {
            "product": "islet-test",
            "number": 2,
            "created": "2026-11-01T00:00:00Z",
            "expires": FAR,
            "root_version": 1,
            "disk_bytes": 1_000_000,
        }
        (self.bundle / "RELEASE").write_bytes(format_release(Release(**(fields | changes))))  # type: ignore[arg-type]

    def relist(self) -> None:
        """Write SHA256SUMS over what lies there now."""
        hashes = {
            path.name: hashlib.sha256(path.read_bytes()).hexdigest()
            for path in self.bundle.iterdir()
            if not path.name.startswith(("SHA256SUMS", "root."))
        }
        (self.bundle / "SHA256SUMS").write_bytes(format_sums(hashes))

    def resign(self, *keys: str) -> None:
        """Throw away all signatures over the list and sign it by these keys."""
        for old in self.bundle.glob("SHA256SUMS.sig.*"):
            old.unlink()
        copy_roots(self.roots, self.bundle)
        for name in keys or ("release",):
            write_signature(self.bundle / "SHA256SUMS", self.signer(name))

    def list_and_sign(self) -> None:
        """What the holder of the release key can do: a list and a signature that are valid."""
        self.relist()
        self.resign()


def make_workshop(
    folder: Path, *, volume_bytes: int = 2 * 1024 * 1024, model_bytes: int = 2_500_000
) -> Workshop:
    """An honest bundle of release 2, in two volumes unless told otherwise, signed by a key of root.1."""
    shop = Workshop(folder)
    folder.mkdir(parents=True, exist_ok=True)
    shop.add_root(root=["root"], release=["release"], signers=["root"])
    shop.bundle.mkdir()
    sources = folder / "sources"
    sources.mkdir()
    items = []
    for path, kind, size in (
        ("models/islet/tiny/config.json", "model", 700),
        ("models/islet/tiny/model.safetensors", "model", model_bytes),
        ("tools/llama.cpp/convert_hf_to_gguf.py", "tool", 512),
        ("wheels/empty-1.0-py3-none-any.whl", "wheel", 0),
    ):
        source = sources / path.replace("/", "_")
        source.write_bytes(bytes((i * 7 + size) % 251 for i in range(size)))
        items.append(
            Item(path, kind, "test", "CC0-1.0", source, hashlib.sha256(source.read_bytes()).hexdigest(), size)
        )
    contents = lay_out(items, volume_bytes)
    write_volumes(contents, items, shop.bundle, Silent())
    (shop.bundle / "contents.json").write_bytes(format_contents(contents))
    write_runtime(folder / "environment.tar", shop.bundle / "runtime.tar.gz")
    (shop.bundle / WHEEL).write_bytes(b"wheel" * 100)
    shutil.copyfile(INSTALLER, shop.bundle / "install.sh")
    shop.release()
    shop.list_and_sign()
    return shop


def write_runtime(packed: Path, out: Path) -> None:
    """A runtime.tar.gz as the bundler writes it, of an environment that is a few bytes."""
    with tarfile.open(packed, "w") as tar:
        for name, content in (("bin/python3", b"#!/bin/sh\nexit 0\n"), ("lib/a file (1).txt", b"x" * 1300)):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o755 if name.startswith("bin/") else 0o644
            tar.addfile(entry, io.BytesIO(content))
        for name, target in (("bin/python", "python3"), ("lib/deep/up", "../../bin"), ("lib64", "lib")):
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            tar.addfile(entry)
        folder = tarfile.TarInfo("share/empty")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
    write_canonical(packed, out, forbidden=b"/nowhere", advance=lambda length: None)
