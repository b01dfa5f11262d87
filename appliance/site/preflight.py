"""Whether this box can do the work: every finding at once, each with what, why and next.

Looks, changes nothing, imports nothing heavy. One judgement serves `install.sh --check`, `islet doctor` and
the wizard's page on health.
"""

from appliance.errors import ApplianceError
from appliance.sentence import say
from appliance.site.health.disk import Wish, look_at_mounts, look_at_room
from appliance.site.health.finding import Finding
from appliance.site.health.gpu import look_at_gpu
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
    newest = max(read_trust(site).newest_date, release.created if release else "")
    return [
        *look_at_room(
            [
                Wish(say("room for software"), site.prefix, 0, must=False),
                Wish(say("room for runs"), site.state, needs.run_bytes if needs else RUN_BYTES, must=False),
            ]
        ),
        *look_at_mounts(site.prefix, site.state),
        *look_at_machine(needs),
        *look_at_gpu(needs),
        *look_at_clock(newest),
        look_at_rights(site.runs),
        look_at_groups(),
        look_at_systemd(),
        *look_at_selinux(site.current / "runtime" / "bin" / "python"),
        look_at_openssl(),
        look_at_ports(),
        look_at_network(),
    ]


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
