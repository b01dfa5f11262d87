"""New media at an installed site: judged by what is resident, shown as a plan, then installed.

Nothing on the medium runs before both resident judges took it. `appliance.bundle` judges it for the plan;
then the `install.sh` that the release in use brought (verified when that was installed, and by its hash
again now) judges it once more and installs it, as it did the first time: no second way to install. It is
told which list the plan was made from, so a medium that is exchanged in between is refused.
"""

import hashlib
import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from appliance.bundle import names
from appliance.bundle.contents import Contents, Entry
from appliance.bundle.medium import Medium
from appliance.bundle.release import Release
from appliance.bundle.sums import parse_sums, wheel_name
from appliance.bundle.verify import (
    Acceptable,
    Trust,
    Verified,
    check_release,
    check_roots,
    check_set,
    check_signatures,
    left_out_runtime,
)
from appliance.errors import DamagedBundle, HostNotReady
from appliance.progress import Progress, amount_text
from appliance.sentence import say
from appliance.site.delta import check_required
from appliance.site.layout import Site
from appliance.site.marks import RUNTIME_MARK, STORE_MARK, is_marked
from appliance.site.releases import Installed, current_release, installed_releases
from appliance.site.store import wanted_volumes


@dataclass(frozen=True)
class Change:
    """Something that the incoming release brings in another version, or that only one of the two has."""

    kind: str
    """As in contents.json, or `runtime`."""
    name: str
    was: str
    """Version in use; empty when it has none, or is not there."""
    now: str
    """Incoming version; empty likewise."""
    what: str
    """`new`, `gone` or `changed`."""


@dataclass(frozen=True)
class Upgrade:
    """What installing a medium would do here."""

    release: Release
    sums_sha256: str
    installed: int
    """Number of the release in use."""
    is_here: bool
    """Whether this very release is on the box already, whole: nothing is copied."""
    changes: tuple[Change, ...]
    read_bytes: int
    """What is read from the medium."""
    room_bytes: int
    """Room needed under the prefix, beside what is there."""
    free_bytes: int
    kept: tuple[int, ...]
    """Releases that stay beside it, for going back."""


def judge_lists(medium: Medium, trust: Trust) -> Verified:
    """Everything that can be judged without reading the volumes.

    Raises: BadInput, UntrustedBundle, DamagedBundle: the first reason found, in the order of `verify`.
    """
    medium.check_bundle()
    root = check_roots(medium, trust)
    sums = medium.read_small(names.SUMS, names.SMALL_BYTES)
    check_signatures(medium, sums, root)
    hashes, sha256 = parse_sums(sums), hashlib.sha256(sums).hexdigest()
    release = check_release(medium, hashes, sha256, root, trust)
    return Verified(release, root, hashes, sha256, check_set(medium, hashes))


def plan_upgrade(site: Site, medium: Medium, judged: Verified, progress: Progress) -> Upgrade:
    """What installing the judged medium would do.

    Raises: HostNotReady, when nothing is in use here, a delta lacks its base, or there is too little room;
    DamagedBundle, when the store's copy of what a delta requires was damaged.
    """
    now = current_release(site)
    # One that islet doctor found damaged is mended, so it does not count as here.
    same = [
        one
        for one in installed_releases(site)
        if one.sums_sha256 == judged.sums_sha256
        and not any(is_marked(one.folder, mark) for mark in (STORE_MARK, RUNTIME_MARK))
    ]
    if not same:
        runtime = left_out_runtime(medium, judged.hashes, judged.contents)
        check_required(site, judged.release, judged.contents, runtime, progress)
    lacking = [e for e in judged.contents.entries if e.parts and not site.stored(e.sha256).is_file()]
    volumes = {volume.name: volume.size for volume in wanted_volumes(judged.contents, lacking)}
    there = set(medium.names())
    listed = [name for name in judged.hashes if name in there and not names.VOLUME.fullmatch(name)]
    read = [wheel_name(judged.hashes)] if same else listed
    held = {e.sha256: e.size for e in judged.contents.entries if site.stored(e.sha256).is_file()}
    found = Upgrade(
        release=judged.release,
        sums_sha256=judged.sums_sha256,
        installed=now.number,
        is_here=bool(same),
        changes=tuple(_changes(now, judged)),
        read_bytes=sum(medium.size(name) for name in read) + (0 if same else sum(volumes.values())),
        room_bytes=0 if same else max(judged.release.disk_bytes - sum(held.values()), 0),
        free_bytes=shutil.disk_usage(site.prefix).free,
        kept=tuple(one.number for one in installed_releases(site) if one.number != judged.release.number),
    )
    if found.free_bytes < found.room_bytes:
        raise HostNotReady(
            say("{folder} has too little room.", folder=site.prefix),
            why=say(
                "{needed} needed, {free} free",
                needed=amount_text(found.room_bytes, "B"),
                free=amount_text(found.free_bytes, "B"),
            ),
            next_step="Free space there; `islet gc` shows what no release needs any more.",
        )
    return found


