"""Deltas: what the site has is left out, and it refuses what it has not; releases compared; one tar."""

import json
import os
import shutil
import stat
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from appliance.bundle.contents import Contents, format_contents, parse_contents
from appliance.bundle.medium import Medium
from appliance.bundle.release import parse_release
from appliance.bundle.sums import parse_sums
from appliance.bundle.verify import verify
from appliance.errors import ApplianceError, BadInput, DamagedBundle, UntrustedBundle
from appliance.progress import Silent
from appliance.site.delta import check_required
from appliance.site.inventory import inventory
from appliance.site.layout import Site
from appliance.site.store import fill_store, link_release
from appliance.site.trust import read_trust, record_trust
from bundler.delta import carried_words
from bundler.diff import as_document, difference
from bundler.listing import read_held, read_listing
from bundler.pack import Item, lay_out, write_volumes
from bundler.sources import file_sha256
from bundler.tarball import write_tar
from tests.bundles import INSTALLER, Workshop, make_workshop
from tests.real import RealBundle, bundler, in_box, install_command, scratch
from tests.wheel_maker import write_wheel

SHELLS = {"dash": ["dash"], "bash": ["bash", "--posix"], "busybox": ["busybox", "sh"]}
VOLUME_BYTES = 2 * 1024 * 1024

