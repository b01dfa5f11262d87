"""The audit log: JSON lines, each with the SHA-256 of the line before, and a signature over all of them.

    audit.jsonl     the entries, only ever appended to
    audit.signed    the newest checkpoint: how many lines and bytes, their SHA-256, signed (audit_sign)
    audit.pub       the public key; its SHA-256 stands in the first entry, as `key`
    audit.key       the private key, for its owner alone; it never leaves the box

Every entry is followed by a new checkpoint, so lines that were cut off the end are missed as well as lines
that were changed. A line that a power cut tore stays, the next entry says so, and the chain goes on over its
bytes. Nothing else that does not fit is mended in silence: the next entry says what was found, work goes on,
and the log counts as untrusted from then on. Who has the key can write all of it anew: the head, written down
elsewhere (in a report, on an export), is what shows that.

An entry about what the box runs is written before it is done: a kill may leave an entry of something
that did not come to be, and was then done again, but never a change without an entry.
"""

import fcntl
import hashlib
import json
import os
import pwd
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from appliance.durable import make_folder, remove_parts, sync_folder
from appliance.site.audit_check import Checked as Checked
from appliance.site.audit_check import check as check
from appliance.site.audit_key import can_sign, fingerprint, read_public
from appliance.site.audit_sign import FIRST, Signer, public_path

LONGEST = 500
"""Characters of one fact: a reason that somebody typed, never a row."""

_RUNTIME = Path(sys.prefix).resolve()
"""The runtime that this process came from; the link that led here may point to another release by now."""


@dataclass(frozen=True)
class Who:
    """The account that did it."""

    uid: int
    user: str = ""
    """The account's name; empty where it has none."""
    login: str = ""
    """Who logged in, where that is another: the person behind sudo."""


def myself() -> Who:
    """The account that this process works for."""
    return person(os.getuid(), login_of(os.getpid()), os.environ.get("SUDO_USER", ""))


def person(uid: int, login_uid: int | None, sudo_user: str = "") -> Who:
    """The account `uid`, with the person behind it: by the kernel, else by what sudo says (root's word)."""
    login = name_of(login_uid) if login_uid not in (None, uid) else ""
    return Who(uid, name_of(uid), login or (sudo_user if uid == 0 else ""))


def name_of(uid: int | None) -> str:
    """The name of the account `uid`; its number where it has none but counts."""
    if uid is None:
        return ""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def login_of(pid: int) -> int | None:
    """Who logged in to the session of the process `pid`; None where nobody did. Source: proc(5)."""
    with suppress(OSError, ValueError):
        number = int(Path(f"/proc/{pid}/loginuid").read_text(encoding="ascii"))
        return None if number == 0xFFFFFFFF else number
    return None


def append(log: Path, event: str, /, *, by: Who | None = None, **facts: str | int) -> None:
    """Add one entry, flushed to the disk, and sign. Facts say what was done; never what a patient said.

    by: who did it, where that is not the account of this process

    Raises: OSError, when the log cannot be written.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    able = can_sign()  # asked first: what takes a while must not hold up who reads
    with _alone(log), _opened(log) as file:
        remove_parts(log.parent)  # what one that was killed left
        content = file.read()
        signer = Signer(log, content, able=able)
        who = by or myself()
        entries = [
            *signer.notes(),
            {"event": event, **{name: _clean(value) for name, value in facts.items()}},
        ]
        if signer.new_key:
            entries[0] = {**entries[0], **signer.new_key}
        text = b"" if content.endswith(b"\n") or not content else b"\n"
        before = content.removesuffix(b"\n").rpartition(b"\n")[2] if content else None
        for entry in entries:
            line = _line(entry, who, hashlib.sha256(before).hexdigest() if before is not None else FIRST)
            text, before = text + line + b"\n", line
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
        signer.sign(content + text)


def key_of(log: Path) -> str:
    """SHA-256 of the public key that signs the log, for people to write down; empty while it has none."""
    key = read_public(public_path(log)) if can_sign() else None
    return fingerprint(key) if key is not None else ""


def _clean(value: str | int) -> str | int:
    """A fact as it can stand in a line that people read in a terminal."""
    if not isinstance(value, str):
        return value
    text = "".join(sign if sign.isprintable() else "?" for sign in value[: LONGEST + 1])
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _line(entry: dict[str, Any], who: Who, before: str) -> bytes:
    persons = {name: value for name, value in (("user", who.user), ("login", who.login)) if value}
    whole = {
        "time": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "uid": who.uid,
        **persons,
        **_software(),
        **entry,
        "before": before,
    }
    return json.dumps(whole, sort_keys=True, ensure_ascii=False).encode()


def _software() -> dict[str, Any]:
    """Which release writes this: its number and the SHA-256 of its SHA256SUMS; nothing outside a release."""
    with suppress(OSError, ValueError, KeyError):
        facts = json.loads((_RUNTIME.parent / "installed.json").read_bytes())
        return {"release": facts["number"], "release_sums": facts["sums-sha256"]}
    return {}


@contextmanager
def _alone(log: Path) -> Iterator[None]:
    """One writer at a time. Not the log's own lock: whoever may read that could hold it."""
    path = log.with_name(f".{log.stem}.lock")
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


@contextmanager
def _opened(log: Path) -> Iterator[Any]:
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(log, flags, 0o600), "r+b") as file:
        if not os.fstat(file.fileno()).st_size:
            os.fchmod(file.fileno(), 0o640)  # whatever the mask is
            make_folder(log.parent)
            sync_folder(log.parent)  # no power cut leaves a checkpoint, or a change, without the log
        yield file
