"""A whole bundle that installs in seconds: a real Python whose library is one zip file, and the appliance.

What is installed is real in every part: this machine's interpreter as the demonstration's channel packs it,
pip, conda-pack's own unpacking script, the appliance's own wheel. Only the number of files is small, because
the tests that use it stop an installation at every system call that writes.
"""

import gzip
import importlib.util
import io
import marshal
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import conda_pack
from conda_pack import core

from appliance.bundle.archive import END, padding
from appliance.bundle.contents import format_contents, parse_contents
from appliance.bundle.environment import Member
from appliance.progress import Silent
from bundler.pack import Item, lay_out, write_volumes
from bundler.sources import file_sha256
from demo.channel import PLACEHOLDER, STAMP_S, Body, look_at, pip_package, python_package
from tests.bundles import INSTALLER, Workshop
from tests.wheel_maker import digest, write_wheel

ROOT = Path(__file__).parents[1]
VOLUME_BYTES = 2 * 1024 * 1024
DISK_BYTES = 100_000_000
LIBRARIES = (
    "_cffi_backend",
    "cffi",
    "click",
    "cryptography",
    "msgspec",
    "rich",
    "tomli_w",
    "typing_extensions",
)
"""What the commands import besides the appliance."""
COMPILED = ("cryptography/", "msgspec/")
"""Those that hold compiled modules, which cannot be loaded from a zip file, nor what lies beside them."""
SPARED = ("ensurepip", "distutils", "pydoc_data", "lib2to3", "site-packages", "dist-packages")
"""Folders of the standard library that nothing here needs."""
UNPACK = "bin/conda-unpack"

MOVED = ("form-2", "form-3")
"""Files that the steps of a release whose state has another form leave in every run."""
_STEPS = """

def _note(state: Path, name: str) -> None:
    for run in sorted((state / "runs").glob("[!.]*")):
        write_whole(run / name, run.name.encode() + b"\\n")


MIGRATIONS = (*MIGRATIONS, lambda state: _note(state, "form-2"), lambda state: _note(state, "form-3"))
CURRENT = len(MIGRATIONS)
migrate.__defaults__ = (MIGRATIONS,)
"""

Files = Mapping[str, tuple[str, bytes]]
"""Path in the bundle to component and bytes."""


def payload(release: int) -> dict[str, tuple[str, bytes]]:
    """What a release carries beside its runtime: releases share some files and not others."""
    shared = {
        "models/islet/tiny/config.json": ("islet/tiny", b'{"hidden_size": 8}\n'),
        "models/islet/tiny/model.safetensors": ("islet/tiny", _bytes(1, 2_500_000)),
        "datasets/empty.jsonl": ("empty.jsonl", b""),
        "datasets/rows.jsonl": ("rows.jsonl", _bytes(5, 70_000)),
    }
    return shared | {
        "tools/llama.cpp/convert.py": ("llama.cpp converter", b"print(%d)\n" % release),
        "models/islet/new/model.safetensors": ("islet/new", _bytes(10 + release, 1_300_000)),
    }