Files = Mapping[str, tuple[str, bytes, int]]
"""Path to component, bytes, mode."""


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
    contents = lay_out(items, VOLUME_BYTES, read_held(bases))
    write_volumes(contents, items, shop.bundle, Silent())
    (shop.bundle / "contents.json").write_bytes(format_contents(contents))
    shop.release(number=number)
    shop.list_and_sign()
    return contents


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


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    root = tmp_path_factory.mktemp("delta")
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
    check_required(site, release, contents, Silent())
    quarantine.mkdir(exist_ok=True)
    fill_store(site, Medium(folder), contents, hashes, quarantine, Silent())
    target = site.release(release.number)
    target.mkdir(parents=True)
    link_release(site, contents, target)
    (target / "contents.json").write_bytes((folder / "contents.json").read_bytes())
    facts = {"number": release.number, "product": release.product, "created": release.created}
    (target / "installed.json").write_text(
        json.dumps({**facts, "sums-sha256": file_sha256(folder / "SHA256SUMS")})
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


# --- packing ------------------------------------------------------------------------------------


@pytest.mark.parametrize("base", [1, 2, 3])
def test_a_delta_against_any_older_release_installs_the_tree_of_the_full_bundle(
    shelf: Shelf, tmp_path: Path, base: int
) -> None:
    delta = shelf.delta(tmp_path / "delta", [shelf.full(base)])
    wanted = tree(put(site_in(tmp_path / "fresh"), shelf.full(4), tmp_path / "quarantine"))
    site = site_in(tmp_path)
    before = tree(put(site, shelf.full(base), tmp_path / "quarantine"))
    contents = parse_contents((delta.bundle / "contents.json").read_bytes())
    assert 0 < len(contents.required) < len(contents.entries)
    assert tree(put(site, delta.bundle, tmp_path / "quarantine")) == wanted
    assert tree(site.release(base)) == before
    assert wanted["tools/llama.cpp/run.py"] == (0o555, NEW_TOOL[1])


def test_the_site_s_inventory_is_a_base_and_holds_what_every_release_brought(
    shelf: Shelf, tmp_path: Path
) -> None:
    site = site_in(tmp_path)
    for number in (1, 2):
        put(site, shelf.full(number), tmp_path / "quarantine")
    file = tmp_path / "inventory.json"
    file.write_text(json.dumps(inventory(site)))
    delta = shelf.delta(tmp_path / "delta", [file])
    contents = parse_contents((delta.bundle / "contents.json").read_bytes())
    assert [entry.path for entry in contents.entries if entry.parts] == [
        "models/islet/tiny/config.json",
        "wheels/b-1.0-py3-none-any.whl",
    ]
    put(site, delta.bundle, tmp_path / "quarantine")


def test_a_delta_is_a_base_like_any_other(shelf: Shelf, tmp_path: Path) -> None:
    first = shelf.delta(tmp_path / "first", [shelf.full(1)], number=2)
    delta = shelf.delta(tmp_path / "delta", [first.bundle])
    full = shelf.delta(tmp_path / "other", [shelf.full(2)])
    assert (delta.bundle / "SHA256SUMS").read_bytes() == (full.bundle / "SHA256SUMS").read_bytes()


def test_the_same_held_files_give_the_same_bytes_whatever_says_so(shelf: Shelf, tmp_path: Path) -> None:
    site = site_in(tmp_path)
    for number in (1, 2):
        put(site, shelf.full(number), tmp_path / "quarantine")
    file = tmp_path / "inventory.json"
    file.write_text(json.dumps(inventory(site)))
    ways = [
        [shelf.full(1), shelf.full(2)],
        [shelf.full(2) / "contents.json", shelf.full(1)],
        [file],
        [file, shelf.full(1)],
    ]
    made = [shelf.delta(tmp_path / f"way-{i}", way).bundle for i, way in enumerate(ways)]
    assert len({(folder / "SHA256SUMS").read_bytes() for folder in made}) == 1


def test_a_base_that_has_nothing_of_it_gives_the_full_bundle(shelf: Shelf, tmp_path: Path) -> None:
    empty = tmp_path / "contents.json"
    empty.write_bytes(format_contents(Contents((), (), ())))
    delta = shelf.delta(tmp_path / "delta", [empty])
    assert (delta.bundle / "SHA256SUMS").read_bytes() == (shelf.full(4) / "SHA256SUMS").read_bytes()


def test_a_delta_that_carries_nothing_is_whole(shelf: Shelf, tmp_path: Path) -> None:
    site = site_in(tmp_path)
    wanted = tree(put(site, shelf.full(4), tmp_path / "quarantine"))
    shop = Workshop(tmp_path / "delta")
    shutil.copytree(shelf.shop.root, shop.root)
    contents = repack(shop, 5, RELEASES[4], [shelf.full(4)])
    assert (contents.volumes, len(contents.required)) == ((), len(RELEASES[4]))
    assert judge_by_python(shop, site, shop.anchor()) is None
    assert judge_by_shell(SHELLS["dash"], shop, site, shop.anchor()).returncode == 0
    assert tree(put(site, shop.bundle, tmp_path / "quarantine")) == wanted


def test_after_one_changed_wheel_a_delta_is_that_wheel_and_less_than_a_megabyte(tmp_path: Path) -> None:
    items = {}
    for release, version in ((1, "1.0"), (2, "1.1")):
        folder = tmp_path / str(release)
        folder.mkdir()
        wheels = [write_wheel(folder, {"x/data": body(i, 300_000)}, name=f"w{i}") for i in range(12)]
        wheels.append(
            write_wheel(folder, {"x/data": body(99 + release, 400_000)}, name="changed", version=version)
        )
        items[release] = [
            Item(f"wheels/{w.name}", "wheel", w.stem, "MIT", w, file_sha256(w), w.stat().st_size)
            for w in wheels
        ]
    before = lay_out(items[1], VOLUME_BYTES)
    after = lay_out(items[2], VOLUME_BYTES, {entry.sha256: entry.size for entry in before.entries})
    wheel = items[2][-1].size
    payload = sum(volume.size for volume in after.volumes)
    assert (
        wheel < payload <= wheel + 3 * 512 + 1024
    )  # a header, padding, the end: far below the megabyte allowed
    assert len(after.required) == 12


def test_a_hash_that_a_base_gives_with_another_size_is_carried(tmp_path: Path) -> None:
    items = as_items(tmp_path, RELEASES[1])
    wrong = {item.sha256: item.size + 1 for item in items}
    assert lay_out(items, VOLUME_BYTES, wrong) == lay_out(items, VOLUME_BYTES)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "not JSON"),
        ("[]", "format is None"),
        ('{"format": "islet-inventory-2"}', "islet-inventory-2"),
        (
            '{"format": "islet-inventory-1", "product": "p", "current": 1, "releases": [], "x": 1}',
            "unknown field",
        ),
        (
            '{"format": "islet-inventory-1", "product": "p", "current": 1, "releases": [{"number": 1, '
            '"created": "", "sums-sha256": "zz", "files": []}]}',
            "sums-sha256",
        ),
    ],
)
def test_a_base_that_is_none_is_refused(tmp_path: Path, text: str, why: str) -> None:
    file = tmp_path / "base.json"
    file.write_text(text)
    with pytest.raises(BadInput) as caught:
        read_held([file])
    assert why in caught.value.why


