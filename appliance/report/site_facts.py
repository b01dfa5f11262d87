"""What an installed site says of itself for a report: release, signed list, audit log."""

from dataclasses import dataclass
from typing import Any

from appliance.errors import ApplianceError
from appliance.report.gaps import Missing
from appliance.run.folder import RunFolder
from appliance.sentence import say
from appliance.site.audit import check
from appliance.site.layout import Site
from appliance.site.releases import current_release, installed_releases


@dataclass(frozen=True)
class Release:
    """The release in use when the report is written."""

    product: str
    number: int
    created: str
    sums_sha256: str
    """SHA-256 of the release's SHA256SUMS, the list that its senders signed."""
    listed: dict[str, int]
    """SHA-256 of every file in the signed list of an installed release, with the highest such number."""


@dataclass(frozen=True)
class Audit:
    """The audit log, whose chain holds."""

    head: str
    entries: int
    torn: int
    of_run: tuple[dict[str, Any], ...]
    """The entries that name this run."""


@dataclass(frozen=True)
class SiteFacts:
    """What `gather` found."""

    release: Release | Missing
    audit: Audit | Missing


def gather(site: Site, run: RunFolder) -> SiteFacts:
    """What `site` says; what it cannot say is Missing with the reason, so that the report says so."""
    return SiteFacts(_release(site), _audit(site, run))


def _release(site: Site) -> Release | Missing:
    try:
        now = current_release(site)
        listed = {
            entry.sha256: release.number
            for release in installed_releases(site)
            for entry in release.contents().entries
        }
    except ApplianceError as error:
        return Missing(say("{what} {why}", what=error.what, why=error.why))
    except (OSError, ValueError, KeyError) as error:
        return Missing(str(error))
    return Release(now.product, now.number, now.created, now.sums_sha256, listed)


def _audit(site: Site, run: RunFolder) -> Audit | Missing:
    if not site.audit.is_file():
        return Missing(say("{name} is not there", name=site.audit))
    try:
        log = check(site.audit)
    except ApplianceError as error:
        return Missing(say("{what} {why}", what=error.what, why=error.why))
    except OSError as error:
        return Missing(str(error))
    mine = tuple(entry for entry in log.entries if entry.get("run") == run.root.name)
    return Audit(log.head, len(log.entries), log.torn, mine)
