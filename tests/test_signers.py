"""Who signs, and how it is told: key files, commands that hold the key, the commands' own words."""

import base64
import hashlib
import json
import os
import pty
import shutil
import stat
import subprocess
import sys
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from appliance.bundle.signature import verifies
from appliance.errors import BadInput, StepFailed
from bundler.cli import main
from bundler.keys import is_encrypted, make_key, read_private, read_public
from bundler.roots import root_text, sign_root
from bundler.signer import Command, KeyFile, signature_by
from tests.bundles import Workshop, make_workshop

DOCUMENT = b"one line\n" * 20_000
"""Longer than a pipe holds: a command that never reads must not block."""


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two key pairs, the first of them protected."""
    folder = tmp_path_factory.mktemp("keys")
    make_key(folder / "anna.pem", None)
    make_key(folder / "bo.pem", b"horse staple")
    return folder


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """A bundle without roots or signatures, and a folder for keys."""
    shop = make_workshop(tmp_path_factory.mktemp("built") / "shop")
    for old in [*shop.bundle.glob("root.*"), *shop.bundle.glob("SHA256SUMS.sig.*")]:
        old.unlink()
    shutil.rmtree(shop.roots)
    return shop


@pytest.fixture
def shop(built: Workshop, tmp_path: Path) -> Workshop:
    shutil.copytree(built.root, tmp_path / "shop")
    return Workshop(tmp_path / "shop")


def islet_bundle(*arguments: str | Path) -> Result:
    """What a script that runs `islet-bundle` meets; there is no terminal."""
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def succeed(*arguments: str | Path) -> Result:
    result = islet_bundle(*arguments)
    assert result.exit_code == 0, result.output
    return result


def script(folder: Path, text: str) -> list[str]:
    """A small program that signs, or does not."""
    path = folder / "signer.sh"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return [str(path)]


def openssl_verifies(public: Path, document: bytes, signature: bytes, folder: Path) -> bool:
    (folder / "document").write_bytes(document)
    (folder / "signature").write_bytes(signature)
    check = ["openssl", "dgst", "-sha256", "-verify", public, "-signature", folder / "signature"]
    return subprocess.run([*check, folder / "document"], capture_output=True).returncode == 0


# --- commands that hold the key -----------------------------------------------------------------


def test_a_command_gets_the_document_and_its_signature_verifies(keys: Path, tmp_path: Path) -> None:
    words = script(tmp_path, f"exec openssl dgst -sha256 -sign '{keys}/anna.pem'")
    signature = signature_by(Command(words, keys / "anna.pem.pub"), DOCUMENT)
    assert openssl_verifies(keys / "anna.pem.pub", DOCUMENT, signature, tmp_path)


def test_a_command_that_takes_a_digest_gets_only_that(keys: Path, tmp_path: Path) -> None:
    sign = f"openssl pkeyutl -sign -inkey '{keys}/anna.pem' -pkeyopt digest:sha256"
    words = script(tmp_path, f"tee '{tmp_path}/given' | {sign}")
    signature = signature_by(Command(words, keys / "anna.pem.pub", digest=True), DOCUMENT)
    assert (tmp_path / "given").read_bytes() == hashlib.sha256(DOCUMENT).digest()
    assert openssl_verifies(keys / "anna.pem.pub", DOCUMENT, signature, tmp_path)


MISBEHAVING = {
    "another key": ("openssl dgst -sha256 -sign '{keys}/other.pem'", BadInput, "made by another key"),
    "another document": ("openssl dgst -sha256 -sign '{keys}/anna.pem' /dev/null", BadInput, "or over other"),
    "raw r and s": ("head -c 64 /dev/zero", BadInput, "r and s side by side"),
    "garbage": ("echo certainly", BadInput, "no DER signature"),
    "nothing": ("cat >/dev/null", BadInput, "it gave nothing"),
    "a signature and more": (
        "openssl dgst -sha256 -sign '{keys}/anna.pem'; echo signed",
        BadInput,
        "by another key|no DER signature",
    ),
    "no end of words": ("exec cat /dev/zero", StepFailed, "says too much"),
    "exit 1": ("echo no card >&2; exit 1", StepFailed, "exit code is 1"),
    "a signature, then exit 1": (
        "openssl dgst -sha256 -sign '{keys}/anna.pem'; exit 1",
        StepFailed,
        "exit code is 1",
    ),
    "silence": ("exec sleep 30", StepFailed, "does not end"),
    "silence of a child": ("sleep 4", StepFailed, "does not end"),
    "a closed mouth": ("exec >&-; exec sleep 30", StepFailed, "does not end"),
}


@pytest.mark.parametrize("name", MISBEHAVING)
def test_a_command_that_misbehaves_signs_nothing(name: str, keys: Path, tmp_path: Path) -> None:
    text, kind, words = MISBEHAVING[name]
    if not (keys / "other.pem").exists():
        make_key(keys / "other.pem", None)
    command = Command(
        script(tmp_path, text.format(keys=keys)), keys / "anna.pem.pub", within_s=1 if "end" in words else 60
    )
    with pytest.raises(kind, match=words) as refused:
        signature_by(command, DOCUMENT)
    assert refused.value.next_step.startswith("Nothing was signed.")


def test_a_command_that_is_not_there_is_named_without_its_pin(keys: Path) -> None:
    command = Command(["/nowhere/pkcs11-tool", "--pin", "4711"], keys / "anna.pem.pub")
    with pytest.raises(StepFailed, match="/nowhere/pkcs11-tool: No such file") as refused:
        signature_by(command, DOCUMENT)
    assert "4711" not in str(refused.value)


# --- key files ----------------------------------------------------------------------------------


def test_a_key_is_readable_by_its_owner_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        make_key(tmp_path / "key.pem", b"horse staple")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "key.pem").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "key.pem.pub").stat().st_mode) == 0o644
    assert (tmp_path / "key.pem").read_bytes().startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n")


@pytest.mark.parametrize("taken", ["key.pem", "key.pem.pub"])
def test_neither_half_of_an_older_key_is_overwritten(tmp_path: Path, taken: str) -> None:
    (tmp_path / taken).write_text("mine")
    with pytest.raises(BadInput, match=f"{taken} exists"):
        make_key(tmp_path / "key.pem", None)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {taken: "mine"}


def test_a_link_to_nowhere_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "key.pem").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BadInput, match=r"key\.pem exists"):
        make_key(tmp_path / "key.pem", None)
    assert not (tmp_path / "elsewhere").exists()


def test_an_empty_passphrase_file_does_not_make_an_open_key(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("\n")
    result = islet_bundle("keygen", tmp_path / "key.pem", "--passphrase-file", tmp_path / "secret")
    assert result.exit_code == 6
    assert "islet: The passphrase is empty." in result.stderr
    assert not (tmp_path / "key.pem").exists()


@pytest.mark.parametrize(
    "name, secret, why",
    [
        ("bo.pem", b"wrong", "the passphrase does not open it"),
        ("bo.pem", None, "it needs its passphrase"),
        ("anna.pem.pub", None, "it holds no private key in PEM"),
        ("nobody.pem", None, "No such file or directory"),
    ],
)
def test_a_key_that_does_not_open_is_told_in_words(
    keys: Path, name: str, secret: bytes | None, why: str
) -> None:
    with pytest.raises(BadInput) as refused:
        read_private(keys / name, secret)
    assert (refused.value.what, refused.value.why) == (f"{keys / name} cannot be used as a key.", why)


def test_keys_of_other_kinds_are_refused(tmp_path: Path) -> None:
    for name, algorithm in (
        ("p384.pem", ["EC", "-pkeyopt", "ec_paramgen_curve:P-384"]),
        ("ed.pem", ["ED25519"]),
    ):
        path = tmp_path / name
        subprocess.run(["openssl", "genpkey", "-algorithm", *algorithm, "-out", path], check=True)
        subprocess.run(["openssl", "pkey", "-in", path, "-pubout", "-out", f"{path}.pub"], check=True)
        with pytest.raises(BadInput, match="not an ECDSA P-256 key"):
            read_private(path, None)
        with pytest.raises(BadInput, match="not an ECDSA P-256 key"):
            read_public(Path(f"{path}.pub"))


def test_a_private_key_given_as_a_public_one_is_told(keys: Path) -> None:
    with pytest.raises(BadInput, match="it is the private half"):
        read_public(keys / "anna.pem")


def test_openssl_opens_a_protected_key(keys: Path, tmp_path: Path) -> None:
    command = ["openssl", "dgst", "-sha256", "-sign", keys / "bo.pem", "-passin", "pass:horse staple"]
    made = subprocess.run(command, input=DOCUMENT, capture_output=True, check=True).stdout
    assert verifies(KeyFile(keys / "bo.pem", b"horse staple").public, made, DOCUMENT)
    parse = ["openssl", "asn1parse", "-in", keys / "bo.pem"]
    shown = subprocess.run(parse, capture_output=True, text=True, check=True).stdout
    for word in ("PBKDF2", f"INTEGER           :{600_000:06X}", "hmacWithSHA256", "aes-256-cbc"):
        assert word in shown


# --- the commands -------------------------------------------------------------------------------


def test_a_team_of_six_goes_from_keys_to_a_release(shop: Workshop, tmp_path: Path) -> None:
    """Every command of docs/signing.md in its order."""
    ids = {}
    for name in ("li", "chen", "wu", "anna", "bo", "zhao"):
        ids[name] = succeed("keygen", "--no-passphrase", tmp_path / f"{name}.pem").stdout.split()[0]
    given: list[str | Path] = []
    for option, people in (("--root-key", ("li", "chen", "wu")), ("--release-key", ("anna", "bo", "zhao"))):
        for name in people:
            given += [option, tmp_path / f"{name}.pem.pub"]
    roots = shop.roots
    made = succeed("root", "init", roots, *given, "--root-threshold", "2", "--release-threshold", "2")
    assert made.stdout == f"{roots}/root.1\n"
    signed = succeed("root", "sign", roots, "--key", tmp_path / "wu.pem", "--yes")
    assert signed.stderr.splitlines()[-5:] == [
        "root.1: 1 of 2 signatures by root keys of root.1; 1 more wanted",
        f"  signed    {ids['wu']}  wu",
        f"  may sign  {ids['li']}  li",
        f"  may sign  {ids['chen']}  chen",
        "root.1 does not count yet: no site believes it.",
    ]
    early = islet_bundle("sign", shop.bundle, "--roots", roots, "--key", tmp_path / "bo.pem", "--yes")
    assert early.exit_code == 6
    assert "root.1 is not signed by enough root keys of root.1." in early.stderr
    signed = succeed("root", "sign", roots, "--key", tmp_path / "li.pem", "--yes")
    assert signed.stderr.splitlines()[-1] == "root.1 has every signature that it needs."
    shown = succeed("root", "show", roots).stdout.splitlines()
    assert shown[2:6] == [
        "A new root needs 2 of these 3 keys; 1 may be lost",
        f"  {ids['li']}  li",
        f"  {ids['chen']}  chen",
        f"  {ids['wu']}  wu",
    ]
    first = succeed("sign", shop.bundle, "--roots", roots, "--key", tmp_path / "bo.pem", "--yes")
    assert first.stdout == f"{shop.bundle}/SHA256SUMS.sig.{ids['bo']}\n"
    assert "1 of 2 signatures by release keys of root.1; 1 more wanted" in first.stderr
    assert islet_bundle("verify", shop.bundle).exit_code == 3
    token = f"openssl dgst -sha256 -sign {tmp_path / 'zhao.pem'}"
    second = succeed(
        "sign", shop.bundle, "--with-command", token, "--public-key", tmp_path / "zhao.pem.pub", "--yes"
    )
    assert "Every signature that a site needs is there" in second.stderr
    assert "whole and signed" in succeed("verify", shop.bundle).stdout
    change = ["--remove-key", ids["chen"], "--add-root-key", shop.public("chen2")]
    assert succeed("root", "rotate", roots, *change).stdout == f"{roots}/root.2\n"
    for name in ("li", "wu"):
        succeed("root", "sign", roots, "--key", tmp_path / f"{name}.pem", "--yes")
    assert "root.2 has every signature that it needs." in succeed("root", "show", roots).stdout
    assert "root.1, good until" in succeed("root", "show", roots, "--version", "1").stdout


def test_without_a_terminal_nothing_is_signed_unless_yes_is_said(shop: Workshop) -> None:
    shop.add_root(root=["root"], release=["release"], signers=["root"])
    command = ["sign", shop.bundle, "--roots", shop.roots, "--key", shop.key("release")]
    result = islet_bundle(*command)
    assert result.exit_code == 2
    assert "islet-test, release 2" in result.stderr
    assert "give --yes" in result.stderr
    assert sorted(shop.bundle.glob("SHA256SUMS.sig.*")) == []


@pytest.mark.parametrize("answer, signatures", [("n", 0), ("y", 1)])
def test_at_a_terminal_the_signer_is_asked_after_seeing_what_it_is(
    shop: Workshop, answer: str, signatures: int
) -> None:
    shop.add_root(root=["root"], release=["release"], signers=["root"])
    seen = at_a_terminal(
        ["sign", shop.bundle, "--roots", shop.roots, "--key", shop.key("release")], f"{answer}\n"
    )
    assert seen.index("islet-test, release 2") < seen.index("Sign this with key")
    assert len(sorted(shop.bundle.glob("SHA256SUMS.sig.*"))) == signatures


def at_a_terminal(arguments: Sequence[str | Path], typed: str) -> str:
    """Everything on the screen when a person types `typed` into a command."""
    ours, theirs = pty.openpty()
    code = "import sys; from bundler.cli import main; main(sys.argv[1:])"
    command = [sys.executable, "-c", code, *arguments]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs) as child:
        os.close(theirs)
        os.write(ours, typed.encode())
        screen = b""
        while True:
            try:
                chunk = os.read(ours, 4096)
            except OSError:  # the other end is closed
                break
            if not chunk:
                break
            screen += chunk
        child.wait()
    os.close(ours)
    return screen.decode()


@pytest.mark.parametrize("appears", ["root.1", "root.2"])
def test_no_other_root_is_signed_than_the_one_that_was_shown(shop: Workshop, appears: str) -> None:
    shop.add_root(root=["root"], release=["release"], signers=[])
    shown = root_text(shop.roots)
    other = (
        shown.replace(b"version: 1", b"version: 2") if appears == "root.2" else shown.replace(b": 2", b": 3")
    )
    (shop.roots / appears).write_bytes(other)
    with pytest.raises(BadInput, match="is not what was shown"):
        sign_root(shop.roots, shop.signer("root"), shown)
    assert not list(shop.roots.glob("*.sig.*"))
    (shop.roots / appears).unlink()
    (shop.roots / "root.1").write_bytes(shown)
    assert sign_root(shop.roots, shop.signer("root"), shown).name.startswith("root.1.sig.")


def test_a_key_file_may_begin_with_lines_that_another_program_wrote(keys: Path, tmp_path: Path) -> None:
    lines = "Bag Attributes\n    friendlyName: the release key of Bo\n    localKeyID: 54 69 6D 65\n"
    (tmp_path / "bo.pem").write_text(lines + (keys / "bo.pem").read_text())
    assert is_encrypted(tmp_path / "bo.pem")
    with pytest.raises(BadInput) as caught:
        read_private(tmp_path / "bo.pem", None)
    assert caught.value.why == "it needs its passphrase"
    read_private(tmp_path / "bo.pem", b"horse staple")


def test_a_passphrase_from_a_file_signs_and_a_wrong_one_is_told(shop: Workshop, tmp_path: Path) -> None:
    (tmp_path / "right").write_text("horse staple\r\n")
    (tmp_path / "wrong").write_text("horse\n")
    succeed("keygen", tmp_path / "bo.pem", "--passphrase-file", tmp_path / "right")
    shop.key("root")
    given = ["--root-key", shop.public("root"), "--release-key", tmp_path / "bo.pem.pub"]
    succeed("root", "init", shop.roots, *given)
    succeed("root", "sign", shop.roots, "--key", shop.key("root"), "--yes")
    command = ["sign", shop.bundle, "--roots", shop.roots, "--key", tmp_path / "bo.pem", "--yes"]
    wrong = islet_bundle(*command, "--passphrase-file", tmp_path / "wrong")
    assert wrong.exit_code == 6
    assert wrong.stderr.splitlines() == [
        f"islet: {tmp_path / 'bo.pem'} cannot be used as a key.",
        "why: the passphrase does not open it",
        "next: Type the passphrase again, or give another key.",
    ]
    succeed(*command, "--passphrase-file", tmp_path / "right")


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--with-command", "true"],
        ["--key", "k.pem", "--with-command", "true", "--public-key", "k.pub"],
        ["--key", "k.pem", "--digest"],
        ["--with-command", "", "--public-key", "k.pub"],
        ["--with-command", "openssl 'dgst", "--public-key", "k.pub"],
    ],
)
def test_it_must_be_said_who_signs(tmp_path: Path, options: list[str]) -> None:
    assert islet_bundle("sign", tmp_path, "--yes", *options).exit_code == 2


def test_a_second_root_1_is_refused(shop: Workshop) -> None:
    shop.add_root(root=["root"], release=["release"], signers=["root"])
    given = ["--root-key", shop.public("root"), "--release-key", shop.public("release")]
    result = islet_bundle("root", "init", shop.roots, *given)
    assert result.exit_code == 6
    assert "root.1 is made once" in result.stderr


# --- the anchor sheet and the other format ------------------------------------------------------


class Page(HTMLParser):
    """The text of a page, and every attribute through which it could load something."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.references: list[str] = []
        self.feed(text)

    def handle_data(self, data: str) -> None:
        self.words += data.split()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.references += [name for name, _ in attrs if name in ("src", "href", "srcset", "action", "data")]
        self.references += [tag] if tag in ("script", "link", "iframe", "object", "img") else []