def test_a_folder_whose_contents_are_not_the_listed_ones_is_no_base(shelf: Shelf, tmp_path: Path) -> None:
    shutil.copytree(shelf.full(1), tmp_path / "base")
    contents = tmp_path / "base/contents.json"
    contents.write_bytes(contents.read_bytes().replace(b"MIT", b"TIM", 1))
    with pytest.raises(DamagedBundle, match=r"contents\.json is damaged"):
        read_held([tmp_path / "base"])


# --- what both judges refuse --------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """One thing wrong with a site that is offered release 4 as a delta against 1 and 2."""

    change: Callable[[Site, Workshop], object]
    exit_code: int
    what: str
    """Start of the first line."""
    why: str
    """Part of the second."""


def stored(site: Site, path: str) -> Path:
    contents = parse_contents((site.release(2) / "contents.json").read_bytes())
    return site.stored(next(entry.sha256 for entry in contents.entries if entry.path == path))


def overwrite(path: Path, content: bytes) -> None:
    path.unlink()
    path.write_bytes(content)


def to_link(path: Path) -> None:
    aside = path.with_name("aside")
    path.rename(aside)
    path.symlink_to(aside)


def lie_about_size(shop: Workshop) -> None:
    file = shop.bundle / "contents.json"
    text = file.read_text()
    assert text.count('"size": 950}') == 1
    file.write_text(text.replace('"size": 950}', '"size": 951}'))
    shop.list_and_sign()


WHEEL_A = "wheels/a-1.1-py3-none-any.whl"
BIG = "models/islet/tiny/model.safetensors"

CASES = {
    "a first install": Case(
        lambda site, shop: shutil.rmtree(site.prefix),
        5,
        "Release 4 is a delta, and nothing is installed here.",
        "it leaves out 6 files",
    ),
    "one required file is not here": Case(
        lambda site, shop: stored(site, WHEEL_A).unlink(),
        5,
        "Release 4 is a delta, and 1 of the 6 files that it leaves out are not here.",
        f"not here: {WHEEL_A}; brought once by release 2",
    ),
    "a file of two releases is not here": Case(
        lambda site, shop: stored(site, BIG).unlink(),
        5,
        "Release 4 is a delta, and 2 of the 6",
        f"not here: models/islet/renamed/model.safetensors, {BIG}; brought once by release 1, 2",
    ),
    "a release that the delta was made against was never here": Case(
        lambda site, shop: (
            shutil.rmtree(site.release(2)),
            [path.unlink() for path in site.store.rglob("*") if path.is_file()],
        ),
        5,
        "Release 4 is a delta, and 6 of the 6",
        "tiny/model.safetensors, tools/llama.cpp/convert.py, ...; brought once by release 1",
    ),
    "no release that is still here brought the file": Case(
        lambda site, shop: (stored(site, WHEEL_A).unlink(), shutil.rmtree(site.release(2))),
        5,
        "Release 4 is a delta, and 1 of the 6",
        "; no release of this box brought them",
    ),
    "a required file was replaced in the store": Case(
        lambda site, shop: overwrite(stored(site, WHEEL_A), body(8, 950)),
        4,
        f"{WHEEL_A} is damaged on this box.",
        "the store's copy no longer has its SHA-256",
    ),
    "a required file was cut short in the store": Case(
        lambda site, shop: overwrite(stored(site, WHEEL_A), body(4, 949)),
        4,
        f"{WHEEL_A} is damaged on this box.",
        "the store's copy no longer has its SHA-256",
    ),
    "a required file became a link": Case(
        lambda site, shop: to_link(stored(site, WHEEL_A)),
        5,
        "Release 4 is a delta, and 1 of the 6",
        WHEEL_A,
    ),
    "a required size that lies": Case(
        lambda site, shop: lie_about_size(shop),
        3,
        "contents.json is not written as it must be.",
        f"the size of {WHEEL_A} is not that of its bytes",
    ),
}


