"""`dataset.json` and `N.removed.json`: what a version is, what one was. Counts and hashes, never a row."""

import re
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from appliance.durable import write_whole
from appliance.errors import BadInput, StepFailed
from appliance.run.rows import RowKind
from appliance.sentence import reason, say

NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")
RECORD = "dataset.json"
ROWS = "rows.parquet"
GONE = ".removed.json"
LONGEST = 500
"""Characters of a note or a reason."""


class Origin(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file that rows came from."""

    file: str
    """Its name."""
    sha256: str
    """Over its bytes."""
    rows: int
    """How many rows of the version came from it."""


class Maker(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whose doing it was."""

    uid: int
    user: str = ""
    login: str = ""
    """Who logged in, where that is another."""


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One version of a data set."""

    name: str
    version: int
    """From 1; counts up and is never given twice."""
    created: str
    """UTC, RFC 3339."""
    made_by: Maker
    made_from: tuple[str, ...]
    """What was named when it was added: names of files, `dataset:NAME@VERSION`."""
    note: str
    """What somebody typed."""
    sha256: str
    """Over `rows.parquet`."""
    size: int
    """Bytes of the same."""
    rows: int
    refused: int
    """Rows of the files that could not be used, counted and listed when it was added."""
    kinds: dict[RowKind, int]
    """Rows by what they teach."""
    groups: int
    """How many groups (patients) the rows name; 0 where they name none."""
    steps: tuple[str, ...]
    """What was done to rows since they were read; each once."""
    origins: tuple[Origin, ...]
    format: Literal["islet-dataset-1"] = "islet-dataset-1"

    @property
    def reference(self) -> str:
        """How it is named: `NAME@VERSION`."""
        return f"{self.name}@{self.version}"


class Removed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A version that was removed."""

    name: str
    version: int
    sha256: str
    rows: int
    created: str
    removed: str
    """UTC, RFC 3339."""
    removed_by: Maker
    reason: str
    format: Literal["islet-dataset-removed-1"] = "islet-dataset-removed-1"


Document = TypeVar("Document", Record, Removed)


def write_document(path: Path, document: Record | Removed) -> None:
    """Write it as readable JSON, whole or not at all. Raises: OSError."""
    content = msgspec.json.format(msgspec.json.encode(document), indent=1)
    write_whole(path, content + b"\n", mode=0o640)


def read_document(path: Path, kind: type[Document]) -> Document:
    """What `write_document` wrote.

    Raises: StepFailed, when it is damaged; OSError, when it is not there or not to be read.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except msgspec.DecodeError as error:
        raise StepFailed(
            say("{path} cannot be read.", path=path),
            why=reason(error),
            next_step="Put it back from a backup, or have an administrator remove the folder.",
        ) from error


def check_name(name: str) -> None:
    """Pass if a data set can be called so. Raises: BadInput."""
    if not NAME.fullmatch(name):
        raise BadInput(
            say("A data set cannot be called {name}.", name=repr(name)),
            why=say("a name has 1 to 40 lower-case letters, digits and `-`"),
            next_step="Choose a name like cardiology-2026.",
        )


def check_words(text: str) -> str:
    """A note or a reason, fit for a line on a terminal. Raises: BadInput."""
    words = text.strip()
    if len(words) > LONGEST or not words.isprintable():
        raise BadInput(
            "That is no line of text.",
            why=say("a note or a reason has at most {count} characters and no line ends", count=LONGEST),
            next_step="Write it shorter, in one line.",
        )
    return words
