"""Two honest releases by the same signers, mixed; and what a box is told by its surroundings."""

import shutil
from pathlib import Path

from tests.attacks.case import Attack, Change, damaged, extra, flip, not_verifying, signature
from tests.attacks.chain import both
from tests.bundles import WHEEL, Workshop

SECOND = "second"


def two_releases(shop: Workshop) -> None:
    """Release 3, signed like release 2, in a folder beside the bundle; every file differs."""
    first, second = shop.root / "first", shop.root / SECOND
    shutil.copytree(shop.bundle, first)
    for name in ("payload.000.tar", "payload.001.tar"):
        flip(shop.bundle / name, 700)
    for name in ("contents.json", WHEEL, "runtime.tar.gz", "install.sh"):
        path = shop.bundle / name
        path.write_bytes(path.read_bytes().replace(b'"licence": "CC0-1.0"', b'"licence": "MIT"') + b"\n")
    shop.release(number=3)
    shop.list_and_sign()
    shop.bundle.rename(second)
    first.rename(shop.bundle)


def taken(*names: str) -> Change:
    """These files come from the other release."""

    def change(shop: Workshop) -> None:
        two_releases(shop)
        for name in names:
            for path in sorted((shop.root / SECOND).glob(name)):
                shutil.copyfile(path, shop.bundle / path.name)

    return change


def fake_tools(shop: Workshop) -> None:
    """Programs that find everything in order, in a folder that the environment puts first."""
    folder = shop.root / "fake"
    folder.mkdir()
    for tool in ("openssl", "tar", "gzip", "awk", "sed", "grep", "cmp", "tr", "head", "wc", "date"):
        (folder / tool).write_text("#!/bin/sh\necho 0\nexit 0\n")
        (folder / tool).chmod(0o755)


def bad_configuration(shop: Workshop) -> None:
    """An openssl.cnf that sends openssl elsewhere."""
    (shop.root / "openssl.cnf").write_text(
        "openssl_conf = x\n[x]\nproviders = y\n[y]\ndefault = z\n[z]\nactivate = 0\n"
    )


def _told() -> dict[str, Attack]:
    """A damaged volume, and an environment that would hide it from a shell script that trusts it."""
    environments: dict[str, tuple[Change, dict[str, str]]] = {
        "a PATH of other programs": (fake_tools, {"PATH": "{shop}/fake:/usr/bin:/bin"}),
        "another configuration of openssl": (bad_configuration, {"OPENSSL_CONF": "{shop}/openssl.cnf"}),
        "other modules of openssl": (
            fake_tools,
            {"OPENSSL_MODULES": "{shop}/fake", "OPENSSL_ENGINES": "{shop}/fake"},
        ),
        "other libraries": (fake_tools, {"LD_LIBRARY_PATH": "{shop}/fake"}),
        "another field separator": (fake_tools, {"IFS": "/abcdef0123456789"}),
        "a Turkish locale": (fake_tools, {"LANG": "tr_TR.UTF-8"}),
        "a Chinese locale": (fake_tools, {"LANG": "zh_CN.GB18030", "LANGUAGE": "zh"}),
        "a locale of many letters": (fake_tools, {"LC_ALL": "C.UTF-8"}),
        "options for tar": (fake_tools, {"TAR_OPTIONS": "--checkpoint=1 --checkpoint-action=exec=true"}),
        "options for gzip": (fake_tools, {"GZIP": "-f"}),
        "a search path for cd": (fake_tools, {"CDPATH": "{shop}:/tmp"}),
        "a wish for POSIX": (fake_tools, {"POSIXLY_CORRECT": "1"}),
        "options for grep": (fake_tools, {"GREP_OPTIONS": "-v", "GREP_COLORS": "mt=01;31"}),
        "a start file": (fake_tools, {"ENV": "{shop}/fake/date", "BASH_ENV": "{shop}/fake/date"}),
        "another Python": (fake_tools, {"PYTHONPATH": "{shop}/fake", "PYTHONHOME": "{shop}/fake"}),
    }
    return {
        f"a damaged volume, and {how}": Attack(
            both(change, lambda shop: flip(shop.bundle / "payload.001.tar", 700)),
            *damaged("payload.001.tar"),
            environment=environment,
        )
        for how, (change, environment) in environments.items()
    }


def _one_of_each() -> dict[str, Attack]:
    names = (
        "RELEASE",
        "contents.json",
        "install.sh",
        WHEEL,
        "runtime.tar.gz",
        "payload.000.tar",
        "payload.001.tar",
    )
    return {f"another release's {name}": Attack(taken(name), *damaged(name)) for name in names}


def _aside(shop: Workshop) -> Path:
    return shop.root / SECOND


ATTACKS = {
    **_one_of_each(),
    **_told(),
    "another release's list, without its signature": Attack(
        taken("SHA256SUMS"), *not_verifying("SHA256SUMS", "release")
    ),
    "another release's signature": Attack(taken("SHA256SUMS.sig.*"), *not_verifying("SHA256SUMS", "release")),
    "another release's list and signature": Attack(taken("SHA256SUMS*"), *damaged("RELEASE")),
    "another release's list, signature and RELEASE": Attack(
        taken("SHA256SUMS*", "RELEASE"), *damaged("contents.json")
    ),
    "everything of another release but its volumes": Attack(
        taken("SHA256SUMS*", "RELEASE", "contents.json", "install.sh", WHEEL, "runtime.tar.gz"),
        *damaged("payload.000.tar"),
    ),
    "everything of another release but its last volume": Attack(
        taken(
            "SHA256SUMS*",
            "RELEASE",
            "contents.json",
            "install.sh",
            WHEEL,
            "runtime.tar.gz",
            "payload.000.tar",
        ),
        *damaged("payload.001.tar"),
    ),
    "an older release's signed list over a newer release's files": Attack(
        both(
            two_releases,
            lambda shop: [
                shutil.copyfile(path, shop.bundle / path.name)
                for path in _aside(shop).iterdir()
                if not path.name.startswith("SHA256SUMS")
            ],
        ),
        *damaged("RELEASE"),
    ),
    "two releases in one folder": Attack(
        both(
            two_releases,
            lambda shop: shutil.copy(_aside(shop) / WHEEL, shop.bundle / "islet-0.2.0-py3-none-any.whl"),
        ),
        *extra("islet-0.2.0-py3-none-any.whl"),
    ),
    "two lists in one signature's name": Attack(
        both(
            two_releases,
            lambda shop: signature(shop).write_bytes(
                signature(shop).read_bytes() + min(_aside(shop).glob("SHA256SUMS.sig.*")).read_bytes()
            ),
        ),
        3,
        "SHA256SUMS.sig.{release} is not written as it must be.",
        "it is longer than 72 bytes",
    ),
}
