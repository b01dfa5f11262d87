"""A box whose installation is disturbed, and what must hold of it at every moment.

At every moment: the release in use is an allowed one and whole, down to every file of its runtime; what the
site remembers fits it; the audit log holds together. After any disturbance: the same command, given again,
ends well and leaves the tree that an undisturbed one leaves.
"""

import hashlib
import json
import os
import re
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from appliance.errors import UntrustedRecord
from appliance.site import audit
from appliance.site.layout import STATE_NOTE, Site
from appliance.site.releases import installed_releases
from appliance.site.trust import read_trust
from tests.bundles import Workshop
from tests.faults import GO, Ended, Judge, Watch

ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/nonexistent", "TERM": "dumb"}

Tree = dict[str, tuple[str, int, str]]
"""Path below the box to kind, mode and content (SHA-256, or where a link leads)."""

VARIES = re.compile(
    r"/direct_url\.json$|/islet-[^/]*\.dist-info/RECORD$|/\.lock$|/audit\.(key|pub|signed)$|/runtime\.sums$"
)
"""Files whose bytes hold the time or the place of an installation; that they are there is compared."""
COMPILED = "__pycache__"
"""Folder of what Python compiled: it holds times, and Python makes it anew where it does not fit."""
LOG = "state/audit.jsonl"
DATA = ("runs", "datasets", "exports")
"""Folders of the state with what cannot be had again."""
AT_HAND = re.compile(r"(^|/)\.[^/]*\.part(/|$)")
"""What is being written aside: it counts for nothing yet."""


@contextmanager
def memory_folder(name: str) -> Iterator[Path]:
    """A folder on a disk in memory, where there is one with room from which programs may run: what is synced
    there waits for nobody.
    """
    memory = Path("/dev/shm")  # noqa: S108  (a new folder in it, of one user)
    fits = False
    if os.access(memory, os.W_OK):
        facts = os.statvfs(memory)
        fits = not facts.f_flag & os.ST_NOEXEC and facts.f_bavail * facts.f_frsize > 2_000_000_000
    with tempfile.TemporaryDirectory(prefix=f"islet-{name}-", dir=memory if fits else None) as folder:
        yield Path(folder)


class Lost(AssertionError):
    """A box that is neither the old one nor the new one."""


@dataclass
class Hashes:
    """SHA-256 of files, kept while they do not change."""

    known: dict[tuple[int, int, int, int], str] = field(default_factory=dict)

    def of(self, path: Path, facts: os.stat_result) -> str:
        """The hash of a plain file."""
        key = (facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns)
        if key not in self.known:
            self.known[key] = hashlib.sha256(path.read_bytes()).hexdigest()
        return self.known[key]


@dataclass
class Box:
    """Prefix and state in one folder, and a copy of both to go back to."""

    place: Path
    hashes: Hashes = field(default_factory=Hashes)

    @property
    def site(self) -> Site:
        """Where things lie."""
        return Site(self.place / "opt", self.place / "state")

    def save(self, name: str) -> None:
        """Keep what is here now as `name`."""
        kept = self._kept(name)
        shutil.rmtree(kept, ignore_errors=True)
        subprocess.run(["cp", "-a", self.place, kept], check=True)  # keeps hard links and times

    def restore(self, name: str | None) -> None:
        """Make the box what it was; None: empty. What is as it was stays, and needs not be hashed anew."""
        if name is None:
            shutil.rmtree(self.place, ignore_errors=True)
            self.place.mkdir(parents=True)
            return
        kept = self._kept(name)
        wanted, found = _marks(kept), _marks(self.place)
        for path in sorted(found, reverse=True):
            if found[path] != wanted.get(path):
                _remove(self.place / path)
        same: dict[
            int, Path
        ] = {}  # by the number of the saved file: names of one file stay names of one file
        for path in sorted(wanted):
            number = (kept / path).lstat().st_ino
            if found.get(path) == wanted[path]:
                same.setdefault(number, self.place / path)
        for path in sorted(wanted):
            source, target = kept / path, self.place / path
            if os.path.lexists(target):
                continue
            if source.is_dir() and not source.is_symlink():
                target.mkdir()
            elif source.is_symlink():
                target.symlink_to(source.readlink())
            elif source.lstat().st_ino in same:
                os.link(same[source.lstat().st_ino], target)
            else:
                same[source.lstat().st_ino] = Path(shutil.copy2(source, target))
        for path in sorted(wanted, reverse=True):
            if not (kept / path).is_symlink():
                shutil.copystat(kept / path, self.place / path)

    def _kept(self, name: str) -> Path:
        return self.place.with_name(f"{self.place.name}.{name}")

    def install_command(self, bundle: Workshop) -> list[str | Path]:
        """What the administrator types, with the copy of install.sh that he compared."""
        where: list[str | Path] = ["--prefix", self.site.prefix, "--state", self.site.state]
        return ["sh", bundle.root / "install.sh", *where, "--anchor", bundle.anchor(), bundle.bundle]

    def run(self, command: Sequence[str | Path]) -> "subprocess.CompletedProcess[str]":
        """Run a command undisturbed."""
        return subprocess.run(
            [str(word) for word in command],
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            env=ENVIRONMENT,
        )

    def watch(self, command: Sequence[str | Path], judge: Judge) -> Ended:
        """Run a command whose every change here is asked about."""
        return Watch([self.place]).run(command, judge, env=ENVIRONMENT)

    def tree(self, below: str = "") -> Tree:
        """Everything under a folder of the box; links are not followed."""
        found: Tree = {}
        top = str(self.place)
        for folder, folders, files in os.walk(self.place / below):
            folders[:] = [name for name in folders if name != COMPILED]
            for name in (*folders, *files):
                path = Path(folder, name)
                found[f"{folder}/{name}"[len(top) + 1 :]] = self.facts(path)
        return found

    def facts(self, path: Path) -> tuple[str, int, str]:
        facts = path.lstat()
        mode = stat.S_IMODE(facts.st_mode)
        if stat.S_ISLNK(facts.st_mode):
            return "link", 0, str(path.readlink())
        if stat.S_ISDIR(facts.st_mode):
            return "folder", mode, ""
        return "file", mode, "" if VARIES.search(str(path)) else self.hashes.of(path, facts)

    def in_use(self) -> int | None:
        """Number of the release that `current` points to."""
        current = self.site.current
        return int(current.readlink().name) if current.is_symlink() else None

    def events(self) -> list[str]:
        """What the audit log tells, in order; nothing for one whose first entry was never signed."""
        try:
            return [str(entry["event"]) for entry in audit.check(self.site.audit).entries]
        except UntrustedRecord:
            return []


