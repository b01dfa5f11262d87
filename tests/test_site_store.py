"""A medium that is unplugged, or whose volume is bad: what was taken whole is not read again."""

import errno
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from appliance.bundle.contents import Contents, parse_contents
from appliance.bundle.medium import Medium
from appliance.bundle.sums import parse_sums
from appliance.errors import DamagedBundle, UntrustedBundle
from appliance.progress import Silent
from appliance.site.layout import Site
from appliance.site.store import fill_store, keep_runtime
from bundler.pack import Item, lay_out, write_volumes
from bundler.sources import file_sha256
from tests.bundles import Workshop, make_workshop
from tests.deltas import spoilt


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return make_workshop(tmp_path_factory.mktemp("store") / "shop")


class Watched(Medium):
    """A medium that remembers what was read of which volume, and is unplugged after so many bytes."""

    def __init__(self, folder: Path, bytes_until_unplugged: int | None = None) -> None:
        super().__init__(folder)
        self.read: dict[str, int] = {}
        self._left = bytes_until_unplugged

    def chunks(self, name: str, on_read: Callable[[int], None] = lambda length: None) -> Iterator[bytes]:
        """In small pieces, so that it can be unplugged between any two."""
        for chunk in super().chunks(name, on_read):
            for at in range(0, len(chunk), 50_000):
                piece = chunk[at : at + 50_000]
                if self._left is not None:
                    if self._left < len(piece):
                        raise OSError(errno.EIO, "Input/output error")
                    self._left -= len(piece)
                self.read[name] = self.read.get(name, 0) + len(piece)
                yield piece


def fill(shop: Workshop, medium: Watched, site: Site, quarantine: Path) -> None:
    shutil.rmtree(quarantine, ignore_errors=True)
    quarantine.mkdir(parents=True)
    contents = parse_contents((shop.bundle / "contents.json").read_bytes())
    hashes = parse_sums((shop.bundle / "SHA256SUMS").read_bytes())
    fill_store(site, medium, contents, hashes, quarantine, Silent())
    assert spoilt(site, contents) == []


def stored(site: Site) -> set[str]:
    return {path.parent.name + path.name for path in site.store.glob("*/*")}


def sizes(shop: Workshop) -> dict[str, int]:
    return {path.name: path.stat().st_size for path in shop.bundle.glob("payload.*")}


def test_an_install_reads_every_volume_once(shop: Workshop, tmp_path: Path) -> None:
    medium = Watched(shop.bundle)
    fill(shop, medium, Site(tmp_path / "opt", tmp_path / "state"), tmp_path / "quarantine")
    assert medium.read == sizes(shop)


@pytest.mark.parametrize("share", [0.0, 0.2, 0.79, 0.81, 0.999])
def test_unplugged_anywhere_the_same_command_reads_only_what_is_not_here(
    shop: Workshop, tmp_path: Path, share: float
) -> None:
    site, volumes = Site(tmp_path / "opt", tmp_path / "state"), sizes(shop)
    with pytest.raises(OSError, match="Input/output"):
        fill(shop, Watched(shop.bundle, int(share * sum(volumes.values()))), site, tmp_path / "quarantine")
    hashes = {entry.sha256 for entry in parse_contents((shop.bundle / "contents.json").read_bytes()).entries}
    assert stored(site) <= hashes
    again = Watched(shop.bundle)
    fill(shop, again, site, tmp_path / "quarantine")
    # The model lies in both volumes, so both are read until it is whole; what a volume completed stays.
    assert all(again.read[name] == volumes[name] for name in again.read)
    last = Watched(shop.bundle)
    fill(shop, last, site, tmp_path / "quarantine")
    assert last.read == {}


