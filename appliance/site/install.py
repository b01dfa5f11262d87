"""The part of an installation that runs after `install.sh` has verified the medium.

Runs from the appliance's own wheel on the release's unpacked Python: only the standard library
is there. `install.sh` has checked signatures, list, RELEASE, the exact set and every hash but
the volumes'; its copies lie in quarantine. In order:

1. read contents.json from quarantine; what a delta leaves out must be in the store, whole;
2. read each volume once, from the medium, into the store, hashing;
3. make the release: links into the store, the runtime relocated, the wheels installed;
4. have all of it on the disk, then write `installed.json`: from here on the release is complete;
5. bring the state to this release's form, write the audit log; remember root, number and date; switch
   `current`, one rename, the last step.

Killed at any point, or without power, the box has the old release or the new one, whole, and the
same command finishes. Log, number and date come before the switch, so that no kill leaves a new
release running that nothing remembers.
"""

import argparse
import errno
import hashlib
import json
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from appliance.bundle import names
from appliance.bundle.medium import Medium
from appliance.bundle.release import Release, parse_release
from appliance.bundle.sums import parse_sums
from appliance.durable import (
    DISK_FAULTS,
    DISK_FULL,
    make_folder,
    remove_parts,
    switch_link,
    sync_disk,
    sync_folder,
    write_whole,
)
from appliance.errors import ApplianceError, HostNotReady, StepFailed
from appliance.locale import catalogue, language_of
from appliance.progress import Progress
from appliance.sentence import say
from appliance.site import audit
from appliance.site.layout import NOTE, RUNTIME_SUMS, STATE_NOTE, Site
from appliance.site.lock import kernel_lock
from appliance.site.marks import STORE_MARK, is_marked, unmark
from appliance.site.state_format import CURRENT, check_forward, migrate, read_format
from appliance.site.trust import record_trust
from appliance.spoken_progress import spoken


@dataclass(frozen=True)
class Judged:
    """What `install.sh` found out about the medium, beside its copies."""

    root: bytes
    """The newest root, believed."""
    anchor_was: str
    """How the first root came to be believed."""
    accepted: str = ""
    """What was wrong with the release and taken by the administrator upon himself: `expired`, `older`."""
    reason: str = ""
    """Why he did."""


def install(site: Site, medium: Medium, quarantine: Path, judged: Judged, progress: Progress) -> Release:
    """Make the verified release on the medium the current one.

    Raises: DamagedBundle, UntrustedBundle, for volumes that are not the signed ones; HostNotReady,
    when the disk is full, files that a delta leaves out are not here, or the state is of a newer form;
    StepFailed, when a program of the runtime fails.
    """
    sums = (quarantine / names.SUMS).read_bytes()
    hashes = parse_sums(sums)
    release = parse_release((quarantine / names.RELEASE).read_bytes())
    check_forward(read_format(site.state), CURRENT)
    folder = site.release(release.number)
    complete = folder / NOTE
    sums_sha256 = hashlib.sha256(sums).hexdigest()
    note = _installed(release, hashes, sums_sha256)
    if not _is_complete(complete, sums_sha256):
        # Here, because it takes a tenth of a second, and the same release again needs none of it.
        from appliance.site.making import make_release

        make_release(site, medium, release, hashes, quarantine, progress)
        # What tar and pip wrote, and every folder's names, before the file that vouches for them.
        sync_disk(site.prefix)
        write_whole(complete, note)
    elif is_marked(folder, STORE_MARK):
        from appliance.site.making import mend_store

        mend_store(site, medium, release, hashes, quarantine, progress)
        sync_disk(site.prefix)  # what was mended, before the mark that asks for it goes
        unmark(folder, STORE_MARK)
    if complete.read_bytes() != note:  # damaged beside the line that was looked for
        write_whole(complete, note)
    _switch(site, release, sums_sha256, judged)
    return release


def _is_complete(installed: Path, sums_sha256: str) -> bool:
    """Whether this very release was installed to its end; an equal number alone is not enough."""
    # As install.sh looks for it: the two must agree, whatever else became of the file.
    return installed.exists() and f'"sums-sha256": "{sums_sha256}"'.encode() in installed.read_bytes()


def _installed(release: Release, hashes: dict[str, str], sums_sha256: str) -> bytes:
    """installed.json: what stands in this folder; its presence says that all of it does."""
    facts = {
        "product": release.product,
        "number": release.number,
        "created": release.created,
        "sums-sha256": sums_sha256,
        "files": hashes,
        "state-format": CURRENT,
    }
    return json.dumps(facts, indent=1, sort_keys=True).encode() + b"\n"


