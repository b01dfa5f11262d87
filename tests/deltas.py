"""Four made-up releases as bundles and deltas, sites that have some of them, and both judges."""

import json
import shutil
import stat
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from appliance.bundle.contents import Contents, format_contents, parse_contents
from appliance.bundle.medium import Medium
from appliance.bundle.release import parse_release
from appliance.bundle.sums import format_sums, parse_sums
from appliance.bundle.verify import left_out_runtime, verify
from appliance.errors import ApplianceError
from appliance.progress import Silent
from appliance.site.delta import check_required
from appliance.site.layout import Site
from appliance.site.releases import runtime_entry
from appliance.site.store import fill_store, is_whole, keep_runtime, link_file, link_release
from appliance.site.trust import read_trust, record_trust
from bundler.listing import read_held
from bundler.pack import Item, lay_out, write_volumes
from bundler.sources import file_sha256
from tests.bundles import INSTALLER, Workshop, make_workshop

SHELLS = {"dash": ["dash"], "bash": ["bash", "--posix"], "busybox": ["busybox", "sh"]}
VOLUME_BYTES = 2 * 1024 * 1024

Files = Mapping[str, tuple[str, bytes, int]]
"""Path to component, bytes, mode."""


def spoilt(site: Site, contents: Contents) -> list[str]:
    """Files of `contents` that the store lacks, or holds with other bytes."""
    return [entry.path for entry in contents.entries if not is_whole(site.stored(entry.sha256), entry.sha256)]


def body(seed: int, size: int) -> bytes:
    return bytes((i * 7 + seed) % 251 for i in range(size))


WEIGHTS = ("islet/tiny", body(1, 2_500_000), 0o644)
OLD_TOOL = ("llama.cpp converter", b"print('old')\n", 0o644)
NEW_TOOL = ("llama.cpp converter", b"print('new')\n", 0o755)
RELEASES: dict[int, Files] = {
    1: {
        "models/islet/tiny/model.safetensors": WEIGHTS,
        "models/islet/tiny/config.json": ("islet/tiny", b"{}", 0o644),
        "tools/llama.cpp/convert.py": OLD_TOOL,
        "wheels/a-1.0-py3-none-any.whl": ("a 1.0", body(3, 900), 0o644),
    },
    2: {
        "models/islet/tiny/model.safetensors": WEIGHTS,
        "tools/llama.cpp/convert.py": NEW_TOOL,
        "wheels/a-1.1-py3-none-any.whl": ("a 1.1", body(4, 950), 0o644),
        "wheels/empty-1.0-py3-none-any.whl": ("empty 1.0", b"", 0o644),
    },
    3: {
        "models/islet/other/model.safetensors": ("islet/other", body(5, 700_000), 0o644),
        "tools/llama.cpp/convert.py": ("llama.cpp converter", NEW_TOOL[1], 0o644),
    },
    4: {
        "models/islet/renamed/model.safetensors": ("islet/renamed", WEIGHTS[1], 0o644),
        "models/islet/tiny/config.json": ("islet/tiny", b'{"new": 1}', 0o644),
        "models/islet/tiny/model.safetensors": WEIGHTS,
        "tools/llama.cpp/convert.py": NEW_TOOL,
        "tools/llama.cpp/run.py": NEW_TOOL,
        "wheels/a-1.1-py3-none-any.whl": ("a 1.1", body(4, 950), 0o644),
        "wheels/b-1.0-py3-none-any.whl": ("b 1.0", body(6, 800), 0o644),
        "wheels/empty-1.0-py3-none-any.whl": ("empty 1.0", b"", 0o644),
    },
}
KINDS = {"models": "model", "tools": "tool", "wheels": "wheel", "datasets": "dataset"}


def as_items(folder: Path, files: Files) -> list[Item]:
    items = []
    for path, (component, content, mode) in files.items():
        source = folder / path
        source.parent.mkdir(parents=True, exist_ok=True)
        source.write_bytes(content)
        kind = KINDS[path.split("/")[0]]
        items.append(Item(path, kind, component, "MIT", source, file_sha256(source), len(content), mode))
    return items


def repack(shop: Workshop, number: int, files: Files, bases: list[Path]) -> Contents:
    """Make the workshop's bundle into release `number` with these files, less what the bases have."""
    for old in shop.bundle.glob("payload.*"):
        old.unlink()
    items = as_items(shop.root / f"sources-{number}", files)
    runtime = shop.bundle / "runtime.tar.gz"
    contents = lay_out(items, VOLUME_BYTES, read_held(bases), file_sha256(runtime))
    write_volumes(contents, items, shop.bundle, Silent())
    (shop.bundle / "contents.json").write_bytes(format_contents(contents))
    shop.release(number=number)
    shop.list_and_sign()
    if contents.requires_runtime:
        runtime.unlink()  # as a build leaves it out: listed, and not there
    return contents