def test_a_bad_volume_is_named_and_it_alone_is_read_again(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    # Four volumes, so cut that no file lies in two.
    items = []
    for number in range(4):
        source = tmp_path / f"shard-{number}"
        source.write_bytes(bytes((i * 7 + number) % 251 for i in range(2_000_000)))
        path = f"models/islet/many/{number}.safetensors"
        items.append(Item(path, "model", "m", "MIT", source, file_sha256(source), source.stat().st_size))
    contents = lay_out(items, 2_100_000)
    hashes = write_volumes(contents, items, disk, Silent())
    assert len(contents.volumes) == 4
    site, quarantine = Site(tmp_path / "opt", tmp_path / "state"), tmp_path / "quarantine"
    quarantine.mkdir()
    bad = disk / "payload.002.tar"
    honest = bad.read_bytes()
    bad.write_bytes(honest[:5000] + b"!" + honest[5001:])
    with pytest.raises(DamagedBundle, match=r"payload\.002\.tar is damaged"):
        fill_store(site, Watched(disk), contents, hashes, quarantine, Silent())
    bad.write_bytes(honest)
    shutil.rmtree(quarantine)
    quarantine.mkdir()
    again = Watched(disk)
    fill_store(site, again, contents, hashes, quarantine, Silent())
    assert set(again.read) == {"payload.002.tar", "payload.003.tar"}
    assert spoilt(site, contents) == []


FLIPPED_AT = {
    "a byte of a file": 5000,
    "a byte of a header": 20,
    "a byte of the padding": -1025,
    "the end": -1,
}


@pytest.mark.parametrize("place", FLIPPED_AT)
def test_a_byte_anywhere_in_a_volume_makes_it_a_damaged_one_and_nothing_of_it_counts(
    tmp_path: Path, place: str
) -> None:
    disk, site = tmp_path / "disk", Site(tmp_path / "opt", tmp_path / "state")
    contents, hashes = one_volume(disk, size=1_000_001)
    flip(disk / "payload.000.tar", FLIPPED_AT[place])
    with pytest.raises(DamagedBundle, match=r"payload\.000\.tar is damaged"):
        fill_store(site, Watched(disk), contents, hashes, folder(tmp_path / "quarantine"), Silent())
    assert stored(site) == set()


@pytest.mark.parametrize("place", FLIPPED_AT)
def test_a_signed_volume_that_is_not_what_contents_json_says_is_not_to_be_trusted(
    tmp_path: Path, place: str
) -> None:
    disk, site = tmp_path / "disk", Site(tmp_path / "opt", tmp_path / "state")
    contents, _ = one_volume(disk, size=1_000_001)
    flip(disk / "payload.000.tar", FLIPPED_AT[place])
    signed = {"payload.000.tar": file_sha256(disk / "payload.000.tar")}
    with pytest.raises(UntrustedBundle) as caught:
        fill_store(site, Watched(disk), contents, signed, folder(tmp_path / "quarantine"), Silent())
    assert caught.value.what == (
        "contents.json is not written as it must be."
        if place == "a byte of a file"
        else "payload.000.tar and contents.json contradict each other."
    )
    assert stored(site) == set()


def test_of_a_file_in_two_volumes_the_damaged_one_is_named(shop: Workshop, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    shutil.copytree(shop.bundle, disk)
    flip(disk / "payload.000.tar", 1_000_000)
    site, medium = Site(tmp_path / "opt", tmp_path / "state"), Watched(disk)
    contents = parse_contents((disk / "contents.json").read_bytes())
    hashes = parse_sums((disk / "SHA256SUMS").read_bytes())
    with pytest.raises(DamagedBundle, match=r"payload\.000\.tar is damaged"):
        fill_store(site, medium, contents, hashes, folder(tmp_path / "quarantine"), Silent())


class Fickle(Watched):
    """A medium that gives another byte the first time."""

    def chunks(self, name: str, on_read: Callable[[int], None] = lambda length: None) -> Iterator[bytes]:
        """One piece of the first reading is another."""
        first = name not in self.read
        for count, chunk in enumerate(super().chunks(name, on_read)):
            yield bytes(len(chunk)) if first and count == 3 else chunk


def test_a_medium_that_gave_other_bytes_once_is_damaged_and_its_signers_are_not_blamed(
    tmp_path: Path,
) -> None:
    disk, site = tmp_path / "disk", Site(tmp_path / "opt", tmp_path / "state")
    contents, hashes = one_volume(disk, size=1_000_001)
    with pytest.raises(DamagedBundle, match=r"payload\.000\.tar is damaged"):
        fill_store(site, Fickle(disk), contents, hashes, folder(tmp_path / "quarantine"), Silent())
    assert stored(site) == set()


def one_volume(disk: Path, size: int) -> tuple[Contents, dict[str, str]]:
    """A volume with one file, and its hash."""
    source = folder(disk).with_name("source")
    source.write_bytes(bytes(i * 7 % 251 for i in range(size)))
    path = "models/islet/one/model.safetensors"
    items = [Item(path, "model", "m", "MIT", source, file_sha256(source), size)]
    contents = lay_out(items, 4_000_000)
    return contents, write_volumes(contents, items, disk, Silent())


def folder(path: Path) -> Path:
    path.mkdir()
    return path


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def test_a_runtime_that_the_store_has_whole_stays_and_a_damaged_one_is_replaced(
    shop: Workshop, tmp_path: Path
) -> None:
    site, medium = Site(tmp_path / "opt", tmp_path / "state"), Watched(shop.bundle)
    sha256 = file_sha256(shop.bundle / "runtime.tar.gz")
    keep_runtime(site, medium, sha256, folder(tmp_path / "first"))
    kept = site.stored(sha256)
    assert file_sha256(kept) == sha256 and kept.stat().st_mode & 0o777 == 0o444
    inode = kept.stat().st_ino
    keep_runtime(site, Watched(folder(tmp_path / "empty")), sha256, folder(tmp_path / "second"))
    assert kept.stat().st_ino == inode
    kept.chmod(0o644)
    kept.write_bytes(b"rot")
    keep_runtime(site, medium, sha256, folder(tmp_path / "third"))
    assert file_sha256(kept) == sha256


def test_a_damaged_runtime_on_the_medium_does_not_get_into_the_store(shop: Workshop, tmp_path: Path) -> None:
    disk, site = tmp_path / "disk", Site(tmp_path / "opt", tmp_path / "state")
    shutil.copytree(shop.bundle, disk)
    sha256 = file_sha256(disk / "runtime.tar.gz")
    flip(disk / "runtime.tar.gz", 100)
    with pytest.raises(DamagedBundle, match=r"runtime\.tar\.gz is damaged"):
        keep_runtime(site, Watched(disk), sha256, folder(tmp_path / "quarantine"))
    assert stored(site) == set()
