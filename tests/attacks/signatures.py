"""Signature files that are malformed, or by other means than they must be, each in place of an honest one.

`openssl dgst -verify` judges them in install.sh and `cryptography` in the appliance: both must refuse, alike.
One alteration is in order: (r, n - s) is a signature by the same key over the same bytes whenever (r, s) is
(ECDSA verifies by a point's x, which both signs of s share). Different keys are counted and never signatures,
so nothing follows from it.
"""

import base64
import functools
import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature

from appliance.bundle.names import SIGNATURE_BYTES
from tests.attacks.case import Attack, Change, keyid, malformed, not_verifying
from tests.bundles import Workshop

N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""Order of P-256's group (SEC 2, 2.4.2)."""
P = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF
"""Prime of P-256's field (SEC 2, 2.4.2)."""

ROOM = 70
"""Forgeries start from a signature of at most so many bytes: what is added does not make it too long."""


@dataclass(frozen=True)
class Honest:
    """What a forger has: the signature, the document, and for what only a key holder can make, the key."""

    signature: bytes
    document: bytes
    key: ec.EllipticCurvePrivateKey

    @property
    def numbers(self) -> tuple[int, int]:
        """r and s."""
        return decode_dss_signature(self.signature)


Forge = Callable[[Honest], bytes]


