"""What is new, changed and gone, in words; what a delta says of itself."""

import json
from pathlib import Path

import pytest

from appliance.bundle.contents import parse_contents
from appliance.site.inventory import inventory
from appliance.site.layout import Site
from bundler.delta import carried_words
from bundler.diff import as_document, difference
from bundler.listing import read_listing
from tests.bundles import Workshop
from tests.deltas import Shelf, make_shelf, offer
from tests.real import bundler


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    return make_shelf(tmp_path_factory.mktemp("shelf"))


@pytest.fixture
def offered(shelf: Shelf, tmp_path: Path) -> tuple[Site, Workshop]:
    return offer(shelf, tmp_path)


def test_a_delta_says_what_it_carries_and_what_it_requires(
    shelf: Shelf, offered: tuple[Site, Workshop]
) -> None:
    _, shop = offered
    contents = parse_contents((shop.bundle / "contents.json").read_bytes())
    # carried: config.json (10 bytes) and b (800); required, each once: weights, convert.py, a, empty
    assert carried_words(contents) == (
        "a delta: carries 2 files, 810 B; requires 4 files, 2.5 MB, and runtime.tar.gz of the site"
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
    assert found["not-compared"] == ["appliance"]
    printed = json.loads(bundler("diff", "--json", file, shelf.full(1)))
    assert printed == found
    text = bundler("diff", file, shelf.full(1))
    assert "not compared, because only one of the two tells: appliance\n" in text
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
