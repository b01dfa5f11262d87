"""backup.json: every file of a backup, where it belongs and what its bytes are.

A backup is a folder: `files/SHA256` holds each file once under the hash of its bytes, so no name of a
site's can be wrong for a medium; `backup.json` says which stood where, and is written last;
`backup.json.sha256` is for `sha256sum -c`. Read by strict code: whoever has the medium can change it, and
what is restored goes only where this list may lead, inside the state folder.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from appliance.bundle import names
from appliance.errors import BadInput, DamagedBundle
from appliance.sentence import reason, say

FORMAT = "islet-backup-1"
LIST = "backup.json"
SUMS = "backup.json.sha256"
LIST_BYTES = 500_000_000
"""Cap of the list: some million files."""
_AGAIN = "Copy the backup again from where it was made, or use another one."


@dataclass(frozen=True)
class Saved:
    """One file or folder of the state."""

    path: str
    """Under the state folder, `/`-separated."""
    size: int
    """Bytes; 0 for a folder."""
    sha256: str
    """Of its bytes; empty for a folder."""
    mode: int
    """Rights, without setuid, setgid and sticky."""
    owner: str
    """Name of the account; empty where it has none."""
    group: str


@dataclass(frozen=True)
class Backup:
    """A whole backup."""

    created: str
    """UTC, `2026-11-21T08:00:00Z`."""
    product: str
    release: int
    """Number of the release that was in use."""
    state_format: int
    skipped: tuple[str, ...]
    """Runs that were at work, and what is neither file nor folder: not in the backup."""
    saved: tuple[Saved, ...]
    """Folders before what lies in them."""


def format_list(backup: Backup) -> bytes:
    """backup.json as it is written."""
    document = {**asdict(backup), "format": FORMAT}
    return json.dumps(document, sort_keys=True, indent=1, ensure_ascii=True).encode("ascii") + b"\n"


def read_list(folder: Path) -> tuple[Backup, str]:
    """The list of the backup in `folder`, and its SHA-256.

    Raises: BadInput, when there is none; DamagedBundle, when it is not as it was written.
    """
    try:
        with (folder / LIST).open("rb") as file:
            data = file.read(LIST_BYTES + 1)
        stated = (folder / SUMS).read_bytes()[:200]
    except OSError as error:
        raise BadInput(
            say("{folder} is no whole backup.", folder=folder),
            why=reason(error),
            next_step="Give the folder that islet backup made; one that was cut off has no list.",
        ) from error
    sha256 = hashlib.sha256(data).hexdigest()
    if stated != sums_line(sha256):
        raise damaged(LIST)
    try:
        return _parse(json.loads(data.decode("ascii"))), sha256
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise DamagedBundle(
            say("{file} is not written as a backup's list must be.", file=LIST),
            why=reason(error),
            next_step=_AGAIN,
        ) from error


def sums_line(sha256: str) -> bytes:
    """What backup.json.sha256 holds."""
    return f"{sha256}  {LIST}\n".encode("ascii")


def damaged(name: str) -> DamagedBundle:
    """A file of the backup whose bytes are not those that were saved."""
    return DamagedBundle(
        say("{name} of the backup is damaged.", name=name),
        why=say("its SHA-256 is not the one that was written down"),
        next_step=_AGAIN,
    )


def _parse(document: Any) -> Backup:
    """Raises: ValueError, TypeError, KeyError, for anything but a list as `format_list` writes it."""
    fields = _fields(document, Backup.__dataclass_fields__.keys() | {"format"})
    if fields["format"] != FORMAT:
        raise ValueError(say("{field} is not valid", field="format"))
    saved = tuple(_saved(value) for value in _typed(fields["saved"], list, "saved"))
    if len({each.path for each in saved}) != len(saved):
        raise ValueError(say("{field} is not valid", field="saved"))
    skipped = tuple(_typed(value, str, "skipped") for value in _typed(fields["skipped"], list, "skipped"))
    if not names.DATE.fullmatch(_typed(fields["created"], str, "created")):
        raise ValueError(say("{field} is not valid", field="created"))
    return Backup(
        created=fields["created"],
        product=_typed(fields["product"], str, "product"),
        release=_number(fields["release"], "release"),
        state_format=_number(fields["state_format"], "state_format"),
        skipped=skipped,
        saved=saved,
    )


def _saved(value: Any) -> Saved:
    fields = _fields(value, Saved.__dataclass_fields__.keys())
    path, sha256 = _typed(fields["path"], str, "path"), _typed(fields["sha256"], str, "sha256")
    if not is_inside(path):
        raise ValueError(say("{field} is not valid", field=f"path {path!r}"))
    if sha256 and not names.SHA256.fullmatch(sha256):
        raise ValueError(say("{field} is not valid", field="sha256"))
    mode = _number(fields["mode"], "mode")
    if mode > 0o777:
        raise ValueError(say("{field} is not valid", field="mode"))
    owner, group = (_typed(fields[name], str, name) for name in ("owner", "group"))
    return Saved(path, _number(fields["size"], "size"), sha256, mode, owner, group)


def is_inside(path: str) -> bool:
    """Whether `path` is relative and stays where it starts."""
    steps = path.split("/")
    return "\0" not in path and all(step not in ("", ".", "..") for step in steps)


def _fields(value: Any, known: Iterable[str]) -> dict[str, Any]:
    if type(value) is not dict or set(value) != set(known):
        raise ValueError(say("{field} is not valid", field=say("the document")))
    return value


def _typed(value: Any, kind: type, name: str) -> Any:
    if type(value) is not kind:
        raise ValueError(say("{field} is not valid", field=name))
    return value


def _number(value: Any, name: str) -> int:
    number: int = _typed(value, int, name)
    if number < 0:
        raise ValueError(say("{field} is not valid", field=name))
    return number