@dataclass
class Scenario:
    """A command at a box, the box before it, and what may be in use afterwards."""

    name: str
    box: Box
    start: str | None
    """Name of the saved box that it starts from."""
    command: list[str | Path]
    old: int | None
    """The release in use before; None: none."""
    new: int | None
    once: bool = False
    """Whether the command, given again after it was done, is refused (going back, further than there is)."""
    share: float = 1.0
    """Of the telling calls, at how many the long form kills and fails; it looks at the box before all."""
    errors: int = 1
    """How many of the disk's errors the long form tries at each call."""
    finished: dict[str, str] = field(default_factory=dict)
    """States from which the command was given again and ended well, by their digest; to what was told."""
    whole: dict[int, Tree] = field(default_factory=dict)
    """What each release's folder must hold, from undisturbed installations."""
    data: Tree = field(default_factory=dict)
    """Data and runs before the command: not one byte of them may go, at no moment."""

    @cached_property
    def wanted(self) -> Tree:
        """The tree that an undisturbed command leaves."""
        self.box.restore(self.start)
        done = self.box.run(self.command)
        if done.returncode != 0:
            raise Lost(f"{self.name} fails undisturbed: {done.stderr}")
        self.box.save(f"{self.name}-done")
        return self.compared()

    def compared(self) -> Tree:
        """What of the box must be the same after every way of getting there."""
        tree = self.box.tree()
        tree.pop(LOG, None)
        return tree

    def learn(self) -> None:
        """Note what the releases look like that may be in use."""
        for name in (f"{self.name}-done", self.start):
            if name is None or not self.wanted:
                continue
            self.box.restore(name)
            for release in installed_releases(self.box.site):
                self.whole[release.number] = self.box.tree(f"opt/releases/{release.number}")
        self.box.restore(self.start)
        self.data = data_of(self.box.tree())

    def calls(self) -> list[str]:
        """Every call of an undisturbed run that changes something, in words."""
        found: list[str] = []
        self.box.restore(self.start)
        self.box.watch(self.command, lambda call: found.append(str(call)) or GO)  # type: ignore[func-returns-value]
        return found

    def check(self) -> int | None:
        """The release in use, which is the old one or the new one, whole. Raises: Lost."""
        self.check_data()
        number = self.box.in_use()
        if number not in (self.old, self.new):
            raise Lost(f"release {number} is in use")
        if number is not None:
            self.check_release(number)
            self._check_memory(number)
        return number

    def check_release(self, number: int) -> None:
        """A release is there, down to its last file. Raises: Lost."""
        site = self.box.site
        compare(self.whole[number], self.box.tree(f"opt/releases/{number}"))
        release = next(each for each in installed_releases(site) if each.number == number)
        for entry in release.stored():
            if self.box.facts(site.stored(entry.sha256))[2] != entry.sha256:
                raise Lost(f"the store's {entry.path} is not whole")

    def check_data(self) -> None:
        """Data and runs are as they were; what came is as the undisturbed command leaves it. Raises: Lost."""
        found = data_of(
            {path: facts for part in DATA for path, facts in self.box.tree(f"state/{part}").items()}
        )
        wanted = data_of(self.wanted)
        for path, facts in self.data.items():
            if path in wanted and found.get(path) not in (facts, wanted[path]):
                raise Lost(f"{path} was {facts} and is {found.get(path)}")
        strange = [path for path in found if path not in self.data and found[path] != wanted.get(path)]
        if strange:
            raise Lost(f"in the state came what no whole command leaves: {strange[:5]}")

    def check_done(self) -> None:
        """What the command said that it did is there. Raises: Lost."""
        if self.check() != self.new:
            raise Lost(f"the command ended well, and release {self.box.in_use()} is in use")

    def _check_memory(self, number: int) -> None:
        """What the site remembers fits the release in use."""
        site = self.box.site
        if (site.prefix / STATE_NOTE).read_text() != f"{site.state}\n":
            raise Lost("the state folder is not noted")
        if (site.prefix / "bin/islet").resolve() != site.release(number) / "runtime/bin/islet":
            raise Lost("the command does not lead to the release in use")
        trust = read_trust(site)
        installed = {release.number: release.sums_sha256 for release in installed_releases(site)}
        if trust.root is None or trust.number < number:
            raise Lost(f"release {number} is in use and {trust.number} remembered")
        if installed.get(trust.number, trust.sums_sha256) != trust.sums_sha256:
            raise Lost("another list is remembered than was installed")
        entries = audit.check(site.audit).entries
        events = [(entry["event"], entry.get("sums_sha256")) for entry in entries]
        if entries[0]["event"] != "anchor" or ("install", installed[number]) not in events:
            raise Lost(f"the log does not tell of release {number}: {events}")

    def check_runs(self) -> None:
        """The command of the release in use starts. Raises: Lost."""
        done = self.box.run([self.box.site.prefix / "bin/islet", "--help"])
        if done.returncode != 0 or "train" not in done.stdout:
            raise Lost(f"islet does not start: {done.stderr}")

    def check_finishes(self) -> bool:
        """Give the command again, unless it was given from this very state before. Raises: Lost.

        Returns whether it was given.
        """
        digest = self.digest()
        if digest in self.finished or (self.once and self.box.in_use() == self.new):
            return False
        done = self.box.run(self.command)
        if done.returncode != 0:
            raise Lost(f"given again: exit code {done.returncode}: {done.stderr}")
        compare(self.wanted, self.compared())
        self.check_done()
        self.finished[digest] = done.stdout
        return True

    def digest(self) -> str:
        """The box but for what every installation begins by removing: states that are the same to it."""
        tree = self.box.tree()
        gone = [f"opt/{name.name}" for name in self.box.site.prefix.glob("quarantine.*")]
        releases = self.box.site.prefix / "releases"
        for folder in releases.iterdir() if releases.is_dir() else ():
            whole = (folder / "installed.json").is_file()
            if not whole and folder.name != str(self.box.in_use()):
                gone.append(f"opt/releases/{folder.name}")
        tree.pop(LOG, None)
        kept = {
            re.sub(r"\.\d+\.part$", ".part", path): facts
            for path, facts in tree.items()
            if not any(path == name or path.startswith(f"{name}/") for name in gone)
        }
        events = self.box.events() if self.box.site.audit.exists() else []
        return hashlib.sha256(json.dumps([sorted(kept.items()), events]).encode()).hexdigest()


