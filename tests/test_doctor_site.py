"""The doctor on a real site: damage is found, and the medium mends what is damaged and nothing else."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.real import InstalledSite, RealBundle, in_box, install_command, scratch
from tests.test_doctor import flip

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(small_bundle: RealBundle) -> Iterator[InstalledSite]:
    with scratch("doctor") as place:
        site = InstalledSite(place / "opt", place / "state", small_bundle)
        assert install(site).returncode == 0
        yield site


def install(site: InstalledSite) -> "subprocess.CompletedProcess[str]":
    return in_box(install_command(site.bundle, site.prefix, site.state))


def examine(site: InstalledSite, *options: str) -> tuple[int, dict[str, Any]]:
    """Exit code, and findings by code."""
    done = in_box([site.islet, "doctor", "--json", *options])
    return done.returncode, {finding["code"]: finding for finding in json.loads(done.stdout)}


def test_a_new_site_is_sound_and_every_file_of_its_runtime_is_recorded(site: InstalledSite) -> None:
    _, found = examine(site)
    assert [
        code for code in ("files.store", "files.runtime", "imports", "audit") if not found[code]["good"]
    ] == []
    release = site.prefix / "releases/1"
    there = [path for path in (release / "runtime").rglob("*") if path.is_file() and not path.is_symlink()]
    recorded = (release / "runtime.sums").read_text(encoding="utf-8").splitlines()
    assert (
        sum(not line.startswith("#") for line in recorded) >= found["files.runtime"]["facts"]["files"] > 500
    )
    assert len(there) >= found["files.runtime"]["facts"]["files"]
    done = subprocess.run(["sha256sum", "-c", "--strict", "--quiet", "runtime.sums"], cwd=release)
    assert done.returncode == 0
    assert not (site.state / "doctor/round").exists()


def test_damage_is_found_and_the_same_medium_mends_it(site: InstalledSite) -> None:
    """A bit in the store and a bit in the runtime, one after the other."""
    model = next((site.prefix / "releases/1/models").rglob("*.safetensors"))
    inode = model.stat().st_ino
    untouched = {p: p.stat().st_ino for p in (site.prefix / "store").rglob("*") if p.is_file()}
    flip(model, at=1000)
    code, found = examine(site)
    assert (code, found["files.store"]["good"], found["files.runtime"]["good"]) == (5, False, True)
    assert model.name in found["files.store"]["what"]
    runtime = (site.prefix / "releases/1/runtime/bin/python").stat()
    done = install(site)
    assert done.returncode == 0, done.stderr
    assert model.stat().st_ino != inode
    assert (site.prefix / "releases/1/runtime/bin/python").stat() == runtime, "the runtime was left alone"
    changed = [p for p, ino in untouched.items() if p.stat().st_ino != ino]
    assert len(changed) == 1 and changed[0].samefile(model)
    module = next((site.prefix / "releases/1/runtime").rglob("site-packages/appliance/doctor/stored.py"))
    flip(module, at=10)  # in the docstring: the program still runs
    code, found = examine(site)
    assert (code, found["files.store"]["good"], found["files.runtime"]["good"]) == (5, True, False)
    assert "appliance/doctor/stored.py" in found["files.runtime"]["what"]
    done = install(site)
    assert done.returncode == 0, done.stderr
    _, found = examine(site, "--full")
    assert found["files.store"]["good"] and found["files.runtime"]["good"]
    assert not list((site.prefix / "releases/1").glob("*.damaged"))


def test_a_support_file_is_written_on_a_real_site(site: InstalledSite, tmp_path: Path) -> None:
    path = tmp_path / "support.txt"
    done = in_box([site.islet, "doctor", "--quick", "--support", path])
    assert done.returncode in (0, 5), done.stderr
    text = path.read_text(encoding="utf-8")
    assert text.startswith("ISLET SUPPORT FILE") and '"click ' in text
    assert str(site.prefix) not in text


def test_two_steps_are_trained_on_a_model_made_by_the_installed_runtime(
    installed_site: InstalledSite,
) -> None:
    _, found = examine(installed_site)
    training = found["training"]
    assert (training["good"], training["facts"]["steps"]) == (True, 2), training
    assert found["files.runtime"]["good"] and found["files.runtime"]["facts"]["files"] > 10_000
    assert not list((installed_site.state / "runs").glob(".doctor-*"))
