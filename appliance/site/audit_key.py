"""The key that signs the audit log, made on this box and never taken off it: ECDSA P-256.

Beside `appliance.bundle.signature` the one module that knows `cryptography`. It lies in the wheels, so before
they are installed there is no key, and entries wait for the next one to be signed.
"""

import hashlib
import importlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.bundle.root import PublicKey
from appliance.durable import write_whole

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec


@dataclass(frozen=True)
class LogKey:
    """The private half; the public one lies beside it."""

    private: "ec.EllipticCurvePrivateKey"
    public: PublicKey

    def sign(self, document: bytes) -> bytes:
        """DER signature over the SHA-256 of `document`, as `openssl dgst -sha256 -verify` reads it."""
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec

        return self.private.sign(document, ec.ECDSA(hashes.SHA256()))


def fingerprint(key: PublicKey) -> str:
    """SHA-256 of the key's DER, 64 hex digits: what an auditor writes down."""
    return hashlib.sha256(key.spki).hexdigest()


def read_key(path: Path) -> LogKey | None:
    """The key in the file at `path`; None when there is none that can be read as one."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as file:
            private = serialization.load_pem_private_key(file.read(10_000), None)
    except (FileNotFoundError, ValueError, TypeError):
        return None
    if not isinstance(private, ec.EllipticCurvePrivateKey) or not isinstance(private.curve, ec.SECP256R1):
        return None
    return LogKey(private, PublicKey(_spki(private.public_key())))


def make_key() -> LogKey:
    """A new key, nowhere written yet."""
    from cryptography.hazmat.primitives.asymmetric import ec

    private = ec.generate_private_key(ec.SECP256R1())
    return LogKey(private, PublicKey(_spki(private.public_key())))


def write_private(key: LogKey, path: Path) -> None:
    """Put the private half at `path`, in PEM, for its owner alone."""
    from cryptography.hazmat.primitives import serialization

    pem = key.private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    write_whole(path, pem, mode=0o600)


def write_public(key: LogKey, path: Path) -> None:
    """Put the public half at `path`, in PEM, for everybody."""
    from cryptography.hazmat.primitives import serialization

    pem = key.private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    write_whole(path, pem, mode=0o644)


def read_public(path: Path) -> PublicKey | None:
    """The public key in the PEM file at `path`; None when there is none of that kind."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    try:
        key = serialization.load_pem_public_key(path.read_bytes()[:10_000])
    except (FileNotFoundError, ValueError):
        return None
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        return None
    return PublicKey(_spki(key))


def can_sign() -> bool:
    """Whether the library that signs is installed."""
    try:
        # Wheels may have been installed since this process last looked.
        importlib.invalidate_caches()
        importlib.import_module("cryptography.hazmat.primitives.asymmetric.ec")
    except ImportError:
        return False
    return True


def _spki(key: "ec.EllipticCurvePublicKey") -> bytes:
    from cryptography.hazmat.primitives import serialization

    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
