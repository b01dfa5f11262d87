"""The examination: the box, the stored files, the runtime, the audit log, two training steps."""

from collections.abc import Callable
from typing import Literal

from appliance.doctor.smoke import train_two_steps
from appliance.doctor.stored import look_at_files
from appliance.errors import ApplianceError
from appliance.progress import Progress
from appliance.sentence import reason, say
from appliance.site import audit
from appliance.site.audit_installs import check_installs
from appliance.site.health.finding import Finding
from appliance.site.layout import Site
from appliance.site.preflight import look_at_box
from appliance.site.releases import current_release
from appliance.site.runtime import try_imports

Thoroughness = Literal["quick", "ordinary", "full"]
"""quick: nothing is hashed or trained; ordinary: hashing goes on where it was cut off; full: it begins anew,
and reads the disk itself."""


def examine(site: Site, progress: Progress, how: Thoroughness = "ordinary") -> list[Finding]:
    """Every finding, in the order in which they were made."""
    found = look_at_box(site)
    found += _tried("files", say("installed files"), lambda: look_at_files(site, progress, how))
    found += _tried("imports", say("imports"), lambda: [_imports(site, progress)])
    found += _tried("audit", say("audit log"), lambda: [_audited(site)])
    if how != "quick":
        found += _tried("training", say("two training steps"), lambda: [train_two_steps(site, progress)])
    return found


def _tried(code: str, name: str, check: Callable[[], list[Finding]]) -> list[Finding]:
    """What `check` finds; its failure is a finding, not an end."""
    try:
        return check()
    except ApplianceError as error:
        return [Finding(name, False, error.what, error.why, error.next_step, code=code)]
    except OSError as error:
        again = "Run install.sh again with the medium."
        return [Finding(name, False, "a file could not be read", reason(error), again, code=code)]


def _audited(site: Site) -> Finding:
    log = audit.check(site.audit)
    check_installs(site, log.entries)
    return Finding(
        "audit log",
        True,
        say("{count} entries, the chain holds; head {head}", count=len(log.entries), head=log.head),
        code="audit",
        facts={"entries": len(log.entries), "head": log.head},
    )


def _imports(site: Site, progress: Progress) -> Finding:
    try_imports(site.current / "runtime", current_release(site).contents(), progress)
    return Finding("imports", True, "what this release is for can be imported", code="imports")
