"""`islet uninstall`: the software goes, data and the audit log stay.

Only what Islet made is removed: a file of somebody else's in the prefix or in the state folder is left, and
named. The release in use goes last. Before it does, a shell script takes the place of the command: it removes
the rest, itself at the very end, so that the same command, given again after a cut anywhere, finishes. The
audit log stays also where data goes: it says what was here.
"""

import os
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from appliance.bundle import names
from appliance.durable import make_folder, remove_parts, sync_disk, write_whole
from appliance.errors import HostNotReady
from appliance.locale import catalogue, language_of
from appliance.process import run
from appliance.progress import Progress
from appliance.sentence import listed, say
from appliance.site import audit
from appliance.site.layout import STATE_NAMES, STATE_NOTE, Site
from appliance.site.lock import alone, is_quarantine
from appliance.site.releases import current_release, installed_releases
from appliance.site.service import remove_unit, service_processes
from appliance.site.use import active_runs, ancestors, program_uses

AUDIT_FILES = ("audit.", ".audit.", "audit-restored-")
"""How the names of the audit log's files begin: the log, its signatures, its key."""
_ASIDE = (".format.", ".restore.", ".supervisor.sock.")
"""How names right under the state folder begin that something had while it was made."""


@dataclass(frozen=True)
class Removal:
    """What would be removed, and what stays."""

    releases: tuple[int, ...]
    software_bytes: int
    runs: int
    data_bytes: int
    """Everything of Islet's under the state folder but the audit log."""
    with_data: bool
    foreign: tuple[Path, ...]
    """What lies in the folders that something goes from, and is not Islet's: it stays."""


def plan_removal(site: Site, *, with_data: bool) -> Removal:
    """What uninstalling would do. Raises: HostNotReady, while a run or a program is at work."""
    _check_idle(site)
    seen: set[int] = set()
    return Removal(
        releases=tuple(one.number for one in installed_releases(site)),
        software_bytes=sum(_bytes(path, seen) for path in _own(site)),
        runs=sum(1 for _ in site.runs.glob("*/plan.toml")),
        data_bytes=sum(_bytes(path, seen) for path in _data(site)),
        with_data=with_data,
        foreign=tuple(_foreign(site, with_data=with_data)),
    )


def _foreign(site: Site, *, with_data: bool) -> Iterator[Path]:
    """What is not Islet's: in the prefix, among the releases and, where data go, in the state folder."""
    own = {*_own(site), site.prefix / "releases"}
    for path in (*_entries(site.prefix), *_entries(site.prefix / "releases")):
        if path not in own:
            yield path
    if with_data:
        data = set(_data(site))
        yield from (
            path
            for path in _entries(site.state)
            if path not in data and not path.name.startswith(AUDIT_FILES)
        )


def uninstall(site: Site, shown: Removal, progress: Progress) -> None:
    """Remove what was shown. Nothing of the runtime that this runs in is read after it is gone.

    Raises: HostNotReady, when something is at work here.
    """
    current = current_release(site).folder
    with alone(site, "uninstall"):
        _check_idle(site)
        audit.append(site.audit, "uninstall", releases=len(shown.releases), with_data=int(shown.with_data))
        remove_unit(site)
        last = {site.current, current, site.prefix / STATE_NOTE, site.prefix / ".lock"}
        with progress.stage(say("removing"), total=None):
            for path in _data(site) if shown.with_data else ():
                _remove(path)
            if shown.with_data:
                sync_disk(site.state)  # what takes the command's place removes no data that comes back
            for path in _own(site):
                if path not in last and not _is_command(site, path) and not is_quarantine(path):
                    _remove(path)
            make_folder(site.prefix / "bin")
            remove_parts(site.prefix / "bin")
            write_whole(site.prefix / "bin" / "islet", _finisher(site), mode=0o755)
            run(["/bin/sh", site.prefix / "bin" / "islet", "uninstall"], next_step=_AGAIN)


_AGAIN = "Give the same command again: it goes on."
_FINISHER = """\
#!/bin/sh
# Islet is being removed from this box. This took the command's place, and removes the rest.
PATH=/usr/sbin:/usr/bin:/sbin:/bin
wanted=
for word; do if [ "$word" = uninstall ]; then wanted=1; fi; done
if [ -z "$wanted" ]; then
    printf '%s\\n' {refusal} >&2
    exit 5
fi
set -e
cd {prefix}
for each in releases/* quarantine.*; do
    name=${{each#releases/}}
    case ${{name#quarantine.}} in '' | 0* | *[!0-9]* | ??????????*) continue ;; esac # somebody else's
    rm -rf "$each"
done
rm -rf current {note} .lock
rmdir releases 2>/dev/null || true
sync # what is gone must not come back without the command that removes it
rm -f bin/islet
rmdir bin 2>/dev/null || true
cd /
rmdir {prefix} 2>/dev/null || true
printf '%s\\n' {done}
"""


def _finisher(site: Site) -> bytes:
    """The script that removes the rest, whatever is there of it by now, and then itself."""
    refusal = HostNotReady(
        "Islet is being removed from this box.",
        why="the command that removes it was cut off",
        next_step="Finish it: islet uninstall. To have Islet again, run install.sh with the medium after it.",
    )
    words = catalogue(language_of())
    done = words.say(say("Islet was removed. The audit log is in {folder}.", folder=site.state))
    text = _FINISHER.format(
        refusal=shlex.quote(f"islet: {words.say(refusal.sentence())}"),
        prefix=shlex.quote(str(site.prefix)),
        note=STATE_NOTE,
        done=shlex.quote(done),
    )
    return text.encode()


def _is_command(site: Site, path: Path) -> bool:
    """Whether `path` is the command, or the folder that holds nothing else."""
    return path in (site.prefix / "bin", site.prefix / "bin" / "islet")


def _check_idle(site: Site) -> None:
    busy = active_runs(site)
    if busy:
        raise HostNotReady(
            "A run is at work.",
            why=say("it would be cut off: {runs}", runs=", ".join(busy)),
            next_step="Wait until it has ended, or stop it: islet runs stop RUN.",
        )
    programs = [
        words for _, words in program_uses(site, besides={*ancestors(os.getpid()), *service_processes()})
    ]
    if programs:
        raise HostNotReady(
            "Islet is in use.",
            why=listed(programs[:3]),
            next_step="Close the wizard and every other islet, then start again.",
        )


def _own(site: Site) -> list[Path]:
    """What Islet made in the prefix: `bin` only while nothing else lies in it; of `releases`, each one."""
    own = [site.prefix / name for name in ("store", "current", "trust", STATE_NOTE, ".lock")]
    own += [path for path in _entries(site.prefix / "releases") if names.NUMBER.fullmatch(path.name)]
    command = site.prefix / "bin" / "islet"
    alone_in_bin = set(_entries(command.parent)) <= {command}
    own += [command.parent if alone_in_bin else command, *filter(is_quarantine, _entries(site.prefix))]
    return [path for path in own if path.is_symlink() or path.exists()]


def _data(site: Site) -> Iterator[Path]:
    """What Islet keeps in the state folder, and what it was writing there; not the audit log."""
    for path in _entries(site.state):
        if path.name in STATE_NAMES or path.name.startswith(_ASIDE):
            yield path


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _bytes(path: Path, seen: set[int]) -> int:
    """Of a file or of all files under a folder; a file with several names counts once."""
    total = 0
    for each in (path, *path.rglob("*")) if path.is_dir() and not path.is_symlink() else (path,):
        status = each.lstat()
        if not each.is_dir() and status.st_ino not in seen:
            seen.add(status.st_ino)
            total += status.st_size
    return total
