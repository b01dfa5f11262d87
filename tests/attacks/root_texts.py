"""Roots against their grammar, and keys that are none, signed all the same by old and new keys."""

import base64
import functools
from collections.abc import Callable

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from appliance.bundle.root import PublicKey
from tests.attacks.case import CUT_OFF, NO_TEXT, Attack, Change, invalid, malformed, not_verifying
from tests.attacks.chain import Edit, both, edited, key, key_line, offered
from tests.bundles import Workshop

TWICE = "a key stands in it twice"
HIGHER = "a threshold is higher than the number of keys"


def foreign_key(shop: Workshop, kind: str) -> bytes:
    """The SubjectPublicKeyInfo of a key that is no P-256 key, or is written in another way."""
    der, info = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    if kind == "RSA":
        return rsa.generate_private_key(65537, 2048).public_key().public_bytes(der, info)
    if kind == "Ed25519":
        return ed25519.Ed25519PrivateKey.generate().public_key().public_bytes(der, info)
    if kind in ("P-384", "secp256k1"):
        curve = ec.SECP384R1() if kind == "P-384" else ec.SECP256K1()
        return ec.generate_private_key(curve).public_key().public_bytes(der, info)
    spki = key(shop, "release2").spki
    if kind == "compressed P-256":
        return bytes([0x30, 0x39]) + spki[2:23] + bytes([0x03, 0x22, 0, 2 + spki[-1] % 2]) + spki[27:59]
    assert kind == "short P-256"
    return spki[:-1]


def foreign(kind: str) -> Change:
    """root.2 whose release key is of another kind."""

    def change(shop: Workshop) -> None:
        line = b"key release " + base64.b64encode(foreign_key(shop, kind)) + b"\n"
        edited(lambda text: text.replace(key_line(shop, "release", "release2"), line))(shop)

    return change


def added_line(make: Callable[[Workshop], bytes]) -> Change:
    """root.2 with a line more at its end."""
    return lambda shop: edited(lambda text: text + make(shop))(shop)


def respelled(shop: Workshop) -> bytes:
    """The release key again, in base64 whose unused last bits are set."""
    line = key_line(shop, "release", "release2")
    return line[:-4] + bytes([line[-4] + 1]) + line[-3:]


def off_curve(shop: Workshop) -> None:
    """root.2 whose release key is no point of the curve, and the old key's signature under its name."""
    honest = key(shop, "release2").spki
    spki = honest[:-1] + bytes([honest[-1] ^ 1])
    line = b"key release " + base64.b64encode(spki) + b"\n"
    edited(lambda text: text.replace(key_line(shop, "release", "release2"), line), then=("release",))(shop)
    name = PublicKey(spki).keyid
    (shop.root / "keys" / "off-curve.id").write_text(name)
    for old in shop.bundle.glob("SHA256SUMS.sig.*"):
        old.rename(shop.bundle / f"SHA256SUMS.sig.{name}")


def _grammar() -> dict[str, Attack]:
    """root.2, signed by old and new keys, against the grammar of roots."""
    lines = {
        "another format": (b"format: islet-root-1", b"format: islet-root-2", 1, "format"),
        "the format of a release": (b"format: islet-root-1", b"format: islet-release-1", 1, "format"),
        "version 0": (b"version: 2", b"version: 0", 2, "version"),
        "version 02": (b"version: 2", b"version: 02", 2, "version"),
        "version 10000": (b"version: 2", b"version: 10000", 2, "version"),
        "an expiry that is no date": (b"expires: 2099-01-01T00:00:00Z", b"expires: never", 3, "expires"),
        "a root threshold of 0": (b"root-threshold: 1", b"root-threshold: 0", 4, "root-threshold"),
        "a root threshold of -1": (b"root-threshold: 1", b"root-threshold: -1", 4, "root-threshold"),
        "a root threshold of 10": (b"root-threshold: 1", b"root-threshold: 10", 4, "root-threshold"),
        "a root threshold of 2^64+1": (
            b"root-threshold: 1",
            b"root-threshold: 18446744073709551617",
            4,
            "root-threshold",
        ),
        "no root threshold": (b"root-threshold: 1\n", b"", 4, "root-threshold"),
        "a release threshold of 0": (
            b"release-threshold: 1",
            b"release-threshold: 0",
            5,
            "release-threshold",
        ),
        "a release threshold of 1.5": (
            b"release-threshold: 1",
            b"release-threshold: 1.5",
            5,
            "release-threshold",
        ),
        "an empty release threshold": (
            b"release-threshold: 1",
            b"release-threshold: ",
            5,
            "release-threshold",
        ),
        "a line of another order": (b"version: 2\nexpires: ", b"expires: 2\nversion: ", 2, "version"),
    }
    found = {
        f"a root with {how}": Attack(
            edited(functools.partial(_replaced, old, new)), *invalid("root.2", line, field), had=1
        )
        for how, (old, new, line, field) in lines.items()
    }
    keys = {
        "a key of another role": (b"key release ", b"key admin "),
        "a role in capitals": (b"key release ", b"key RELEASE "),
        "two blanks": (b"key release ", b"key release  "),
        "a blank after a key": (b"==\nkey release", b"== \nkey release"),
        "an empty line": (b"==\nkey release", b"==\n\nkey release"),
        "a remark": (b"==\nkey release", b"==\n# ours\nkey release"),
        "a key without its padding": (b"==\nkey release", b"\nkey release"),
        "a key in another alphabet": (b"key root MFkwEwYHKoZI", b"key root MFkwEwYHKo-_"),
    }
    place = {
        "a key of another role": 7,
        "a role in capitals": 7,
        "two blanks": 7,
        "an empty line": 7,
        "a remark": 7,
    }
    for how, (old, new) in keys.items():
        number = place.get(how, 6)
        found[f"a root with {how}"] = Attack(
            edited(functools.partial(_replaced, old, new)), *bad_key(number), had=1
        )
    texts: dict[str, Edit] = {
        "Windows line ends": lambda text: text.replace(b"\n", b"\r\n"),
        "a byte order mark": lambda text: b"\xef\xbb\xbf" + text,
        "a NUL": lambda text: text.replace(b"key root ", b"key root\0"),
        "a tab": lambda text: text.replace(b"key root ", b"key root\t"),
        "a key line in Cyrillic": lambda text: text.replace(b"key root", "kеy root".encode()),
    }
    for how, edit in texts.items():
        found[f"a root with {how}"] = Attack(edited(edit), *malformed("root.2", NO_TEXT), had=1)
    return found


