"""Judging the audit log: the chain from line to line, and the signature over its length.

1. every line is an entry that names the hash of the line before, or is torn, and the next entries say so;
2. the public key is the one that the log names, and the same from the first entry to the last;
3. the checkpoint is that key's, and the log begins with exactly what was signed;
4. no entry says that the log was once found changed;
5. what the person asking knows from elsewhere, a head or a key, is in it.

Reads only. What stands behind the last checkpoint (an entry that is being written, or one of somebody without
the key) is counted, and the next entry will say that it was not signed.
"""

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appliance.bundle.root import PublicKey
from appliance.errors import UntrustedRecord
from appliance.sentence import Sentence, say
from appliance.site.audit_key import fingerprint, read_public
from appliance.site.audit_sign import (
    FIRST,
    Checkpoint,
    is_torn,
    last_key,
    parse_checkpoint,
    public_path,
    signed_path,
)

PATIENCE_S = 1.0
"""How long an entry may take to be signed, once it is written."""

BIRTH_S = 30.0
"""How long the first entry may follow the key that is made for it, and a log be busy without a pause."""


@dataclass(frozen=True)
class Checked:
    """A log whose chain and signature hold."""

    entries: list[dict[str, Any]]
    torn: int
    """Lines that a power cut left incomplete."""
    head: str
    """SHA-256 of the last line: who knows it can tell whether anything before was changed."""
    key: str = ""
    """SHA-256 of the key that signed; empty for a log that was never signed."""
    unsigned: int = 0
    """Lines at the end that no signature covers."""


def check(log: Path, *, heads: Sequence[str] = (), key: str = "") -> Checked:
    """The log, judged.

    heads: hashes of lines that stood in it once, as reports and exports print them
    key: fingerprint of the key that must have signed it, as the installation printed it

    Raises: UntrustedRecord, naming the first line or file that does not fit; OSError, when it cannot be read.
    """
    content, signed, public = _read(log)
    checked = _chain(content)
    if signed is None and public is None and not last_key(content):
        if key:
            raise _untrusted(say("the log was never signed, and a key was asked for"))
        return _known(checked, content, heads)
    fingerprint_ = _check_key(checked, public, key)
    checkpoint = _check_signature(content, signed, public)
    for entry in checked.entries:
        if entry.get("event") == "broken":
            raise _untrusted(
                say("its entry of {time} says that it was found changed", time=entry.get("time", "?"))
            )
    lines = content.count(b"\n") + (not content.endswith(b"\n") and bool(content))
    whole = Checked(checked.entries, checked.torn, checked.head, fingerprint_, lines - checkpoint.lines)
    return _known(whole, content, heads)


def _read(log: Path) -> tuple[bytes, bytes | None, PublicKey | None]:
    """Log, checkpoint and key as they belong together, waiting for one that is being signed."""
    asked = time.monotonic()
    while True:
        public, signed = read_public(public_path(log)), _bytes(signed_path(log))
        content = _bytes(log) or b""
        checkpoint = parse_checkpoint(signed) if signed is not None else None
        unborn = not content and (signed is None) != (public is None)
        level = not unborn and (checkpoint is None or checkpoint.size >= len(content))
        still = signed == _bytes(signed_path(log))  # nobody signed while the log was read
        waited = time.monotonic() - asked
        if waited > BIRTH_S or (still and (level or (not unborn and waited > PATIENCE_S))):
            return content, signed, public
        time.sleep(0.05)


def _bytes(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _chain(content: bytes) -> Checked:
    """Step 1."""
    lines = content.removesuffix(b"\n").split(b"\n") if content else []
    entries: list[dict[str, Any]] = []
    torn, before = 0, FIRST
    untold: list[int] = []
    for number, line in enumerate(lines, start=1):
        if is_torn(line):
            torn += 1
            untold.append(number)
        else:
            entry = json.loads(line)
            if untold and (entry.get("event"), entry.get("line")) != ("torn", untold.pop(0)):
                raise _untrusted(say("line {number} is no entry", number=number - 1))
            if entry.get("before") != before:
                raise _untrusted(say("line {number} does not follow from the line before it", number=number))
            entries.append(entry)
        before = hashlib.sha256(line).hexdigest()
    return Checked(entries, torn, before)


def _check_key(checked: Checked, public: PublicKey | None, wanted: str) -> str:
    """Step 2; the key's fingerprint."""
    named = [entry for entry in checked.entries if "key" in entry]
    if public is None:
        raise _untrusted(say("its public key is missing, or is no key of the right kind"))
    now = fingerprint(public)
    if named and named[-1]["key"] != now:
        raise _untrusted(say("its public key is not the one that the log names"))
    if wanted and wanted != now:
        raise _untrusted(say("it is signed by the key {key}, not by the one that you named", key=now))
    for entry in named:
        if "key_was" in entry and not wanted:
            raise _untrusted(
                say(
                    "since {time} it is signed by another key, {key}; the one before was {was}",
                    time=entry.get("time", "?"),
                    key=entry["key"],
                    was=entry["key_was"],
                )
            )
    return now


def _check_signature(content: bytes, signed: bytes | None, public: PublicKey | None) -> Checkpoint:
    """Step 3."""
    checkpoint = parse_checkpoint(signed) if signed is not None else None
    if checkpoint is None or public is None:
        raise _untrusted(say("its signature is missing, or is not written as it must be"))
    if not checkpoint.is_by(public):
        raise _untrusted(say("its signature was not made by its key"))
    if len(content) < checkpoint.size:
        raise _untrusted(
            say(
                "lines were cut off its end: {signed} were signed, {count} are there",
                signed=checkpoint.lines,
                count=content.count(b"\n"),
            )
        )
    if not checkpoint.meets(content):
        raise _untrusted(say("it is not what was signed: its bytes were changed, and the chain made anew"))
    return checkpoint


def _known(checked: Checked, content: bytes, heads: Sequence[str]) -> Checked:
    """Step 5."""
    there = {hashlib.sha256(line).hexdigest() for line in content.split(b"\n")}
    for head in heads:
        if head not in there:
            raise _untrusted(
                say("no line of it has the hash {head}, which was printed as its head once", head=head)
            )
    return checked


def _untrusted(why: Sentence) -> UntrustedRecord:
    return UntrustedRecord(
        "The audit log does not hold together.",
        why=why,
        next_step="Keep the file as it is and show it to the security officer.",
    )
