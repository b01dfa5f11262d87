"""The installed environment as `runtime.tar.gz`: in the one form that its packages can have, and judged.

- The path of the build folder is in no file: conda-pack takes files with prefixes from the package cache,
  where they hold the package's own placeholder, and each is looked through here before it is written.
- Names are sorted, the time is always the same, owners are 0, modes are 644 or 755: locks of the same
  packages give the same bytes, whenever they were made, and a delta need not carry them again. Compressed,
  they are the same only by the same zlib: zlib-ng makes other bytes of them.
- `conda-meta/` is left out: it holds channel addresses, times and paths, and the lock says what it said.
"""

import gzip
import re
import shutil
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from appliance.bundle.archive import END, padding
from appliance.bundle.environment import Member
from appliance.errors import StepFailed
from bundler.disclosure import find_credential, find_login
from bundler.rules import Breach, Exceptions, Rule
from bundler.sources import READ_BYTES
from bundler.wheel_policy import START_MODULE, runs_code

TIME_S = 946_684_800
"""2000-01-01T00:00:00Z, in seconds since 1970: the time of every file."""
GZIP_LEVEL = 4
"""Measured on an interpreter of 59 MB: level 6 takes 2.3 times as long and saves 2 % more."""
SETTINGS = re.compile(r"\.?condarc|\.netrc|\.pypirc|pip\.(conf|ini)|.*\.(json|ya?ml|toml|ini|cfg|conf)")
"""Files of an environment in which somebody's channel addresses and tokens are left."""
LOGINS = frozenset({".netrc", ".pypirc"})
"""Files that are there for passwords, which stand in them beside no address."""
MAX_SETTINGS_BYTES = 16 << 20

LEFT_OUT = re.compile(r"conda-meta(/|$)|(.*/)?__pycache__(/|$)|.*\.py[co]$|etc/conda/test-files(/|$)")


def write_canonical(
    packed: Path,
    out: Path,
    *,
    forbidden: bytes,
    advance: Callable[[int], None],
    exceptions: Exceptions | None = None,
) -> None:
    """Write the files of the tar `packed` to the gzip tar `out`, in the one form that they can have.

    forbidden: the build folder's path, which must be in no file.

    Raises: StepFailed, when it is in one; BadInput, when a file would run code at every start of Python or
    holds a credential.
    """
    with (
        tarfile.open(packed) as source,
        out.open("wb") as raw,
        gzip.GzipFile("", "wb", GZIP_LEVEL, raw, mtime=0) as zipped,
    ):
        kept = (member for member in source.getmembers() if not LEFT_OUT.match(member.name))
        for member in sorted(kept, key=lambda member: member.name):
            _check_member(source, member, forbidden, exceptions or Exceptions())
            body = source.extractfile(member) if member.isreg() or member.islnk() else None
            entry = _canonical(source, member)
            zipped.write(_header(entry))
            if body is not None:
                shutil.copyfileobj(body, zipped, READ_BYTES)
            zipped.write(bytes(padding(entry.size)))
            advance(member.size)
        zipped.write(END)


def _canonical(source: tarfile.TarFile, member: tarfile.TarInfo) -> Member:
    """The one form that a file of this name, kind and size can have."""
    if member.isdir():
        return Member(member.name, "5")
    if member.issym():
        return Member(member.name, "2", link=member.linkname)
    original = source.getmember(member.linkname) if member.islnk() else member
    return Member(member.name, "0", original.size, is_program=bool(original.mode & 0o111))


def _header(entry: Member) -> bytes:
    """Its block. Raises: StepFailed, when no site would unfold it."""
    if not entry.is_safe():
        raise _not_relocatable(f"{entry.path!r} has a name that is not plain, or leads outside")
    try:
        return entry.header(TIME_S)
    except ValueError as error:
        raise _not_relocatable(str(error)) from None


def _check_member(
    source: tarfile.TarFile, member: tarfile.TarInfo, forbidden: bytes, exceptions: Exceptions
) -> None:
    """Pass if a member of the packed environment may travel.

    Raises: StepFailed, BadInput: see `write_canonical`.
    """
    if member.issym():
        inside = (PurePosixPath("/") / member.name).parent / member.linkname
        if member.linkname.startswith("/") or ".." in _normal(inside):
            raise _not_relocatable(f"{member.name} links to {member.linkname}")
        return
    body = source.extractfile(member) if member.isreg() or member.islnk() else None
    if body is None:
        return
    for rule, why in _breaches(member, body):
        exceptions.check(
            Breach(rule, f"runtime/{member.name}", why),
            what="The conda environment is refused.",
            remedy="Leave the package that brings it out of the manifest.",
        )
    body.seek(0)
    if _holds(body, forbidden):
        raise _not_relocatable(f"{member.name} holds the path of the build folder")


def _normal(path: PurePosixPath) -> list[str]:
    """The parts of an absolute path with `..` resolved; one that leads above the root stays."""
    parts: list[str] = []
    for part in path.parts[1:]:
        if part == ".." and parts and parts[-1] != "..":
            parts.pop()
        else:
            parts.append(part)
    return parts


def _holds(body: IO[bytes], what: bytes) -> bool:
    """Whether `what` occurs in the stream, read piece by piece."""
    tail = b""
    while piece := body.read(READ_BYTES):
        if what in tail + piece:
            return True
        tail = piece[-len(what) :]
    return False


def _not_relocatable(why: str) -> StepFailed:
    return StepFailed(
        "The conda environment could not be made relocatable.",
        why=why,
        next_step="Leave the package that brings this file out of the manifest, and tell its maker.",
    )


def _breaches(member: tarfile.TarInfo, body: IO[bytes]) -> Iterator[tuple[Rule, str]]:
    """The rules that a file of the environment breaks: code at every start, credentials in settings."""
    name = PurePosixPath(member.name).name
    if START_MODULE.fullmatch(member.name):
        yield "start-code", f"{member.name} runs code at every start of Python"
    if name.endswith(".pth"):
        if runs_code(name, body.read()):
            yield "start-code", f"{member.name} runs code at every start of Python"
        body.seek(0)
    if SETTINGS.fullmatch(name) and member.size <= MAX_SETTINGS_BYTES:
        text = body.read().decode("utf-8", "replace")
        problem = find_login(text) if name in LOGINS else find_credential(text)
        if problem is not None:
            yield "credential", f"{member.name}: {problem}"