def test_the_printed_sheet_has_both_hashes_and_loads_nothing(shop: Workshop, tmp_path: Path) -> None:
    shop.add_root(root=["root"], release=["release"], signers=["root"])
    shop.resign()
    text = succeed("anchor", shop.bundle).stdout
    succeed("anchor", shop.bundle, "--html", tmp_path / "sheet.html")
    html = (tmp_path / "sheet.html").read_text()
    page = Page(html)
    assert page.references == []
    assert "url(" not in html and "@import" not in html and "http" not in html
    for name in ("install.sh", "root.1"):
        digest = hashlib.sha256((shop.bundle / name).read_bytes()).hexdigest()
        groups = [digest[at : at + 8] for at in range(0, 64, 8)]
        start = page.words.index(groups[0])
        assert page.words[start : start + 8] == groups
        assert " ".join(groups[:4]) in text and " ".join(groups[4:]) in text
    assert html.count("(name, signature)") == 2 and ">date<" in html


def test_an_unsigned_folder_has_no_sheet(shop: Workshop) -> None:
    result = islet_bundle("anchor", shop.bundle)
    assert result.exit_code == 6
    assert "is not signed" in result.stderr


@pytest.mark.parametrize(
    ("name", "what", "code"),
    [
        ("install.sh", "install.sh is damaged.", 4),
        ("RELEASE", "RELEASE is damaged.", 4),
        ("SHA256SUMS", "SHA256SUMS.sig.", 3),
        ("root.1", "root.1.sig.", 3),
    ],
)
def test_a_sheet_is_made_only_of_what_was_signed(shop: Workshop, name: str, what: str, code: int) -> None:
    shop.add_root(root=["root"], release=["release"], signers=["root"])
    shop.resign()
    path = shop.bundle / name
    text = path.read_text()
    path.write_text(text.replace("expires: 2", "expires: 3") if name == "root.1" else "# evil\n" + text)
    result = islet_bundle("anchor", shop.bundle)
    assert result.exit_code == code and result.stdout == ""
    assert what in result.stderr and "Send no sheet of it." in result.stderr