Mark = tuple[int, int, int, frozenset[str]]


def _marks(top: Path) -> dict[str, Mark]:
    """Everything under a folder: path to mode, size, time of its last change, and the names that it shares.

    A folder has neither size nor time: they follow from what is in it.
    """
    facts = {}
    for folder, folders, files in os.walk(top):
        for name in (*folders, *files):
            path = Path(folder, name)
            facts[str(path.relative_to(top))] = path.lstat()
    shared: dict[int, set[str]] = {}
    for name, status in facts.items():
        if status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode):
            shared.setdefault(status.st_ino, set()).add(name)
    return {
        name: (status.st_mode, 0, 0, frozenset())
        if stat.S_ISDIR(status.st_mode)
        else (status.st_mode, status.st_size, status.st_mtime_ns, frozenset(shared.get(status.st_ino, ())))
        for name, status in facts.items()
    }


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def data_of(tree: Tree) -> Tree:
    """The part of a tree that is data and runs, without what is being written."""
    folders = tuple(f"state/{part}/" for part in DATA)
    return {p: facts for p, facts in tree.items() if p.startswith(folders) and not AT_HAND.search(p)}


def compare(wanted: Tree, found: Tree) -> None:
    """Raises: Lost, with the first differences, when two trees are not the same."""
    wrong = [path for path in sorted(wanted.keys() | found.keys()) if wanted.get(path) != found.get(path)]
    if wrong:
        told = [f"{path}: wanted {wanted.get(path)}, found {found.get(path)}" for path in wrong[:5]]
        raise Lost(f"{len(wrong)} differences: " + "; ".join(told))


def spread(count: int, wanted: int) -> Iterable[int]:
    """At most `wanted` of the numbers below `count`, evenly spread."""
    if wanted >= count:
        return range(count)
    return sorted({int((place + 0.5) * count / wanted) for place in range(wanted)})
