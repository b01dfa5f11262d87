"""A box that several people share: accounts and groups of its own, in a mount namespace; the real ones stay.

Root only. The accounts are numbers that no real box gives out.
"""

import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from appliance.site.audit import Checked, check
from appliance.site.layout import Site
from appliance.site.service import unit_text
from tests.real import ROOT, scratch
from tests.supervised import answers, until
from tests.tiny import make_tiny_model

ACCOUNTS = {"li": 70001, "wu": 70002, "chen": 70003, "zhao": 70004, "guest": 70005, "mei": 70006}
"""Two trainers, a reviewer, an administrator, somebody else, and one who trains and reviews."""
GROUPS = {"islet-train": ("li", "wu", "mei"), "islet-review": ("chen", "mei"), "islet-admin": ("zhao",)}
FIRST_GROUP = 70101

ENTER = """
set -e
mount --make-rprivate /
mount --bind "$1/passwd" /etc/passwd
mount --bind "$1/group" /etc/group
ready=$1/ready; shift
mount -t tmpfs tmpfs /mnt
number=0
for path in "$@"; do
    mkdir "/mnt/$number"; mount --rbind "${path#*:}" "/mnt/$number"; number=$((number + 1))
done
# What only root may pass through is covered by an empty folder, and what is needed comes back in it.
for path in "$@"; do
    mountpoint -q "${path%%:*}" || mount -t tmpfs -o mode=755 tmpfs "${path%%:*}"
done
number=0
for path in "$@"; do
    mkdir -p "${path#*:}"; mount --rbind "/mnt/$number" "${path#*:}"; number=$((number + 1))
done
touch "$ready"
exec sleep 100000
"""


@dataclass
class SharedBox:
    """The box; `as_user` runs things on it."""

    folder: Path
    holder: int
    """Process whose mount namespace it is."""
    site: Site
    model: Path
    started: list["subprocess.Popen[str]"] = field(default_factory=list)

    def command(self, user: str, words: Sequence[str | Path]) -> list[str | Path]:
        """`words`, as the account `user`."""
        become: list[str | Path] = []
        if user != "root":
            number = str(ACCOUNTS[user])
            become = ["setpriv", "--reuid", number, "--regid", number, "--init-groups", "--no-new-privs"]
        return ["nsenter", f"--mount=/proc/{self.holder}/ns/mnt", "--", *become, *words]

    def as_user(
        self, user: str, *words: str | Path, env: Mapping[str, str] | None = None
    ) -> "subprocess.CompletedProcess[str]":
        """Run a program as `user` to its end."""
        return subprocess.run(
            self.command(user, words), capture_output=True, text=True, env=_environment(env), cwd="/"
        )

    def islet(
        self, user: str, *words: str | Path, env: Mapping[str, str] | None = None
    ) -> "subprocess.CompletedProcess[str]":
        """Run an islet command as `user`."""
        command = [sys.executable, "-m", "appliance.cli", "--prefix", self.site.prefix]
        return self.as_user(user, *command, "--state", self.site.state, *words, env=env)

    def supervise(self) -> "subprocess.Popen[str]":
        """Start a supervisor with no more rights than its unit leaves it; it answers when this returns."""
        given = re.search(r"(?m)^CapabilityBoundingSet=(.*)$", unit_text(self.site))
        assert given is not None
        kept = ",".join(f"+{name.removeprefix('CAP_').lower()}" for name in given[1].split())
        narrow = ["setpriv", "--bounding-set", f"-all,{kept}", "--inh-caps", "-all", "--no-new-privs"]
        command = [sys.executable, "-P", "-m", "appliance.supervisor", "--prefix", self.site.prefix]
        errors = (self.folder / "supervisor.log").open("a")
        supervisor = subprocess.Popen(
            self.command("root", [*narrow, *command, "--state", self.site.state]),
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            env=_environment(None),
            cwd="/",
        )
        self.started.append(supervisor)
        until(lambda: answers(self.site.state) or supervisor.poll() is not None, "a supervisor that answers")
        assert supervisor.poll() is None, (self.folder / "supervisor.log").read_text()
        return supervisor

    def audit(self) -> Checked:
        """The log, which holds."""
        return check(self.site.audit)

    def events(self) -> list[str]:
        """What the log tells, without who."""
        return [entry["event"] for entry in self.audit().entries]


def _environment(more: Mapping[str, str] | None) -> dict[str, str]:
    own = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/nonexistent", "LANG": "C.UTF-8"}
    return {
        **own,
        "OMP_NUM_THREADS": "1",
        "OMP_WAIT_POLICY": "PASSIVE",
        "PYTHONDONTWRITEBYTECODE": "1",
        **(more or {}),
    }


def _closed(path: Path) -> Path | None:
    """The outermost folder above `path` that only its owner may pass through."""
    for parent in reversed(path.parents):
        if not parent.stat().st_mode & stat.S_IXOTH:
            return parent
    return None


def _write_accounts(folder: Path) -> None:
    people = "".join(f"{name}:x:{uid}:{uid}:{name}:/nonexistent:/bin/sh\n" for name, uid in ACCOUNTS.items())
    groups = "".join(f"{name}:x:{uid}:\n" for name, uid in ACCOUNTS.items())
    for number, (name, members) in enumerate(GROUPS.items(), start=FIRST_GROUP):
        groups += f"{name}:x:{number}:{','.join(members)}\n"
    (folder / "passwd").write_text(Path("/etc/passwd").read_text() + people)
    (folder / "group").write_text(Path("/etc/group").read_text() + groups)


@contextmanager
def shared_box(name: str) -> Iterator[SharedBox]:
    """A shared box whose state folder was shared by `islet roles create`; no supervisor yet."""
    with scratch(name) as folder:
        folder.chmod(0o755)
        _write_accounts(folder)
        model = make_tiny_model(folder / "model")
        for path in (model, *model.iterdir()):
            path.chmod(path.stat().st_mode | 0o055)
        site = Site(folder / "opt", folder / "state")
        site.models.mkdir(parents=True)
        site.state.mkdir()
        needed = [Path(sys.base_prefix).resolve(), ROOT]
        hidden = [f"{closed}:{path}" for path in needed if (closed := _closed(path))]
        command = ["unshare", "-m", "sh", "-c", ENTER, "enter", folder, *hidden]
        holder = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        box = SharedBox(folder, holder.pid, site, model)
        try:
            until(lambda: (folder / "ready").exists() or holder.poll() is not None, "the box")
            assert holder.poll() is None
            made = box.islet("root", "roles", "create", "--yes")
            assert made.returncode == 0, made.stderr
            yield box
        finally:
            for process in box.started:
                process.kill()
                process.wait()
            _end_all(box)
            holder.kill()
            holder.wait()
            shutil.rmtree(site.state, ignore_errors=True)


def _end_all(box: SharedBox) -> None:
    """End what the box's people left running: processes of its accounts, which nobody else has."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if (
                    entry.stat().st_uid in ACCOUNTS.values()
                    and str(box.folder) in (entry / "cmdline").read_text()
                ):
                    os.kill(int(entry.name), 9)
            except OSError:
                continue
