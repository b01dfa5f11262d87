"""Roots: numbered lists of the keys that a site believes, each signed by the one before.

A root names root keys, which sign the next root, and release keys, which sign SHA256SUMS.
Keys are ECDSA P-256 public keys as base64 of their 91-byte SubjectPublicKeyInfo (RFC 5480),
which always starts with the same 27 bytes: any other kind of key breaks the grammar. The last digit
has four bits that no byte uses; they are 0 (RFC 4648, 3.5), so that a key has one spelling.
"""

import base64
import hashlib
import re
from dataclasses import dataclass

from appliance.bundle import names
from appliance.bundle.refusal import malformed
from appliance.bundle.text import read_field, read_lines
from appliance.sentence import say

FORMAT = "islet-root-1"
KEY_LINE = re.compile(r"key (root|release) (MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE[A-Za-z0-9+/]{85}[AQgw]==)")
MOST_KEYS = 100
"""Far more than a threshold of 9 needs, and few enough to be judged in a moment by a shell."""
_COUNT = re.compile(r"[1-9]")
_VERSION = re.compile(r"[1-9][0-9]{0,3}")


@dataclass(frozen=True)
class PublicKey:
    """A P-256 public key."""

    spki: bytes
    """91 bytes of DER SubjectPublicKeyInfo."""

    @property
    def keyid(self) -> str:
        """First 16 hex digits of the SHA-256 of the DER; names signature files."""
        return hashlib.sha256(self.spki).hexdigest()[:16]


@dataclass(frozen=True)
class Root:
    """One version of the list of keys."""

    version: int
    expires: str
    """UTC. Only the newest root's expiry counts."""
    root_threshold: int
    """How many different root keys must sign this root and the next."""
    release_threshold: int
    """How many different release keys must sign a SHA256SUMS."""
    root_keys: tuple[PublicKey, ...]
    release_keys: tuple[PublicKey, ...]

    @property
    def name(self) -> str:
        """The file's name: `root.N`."""
        return f"root.{self.version}"


def format_root(root: Root) -> bytes:
    """A root as it is written."""
    head = (
        f"format: {FORMAT}\n"
        f"version: {root.version}\n"
        f"expires: {root.expires}\n"
        f"root-threshold: {root.root_threshold}\n"
        f"release-threshold: {root.release_threshold}\n"
    )
    keys = [("root", key) for key in root.root_keys] + [("release", key) for key in root.release_keys]
    return (
        head + "".join(f"key {role} {base64.b64encode(key.spki).decode()}\n" for role, key in keys)
    ).encode()


def parse_root(name: str, data: bytes) -> Root:
    """The root that the file called `name` states.

    Raises: UntrustedBundle, when the grammar is broken, the version is not the one in the name, there are
    too many keys, one stands twice, or a threshold asks for more than there are.
    """
    lines = read_lines(name, data)
    read_field(name, lines, 0, "format", re.compile(re.escape(FORMAT)))
    version = int(read_field(name, lines, 1, "version", _VERSION))
    expires = read_field(name, lines, 2, "expires", names.DATE)
    root_threshold = int(read_field(name, lines, 3, "root-threshold", _COUNT))
    release_threshold = int(read_field(name, lines, 4, "release-threshold", _COUNT))
    if name != f"root.{version}":
        raise malformed(name, "its version is not the one in its name")
    keys: dict[str, list[PublicKey]] = {"root": [], "release": []}
    for number, line in enumerate(lines[5:], start=6):
        match = KEY_LINE.fullmatch(line)
        if match is None:
            raise malformed(
                name, say("line {number} must be a valid 'key root ...' or 'key release ...'", number=number)
            )
        keys[match[1]].append(PublicKey(base64.b64decode(match[2], validate=True)))
    if len(lines) - 5 > MOST_KEYS:
        raise malformed(name, say("it has more than {count} keys", count=MOST_KEYS))
    if len({key.spki for role in keys.values() for key in role}) != len(lines) - 5:
        raise malformed(name, "a key stands in it twice")
    if len(keys["root"]) < root_threshold or len(keys["release"]) < release_threshold:
        raise malformed(name, "a threshold is higher than the number of keys")
    return Root(
        version, expires, root_threshold, release_threshold, tuple(keys["root"]), tuple(keys["release"])
    )