def _replaced(old: bytes, new: bytes, text: bytes) -> bytes:
    assert old in text
    return text.replace(old, new, 1)


def bad_key(line: int) -> tuple[int, str, str]:
    """The answer for a line of keys that is none."""
    return malformed("root.2", f"line {line} must be a valid 'key root ...' or 'key release ...'")


def _foreign() -> dict[str, Attack]:
    kinds = ("RSA", "Ed25519", "P-384", "secp256k1", "compressed P-256", "short P-256")
    return {f"a root with a {kind} key": Attack(foreign(kind), *bad_key(7), had=1) for kind in kinds}


ATTACKS = {
    **_grammar(),
    **_foreign(),
    "a root whose version is another than its name's": Attack(
        edited(lambda text: text.replace(b"version: 2", b"version: 3")),
        *malformed("root.2", "its version is not the one in its name"),
        had=1,
    ),
    "a root that is a copy of the one before": Attack(
        both(
            offered(edit=lambda text: text.replace(b"version: 2", b"version: 1")),
        ),
        *malformed("root.2", "its version is not the one in its name"),
        had=1,
    ),
    "a root without its last line end": Attack(
        edited(lambda text: text[:-1]), *malformed("root.2", CUT_OFF), had=1
    ),
    "a root that is empty": Attack(edited(lambda text: b""), *malformed("root.2", CUT_OFF), had=1),
    "a root without keys": Attack(
        edited(lambda text: text[: text.index(b"key")]), *malformed("root.2", HIGHER), had=1
    ),
    "a root without release keys": Attack(offered(release=()), *malformed("root.2", HIGHER), had=1),
    "a root that asks for more root keys than it has": Attack(
        offered(thresholds=(2, 1)), *malformed("root.2", HIGHER), had=1
    ),
    "a root that asks for more release keys than it has": Attack(
        offered(thresholds=(1, 9)), *malformed("root.2", HIGHER), had=1
    ),
    "a root with a key in two roles": Attack(
        offered(release=("root2",), then=("root2",)), *malformed("root.2", TWICE), had=1
    ),
    "a root with a root key twice, to reach its threshold": Attack(
        offered(root=("root2", "root2"), thresholds=(2, 1)), *malformed("root.2", TWICE), had=1
    ),
    "a root with a release key twice, to reach its threshold": Attack(
        offered(release=("release2", "release2"), thresholds=(1, 2)), *malformed("root.2", TWICE), had=1
    ),
    "a root with one key in two spellings": Attack(added_line(respelled), *bad_key(8), had=1),
    "a root with more than 100 keys": Attack(
        added_line(lambda shop: b"".join(key_line(shop, "release", "release2") for _ in range(99))),
        *malformed("root.2", "it has more than 100 keys"),
        had=1,
    ),
    "a root that is longer than its cap": Attack(
        edited(lambda text: text + b"x" * 1_000_000),
        *malformed("root.2", "it is longer than 1000000 bytes"),
        had=1,
    ),
    "a root whose release key is no point of its curve": Attack(
        off_curve, *not_verifying("SHA256SUMS", "off-curve"), had=1
    ),
    "a root with 10,000 empty lines": Attack(edited(lambda text: text + b"\n" * 10_000), *bad_key(8), had=1),
}
