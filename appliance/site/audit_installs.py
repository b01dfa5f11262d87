"""Whether the audit log tells of what is installed: one that was begun anew holds together and knows nothing.

An installation writes its entry before its release comes into use, so the release in use always has one. The
entry also has the hash of `runtime.sums`, the list of what the runtime was when the installation ended.
"""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from appliance.errors import ApplianceError, UntrustedRecord
from appliance.sentence import Sentence, say
from appliance.site.layout import RUNTIME_SUMS, Site
from appliance.site.releases import Installed, current_release, installed_releases


def check_installs(site: Site, entries: Iterable[Mapping[str, Any]]) -> None:
    """Compare the entries of the log with the releases on this box.

    Raises: UntrustedRecord, when the release in use has no entry, or the list of a runtime is not the one
    that was written then; DamagedBundle, when what vouches for a release was changed.
    """
    told: dict[object, object] = {}
    for entry in entries:
        if entry.get("event") == "install":
            told[entry.get("sums_sha256")] = entry.get("runtime_sums_sha256")
    used = _in_use(site)
    if used is not None and used.sums_sha256 not in told:
        raise _untrusted(
            say("release {number} is in use, and no entry tells of its coming", number=used.number)
        )
    for release in installed_releases(site):
        wanted, found = told.get(release.sums_sha256), _sums_sha256(release)
        if isinstance(wanted, str) and found and wanted != found:
            why = say(
                "{file} of release {number} is not the one that it names",
                file=RUNTIME_SUMS,
                number=release.number,
            )
            raise _untrusted(why)


def _in_use(site: Site) -> Installed | None:
    try:
        return current_release(site)
    except ApplianceError:
        return None  # nothing is installed, or it is damaged: not the log's fault


def _sums_sha256(release: Installed) -> str:
    """Of `runtime.sums`; empty where there is none, which the doctor says by itself."""
    try:
        return hashlib.sha256((release.folder / RUNTIME_SUMS).read_bytes()).hexdigest()
    except OSError:
        return ""


def _untrusted(why: Sentence) -> UntrustedRecord:
    return UntrustedRecord(
        "The audit log does not tell of what is installed.",
        why=why,
        next_step="Keep the file as it is and show it to the security officer.",
    )
