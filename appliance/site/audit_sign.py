"""Checkpoints of the audit log: a signed statement of how long it is and what stands in it.

The statement is text that `openssl dgst -verify` and `sha256sum` judge, as an auditor does by hand:

    format: islet-audit-1
    time: 2026-11-21T15:00:00Z
    lines: 12
    bytes: 3456
    sha256: SHA-256 of the log's first 3456 bytes
    head: SHA-256 of its last line, without the line's end
    key: SHA-256 of the public key's DER
    signature: base64 of the DER signature over the lines above
"""

import base64
import binascii
import hashlib
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from appliance.bundle.root import PublicKey
from appliance.bundle.signature import verifies
from appliance.durable import write_whole
from appliance.site.audit_key import LogKey, fingerprint, make_key, read_key, write_private, write_public

FORMAT = "islet-audit-1"
FIRST = "0" * 64
"""What the first entry names as the hash of the line before it."""

_GRAMMAR = re.compile(
    rb"format: islet-audit-1\ntime: [0-9TZ:-]{20}\nlines: ([0-9]{1,12})\nbytes: ([0-9]{1,15})\n"
    rb"sha256: ([0-9a-f]{64})\nhead: ([0-9a-f]{64})\nkey: ([0-9a-f]{64})\n"
    rb"signature: ([A-Za-z0-9+/=]{1,200})\n"
)


@dataclass(frozen=True)
class Checkpoint:
    """One signed statement."""

    lines: int
    size: int
    """Bytes."""
    sha256: str
    head: str
    key: str
    statement: bytes
    """What is signed."""
    signature: bytes

    def is_by(self, key: PublicKey) -> bool:
        """Whether the owner of `key` signed it."""
        return self.key == fingerprint(key) and verifies(key, self.signature, self.statement)

    def meets(self, content: bytes) -> bool:
        """Whether the log `content` begins with what was signed."""
        signed = content[: self.size]
        return len(signed) == self.size and hashlib.sha256(signed).hexdigest() == self.sha256


def signed_path(log: Path) -> Path:
    """Where the newest checkpoint of `log` lies."""
    return log.with_suffix(".signed")


def key_path(log: Path) -> Path:
    """Where the private key of `log` lies."""
    return log.with_suffix(".key")


def public_path(log: Path) -> Path:
    """Where the public key of `log` lies."""
    return log.with_suffix(".pub")


def parse_checkpoint(content: bytes) -> Checkpoint | None:
    """The checkpoint that `content` is; None when it is none."""
    match = _GRAMMAR.fullmatch(content)
    if match is None:
        return None
    try:
        signature = base64.b64decode(match[6], validate=True)
    except binascii.Error:
        return None
    if base64.b64encode(signature) != match[6]:
        return None  # spare bits of the last digit
    sha256, head, key = (match[number].decode() for number in (3, 4, 5))
    statement = content[: content.rindex(b"signature: ")]
    return Checkpoint(int(match[1]), int(match[2]), sha256, head, key, statement, signature)


def is_torn(line: bytes) -> bool:
    """Whether a line is no entry: what a power cut leaves."""
    try:
        return not isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return True


def _untold(lines: list[bytes]) -> list[int]:
    """Numbers of the torn lines at the end: several, where the entry that was to tell of one was torn too."""
    count = 0
    while count < len(lines) and is_torn(lines[-1 - count]):
        count += 1
    return list(range(len(lines) - count + 1, len(lines) + 1))


class Signer:
    """What one appending knows of the log before it: its key, and whether it is as it was signed."""

    def __init__(self, log: Path, content: bytes, *, able: bool) -> None:
        """`content` is the whole log; `able`: whether it can be signed. A key is made when there is none."""
        self._log = log
        self._content = content
        self.new_key: dict[str, str] = {}
        """What the next entry says of a key that was made just now."""
        self._key = self._find_key() if able else None

    def _find_key(self) -> LogKey:
        key = read_key(key_path(self._log))
        named = last_key(self._content)
        if key is None:
            key = make_key()
            write_public(key, public_path(self._log))
            if not named:
                # Before the key itself: where there is a key, there is a checkpoint, and it is missed.
                self._write(key, self._content)
            write_private(key, key_path(self._log))
        if fingerprint(key.public) != named:
            self.new_key = {"key": fingerprint(key.public), **({"key_was": named} if named else {})}
        return key

    def notes(self) -> list[dict[str, Any]]:
        """Entries that say what is not as it was left: cut by the power, unsigned, or changed."""
        *whole, last = self._content.split(b"\n")
        lines = [*whole, last] if last else whole
        torn = _untold(lines)
        notes: list[dict[str, Any]] = [{"event": "torn", "line": number} for number in torn]
        if self._key is None:
            return notes
        checkpoint = self._checkpoint()
        if not self._fits(checkpoint):
            known = {"lines": checkpoint.lines, "sha256": checkpoint.sha256} if checkpoint else {}
            notes.append({"event": "broken", **known})
        elif checkpoint is not None and len(lines) - len(torn) > checkpoint.lines:
            notes.append({"event": "unsigned", "count": len(lines) - len(torn) - checkpoint.lines})
        return notes

    def _checkpoint(self) -> Checkpoint | None:
        try:
            return parse_checkpoint(signed_path(self._log).read_bytes()[:10_000])
        except FileNotFoundError:
            return None

    def _fits(self, checkpoint: Checkpoint | None) -> bool:
        """Whether the log begins with what was signed; what was written with no key at hand need not be."""
        if self._key is None or "key_was" in self.new_key:
            return True  # the entry that names another key than before is what counts
        if checkpoint is None:
            return False
        return checkpoint.is_by(self._key.public) and checkpoint.meets(self._content)

    def sign(self, content: bytes) -> None:
        """Put a checkpoint over the whole log `content` in place; without a key, none."""
        if self._key is not None:
            self._write(self._key, content)

    def _write(self, key: LogKey, content: bytes) -> None:
        last = content.removesuffix(b"\n").rpartition(b"\n")[2]
        fields = {
            "format": FORMAT,
            "time": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
            "lines": content.count(b"\n"),
            "bytes": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
            "head": hashlib.sha256(last).hexdigest() if content else FIRST,
            "key": fingerprint(key.public),
        }
        statement = "".join(f"{name}: {value}\n" for name, value in fields.items()).encode()
        signature = base64.b64encode(key.sign(statement))
        write_whole(signed_path(self._log), statement + b"signature: " + signature + b"\n", mode=0o644)


def last_key(content: bytes) -> str:
    """Fingerprint of the key that the log names last; empty when it names none."""
    for line in reversed(content.split(b"\n")):
        if b'"key": ' in line and not is_torn(line):
            key = json.loads(line).get("key")
            if isinstance(key, str):
                return key
    return ""
