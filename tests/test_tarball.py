"""A bundle as one tar: stock tar unpacks a folder that verifies, and nothing else is written."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.errors import ApplianceError, BadInput, DamagedBundle, UntrustedBundle
from appliance.progress import Silent
from bundler.tarball import write_tar
from tests.deltas import Shelf, make_shelf
from tests.real import bundler


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    return make_shelf(tmp_path_factory.mktemp("shelf"))


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
