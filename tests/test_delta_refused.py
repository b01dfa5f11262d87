"""A delta that the site cannot complete is refused by both judges, alike, before anything is written."""

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from appliance.bundle.contents import Contents, format_contents, parse_contents
from appliance.bundle.sums import parse_sums
from appliance.errors import UntrustedBundle
from appliance.site.inventory import inventory
from appliance.site.layout import Site
from bundler.listing import read_held
from tests.attacks.case import to_folder, to_pipe, truncate
from tests.attacks.files import to_nothing
from tests.bundles import WHEEL, Workshop
from tests.deltas import (
    RELEASES,
    SHELLS,
    Shelf,
    body,
    judge_by_python,
    judge_by_shell,
    list_and_sign,
    make_shelf,
    offer,
    put,
    tree,
)


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


def sha256_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def lie_about_size(shop: Workshop) -> None:
    file = shop.bundle / "contents.json"
    text = file.read_text()
    assert text.count('"size": 950}') == 1
    file.write_text(text.replace('"size": 950}', '"size": 951}'))
    list_and_sign(shop)


def stored_runtime(site: Site, shop: Workshop) -> Path:
    return site.stored(parse_sums((shop.bundle / "SHA256SUMS").read_bytes())[RUNTIME])


def replace_runtime(shop: Workshop, sha256: str) -> None:
    """The signers say that the runtime is another file, which the site happens to hold."""
    had = parse_sums((shop.bundle / "SHA256SUMS").read_bytes())[RUNTIME]
    file = shop.bundle / "contents.json"
    contents = parse_contents(file.read_bytes())
    requires = tuple(sorted({*contents.requires, sha256} - {had}))
    file.write_bytes(format_contents(Contents(contents.volumes, contents.entries, requires)))
    list_and_sign(shop, sha256)


def require_no_runtime(shop: Workshop) -> None:
    """The runtime is not there, and nothing says that the site has it."""
    had = parse_sums((shop.bundle / "SHA256SUMS").read_bytes())[RUNTIME]
    change_contents(
        shop, lambda c: Contents(c.volumes, c.entries, tuple(each for each in c.requires if each != had))
    )


RUNTIME = "runtime.tar.gz"
WHEEL_A = "wheels/a-1.1-py3-none-any.whl"
BIG = "models/islet/tiny/model.safetensors"