def _switch(site: Site, release: Release, sums_sha256: str, judged: Judged) -> None:
    first = not (site.prefix / "trust" / "root").exists()
    for folder in (site.state, site.prefix / "trust", site.prefix / "bin"):
        make_folder(folder)  # before anything in it is relied upon
        remove_parts(folder)
    remove_parts(site.prefix)
    migrate(site.state)
    write_whole(site.prefix / STATE_NOTE, f"{site.state}\n".encode())
    if first:
        sha256 = hashlib.sha256(judged.root).hexdigest()
        audit.append(site.audit, "anchor", root_sha256=sha256, how=judged.anchor_was)
    if judged.accepted:
        audit.append(
            site.audit, "override", number=release.number, accepted=judged.accepted, reason=judged.reason
        )
    runtime_sums = (site.release(release.number) / RUNTIME_SUMS).read_bytes()
    audit.append(
        site.audit,
        "install",
        product=release.product,
        number=release.number,
        sums_sha256=sums_sha256,
        runtime_sums_sha256=hashlib.sha256(runtime_sums).hexdigest(),
    )
    record_trust(site, judged.root, release, sums_sha256)
    switch_link(site.prefix / "bin" / "islet", "../current/runtime/bin/islet")
    sync_folder(site.state)
    sync_folder(site.prefix)
    switch_link(site.current, f"releases/{release.number}")


def _disk_refusal(site: Site, number: int, path: object) -> HostNotReady:
    """The disk failed: under our own hands, or under those of a program of the runtime."""
    if number in DISK_FULL:
        return HostNotReady(
            say("{folder} is full.", folder=site.prefix),
            why=os.strerror(number),
            next_step="Free space there, or give --prefix on another disk; then start again.",
        )
    return HostNotReady(
        say("{path} could not be written.", path=path),
        why=os.strerror(number),
        next_step="Make it writable, or give --prefix and --state elsewhere; then start again.",
    )


def _disk_fault(text: str) -> int | None:
    """The error of the disk that a program of the runtime told of in its last lines."""
    return next((number for number in sorted(DISK_FAULTS) if os.strerror(number) in text), None)


def _stop(number: int, frame: object) -> NoReturn:
    """End as Ctrl-C does: with what is half written removed, and the program that runs for us ended first."""
    for again in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(again, signal.SIG_IGN)
    raise KeyboardInterrupt


def _refused(error: ApplianceError) -> int:
    print(f"islet: {catalogue(language_of()).say(error.sentence())}", file=sys.stderr)
    return error.exit_code


def main(arguments: Sequence[str]) -> int:
    """What `install.sh` hands over to. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="install.sh")
    for name in ("--medium", "--quarantine", "--prefix", "--state"):
        parser.add_argument(name, type=Path, required=True)
    parser.add_argument("--root", required=True)
    parser.add_argument("--anchor-was", required=True)
    # An older release's resident install.sh does not give these.
    for name in ("--accepted", "--reason"):
        parser.add_argument(name, default="")
    given = parser.parse_args(arguments)
    site = Site(given.prefix, given.state)
    fresh = given.quarantine / given.root
    root = (fresh if fresh.exists() else site.prefix / "trust" / "root").read_bytes()
    judged = Judged(root, given.anchor_was, given.accepted, given.reason)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        # A shell's background programs ignore SIGINT, and so would what they start; nohup ignores SIGHUP.
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _stop)
    try:
        with kernel_lock(site, "install"):
            release = install(site, Medium(given.medium), given.quarantine, judged, spoken())
    except KeyboardInterrupt:
        return 130
    except ApplianceError as error:
        fault = _disk_fault(error.why) if isinstance(error, StepFailed) else None
        return _refused(_disk_refusal(site, fault, site.prefix) if fault else error)
    except OSError as error:
        return _refused(_disk_refusal(site, error.errno or errno.EIO, error.filename or site.prefix))
    done = say(
        "{product} release {number} is installed. Start it with: {command}",
        product=release.product,
        number=release.number,
        command=site.prefix / "bin" / "islet",
    )
    print(catalogue(language_of()).say(done))
    if key := audit.key_of(site.audit):
        print(catalogue(language_of()).say(say("Its audit log is signed by the key {key}", key=key)))
    return 0
