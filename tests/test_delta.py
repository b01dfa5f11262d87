"""Deltas: what the site has is left out, and what comes of it is the tree of the full bundle."""

import json
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from appliance.bundle.contents import Contents, format_contents, parse_contents
from appliance.bundle.sums import format_sums, parse_sums
from appliance.errors import BadInput, DamagedBundle
from appliance.progress import Silent
from appliance.site.collect import collect, plan_collection
from appliance.site.inventory import inventory
from bundler.listing import read_held
from bundler.pack import Item, lay_out
from bundler.sources import file_sha256
from bundler.tarball import write_tar
from demo.torch_wheel import index_options
from tests.bundles import WHEEL, Workshop
from tests.deltas import (
    NEW_TOOL,
    RELEASES,
    SHELLS,
    VOLUME_BYTES,
    Shelf,
    as_items,
    body,
    judge_by_python,
    judge_by_shell,
    make_shelf,
    put,
    repack,
    site_in,
    tree,
)
from tests.real import CACHE, RealBundle, bundler, in_box, install_command, scratch
from tests.wheel_maker import write_wheel

RUNTIME = "runtime.tar.gz"


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    return make_shelf(tmp_path_factory.mktemp("shelf"))


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


def test_a_delta_leaves_the_runtime_out_and_what_it_brings_is_the_full_bundle_s(
    shelf: Shelf, tmp_path: Path
) -> None:
    delta = shelf.delta(tmp_path / "delta", [shelf.full(1)])
    assert not (delta.bundle / RUNTIME).exists()
    sums = [parse_sums((folder / "SHA256SUMS").read_bytes()) for folder in (delta.bundle, shelf.full(4))]
    assert sums[0][RUNTIME] == sums[1][RUNTIME] == file_sha256(shelf.full(1) / RUNTIME)
    site = site_in(tmp_path)
    put(site, shelf.full(1), tmp_path / "quarantine")
    names = [put(site, delta.bundle, tmp_path / "quarantine") / RUNTIME, site.release(1) / RUNTIME]
    names.append(site.stored(sums[0][RUNTIME]))
    assert len({path.stat().st_ino for path in names}) == 1
    assert stat.S_IMODE(names[0].stat().st_mode) == 0o444


def test_an_environment_that_changed_travels_with_the_delta(shelf: Shelf, tmp_path: Path) -> None:
    base = tmp_path / "base"
    shutil.copytree(shelf.full(1), base)
    (base / RUNTIME).write_bytes(b"another environment")
    sums = base / "SHA256SUMS"
    hashes = parse_sums(sums.read_bytes())
    sums.write_bytes(format_sums({**hashes, RUNTIME: file_sha256(base / RUNTIME)}))
    delta = shelf.delta(tmp_path / "delta", [base])
    contents = parse_contents((delta.bundle / "contents.json").read_bytes())
    assert contents.requires and not contents.requires_runtime
    assert (delta.bundle / RUNTIME).read_bytes() == (shelf.full(4) / RUNTIME).read_bytes()


def test_gc_keeps_the_runtime_that_a_release_which_stays_was_made_of(shelf: Shelf, tmp_path: Path) -> None:
    site = site_in(tmp_path)
    put(site, shelf.full(1), tmp_path / "quarantine")
    put(site, shelf.delta(tmp_path / "delta", [shelf.full(1)]).bundle, tmp_path / "quarantine")
    (tmp_path / "quarantine").rmdir()
    kept = site.stored(file_sha256(shelf.full(1) / RUNTIME))
    collect(site, plan_collection(site, 0), 0, Silent())
    assert [path.name for path in (site.prefix / "releases").iterdir()] == ["4"]
    assert kept.read_bytes() == (shelf.full(1) / RUNTIME).read_bytes()
    assert kept.samefile(site.release(4) / RUNTIME)


def test_one_file_of_a_delta_unpacks_to_the_folder_that_a_site_takes(shelf: Shelf, tmp_path: Path) -> None:
    delta = shelf.delta(tmp_path / "delta", [shelf.full(1)])
    top = write_tar(delta.bundle, tmp_path / "delta.tar", Silent())
    subprocess.run(["tar", "-xf", tmp_path / "delta.tar", "-C", tmp_path], check=True)
    assert sorted(path.name for path in (tmp_path / top).iterdir()) == sorted(
        path.name for path in delta.bundle.iterdir()
    )
    (delta.bundle / WHEEL).unlink()
    with pytest.raises(DamagedBundle, match="is missing"):
        write_tar(delta.bundle, tmp_path / "other.tar", Silent())


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


# --- really -------------------------------------------------------------------------------------


def installed(bundle: RealBundle, place: Path) -> "subprocess.CompletedProcess[str]":
    return in_box(install_command(bundle, place / "opt", place / "state"))


NOT_COMPARED = ("contents.json", "installed.json", "runtime.sums")


def released_tree(release: Path) -> dict[str, object]:
    """Every name of an installed release: kind, mode and bytes.

    Compiled files hold times; pip writes where the appliance's own wheel lay, which is in quarantine; the
    sums of the runtime are over these too.
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
        elif "__pycache__" not in path.parts and name not in NOT_COMPARED:
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
    bundler("lock", manifest, "--cache", CACHE, "--hub", small_bundle.hub, *index_options())
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
    # The goal is 1 MB; what grows towards it with every line of Islet is its own wheel.
    assert sum(path.stat().st_size for path in out.iterdir()) <= carried[0].size + 1_500_000
    assert not (out / RUNTIME).exists()
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
