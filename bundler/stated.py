"""What a bundle's SBOM states, for those who show it to people."""

import json
from typing import Any

from appliance.bundle import names
from appliance.bundle.medium import Medium
from appliance.errors import ApplianceError


def read_sbom(medium: Medium) -> dict[str, Any]:
    """The SBOM. Nothing is decided by it, so one that cannot be read says nothing."""
    try:
        if names.SBOM not in medium.names():
            return {}
        document = json.loads(medium.read_small(names.SBOM, names.CONTENTS_BYTES))
    except (ApplianceError, ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}