def _bytes(seed: int, size: int) -> bytes:
    return bytes((i * 7 + i // 251 + seed) % 251 for i in range(size))


def make_pocket(folder: Path) -> Workshop:
    """Release 1 in `folder`/bundle, with its key; `next_release` makes the later ones."""
    shop = Workshop(folder)
    folder.mkdir(parents=True)
    shop.add_root(root=["root"], release=["release"], signers=["root"])
    shop.bundle.mkdir()
    build: list[str | Path] = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", shop.bundle]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    write_runtime(shop.bundle / "runtime.tar.gz")
    _fill(shop, 1, {})
    return shop


def next_release(shop: Workshop, number: int, *, delta: bool = False, migrates: bool = False) -> Workshop:
    """Release `number` by the same keys, beside `shop`; a delta leaves out what `shop` has, one that migrates
    keeps data and runs in a form of two steps more.
    """
    kind = "-delta" if delta else "-migrates" if migrates else ""
    other = Workshop(shop.root.with_name(f"{shop.root.name}-{number}{kind}"))
    held: dict[str, int] = {}
    if delta:
        entries = parse_contents((shop.bundle / "contents.json").read_bytes()).entries
        held = {entry.sha256: entry.size for entry in entries}
        held[file_sha256(shop.bundle / "runtime.tar.gz")] = 0
    other.bundle.mkdir(parents=True)
    for name in ("keys", "roots"):
        shutil.copytree(shop.root / name, other.root / name)
    for path in (*shop.bundle.glob("islet-*.whl"), shop.bundle / "runtime.tar.gz"):
        shutil.copyfile(path, other.bundle / path.name)
    if migrates:
        for wheel in other.bundle.glob("islet-*.whl"):
            _add_steps(wheel)
    _fill(other, number, held)
    return other


def _add_steps(wheel: Path) -> None:
    """Give the appliance in a wheel two more forms of the state."""
    module = "appliance/site/state_format.py"
    with zipfile.ZipFile(wheel) as archive:
        bodies = {info: archive.read(info) for info in archive.infolist()}
    old = next(body for info, body in bodies.items() if info.filename == module)
    new = old + _STEPS.encode()
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for info, body in bodies.items():
            if info.filename == module:
                body = new
            elif info.filename.endswith(".dist-info/RECORD"):
                body = body.replace(
                    f"{module},{digest(old)},{len(old)}".encode(),
                    f"{module},{digest(new)},{len(new)}".encode(),
                )
            archive.writestr(info, body)


def _fill(shop: Workshop, number: int, held: Mapping[str, int]) -> None:
    """Volumes, contents, RELEASE, list and signature; what is `held` (SHA-256 to size) is left out."""
    sources = shop.root / "sources"
    sources.mkdir()
    wheel = write_wheel(sources, {"pocket/words.py": b"WORDS = 3\n"}, name="pocket", version=f"{number}.0")
    files = payload(number) | {f"wheels/{wheel.name}": (f"pocket {number}.0", wheel.read_bytes())}
    items = []
    for path, (component, content) in sorted(files.items()):
        source = sources / path.replace("/", "_")
        source.write_bytes(content)
        kind = path.split("/")[0][:-1]
        items.append(Item(path, kind, component, "CC0-1.0", source, file_sha256(source), len(content)))
    runtime = shop.bundle / "runtime.tar.gz"
    contents = lay_out(items, VOLUME_BYTES, held, file_sha256(runtime))
    write_volumes(contents, items, shop.bundle, Silent())
    (shop.bundle / "contents.json").write_bytes(format_contents(contents))
    for folder in (shop.bundle, shop.root):  # the second is the administrator's copy on the box
        shutil.copyfile(INSTALLER, folder / "install.sh")
    shop.release(number=number, disk_bytes=DISK_BYTES)
    shop.list_and_sign()
    if contents.requires_runtime:
        runtime.unlink()


def write_runtime(path: Path) -> None:
    """`runtime.tar.gz`: the interpreter, its library and pip compiled into one zip, conda-pack's script."""
    interpreter = look_at(Path(sys.executable))
    package = python_package(interpreter)
    library = f"lib/python{interpreter.short}/"
    archive = f"lib/python{interpreter.short.replace('.', '')}.zip"
    files: dict[str, Body] = {}
    zipped: dict[str, bytes] = {}
    for name, body in package.files.items():
        below = name.removeprefix(library)
        kept = below in ("os.py", "site.py") or below.startswith("lib-dynload/") or name in package.prefixed
        if kept or not name.startswith(library):
            files[name] = body
        elif isinstance(body, bytes) and below.endswith(".py") and below.split("/")[0] not in SPARED:
            zipped[below] = body
    for name, body in pip_package(interpreter).files.items():
        if isinstance(body, bytes):
            zipped[name.removeprefix("site-packages/")] = body
    for name, body in _libraries().items():
        if name.endswith(".py") and not name.startswith(COMPILED):
            zipped[name] = body
        else:  # a compiled module is loaded from a file, and has its package about it
            files[f"{library}site-packages/{name}"] = body
    files[archive] = _zip(zipped)
    files |= _unpack_script(sorted(package.prefixed))
    _tar(path, files)


def _libraries() -> dict[str, bytes]:
    """The files of LIBRARIES, by their path in site-packages."""
    found = {}
    for name in LIBRARIES:
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            raise LookupError(name)
        origin = Path(spec.origin)
        site = origin.parents[1] if origin.name == "__init__.py" else origin.parent
        paths = sorted(origin.parent.rglob("*")) if origin.name == "__init__.py" else [origin]
        for file in paths:
            if file.suffix in (".py", ".so"):
                found[file.relative_to(site).as_posix()] = file.read_bytes()
    return found


def _zip(files: Mapping[str, bytes]) -> bytes:
    """Modules compiled beforehand: an import from a zip file has nowhere to keep what it compiled."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in sorted(files.items()):
            if name.endswith(".py"):
                header = importlib.util.MAGIC_NUMBER + bytes([1]) + bytes(3 + 8)  # unchecked, by hash
                compiled = header + marshal.dumps(compile(body, name, "exec", dont_inherit=True))
                archive.writestr(zipfile.ZipInfo(f"{name}c"), compiled, zipfile.ZIP_DEFLATED, 1)
            else:
                archive.writestr(zipfile.ZipInfo(name), body)
    return buffer.getvalue()


def _unpack_script(prefixed: list[str]) -> dict[str, Body]:
    """What conda-pack writes beside an environment: it puts the real prefix in at the site."""
    records = ",\n".join(repr((name, PLACEHOLDER, "text")) for name in prefixed)
    own = Path(conda_pack.__file__).parent
    script = core._conda_unpack_template.format(
        shebang="#!/usr/bin/env python",
        prefix_records=records,
        prefixes_py=(own / "prefixes.py").read_text(encoding="utf-8"),
        version=conda_pack.__version__,
    )
    return {UNPACK: script.encode(), "bin/conda_unpack_progress.py": (own / "_progress.py").read_bytes()}


def _stripped(body: bytes) -> bytes:
    """A program without its symbols, where this machine has `strip`: they are most of its bytes."""
    strip = shutil.which("strip")
    if strip is None or not body.startswith(b"\x7fELF"):
        return body
    with tempfile.NamedTemporaryFile() as file:
        file.write(body)
        file.flush()
        subprocess.run([strip, "--strip-unneeded", file.name], check=True)
        return Path(file.name).read_bytes()


def _tar(path: Path, files: Mapping[str, Body]) -> None:
    """The one form that a site unfolds; folders need no entry."""
    with path.open("wb") as raw, gzip.GzipFile("", "wb", 1, raw, mtime=0) as packed:
        for name, body in sorted(files.items()):
            if isinstance(body, PurePosixPath):
                packed.write(Member(name, "2", link=str(body)).header(STAMP_S))
                continue
            body = _stripped(body)
            is_program = name.startswith("bin/") or body.startswith(b"\x7fELF")
            packed.write(Member(name, "0", len(body), is_program=is_program).header(STAMP_S))
            packed.write(body + bytes(padding(len(body))))
        packed.write(END)
