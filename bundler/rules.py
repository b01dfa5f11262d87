"""The rules of the content policy by name, and the exceptions that a manifest may make from some of them.

An exception names one rule and one file, to the letter, and says why. What makes a bundle safe to load
cannot be excepted: no pickle, no code beside a model, sound weights, no credentials.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import msgspec

from appliance.errors import BadInput

Rule = Literal[
    "pickle",
    "code",
    "remote-code",
    "weights",
    "document",
    "path",
    "disguise",
    "credential",
    "zip",
    "wheel-name",
    "file-kind",
    "text",
    "private-address",
    "record",
    "wheel-tag",
    "start-code",
]

MEANING: dict[Rule, str] = {
    "pickle": "no pickle, under whatever name",
    "code": "a model brings no program and no library",
    "remote-code": "no setting makes a loader run or fetch code",
    "weights": "weights are safetensors or GGUF, whose headers describe the file",
    "document": "what is called .json is JSON of at most 64 MiB",
    "path": "paths are plain, and no two differ in case only",
    "disguise": "no archive and no compressed data that cannot be looked into",
    "credential": "no password, token or private key",
    "zip": "a wheel is a plain zip file without links, doubles or ways out",
    "wheel-name": "a wheel is of the project and version that its file name says",
    "file-kind": "a model brings weights, text and settings only",
    "text": "text holds no control characters",
    "private-address": "no path or address that only its maker's machine or network knows",
    "record": "a wheel's RECORD lists every file with its right hash",
    "wheel-tag": "a wheel runs where its file name says",
    "start-code": "nothing runs by itself at every start of Python",
}

ACCEPTABLE: frozenset[Rule] = frozenset(
    {"file-kind", "text", "private-address", "record", "wheel-tag", "start-code"}
)
"""The rules that a manifest may make exceptions from."""


class Accept(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One exception: this file may break this rule."""

    rule: str
    """A name in ACCEPTABLE."""
    file: str
    """As it is called in the bundle: `models/ORG/NAME/FILE`, `wheels/FILE.whl`; `wheels/FILE.whl/MEMBER` in a
    wheel, `runtime/PATH` in the conda environment."""
    reason: str
    """Why, in one line, for those who sign and who let media in."""


@dataclass(frozen=True)
class Breach:
    """What breaks a rule."""

    rule: Rule
    file: str
    """As in `Accept`."""
    why: str


class Exceptions:
    """The exceptions of one manifest, and which of them something needed."""

    def __init__(self, accepts: Iterable[Accept] = ()) -> None:
        """Nothing needed any so far."""
        self._accepts = {(accept.rule, accept.file): accept for accept in accepts}
        self._needed: set[tuple[str, str]] = set()

    def check(self, breach: Breach, *, what: str, remedy: str) -> None:
        """Pass if the breach is accepted.

        Raises: BadInput, which names the file, the rule and the remedy.
        """
        key = (breach.rule, breach.file)
        if breach.rule in ACCEPTABLE and key in self._accepts:
            self._needed.add(key)
            return
        if breach.rule in ACCEPTABLE:
            remedy += (
                f' If it must be carried, say so in the manifest: [[accept]] rule = "{breach.rule}", '
                f'file = "{breach.file}", and a reason; those who sign will read it.'
            )
        raise BadInput(what, why=f"{breach.why} (rule {breach.rule})", next_step=remedy)

    def check_needed(self) -> None:
        """Raises: BadInput, when an exception was made that nothing needs."""
        for rule, file in sorted(self._accepts.keys() - self._needed):
            raise BadInput(
                "An exception in the manifest is not needed.",
                why=f"no file called {file} breaks the rule {rule}",
                next_step="Remove that [[accept]], or correct its file; then lock again.",
            )


def accept_problems(accepts: Iterable[Accept]) -> list[str]:
    """What is wrong with a manifest's exceptions, in words."""
    problems, seen = [], set()
    for at, accept in enumerate(accepts):
        if accept.rule not in MEANING:
            problems.append(
                f"accept[{at}].rule: {accept.rule!r} is not one of {', '.join(sorted(ACCEPTABLE))}"
            )
        elif accept.rule not in ACCEPTABLE:
            problems.append(f"accept[{at}].rule: there is no exception from {accept.rule!r}")
        if not accept.file or not accept.file.isprintable() or accept.file.startswith("/"):
            problems.append(f"accept[{at}].file: {accept.file!r} is not a file's path in the bundle")
        if any(sign in accept.file for sign in "*?["):
            problems.append(f"accept[{at}].file: {accept.file!r} is a pattern; name one file")
        if not 10 <= len(accept.reason.strip()) <= 200 or not accept.reason.isprintable():
            problems.append(f"accept[{at}].reason: it must be one line of 10 to 200 characters")
        if (accept.rule, accept.file) in seen:
            problems.append(f"accept[{at}]: it stands twice")
        seen.add((accept.rule, accept.file))
    return problems
