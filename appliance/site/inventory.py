"""What this box holds, file by file: for the auditor, and for a bundler that leaves it out of a delta."""

from typing import Any

from appliance.bundle.contents import Entry
from appliance.site.layout import Site
from appliance.site.releases import current_release, installed_releases

FORMAT = "islet-inventory-1"


def inventory(site: Site) -> dict[str, Any]:
    """Releases and files, ready for JSON. Raises: HostNotReady, when nothing is installed."""
    now = current_release(site)
    return {
        "format": FORMAT,
        "product": now.product,
        "current": now.number,
        "releases": [
            {
                "number": release.number,
                "created": release.created,
                "sums-sha256": release.sums_sha256,
                "files": [
                    {
                        "path": entry.path,
                        "kind": entry.kind,
                        "component": entry.component,
                        "licence": entry.licence,
                        "size": entry.size,
                        "sha256": entry.sha256,
                    }
                    for entry in release.stored()
                    if _is_held(site, entry)
                ],
            }
            for release in installed_releases(site)
        ],
    }


def _is_held(site: Site, entry: Entry) -> bool:
    """Whether the store has the file: what it lost, `islet doctor` names, and no delta may leave out."""
    stored = site.stored(entry.sha256)
    return stored.is_file() and stored.stat().st_size == entry.size
