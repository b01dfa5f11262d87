"""After the installation: rollback, inventory, audit, doctor; on real folders, without a runtime."""

import hashlib
import json
from pathlib import Path

import pytest

from appliance.bundle.contents import format_contents, parse_contents
from appliance.bundle.medium import Medium
from appliance.bundle.sums import parse_sums
from appliance.errors import HostNotReady
from appliance.progress import Silent
from appliance.site import audit
from appliance.site.inventory import inventory
from appliance.site.layout import Site
from appliance.site.preflight import look_at_box
from appliance.site.releases import current_release, installed_releases, roll_back
from appliance.site.store import fill_store, link_release
from tests.bundles import Workshop, make_workshop


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return make_workshop(tmp_path_factory.mktemp("site") / "shop")


@pytest.fixture
def site(shop: Workshop, tmp_path: Path) -> Site:
    """Two releases of the same files, the second in use."""
    site = Site(tmp_path / "opt", tmp_path / "state")
    contents = parse_contents((shop.bundle / "contents.json").read_bytes())
    hashes = parse_sums((shop.bundle / "SHA256SUMS").read_bytes())
    quarantine = tmp_path / "quarantine"
    quarantine.mkdir()
    site.runs.mkdir(parents=True)
    for number in (1, 2):
        fill_store(site, Medium(shop.bundle), contents, hashes, quarantine, Silent())
        folder = site.release(number)
        folder.mkdir(parents=True)
        link_release(site, contents, folder)
        (folder / "contents.json").write_bytes(format_contents(contents))
        facts = {
            "number": number,
            "product": "islet-test",
            "created": "2026-11-01T00:00:00Z",
            "sums-sha256": "0" * 64,
        }
        (folder / "installed.json").write_text(json.dumps(facts))
    assert list(quarantine.iterdir()) == []
    site.current.symlink_to("releases/2")
    return site


def test_the_store_holds_every_file_once_and_read_only(site: Site, shop: Workshop) -> None:
    stored = [path for path in site.store.rglob("*") if path.is_file()]
    assert {path.parent.name + path.name for path in stored} == {
        hashlib.sha256(path.read_bytes()).hexdigest() for path in (shop.root / "sources").iterdir()
    }
    assert {path.stat().st_nlink for path in stored} == {3}
    assert {path.stat().st_mode & 0o777 for path in stored} == {0o444}


def test_rollback_is_one_rename_and_is_audited(site: Site) -> None:
    assert roll_back(site).number == 1
    assert site.current.readlink() == Path("releases/1")
    assert audit.check(site.audit).entries[-1]["event"] == "rollback"
    with pytest.raises(HostNotReady, match="no release before this one"):
        roll_back(site)


def test_rollback_to_a_release_that_is_not_whole_is_refused(site: Site) -> None:
    (site.release(1) / "installed.json").unlink()
    with pytest.raises(HostNotReady) as caught:
        roll_back(site, 1)
    assert "none" in caught.value.why
    assert site.current.readlink() == Path("releases/2")


def test_a_site_whose_current_release_is_gone_says_what_to_do(site: Site) -> None:
    site.current.unlink()
    with pytest.raises(HostNotReady, match="No release is in use"):
        current_release(site)


def test_inventory_lists_every_file_of_every_release(site: Site, shop: Workshop) -> None:
    held = inventory(site)
    assert (held["product"], held["current"]) == ("islet-test", 2)
    assert [release["number"] for release in held["releases"]] == [1, 2]
    paths = {file["path"]: file["size"] for file in held["releases"][1]["files"]}
    assert paths["models/islet/tiny/model.safetensors"] == 2_500_000
    assert len(paths) == len(list((shop.root / "sources").iterdir()))


def test_releases_that_were_cut_off_do_not_count(site: Site) -> None:
    site.release(3).mkdir()
    assert [release.number for release in installed_releases(site)] == [1, 2]


def test_every_finding_about_the_box_says_why_and_next(site: Site) -> None:
    findings = look_at_box(site)
    assert {finding.code for finding in findings} >= {"disk.room", "memory", "gpu.driver", "clock", "rights"}
    assert all(finding.why and finding.next_step for finding in findings if not finding.good)
