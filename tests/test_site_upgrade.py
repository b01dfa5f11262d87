"""New media at an installed site: the plan, what may be overridden, and that both judges agree on it."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.bundle.medium import Medium
from appliance.bundle.verify import Acceptable, verify
from appliance.errors import ApplianceError, DamagedBundle, HostNotReady
from appliance.progress import Silent
from appliance.site.layout import Site
from appliance.site.lock import alone, kernel_lock
from appliance.site.trust import read_trust, record_trust
from appliance.site.upgrade import judge_lists, plan_upgrade, resident_installer
from bundler.sources import file_sha256
from tests.bundles import FAR, INSTALLER, PAST, Workshop, make_workshop
from tests.deltas import RELEASES, SHELLS, Shelf, make_shelf, put, site_in


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    return make_shelf(tmp_path_factory.mktemp("shelf"))


@pytest.fixture
def site(shelf: Shelf, tmp_path: Path) -> Site:
    """A site whose release in use is number 1."""
    made = site_in(tmp_path)
    put(made, shelf.full(1), tmp_path / "quarantine")
    return made


def test_the_plan_says_what_changes_what_is_read_and_what_stays(shelf: Shelf, site: Site) -> None:
    medium = Medium(shelf.full(2))
    plan = plan_upgrade(site, medium, judge_lists(medium, read_trust(site)), Silent())
    assert (plan.installed, plan.release.number, plan.is_here, plan.kept) == (1, 2, False, (1,))
    told = {(c.kind, c.name): (c.what, c.was, c.now) for c in plan.changes}
    assert told["wheel", "a"] == ("changed", "1.0", "1.1")
    assert told["wheel", "empty"] == ("new", "", "1.0")
    assert told["tool", "llama.cpp converter"] == ("changed", "", "")
    assert told["model", "islet/tiny"] == ("changed", "", "")  # its config went
    volumes = {path.name: path.stat().st_size for path in shelf.full(2).glob("payload.*")}
    # The large model is here: of the two volumes only the one that brings something is read.
    assert plan.read_bytes < sum(volumes.values())
    here = sum(len(content) for path, (_, content, _) in RELEASES[2].items() if path in RELEASES[1])
    assert here > 2_000_000 and plan.read_bytes < sum(volumes.values()) - 1_000_000


def test_the_plan_for_the_release_in_use_copies_nothing(shelf: Shelf, site: Site) -> None:
    medium = Medium(shelf.full(1))
    plan = plan_upgrade(site, medium, judge_lists(medium, read_trust(site)), Silent())
    assert (plan.is_here, plan.room_bytes, plan.kept) == (True, 0, ())
    assert plan.changes == ()


def test_a_plan_that_lacks_room_is_refused_with_the_bytes(shelf: Shelf, site: Site, tmp_path: Path) -> None:
    shop = Workshop(tmp_path / "shop")
    shutil.copytree(shelf.shop.root, shop.root)
    shop.release(number=5, disk_bytes=shutil.disk_usage(tmp_path).free + 9_000_000_000)
    shop.list_and_sign()
    medium = Medium(shop.bundle)
    judged = judge_lists(medium, read_trust(site))
    with pytest.raises(HostNotReady, match="has too little room"):
        plan_upgrade(site, medium, judged, Silent())


def test_the_resident_installer_must_be_the_one_that_was_signed(site: Site) -> None:
    with pytest.raises(HostNotReady, match=r"keeps no install\.sh"):
        resident_installer(site)
    kept = site.release(1) / "install.sh"
    shutil.copyfile(INSTALLER, kept)
    facts = json.loads((site.release(1) / "installed.json").read_text())
    facts["files"] = {"install.sh": file_sha256(INSTALLER)}
    (site.release(1) / "installed.json").write_text(json.dumps(facts))
    assert resident_installer(site) == kept
    kept.write_text(kept.read_text() + "\n")
    with pytest.raises(DamagedBundle, match="damaged on this box"):
        resident_installer(site)


# --- what the administrator may take upon himself -----------------------------------------------


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return make_workshop(tmp_path_factory.mktemp("upgrade") / "shop")


@pytest.fixture
def shop(honest: Workshop, tmp_path: Path) -> Workshop:
    """A copy of the honest bundle, release 2, to be changed."""
    copy = Workshop(tmp_path / "shop")
    shutil.copytree(honest.root, copy.root)
    return copy


def had_release(shop: Workshop, site: Site, number: int) -> None:
    """Let the site remember that it had release `number`, from this sender."""
    shop.release(number=number)
    shop.list_and_sign()
    found = verify(Medium(shop.bundle), read_trust(site, shop.anchor()))
    site.prefix.mkdir(parents=True)
    record_trust(site, (shop.bundle / "root.1").read_bytes(), found.release, found.sums_sha256)


def by_python(shop: Workshop, site: Site, accept: frozenset[Acceptable]) -> ApplianceError | None:
    try:
        verify(Medium(shop.bundle), read_trust(site, shop.anchor(), accept))
    except ApplianceError as error:
        return error
    return None


def by_shell(
    shell: list[str], shop: Workshop, site: Site, options: list[str]
) -> "subprocess.CompletedProcess[str]":
    where = ["--prefix", site.prefix, "--state", site.state, "--anchor", shop.anchor()]
    return subprocess.run(
        [*shell, INSTALLER, "--check", *where, *options, shop.bundle],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )


def make_expired(shop: Workshop, site: Site) -> None:
    shop.release(expires=PAST)


def make_older(shop: Workshop, site: Site) -> None:
    had_release(shop, site, 7)
    shop.release(number=6)


def make_both(shop: Workshop, site: Site) -> None:
    had_release(shop, site, 7)
    shop.release(number=6, expires=PAST)


def make_another(shop: Workshop, site: Site) -> None:
    had_release(shop, site, 7)
    shop.release(number=7, expires=FAR, disk_bytes=1001)


def make_foreign(shop: Workshop, site: Site) -> None:
    had_release(shop, site, 7)
    shop.release(number=8, product="islet-other")


OVERRIDES = {
    "expired, accepted": (make_expired, ["expired"], None),
    "expired, both accepted": (make_expired, ["older", "expired"], None),
    "expired, the other accepted": (make_expired, ["older"], "Release 2 has expired."),
    "older, accepted": (make_older, ["older"], None),
    "older, the other accepted": (make_older, ["expired"], "Release 6 is older than this site."),
    "older and expired, both accepted": (make_both, ["expired", "older"], None),
    "older and expired, one accepted": (make_both, ["older"], "Release 6 has expired."),
    "another list under a number that was had": (
        make_another,
        ["expired", "older"],
        "This is another release 7.",
    ),
    "another product": (make_foreign, ["expired", "older"], "This bundle is islet-other."),
}


@pytest.mark.parametrize("name", OVERRIDES)
def test_both_judges_accept_what_is_overridden_and_nothing_else(
    name: str, shop: Workshop, tmp_path: Path
) -> None:
    make, accept, refusal = OVERRIDES[name]
    site = Site(tmp_path / "opt", tmp_path / "state")
    make(shop, site)
    shop.list_and_sign()
    options = [word for what in accept for word in ("--accept", what)] + ["--reason", "ward 7 needs it"]
    error = by_python(shop, site, frozenset(accept))  # type: ignore[arg-type]
    told = by_shell(SHELLS["busybox" if len(accept) > 1 else "dash"], shop, site, options)
    if refusal is None:
        assert (error, told.returncode, told.stderr) == (None, 0, "")
    else:
        assert error is not None and error.what == refusal
        assert (told.returncode, told.stderr) == (error.exit_code, f"islet: {error}\n")


def test_a_root_that_has_expired_is_never_accepted(tmp_path: Path) -> None:
    shop = Workshop(tmp_path / "shop")
    shutil.copytree(make_workshop(tmp_path / "other").root, shop.root)
    root = shop.roots / "root.1"
    shutil.rmtree(shop.roots)
    shop.add_root(root=["root"], release=["release"], signers=["root"], days=-1)
    assert root.exists()
    shop.list_and_sign()
    site = Site(tmp_path / "opt", tmp_path / "state")
    told = by_shell(SHELLS["dash"], shop, site, ["--accept", "expired", "--reason", "x"])
    error = by_python(shop, site, frozenset(["expired"]))
    assert error is not None and error.what == "root.1 has expired."
    assert (told.returncode, told.stderr) == (3, f"islet: {error}\n")


@pytest.mark.parametrize(
    ("options", "what"),
    [
        (["--accept", "expired"], "--accept needs --reason, in words that an auditor will read."),
        (["--accept", "expired", "--reason", "  "], "--accept needs --reason, in words"),
        (["--accept", "tampered", "--reason", "x"], "--accept takes expired or older."),
        (["--reason", "x"], "--reason goes with --accept."),
        (["--accept", "older", "--reason", "a\nb"], "--reason is one line"),
        (["--accept", "older", "--reason", "x" * 501], "--reason is one line"),
    ],
)
def test_an_override_without_proper_words_is_usage(
    options: list[str], what: str, honest: Workshop, tmp_path: Path
) -> None:
    told = by_shell(SHELLS["dash"], honest, Site(tmp_path / "opt", tmp_path / "state"), options)
    assert told.returncode == 2
    assert told.stderr.startswith(f"islet: {what}")


def test_a_medium_exchanged_after_the_plan_is_refused(honest: Workshop, tmp_path: Path) -> None:
    site = Site(tmp_path / "opt", tmp_path / "state")
    right = file_sha256(honest.bundle / "SHA256SUMS")
    assert by_shell(SHELLS["dash"], honest, site, ["--sums", right]).returncode == 0
    told = by_shell(SHELLS["dash"], honest, site, ["--sums", "0" * 64])
    assert (told.returncode, told.stderr.splitlines()[0]) == (
        3,
        "islet: This is not the bundle whose plan was shown.",
    )


def test_an_older_release_does_not_lower_what_the_site_remembers(shop: Workshop, tmp_path: Path) -> None:
    site = Site(tmp_path / "opt", tmp_path / "state")
    had_release(shop, site, 7)
    had = (site.prefix / "trust/state").read_text()
    shop.release(number=6)
    shop.list_and_sign()
    found = verify(Medium(shop.bundle), read_trust(site, accept=frozenset(["older"])))
    record_trust(site, (shop.bundle / "root.1").read_bytes(), found.release, found.sums_sha256)
    assert (site.prefix / "trust/state").read_text() == had


# --- one at a time ------------------------------------------------------------------------------


@pytest.fixture
def prefix(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path / "opt", tmp_path / "state")
    site.prefix.mkdir()
    yield site


def test_who_holds_the_site_is_named(prefix: Site) -> None:
    with alone(prefix, "gc"), pytest.raises(HostNotReady) as caught, kernel_lock(prefix, "install"):
        pass
    assert caught.value.what == "islet gc is running here."
    assert caught.value.why == f"process {os.getpid()} is at work in {prefix.prefix}"
    with alone(prefix, "gc"):
        pass
    assert [path.name for path in prefix.prefix.iterdir()] == [".lock"]


def test_install_sh_is_refused_while_another_command_is_at_work(honest: Workshop, tmp_path: Path) -> None:
    site = Site(tmp_path / "opt", tmp_path / "state")
    site.prefix.mkdir()
    command = ["sh", INSTALLER, "--prefix", site.prefix, "--state", site.state, "--anchor", honest.anchor()]
    with alone(site, "gc"):
        told = subprocess.run([*command, honest.bundle], capture_output=True, text=True)
    assert (told.returncode, told.stderr.splitlines()[0]) == (5, "islet: islet gc is running here.")


def test_another_command_is_refused_while_install_sh_is_at_work(prefix: Site) -> None:
    # Two commands: of one alone a shell makes itself that program, and is no install.sh any more.
    child = subprocess.Popen(["sh", "-c", "echo; sleep 60; :", "install.sh"], stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()  # a program that was just started has no command line for a moment
    left = prefix.prefix / f"quarantine.{child.pid}"
    try:
        left.mkdir()
        with pytest.raises(HostNotReady, match="Another install is running here"), alone(prefix, "gc"):
            pass
    finally:
        child.kill()
        child.wait()
        child.stdout.close()
    with alone(prefix, "gc"):  # it has ended: what it left does not count, and goes
        assert not left.exists()


def test_a_number_that_was_given_anew_is_nobody(prefix: Site) -> None:
    left = prefix.prefix / f"quarantine.{os.getppid()}"
    left.mkdir()
    (left / ".at-work").write_text("1 gc\n")  # started at the first tick after boot: the parent was not
    with alone(prefix, "gc"):
        assert not left.exists()
