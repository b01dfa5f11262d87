"""k of n signers, roots that change, keys that are lost: what both judges say and what signers are told."""

import hashlib
import itertools
import shutil
from pathlib import Path

import pytest

from appliance.bundle.release import Release
from appliance.bundle.root import parse_root
from appliance.errors import ApplianceError, BadInput, DamagedBundle, UntrustedBundle
from appliance.progress import Silent
from appliance.site.layout import Site
from appliance.site.trust import record_trust
from bundler.roots import Change, check_counts, root_tallies, rotate_root, sign_root
from bundler.sign import add_signature, check_signer, read_unsigned, release_tally, verify_bundle
from bundler.signer import write_signature
from bundler.tally import signature_path
from tests.attacks.case import SHELLS, flip, judge_by_python, judge_by_shell
from tests.bundles import PAST, Workshop, make_workshop

ROOT_KEYS, RELEASE_KEYS = ["li", "chen", "wu"], ["anna", "bo", "zhao"]
ROTATIONS = 20


@pytest.fixture(scope="module")
def two_of_three(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """A built bundle that nobody has signed, and root.1: two of three for roots and for releases."""
    shop = make_workshop(tmp_path_factory.mktemp("team") / "shop")
    for old in [*shop.bundle.glob("root.*"), *shop.bundle.glob("SHA256SUMS.sig.*")]:
        old.unlink()
    shutil.rmtree(shop.roots)
    shop.add_root(root=ROOT_KEYS, release=RELEASE_KEYS, signers=["chen", "li"], threshold=2)
    for name in ("li2", "anna2", "stranger"):
        shop.key(name)
    return shop


@pytest.fixture
def team(two_of_three: Workshop, tmp_path: Path) -> Workshop:
    shutil.copytree(two_of_three.root, tmp_path / "shop")
    return Workshop(tmp_path / "shop")


def site_of(shop: Workshop, *, had: int = 0, believes: str = "root.1") -> Site:
    """A site before its first install, or one that has had release `had` with the list that lies there."""
    site = Site(shop.root / "prefix", shop.root / "state")
    if had:
        site.prefix.mkdir(exist_ok=True)
        sums = hashlib.sha256((shop.bundle / "SHA256SUMS").read_bytes()).hexdigest()
        release = Release("islet-test", had, "2026-10-01T00:00:00Z", PAST, 1, 0)
        record_trust(site, (shop.roots / believes).read_bytes(), release, sums)
    return site


def judge(shop: Workshop, site: Site, anchor: str | None = None) -> ApplianceError | None:
    """What both judges say, the shell's under dash and busybox; they must say the same."""
    anchor = anchor or shop.anchor()
    error = judge_by_python(shop, site, anchor)
    expected = (error.exit_code, f"islet: {error}\n") if error else (0, "")
    for shell in ("dash", "busybox"):
        result = judge_by_shell(SHELLS[shell], shop, site, anchor)
        assert (result.returncode, result.stderr) == expected, shell
    return error


def sign(shop: Workshop, name: str, folder: Path | None = None) -> Path:
    """Sign as the command does."""
    signer = shop.signer(name)
    check_signer(folder or shop.bundle, shop.roots, signer.public)
    return add_signature(read_unsigned(folder or shop.bundle, shop.roots, Silent()), signer)


def rotate(shop: Workshop, change: Change, *signers: str, days: int = 3650) -> Path:
    path = rotate_root(shop.roots, change, days=days)
    for name in signers:
        sign_root(shop.roots, shop.signer(name))
    return path


def keyid(shop: Workshop, name: str) -> str:
    return shop.signer(name).public.keyid


# --- k of n -------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("first, second", list(itertools.permutations(RELEASE_KEYS, 2)))
def test_two_of_three_sign_one_after_the_other_in_any_order(team: Workshop, first: str, second: str) -> None:
    sign(team, first)
    refused = judge(team, site_of(team))
    assert isinstance(refused, UntrustedBundle)
    assert (refused.what, refused.why) == (
        "SHA256SUMS is not signed by enough release keys of root.1.",
        "1 of 2 needed",
    )
    sign(team, second)
    assert judge(team, site_of(team)) is None


def test_signatures_made_at_two_places_come_together_as_files(team: Workshop, tmp_path: Path) -> None:
    for name in ("zhao", "bo"):
        shutil.copytree(team.bundle, tmp_path / name)
    made = [sign(team, name, tmp_path / name) for name in ("zhao", "bo")]
    for path in [*made, *(tmp_path / "bo").glob("root.*")]:
        shutil.copyfile(path, team.bundle / path.name)
    assert judge(team, site_of(team)) is None


@pytest.mark.slow
def test_all_three_may_sign(team: Workshop) -> None:
    for name in RELEASE_KEYS:
        sign(team, name)
    assert judge(team, site_of(team)) is None


def test_the_tally_names_who_has_signed_and_who_may(team: Workshop) -> None:
    sign(team, "bo")
    tally = release_tally(team.bundle, check_counts(team.roots))
    people = {keyid(team, name): name for name in RELEASE_KEYS}
    assert tally.lines(people) == [
        "SHA256SUMS: 1 of 2 signatures by release keys of root.1; 1 more wanted",
        f"  signed    {keyid(team, 'bo')}  bo",
        f"  may sign  {keyid(team, 'anna')}  anna",
        f"  may sign  {keyid(team, 'zhao')}  zhao",
    ]


@pytest.mark.slow
def test_a_key_that_signs_twice_is_refused_and_counts_once(team: Workshop) -> None:
    path = sign(team, "anna")
    with pytest.raises(BadInput, match="has signed SHA256SUMS"):
        sign(team, "anna")
    write_signature(team.bundle / "SHA256SUMS", team.signer("anna"))  # ECDSA: other bytes, same key
    assert "1 of 2 needed" in str(judge(team, site_of(team)))
    shutil.copyfile(path, signature_path(team.bundle / "SHA256SUMS", team.signer("bo").public))
    refused = judge(team, site_of(team))
    assert refused is not None and refused.what == f"SHA256SUMS.sig.{keyid(team, 'bo')} does not verify."
    assert release_tally(team.bundle, check_counts(team.roots)).signed == (team.signer("anna").public,)


@pytest.mark.slow
def test_a_signature_of_ones_own_that_does_not_verify_is_made_again(team: Workshop) -> None:
    flip(sign(team, "anna"))
    sign(team, "anna")
    sign(team, "bo")
    assert judge(team, site_of(team)) is None


def test_nobody_signs_beside_a_signature_that_every_site_would_refuse(team: Workshop) -> None:
    flip(sign(team, "anna"))
    with pytest.raises(BadInput, match=f"sig.{keyid(team, 'anna')} does not verify"):
        sign(team, "bo")
    write_signature(team.bundle / "SHA256SUMS", team.signer("stranger"))
    with pytest.raises(BadInput, match=f"sig.{keyid(team, 'stranger')} is by a key that may not sign"):
        sign(team, "anna")


@pytest.mark.parametrize("name", ["stranger", "li"])
def test_a_key_that_is_no_release_key_leaves_nothing(team: Workshop, name: str) -> None:
    with pytest.raises(BadInput, match="may not sign SHA256SUMS"):
        sign(team, name)
    assert sorted(team.bundle.glob("SHA256SUMS.sig.*")) == []


def test_a_folder_that_changed_is_not_signed(team: Workshop) -> None:
    changes = {
        "payload.000.tar is damaged.": lambda: flip(team.bundle / "payload.000.tar", 700),
        "autorun.inf is not in the signed list.": lambda: (team.bundle / "autorun.inf").touch(),
        "runtime.tar.gz is missing.": lambda: (team.bundle / "runtime.tar.gz").unlink(),
    }
    for what, change in changes.items():
        kept = team.root / "kept"
        shutil.copytree(team.bundle, kept)
        change()
        with pytest.raises((DamagedBundle, UntrustedBundle)) as refused:
            sign(team, "anna")
        assert refused.value.what == what
        assert refused.value.next_step == "Do not sign it. Build it, or copy it, again."
        assert sorted(team.bundle.glob("SHA256SUMS.sig.*")) == []
        shutil.rmtree(team.bundle)
        kept.rename(team.bundle)


def test_a_list_that_changes_between_showing_and_signing_is_not_signed(team: Workshop) -> None:
    shown = read_unsigned(team.bundle, team.roots, Silent())
    team.release(number=3)
    team.relist()
    with pytest.raises(BadInput, match="changed while it was read"):
        add_signature(shown, team.signer("anna"))
    assert sorted(team.bundle.glob("SHA256SUMS.sig.*")) == []


def test_what_is_shown_is_what_will_be_signed(team: Workshop) -> None:
    digest = hashlib.sha256((team.bundle / "SHA256SUMS").read_bytes()).hexdigest()
    lines = read_unsigned(team.bundle, team.roots, Silent()).lines()
    assert lines[:3] == [
        "islet-test, release 2",
        "  made        2026-11-01T00:00:00Z",
        "  expires     2099-01-01T00:00:00Z",
    ]
    assert "  models      2 files, 2.5 MB" in lines
    assert digest in "".join(lines).replace(" ", "").replace("SHA256SUMS", "")


def test_an_older_copy_of_the_roots_is_not_signed_against(team: Workshop, tmp_path: Path) -> None:
    older = tmp_path / "older"
    shutil.copytree(team.roots, older)
    rotate(team, Change(), "li", "wu")
    sign(team, "anna")
    with pytest.raises(BadInput, match="root.2 is not the one in"):
        check_signer(team.bundle, older, team.signer("bo").public)


# --- expiry and signing again -------------------------------------------------------------------


@pytest.mark.slow
def test_an_expired_release_is_neither_signed_nor_installed(team: Workshop) -> None:
    team.release(expires=PAST)
    team.relist()
    with pytest.raises(UntrustedBundle, match="Release 2 has expired"):
        sign(team, "anna")
    team.resign("anna", "bo")
    refused = judge(team, site_of(team))
    assert refused is not None
    assert (refused.exit_code, refused.what) == (3, "Release 2 has expired.")
    assert refused.why == f"it was good until {PAST}"


@pytest.mark.slow
def test_an_expired_root_is_put_right_by_the_next_one(team: Workshop) -> None:
    rotate(team, Change(), "li", "chen", days=-1)
    with pytest.raises(BadInput, match=r"root\.2 has expired"):
        sign(team, "anna")
    team.resign("anna", "bo")
    refused = judge(team, site_of(team))
    assert refused is not None and refused.what == "root.2 has expired."
    rotate(team, Change(), "wu", "li")
    for path in team.bundle.glob("SHA256SUMS.sig.*"):
        path.unlink()
    for name in ("anna", "bo"):
        sign(team, name)
    assert judge(team, site_of(team)) is None
    assert judge(team, site_of(team, had=1)) is None


@pytest.mark.slow
def test_a_release_signed_again_is_the_same_release(team: Workshop) -> None:
    team.resign("anna", "bo")
    before = {path.name: path.read_bytes() for path in team.bundle.glob("SHA256SUMS.sig.*")}
    site = site_of(team, had=2)
    team.resign("bo", "anna")
    after = {path.name: path.read_bytes() for path in team.bundle.glob("SHA256SUMS.sig.*")}
    assert before.keys() == after.keys() and before != after
    assert judge(team, site) is None
    team.resign("zhao", "bo")
    assert judge(team, site) is None


@pytest.mark.slow
def test_another_list_under_a_number_that_was_had_is_refused_whoever_signs(team: Workshop) -> None:
    site = site_of(team, had=2)
    team.release(created="2026-11-02T00:00:00Z")
    team.relist()
    for name in RELEASE_KEYS:
        sign(team, name)
    refused = judge(team, site)
    assert refused is not None
    assert (refused.exit_code, refused.what) == (3, "This is another release 2.")


# --- roots --------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_root_counts_when_the_threshold_of_both_sides_has_signed(team: Workshop) -> None:
    """root.2 has three new root keys: two of the old and two of the new must sign."""
    change = Change(
        add_root=tuple(team.public(name) for name in ("li2", "chen2", "wu2")),
        remove=tuple(keyid(team, name) for name in ROOT_KEYS),
    )
    path = rotate(team, change)
    for name, complete in (
        ("li", [False, False]),
        ("li2", [False, False]),
        ("wu2", [True, False]),
        ("chen", [True, True]),
    ):
        with pytest.raises(BadInput, match=r"root\.2 cannot be used yet"):
            check_counts(team.roots)
        sign_root(team.roots, team.signer(name))
        assert [tally.complete for tally in root_tallies(team.roots)] == complete
    assert check_counts(team.roots) == parse_root("root.2", path.read_bytes())
    team.resign("anna", "zhao")
    assert judge(team, site_of(team, had=1)) is None


def test_a_lost_root_key_is_replaced_by_the_other_two(team: Workshop) -> None:
    change = Change(add_root=(team.public("li2"),), remove=(keyid(team, "li"),))
    rotate(team, change, "chen", "wu")
    team.resign("anna", "bo")
    assert judge(team, site_of(team, had=1)) is None
    with pytest.raises(BadInput, match="has signed root.2"):
        sign_root(team.roots, team.signer("wu"))


@pytest.mark.slow
def test_one_root_key_of_two_needed_changes_nothing(team: Workshop) -> None:
    change = Change(add_root=(team.public("li2"),), remove=(keyid(team, "li"), keyid(team, "chen")))
    rotate(team, change, "wu", "li2")
    team.resign("anna", "bo")
    refused = judge(team, site_of(team, had=1))
    assert refused is not None
    assert (refused.what, refused.why) == (
        "root.2 is not signed by enough root keys of root.1.",
        "1 of 2 needed",
    )


@pytest.mark.slow
def test_a_lost_release_key_is_replaced_and_the_retired_one_is_refused(team: Workshop) -> None:
    team.resign("anna", "bo")
    assert judge(team, site_of(team)) is None
    change = Change(add_release=(team.public("anna2"),), remove=(keyid(team, "anna"),))
    rotate(team, change, "chen", "wu")
    for path in team.roots.glob("root.2*"):
        shutil.copyfile(path, team.bundle / path.name)
    retired = judge(team, site_of(team, had=1))
    assert retired is not None
    assert retired.exit_code == 3
    assert retired.what == f"SHA256SUMS.sig.{keyid(team, 'anna')} is by a key that may not sign SHA256SUMS."
    with pytest.raises(BadInput, match="may not sign SHA256SUMS"):
        sign(team, "anna")
    signature_path(team.bundle / "SHA256SUMS", team.signer("anna").public).unlink()
    sign(team, "anna2")
    assert judge(team, site_of(team, had=1)) is None


def test_roots_that_no_site_would_accept_are_not_written(team: Workshop) -> None:
    wrong = {
        "a threshold is higher": Change(remove=(keyid(team, "li"), keyid(team, "wu"))),
        "a key stands in it twice": Change(add_root=(team.public("anna"),)),
        "does not name it": Change(remove=("0" * 16,)),
    }
    for why, change in wrong.items():
        with pytest.raises(BadInput) as refused:
            rotate_root(team.roots, change)
        assert why in refused.value.why
    assert not (team.roots / "root.2").exists()


@pytest.fixture(scope="module")
def long_chain(two_of_three: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """root.1 to root.21: each drops the oldest root key and the oldest release key and adds new ones."""
    folder = tmp_path_factory.mktemp("chain") / "shop"
    shutil.copytree(two_of_three.root, folder)
    shop = Workshop(folder)
    roots, releases = list(ROOT_KEYS), list(RELEASE_KEYS)
    for number in range(1, ROTATIONS + 1):
        roots.append(f"root{number}")
        releases.append(f"release{number}")
        change = Change(
            (shop.public(roots[-1]),),
            (shop.public(releases[-1]),),
            (keyid(shop, roots.pop(0)), keyid(shop, releases.pop(0))),
        )
        rotate(shop, change, roots[0], roots[1])  # the two that stay are enough for both sides
    shop.resign(releases[0], releases[2])
    return shop


@pytest.mark.slow
@pytest.mark.parametrize("believes", ["root.1", "root.11", "root.20", "root.21"])
def test_a_site_that_slept_through_rotations_follows_them_all(long_chain: Workshop, believes: str) -> None:
    site = site_of(long_chain, had=1, believes=believes)
    try:
        assert judge(long_chain, site) is None
    finally:
        shutil.rmtree(site.prefix)


@pytest.mark.slow
def test_a_late_site_starts_from_the_last_of_twenty_one_roots(long_chain: Workshop) -> None:
    assert (long_chain.roots / "root.21").is_file()
    assert judge(long_chain, site_of(long_chain)) is None
    first = hashlib.sha256((long_chain.roots / "root.1").read_bytes()).hexdigest()
    refused = judge(long_chain, site_of(long_chain), first)
    assert refused is not None and refused.what == "root.21 is not the one on the anchor sheet."


@pytest.mark.slow
def test_a_medium_may_carry_only_the_roots_that_a_site_lacks(long_chain: Workshop, tmp_path: Path) -> None:
    shutil.copytree(long_chain.root, tmp_path / "shop")
    shop = Workshop(tmp_path / "shop")
    for number in range(1, 12):
        for path in shop.bundle.glob(f"root.{number}*"):
            if path.name.split(".")[1] == str(number):
                path.unlink()
    assert judge(shop, site_of(shop, had=1, believes="root.11")) is None
    refused = judge(shop, site_of(shop, had=1, believes="root.10"))
    assert refused is not None and refused.what == "root.12 does not follow root.10."


@pytest.mark.slow
def test_a_chain_with_any_one_link_broken_is_refused(long_chain: Workshop, tmp_path: Path) -> None:
    shutil.copytree(long_chain.root, tmp_path / "shop")
    shop = Workshop(tmp_path / "shop")
    site = site_of(shop, had=1)
    for number in range(2, ROTATIONS + 2):
        path = next(shop.bundle.glob(f"root.{number}.sig.*"))
        kept = path.read_bytes()
        path.unlink()
        missing = judge_by_python(shop, site, shop.anchor())
        assert missing is not None and missing.what.startswith(f"root.{number} is not signed by enough")
        path.write_bytes(kept)
        flip(path)
        damaged = judge_by_python(shop, site, shop.anchor())
        assert damaged is not None and damaged.what == f"{path.name} does not verify."
        if number == 12:
            assert str(judge(shop, site)) == str(damaged)
        path.write_bytes(kept)
    assert judge_by_python(shop, site, shop.anchor()) is None


@pytest.mark.slow
def test_a_skipped_root_is_refused(long_chain: Workshop, tmp_path: Path) -> None:
    shutil.copytree(long_chain.root, tmp_path / "shop")
    shop = Workshop(tmp_path / "shop")
    for path in shop.bundle.glob("root.7*"):
        path.unlink()
    refused = judge(shop, site_of(shop, had=1))
    assert refused is not None and refused.what == "root.8 does not follow root.6."


@pytest.mark.slow
def test_the_bundler_judges_a_signed_folder_as_a_new_site(long_chain: Workshop) -> None:
    assert verify_bundle(long_chain.bundle, None, Silent()).root.version == ROTATIONS + 1
    assert not (long_chain.bundle / "people").exists()
