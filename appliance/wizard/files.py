"""What lies in a folder, for choosing files of rows. Reads names and the first bytes only; keeps nothing."""

import os
import stat
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from appliance.errors import BadInput
from appliance.sentence import say
from appliance.wizard.cells import one_line

LOOKED_AT = 4096
"""Bytes at the start of a file by which text is told from the rest."""

TEXT_CONTROLS = frozenset(b"\t\n\r\f")
MARKS_OF_UTF16 = (b"\xff\xfe", b"\xfe\xff")
OTHER_FORMATS = (b"%PDF-", b"{\\rtf")
"""How files begin that hold no rows although their first bytes may be printable: PDF, RTF."""
PACKED_FORMATS = (b"PK\x03\x04", b"PAR1", b"ARROW1", b"\xff\xff\xff\xff", b"\x1f\x8b", b"\xd0\xcf\x11\xe0")
"""How files begin that may hold rows although they are no text: ZIP and Excel, Parquet, Arrow, gzip; and the
workbooks of old, of which is said what to do with them once they are read."""

MOUNTS = (Path("/media"), Path("/mnt"), Path("/run/media"))


@dataclass(frozen=True)
class Entry:
    """One thing in a folder."""

    path: Path
    name: str
    """To show: nothing in it acts on a terminal."""
    is_folder: bool
    size: int
    """Bytes; of a folder 0."""
    modified: datetime | None
    """In the time of the box."""
    problem: str = ""
    """Why it cannot be data; empty when it can."""


def list_folder(folder: Path) -> tuple[Entry, ...]:
    """What is in `folder`: folders first, then files, by name; hidden ones left out.

    Raises: BadInput, when it cannot be listed.
    """
    try:
        paths = [path for path in folder.iterdir() if not path.name.startswith(".")]
    except OSError as error:
        raise BadInput(
            say("The folder {folder} cannot be opened.", folder=one_line(str(folder))),
            why=error.strerror or str(error),
            next_step=say("Choose another folder, or have its permissions changed."),
        ) from error
    entries = [_entry(path) for path in paths]
    return tuple(sorted(entries, key=lambda each: (not each.is_folder, each.name.casefold(), each.name)))


def places(site_state: Path) -> tuple[Path, ...]:
    """Folders to begin looking in that are there: the site's data sets, the home folder, mounted disks."""
    homes = [Path(home)] if (home := os.environ.get("HOME")) else []
    wanted = [site_state / "datasets", *homes, *mounts()]
    return tuple(dict.fromkeys(path for path in wanted if is_folder(path)))


def is_file(path: Path) -> bool:
    """Whether `path` is a file that this user can see; never raises."""
    return os.path.isfile(path)  # noqa: PTH113  (Path.is_file raises where a folder above is closed)


def is_folder(path: Path) -> bool:
    """Whether `path` is a folder that this user can see; never raises."""
    return os.path.isdir(path)  # noqa: PTH112  (likewise)


def expanded(typed: str) -> Path:
    """A typed path; `~` is a home folder where it names somebody's."""
    return Path(os.path.expanduser(typed))  # noqa: PTH111  (Path.expanduser raises where it names nobody)


def mounts() -> tuple[Path, ...]:
    """Disks and sticks that are mounted where people look for them."""
    return tuple(mount for top in MOUNTS for mount in _mounts(top))


def _mounts(top: Path) -> list[Path]:
    """What is mounted under `top`, also under a person's folder there; `top` itself where it is the mount."""
    try:
        found = sorted(top.iterdir())
        inner = [each for path in found if not path.is_mount() for each in _inner(path)]
        mounted = [path for path in [*found, *inner] if path.is_mount()]
        return [top, *mounted] if top.is_mount() else mounted
    except OSError:
        return []


def _inner(path: Path) -> list[Path]:
    try:
        return sorted(path.iterdir())
    except OSError:
        return []


def _entry(path: Path) -> Entry:
    name = one_line(path.name)
    try:
        found = path.stat()
    except OSError:
        return Entry(path, name, False, 0, None, say("cannot be read"))
    modified = _moment(found.st_mtime)
    if stat.S_ISDIR(found.st_mode):
        return Entry(path, name, True, 0, modified)
    problem = file_problem(path) if stat.S_ISREG(found.st_mode) else say("not a file")
    return Entry(path, name, False, found.st_size, modified, problem)


def _moment(seconds: float) -> datetime | None:
    try:
        return datetime.fromtimestamp(seconds)
    except (ValueError, OverflowError, OSError):  # a clock that was wrong by thousands of years
        return None


def is_utf8(text: str) -> bool:
    """Whether `text` can be written down: a name in another encoding comes from the system with bytes that
    no file of ours can hold.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def file_problem(path: Path) -> str:
    """Why the file at `path` cannot be data, as far as its first bytes tell; empty when it can."""
    if not is_utf8(str(path)):
        return say("the name is not UTF-8")
    try:
        with path.open("rb") as file:
            start = file.read(LOOKED_AT)
    except OSError:
        return say("cannot be read")
    if not start:
        return say("empty")
    if start.startswith((*MARKS_OF_UTF16, *PACKED_FORMATS)):
        return ""
    if start.startswith(OTHER_FORMATS) or any(byte < 32 and byte not in TEXT_CONTROLS for byte in start):
        return say("not a text format")
    return ""
