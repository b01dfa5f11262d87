"""Approving what a run exported: who may say so, of which files, and what the audit log says of it.

An approval stands for the export whose SHA256SUMS has one hash. One that is made anew is not approved.
"""

import errno
import hashlib
import os
import re
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from appliance.errors import BadInput, HostNotReady, UntrustedRecord
from appliance.progress import Progress
from appliance.sentence import Sentence, reason, say
from appliance.site.audit import Who, name_of
from appliance.site.rehash import file_sha256

SUMS = "SHA256SUMS"
MOST_BYTES = 1_000_000
"""Of a SHA256SUMS: an export has a few files."""

_LINE = re.compile(r"([0-9a-f]{64})  ([^/\0]{1,255})")

Verdict = Literal["approved", "withdrawn"]


@dataclass(frozen=True)
class Export:
    """What a run exported, every file of which is the one that its SHA256SUMS lists."""

    sums_sha256: str
    """SHA-256 of its SHA256SUMS."""
    files: int
    size: int
    """Bytes of all files, that list apart."""


@dataclass(frozen=True)
class Decision:
    """The newest word on an export."""

    verdict: Verdict
    time: str
    """UTC."""
    user: str
    """Who decided: the account, and who was logged in where that is another."""
    note: str
    """What was written beside it; may be empty."""


def judge_export(folder: Path, progress: Progress) -> Export:
    """The export in `folder`, hashed anew: plain files, and none that is not listed.

    Raises: BadInput, when there is none; UntrustedRecord, when a file is another than was exported;
    HostNotReady, when it cannot be read.
    """
    try:
        content = _content(folder)
        lines = [_LINE.fullmatch(line) for line in content.decode().splitlines()]
        there = {path.name for path in folder.iterdir()}
    except (FileNotFoundError, NotADirectoryError) as error:
        raise BadInput(
            "There is nothing to approve.",
            why=say("{name} is not there", name=folder / SUMS),
            next_step="Export the run first: islet export RUN.",
        ) from error
    except UnicodeDecodeError as error:
        raise _changed(folder, say("{name} is no list of hashes", name=SUMS)) from error
    except OSError as error:
        raise _unread(folder, error) from error
    listed = {line[2]: line[1] for line in lines if line is not None}
    if not listed or len(listed) != len(lines):
        raise _changed(folder, say("{name} is no list of hashes", name=SUMS))
    if strange := sorted(there.symmetric_difference({*listed, SUMS})):
        raise _changed(
            folder, say("{name} is listed and not there, or there and not listed", name=strange[0])
        )
    size = _hash(folder, listed, progress)
    return Export(hashlib.sha256(content).hexdigest(), len(listed), size)


def newest_decision(entries: Iterable[Mapping[str, Any]], run: str, sums_sha256: str) -> Decision | None:
    """What the audit log says last of the export of `run` with this hash; None: nobody has decided on it.

    entries: of the log, oldest first
    """
    found = None
    for entry in entries:
        about = entry.get("event"), entry.get("run"), entry.get("sums_sha256")
        verdict = entry.get("decision")
        if about == ("approve", run, sums_sha256) and verdict in ("approved", "withdrawn"):
            user = str(entry.get("user") or entry.get("uid", "?"))
            login = f" ({entry['login']})" if entry.get("login") else ""
            found = Decision(verdict, str(entry.get("time", "")), user + login, str(entry.get("note", "")))
    return found


def approved_exports(entries: Iterable[Mapping[str, Any]], run: str) -> dict[str, Decision]:
    """Exports of `run` that the log calls approved, by the hash of their SHA256SUMS."""
    entries = list(entries)
    hashes = dict.fromkeys(str(entry.get("sums_sha256")) for entry in entries if entry.get("run") == run)
    decisions = {sums: newest_decision(entries, run, sums) for sums in hashes}
    return {sums: found for sums, found in decisions.items() if found and found.verdict == "approved"}


def decision_sentence(decision: Decision) -> Sentence:
    """Who decided what, when, and the note beside it."""
    facts = {"user": decision.user, "time": decision.time.replace("T", " ")[:16], "note": decision.note}
    if decision.verdict == "approved":
        if decision.note:
            return say("approved by {user}, {time} UTC: {note}", **facts)
        return say("approved by {user}, {time} UTC", **facts)
    return say("withdrawn by {user}, {time} UTC: {note}", **facts)


def is_own(trainer: int, who: Who) -> bool:
    """Whether `who`, or the person behind that account, is the account `trainer`."""
    return who.uid == trainer or (bool(who.login) and who.login == name_of(trainer))


def check_other_person(run: str, trainer: int, who: Who) -> None:
    """On a box with roles: pass if `who` is another person than who trained the run. Raises: HostNotReady."""
    if is_own(trainer, who):
        raise HostNotReady(
            "Who trained a model does not approve it.",
            why=say("{run} belongs to {user}, as which you work here", run=run, user=name_of(trainer)),
            next_step="Ask another person of the group islet-review.",
        )


def _content(folder: Path) -> bytes:
    """The bytes of the list, through no link. Raises: OSError."""
    if folder.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(folder))
    handle = os.open(folder / SUMS, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), str(folder / SUMS))
        return file.read(MOST_BYTES)


def _hash(folder: Path, listed: Mapping[str, str], progress: Progress) -> int:
    """Hash all that is listed; its length in bytes. Raises: UntrustedRecord; HostNotReady."""
    size = 0
    try:
        total = sum((folder / name).lstat().st_size for name in listed)
        with progress.stage(say("hash the export"), total=total) as advance:
            for name, expected in listed.items():
                sha256, length = file_sha256(folder / name)
                if sha256 != expected:
                    raise _changed(folder, say("{name} is another file than was exported", name=name))
                size += length
                advance(length)
    except OSError as error:
        raise _unread(folder, error) from error
    return size


def _changed(folder: Path, why: str) -> UntrustedRecord:
    return UntrustedRecord(
        say("{folder} is not what was exported.", folder=folder),
        why=why,
        next_step="Find out who changed it; then export the run again.",
    )


def _unread(folder: Path, error: OSError) -> HostNotReady:
    return HostNotReady(
        say("{path} cannot be read.", path=folder),
        why=reason(error),
        next_step="Ask who made it, or an administrator.",
    )
