"""What a wheel may hold: exactly the files its RECORD lists, nothing that runs by itself when Python starts.

Everything is judged from the zip file itself; nothing is unpacked to a disk. pip does not compare RECORD's
hashes when it installs, so every member is hashed here, once for each wheel: what was found of bytes that
did not change since stays true, and is kept beside the cache under their hash.
"""

import base64
import csv
import hashlib
import io
import re
import zipfile
import zlib
from collections.abc import Iterator
from email.message import Message
from email.parser import HeaderParser
from pathlib import Path, PurePosixPath

from packaging.tags import Tag, parse_tag
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from bundler.disclosure import find_credential
from bundler.rules import Breach, Exceptions, Rule

PATH_CODE_ALLOWED = {
    "distutils-precedence.pth": "setuptools' shim for distutils",
}
"""`.pth` files that may hold an import line."""

START_MODULE = re.compile(r"(?:.*/)?(?:site|user)customize(?:/__init__)?\.(?:pyc?|(?:[\w-]+\.)?so)")
"""Run by every interpreter at its start: a module, compiled or not, or a package. Source: Lib/site.py,
`import sitecustomize`, and the suffixes in Lib/importlib/_bootstrap_external.py."""
IMPORTED_FROM = re.compile(
    r"[^/]+\.data/(?:purelib|platlib|data/lib(?:64)?/python[\d.]+(?:/site-packages)?)/(?P<rest>.+)"
)
"""Where a wheel's data lands in a folder that Python imports from. Source: the wheel specification, "The
.data directory", and Lib/sysconfig.py, scheme `posix_prefix`."""
REPLACES = re.compile(
    r"[^/]+\.data/(?:data/lib(?:64)?/python[\d.]+/(?!site-packages/)|(?:data/bin|scripts)/python[\d.]*$)"
)
"""Data that would lie in the place of Python's own modules, or of its program."""

SIGNATURES = frozenset({"RECORD.jws", "RECORD.p7s"})
"""In `.dist-info`, listed in no RECORD. Source: PEP 427, "Signed wheel files"."""

ADDRESS_HEADERS = ("Requires-Dist", "Home-page", "Download-URL", "Project-URL")
"""Where METADATA names addresses; its long text is somebody's manual, full of made-up ones."""

MAX_RECORD_BYTES = 64 << 20
MAX_RECORD_LINE = 10_000
"""Characters: a path is at most 4,096 bytes long on Linux."""
MAX_METADATA_BYTES = 16 << 20
READ_BYTES = 1 << 20

_UNREADABLE = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    zlib.error,
    csv.Error,
    EOFError,
    NotImplementedError,
    OSError,
    RuntimeError,
    ValueError,
)
"""What the standard library raises for a zip, its compressed data, its names and RECORD's table."""

Found = tuple[Rule, str, str]
"""A rule, the member that breaks it (empty: the wheel itself), and why."""


def check_wheel(path: Path, exceptions: Exceptions | None = None, *, mark: Path | None = None) -> None:
    """Pass if the wheel at `path` keeps the rules.

    mark: a file, named by the wheel's SHA-256, that is made once every member was hashed and no rule was
    broken; where it is there, the members are not hashed again.

    Raises: BadInput, naming the wheel, the rule and the remedy.
    """
    exceptions = exceptions or Exceptions()
    known = mark is not None and mark.is_file()
    count = 0
    for rule, member, why in _breaches(path, hashes=not known):
        count += 1
        exceptions.check(
            Breach(rule, f"wheels/{path.name}" + (f"/{member}" if member else ""), why),
            what=f"The wheel {path.name} is refused.",
            remedy="Require another version (wheels.requirements in the manifest), or ask its maker.",
        )
    if mark is not None and not known and not count:
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()


def _breaches(path: Path, *, hashes: bool) -> Iterator[Found]:
    """Everything in a wheel that breaks a rule; with `hashes`, the members' bytes are judged too."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield from _in_archive(path.name, archive, hashes)
    except _UNREADABLE as error:
        yield "zip", "", f"it is not a readable zip file: {error}"


def _in_archive(filename: str, archive: zipfile.ZipFile, hashes: bool) -> Iterator[Found]:
    members = {info.filename: info for info in archive.infolist() if not info.is_dir()}
    if len(members) != sum(not info.is_dir() for info in archive.infolist()):
        yield "zip", "", "the zip names a file twice"
    for info in members.values():
        yield from _name_breaches(info)
    records = [name for name in members if re.fullmatch(r"[^/]+\.dist-info/RECORD", name)]
    if len(records) != 1:
        yield "zip", "", f"it has {len(records)} RECORD files, not one"
        return
    yield from _identity_breaches(filename, archive, members, records[0].rpartition("/")[0])
    yield from _record_breaches(archive, members, records[0], hashes)
    yield from _path_code_breaches(archive, list(members))


def _name_breaches(info: zipfile.ZipInfo) -> Iterator[Found]:
    parts = info.filename.split("/")
    if any(part in ("", ".", "..") for part in parts) or "\\" in info.filename or "\0" in info.orig_filename:
        yield "zip", "", f"{info.filename}: its path leads outside, or is not plain"
    if info.external_attr >> 28 == 0o12:
        yield "zip", "", f"{info.filename}: it is a symbolic link"
    if info.flag_bits & 1:
        yield "zip", "", f"{info.filename}: it is encrypted"
    place = _import_path(info.filename)
    if START_MODULE.fullmatch(place) and place.count("/") <= place.count("/__init__."):
        yield "start-code", info.filename, f"{info.filename}: it would run at every start of Python"
    if REPLACES.match(info.filename):
        yield "start-code", info.filename, f"{info.filename}: it would replace a part of Python itself"


def _import_path(name: str) -> str:
    """A member's path below the folder that Python imports it from; its own where it goes elsewhere."""
    match = IMPORTED_FROM.fullmatch(name)
    return name if match is None else match["rest"]


