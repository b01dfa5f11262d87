"""Signing keys and roots: who may sign, written down and signed.

A key is ECDSA P-256 in PKCS #8, encrypted with a passphrase unless that is waived in so many
words. Signatures are what `openssl dgst -sha256 -sign` makes.
"""

import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from appliance.bundle.root import PublicKey, Root, format_root, parse_root
from appliance.errors import BadInput, UntrustedBundle

ROOT_DAYS = 3650
"""How long a root is good unless told otherwise."""


def make_key(path: Path, passphrase: bytes | None) -> PublicKey:
    """Make a key pair: `path` (mode 0600) and `path`.pub (PEM). Raises: BadInput, when `path` exists."""
    private = ec.generate_private_key(ec.SECP256R1())
    protection: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if passphrase:
        protection = serialization.BestAvailableEncryption(passphrase)
    pem = private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, protection)
    public = private.public_key()
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise BadInput(
            f"{path} exists.", why="a key is never overwritten", next_step="Give another name."
        ) from None
    with os.fdopen(handle, "wb") as file:
        file.write(pem)
    path.with_name(path.name + ".pub").write_bytes(
        public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    return _public(public)


def read_public(path: Path) -> PublicKey:
    """The public key in the PEM file at `path`. Raises: BadInput, when it is not one of P-256."""
    try:
        key = serialization.load_pem_public_key(path.read_bytes())
    except (OSError, ValueError) as error:
        raise _not_a_key(path, str(error)) from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise _not_a_key(path, "it is not an ECDSA P-256 key")
    return _public(key)


def sign(document: bytes, key: Path, passphrase: bytes | None) -> tuple[PublicKey, bytes]:
    """The signer's public key and the DER signature over `document`.

    Raises: BadInput, when the file is not a P-256 key or the passphrase does not open it.
    """
    try:
        private = serialization.load_pem_private_key(key.read_bytes(), passphrase)
    except (OSError, ValueError, TypeError) as error:
        raise _not_a_key(key, str(error)) from error
    if not isinstance(private, ec.EllipticCurvePrivateKey) or not isinstance(private.curve, ec.SECP256R1):
        raise _not_a_key(key, "it is not an ECDSA P-256 key")
    return _public(private.public_key()), private.sign(document, ec.ECDSA(hashes.SHA256()))


def make_root(
    folder: Path, root_keys: Sequence[Path], release_keys: Sequence[Path], threshold: int, days: int
) -> Path:
    """Write the next root into `folder` (root.1 if there is none), naming these public keys.

    It counts only once it is signed (`sign_root`) by `threshold` of its root keys and, after the
    first, by those of the root before.

    Raises: BadInput, when a key is not one or the threshold is higher than the number of keys.
    """
    root = Root(
        version=newest_root(folder) + 1,
        expires=(datetime.now(UTC) + timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ"),
        root_threshold=threshold,
        release_threshold=threshold,
        root_keys=tuple(read_public(path) for path in root_keys),
        release_keys=tuple(read_public(path) for path in release_keys),
    )
    text = format_root(root)
    try:
        parse_root(root.name, text)
    except UntrustedBundle as error:
        raise BadInput(
            "No site would accept this root.", why=error.why, next_step="Give other keys."
        ) from None
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / root.name
    path.write_bytes(text)
    return path


def sign_root(path: Path, key: Path, passphrase: bytes | None) -> Path:
    """Add one signature to a root; the signature's path. Raises: BadInput."""
    return write_signature(path, key, passphrase)


def write_signature(document: Path, key: Path, passphrase: bytes | None) -> Path:
    """Sign the file `document` into `document`.sig.<keyid>, beside it. Raises: BadInput."""
    public, signature = sign(document.read_bytes(), key, passphrase)
    path = document.with_name(f"{document.name}.sig.{public.keyid}")
    path.write_bytes(signature)
    return path


def newest_root(folder: Path) -> int:
    """The highest version of a root in `folder`; 0 if there is none."""
    versions = [int(path.name[5:]) for path in folder.glob("root.*") if path.name[5:].isdigit()]
    return max(versions, default=0)


def _public(key: ec.EllipticCurvePublicKey) -> PublicKey:
    return PublicKey(
        key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    )


def _not_a_key(path: Path, why: str) -> BadInput:
    return BadInput(
        f"{path} cannot be used as a key.",
        why=why,
        next_step="Give a PEM file made by `islet-bundle keygen`, and its passphrase.",
    )
