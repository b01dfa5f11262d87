"""ECDSA P-256 over SHA-256, the one module that knows `cryptography`.

The signature files are what `openssl dgst -sha256 -verify` reads: DER, nothing around it.
"""

from appliance.bundle.root import PublicKey


def verifies(key: PublicKey, signature: bytes, document: bytes) -> bool:
    """Whether `signature` was made by `key`'s owner over `document`."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    try:
        public = serialization.load_der_public_key(key.spki)
        if not isinstance(public, ec.EllipticCurvePublicKey):
            return False
        public.verify(signature, document, ec.ECDSA(hashes.SHA256()))
    except (InvalidSignature, ValueError):
        return False
    return True