@pytest.fixture
def offered(shelf: Shelf, tmp_path: Path) -> tuple[Site, Workshop]:
    """A site with releases 1 and 2, and release 4 as a delta against both."""
    site = site_in(tmp_path)
    for number in (1, 2):
        put(site, shelf.full(number), tmp_path / "quarantine")
    (tmp_path / "quarantine").rmdir()
    shop = shelf.delta(tmp_path / "delta", [shelf.full(1), shelf.full(2)])
    return site, shop


def judge_by_python(shop: Workshop, site: Site, anchor: str) -> ApplianceError | None:
    try:
        found = verify(Medium(shop.bundle), read_trust(site, anchor))
        check_required(site, found.release, found.contents, Silent())
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


def everything(site: Site) -> dict[str, tuple[int, int]]:
    """Every name under the prefix, with mode and time of change of what is in it."""
    return {
        str(path): (path.lstat().st_mode, path.lstat().st_mtime_ns)
        for path in site.prefix.rglob("*")
        if path.parent != site.prefix
    }


@pytest.mark.parametrize("shell", SHELLS)
def test_both_judges_accept_a_delta_that_the_site_can_complete(
    offered: tuple[Site, Workshop], shell: str
) -> None:
    site, shop = offered
    assert judge_by_python(shop, site, shop.anchor()) is None
    result = judge_by_shell(SHELLS[shell], shop, site, shop.anchor())
    assert (result.returncode, result.stderr) == (0, "")
    assert "hashing 6 files that this delta takes from the store" in result.stdout


@pytest.mark.parametrize("name", CASES)
def test_both_judges_refuse_a_delta_alike_before_anything_is_written(
    name: str, offered: tuple[Site, Workshop]
) -> None:
    site, shop = offered
    case = CASES[name]
    case.change(site, shop)
    before = everything(site)
    error = judge_by_python(shop, site, shop.anchor())
    assert error is not None
    assert error.exit_code == case.exit_code
    assert error.what.startswith(case.what)
    assert case.why in error.why
    for shell, command in SHELLS.items():
        for check in ("--check", None):
            result = judge_by_shell(command, shop, site, shop.anchor(), check)
            assert (result.returncode, result.stderr) == (case.exit_code, f"islet: {error}\n"), shell
    assert everything(site) == before


def test_the_full_bundle_repairs_what_a_delta_was_refused_for(
    shelf: Shelf, offered: tuple[Site, Workshop], tmp_path: Path
) -> None:
    site, shop = offered
    overwrite(stored(site, WHEEL_A), b"rot")
    stored(site, BIG).unlink()
    put(site, shelf.full(4), tmp_path / "quarantine")
    assert tree(site.release(4))[WHEEL_A] == (0o444, body(4, 950))
    assert judge_by_python(shop, site, shop.anchor()) is not None  # release 4 was had with another list


def test_what_the_store_lost_is_not_in_the_inventory(offered: tuple[Site, Workshop], tmp_path: Path) -> None:
    site, _ = offered
    lost = stored(site, WHEEL_A)
    lost.unlink()
    file = tmp_path / "inventory.json"
    file.write_text(json.dumps(inventory(site)))
    assert lost.parent.name + lost.name not in read_held([file])


