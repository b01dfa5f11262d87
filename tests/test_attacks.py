"""The table of attacks: every one is refused by `install.sh` and by the Python verifier, alike.

One honest bundle, one defect each. Both judges must give the same exit code and the same three lines.
"""

import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from appliance.bundle.medium import Medium
from appliance.bundle.release import Release
from appliance.bundle.verify import verify
from appliance.errors import ApplianceError
from appliance.site.layout import Site
from appliance.site.trust import read_trust, record_trust
from bundler.signer import write_signature
from tests.bundles import INSTALLER, PAST, Workshop, make_workshop

SHELLS = {"dash": ["dash"], "bash": ["bash", "--posix"], "busybox": ["busybox", "sh"]}


@dataclass(frozen=True)
class Attack:
    """One defect."""

    change: Callable[[Workshop], object]
    exit_code: int
    what: str
    """Start of the first line."""
    had: int = 0
    """Number of the release that the site has had; 0: a first install."""


def flip(path: Path, at: int = -1) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def truncate(path: Path, length: int = 1) -> None:
    path.write_bytes(path.read_bytes()[:-length])


def swap(first: Path, second: Path) -> None:
    a, b = first.read_bytes(), second.read_bytes()
    first.write_bytes(b)
    second.write_bytes(a)


def to_link(path: Path) -> None:
    aside = path.parent.parent / "elsewhere"
    path.rename(aside)
    path.symlink_to(aside)


def edit_list(shop: Workshop, old: str, new: str) -> None:
    """Change the list as a holder of the release key could, and sign it."""
    sums = shop.bundle / "SHA256SUMS"
    text = sums.read_text()
    assert old in text
    sums.write_text(text.replace(old, new, 1))
    shop.resign()


def edit_contents(shop: Workshop, old: str, new: str) -> None:
    """Change contents.json as a holder of the release key could, and sign."""
    contents = shop.bundle / "contents.json"
    text = contents.read_text()
    assert old in text
    contents.write_text(text.replace(old, new, 1))
    shop.list_and_sign()


def release(**fields: object) -> Callable[[Workshop], None]:
    def change(shop: Workshop) -> None:
        shop.release(**fields)
        shop.list_and_sign()

    return change


def signature(shop: Workshop) -> Path:
    return next(shop.bundle.glob("SHA256SUMS.sig.*"))


def sign_by_stranger(shop: Workshop) -> None:
    signature(shop).unlink()
    write_signature(shop.bundle / "SHA256SUMS", shop.signer("stranger"))


def sign_under_another_name(shop: Workshop) -> None:
    """A stranger's signature in a file named for the real key."""
    name = signature(shop).name
    made = write_signature(shop.bundle / "SHA256SUMS", shop.signer("stranger"))
    made.replace(shop.bundle / name)


def root_key_signs_release(shop: Workshop) -> None:
    signature(shop).unlink()
    write_signature(shop.bundle / "SHA256SUMS", shop.signer("root"))


def own_root(shop: Workshop) -> None:
    """The attacker's own root.1, with own keys, everything validly signed by them."""
    for old in [*shop.bundle.glob("root.*"), *shop.bundle.glob("SHA256SUMS.sig.*")]:
        old.unlink()
    other = Workshop(shop.root / "attacker")
    other.root.mkdir()
    path = other.add_root(root=["evil-root"], release=["evil"], signers=["evil-root"])
    for file in other.roots.iterdir():
        shutil.copyfile(file, shop.bundle / file.name)
    assert path.name == "root.1"
    write_signature(shop.bundle / "SHA256SUMS", other.signer("evil"))


def rotation(signers: list[str]) -> Callable[[Workshop], None]:
    """root.2 with new keys, signed by `signers`."""

    def change(shop: Workshop) -> None:
        shop.add_root(root=["root2"], release=["release2"], signers=signers)
        shop.resign("release2")

    return change


def one_of_two(shop: Workshop) -> None:
    """Two keys needed, one signs, twice under the same name is impossible."""
    shutil.rmtree(shop.roots)
    for old in shop.bundle.glob("root.*"):
        old.unlink()
    shop.add_root(
        root=["root", "root-b"], release=["release", "release-b"], signers=["root", "root-b"], threshold=2
    )
    shop.resign("release")