def list_and_sign(shop: Workshop, runtime: str = "") -> None:
    """List what lies there, and the runtime, which does not, with the hash that it had or another; sign."""
    sums = shop.bundle / "SHA256SUMS"
    had = parse_sums(sums.read_bytes())["runtime.tar.gz"]
    shop.relist()
    hashes = dict(line.split("  ")[::-1] for line in sums.read_text().splitlines())
    sums.write_bytes(format_sums({**hashes, "runtime.tar.gz": runtime or had}))
    shop.resign()


@dataclass(frozen=True)
class Shelf:
    """Signed full bundles of every release, and the workshop that signs."""

    root: Path
    shop: Workshop

    def full(self, number: int) -> Path:
        """The bundle of one release, with all its files."""
        return self.root / f"full-{number}"

    def delta(self, to: Path, bases: list[Path], number: int = 4) -> Workshop:
        """A workshop with release `number` as a delta."""
        shutil.copytree(self.shop.root, to)
        shop = Workshop(to)
        repack(shop, number, RELEASES[number], bases)
        return shop


def make_shelf(root: Path) -> Shelf:
    """Every release as a full bundle, under `root`."""
    made = Shelf(root, make_workshop(root / "shop"))
    for number, files in RELEASES.items():
        repack(made.shop, number, files, [])
        shutil.copytree(made.shop.bundle, made.full(number))
    return made


def put(site: Site, folder: Path, quarantine: Path) -> Path:
    """Everything that installing does, but for the runtime; the release's folder."""
    contents = parse_contents((folder / "contents.json").read_bytes())
    hashes = parse_sums((folder / "SHA256SUMS").read_bytes())
    release = parse_release((folder / "RELEASE").read_bytes())
    medium = Medium(folder)
    check_required(site, release, contents, left_out_runtime(medium, hashes, contents), Silent())
    quarantine.mkdir(exist_ok=True)
    fill_store(site, medium, contents, hashes, quarantine, Silent())
    keep_runtime(site, medium, hashes["runtime.tar.gz"], quarantine)
    target = site.release(release.number)
    target.mkdir(parents=True)
    link_release(site, contents, target)
    link_file(site, runtime_entry(hashes["runtime.tar.gz"], quarantine), target)
    (target / "contents.json").write_bytes((folder / "contents.json").read_bytes())
    facts = {"number": release.number, "product": release.product, "created": release.created}
    (target / "installed.json").write_text(
        json.dumps({**facts, "files": hashes, "sums-sha256": file_sha256(folder / "SHA256SUMS")})
    )
    record_trust(site, (folder / "root.1").read_bytes(), release, file_sha256(folder / "SHA256SUMS"))
    site.current.unlink(missing_ok=True)
    site.current.symlink_to(f"releases/{release.number}")
    return target


def tree(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Path to mode and bytes, of what a release's payload became."""
    return {
        str(path.relative_to(folder)): (stat.S_IMODE(path.stat().st_mode), path.read_bytes())
        for kind in KINDS
        for path in sorted((folder / kind).rglob("*"))
        if path.is_file()
    }


def site_in(folder: Path) -> Site:
    return Site(folder / "opt", folder / "state")


def offer(shelf: Shelf, folder: Path) -> tuple[Site, Workshop]:
    """A site with releases 1 and 2, and release 4 as a delta against both."""
    site = site_in(folder)
    for number in (1, 2):
        put(site, shelf.full(number), folder / "quarantine")
    (folder / "quarantine").rmdir()
    return site, shelf.delta(folder / "delta", [shelf.full(1), shelf.full(2)])


def judge_by_python(shop: Workshop, site: Site, anchor: str) -> ApplianceError | None:
    try:
        medium = Medium(shop.bundle)
        found = verify(medium, read_trust(site, anchor))
        runtime = left_out_runtime(medium, found.hashes, found.contents)
        check_required(site, found.release, found.contents, runtime, Silent())
    except ApplianceError as error:
        return error
    return None


def judge_by_shell(
    shell: list[str], shop: Workshop, site: Site, anchor: str, check: str | None = "--check"
) -> "subprocess.CompletedProcess[str]":
    command = [*shell, str(INSTALLER), *([check] if check else []), "--prefix", str(site.prefix)]
    return subprocess.run(
        [*command, "--state", str(site.state), "--anchor", anchor, str(shop.bundle)],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
