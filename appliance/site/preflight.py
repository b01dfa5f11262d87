"""Whether this box can do the work: every finding at once, each with what, why and next.

Looks, changes nothing, imports nothing heavy. One judgement serves `install.sh --check`, `islet doctor` and
the wizard's page on health.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from appliance.bundle.contents import Contents, parse_contents
from appliance.bundle.release import Release, parse_release
from appliance.errors import ApplianceError, DamagedBundle, HostNotReady
from appliance.locale import language_of
from appliance.locale.voice import Voice
from appliance.sentence import say
from appliance.site.health.disk import Wish, look_at_mounts, look_at_room, nearest, taken_bytes
from appliance.site.health.finding import Finding
from appliance.site.health.gpu import look_at_gpu
from appliance.site.health.lines import finding_lines
from appliance.site.health.machine import look_at_machine
from appliance.site.health.needs import RUN_BYTES, Needs, read_needs
from appliance.site.health.system import (
    look_at_clock,
    look_at_groups,
    look_at_network,
    look_at_openssl,
    look_at_ports,
    look_at_rights,
    look_at_selinux,
    look_at_systemd,
)
from appliance.site.layout import Site
from appliance.site.releases import Installed, current_release
from appliance.site.trust import read_trust

BRIEF = ("disk", "memory", "gpu", "clock", "rights")
"""First words of the codes of what everybody asks first; the rest is shown to whom it concerns."""


def look_at_box(site: Site) -> list[Finding]:
    """Everything about an installed site's box."""
    release = _release(site)
    needs = _needs(release)
    newest, memory = _newest(site, release)
    wishes = [
        Wish(say("room for software"), site.prefix, 0, must=False),
        Wish(say("room for runs"), site.state, needs.run_bytes if needs else RUN_BYTES, must=False),
    ]
    return [
        *_look(site, needs, wishes, newest),
        *memory,
        look_at_rights(site.runs),
        *look_at_selinux(site.current / "runtime" / "bin" / "python"),
    ]


def _newest(site: Site, release: Installed | None) -> tuple[str, list[Finding]]:
    """The newest signed date that this site knows of; what is wrong with its memory."""
    created = release.created if release else ""
    try:
        return max(read_trust(site).newest_date, created), []
    except DamagedBundle as error:
        name, what = say("memory of releases"), error.what
        return created, [Finding(name, False, what, error.why, error.next_step, code="trust")]


def look_before(
    site: Site, release: Release, contents: Contents, begun: Sequence[Path] = ()
) -> list[Finding]:
    """Everything about a box that `release` is to be installed on.

    begun: folders of this installation; what lies in them on the prefix's disk is room taken already.
    """
    needs = read_needs(contents)
    held = {entry.sha256: entry.size for entry in contents.entries if site.stored(entry.sha256).is_file()}
    device = nearest(site.prefix).stat().st_dev
    taken = sum(taken_bytes(folder) for folder in begun if nearest(folder).stat().st_dev == device)
    room = max(0, release.disk_bytes - sum(held.values()) - taken)
    wishes = [
        Wish(say("room for software"), site.prefix, room, must=True),
        Wish(say("room for runs"), site.state, needs.run_bytes, must=False),
    ]
    return _look(site, needs, wishes, max(read_trust(site).newest_date, release.created))


def _look(site: Site, needs: Needs | None, wishes: list[Wish], newest: str) -> list[Finding]:
    return [
        *look_at_room(wishes),
        *look_at_mounts(site.prefix, site.state),
        *look_at_machine(needs),
        *look_at_gpu(needs),
        *look_at_clock(newest),
        look_at_groups(),
        look_at_systemd(),
        look_at_openssl(),
        look_at_ports(),
        look_at_network(),
    ]


def check_box(site: Site, release: Release, contents: Contents, begun: Sequence[Path]) -> None:
    """Say what is wrong with this box, all of it, before anything is installed on it.

    Raises: HostNotReady, when nothing can go on with some of it.
    """
    wrong = [finding for finding in look_before(site, release, contents, begun) if not finding.good]
    for line in finding_lines(wrong, Voice(language_of())):
        print(line, file=sys.stderr)
    for finding in wrong:
        if finding.blocking:
            raise HostNotReady(
                say("This box is not ready: {what}.", what=finding.what),
                why=finding.why,
                next_step=finding.next_step,
            )


def main(arguments: Sequence[str]) -> int:
    """What `install.sh --check` asks, once all of the medium was verified. Returns the exit code.

    arguments: prefix, state, RELEASE and contents.json in the folder where everything was unpacked aside.
    """
    prefix, state, release, contents = map(Path, arguments)
    say = Voice(language_of())
    try:
        found = look_before(
            Site(prefix, state),
            parse_release(release.read_bytes()),
            parse_contents(contents.read_bytes()),
            [release.parent],
        )
    except ApplianceError as error:
        print(f"islet: {say.again(error.sentence())}", file=sys.stderr)
        return error.exit_code
    for line in finding_lines(found, say):
        print(line)
    return HostNotReady.exit_code if any(each.blocking and not each.good for each in found) else 0


def is_brief(finding: Finding) -> bool:
    """Whether a page with little room shows it: what is wrong, and what everybody asks first."""
    return not finding.good or finding.code.split(".")[0] in BRIEF


def _release(site: Site) -> Installed | None:
    try:
        return current_release(site)
    except (ApplianceError, OSError, ValueError, KeyError):
        return None  # which the doctor says by itself


def _needs(release: Installed | None) -> Needs | None:
    try:
        return read_needs(release.contents()) if release else None
    except (ApplianceError, OSError):
        return None
