"""Names and limits of the bundle format, shared by everything that reads or writes one.

`install.sh` holds the same rules; `docs/bundle-format.md` is where they are laid down.
"""

import re

INSTALLER = "install.sh"
RELEASE = "RELEASE"
CONTENTS = "contents.json"
RUNTIME = "runtime.tar.gz"
SUMS = "SHA256SUMS"
NOTES = "BUNDLE.md"
SBOM = "sbom.cdx.json"

WHEEL = re.compile(r"islet-[A-Za-z0-9._]+-py3-none-any\.whl")
VOLUME = re.compile(r"payload\.[0-9]{3}\.tar")
ROOT = re.compile(r"root\.([1-9][0-9]{0,3})")
ROOT_SIGNATURE = re.compile(r"root\.([1-9][0-9]{0,3})\.sig\.([0-9a-f]{16})")
SUMS_SIGNATURE = re.compile(r"SHA256SUMS\.sig\.([0-9a-f]{16})")
LISTED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
"""What a name in SHA256SUMS may be: no folder, no leading dot, no space."""

SHA256 = re.compile(r"[0-9a-f]{64}")
DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
"""UTC, to the second, always this long: dates compare as text."""
NUMBER = re.compile(r"[1-9][0-9]{0,8}")
PRODUCT = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")

SMALL_BYTES = 1_000_000
"""Cap of every control file read whole, contents.json apart."""
CONTENTS_BYTES = 16_000_000
"""Cap of contents.json: some 48,000 files, which take 110 MB of memory to judge."""
SIGNATURE_BYTES = 72
"""Longest DER ECDSA P-256 signature: two 33-byte integers and their headers (SEC 1, C.8)."""
VOLUME_BYTES = 4_000_000_000
"""Default size of a volume: under FAT32's 4 GiB - 1."""
MEMBER_BYTES = 8 * 1024**3 - 1
"""Longest member a plain ustar header can state: eleven octal digits."""


def required_names() -> tuple[str, ...]:
    """Names that every SHA256SUMS must list, the appliance's wheel apart."""
    return (INSTALLER, RELEASE, CONTENTS, RUNTIME)
