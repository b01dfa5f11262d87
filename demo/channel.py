"""A conda channel made of this machine's own Python, for where no channel can be reached.

Real packages in the real format, so that everything after them is the path that production takes. The
interpreter may be pyenv's, uv's, one built from source, or Debian's and Ubuntu's own, whose changes to
where packages go (`dist-packages`, `/usr/local`) are undone by exact, checked
replacements. It still uses the machine's own libssl and the like: such a bundle runs on like hosts only.
"""

import asyncio
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from appliance.errors import HostNotReady

SUBDIR = "linux-64"
STAMP_S = 1_700_000_000
"""Time given to every file, so that the same interpreter makes the same packages."""

PLACEHOLDER = "/opt/" + ("placehold_" * 30)[:250]
"""255 characters, as conda-build uses: the installer writes the real prefix in its place."""

# fmt: off
SKIPPED_FOLDERS = frozenset({
    "site-packages", "dist-packages", "test", "tests", "__pycache__", "idlelib", "lib2to3", "turtledemo",
    "tkinter",
})
# fmt: on
SKIPPED_SUFFIXES = frozenset({".a", ".pyc", ".exe", ".o"})
SKIPPED_NAMES = re.compile(
    r"_(test|ctypes_test|xxtest|tkinter)|xxlimited|sitecustomize\.py$|EXTERNALLY-MANAGED$"
)
PREFIXED_NAMES = re.compile(r"_sysconfigdata.*\.py$|_sysconfig_vars.*\.json$|Makefile$|build-details\.json$")
"""Files that hold the interpreter's prefix where it matters."""

FACTS = """
import json, os, platform, sys, sysconfig
print(json.dumps([sys.base_prefix, platform.python_version(), os.path.dirname(os.__file__),
                  sysconfig.get_config_var("INSTSONAME") or ""]))
"""

DEBIAN_SCHEME = """        deb_build = os.environ.get('DEB_PYTHON_INSTALL_LAYOUT', 'posix_local')
        if deb_build in ('deb', 'deb_system'):
            prefix_scheme = 'deb_system'
        else:
            prefix_scheme = 'posix_local'
"""
UPSTREAM_SCHEME = "        prefix_scheme = 'posix_prefix'\n"
DEBIAN_CHANGED = ("sysconfig.py", "sysconfig/__init__.py")
"""Files, below the standard library, of which Debian changed where packages are installed."""

Body = bytes | PurePosixPath
"""A file's bytes, or where a symbolic link leads."""


@dataclass(frozen=True)
class Interpreter:
    """A Python to make a package of."""

    base: Path
    """Its prefix."""
    version: str
    """`3.11.7`."""
    library: Path
    """The standard library's folder."""
    shared_object: str
    """Name of its libpython; the empty text if that is inside the program."""

    @property
    def short(self) -> str:
        """`3.11`."""
        return ".".join(self.version.split(".")[:2])


@dataclass(frozen=True)
class Package:
    """A conda package before it is written."""

    name: str
    version: str
    licence: str
    files: Mapping[str, Body]
    prefixed: frozenset[str] = frozenset()
    """Text files that hold PLACEHOLDER."""
    noarch: bool = False
    depends: tuple[str, ...] = ()
    entry_points: tuple[str, ...] = ()


def build_channel(folder: Path, python: Path | None = None) -> None:
    """Make `folder` a channel with `python` and `pip`, from the interpreter `python` (None: this one).

    Raises: HostNotReady, when the interpreter is of a kind that cannot be taken along.
    """
    from rattler.index.index import index_fs

    interpreter = look_at(python or Path(sys.executable))
    shutil.rmtree(folder, ignore_errors=True)
    for package in (python_package(interpreter), pip_package(interpreter)):
        write_package(folder, package)
    asyncio.run(index_fs(folder, write_zst=True, write_shards=False))


def look_at(python: Path) -> Interpreter:
    """What is to be known of the interpreter behind the program `python`, also when that is in a venv."""
    answer = subprocess.run([python, "-I", "-c", FACTS], capture_output=True, text=True, check=True)
    base, version, library, shared_object = json.loads(answer.stdout)
    return Interpreter(Path(base), version, Path(library), shared_object)


