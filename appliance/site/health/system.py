"""Clock, rights, and the operating system around Islet: systemd, groups, SELinux, openssl, ports."""

import grp
import os
import re
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from appliance.bundle.verify import clock
from appliance.sentence import say
from appliance.site.health.finding import Finding
from appliance.site.roles import GROUPS
from appliance.site.service import BOOTED, UNIT, UNITS, service_processes

OLLAMA_PORT = 11434
LISTENING = "0A"
"""TCP_LISTEN, as /proc/net/tcp writes it."""
LOOPBACK = ("0100007F", "00000000000000000000000001000000")
"""127.0.0.1 and ::1, as /proc/net/tcp and tcp6 write them on a little-endian machine."""
_RTC = Path("/sys/class/rtc/rtc0/since_epoch")
_SELINUX = Path("/sys/fs/selinux/enforce")


def look_at_clock(newest: str, now: str | None = None, rtc: Path = _RTC) -> list[Finding]:
    """The system's clock and the one that keeps time without power.

    newest: the newest signed date that this box knows, `2026-11-21T08:00:00Z`.
    """
    now = now or clock()
    found = [
        Finding(
            "clock",
            now >= newest,
            now,
            say("a release signed {seen} is here, so it is later than that", seen=newest),
            "Set the clock; expiry is judged by the later of the two meanwhile.",
            code="clock",
            facts={"now": now, "newest": newest},
        )
    ]
    hardware = _hardware_clock(rtc)
    if hardware and hardware < newest:
        found.append(
            Finding(
                "hardware clock",
                False,
                hardware,
                "after a start without a time server, the box begins at that date",
                "Run hwclock --systohc as root; if it is wrong again, replace the battery on the main board.",
                code="clock.hardware",
                facts={"hardware": hardware, "newest": newest},
            )
        )
    return found


def _hardware_clock(rtc: Path) -> str:
    try:
        seconds = int(rtc.read_text(encoding="ascii"))
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OSError, ValueError, OverflowError):
        return ""  # a virtual machine or a container often has none


def look_at_rights(runs: Path) -> Finding:
    """Whether this account may make runs."""
    user, good = os.getuid(), os.access(runs, os.W_OK)
    return Finding(
        "rights",
        good,
        say("user {user} may write {folder}", user=user, folder=runs)
        if good
        else say("user {user} may not write {folder}", user=user, folder=runs),
        "runs are made there",
        "Use an account that may write there.",
        blocking=not good,
        code="rights",
        facts={"uid": user},
    )


def look_at_groups(names: tuple[str, ...] = GROUPS) -> Finding:
    """Which of the roles' groups are here; without them one account does everything."""
    mine = {*os.getgroups(), os.getgid()}
    there, member = [], []
    for name in names:
        try:
            number = grp.getgrnam(name).gr_gid
        except KeyError:
            continue
        there.append(name)
        if number in mine:
            member.append(name)
    facts = {"groups": " ".join(there), "member": " ".join(member)}
    if not there:
        return Finding(
            "groups", True, "no groups for the roles: one account does everything", code="groups", facts=facts
        )
    lacking = [name for name in names if name not in there]
    return Finding(
        "groups",
        not lacking,
        say(
            "groups: {there}; you are in: {member}",
            there=", ".join(there),
            member=", ".join(member) or say("none"),
        ),
        say("these are missing: {lacking}", lacking=", ".join(lacking)),
        "Run islet roles create as root, then put the people into them.",
        code="groups",
        facts=facts,
    )


