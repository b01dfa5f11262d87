"""What this box holds, file by file: for the auditor, and for a bundler that leaves it out of a delta."""

from typing import Any

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
                    for entry in release.contents().entries
                ],
            }
            for release in installed_releases(site)
        ],
    }
