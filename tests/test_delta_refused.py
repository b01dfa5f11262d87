"""A delta that the site cannot complete is refused by both judges, alike, before anything is written."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from appliance.bundle.contents import Contents, format_contents, parse_contents
from appliance.errors import UntrustedBundle
from appliance.site.inventory import inventory
from appliance.site.layout import Site
from bundler.listing import read_held
from tests.bundles import Workshop
from tests.deltas import SHELLS, Shelf, body, judge_by_python, judge_by_shell, make_shelf, offer, put, tree


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    return make_shelf(tmp_path_factory.mktemp("shelf"))


@pytest.fixture
def offered(shelf: Shelf, tmp_path: Path) -> tuple[Site, Workshop]:
    return offer(shelf, tmp_path)


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


@pytest.mark.slow
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
