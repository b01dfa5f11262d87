"""Licences as their owners wrote them, and as SPDX where that is what they wrote."""

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

from bundler.wrapping import printable

UNSTATED = frozenset({"", "unknown", "other"})
"""What a source's silence looks like."""

SPOKEN = {
    "3-clause bsd license": "BSD-3-Clause",
    "apache 2.0": "Apache-2.0",
    "apache 2.0 license": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache license, version 2.0": "Apache-2.0",
    "bsd 3-clause": "BSD-3-Clause",
    "bsd 3-clause license": "BSD-3-Clause",
    "isc license": "ISC",
    "mit license": "MIT",
    "mozilla public license 2.0": "MPL-2.0",
}
"""Names in prose that can mean one licence only. `BSD License` and `Apache` are not: which one is open."""


def is_stated(text: str) -> bool:
    """Whether the source names a licence."""
    return text.strip().lower() not in UNSTATED


def spdx(text: str) -> str | None:
    """`text` as an SPDX expression, written as the list writes it; None if it is not one."""
    text = SPOKEN.get(text.strip().lower(), text)
    try:
        return canonicalize_license_expression(text)
    except InvalidLicenseExpression:
        return None


def shown(text: str, unstated: str) -> str:
    """For people: SPDX where it is that, else the source's own words, else `unstated`."""
    if not is_stated(text):
        return unstated
    return spdx(text) or printable(" ".join(text.split()))