def change_contents(shop: Workshop, change: Callable[[Contents], Contents]) -> None:
    file = shop.bundle / "contents.json"
    file.write_bytes(format_contents(change(parse_contents(file.read_bytes()))))
    shop.list_and_sign()


def rewrite(shop: Workshop, change: Callable[[str], str]) -> None:
    file = shop.bundle / "contents.json"
    text = change(file.read_text())
    assert text != file.read_text()
    file.write_text(text)
    shop.list_and_sign()


def carried_hash(contents: Contents) -> str:
    return next(entry.sha256 for entry in contents.entries if entry.parts)


INSIDE: dict[str, Callable[[Workshop], None]] = {
    "requires names a hash that it also carries": lambda shop: change_contents(
        shop, lambda c: Contents(c.volumes, c.entries, tuple(sorted((*c.requires, carried_hash(c)))))
    ),
    "a file is carried under one name and left out under another": lambda shop: change_contents(
        shop,
        lambda c: Contents(
            c.volumes,
            tuple(
                type(e)(**{**e.__dict__, "sha256": c.requires[0]})
                if e.parts and e.sha256 == carried_hash(c)
                else e
                for e in c.entries
            ),
            c.requires,
        ),
    ),
    "requires leaves out a file without bytes": lambda shop: change_contents(
        shop, lambda c: Contents(c.volumes, c.entries, c.requires[1:])
    ),
    "requires names a hash that no file has": lambda shop: change_contents(
        shop, lambda c: Contents(c.volumes, c.entries, (*c.requires, "f" * 64))
    ),
    "requires is not sorted": lambda shop: change_contents(
        shop, lambda c: Contents(c.volumes, c.entries, c.requires[::-1])
    ),
    "a file without bytes where nothing is required": lambda shop: change_contents(
        shop, lambda c: Contents(c.volumes, c.entries, ())
    ),
    "written so that the shell sees no file left out": lambda shop: rewrite(
        shop, lambda text: text.replace('"parts": []', '"parts":  []')
    ),
    "written on one line": lambda shop: rewrite(shop, lambda text: text.replace("\n", " ")),
}


@pytest.mark.parametrize("name", INSIDE)
def test_the_appliance_refuses_a_delta_that_contradicts_itself(
    name: str, offered: tuple[Site, Workshop]
) -> None:
    site, shop = offered
    INSIDE[name](shop)
    error = judge_by_python(shop, site, shop.anchor())
    assert isinstance(error, UntrustedBundle)
    assert error.what.startswith("contents.json")


# --- in words -----------------------------------------------------------------------------------


def test_a_delta_says_what_it_carries_and_what_it_requires(
    shelf: Shelf, offered: tuple[Site, Workshop]
) -> None:
    _, shop = offered
    contents = parse_contents((shop.bundle / "contents.json").read_bytes())
    # carried: config.json (10 bytes) and b (800); required, each once: weights, convert.py, a, empty
    assert carried_words(contents) == (
        "a delta: carries 2 files, 810 B; requires 4 files, 2.5 MB, of the site"
    )
    full = parse_contents((shelf.full(3) / "contents.json").read_bytes())
    assert carried_words(full) == "2 files, 700.0 kB"
    assert "a delta: carries 2 files" in bundler("verify", shop.bundle)
    assert "a delta: carries 2 files" in bundler("inspect", shop.bundle)


def test_the_difference_of_two_bundles_is_told_by_component(shelf: Shelf) -> None:
    found = difference(read_listing(shelf.full(1)), read_listing(shelf.full(4)))
    rows = [(row.change, row.kind, row.name, row.words, row.size) for row in found.rows]
    assert rows == [
        ("new", "model", "islet/renamed", "MIT", 0),
        ("changed", "model", "islet/tiny", "files: 1 changed", 10),
        ("changed", "wheel", "a", "1.0 → 1.1", 950),
        ("new", "wheel", "b", "1.0, MIT", 800),
        ("new", "wheel", "empty", "1.0, MIT", 0),
        ("changed", "tool", "llama.cpp converter", "files: 1 changed, 1 new", 13),
    ]
    assert (found.same, found.carry_bytes) == (2, 10 + 950 + 800 + 13)  # runtime and appliance are alike
    assert found.removed_bytes == len(b"{}") + 900 + 13
    assert found.not_compared == ()
    back = difference(read_listing(shelf.full(4)), read_listing(shelf.full(1)))
    assert [row.name for row in back.rows if row.change == "removed"] == ["islet/renamed", "b", "empty"]


