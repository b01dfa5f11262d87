"""The same signatures in Sigstore's bundle format, for people whose tools read that.

Written beside a bundle, never onto the medium: a site accepts exactly the listed files, roots and
signatures, and a file that nobody there judges has no place among them.
"""

import base64
import hashlib
import json
from pathlib import Path

from appliance.bundle import names
from appliance.bundle.root import PublicKey
from appliance.durable import write_whole
from appliance.errors import BadInput
from bundler.keys import format_public
from bundler.outplace import make_outfolder
from bundler.roots import check_counts
from bundler.sign import release_tally
from bundler.tally import signature_path

MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
"""sigstore/protobuf-specs, protos/sigstore_bundle.proto."""


def sigstore_bundle(document: bytes, signature: bytes, key: PublicKey) -> bytes:
    """One signature as a Sigstore bundle v0.3 with a key hint: no certificate, no log entry, no time.

    Field names are the JSON form of protos/sigstore_bundle.proto and sigstore_common.proto. The hint is
    what sigstore-go derives for a key: the base64 of the SHA-256 of its SubjectPublicKeyInfo.
    """
    bundle = {
        "mediaType": MEDIA_TYPE,
        "verificationMaterial": {
            "publicKey": {"hint": _base64(hashlib.sha256(key.spki).digest())},
            "tlogEntries": [],  # may be left out, but not every reader knows
        },
        "messageSignature": {
            "messageDigest": {
                "algorithm": "SHA2_256",
                "digest": _base64(hashlib.sha256(document).digest()),
            },
            "signature": _base64(signature),
        },
    }
    return (json.dumps(bundle, indent=2) + "\n").encode()


def write_sigstore(folder: Path, out: Path) -> list[Path]:
    """Write SHA256SUMS.KEYID.sigstore.json and KEYID.pub for each signature of `folder` into `out`.

    Raises: BadInput, when `out` is the folder itself or cannot be made, or nobody has signed.
    """
    if out.resolve() == folder.resolve():
        raise BadInput(
            f"{out} is the bundle itself.",
            why="a site refuses a medium with files that are not in the signed list",
            next_step="Give another folder as --out.",
        )
    root, sums = check_counts(folder), folder / names.SUMS
    signed = release_tally(folder, root).signed if sums.is_file() else ()
    if not signed:
        raise BadInput(
            f"{folder} is not a signed bundle.",
            why="no release key has signed SHA256SUMS",
            next_step="Run `islet-bundle sign` first.",
        )
    make_outfolder(out)
    written = []
    for key in signed:
        bundle = sigstore_bundle(sums.read_bytes(), signature_path(sums, key).read_bytes(), key)
        written.append(out / f"{names.SUMS}.{key.keyid}.sigstore.json")
        write_whole(written[-1], bundle)
        write_whole(out / f"{key.keyid}.pub", format_public(key))
    return written


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
