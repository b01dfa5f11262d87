"""Key files: ECDSA P-256 in PKCS #8, encrypted with a passphrase unless that is waived in so many words."""

import base64
import hashlib
import os
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import padding, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from appliance.bundle.root import PublicKey
from appliance.errors import BadInput

_KEY_MODE, _PUBLIC_MODE = 0o600, 0o644
_HEAD_BYTES = 1 << 16
"""A key file has some hundred."""
PASSPHRASE_ROUNDS = 600_000
"""Rounds of PBKDF2-HMAC-SHA256, as OWASP's password storage sheet has them; the library would take 2,048."""


def make_key(path: Path, passphrase: bytes | None) -> PublicKey:
    """Make a key pair: `path` (mode 0600) and `path`.pub (PEM).

    Raises: BadInput, when either exists, or the passphrase is empty (None waives it).
    """
    if passphrase == b"":
        raise BadInput(
            "The passphrase is empty.",
            why="a key is kept without one only when that is said",
            next_step="Give a passphrase, or --no-passphrase.",
        )
    public_path = public_path_of(path)
    for taken in (path, public_path):
        if os.path.lexists(taken):
            raise _exists(taken)
    private = ec.generate_private_key(ec.SECP256R1())
    der = private.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    if passphrase is None:
        pem = _pem("PRIVATE KEY", der)
    else:
        pem = _pem("ENCRYPTED PRIVATE KEY", _encrypted(der, passphrase))
    _write_new(path, pem, _KEY_MODE)
    public = public_of(private.public_key())
    _write_new(public_path, format_public(public), _PUBLIC_MODE)
    return public


def public_path_of(key: Path) -> Path:
    """Where `make_key` puts the public half of `key`."""
    return key.with_name(key.name + ".pub")


def format_public(key: PublicKey) -> bytes:
    """A public key as PEM, for openssl and for people."""
    return serialization.load_der_public_key(key.spki).public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def read_public(path: Path) -> PublicKey:
    """The public key in the PEM file at `path`. Raises: BadInput, when it is not one of P-256."""
    data = _read(path)
    try:
        key = serialization.load_pem_public_key(data)
    except ValueError:
        why = "it is the private half" if b"PRIVATE KEY" in data[:60] else "it holds no public key in PEM"
        raise _not_a_key(path, why, "Give the .pub file that `islet-bundle keygen` made.") from None
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise _not_a_key(path, "it is not an ECDSA P-256 key", "Give a key of that kind.")
    return public_of(key)


def is_encrypted(path: Path) -> bool:
    """Whether the key file at `path` needs a passphrase."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return b"ENCRYPTED" in file.read(_HEAD_BYTES)  # other programs write lines before the key


def read_private(path: Path, passphrase: bytes | None) -> ec.EllipticCurvePrivateKey:
    """The private key in the PEM file at `path`.

    Raises: BadInput, when it is not one of P-256, or the passphrase is missing or wrong.
    """
    data = _read(path)
    try:
        private = serialization.load_pem_private_key(data, passphrase)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        if not is_encrypted(path):
            why = "it holds no private key in PEM"
            raise _not_a_key(path, why, "Give a file that `islet-bundle keygen` made.") from None
        if passphrase is None:
            raise _not_a_key(path, "it needs its passphrase", "Give its passphrase.") from None
        why = "the passphrase does not open it"
        raise _not_a_key(path, why, "Type the passphrase again, or give another key.") from None
    if not isinstance(private, ec.EllipticCurvePrivateKey) or not isinstance(private.curve, ec.SECP256R1):
        raise _not_a_key(path, "it is not an ECDSA P-256 key", "Give a key of that kind.")
    return private


def public_of(key: ec.EllipticCurvePublicKey) -> PublicKey:
    """The public key as the bundle's own code holds it."""
    return PublicKey(
        key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    )


def _encrypted(der: bytes, passphrase: bytes) -> bytes:
    """EncryptedPrivateKeyInfo (RFC 5958) by PBES2, PBKDF2 and AES-256-CBC (RFC 8018); openssl opens it."""
    salt, start = os.urandom(16), os.urandom(16)
    key = hashlib.pbkdf2_hmac("sha256", passphrase, salt, PASSPHRASE_ROUNDS, 32)
    padder, cipher = padding.PKCS7(128).padder(), Cipher(algorithms.AES(key), modes.CBC(start)).encryptor()
    secret = cipher.update(padder.update(der) + padder.finalize()) + cipher.finalize()
    rounds = _tlv(0x02, PASSPHRASE_ROUNDS.to_bytes(4, "big").lstrip(b"\0"))
    derivation = _tlv(0x30, _tlv(0x04, salt), rounds, _tlv(0x30, _HMAC_SHA256, _tlv(0x05)))
    scheme = _tlv(
        0x30,
        _tlv(0x30, _PBKDF2, derivation),
        _tlv(0x30, _AES_256_CBC, _tlv(0x04, start)),
    )
    return _tlv(0x30, _tlv(0x30, _PBES2, scheme), _tlv(0x04, secret))


def _tlv(tag: int, *content: bytes) -> bytes:
    """One DER element of at most 65,535 bytes."""
    body = b"".join(content)
    if len(body) < 0x80:
        return bytes([tag, len(body)]) + body
    length = len(body).to_bytes(2, "big").lstrip(b"\0")
    return bytes([tag, 0x80 | len(length)]) + length + body


def _pem(label: str, der: bytes) -> bytes:
    text = base64.b64encode(der).decode("ascii")
    lines = [text[at : at + 64] for at in range(0, len(text), 64)]
    return "\n".join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""]).encode("ascii")


_PBES2 = bytes.fromhex("06092a864886f70d01050d")
_PBKDF2 = bytes.fromhex("06092a864886f70d01050c")
_HMAC_SHA256 = bytes.fromhex("06082a864886f70d0209")
_AES_256_CBC = bytes.fromhex("060960864801650304012a")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _not_a_key(path, error.strerror or str(error), "Give the path of a key file.") from None


def _write_new(path: Path, content: bytes, mode: int) -> None:
    """Write a file that must not be there yet, with `mode` from its first moment."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        raise _exists(path) from None
    except OSError as error:
        raise BadInput(
            f"{path} cannot be written.",
            why=error.strerror or str(error),
            next_step="Give a name in a folder that is there.",
        ) from None
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _exists(path: Path) -> BadInput:
    return BadInput(f"{path} exists.", why="a key is never overwritten", next_step="Give another name.")


def _not_a_key(path: Path, why: str, next_step: str) -> BadInput:
    return BadInput(f"{path} cannot be used as a key.", why=why, next_step=next_step)