ATTACKS = {
    "a byte of a volume is flipped": Attack(
        lambda s: flip(s.bundle / "payload.000.tar", 700), 4, "payload.000.tar is damaged."
    ),
    "a byte in a tar header is flipped": Attack(
        lambda s: flip(s.bundle / "payload.001.tar", 3), 4, "payload.001.tar is damaged."
    ),
    "a byte of the runtime is flipped": Attack(
        lambda s: flip(s.bundle / "runtime.tar.gz"), 4, "runtime.tar.gz is damaged."
    ),
    "a byte of the appliance's wheel is flipped": Attack(
        lambda s: flip(next(s.bundle.glob("*.whl"))), 4, "islet-0.1.0-py3-none-any.whl is damaged."
    ),
    "a byte of install.sh is flipped": Attack(
        lambda s: flip(s.bundle / "install.sh"), 4, "install.sh is damaged."
    ),
    "a byte of contents.json is flipped": Attack(
        lambda s: flip(s.bundle / "contents.json", 40), 4, "contents.json is damaged."
    ),
    "a byte of RELEASE is flipped": Attack(
        lambda s: flip(s.bundle / "RELEASE", 30), 4, "RELEASE is damaged."
    ),
    "a byte of SHA256SUMS is flipped": Attack(
        lambda s: flip(s.bundle / "SHA256SUMS", 5), 3, "SHA256SUMS.sig."
    ),
    "a byte of the signature is flipped": Attack(lambda s: flip(signature(s)), 3, "SHA256SUMS.sig."),
    "a byte of the root is flipped": Attack(
        lambda s: flip(s.bundle / "root.1", 40), 3, "root.1 is not the one on the anchor sheet."
    ),
    "a byte of the root's signature is flipped": Attack(
        lambda s: flip(next(s.bundle.glob("root.1.sig.*"))), 3, "root.1.sig."
    ),
    "a volume is truncated": Attack(
        lambda s: truncate(s.bundle / "payload.001.tar"), 4, "payload.001.tar is damaged."
    ),
    "a volume is too long": Attack(
        lambda s: (s.bundle / "payload.001.tar").open("ab").write(b"\0"), 4, "payload.001.tar is damaged."
    ),
    "the list is truncated": Attack(lambda s: truncate(s.bundle / "SHA256SUMS"), 3, "SHA256SUMS.sig."),
    "the signature is truncated": Attack(lambda s: truncate(signature(s)), 3, "SHA256SUMS.sig."),
    "the signature is empty": Attack(lambda s: signature(s).write_bytes(b""), 3, "SHA256SUMS.sig."),
    "the signature is too long": Attack(lambda s: signature(s).write_bytes(bytes(73)), 3, "SHA256SUMS.sig."),
    "a volume is missing": Attack(
        lambda s: (s.bundle / "payload.001.tar").unlink(), 4, "payload.001.tar is missing."
    ),
    "RELEASE is missing": Attack(lambda s: (s.bundle / "RELEASE").unlink(), 4, "RELEASE is missing."),
    "the list is missing": Attack(lambda s: (s.bundle / "SHA256SUMS").unlink(), 4, "SHA256SUMS is missing."),
    "the root is missing": Attack(
        lambda s: [p.unlink() for p in s.bundle.glob("root.*")], 4, "root.1 is missing."
    ),
    "the signature is missing": Attack(
        lambda s: signature(s).unlink(), 3, "SHA256SUMS is not signed by enough release keys of root.1."
    ),
    "two volumes are swapped": Attack(
        lambda s: swap(s.bundle / "payload.000.tar", s.bundle / "payload.001.tar"),
        4,
        "payload.000.tar is damaged.",
    ),
    "a file is added": Attack(
        lambda s: (s.bundle / "autorun.inf").write_text("x"), 3, "autorun.inf is not in the signed list."
    ),
    "a hidden file is added": Attack(
        lambda s: (s.bundle / ".hidden").write_text("x"), 3, ".hidden is not in the signed list."
    ),
    "a file with an odd name is added": Attack(
        lambda s: (s.bundle / "a b\né").write_text("x"), 3, "a?b??? is not in the signed list."
    ),
    "several odd files are added": Attack(
        lambda s: [
            (s.bundle / name).touch() for name in ("z", "..x", ".-a", "!b", "中", os.fsdecode(b"\xff"))
        ],
        3,
        ".-a is not in the signed list.",
    ),
    "a folder that systems leave on a disk is in the bundle": Attack(
        lambda s: (s.bundle / "System Volume Information").mkdir(),
        3,
        "System?Volume?Information is not a plain file.",
    ),
    "a volume of an older, longer build is left": Attack(
        lambda s: shutil.copy(s.bundle / "payload.000.tar", s.bundle / "payload.002.tar"),
        3,
        "payload.002.tar is not in the signed list.",
    ),
    "a folder is added": Attack(lambda s: (s.bundle / "folder").mkdir(), 3, "folder is not a plain file."),
    "a volume is a link to the same bytes": Attack(
        lambda s: to_link(s.bundle / "payload.000.tar"), 3, "payload.000.tar is not a plain file."
    ),
    "the list is a link": Attack(
        lambda s: to_link(s.bundle / "SHA256SUMS"), 3, "SHA256SUMS is not a plain file."
    ),
    "a listed file is a pipe": Attack(
        lambda s: ((s.bundle / "RELEASE").unlink(), os.mkfifo(s.bundle / "RELEASE")),
        3,
        "RELEASE is not a plain file.",
    ),
    "a stranger signed": Attack(sign_by_stranger, 3, "SHA256SUMS.sig."),
    "a stranger signed under the real key's name": Attack(sign_under_another_name, 3, "SHA256SUMS.sig."),
    "a root key signed the release": Attack(root_key_signs_release, 3, "SHA256SUMS.sig."),
    "a second signature by a stranger is added": Attack(
        lambda s: write_signature(s.bundle / "SHA256SUMS", s.signer("stranger")), 3, "SHA256SUMS.sig."
    ),
    "another root with its own keys": Attack(own_root, 3, "root.1 is not the one on the anchor sheet."),
    "another root, at a site that believes one": Attack(
        own_root, 3, "root.1 is not the one this site believes.", had=1
    ),
    "one signature where two are needed": Attack(
        one_of_two, 3, "SHA256SUMS is not signed by enough release keys of root.1."
    ),
    "a new root that only its own keys signed": Attack(
        rotation(["root2"]), 3, "root.2 is not signed by enough root keys of root.1.", had=1
    ),
    "a new root that only the old keys signed": Attack(
        rotation(["root"]), 3, "root.2 is not signed by enough root keys of root.2.", had=1
    ),
    "the key that a new root dropped": Attack(
        lambda s: (
            s.add_root(root=["root2"], release=["release2"], signers=["root", "root2"]),
            [shutil.copyfile(f, s.bundle / f.name) for f in s.roots.iterdir()],
        ),
        3,
        "SHA256SUMS.sig.",
        had=1,
    ),
    "an older release": Attack(release(number=1), 3, "Release 1 is older than this site.", had=2),
    "another list under a number that was had": Attack(
        release(number=2, created="2026-11-02T00:00:00Z"), 3, "This is another release 2.", had=2
    ),
    "another product": Attack(release(product="other"), 3, "This bundle is other.", had=1),
    "an expired release": Attack(release(expires=PAST), 3, "Release 2 has expired."),
    "a release that needs a newer root": Attack(release(root_version=2), 3, "This release needs root.2."),
    "a RELEASE with a line too many": Attack(
        lambda s: (
            (s.bundle / "RELEASE").write_text((s.bundle / "RELEASE").read_text() + "note: x\n"),
            s.list_and_sign(),
        ),
        3,
        "RELEASE is not written as it must be.",
    ),
    "a signed list that names a path outside": Attack(
        lambda s: edit_list(s, "  payload.000.tar", "  ../payload.000.tar"),
        3,
        "SHA256SUMS is not written as it must be.",
    ),
    "a signed list with a name twice by case": Attack(
        lambda s: edit_list(s, "  payload.000.tar\n", f"  payload.000.tar\n{'0' * 64}  PAYLOAD.000.tar\n"),
        3,
        "SHA256SUMS is not written as it must be.",
    ),
    "a signed list without install.sh": Attack(
        lambda s: edit_list(s, "  install.sh", "  uninstall.sh"),
        3,
        "SHA256SUMS is not written as it must be.",
    ),
    "a signed list with a byte that is no text": Attack(
        lambda s: edit_list(s, "  RELEASE", "\t RELEASE"), 3, "SHA256SUMS is not written as it must be."
    ),
}

