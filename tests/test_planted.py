"""What lies in the way before an installation, and a medium that is not the same when it is read again."""

import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from appliance.bundle.contents import parse_contents
from appliance.bundle.medium import Medium
from appliance.bundle.sums import parse_sums
from appliance.errors import ApplianceError
from appliance.progress import Advance, Progress, Silent
from appliance.site.layout import Site
from appliance.site.store import fill_store, is_whole
from tests.attacks import tarballs
from tests.attacks.case import SHELLS, judge_by_shell
from tests.bundles import Workshop, make_workshop

VOLUMES = ("payload.000.tar", "payload.001.tar")


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    shop = make_workshop(tmp_path_factory.mktemp("planted") / "shop")
    (shop.bundle / tarballs.NAME).write_bytes(tarballs.zipped(tarballs.archive()))
    shop.list_and_sign()
    return shop


@pytest.fixture
def shop(honest: Workshop, tmp_path: Path) -> Workshop:
    shutil.copytree(honest.root, tmp_path / "shop", symlinks=True)
    return Workshop(tmp_path / "shop")


@pytest.fixture
def decoy(tmp_path: Path) -> Path:
    """A folder of somebody else's, which nothing may touch."""
    folder = tmp_path / "decoy"
    folder.mkdir()
    (folder / "kept").write_text("theirs")
    return folder


def is_untouched(decoy: Path) -> bool:
    return [path.name for path in decoy.iterdir()] == ["kept"] and (decoy / "kept").read_text() == "theirs"


def site_in(folder: Path) -> Site:
    return Site(folder / "prefix", folder / "state")


def fill(shop: Workshop, site: Site, progress: Progress) -> None:
    """Read the volumes into the store, as an installation does once the medium is judged."""
    contents = parse_contents((shop.bundle / "contents.json").read_bytes())
    hashes = parse_sums((shop.bundle / "SHA256SUMS").read_bytes())
    quarantine = site.prefix / "quarantine"
    quarantine.mkdir(parents=True)
    fill_store(site, Medium(shop.bundle), contents, hashes, quarantine, progress)


def wrong_files(shop: Workshop, site: Site) -> list[str]:
    """Files of the store that are there and not what they are called."""
    contents = parse_contents((shop.bundle / "contents.json").read_bytes())
    stored = [(entry.sha256, site.stored(entry.sha256)) for entry in contents.entries]
    return [name for name, path in stored if path.exists() and not is_whole(path, name)]


class Meddler(Silent):
    """Changes the medium as soon as the first bytes of a volume were read."""

    def __init__(self, act: Callable[[], object]) -> None:
        self._acts = [act]

    @contextmanager
    def stage(self, what: str, *, total: int | None, unit: str = "B") -> Iterator[Advance]:
        """The change is made once, at the first bytes from the medium."""

        def advance(amount: int) -> None:
            if what == "copying from the medium" and self._acts:
                self._acts.pop()()

        yield advance