def _changes(now: Installed, judged: Verified) -> Iterable[Change]:
    """Component by component; the environment and the appliance's own wheel stand in no contents.json."""
    files = now.files()
    own = wheel_name(judged.hashes)
    if files.get(own) != judged.hashes[own]:
        was = [name for name in files if names.WHEEL.fullmatch(name)]
        yield Change("wheel", "islet", _wheel_version(was[0]) if was else "", _wheel_version(own), "changed")
    if files.get(names.RUNTIME) != judged.hashes[names.RUNTIME]:
        yield Change("runtime", names.RUNTIME, "", "", "changed")
    before, after = _components(now.contents()), _components(judged.contents)
    for kind, name in sorted(before.keys() | after.keys()):
        old, new = before.get((kind, name)), after.get((kind, name))
        if old != new:
            what = "changed" if old and new else "new" if new else "gone"
            yield Change(kind, name, old[0] if old else "", new[0] if new else "", what)


def _components(contents: Contents) -> dict[tuple[str, str], tuple[str, frozenset[tuple[str, str]]]]:
    """Kind and name to version and files; a component is its name, and a version where it has one."""
    groups: dict[tuple[str, str], list[Entry]] = {}
    for entry in contents.entries:
        name, _, _ = entry.component.partition(" ")
        groups.setdefault((entry.kind, name if entry.kind == "wheel" else entry.component), []).append(entry)
    return {
        (kind, name): (
            entries[0].component.partition(" ")[2] if kind == "wheel" else "",
            frozenset((entry.path, entry.sha256) for entry in entries),
        )
        for (kind, name), entries in groups.items()
    }


def _wheel_version(name: str) -> str:
    return name.split("-")[1]


def resident_installer(site: Site) -> Path:
    """The `install.sh` that the release in use brought, with the hash that was signed.

    Raises: HostNotReady, when there is none; DamagedBundle, when it was changed.
    """
    now = current_release(site)
    path = now.folder / names.INSTALLER
    if not path.is_file():
        raise HostNotReady(
            say("This site keeps no install.sh of its own."),
            why=say("release {number} did not leave one", number=now.number),
            next_step="Run install.sh as at the first installation, compared with the anchor sheet.",
        )
    if hashlib.sha256(path.read_bytes()).hexdigest() != now.files().get(names.INSTALLER):
        raise DamagedBundle(
            say("{path} is damaged on this box.", path=path),
            why="its SHA-256 is not the one that was signed",
            next_step="Run install.sh as at the first installation, compared with the anchor sheet.",
        )
    return path


def run_installer(
    site: Site, medium: Path, sums_sha256: str, accept: Sequence[Acceptable], reason: str
) -> NoReturn:
    """Become the resident `install.sh`, for the bundle with this list and no other; its exit code is ours."""
    where = ["--prefix", str(site.prefix), "--state", str(site.state), "--sums", sums_sha256]
    overrides = [word for what in accept for word in ("--accept", what)]
    told = ["--reason", reason] if accept else []
    installer = str(resident_installer(site))
    sys.stdout.flush()
    os.execv("/bin/sh", ["sh", installer, *where, *overrides, *told, str(medium)])  # noqa: S606  (no shell text)
