"""RELEASE: what this bundle is, in lines that a person and a shell can read."""

import re
from dataclasses import dataclass

from appliance.bundle import names
from appliance.bundle.refusal import malformed
from appliance.bundle.text import read_field, read_lines
from appliance.sentence import say

FORMAT = "islet-release-1"


@dataclass(frozen=True)
class Release:
    """One release of one product."""

    product: str
    number: int
    """Counts up; a site never goes below the highest it has had."""
    created: str
    """UTC, `2026-11-21T08:00:00Z`, taken from the lock."""
    expires: str
    """UTC. Stops an install, never what is installed."""
    root_version: int
    """The root whose release keys sign it; a site that knows only older roots needs that one first."""
    disk_bytes: int
    """Room that an install needs under the prefix."""


def format_release(release: Release) -> bytes:
    """RELEASE as it is written."""
    return (
        f"format: {FORMAT}\n"
        f"product: {release.product}\n"
        f"number: {release.number}\n"
        f"created: {release.created}\n"
        f"expires: {release.expires}\n"
        f"root-version: {release.root_version}\n"
        f"disk-bytes: {release.disk_bytes}\n"
    ).encode("ascii")


def parse_release(data: bytes) -> Release:
    """The release that `data` states.

    Raises: UntrustedBundle, naming the first line that is not as it must be.
    """
    lines = read_lines(names.RELEASE, data)
    fields = (
        ("format", re.compile(re.escape(FORMAT))),
        ("product", names.PRODUCT),
        ("number", names.NUMBER),
        ("created", names.DATE),
        ("expires", names.DATE),
        ("root-version", re.compile(r"[1-9][0-9]{0,3}")),
        ("disk-bytes", re.compile(r"(0|[1-9][0-9]{0,14})")),
    )
    value = {
        key: read_field(names.RELEASE, lines, i, key, grammar) for i, (key, grammar) in enumerate(fields)
    }
    if len(lines) != len(fields):
        raise malformed(
            names.RELEASE,
            say("it has {count} lines and must have {needed}", count=len(lines), needed=len(fields)),
        )
    return Release(
        product=value["product"],
        number=int(value["number"]),
        created=value["created"],
        expires=value["expires"],
        root_version=int(value["root-version"]),
        disk_bytes=int(value["disk-bytes"]),
    )