def python_package(interpreter: Interpreter) -> Package:
    """The interpreter and its standard library, movable to any prefix.

    Raises: HostNotReady, when it is a distribution's and not laid out as Debian's is.
    """
    base, short = interpreter.base, interpreter.short
    distribution = base == Path("/usr")
    if interpreter.library != base / "lib" / f"python{short}":
        raise _unknown(f"its standard library is in {interpreter.library}")
    sources = [base / "bin" / f"python{short}", *_library_files(interpreter.library)]
    shared = base / "lib" / interpreter.shared_object
    if ".so" in interpreter.shared_object and shared.is_file():
        sources.append(shared)
    header = base / "include" / f"python{short}" / "pyconfig.h"  # sysconfig reads it
    if header.is_file():
        sources.append(header)
    files: dict[str, Body] = {}
    prefixed = set()
    for path in sources:
        name, body = path.relative_to(base).as_posix(), path.read_bytes()
        if body.startswith(b"\x7fELF"):
            body = _with_relative_library_path(name, body, base)
        elif not distribution and PREFIXED_NAMES.search(path.name) and os.fsencode(base) in body:
            body = body.replace(os.fsencode(base), PLACEHOLDER.encode())
            prefixed.add(name)
        files[name] = body
    files["bin/python"] = files["bin/python3"] = PurePosixPath(f"python{short}")
    if distribution:
        put_back(files, f"lib/python{short}")
    return Package("python", interpreter.version, "PSF-2.0", files, frozenset(prefixed))


def put_back(files: dict[str, Body], library: str) -> None:
    """Undo a distribution's changes to where packages go, in the `files` below `library`.

    `sysconfig` is put back. `site` cannot be: it is frozen inside the program, and looks into
    `dist-packages`. There a `.pth` file, without code, leads it on to `site-packages`.

    Raises: HostNotReady, when a file is neither upstream's nor changed as Debian changes it.
    """
    for name in DEBIAN_CHANGED:
        body = files.get(f"{library}/{name}")
        if not isinstance(body, bytes) or b"dist-packages" not in body:
            continue
        text = body.decode()
        if text.count(DEBIAN_SCHEME) != 1:
            raise _unknown(f"{name} differs from upstream's in another way than Debian's does")
        files[f"{library}/{name}"] = text.replace(DEBIAN_SCHEME, UPSTREAM_SCHEME).encode()
        files[f"{library}/dist-packages/site-packages.pth"] = b"../site-packages\n"


def pip_package(interpreter: Interpreter) -> Package:
    """`pip`, out of the wheel that the interpreter's `ensurepip` holds.

    Raises: HostNotReady, when there is none.
    """
    bundled = (interpreter.library / "ensurepip" / "_bundled").glob("pip-*.whl")
    packaged = Path("/usr/share/python-wheels").glob("pip-*.whl") if interpreter.base == Path("/usr") else ()
    wheel = next(iter(sorted([*bundled, *packaged])), None)
    if wheel is None:
        raise HostNotReady(
            "This machine's Python brings no pip.",
            why=f"there is no wheel of pip with {interpreter.base / 'bin' / 'python3'}",
            next_step="Install the distribution's python3-venv, or use pyenv's or uv's Python.",
        )
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if not name.endswith("/")]
        files: dict[str, Body] = {f"site-packages/{name}": archive.read(name) for name in names}
    version = wheel.name.split("-")[1]
    commands = ("pip = pip._internal.cli.main:main", "pip3 = pip._internal.cli.main:main")
    return Package(
        "pip", version, "MIT", files, noarch=True, depends=("python >=3.8",), entry_points=commands
    )


def _library_files(library: Path) -> Iterator[Path]:
    for root, folders, names in os.walk(library):
        folders[:] = [folder for folder in folders if folder not in SKIPPED_FOLDERS]
        for name in names:
            path = Path(root, name)
            if path.suffix in SKIPPED_SUFFIXES or SKIPPED_NAMES.match(name) or not path.is_file():
                continue
            if not (path.is_symlink() and ".so" in name):  # a distribution's link to its libpython
                yield path


