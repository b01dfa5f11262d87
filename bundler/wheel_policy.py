"""What a wheel may hold: files its RECORD lists, nothing that runs by itself when Python starts.

Names and sizes are judged here from the zip's directory. The members' hashes are left to pip, which
unpacks them at the site from a file whose SHA-256 is locked: reading a gigabyte of members here would
say nothing more about who made the wheel.
"""

import base64
import csv
import hashlib
import io
import re
import zipfile
from pathlib import Path, PurePosixPath

from appliance.errors import BadInput

PATH_CODE_ALLOWED = {
    "distutils-precedence.pth": "setuptools' shim for distutils",
}
"""`.pth` files that may hold an import line."""

START_MODULES = frozenset({"sitecustomize.py", "usercustomize.py"})
"""Run by every interpreter at its start."""

SIGNATURES = frozenset({"RECORD.jws", "RECORD.p7s"})
"""In `.dist-info`, listed in no RECORD. Source: PEP 427, "Signed wheel files"."""

MAX_RECORD_BYTES = 64 << 20
HASHED_MEMBER_BYTES = 1 << 20
"""Members up to this size are hashed against RECORD: cheap, and it catches a wheel repacked by hand."""


def check_wheel(path: Path) -> None:
    """Pass if the wheel at `path` keeps the rules.

    Raises: BadInput, naming the wheel, the rule and the remedy.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            problem = _problem(archive)
    except (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, RuntimeError, OSError) as error:
        problem = f"it is not a readable zip file: {error}"
    if problem is not None:
        raise BadInput(
            f"The wheel {path.name} is refused.",
            why=problem,
            next_step="Require another version (wheels.requirements in the manifest), or ask its maker.",
        )


def _problem(archive: zipfile.ZipFile) -> str | None:
    members = [info for info in archive.infolist() if not info.is_dir()]
    names = [info.filename for info in members]
    if len(set(names)) != len(names):
        return "the zip names a file twice"
    for info in members:
        problem = _name_problem(info)
        if problem is not None:
            return f"{info.filename}: {problem}"
    records = [name for name in names if re.fullmatch(r"[^/]+\.dist-info/RECORD", name)]
    if len(records) != 1:
        return f"it has {len(records)} RECORD files, not one"
    return _record_problem(
        archive, {info.filename: info for info in members}, records[0]
    ) or _path_code_problem(archive, names)


def _name_problem(info: zipfile.ZipInfo) -> str | None:
    parts = info.filename.split("/")
    if any(part in ("", ".", "..") for part in parts) or "\\" in info.filename or "\0" in info.orig_filename:
        return "its path leads outside, or is not plain"
    if info.external_attr >> 28 == 0o12:
        return "it is a symbolic link"
    if info.flag_bits & 1:
        return "it is encrypted"
    if parts[-1] in START_MODULES and _at_top(parts):
        return "it would run at every start of Python"
    return None


def _at_top(parts: list[str]) -> bool:
    """Whether a file is installed into site-packages itself."""
    return len(parts) == 1 or (
        len(parts) == 3 and parts[0].endswith(".data") and parts[1] in ("purelib", "platlib")
    )


def _record_problem(archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], record: str) -> str | None:
    """What RECORD leaves out, invents or gets wrong."""
    if members[record].file_size > MAX_RECORD_BYTES:
        return "its RECORD is too large"
    rows = [row for row in csv.reader(io.StringIO(archive.read(record).decode("utf-8", "replace"))) if row]
    if any(len(row) != 3 for row in rows):
        return "its RECORD is not a table of three columns"
    listed = {name: (digest, size) for name, digest, size in rows if not name.endswith("/")}
    unlisted = set(members) - set(listed) - {f"{PurePosixPath(record).parent}/{name}" for name in SIGNATURES}
    if unlisted:
        return f"{min(unlisted)} is not in its RECORD"
    missing = set(listed) - set(members)
    if missing:
        return f"its RECORD names {min(missing)}, which is not there"
    for name, info in members.items():
        digest, size = listed.get(name, ("", ""))
        if name == record or name not in listed:
            continue
        if not digest:
            return f"its RECORD has no hash for {name}"
        if size and size != str(info.file_size):
            return f"{name} is {info.file_size} bytes, its RECORD says {size}"
        if (
            info.file_size <= HASHED_MEMBER_BYTES
            and name.endswith((".py", ".pth"))
            and not _matches(archive.read(info), digest)
        ):
            return f"{name} is not what its RECORD says"
    return None


def _matches(body: bytes, digest: str) -> bool:
    algorithm, _, value = digest.partition("=")
    if algorithm not in ("sha256", "sha384", "sha512"):
        return False
    got = base64.urlsafe_b64encode(hashlib.new(algorithm, body).digest()).rstrip(b"=").decode()
    return got == value.rstrip("=")


def _path_code_problem(archive: zipfile.ZipFile, names: list[str]) -> str | None:
    """A `.pth` file that Python would execute at every start."""
    for name in names:
        if not name.endswith(".pth") or not _at_top(name.split("/")):
            continue
        lines = archive.read(name).decode("utf-8-sig", "replace").splitlines()
        runs = any(line.startswith(("import ", "import\t")) for line in lines)
        if runs and name.split("/")[-1] not in PATH_CODE_ALLOWED:
            return f"{name} runs code at every start of Python"
    return None
