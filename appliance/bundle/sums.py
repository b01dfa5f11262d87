"""SHA256SUMS: the one signed list. `sha256sum -c` reads it too; the grammar here is narrower."""

import re

from appliance.bundle import names
from appliance.bundle.refusal import malformed
from appliance.bundle.text import read_lines
from appliance.sentence import say

_LINE = re.compile(rf"({names.SHA256.pattern})  ({names.LISTED.pattern})")


def format_sums(hashes: dict[str, str]) -> bytes:
    """The list as it is written: sorted by name."""
    return "".join(f"{hashes[name]}  {name}\n" for name in sorted(hashes)).encode("ascii")


def parse_sums(data: bytes) -> dict[str, str]:
    """Name to SHA-256, as listed.

    Raises: UntrustedBundle, when the grammar is broken, a name stands twice (also by case), a name
    is one that must not be listed, or one that every bundle has is not.
    """
    matches = [_LINE.fullmatch(line) for line in read_lines(names.SUMS, data)]
    hashes = {}
    for number, match in enumerate(matches, start=1):
        if match is None or match[2].startswith(("SHA256SUMS", "root.")):
            raise malformed(
                names.SUMS, say("line {number} must be a SHA-256, two spaces and a plain name", number=number)
            )
        hashes[match[2]] = match[1]
    if len({name.lower() for name in hashes}) != len(matches):
        raise malformed(names.SUMS, "a name stands in it twice")
    for name in names.required_names():
        if name not in hashes:
            raise malformed(names.SUMS, say("it does not list {name}", name=name))
    if len([name for name in hashes if names.WHEEL.fullmatch(name)]) != 1:
        raise malformed(names.SUMS, "it must list one wheel of islet")
    return hashes


def wheel_name(hashes: dict[str, str]) -> str:
    """The name of the appliance's own wheel in a list that was judged."""
    return next(name for name in hashes if names.WHEEL.fullmatch(name))


def volume_names(hashes: dict[str, str]) -> list[str]:
    """The names of the payload volumes in a list that was judged, in order."""
    return sorted(name for name in hashes if names.VOLUME.fullmatch(name))