CASES = {
    "a first install": Case(
        lambda site, shop: shutil.rmtree(site.prefix),
        5,
        "Release 4 is a delta, and nothing is installed here.",
        "it leaves out 7 files",
    ),
    "one required file is not here": Case(
        lambda site, shop: stored(site, WHEEL_A).unlink(),
        5,
        "Release 4 is a delta, and 1 of the 7 files that it leaves out are not here.",
        f"not here: {WHEEL_A}; brought once by release 2",
    ),
    "a file of two releases is not here": Case(
        lambda site, shop: stored(site, BIG).unlink(),
        5,
        "Release 4 is a delta, and 2 of the 7",
        f"not here: models/islet/renamed/model.safetensors, {BIG}; brought once by release 1, 2",
    ),
    "a release that the delta was made against was never here": Case(
        lambda site, shop: (
            shutil.rmtree(site.release(2)),
            [path.unlink() for path in site.store.rglob("*") if path.is_file()],
        ),
        5,
        "Release 4 is a delta, and 7 of the 7",
        f"not here: {RUNTIME}, models/islet/renamed/model.safetensors, {BIG}, ...; brought once by release 1",
    ),
    "no release that is still here brought the file": Case(
        lambda site, shop: (stored(site, WHEEL_A).unlink(), shutil.rmtree(site.release(2))),
        5,
        "Release 4 is a delta, and 1 of the 7",
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
        "Release 4 is a delta, and 1 of the 7",
        WHEEL_A,
    ),
    "the runtime is not here": Case(
        lambda site, shop: stored_runtime(site, shop).unlink(),
        5,
        "Release 4 is a delta, and 1 of the 7 files that it leaves out are not here.",
        f"not here: {RUNTIME}; brought once by release 1, 2",
    ),
    "the runtime was replaced in the store": Case(
        lambda site, shop: overwrite(stored_runtime(site, shop), b"\x1f\x8b\x08\0 a shell for somebody"),
        4,
        f"{RUNTIME} is damaged on this box.",
        "the store's copy no longer has its SHA-256",
    ),
    "the runtime was cut short in the store": Case(
        lambda site, shop: truncate(stored_runtime(site, shop)),
        4,
        f"{RUNTIME} is damaged on this box.",
        "the store's copy no longer has its SHA-256",
    ),
    "the runtime became a link to the same bytes": Case(
        lambda site, shop: to_link(stored_runtime(site, shop)),
        5,
        "Release 4 is a delta, and 1 of the 7",
        f"not here: {RUNTIME}",
    ),
    "the runtime became a link that leads nowhere": Case(
        lambda site, shop: to_nothing(stored_runtime(site, shop)),
        5,
        "Release 4 is a delta, and 1 of the 7",
        f"not here: {RUNTIME}",
    ),
    "the runtime became a pipe": Case(
        lambda site, shop: to_pipe(stored_runtime(site, shop)),
        5,
        "Release 4 is a delta, and 1 of the 7",
        f"not here: {RUNTIME}",
    ),
    "the runtime became a folder": Case(
        lambda site, shop: to_folder(stored_runtime(site, shop)),
        5,
        "Release 4 is a delta, and 1 of the 7",
        f"not here: {RUNTIME}",
    ),
    "the signers name another stored file as the runtime": Case(
        lambda site, shop: replace_runtime(shop, sha256_of(RELEASES[1]["wheels/a-1.0-py3-none-any.whl"][1])),
        3,
        f"{RUNTIME} is not written as it must be.",
        "it is not one whole gzip file",
    ),
    "the runtime is absent, and contents.json does not require it": Case(
        lambda site, shop: require_no_runtime(shop),
        4,
        f"{RUNTIME} is missing.",
        "the bundle is not whole without it",
    ),
    "the runtime is required, and it is the appliance's wheel that is absent": Case(
        lambda site, shop: (shop.bundle / WHEEL).unlink(),
        4,
        f"{WHEEL} is missing.",
        "the bundle is not whole without it",
    ),
    "the runtime is required, and another lies there": Case(
        lambda site, shop: (shop.bundle / RUNTIME).write_bytes(b"another"),
        4,
        f"{RUNTIME} is damaged.",
        "its SHA-256 is not the one that was signed",
    ),
    "the runtime is required, and a link to the store's lies there": Case(
        lambda site, shop: (shop.bundle / RUNTIME).symlink_to(stored_runtime(site, shop)),
        3,
        f"{RUNTIME} is not a plain file.",
        "a bundle holds plain files only",
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
    assert "hashing 7 files that this delta takes from the store" in result.stdout


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


@pytest.mark.slow
@pytest.mark.parametrize("shell", SHELLS)
def test_a_runtime_that_was_put_beside_the_delta_is_taken_from_there(
    shelf: Shelf, offered: tuple[Site, Workshop], shell: str
) -> None:
    site, shop = offered
    stored_runtime(site, shop).unlink()
    shutil.copy(shelf.full(1) / RUNTIME, shop.bundle / RUNTIME)
    assert judge_by_python(shop, site, shop.anchor()) is None
    result = judge_by_shell(SHELLS[shell], shop, site, shop.anchor())
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.slow
@pytest.mark.parametrize("shell", SHELLS)
def test_a_delta_that_is_installed_is_not_asked_for_its_runtime_again(
    offered: tuple[Site, Workshop], tmp_path: Path, shell: str
) -> None:
    site, shop = offered
    put(site, shop.bundle, tmp_path / "quarantine")
    to_pipe(stored_runtime(site, shop))  # who opens it waits for ever
    result = judge_by_shell(SHELLS[shell], shop, site, shop.anchor())
    assert (result.returncode, result.stderr) == (0, "")
    assert "this box was not looked at in full" in result.stdout


def test_the_full_bundle_repairs_what_a_delta_was_refused_for(
    shelf: Shelf, offered: tuple[Site, Workshop], tmp_path: Path
) -> None:
    site, shop = offered
    overwrite(stored(site, WHEEL_A), b"rot")
    overwrite(stored_runtime(site, shop), b"rot")
    stored(site, BIG).unlink()
    put(site, shelf.full(4), tmp_path / "quarantine")
    assert stored_runtime(site, shop).read_bytes() == (shelf.full(4) / RUNTIME).read_bytes()
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
    list_and_sign(shop)


def rewrite(shop: Workshop, change: Callable[[str], str]) -> None:
    file = shop.bundle / "contents.json"
    text = change(file.read_text())
    assert text != file.read_text()
    file.write_text(text)
    list_and_sign(shop)


def carried_hash(contents: Contents) -> str:
    return next(entry.sha256 for entry in contents.entries if entry.parts)


def replace_hash(shop: Workshop, by: str) -> None:
    had = parse_sums((shop.bundle / "SHA256SUMS").read_bytes())[RUNTIME]
    change_contents(shop, lambda c: Contents(c.volumes, c.entries, tuple(sorted({*c.requires, by} - {had}))))


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
    "requires names two hashes that no file has": lambda shop: change_contents(
        shop, lambda c: Contents(c.volumes, c.entries, tuple(sorted((*c.requires, "e" * 64, "f" * 64))))
    ),
    "requires names another hash than the runtime's": lambda shop: replace_hash(shop, "f" * 64),
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