DEEP_ATTACKS = {
    "signed contents with a path that leaves the release": Attack(
        lambda s: edit_contents(s, "models/islet/tiny/config.json", "models/../../../etc/passwd"),
        3,
        "contents.json",
    ),
    "signed contents with an absolute path": Attack(
        lambda s: edit_contents(s, '"models/islet/tiny/config.json"', '"/etc/passwd"'), 3, "contents.json"
    ),
    "signed contents with an unknown field": Attack(
        lambda s: edit_contents(s, '"kind": "model"', '"kind": "model", "run": "x"'), 3, "contents.json"
    ),
    "signed contents whose parts overlap": Attack(
        lambda s: edit_contents(s, '"offset": 512', '"offset": 1024'), 3, "contents.json"
    ),
    "signed contents with a setuid mode": Attack(
        lambda s: edit_contents(s, '"mode": "0644"', '"mode": "4755"'), 3, "contents.json"
    ),
    "signed contents with another hash for a file": Attack(
        lambda s: edit_contents(s, hashlib.sha256(b"").hexdigest(), "0" * 64), 3, "contents.json"
    ),
    "a signed volume whose tar header names another file": Attack(
        lambda s: (flip(s.bundle / "payload.000.tar", 3), s.list_and_sign()),
        3,
        "payload.000.tar and contents.json",
    ),
}
"""What lies inside: the shell never opens contents.json; the appliance, which it hands over to, does."""


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return make_workshop(tmp_path_factory.mktemp("bundle") / "shop")