def integer(value: int) -> bytes:
    """The shortest two's complement, as DER wants it."""
    return value.to_bytes((value if value >= 0 else ~value).bit_length() // 8 + 1, "big", signed=True)


def tagged(tag: int, body: bytes) -> bytes:
    """A DER element of fewer than 128 bytes."""
    return bytes([tag, len(body)]) + body


def encoded(r: int, s: int) -> bytes:
    """The DER form of (r, s), whatever they are."""
    return tagged(0x30, tagged(2, integer(r)) + tagged(2, integer(s)))


def bent(change: Callable[[bytes, bytes], bytes]) -> Forge:
    """Made from the elements of r and s."""
    return lambda honest: change(*(tagged(2, integer(value)) for value in honest.numbers))


def valued(change: Callable[[int, int], tuple[int, int]]) -> Forge:
    """Well-formed, with other numbers."""
    return lambda honest: encoded(*change(*honest.numbers))


def sequence(*elements: bytes) -> bytes:
    return tagged(0x30, b"".join(elements))


def raw(honest: Honest) -> bytes:
    """r and s, 32 bytes each, as JOSE and PKCS #11 have it."""
    return b"".join(value.to_bytes(32, "big") for value in honest.numbers)


def by_curve(curve: ec.EllipticCurve) -> Forge:
    return lambda honest: ec.generate_private_key(curve).sign(honest.document, ec.ECDSA(hashes.SHA256()))


def by_digest(algorithm: hashes.HashAlgorithm) -> Forge:
    """By the right key, over another digest of the document."""
    return lambda honest: honest.key.sign(honest.document, ec.ECDSA(algorithm))


def over(change: Callable[[bytes], bytes]) -> Forge:
    """By the right key, over something else."""
    return lambda honest: honest.key.sign(change(honest.document), ec.ECDSA(hashes.SHA256()))


def prehashed(honest: Honest) -> bytes:
    digest = hashlib.sha256(hashlib.sha256(honest.document).digest()).digest()
    return honest.key.sign(digest, ec.ECDSA(Prehashed(hashes.SHA256())))


def by_rsa(honest: Honest) -> bytes:
    return rsa.generate_private_key(65537, 2048).sign(honest.document, padding.PKCS1v15(), hashes.SHA256())


def by_dsa(honest: Honest) -> bytes:
    return dsa.generate_private_key(2048).sign(honest.document, hashes.SHA256())


def pem(honest: Honest) -> bytes:
    text = base64.encodebytes(honest.signature).decode()
    return f"-----BEGIN SIGNATURE-----\n{text}-----END SIGNATURE-----\n".encode()


NUMBERS: dict[str, Forge] = {
    "r and s 0 (CVE-2022-21449)": valued(lambda r, s: (0, 0)),
    "r 0": valued(lambda r, s: (0, s)),
    "s 0": valued(lambda r, s: (r, 0)),
    "r n": valued(lambda r, s: (N, s)),
    "s n": valued(lambda r, s: (r, N)),
    "r and s n": valued(lambda r, s: (N, N)),
    "r p": valued(lambda r, s: (P, s)),
    "n more than r": valued(lambda r, s: (r + N, s)),
    "n more than s": valued(lambda r, s: (r, s + N)),
    "n less than r": valued(lambda r, s: (r - N, s)),
    "n less than s": valued(lambda r, s: (r, s - N)),
    "minus r": valued(lambda r, s: (-r, s)),
    "minus s": valued(lambda r, s: (r, -s)),
    "r another one's negative, n - r": valued(lambda r, s: (N - r, s)),
    "r 1": valued(lambda r, s: (1, s)),
    "s 1": valued(lambda r, s: (r, 1)),
    "r and s 1": valued(lambda r, s: (1, 1)),
    "r and s n - 1": valued(lambda r, s: (N - 1, N - 1)),
    "r 2^256 - 1": valued(lambda r, s: (2**256 - 1, s)),
    "s 2^256 - 1": valued(lambda r, s: (r, 2**256 - 1)),
    "r one more": valued(lambda r, s: (r + 1, s)),
    "s one more": valued(lambda r, s: (r, s + 1)),
    "r and s swapped": valued(lambda r, s: (s, r)),
    "r twice": valued(lambda r, s: (r, r)),
    "s twice": valued(lambda r, s: (s, s)),
    "s half": valued(lambda r, s: (r, s // 2)),
}
"""Well-formed DER of other numbers."""

FORMS: dict[str, Forge] = {
    "the length of all in long form": bent(lambda r, s: b"\x30\x81" + sequence(r, s)[1:]),
    "the length of all in three bytes": bent(lambda r, s: b"\x30\x82\0" + sequence(r, s)[1:]),
    "the length of r in long form": bent(lambda r, s: sequence(b"\x02\x81" + r[1:], s)),
    "the length of s in long form": bent(lambda r, s: sequence(r, b"\x02\x81" + s[1:])),
    "an indefinite length": bent(lambda r, s: b"\x30\x80" + r + s + b"\0\0"),
    "an indefinite length without an end": bent(lambda r, s: b"\x30\x80" + r + s),
    "a reserved length": bent(lambda r, s: b"\x30\xff" + r + s),
    "a length of 2^32 - 1": bent(lambda r, s: (b"\x30\x84\xff\xff\xff\xff" + r + s)[:SIGNATURE_BYTES]),
    "a length of 2^64 - 1 in r": bent(lambda r, s: sequence(b"\x02\x88" + b"\xff" * 8 + r[2:40])),
    "a length one too short": bent(lambda r, s: bytes([0x30, len(r + s) - 1]) + r + s),
    "a length one too long": bent(lambda r, s: bytes([0x30, len(r + s) + 1]) + r + s),
    "a length of r one too long": bent(lambda r, s: sequence(bytes([2, r[1] + 1]) + r[2:], s)),
    "a length of r one too short": bent(lambda r, s: sequence(bytes([2, r[1] - 1]) + r[2:], s)),
    "a length of s one too long": bent(lambda r, s: sequence(r, bytes([2, s[1] + 1]) + s[2:])),
    "a zero too many before r": bent(lambda r, s: sequence(tagged(2, b"\0" + r[2:]), s)),
    "a zero too many before s": bent(lambda r, s: sequence(r, tagged(2, b"\0" + s[2:]))),
    "r without its sign": lambda honest: sequence(
        tagged(2, b"\x80" + honest.numbers[0].to_bytes(32, "big")[1:]), tagged(2, integer(honest.numbers[1]))
    ),
    "r empty": bent(lambda r, s: sequence(b"\x02\0", s)),
    "s empty": bent(lambda r, s: sequence(r, b"\x02\0")),
    "both empty": lambda honest: sequence(b"\x02\0", b"\x02\0"),
    "no numbers": lambda honest: b"\x30\0",
    "r alone": bent(lambda r, s: sequence(r)),
    "three numbers": bent(lambda r, s: sequence(b"\x02\x01\0", r, s)[:SIGNATURE_BYTES]),
    "a NULL after s": bent(lambda r, s: sequence(r, s[:-2], b"\x05\0")),
    "a set for a sequence": bent(lambda r, s: b"\x31" + sequence(r, s)[1:]),
    "a primitive sequence": bent(lambda r, s: b"\x10" + sequence(r, s)[1:]),
    "a context's tag": bent(lambda r, s: b"\xa0" + sequence(r, s)[1:]),
    "an application's tag": bent(lambda r, s: b"\x70" + sequence(r, s)[1:]),
    "a tag in long form": bent(lambda r, s: b"\x3f\x10" + sequence(r, s)[1:]),
    "r as bytes": bent(lambda r, s: sequence(b"\x04" + r[1:], s)),
    "r as bits": bent(lambda r, s: sequence(b"\x03" + r[1:], s)),
    "r as an enumeration": bent(lambda r, s: sequence(b"\x0a" + r[1:], s)),
    "r as pieces": bent(lambda r, s: sequence(b"\x22" + r[1:], s)),
    "s as a truth value": bent(lambda r, s: sequence(r, b"\x01" + s[1:])),
    "no tag of all": bent(lambda r, s: r + s),
    "a byte before it": lambda honest: b"\0" + honest.signature[:71],
    "a byte order mark before it": lambda honest: (b"\xef\xbb\xbf" + honest.signature)[:72],
    "a last byte less": lambda honest: honest.signature[:-1],
    "a first byte less": lambda honest: honest.signature[1:],
    "a first half alone": lambda honest: honest.signature[:35],
    "one byte": lambda honest: b"\x30",
    "nothing": lambda honest: b"",
    "r and s side by side": raw,
    "s and r side by side": lambda honest: raw(honest)[32:] + raw(honest)[:32],
    "r and s side by side, little end first": lambda honest: raw(honest)[31::-1] + raw(honest)[:31:-1],
    "zeros": lambda honest: bytes(70),
    "ones": lambda honest: b"\xff" * 72,
    "the words of openssl": lambda honest: b"Verified OK\n",
    "the digest itself": lambda honest: hashlib.sha256(honest.document).digest(),
    "an HMAC with the public key": lambda honest: hmac.digest(
        honest.key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        ),
        honest.document,
        "sha256",
    ),
}
"""Not the one DER form of the honest numbers."""

MAKERS: dict[str, Forge] = {
    "another key of the curve": by_curve(ec.SECP256R1()),
    "a key of secp256k1": by_curve(ec.SECP256K1()),
    "a key of brainpoolP256r1": by_curve(ec.BrainpoolP256R1()),
    "a key of P-224": by_curve(ec.SECP224R1()),
    "an Ed25519 key": lambda honest: ed25519.Ed25519PrivateKey.generate().sign(honest.document),
    "a DSA key": by_dsa,
    "the right key over a SHA-1": by_digest(hashes.SHA1()),  # noqa: S303  (that it is refused is the point)
    "the right key over a SHA-224": by_digest(hashes.SHA224()),
    "the right key over a SHA-384": by_digest(hashes.SHA384()),
    "the right key over a SHA-512": by_digest(hashes.SHA512()),
    "the right key over a SHA3-256": by_digest(hashes.SHA3_256()),
    "the right key over the digest of the digest": prehashed,
    "the right key over the digest as text": over(lambda data: hashlib.sha256(data).hexdigest().encode()),
    "the right key over nothing": over(lambda data: b""),
    "the right key over all but the last line end": over(lambda data: data[:-1]),
    "the right key over Windows line ends": over(lambda data: data.replace(b"\n", b"\r\n")),
    "the right key over the document twice": over(lambda data: data + data),
    "the right key over the document's first 64 bytes": over(lambda data: data[:64]),
    "the right key over a sorted document": over(lambda data: b"".join(sorted(data.splitlines(True)))[::-1]),
}
"""Well-formed signatures, at most 72 bytes, of something else or by somebody else."""

LONG: dict[str, Forge] = {
    "twice": lambda honest: honest.signature * 2,
    "twice, as two elements of one": lambda honest: b"\x30\x81\x8c" + honest.signature * 2,
    "another signature by the same key after it": lambda honest: (
        honest.signature + by_digest(hashes.SHA256())(honest)
    ),
    "base64": lambda honest: base64.b64encode(honest.signature),
    "base64 in lines": lambda honest: base64.encodebytes(honest.signature),
    "base64 of r and s": lambda honest: base64.urlsafe_b64encode(raw(honest)).rstrip(b"="),
    "hexadecimal": lambda honest: honest.signature.hex().encode(),
    "PEM": pem,
    "a signature with its algorithm": lambda honest: (
        b"\x30\x57\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02\x03"
        + tagged(0, b"\0" + honest.signature)[1:]
    ),
    "a sequence around it, filled up": lambda honest: tagged(0x30, honest.signature + b"\x05\0" * 2),
    "many line ends after it": lambda honest: honest.signature + b"\n" * 10,
    "many zeros after it": lambda honest: honest.signature + bytes(10),
    "zeros between r and s": bent(lambda r, s: tagged(0x30, r + bytes(10) + s)),
    "ten zeros before r": bent(lambda r, s: sequence(tagged(2, bytes(10) + r[2:]), s)),
    "a P-384 key's": by_curve(ec.SECP384R1()),
    "a P-521 key's": by_curve(ec.SECP521R1()),
    "an RSA key's": by_rsa,
    "73 bytes": lambda honest: bytes(73),
    "a million bytes": lambda honest: honest.signature + bytes(1_000_000),
}
"""Longer than any DER signature on P-256."""

TRAILING: dict[str, bytes] = {
    "a zero": b"\0",
    "a line end": b"\n",
    "a blank": b" ",
    "a byte": b"\x30",
    "an end of contents": b"\0\0",
}


SHORT: dict[str, Forge] = {
    f"{how} after it": functools.partial(lambda more, honest: honest.signature + more, more)
    for how, more in TRAILING.items()
} | {
    "itself in bytes": lambda honest: tagged(0x04, honest.signature),
    "itself in a sequence": lambda honest: tagged(0x30, honest.signature),
    "itself in bits, cut": lambda honest: tagged(0x03, b"\0" + honest.signature[:69]),
}
"""A genuine signature, with more."""


def in_place(document: str, key: str, forge: Forge) -> Change:
    """The signature of `document` by `key` is what `forge` makes of it."""

    def change(shop: Workshop) -> None:
        path: Path = shop.bundle / f"{document}.sig.{keyid(shop, key)}"
        private = serialization.load_pem_private_key(shop.key(key).read_bytes(), None)
        assert isinstance(private, ec.EllipticCurvePrivateKey)
        data = (shop.bundle / document).read_bytes()
        made = path.read_bytes()
        while len(made) > ROOM:
            made = private.sign(data, ec.ECDSA(hashes.SHA256()))
        path.write_bytes(forge(Honest(made, data, private)))

    return change


FITTING = NUMBERS | FORMS | MAKERS | SHORT
TOO_LONG = f"it is longer than {SIGNATURE_BYTES} bytes"

ATTACKS = {
    f"the list's signature is {how}": Attack(
        in_place("SHA256SUMS", "release", forge), *not_verifying("SHA256SUMS", "release")
    )
    for how, forge in FITTING.items()
} | {
    f"the list's signature is too long: {how}": Attack(
        in_place("SHA256SUMS", "release", forge), *malformed("SHA256SUMS.sig.{release}", TOO_LONG)
    )
    for how, forge in LONG.items()
}
ATTACKS |= {
    f"a root's signature is {how}": Attack(
        in_place("root.1", "root", forge), *not_verifying("root.1", "root")
    )
    for how, forge in list(FITTING.items())[::5]
}

ACCEPTED = {
    "the list's signature has the other s, n - s": Attack(
        in_place("SHA256SUMS", "release", valued(lambda r, s: (r, N - s))), 0, "", ""
    ),
    "the list is signed by the same key again": Attack(
        in_place("SHA256SUMS", "release", over(bytes)), 0, "", ""
    ),
}
