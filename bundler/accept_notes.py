"""Exceptions from the content policy, as those see them who sign, inspect or let media in.

They stand in the lock and in the SBOM, which is signed; from there they are read back.
"""

import json
from collections.abc import Sequence
from typing import Any

import msgspec

from bundler.rules import MEANING, Accept
from bundler.wrapping import printable, wrapped

PREFIX = "accepted:"
"""What the SBOM's properties that tell of exceptions begin with, after `islet:`."""

ENGLISH = (
    "### Accepted exceptions",
    "These files break a rule that holds for everything else, and are carried all the same. Who made the "
    "bundle gave the reasons; who signed it was shown them.",
)
CHINESE = (
    "### 已接受的例外",
    "下列文件不符合其他内容都遵守的一条规则，但仍随包携带。理由由制作者给出，签名者签名前已看到。",
)


def properties(accepts: Sequence[Accept]) -> dict[str, str]:
    """What the SBOM says of them."""
    return {
        f"{PREFIX}{at:03d}": json.dumps(msgspec.to_builtins(accept), sort_keys=True)
        for at, accept in enumerate(accepts)
    }


def from_sbom(document: dict[str, Any]) -> tuple[Accept, ...]:
    """What `bundler.sbom` wrote of them; one that cannot be read says so itself."""
    try:
        stated = [
            str(each["value"])
            for each in document["metadata"]["properties"]
            if each["name"].startswith(f"islet:{PREFIX}")
        ]
    except (KeyError, TypeError, AttributeError):
        return ()
    return tuple(_read(text) for text in stated)


def _read(text: str) -> Accept:
    try:
        return msgspec.json.decode(text, type=Accept)
    except msgspec.DecodeError:
        return Accept("unknown", "unknown", "this exception cannot be read")


def lines(accepts: Sequence[Accept]) -> list[str]:
    """For a terminal: each exception in two lines."""
    found = []
    for accept in accepts:
        found += [f"{accept.rule}: {accept.file}", f"  because: {accept.reason}"]
    return [printable(line) for line in found]


def section(words: tuple[str, str], accepts: Sequence[Accept]) -> str:
    """For BUNDLE.md: heading, paragraph and list; empty when there are none."""
    if not accepts:
        return ""
    heading, paragraph = words
    listed = []
    for accept in accepts:
        meaning = MEANING.get(accept.rule, accept.rule)  # type: ignore[call-overload]
        said = wrapped(f"  {accept.rule} ({meaning}): {accept.reason}", indent="  ")
        listed += [f"- `{accept.file}`", said]
    return "\n".join([heading, "", wrapped(paragraph), "", *listed, "", ""])