def damage(honest: Workshop, tmp_path: Path, attack: Attack) -> tuple[Workshop, Site, str]:
    """A copy of the honest bundle with the defect, the site it meets, the anchor the site holds."""
    shutil.copytree(honest.root, tmp_path / "shop", symlinks=True)
    shop = Workshop(tmp_path / "shop")
    site = Site(tmp_path / "prefix", tmp_path / "state")
    if attack.had:
        site.prefix.mkdir()
        had = Release("islet-test", attack.had, "2026-10-01T00:00:00Z", PAST, 1, 0)
        sums = hashlib.sha256((shop.bundle / "SHA256SUMS").read_bytes()).hexdigest()
        record_trust(site, (shop.roots / "root.1").read_bytes(), had, sums)
    attack.change(shop)
    # A sheet for "one signature where two are needed" shows the root that this attack starts from.
    return shop, site, shop.anchor() if attack.change is one_of_two else honest.anchor()


def judge_by_python(shop: Workshop, site: Site, anchor: str) -> ApplianceError | None:
    try:
        verify(Medium(shop.bundle), read_trust(site, anchor))
    except ApplianceError as error:
        return error
    return None


def judge_by_shell(
    shell: list[str], shop: Workshop, site: Site, anchor: str
) -> subprocess.CompletedProcess[str]:
    command = [*shell, str(INSTALLER), "--check", "--prefix", str(site.prefix), "--state", str(site.state)]
    return subprocess.run(
        [*command, "--anchor", anchor, str(shop.bundle)],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )


@pytest.mark.parametrize("shell", SHELLS)
def test_both_judges_accept_the_honest_bundle(honest: Workshop, tmp_path: Path, shell: str) -> None:
    site = Site(tmp_path / "prefix", tmp_path / "state")
    assert judge_by_python(honest, site, honest.anchor()) is None
    result = judge_by_shell(SHELLS[shell], honest, site, honest.anchor())
    assert (result.returncode, result.stderr) == (0, "")
    assert not site.prefix.exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", ATTACKS)