def test_a_release_that_too_few_have_signed_has_no_sheet(shop: Workshop) -> None:
    shop.add_root(
        root=["root", "root2"], release=["release", "other"], signers=["root", "root2"], threshold=2
    )
    shop.resign("release")
    result = islet_bundle("anchor", shop.bundle)
    assert result.exit_code == 3 and result.stdout == ""
    assert "1 of 2 needed" in result.stderr


@pytest.mark.parametrize("command", ["verify", "inspect"])
def test_the_anchor_is_taken_as_the_sheet_prints_it(shop: Workshop, command: str) -> None:
    shop.add_root(root=["root"], release=["release"], signers=["root"])
    shop.resign()
    lines = succeed("anchor", shop.bundle).stdout.split("root.1\n")[1].splitlines()
    printed = f"{lines[0]} {lines[1]}".upper()
    succeed(command, shop.bundle, "--anchor", printed)
    other = printed.replace(printed.split()[0], "00000000")
    assert islet_bundle(command, shop.bundle, "--anchor", other).exit_code == 3
    assert islet_bundle(command, shop.bundle, "--anchor", printed[:-1]).exit_code == 2


def test_each_signature_is_also_given_as_a_sigstore_bundle(shop: Workshop, tmp_path: Path) -> None:
    shop.add_root(root=["root"], release=["release", "other"], signers=["root"])
    shop.resign("release", "other")
    before = sorted(shop.bundle.iterdir())
    printed = succeed("sigstore", shop.bundle, "--out", tmp_path / "out").stdout.splitlines()
    assert sorted(shop.bundle.iterdir()) == before
    sums = (shop.bundle / "SHA256SUMS").read_bytes()
    assert len(printed) == 2
    for path in map(Path, printed):
        keyid = path.name.split(".")[1]
        bundle = json.loads(path.read_bytes())
        assert bundle["mediaType"] == "application/vnd.dev.sigstore.bundle.v0.3+json"
        assert bundle.keys() == {"mediaType", "verificationMaterial", "messageSignature"}
        message, public = bundle["messageSignature"], tmp_path / "out" / f"{keyid}.pub"
        assert message["messageDigest"]["algorithm"] == "SHA2_256"
        assert base64.b64decode(message["messageDigest"]["digest"]) == hashlib.sha256(sums).digest()
        signature = base64.b64decode(message["signature"], validate=True)
        assert signature == (shop.bundle / f"SHA256SUMS.sig.{keyid}").read_bytes()
        assert openssl_verifies(public, sums, signature, tmp_path)
        der = subprocess.run(
            ["openssl", "pkey", "-pubin", "-in", public, "-outform", "DER"], capture_output=True, check=True
        ).stdout
        hint = base64.b64encode(hashlib.sha256(der).digest()).decode()
        assert bundle["verificationMaterial"] == {"publicKey": {"hint": hint}, "tlogEntries": []}


def test_a_place_that_cannot_be_written_is_told_in_words(shop: Workshop, tmp_path: Path) -> None:
    shop.add_root(root=["root"], release=["release"], signers=["root"])
    shop.resign()
    (tmp_path / "file").touch()
    for words in (
        ("anchor", shop.bundle, "--html", tmp_path / "not there" / "sheet.html"),
        ("tar", shop.bundle, tmp_path / "not there" / "bundle.tar"),
        ("sigstore", shop.bundle, "--out", tmp_path / "file" / "out"),
        (
            *("root", "init", tmp_path / "file" / "roots"),
            *("--root-key", shop.public("root"), "--release-key", shop.public("release")),
        ),
    ):
        result = islet_bundle(*words)
        assert (result.exit_code, result.stdout) == (6, "")
        assert "cannot be written" in result.stderr


def test_sigstore_bundles_do_not_go_onto_the_medium(shop: Workshop) -> None:
    shop.add_root(root=["root"], release=["release"], signers=["root"])
    shop.resign()
    result = islet_bundle("sigstore", shop.bundle, "--out", shop.bundle)
    assert result.exit_code == 6
    assert "is the bundle itself" in result.stderr