def _with_relative_library_path(name: str, body: bytes, base: Path) -> bytes:
    """`body`, an ELF file, with the run path to `base` made relative.

    The string in .dynstr is overwritten in place and padded, which needs no other tool.
    """
    old = os.fsencode(base / "lib")
    below = os.path.relpath("lib", PurePosixPath(name).parent).encode()
    new = b"$ORIGIN" if below == b"." else b"$ORIGIN/" + below
    if old + b"\0" not in body or len(new) > len(old):
        return body
    return body.replace(old + b"\0", new.ljust(len(old) + 1, b"\0"), 1)


def write_package(channel: Path, package: Package) -> None:
    """Write `package` into the channel as a `.conda` file; the same package is the same bytes."""
    subdir = "noarch" if package.noarch else SUBDIR
    build = "py_0" if package.noarch else "islet_0"
    stem = f"{package.name}-{package.version}-{build}"
    files = sorted(package.files.items())
    about = {
        "info/index.json": _index(package, subdir, build),
        "info/paths.json": {"paths": [_path_entry(package, name) for name, _ in files], "paths_version": 1},
        "info/about.json": {"license": package.licence},
    }
    if package.noarch:
        entry_points = {"type": "python", "entry_points": package.entry_points}
        about["info/link.json"] = {"package_metadata_version": 1, "noarch": entry_points}
    (channel / subdir).mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(channel / subdir / f"{stem}.conda", "w", zipfile.ZIP_STORED) as archive:
        parts = {
            "metadata.json": b'{"conda_pkg_format_version": 2}',
            f"pkg-{stem}.tar.zst": _tar_zst(files),
            f"info-{stem}.tar.zst": _tar_zst(
                (name, json.dumps(body).encode()) for name, body in about.items()
            ),
        }
        for name, body in parts.items():
            archive.writestr(zipfile.ZipInfo(name), body)  # ZipInfo has a fixed date


def _index(package: Package, subdir: str, build: str) -> dict[str, object]:
    index: dict[str, object] = {
        "name": package.name,
        "version": package.version,
        "build": build,
        "build_number": 0,
        "depends": package.depends,
        "subdir": subdir,
        "license": package.licence,
        "timestamp": STAMP_S * 1000,
    }
    return index | ({"noarch": "python"} if package.noarch else {"arch": "x86_64", "platform": "linux"})


def _path_entry(package: Package, name: str) -> dict[str, object]:
    body = package.files[name]
    kind = "hardlink"
    if isinstance(body, PurePosixPath):  # a link's entry carries the hash of what it leads to
        kind, body = "softlink", package.files[os.path.normpath(PurePosixPath(name).parent / body)]
    if not isinstance(body, bytes):
        raise ValueError(f"{name} leads to another link")
    entry = {"_path": name, "path_type": kind, "sha256": hashlib.sha256(body).hexdigest()}
    prefix = {"prefix_placeholder": PLACEHOLDER, "file_mode": "text"} if name in package.prefixed else {}
    return {**entry, "size_in_bytes": len(body), **prefix}


def _tar_zst(files: Iterable[tuple[str, Body]]) -> bytes:
    import zstandard

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, body in files:
            entry = tarfile.TarInfo(name)
            entry.mtime = STAMP_S
            if isinstance(body, PurePosixPath):
                entry.type, entry.linkname, entry.mode, body = tarfile.SYMTYPE, str(body), 0o777, b""
            else:
                entry.mode = 0o755 if name.startswith("bin/") or ".so" in name else 0o644
            entry.size = len(body)
            archive.addfile(entry, io.BytesIO(body))
    return zstandard.ZstdCompressor(level=3).compress(buffer.getvalue())


def _unknown(why: str) -> HostNotReady:
    return HostNotReady(
        "This machine's Python cannot be made into a conda package.",
        why=why,
        next_step="Run the demonstration with pyenv's or uv's Python, or with a conda channel of your own.",
    )
