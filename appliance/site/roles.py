"""Who may do what on a box that several people share: three groups of the operating system.

    islet-admin    stop any run, see all of them; software itself is root's, by sudo
    islet-train    make, start and stop one's own runs, evaluate, export, report
    islet-review   read reports, evaluations and the audit log

Where the groups are not there, everything is the one account's that owns the state folder, and root's. Groups
are asked of the system's data base each time: who is taken out of one loses it at once.
"""

import grp
import os
import pwd
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from appliance.errors import HostNotReady
from appliance.sentence import Sentence, say
from appliance.site.layout import Site

ADMIN, TRAIN, REVIEW = "islet-admin", "islet-train", "islet-review"
GROUPS = (ADMIN, TRAIN, REVIEW)

Deed = Literal["train", "report", "approve", "override", "stop any", "see all"]
MAY: dict[Deed, tuple[str, ...]] = {
    "train": (TRAIN,),
    "report": (TRAIN, REVIEW),
    "approve": (REVIEW,),
    "override": GROUPS,
    "stop any": (ADMIN,),
    "see all": (ADMIN, REVIEW),
}
"""Groups of which one is needed."""

NAMES: dict[Deed, Sentence] = {
    "train": say("train models, evaluate and export them, stop your own runs"),
    "report": say("write reports"),
    "approve": say("approve models"),
    "override": say("accept what a rule refuses, with a reason"),
    "stop any": say("stop other people's runs"),
    "see all": say("see all runs that are at work"),
}

SAID: dict[Deed, Sentence] = {
    "train": say("You may not train models on this box."),
    "report": say("You may not write reports on this box."),
    "approve": say("You may not approve models on this box."),
    "override": say("You may not accept what is refused on this box."),
    "stop any": say("This run is somebody else's."),
    "see all": say("You may not see all runs of this box."),
}


@dataclass(frozen=True)
class Shared:
    """A folder of the state that people share."""

    name: str
    group: str
    mode: int


FOLDERS = (
    # Everybody sees names of runs, trainers make some, and none can take away another's: sticky. A run's own
    # folder is its trainer's alone until it is started; then reviewers may read it.
    Shared("runs", TRAIN, 0o1775),
    Shared("datasets", TRAIN, 0o3770),
    Shared("exports", TRAIN, 0o3775),
    Shared("wizard", TRAIN, 0o3770),
    Shared("plans", TRAIN, 0o3770),
    Shared("logs", TRAIN, 0o3770),
)
DATASET_MODE = 0o3770
"""Of a data set's folder: all trainers add versions to it, and none takes away another's."""
RUN_MODE = 0o2750
"""Of a run's folder once it was started: what is made in it belongs to the group that may read it."""


def group_id(name: str) -> int | None:
    """The number of a group; None when there is none."""
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        return None


def owner_of(site: Site) -> int:
    """The account that the site belongs to; whoever asks, where there is no state yet."""
    try:
        return site.state.stat().st_uid
    except FileNotFoundError:
        return os.getuid()


def are_there() -> bool:
    """Whether this box has the three groups."""
    return all(group_id(name) is not None for name in GROUPS)


def hold(owner: int) -> bool:
    """Whether the site whose state folder belongs to `owner` goes by roles: it is root's, with groups."""
    return owner == 0 and are_there()


def groups_of(uid: int) -> list[int]:
    """Numbers of all groups of the account `uid`, its own first. Raises: KeyError, when there is none."""
    account = pwd.getpwuid(uid)
    others = [gid for gid in os.getgrouplist(account.pw_name, account.pw_gid) if gid != account.pw_gid]
    return [account.pw_gid, *others]


def may(uid: int, deed: Deed, owner: int) -> bool:
    """Whether the account `uid` may do `deed` on the site whose state folder belongs to `owner`."""
    if uid in (0, owner):
        return True
    if not are_there():
        return False
    try:
        mine = groups_of(uid)
    except KeyError:
        return False
    return any(group_id(name) in mine for name in MAY[deed])


def check_may(uid: int, deed: Deed, owner: int) -> None:
    """Refuse what the account `uid` may not do. Raises: HostNotReady, saying who may."""
    if may(uid, deed, owner):
        return
    if not are_there():
        raise HostNotReady(
            SAID[deed],
            why=say("this site belongs to one account, number {owner}; you are {uid}", owner=owner, uid=uid),
            next_step="Use that account, or have an administrator run `islet roles create`.",
        )
    names = ", ".join(MAY[deed])
    raise HostNotReady(
        SAID[deed],
        why=say("account {uid} is not in the group {groups}", uid=uid, groups=names),
        next_step="Ask an administrator to add you: usermod -aG GROUP ACCOUNT.",
    )


def share(site: Site) -> None:
    """Give the state folder's parts their groups and modes, whatever the mask and whatever they were.

    Raises: HostNotReady, when this is not root or a group is missing; OSError.
    """
    if os.geteuid() != 0 or not are_there():
        raise HostNotReady(
            "The state folder cannot be shared.",
            why=say("it takes root and the groups {groups}", groups=", ".join(GROUPS)),
            next_step="Run `islet roles create` with sudo.",
        )
    _own(site.state, 0, 0, 0o755)
    for shared in FOLDERS:
        (site.state / shared.name).mkdir(exist_ok=True)
        _own(site.state / shared.name, 0, group_id(shared.group) or 0, shared.mode)
    share_datasets(site.datasets, group_id(TRAIN) or 0)
    review = group_id(REVIEW) or 0
    if site.audit.exists():
        handle = os.open(site.audit, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            os.fchown(handle, 0, review)
            os.fchmod(handle, 0o640)
        finally:
            os.close(handle)


def share_datasets(folder: Path, gid: int) -> None:
    """Let trainers read the data sets that are there and add versions; whose they are, they stay.

    Each name is opened in the handle of the folder before it: who may write there may have put a link.
    """
    for home in _handles(folder, os.O_DIRECTORY):
        os.fchown(home, -1, gid)
        os.fchmod(home, DATASET_MODE)
        for version in _handles(home, os.O_DIRECTORY):
            os.fchown(version, -1, gid)
            os.fchmod(version, RUN_MODE)
            for file in _handles(version, os.O_NONBLOCK):
                status = os.fstat(file)
                if stat.S_ISREG(status.st_mode) and status.st_nlink == 1:  # another name may be elsewhere
                    os.fchown(file, -1, gid)
                    os.fchmod(file, 0o640)


def _handles(folder: Path | int, kind: int) -> Iterator[int]:
    """A handle of each thing of a kind in `folder` without a hidden name; closed when the next one is."""
    flags = os.O_RDONLY | os.O_NOFOLLOW
    parent = os.open(folder, flags | os.O_DIRECTORY) if isinstance(folder, Path) else os.dup(folder)
    try:
        with os.scandir(parent) as entries:
            names = sorted(entry.name for entry in entries if not entry.name.startswith("."))
        for name in names:
            try:
                handle = os.open(name, flags | kind, dir_fd=parent)
            except OSError:  # a link, something else, or gone meanwhile
                continue
            try:
                yield handle
            finally:
                os.close(handle)
    finally:
        os.close(parent)


def _own(folder: Path, uid: int, gid: int, mode: int) -> None:
    """Through a handle: a link in place of the folder is refused, not followed."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        os.fchown(handle, uid, gid)
        os.fchmod(handle, mode)
    finally:
        os.close(handle)