def test_both_judges_refuse_alike(name: str, honest: Workshop, tmp_path: Path) -> None:
    attack = ATTACKS[name]
    shop, site, anchor = damage(honest, tmp_path, attack)
    error = judge_by_python(shop, site, anchor)
    assert error is not None
    assert error.exit_code == attack.exit_code
    assert error.what.startswith(attack.what)
    for shell, command in SHELLS.items():
        result = judge_by_shell(command, shop, site, anchor)
        assert (result.returncode, result.stderr) == (attack.exit_code, f"islet: {error}\n"), shell


@pytest.mark.parametrize("name", DEEP_ATTACKS)
def test_the_appliance_refuses_what_lies_inside(name: str, honest: Workshop, tmp_path: Path) -> None:
    attack = DEEP_ATTACKS[name]
    shop, site, anchor = damage(honest, tmp_path, attack)
    error = judge_by_python(shop, site, anchor)
    assert error is not None
    assert error.exit_code == attack.exit_code
    assert error.what.startswith(attack.what)


def test_a_rotation_that_both_sets_of_keys_signed_is_accepted(honest: Workshop, tmp_path: Path) -> None:
    attack = Attack(rotation(["root", "root2"]), 0, "", had=1)
    shop, site, anchor = damage(honest, tmp_path, attack)
    assert judge_by_python(shop, site, anchor) is None
    for command in SHELLS.values():
        result = judge_by_shell(command, shop, site, anchor)
        assert (result.returncode, result.stderr) == (0, "")


def test_a_late_site_starts_from_the_newest_root(honest: Workshop, tmp_path: Path) -> None:
    shop, site, _ = damage(honest, tmp_path, Attack(rotation(["root", "root2"]), 0, ""))
    assert judge_by_python(shop, site, shop.anchor()) is None
    assert judge_by_shell(SHELLS["dash"], shop, site, shop.anchor()).returncode == 0
    assert judge_by_shell(SHELLS["dash"], shop, site, honest.anchor()).returncode == 3


def test_the_release_that_is_installed_is_accepted_again(honest: Workshop, tmp_path: Path) -> None:
    shop, site, anchor = damage(honest, tmp_path, Attack(lambda s: None, 0, "", had=2))
    assert judge_by_python(shop, site, anchor) is None
    assert judge_by_shell(SHELLS["dash"], shop, site, anchor).returncode == 0


def test_a_site_killed_before_it_remembered_its_root_still_knows_its_number(
    honest: Workshop, tmp_path: Path
) -> None:
    shop, site, anchor = damage(honest, tmp_path, Attack(release(number=1), 0, "", had=2))
    (site.prefix / "trust" / "root").unlink()
    error = judge_by_python(shop, site, anchor)
    assert error is not None
    assert error.what == "Release 1 is older than this site."
    result = judge_by_shell(SHELLS["dash"], shop, site, anchor)
    assert (result.returncode, result.stderr) == (3, f"islet: {error}\n")


def test_stock_tools_accept_the_honest_bundle(honest: Workshop, tmp_path: Path) -> None:
    """The two commands that an auditor types, and tar, which reads the volumes."""
    sums, sig = honest.bundle / "SHA256SUMS", signature(honest)
    public = honest.public("release")
    check = ["openssl", "dgst", "-sha256", "-verify", public, "-signature", sig, sums]
    assert subprocess.run(check, capture_output=True).returncode == 0
    assert subprocess.run(["sha256sum", "-c", "--strict", "--quiet", sums], cwd=honest.bundle).returncode == 0
    subprocess.run(["tar", "-xf", honest.bundle / "payload.000.tar", "-C", tmp_path], check=True)
    source = honest.root / "sources" / "models_islet_tiny_config.json"
    assert (tmp_path / "models/islet/tiny/config.json").read_bytes() == source.read_bytes()