def test_the_difference_to_a_site_counts_what_all_its_releases_hold(
    shelf: Shelf, offered: tuple[Site, Workshop], tmp_path: Path
) -> None:
    site, _ = offered
    file = tmp_path / "inventory.json"
    file.write_text(json.dumps(inventory(site)))
    found = as_document(difference(read_listing(file), read_listing(shelf.full(1))))
    assert found["old"] == "islet-test release 2, at the site"
    assert found["carry-bytes"] == 0
    assert found["not-compared"] == ["appliance", "runtime"]
    printed = json.loads(bundler("diff", "--json", file, shelf.full(1)))
    assert printed == found
    text = bundler("diff", file, shelf.full(1))
    assert "not compared, because only one of the two tells: appliance, runtime" in text
    assert "1.1 → 1.0" in text


def test_nothing_differs_between_a_bundle_and_itself(shelf: Shelf) -> None:
    listing = read_listing(shelf.full(4))
    found = difference(listing, listing)
    assert (found.rows, found.carry_bytes, found.removed_bytes) == ((), 0, 0)


def test_a_changed_licence_is_told_though_the_bytes_are_the_same(shelf: Shelf, tmp_path: Path) -> None:
    contents = shelf.full(3) / "contents.json"
    other = tmp_path / "contents.json"
    other.write_bytes(contents.read_bytes().replace(b'"licence": "MIT"', b'"licence": "GPL-3.0"', 1))
    found = difference(read_listing(contents), read_listing(other))
    assert [(row.name, row.words, row.size) for row in found.rows] == [
        ("islet/other", "licence MIT → GPL-3.0", 0)
    ]


# --- as one tar ---------------------------------------------------------------------------------


def test_stock_tar_unpacks_a_folder_that_verifies(shelf: Shelf, tmp_path: Path) -> None:
    for name in ("first.tar", "second.tar"):
        assert write_tar(shelf.full(4), tmp_path / name, Silent()) == "islet-test-4"
    os.utime(shelf.full(4) / "RELEASE")
    assert (tmp_path / "first.tar").read_bytes() == (tmp_path / "second.tar").read_bytes()
    names = sorted(path.name for path in shelf.full(4).iterdir())
    for tool in (["tar"], ["busybox", "tar"]):
        folder = tmp_path / tool[0]
        folder.mkdir()
        done = subprocess.run(
            [*tool, "-xf", tmp_path / "first.tar"], cwd=folder, capture_output=True, text=True
        )
        assert (done.returncode, done.stderr) == (0, "")
        unpacked = folder / "islet-test-4"
        assert sorted(path.name for path in unpacked.iterdir()) == names
        assert "whole and signed" in bundler("verify", unpacked)


TAR_REFUSED: dict[str, tuple[Callable[[Path], object], type[ApplianceError], str]] = {
    "no root": (lambda f: [p.unlink() for p in f.glob("root.*")], BadInput, "is not signed"),
    "no signature": (
        lambda f: [p.unlink() for p in f.glob("*.sig.*")],
        UntrustedBundle,
        "not signed by enough",
    ),
    "a flipped byte": (
        lambda f: (f / "payload.000.tar").write_bytes(b"x" + (f / "payload.000.tar").read_bytes()[1:]),
        DamagedBundle,
        "payload.000.tar is damaged",
    ),
    "a missing volume": (lambda f: (f / "payload.000.tar").unlink(), DamagedBundle, "is missing"),
    "a file too many": (lambda f: (f / "notes.txt").touch(), UntrustedBundle, "not in the signed list"),
}