def other_bytes(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[700] ^= 1
    path.write_bytes(data)


CHANGES: dict[str, Callable[[Path], object]] = {
    "has other bytes": other_bytes,
    "is shorter": lambda path: os.truncate(path, 4096),
    "is empty": lambda path: os.truncate(path, 0),
    "is longer": lambda path: path.write_bytes(path.read_bytes() + bytes(512)),
    "is gone": Path.unlink,
    "is a link to something else": lambda path: (path.unlink(), path.symlink_to("RELEASE")),
    "is a pipe": lambda path: (path.unlink(), os.mkfifo(path)),
    "is a folder": lambda path: (path.unlink(), path.mkdir()),
    "is the other volume": lambda path: shutil.copyfile(path.parent / VOLUMES[0], path),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_volume_that_changes_after_it_was_judged_is_refused(
    name: str, shop: Workshop, tmp_path: Path
) -> None:
    site = site_in(tmp_path)
    CHANGES[name](shop.bundle / VOLUMES[1])
    with pytest.raises(ApplianceError) as caught:
        fill(shop, site, Silent())
    assert caught.value.what.startswith(VOLUMES[1])
    assert wrong_files(shop, site) == []


@pytest.mark.parametrize("name", CHANGES)
def test_a_volume_that_changes_while_another_is_read_is_refused(
    name: str, shop: Workshop, tmp_path: Path
) -> None:
    site = site_in(tmp_path)
    with pytest.raises(ApplianceError) as caught:
        fill(shop, site, Meddler(lambda: CHANGES[name](shop.bundle / VOLUMES[1])))
    assert caught.value.what.startswith(VOLUMES[1])
    assert wrong_files(shop, site) == []


@pytest.mark.parametrize("name", ["is gone", "is a link to something else", "is a pipe", "is a folder"])
def test_a_volume_whose_name_changes_while_it_is_read_is_still_the_one_that_was_opened(
    name: str, shop: Workshop, tmp_path: Path
) -> None:
    site = site_in(tmp_path)
    fill(shop, site, Meddler(lambda: CHANGES[name](shop.bundle / VOLUMES[0])))
    assert wrong_files(shop, site) == []


PLANTS: dict[str, Callable[[Path, Path], object]] = {
    "a link to somebody's file": lambda path, decoy: path.symlink_to(decoy / "kept"),
    "a link to nothing": lambda path, decoy: path.symlink_to(decoy / "made"),
    "a hard link to somebody's file": lambda path, decoy: path.hardlink_to(decoy / "kept"),
    "a pipe": lambda path, decoy: os.mkfifo(path),
    "other bytes": lambda path, decoy: path.write_bytes(b"planted"),
}


@pytest.mark.parametrize("what", PLANTS)
def test_what_was_planted_in_the_store_is_replaced_and_never_written_through(
    what: str, shop: Workshop, tmp_path: Path, decoy: Path
) -> None:
    site = site_in(tmp_path)
    contents = parse_contents((shop.bundle / "contents.json").read_bytes())
    for entry in contents.entries:
        path = site.stored(entry.sha256)
        path.parent.mkdir(parents=True, exist_ok=True)
        PLANTS[what](path, decoy)
    fill(shop, site, Silent())
    assert is_untouched(decoy)
    assert all(is_whole(site.stored(entry.sha256), entry.sha256) for entry in contents.entries)


@pytest.mark.parametrize("what", PLANTS)
def test_what_was_planted_in_quarantine_stops_the_copying(
    what: str, shop: Workshop, tmp_path: Path, decoy: Path
) -> None:
    site = site_in(tmp_path)
    contents = parse_contents((shop.bundle / "contents.json").read_bytes())
    hashes = parse_sums((shop.bundle / "SHA256SUMS").read_bytes())
    quarantine = site.prefix / "quarantine"
    quarantine.mkdir(parents=True)
    for entry in contents.entries:
        PLANTS[what](quarantine / entry.sha256, decoy)
    with pytest.raises(FileExistsError):
        fill_store(site, Medium(shop.bundle), contents, hashes, quarantine, Silent())
    assert is_untouched(decoy)
    assert not any(site.stored(entry.sha256).exists() for entry in contents.entries)


def earnest(shop: Workshop, tmp_path: Path) -> "subprocess.CompletedProcess[str]":
    """install.sh without --check; the environment's interpreter is a script that lists what lies about it."""
    return judge_by_shell(SHELLS["dash"], shop, site_in(tmp_path), shop.anchor(), check=False)


@pytest.mark.parametrize(
    "place", ["store", "store/ab", "releases", "releases/2", "releases/7", "trust", "bin"]
)
def test_a_folder_of_the_prefix_that_is_a_link_is_refused(
    place: str, shop: Workshop, tmp_path: Path, decoy: Path
) -> None:
    path = tmp_path / "prefix" / place
    path.parent.mkdir(parents=True)
    path.symlink_to(decoy)
    done = earnest(shop, tmp_path)
    assert done.returncode == 5
    assert done.stderr.splitlines()[0] == f"islet: {path} is a link."
    assert is_untouched(decoy)
    assert not (tmp_path / "prefix" / tarballs.SEEN).exists()


@pytest.mark.parametrize("place", ["quarantine.1", "quarantine.999999", "current", "state-of-others"])
def test_links_that_lie_beside_are_not_followed(
    place: str, shop: Workshop, tmp_path: Path, decoy: Path
) -> None:
    (tmp_path / "prefix").mkdir()
    (tmp_path / "prefix" / place).symlink_to(decoy)
    assert earnest(shop, tmp_path).returncode == 0
    assert is_untouched(decoy)


def test_what_lay_in_a_release_that_was_cut_off_is_not_unpacked_over(
    shop: Workshop, tmp_path: Path, decoy: Path
) -> None:
    runtime = tmp_path / "prefix/releases/2/runtime"
    (runtime / "lib").mkdir(parents=True)
    (runtime / "lib/a.txt").symlink_to(decoy / "kept")
    (runtime / "bin").symlink_to(decoy)
    assert earnest(shop, tmp_path).returncode == 0
    assert is_untouched(decoy)
    seen = (tmp_path / "prefix" / tarballs.SEEN).read_text().splitlines()
    assert sorted(seen) == ["./bin/python", "./lib/a.txt"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["runtime.tar.gz", "RELEASE", "SHA256SUMS", "contents.json", "root.1", "*.whl"]
)
def test_a_medium_that_answers_differently_each_time_installs_the_signed_release_or_none(
    name: str, shop: Workshop, tmp_path: Path
) -> None:
    evil = tarballs.member("bin/python", b'#!/bin/sh\ntouch "${0%/releases/*}/evil"\n', mode=0o755)
    hostile = {"runtime.tar.gz": tarballs.zipped(evil.bytes + tarballs.END)}
    path = next(shop.bundle.glob(name))
    good = path.read_bytes()
    bad = hostile.get(name, good.replace(b"2", b"3") if b"2" in good else good[::-1])
    stop = threading.Event()

    def swap() -> None:
        """One is put in the other's place, whole, all the time."""
        while not stop.wait(0.003):
            for data in (bad, good):
                aside = tmp_path / "aside"
                aside.write_bytes(data)
                aside.replace(path)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        codes = [earnest(shop, tmp_path).returncode for _ in range(3)]
    finally:
        stop.set()
        thread.join()
    assert set(codes) <= {0, 3, 4}
    assert not (tmp_path / "prefix" / "evil").exists()
    seen = tmp_path / "prefix" / tarballs.SEEN
    assert not seen.exists() or sorted(seen.read_text().splitlines()) == ["./bin/python", "./lib/a.txt"]
