"""Extras: pinned by a person, compared when they are locked, carried as they are."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from appliance.bundle.contents import KINDS, format_contents, is_path, parse_contents
from appliance.bundle.medium import Medium
from appliance.errors import BadInput, DamagedBundle, StepFailed
from appliance.progress import Silent
from appliance.site.layout import Site
from appliance.site.store import fill_store, link_release
from bundler.cli import main as bundler
from bundler.listing import read_listing
from bundler.lock import read_lock, table
from bundler.manifest import Extra, read_manifest
from bundler.notes import bundle_notes
from bundler.pack import Item, lay_out, write_volumes
from bundler.sbom import format_sbom
from bundler.sources.extras import LockedExtra, fetch_extras, lock_extras
from tests.hostile import Hostile, cut, good, hostile, status
from tests.papers import make_papers
from tests.test_conda import HERE, write_channel

BODY = b"#!/bin/sh\nexit 1\n" * 1000
SHA256 = hashlib.sha256(BODY).hexdigest()

MANIFEST = """
[bundle]
product = "hospital-a"
[target]
python = "3.12"
[runtime]
channels = ["./channel"]
[[extras]]
name = "gpu-driver"
url = "https://drivers.example/570/driver-570.run"
sha256 = "%s"
licence = "Own terms"
note = "For boxes without a driver."
[[extras]]
name = "handbook"
path = "papers/handbook.pdf"
"""


@pytest.fixture
def server() -> Iterator[Hostile]:
    with hostile() as running:
        yield running


def locked(tmp_path: Path, *extras: Extra) -> tuple[LockedExtra, ...]:
    return lock_extras(extras, base=tmp_path, cache=tmp_path / "cache", progress=Silent())


def fetched(tmp_path: Path, extras: tuple[LockedExtra, ...], cache: str = "cache") -> list[Path]:
    return fetch_extras(extras, base=tmp_path, cache=tmp_path / cache, progress=Silent())


def read(tmp_path: Path, text: str) -> tuple[Extra, ...]:
    (tmp_path / "bundle.toml").write_text(text)
    return read_manifest(tmp_path / "bundle.toml").extras


def test_a_manifest_names_them_by_address_and_hash(tmp_path: Path) -> None:
    driver, handbook = read(tmp_path, MANIFEST % SHA256)
    assert driver.file_name == "driver-570.run"
    assert (driver.licence, driver.note) == ("Own terms", "For boxes without a driver.")
    assert handbook.file_name == "handbook.pdf"


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ('"gpu-driver"', '"GPU driver"', "extras[0].name"),
        ('"handbook"', '"gpu-driver"', "two have the same name"),
        ("https://", "ftp://", "extras[0].url"),
        ("https://", "https://me:key@", "credentials"),
        ("driver-570.run", "driver-570.run?key=1", "credentials"),
        ("driver-570.run", "driver 570.run", "extras[0].file"),
        ("driver-570.run", "", "extras[0].file"),
        ("driver-570.run", "%2e%2e", "extras[0].file"),
        (SHA256, "", "extras[0].sha256"),
        (SHA256, "abc", "extras[0].sha256"),
        ('path = "papers/handbook.pdf"', "", "either url or path"),
        ('path = "papers/handbook.pdf"', 'path = "a"\nurl = "https://b.example/a"', "either url or path"),
        ("papers/handbook.pdf", "/home/li/handbook.pdf", "extras[1].path"),
        ("papers/handbook.pdf", "~/handbook.pdf", "extras[1].path"),
        ("For boxes", "For\\u0007boxes", "extras[0].note"),
        ("licence", "license", "license"),
    ],
)
def test_a_manifest_with_a_wrong_one_is_refused(tmp_path: Path, old: str, new: str, field: str) -> None:
    text = MANIFEST % SHA256
    assert old in text
    with pytest.raises(BadInput) as caught:
        read(tmp_path, text.replace(old, new, 1))
    assert field in caught.value.why


def test_locks_and_fetches_one_by_its_address(server: Hostile, tmp_path: Path) -> None:
    url = server.url("/driver.run", cut(BODY, 5000), good(BODY))
    [lock] = locked(tmp_path, Extra("gpu-driver", url=url, sha256=SHA256, note="By hand."))
    assert lock == LockedExtra("gpu-driver", "driver.run", url, "", SHA256, len(BODY), "", "By hand.")
    [path] = fetched(tmp_path, (lock,))
    assert path.read_bytes() == BODY
    assert len(server.asked) == 2  # both for the lock: the build finds it in the cache
    path.write_bytes(BODY[::-1])
    [path] = fetched(tmp_path, (lock,))
    assert path.read_bytes() == BODY


def test_a_wrong_hash_is_told_when_it_is_locked(server: Hostile, tmp_path: Path) -> None:
    url = server.url("/driver.run", good(BODY))
    with pytest.raises(DamagedBundle) as caught:
        locked(tmp_path, Extra("gpu-driver", url=url, sha256="0" * 64))
    assert "the extra gpu-driver (driver.run)" in caught.value.what
    assert caught.value.why == f"expected {'0' * 64}, got {SHA256}, from {url}"
    with pytest.raises(StepFailed):
        locked(tmp_path, Extra("gpu-driver", url=server.url("/gone.run", status(410)), sha256="0" * 64))


def test_locks_a_file_beside_the_manifest(tmp_path: Path) -> None:
    (tmp_path / "handbook.pdf").write_bytes(BODY)
    locks = locked(
        tmp_path,
        Extra("zz", path="handbook.pdf", file="handbook-v2.pdf"),
        Extra("aa", path="handbook.pdf", sha256=SHA256),
    )
    assert [(lock.name, lock.file, lock.sha256, lock.url) for lock in locks] == [
        ("aa", "handbook.pdf", SHA256, ""),
        ("zz", "handbook-v2.pdf", SHA256, ""),
    ]
    assert fetched(tmp_path, locks) == [tmp_path / "handbook.pdf"] * 2


def test_a_file_beside_the_manifest_that_is_missing_or_another_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="is not there"):
        locked(tmp_path, Extra("handbook", path="handbook.pdf"))
    (tmp_path / "handbook.pdf").write_bytes(BODY)
    with pytest.raises(BadInput, match="another file than the manifest says"):
        locked(tmp_path, Extra("handbook", path="handbook.pdf", sha256="0" * 64))
    locks = locked(tmp_path, Extra("handbook", path="handbook.pdf"))
    (tmp_path / "handbook.pdf").write_bytes(BODY + b"x")
    with pytest.raises(DamagedBundle, match="is not what was locked"):
        fetched(tmp_path, locks)
    assert (tmp_path / "handbook.pdf").read_bytes() == BODY + b"x"  # a person's own file is left alone


def test_is_a_kind_of_the_payload() -> None:
    assert "extra" in KINDS
    assert is_path("extras/gpu-driver/driver-570.run", "extra")
    assert not is_path("extras/gpu-driver/driver-570.run", "tool")


def test_lies_under_extras_at_the_site_and_is_not_run(tmp_path: Path) -> None:
    source = tmp_path / "driver.run"
    source.write_bytes(BODY)
    source.chmod(0o755)
    path = "extras/gpu-driver/driver.run"
    item = Item(path, "extra", "gpu-driver", "Own terms", source, SHA256, len(BODY))
    medium = tmp_path / "medium"
    medium.mkdir()
    laid = lay_out([item], 4_000_000)
    hashes = write_volumes(laid, [item], medium, Silent())
    contents = parse_contents(format_contents(laid))
    site = Site(tmp_path / "prefix", tmp_path / "state")
    (tmp_path / "quarantine").mkdir()
    fill_store(site, Medium(medium), contents, hashes, tmp_path / "quarantine", Silent())
    link_release(site, contents, site.release(1))
    placed = site.release(1) / path
    assert placed.read_bytes() == BODY
    assert placed.stat().st_mode & 0o777 == 0o444


def test_stands_in_table_page_and_sbom(tmp_path: Path) -> None:
    papers = make_papers(tmp_path)
    [row] = [row for row in table(papers.lock) if row.component == "extra"]
    assert (row.name, row.licence, row.size) == ("gpu-driver/driver-570.run", "Own terms", 10)
    page = bundle_notes(papers.lock, papers.release, papers.contents, papers.folder)
    for words in ("### Extras", "### 附加文件"):
        section = page.split(words)[1].split("###")[0]
        assert "**gpu-driver** (10 B): Own terms; For boxes without a driver; run by hand." in " ".join(
            section.split()
        )
        assert "extras/gpu-driver/driver-570.run" in section
        assert "https://drivers.example/driver-570.run" in section
    document: dict[str, Any] = json.loads(
        format_sbom(papers.lock, papers.release, papers.contents, papers.sources, papers.folder)
    )
    [component] = [each for each in document["components"] if each["bom-ref"] == "extra:gpu-driver"]
    assert component["name"] == "extras/gpu-driver/driver-570.run"
    assert component["hashes"][0]["content"] == papers.lock.extras[0].sha256
    assert component["licenses"] == [{"license": {"name": "Own terms", "acknowledgement": "declared"}}]


def test_stays_as_it_is_pinned_until_it_is_named(tmp_path: Path) -> None:
    write_channel(tmp_path / "channel")
    (tmp_path / "handbook.pdf").write_bytes(BODY)
    (tmp_path / "bundle.toml").write_text(
        f"""
        [bundle]
        product = "islet-test"
        [target]
        python = "{HERE}"
        [runtime]
        channels = ["./channel"]
        [[extras]]
        name = "handbook"
        path = "handbook.pdf"
        [tools]
        converter = false
        """
    )
    command = ["lock", str(tmp_path / "bundle.toml"), "--cache", str(tmp_path / "cache")]

    def locked_by(*options: str) -> str:
        done = CliRunner().invoke(bundler, [*command, *options])
        assert done.exit_code == 0, done.output
        assert "handbook/handbook.pdf" in done.output
        [extra] = read_lock(tmp_path / "bundle.lock").extras
        return extra.sha256

    assert locked_by() == SHA256
    (tmp_path / "handbook.pdf").write_bytes(BODY[::-1])
    assert locked_by("--keep") == SHA256
    assert locked_by("--upgrade", "handbook") == hashlib.sha256(BODY[::-1]).hexdigest()
    listing = read_listing(tmp_path / "bundle.lock")
    assert [(each.kind, each.path) for each in listing.files][0] == ("extra", "extras/handbook/handbook.pdf")