def look_at_systemd(running: Path = BOOTED, units: Path = UNITS) -> Finding:
    """Whether runs can go on by themselves after a restart, and whether the supervisor is at work."""
    there, unit = running.is_dir(), (units / UNIT).exists()
    at_work = unit and any(True for _ in service_processes())
    facts = {"systemd": there, "unit": unit, "supervisor": at_work}
    if there and unit and not at_work:
        return Finding(
            "systemd",
            False,
            "the supervisor is set up, and is not at work",
            "nobody starts runs, and none goes on after a restart of the box",
            "As root: systemctl restart islet; journalctl -u islet says why it ended.",
            code="systemd",
            facts=facts,
        )
    return Finding(
        "systemd",
        True,
        "no systemd: after a restart of the box a run is continued by hand, with islet runs continue"
        if not there
        else "systemd runs the supervisor"
        if unit
        else "systemd runs here; no supervisor is set up: each account's runs are its own",
        code="systemd",
        facts=facts,
    )


def look_at_selinux(program: Path, enforce: Path = _SELINUX) -> list[Finding]:
    """What SELinux will say when systemd starts `program`: nothing where it is not enforcing."""
    try:
        if enforce.read_text(encoding="ascii").strip() != "1":
            return []
        label = os.getxattr(program, "security.selinux").rstrip(b"\0").decode("ascii", "replace")
    except OSError:
        return []
    kind = label.split(":")[2] if label.count(":") >= 2 else label
    bad = kind.startswith(("user_home", "user_tmp", "tmp_", "default_t", "unlabeled", "var_lib"))
    return [
        Finding(
            "SELinux",
            not bad,
            say("SELinux enforces; the programs are labelled {kind}", kind=kind),
            "systemd may not start programs with this label",
            say("As root: chcon -R -t bin_t {folder}", folder=program.parent),
            code="selinux",
            facts={"label": kind},
        )
    ]


def look_at_openssl() -> Finding:
    """What install.sh verifies the next medium with."""
    place = shutil.which("openssl", path="/usr/sbin:/usr/bin:/sbin:/bin")
    version = ""
    if place:
        try:
            done = subprocess.run([place, "version"], capture_output=True, text=True, timeout=30)
            version = done.stdout.strip()
        except (OSError, subprocess.TimeoutExpired):
            version = ""
    short = " ".join(version.split()[:2])
    return Finding(
        "openssl",
        bool(short),
        short or "openssl is not on this box, or does not work",
        "install.sh checks the next medium with it",
        "Install or repair the package that has openssl.",
        code="openssl",
        facts={"openssl": short},
    )


def look_at_ports(proc: Path = Path("/proc/net")) -> Finding:
    """Whether a model server listens here, and to whom; Islet itself opens no port."""
    places = {place for name in ("tcp", "tcp6") for place in read_listeners(_text(proc / name), OLLAMA_PORT)}
    outside = places - set(LOOPBACK)
    facts = {"ollama": bool(places), "ollama_outside": bool(outside)}
    if outside:
        return Finding(
            "ports",
            False,
            say("something listens on port {port} for other machines", port=OLLAMA_PORT),
            "that is Ollama's port: whoever reaches this box can ask its models",
            "Set OLLAMA_HOST=127.0.0.1 for the server, or close the port to others, unless it is wanted.",
            code="ports",
            facts=facts,
        )
    what = say("Ollama's port {port} answers this box only", port=OLLAMA_PORT)
    nobody = say("nothing listens on port {port} (Ollama); Islet opens none", port=OLLAMA_PORT)
    return Finding("ports", True, what if places else nobody, code="ports", facts=facts)


def read_listeners(table: str, port: int) -> set[str]:
    """Addresses, in hexadecimal, that listen on `port`, in the text of /proc/net/tcp or tcp6."""
    pattern = re.compile(rf"^\s*\d+: ([0-9A-F]+):{port:04X} [0-9A-F]+:[0-9A-F]+ {LISTENING} ", re.MULTILINE)
    return set(pattern.findall(table))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""


def look_at_network(routes: Path = Path("/proc/net/route")) -> Finding:
    """Whether this box has a way out; nothing here would use it."""
    away = any(line.split()[1:2] == ["00000000"] for line in _text(routes).splitlines()[1:])
    return Finding(
        "network",
        True,
        "this box has a way to other networks; nothing of Islet uses it"
        if away
        else "no way to other networks",
        code="network",
        facts={"default_route": away},
    )
