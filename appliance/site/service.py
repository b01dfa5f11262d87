"""`islet.service`: the unit that runs the supervisor, as narrow as what it does allows.

What is not there, and why: `RestrictSUIDSGID` (a started run's folder gets the group bit, so that reviewers
can read what is made in it), `PrivateDevices` and `MemoryDenyWriteExecute` (trainings use the GPU, and
compile for it).
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from appliance.durable import write_whole
from appliance.errors import HostNotReady, StepFailed
from appliance.process import run
from appliance.sentence import reason, say
from appliance.site.layout import Site

UNIT = "islet.service"
UNITS = Path("/etc/systemd/system")
BOOTED = Path("/run/systemd/system")
"""There only where systemd runs the box. Source: sd_booted(3)."""

_TEXT = """\
# Islet's supervisor: starts trainings as their own users, resumes them after boot, signs the audit log.
[Unit]
Description=Islet supervisor
After=local-fs.target
RequiresMountsFor={prefix} {state}

[Service]
Type=exec
ExecStart={python} -P -m appliance.supervisor --prefix {prefix} --state {state}
Restart=always
RestartSec=2
# A restart, or an upgrade, leaves trainings at work: the next supervisor adopts them.
KillMode=process
# One training that runs out of memory must not take the others with it.
OOMPolicy=continue
UMask=0077

# Becoming a trainer, giving a run's folder to its readers, looking into it, ending it: nothing else of root.
CapabilityBoundingSet=CAP_SETUID CAP_SETGID CAP_KILL CAP_CHOWN CAP_FOWNER CAP_FSETID CAP_DAC_READ_SEARCH
# Holds for trainings too: none gains what its trainer has not. Setting a user number is not gaining.
NoNewPrivileges=yes
# No interface but a loopback of its own, for trainings too.
PrivateNetwork=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
IPAddressDeny=any
IPAddressAllow=localhost
ProtectSystem=strict
ReadWritePaths={state}
# Plans may name rows in a home; nothing is written there.
ProtectHome=read-only
PrivateTmp=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
RestrictNamespaces=yes
RestrictRealtime=yes
LockPersonality=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@mount @swap @reboot @module @raw-io @obsolete
# A core file would hold rows.
LimitCORE=0

[Install]
WantedBy=multi-user.target
"""


def unit_text(site: Site) -> str:
    """The unit for this site. Source of the quoting: systemd.service(5), "Command lines"."""
    python = site.current / "runtime" / "bin" / "python"
    return _TEXT.format(python=_quoted(python), prefix=_quoted(site.prefix), state=_quoted(site.state))


def is_systemd_here() -> bool:
    """Whether systemd runs this box."""
    return BOOTED.is_dir()


def write_unit(site: Site, folder: Path = UNITS) -> Path:
    """Put the unit in place; its path.

    Raises: HostNotReady, when the folder cannot be written, or the unit there is another site's.
    """
    path = folder / UNIT
    text = unit_text(site)
    if path.exists() and f"--state {_quoted(site.state)}\n" not in path.read_text(encoding="utf-8"):
        raise HostNotReady(
            "Another site of this box has the supervisor's unit.",
            why=say("{path} is there, for another state folder", path=path),
            next_step="Remove that one first, or run this site's supervisor in another way.",
        )
    try:
        write_whole(path, text.encode())
    except OSError as error:
        raise HostNotReady(
            say("{path} could not be written.", path=path),
            why=reason(error),
            next_step="Run it as root.",
        ) from error
    return path


def remove_unit(site: Site, folder: Path = UNITS) -> bool:
    """End the supervisor and take its unit away, if it is this site's; whether it was.

    Raises: StepFailed, when systemd does not end it.
    """
    path = folder / UNIT
    try:
        ours = f"--state {_quoted(site.state)}\n" in path.read_text(encoding="utf-8")
    except OSError:
        return False
    if not ours:
        return False
    if is_systemd_here():
        run(["systemctl", "disable", "--now", UNIT], next_step="Look at what `journalctl -u islet` says.")
    path.unlink()
    if is_systemd_here():
        run(["systemctl", "daemon-reload"], next_step="Look at what `journalctl -u islet` says.")
    return True


def service_processes() -> Iterator[int]:
    """The supervisor that systemd runs, and the trainings that it started. Source: cgroups(7)."""
    for path in Path("/proc").glob("[0-9]*/cgroup"):
        with suppress(OSError):
            if path.read_text(encoding="ascii", errors="replace").rstrip("\n").endswith(f"/{UNIT}"):
                yield int(path.parent.name)


def start_service() -> None:
    """Have systemd read the unit, start it now and after every boot. Raises: StepFailed."""
    for words in (("daemon-reload",), ("enable", UNIT), ("restart", UNIT)):
        run(["systemctl", *words], next_step="Look at what `journalctl -u islet` says.")


def make_group(name: str) -> None:
    """Make a group of the system. Raises: StepFailed, when no program of the box does."""
    for program, options in (("groupadd", ["--system"]), ("addgroup", ["-S"])):
        if any(
            os.access(folder / program, os.X_OK) for folder in map(Path, ("/usr/sbin", "/usr/bin", "/sbin"))
        ):
            run([program, *options, name], next_step="Make the group by hand, and start again.")
            return
    raise StepFailed(
        say("The group {name} could not be made.", name=name),
        why=say("there is neither groupadd nor addgroup"),
        next_step="Make the group by hand, and start again.",
    )


def _quoted(path: Path) -> str:
    text = str(path).replace("%", "%%").replace("$", "$$")
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"' if set(text) & set(" \"'\\;") else text