@pytest.mark.parametrize("name", TAR_REFUSED)
def test_a_folder_that_is_not_whole_gives_no_tar(name: str, shelf: Shelf, tmp_path: Path) -> None:
    change, kind, what = TAR_REFUSED[name]
    folder = tmp_path / "bundle"
    shutil.copytree(shelf.full(4), folder)
    change(folder)
    with pytest.raises(kind, match=what):
        write_tar(folder, tmp_path / "out.tar", Silent())
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_a_tar_is_never_written_into_the_bundle_or_over_a_file(shelf: Shelf, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be written"):
        write_tar(shelf.full(4), shelf.full(4) / "out.tar", Silent())
    (tmp_path / "out.tar").write_text("mine")
    with pytest.raises(BadInput, match="exists"):
        write_tar(shelf.full(4), tmp_path / "out.tar", Silent())
    assert (tmp_path / "out.tar").read_text() == "mine"


# --- really -------------------------------------------------------------------------------------


def installed(bundle: RealBundle, place: Path) -> "subprocess.CompletedProcess[str]":
    return in_box(install_command(bundle, place / "opt", place / "state"))


def released_tree(release: Path) -> dict[str, object]:
    """Every name of an installed release: kind, mode and bytes.

    Compiled files hold times; pip writes where the appliance's own wheel lay, which is in quarantine.
    """
    found: dict[str, object] = {}
    own = {
        path for name in ("direct_url.json", "RECORD") for path in release.rglob(f"islet-*.dist-info/{name}")
    }
    for path in sorted(set(release.rglob("*")) - own):
        name, status = str(path.relative_to(release)), path.lstat()
        if path.is_symlink():
            found[name] = str(path.readlink())
        elif path.is_dir():
            found[name] = stat.S_IMODE(status.st_mode)
        elif "__pycache__" not in path.parts and name not in ("contents.json", "installed.json"):
            found[name] = (stat.S_IMODE(status.st_mode), file_sha256(path))
    return found


@pytest.mark.slow
def test_a_real_delta_installs_what_the_full_bundle_installs(
    small_bundle: RealBundle, tmp_path: Path
) -> None:
    """Release 1 with an older wheel; release 2 full and as a delta, each installed at the same place."""
    folder = small_bundle.manifest.parent.with_name("older")
    folder.mkdir()
    shutil.copyfile(small_bundle.manifest.parent / "rows.jsonl", folder / "rows.jsonl")
    manifest = folder / "bundle.toml"
    manifest.write_text(small_bundle.manifest.read_text().replace("click>=8.2", "click==8.2.0"))
    bundler("lock", manifest, "--cache", small_bundle.build_command(folder)[-3], "--hub", small_bundle.hub)
    older = RealBundle(folder / "1", manifest, small_bundle.roots, small_bundle.key, small_bundle.hub)
    older = older.release(folder / "1", 1)
    full = small_bundle.release(folder / "full", 2)
    out = folder / "delta"
    bundler(*small_bundle.build_command(out, 2)[1:], "--base", older.folder)
    bundler("sign", out, "--key", small_bundle.key, "--roots", small_bundle.roots, "--yes")
    delta = RealBundle(out, full.manifest, full.roots, full.key, full.hub)

    contents = parse_contents((out / "contents.json").read_bytes())
    carried = [entry for entry in contents.entries if entry.parts]
    assert [entry.component.split()[0] for entry in carried] == ["click"]
    assert sum(volume.size for volume in contents.volumes) <= carried[0].size + 1_000_000
    with scratch("delta") as place:
        refused = installed(delta, place)
        assert refused.returncode == 5
        assert "nothing is installed here" in refused.stderr
        assert not list((place / "opt").glob("releases/*"))
        assert installed(full, place).returncode == 0
        wanted = released_tree(place / "opt/releases/2")
        shutil.rmtree(place / "opt")
        assert installed(older, place).returncode == 0
        done = installed(delta, place)
        assert done.returncode == 0, done.stderr
        assert released_tree(place / "opt/releases/2") == wanted