def _identity_breaches(
    filename: str, archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], info: str
) -> Iterator[Found]:
    """What file name, folder, METADATA and WHEEL say differently of one wheel."""
    try:
        name, version, _, tags = parse_wheel_filename(filename)
    except InvalidWheelFilename as error:
        yield "wheel-name", "", f"its file name is not a wheel's: {error}"
        return
    metadata, wheel = (_headers(archive, members, f"{info}/{each}") for each in ("METADATA", "WHEEL"))
    stated = (metadata.get("Name", ""), metadata.get("Version", ""))
    folder = info.removesuffix(".dist-info").rpartition("-")
    for said, where in (((folder[0], folder[2]), info), (stated, "METADATA")):
        if canonicalize_name(said[0]) != name or not _is_version(said[1], version):
            yield "wheel-name", "", f"{where} says that it is {said[0]} {said[1]}"
    inside = {tag for line in wheel.get_all("Tag", []) for tag in parse_tag(line.strip())}
    if inside != tags:
        yield "wheel-tag", "", f"its WHEEL file says that it is for {_named(inside) or 'nothing'}"
    libraries = [member for member in members if re.search(r"\.(so(\.\d+)*|pyd|dylib|dll)$", member)]
    if libraries and all(tag.platform == "any" for tag in tags):
        yield "wheel-tag", "", f"it says to be for any platform, and holds {min(libraries)}"
    for header in ADDRESS_HEADERS:
        problem = find_credential("\n".join(metadata.get_all(header, [])))
        if problem is not None:
            yield "credential", "", f"METADATA, {header}: {problem}"


def _headers(archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], name: str) -> Message:
    """The headers of a small member; none, where it is missing or too large."""
    info = members.get(name)
    return read_headers(b"" if info is None or info.file_size > MAX_METADATA_BYTES else archive.read(info))


def read_headers(data: bytes) -> Message:
    """The headers of METADATA or WHEEL, which are UTF-8: every value is text.

    Source: the core metadata specification. Parsed as bytes, a value that is not ASCII would come as an
    object that is no text.
    """
    return HeaderParser().parsestr(data.decode("utf-8", "replace"))


def _is_version(text: str, version: Version) -> bool:
    try:
        return Version(text.replace("_", "+")) == version
    except InvalidVersion:
        return False


def _named(tags: set[Tag]) -> str:
    return ", ".join(sorted(map(str, tags)))


def _record_breaches(
    archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], record: str, hashes: bool
) -> Iterator[Found]:
    """What RECORD leaves out, invents or gets wrong."""
    if members[record].file_size > MAX_RECORD_BYTES:
        yield "zip", "", "its RECORD is too large"
        return
    text = archive.read(record).decode("utf-8", "replace")
    if any(len(line) > MAX_RECORD_LINE for line in text.splitlines()):
        yield "zip", "", "a line of its RECORD is too long"
        return
    rows = [row for row in csv.reader(io.StringIO(text)) if row]
    if any(len(row) != 3 for row in rows):
        yield "record", "", "its RECORD is not a table of three columns"
        return
    listed = {name: (digest, size) for name, digest, size in rows if not name.endswith("/")}
    signatures = {f"{PurePosixPath(record).parent}/{name}" for name in SIGNATURES}
    for name in sorted(set(members) - set(listed) - signatures):
        yield "record", name, f"{name} is not in its RECORD"
    for name in sorted(set(listed) - set(members)):
        yield "record", name, f"its RECORD names {name}, which is not there"
    for name in sorted(set(listed) & set(members) - {record}):
        digest, size = listed[name]
        if not digest:
            yield "record", name, f"its RECORD has no hash for {name}"
        elif size and size != str(members[name].file_size):
            yield "record", name, f"{name} is {members[name].file_size} bytes, its RECORD says {size}"
        elif hashes and not _matches(archive, members[name], digest):
            yield "record", name, f"{name} is not what its RECORD says"


def _matches(archive: zipfile.ZipFile, info: zipfile.ZipInfo, digest: str) -> bool:
    algorithm, _, value = digest.partition("=")
    if algorithm not in ("sha256", "sha384", "sha512"):
        return False
    hasher = hashlib.new(algorithm)
    with archive.open(info) as file:
        while piece := file.read(READ_BYTES):
            hasher.update(piece)
    return base64.urlsafe_b64encode(hasher.digest()).rstrip(b"=").decode() == value.rstrip("=")


def _path_code_breaches(archive: zipfile.ZipFile, names: list[str]) -> Iterator[Found]:
    """The `.pth` files that Python would execute at every start."""
    for name in names:
        place = _import_path(name)
        if place.endswith(".pth") and "/" not in place and runs_code(place, archive.read(name)):
            yield "start-code", name, f"{name} runs code at every start of Python"


def runs_code(name: str, body: bytes) -> bool:
    """Whether Python executes a line of the `.pth` file `name` at every start, and that is not allowed.

    Source: Lib/site.py, `addpackage`, which takes away a byte order mark and knows every end of a line that
    text can have.
    """
    lines = body.decode("utf-8-sig", "replace").splitlines()
    return name not in PATH_CODE_ALLOWED and any(line.startswith(("import ", "import\t")) for line in lines)
