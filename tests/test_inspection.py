"""`islet-bundle inspect`: what is inside, who signed, what is missing; the exit code that `verify` gives."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bundles import PAST, Workshop, make_workshop

BUNDLER = Path(sys.prefix) / "bin" / "islet-bundle"


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    return make_workshop(tmp_path / "shop")


def run(command: str, shop: Workshop, *options: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([BUNDLER, command, shop.bundle, *options], capture_output=True, text=True)


def seen(shop: Workshop) -> dict[str, object]:
    """What `--json` says; its exit code, and what it prints on stderr, are those of `verify`."""
    done, judged = run("inspect", shop, "--json"), run("verify", shop)
    found: dict[str, object] = json.loads(done.stdout)
    assert done.returncode == judged.returncode == found["exit_code"]
    assert [line for line in done.stderr.splitlines() if not line.startswith("  ")] == [
        line for line in judged.stderr.splitlines() if not line.startswith("  ")
    ]
    assert found["accepted"] is (done.returncode == 0)
    return found


def test_says_what_is_inside_by_kind(shop: Workshop) -> None:
    found = seen(shop)
    assert (found["product"], found["number"], found["missing"]) == ("islet-test", 2, [])
    assert found["kinds"] == [
        {"kind": "model", "components": 1, "files": 2, "size": 2_500_700, "left_out": 0},
        {"kind": "tool", "components": 1, "files": 1, "size": 512, "left_out": 0},
        {"kind": "wheel", "components": 1, "files": 1, "size": 0, "left_out": 0},
    ]
    assert found["licences"] == [{"licence": "CC0-1.0", "components": 1}]
    assert [each["path"] for each in found["largest"]][0] == "models/islet/tiny/model.safetensors"  # type: ignore[attr-defined]
    assert (found["signatures_valid"], found["signatures_needed"]) == (1, 1)


def test_a_person_reads_the_same(shop: Workshop) -> None:
    done = run("inspect", shop)
    assert done.returncode == 0
    assert "islet-test, release 2" in done.stdout
    assert ["model", "1", "2", "2.5", "MB", "2.5", "MB"] in [
        line.split() for line in done.stdout.splitlines()
    ]
    keyid = next(shop.bundle.glob("SHA256SUMS.sig.*")).name.rpartition(".")[2]
    assert f"{keyid}  valid" in done.stdout
    assert "1 of 1 needed, by the release keys of root.1" in done.stdout
    assert "accepts it" in done.stdout


def test_shows_what_an_unsigned_one_holds_and_lacks(shop: Workshop) -> None:
    for path in shop.bundle.glob("SHA256SUMS.sig.*"):
        path.unlink()
    found = seen(shop)
    assert found["exit_code"] == 3
    assert found["missing"] == ["Not signed: 0 of 1 release keys of root.1."]
    assert "Not signed: 0 of 1" in run("inspect", shop).stdout


def test_says_so_when_there_is_no_root(shop: Workshop) -> None:
    for path in shop.bundle.glob("root.*"):
        path.unlink()
    found = seen(shop)
    assert found["exit_code"] == 4
    assert found["root"] is None
    assert len(found["missing"]) == 1  # type: ignore[arg-type]


def test_counts_keys_and_says_how_many_are_missing(shop: Workshop) -> None:
    shop.add_root(root=["root", "two"], release=["release", "second"], signers=["root", "two"], threshold=2)
    shop.resign("release")
    found = seen(shop)
    assert found["missing"] == ["Not signed by enough keys: 1 of 2 release keys of root.2."]
    shop.resign("release", "second")
    found = seen(shop)
    assert (found["missing"], found["signatures_valid"], found["signatures_needed"]) == ([], 2, 2)


def test_tells_every_reason_at_once(shop: Workshop) -> None:
    shop.release(expires=PAST, root_version=2)
    shop.relist()
    found = seen(shop)
    keyid = next(shop.bundle.glob("SHA256SUMS.sig.*")).name.rpartition(".")[2]
    assert found["signatures"] == [{"keyid": keyid, "known": True, "valid": False}]
    assert found["missing"] == [
        "Not signed: 0 of 1 release keys of root.1.",
        "It needs root.2, the newest here is root.1.",
        f"SHA256SUMS.sig.{keyid} does not verify: remove it, sign again.",
        f"The release expired on {PAST}: lock and build it again.",
    ]


def test_names_a_signature_by_a_key_that_may_not_sign(shop: Workshop) -> None:
    (shop.bundle / "SHA256SUMS.sig.0123456789abcdef").write_bytes(b"x" * 70)
    found = seen(shop)
    assert found["missing"] == ["SHA256SUMS.sig.0123456789abcdef is by a key that may not sign: remove it."]


def test_a_root_that_has_expired_is_named(shop: Workshop) -> None:
    shop.add_root(root=["root"], release=["release"], signers=["root"], days=-1)
    shop.resign()
    missing = seen(shop)["missing"]
    assert isinstance(missing, list)
    assert len(missing) == 1
    assert missing[0].startswith("root.2 expired on ")


def test_damage_is_told_and_the_rest_shown(shop: Workshop) -> None:
    with (shop.bundle / "payload.000.tar").open("r+b") as file:
        file.seek(2000)
        file.write(b"x")
    found = seen(shop)
    assert found["exit_code"] == 4
    assert found["number"] == 2


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        ("payload.000.tar", "payload.000.tar is damaged."),
        ("notes.txt", "notes.txt is not in the signed list."),
    ],
)
def test_damage_of_what_nobody_has_signed_yet_is_told_too(shop: Workshop, harm: str, said: str) -> None:
    for signature in shop.bundle.glob("SHA256SUMS.sig.*"):
        signature.unlink()
    with (shop.bundle / harm).open("ab") as file:
        file.write(b"x")
    missing = seen(shop)["missing"]
    assert isinstance(missing, list)
    assert missing[0].startswith("Not signed") and missing[1].startswith(said)


def test_refuses_what_does_not_say_what_it_is(shop: Workshop) -> None:
    (shop.bundle / "contents.json").write_bytes(b"{}")
    done, judged = run("inspect", shop), run("verify", shop)
    assert done.returncode == judged.returncode == 4
    assert done.stdout == ""


@pytest.mark.parametrize(
    "body", [b"{}", b"[]", b"{", b'{"metadata": {"properties": [1]}, "components": [{}]}', b"\xff"]
)
def test_an_sbom_that_cannot_be_read_says_nothing(shop: Workshop, body: bytes) -> None:
    (shop.bundle / "sbom.cdx.json").write_bytes(body)
    shop.list_and_sign()
    found = seen(shop)
    assert (found["accepted"], found["target"], found["conda_packages"]) == (True, {}, 0)


def test_takes_target_and_conda_packages_from_the_sbom(shop: Workshop) -> None:
    properties = [{"name": "islet:target:python", "value": "3.12"}, {"name": "islet:expires", "value": PAST}]
    packages = [
        {"bom-ref": "conda:a", "name": "a", "version": "1", "licenses": [{"license": {"name": "Own"}}]},
        {"bom-ref": "conda:b", "name": "b", "version": "1", "licenses": []},
        {"bom-ref": "wheel:c", "name": "c", "version": "1", "licenses": []},
    ]
    document = {"metadata": {"properties": properties}, "components": packages}
    (shop.bundle / "sbom.cdx.json").write_text(json.dumps(document))
    shop.list_and_sign()
    found = seen(shop)
    assert found["target"] == {"python": "3.12"}
    assert found["conda_packages"] == 2
    assert found["licences"] == [
        {"licence": "not stated", "components": 1},
        {"licence": "CC0-1.0", "components": 1},
        {"licence": "Own", "components": 1},
    ]
    assert "2 conda packages" in run("inspect", shop).stdout
