"""The conda environment: solved for the target, installed from the lock, the same bytes wherever built."""

import asyncio
import gzip
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import msgspec
import pytest
from rattler.index.index import index_fs

from appliance.errors import ApplianceError, BadInput, DamagedBundle, HostNotReady, StepFailed
from appliance.progress import Silent
from bundler.manifest import Runtime, Target
from bundler.sources.conda import (
    LockedRuntime,
    build_runtime,
    clobbered,
    fetch_package,
    lock_runtime,
    virtual_packages,
    write_canonical,
)
from demo.channel import PLACEHOLDER, Package, build_channel, look_at, put_back, write_package

HERE = f"{sys.version_info.major}.{sys.version_info.minor}"
TIME_S = 946_684_800  # date -u -d 2000-01-01T00:00:00Z +%s


def write_channel(folder: Path) -> None:
    """A channel of small packages: a `python` that is none, `pip`, a library, and one for each CUDA."""
    config = f"root={PLACEHOLDER}/share\n".encode()
    packages = [
        Package("python", f"{HERE}.0", "PSF-2.0", {"bin/python": b"#!/bin/sh\n", "lib/x": b"x"}),
        Package("pip", "1.0", "MIT", {"share/pip": b"pip"}, depends=("python",)),
        Package("lib", "1.0", "BSD-3-Clause", {"etc/lib.conf": config}, frozenset({"etc/lib.conf"})),
        Package("gpu", "1.0", "MIT", {"share/gpu": b"12"}, depends=("__cuda >=12",)),
        Package("gpu", "2.0", "MIT", {"share/gpu": b"13"}, depends=("__cuda >=13",)),
        Package("new", "1.0", "MIT", {"share/new": b"new"}, depends=("__glibc >=2.34",)),
    ]
    for package in packages:
        write_package(folder, package)
    asyncio.run(index_fs(folder, write_zst=False, write_shards=False))


@pytest.fixture
def site(tmp_path: Path) -> Path:
    write_channel(tmp_path / "site" / "channel")
    return tmp_path / "site"


def locked(site: Path, cache: Path, *packages: str, **target: str) -> LockedRuntime:
    return lock_runtime(
        Runtime(channels=("./channel",), packages=packages),
        Target(python=HERE, **target),  # type: ignore[arg-type]
        base=site,
        cache=cache,
        progress=Silent(),
    )


def build(lock: LockedRuntime, site: Path, cache: Path, work: Path) -> Path:
    work.mkdir(parents=True)
    out = work / "runtime.tar.gz"
    build_runtime(lock, base=site, cache=cache, work=work, out=out, progress=Silent())
    return out


def test_python_and_pip_are_always_there(site: Path, tmp_path: Path) -> None:
    lock = locked(site, tmp_path / "cache")
    assert [package.name for package in lock.packages] == ["pip", "python"]
    assert all(not package.url.startswith(("file:", "/")) for package in lock.packages)


@pytest.mark.parametrize(("cuda", "version"), [("12.8", "1.0"), ("13.0", "2.0")])
def test_solves_for_the_cuda_of_the_target(site: Path, tmp_path: Path, cuda: str, version: str) -> None:
    lock = locked(site, tmp_path / "cache", "gpu", cuda=cuda)
    assert [p.version for p in lock.packages if p.name == "gpu"] == [version]


@pytest.mark.parametrize(("package", "reason"), [("gpu", "__cuda"), ("new", "__glibc"), ("absent", "absent")])
def test_says_what_the_target_lacks(site: Path, tmp_path: Path, package: str, reason: str) -> None:
    with pytest.raises(BadInput) as caught:
        locked(site, tmp_path / "cache", package)
    assert reason in caught.value.why


def test_this_machine_is_not_looked_at() -> None:
    names = virtual_packages(Target(python="3.12", glibc="2.17", cuda="none"))
    assert names == [("__unix", "0", "0"), ("__linux", "4.18", "0"), ("__glibc", "2.17", "0")] + [
        ("__archspec", "1", "x86_64")
    ]


def test_says_which_channel_is_not_there(site: Path, tmp_path: Path) -> None:
    shutil.rmtree(site / "channel")
    with pytest.raises(BadInput) as caught:
        locked(site, tmp_path / "cache")
    assert "./channel" in caught.value.what


def test_a_channels_token_is_in_no_lock_and_no_message(site: Path, tmp_path: Path) -> None:
    above = tmp_path / "conda" / "t" / "tk-Tr0ub4dor"
    above.mkdir(parents=True)
    shutil.copytree(site / "channel", above / "channel")
    files = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), files) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        address = f"http://127.0.0.1:{server.server_address[1]}/conda"

        def lock(cache: Path) -> LockedRuntime:
            runtime = Runtime((f"{address}/t/tk-Tr0ub4dor/channel",))
            return lock_runtime(runtime, Target(python=HERE), base=site, cache=cache, progress=Silent())

        packages = lock(tmp_path / "cache").packages
        server.shutdown()
    assert {package.url.rpartition("/")[0] for package in packages} <= {
        f"{address}/channel/noarch",
        f"{address}/channel/linux-64",
    }
    with pytest.raises(StepFailed) as caught:
        lock(tmp_path / "empty")
    assert f"{address}/channel/" in str(caught.value) and "Tr0ub4dor" not in str(caught.value)


def flip_last_bit(path: Path) -> None:
    body = bytearray(path.read_bytes())
    body[-1] ^= 1
    path.write_bytes(body)


def test_refuses_to_lock_a_package_that_its_channel_does_not_list_so(site: Path, tmp_path: Path) -> None:
    flip_last_bit(next((site / "channel").rglob("lib-1.0-*.conda")))
    with pytest.raises(DamagedBundle) as caught:
        locked(site, tmp_path / "cache", "lib")
    assert "lib-1.0" in caught.value.what


def test_refuses_to_build_from_a_package_changed_since_the_lock(site: Path, tmp_path: Path) -> None:
    lock = locked(site, tmp_path / "cache", "lib")
    flip_last_bit(next((site / "channel").rglob("lib-1.0-*.conda")))
    with pytest.raises(DamagedBundle) as caught:
        build(lock, site, tmp_path / "empty-cache", tmp_path / "work")
    want = next(package for package in lock.packages if package.name == "lib")
    assert caught.value.why.startswith(f"expected {want.sha256}, got ")


def test_finds_a_cached_package_that_was_changed_and_fetches_it_anew(site: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    lock = locked(site, cache, "lib")
    package = next(package for package in lock.packages if package.name == "lib")
    kept = next(cache.rglob("lib-1.0-*.conda"))
    flip_last_bit(kept)
    assert fetch_package(package, base=site, cache=cache) == kept
    assert hashlib.sha256(kept.read_bytes()).hexdigest() == package.sha256


def test_builds_from_the_cache_when_the_channel_is_gone(site: Path, tmp_path: Path) -> None:
    lock = locked(site, tmp_path / "cache")
    shutil.rmtree(site / "channel")
    with tarfile.open(build(lock, site, tmp_path / "cache", tmp_path / "work")) as made:
        assert "bin/conda-unpack" in made.getnames()


def test_says_that_a_package_can_be_fetched_nowhere(site: Path, tmp_path: Path) -> None:
    lock = locked(site, tmp_path / "cache")
    nowhere = tuple(msgspec.structs.replace(package, url="") for package in lock.packages)
    with pytest.raises(StepFailed) as caught:
        build(msgspec.structs.replace(lock, packages=nowhere), site, tmp_path / "empty", tmp_path / "work")
    assert "Lock again" in caught.value.next_step


def test_two_builds_in_two_folders_are_the_same_bytes(site: Path, tmp_path: Path) -> None:
    lock = locked(site, tmp_path / "cache", "lib")
    one = build(lock, site, tmp_path / "cache", tmp_path / "a")
    before = os.umask(0o077)
    try:
        two = build(lock, site, tmp_path / "cache", tmp_path / "b" / "much" / "deeper")
    finally:
        os.umask(before)
    assert one.read_bytes() == two.read_bytes()
    assert str(tmp_path).encode() not in gzip.decompress(one.read_bytes())


def test_two_locks_of_the_same_packages_from_two_folders_give_the_same_bytes(tmp_path: Path) -> None:
    made = []
    for place in ("one", "another/and deeper"):
        folder = tmp_path / place
        write_channel(folder / "channel")
        lock = locked(folder, folder / "cache", "lib")
        made.append(build(lock, folder, folder / "cache", folder / "work").read_bytes())
    assert made[0] == made[1]


def test_the_archive_has_one_form(site: Path, tmp_path: Path) -> None:
    out = build(locked(site, tmp_path / "cache", "lib"), site, tmp_path / "cache", tmp_path / "work")
    assert out.read_bytes()[4:8] == b"\0\0\0\0"  # gzip's own time
    with tarfile.open(out) as archive:
        members = archive.getmembers()
    names = [member.name for member in members]
    assert names == sorted(names)
    assert {"bin/conda-unpack", "bin/python", "etc/lib.conf"} <= set(names)
    assert not any(name.startswith("conda-meta") or name == "CACHEDIR.TAG" for name in names)
    assert {(m.mtime, m.uid, m.gid, m.uname, m.gname) for m in members} == {(TIME_S, 0, 0, "", "")}
    assert {oct(member.mode) for member in members} <= {"0o755", "0o644"}


def test_finds_files_that_were_changed_after_the_installation(site: Path, tmp_path: Path) -> None:
    build(locked(site, tmp_path / "cache", "lib"), site, tmp_path / "cache", tmp_path / "work")
    prefix = tmp_path / "work" / "env"
    assert clobbered(prefix) == []
    (prefix / "etc" / "lib.conf").unlink()
    (prefix / "etc" / "lib.conf").write_text("another\n")
    assert clobbered(prefix) == ["etc/lib.conf"]


@pytest.fixture
def packed(tmp_path: Path) -> Iterator[tuple[Path, tarfile.TarFile]]:
    with tarfile.open(tmp_path / "env.tar", "w") as archive:
        yield tmp_path / "env.tar", archive


@pytest.mark.parametrize(
    ("name", "body", "error"),
    [
        ("etc/leak", b"... /build/folder/env ...", StepFailed),
        ("lib/python3.11/site-packages/sitecustomize.py", b"", BadInput),
        ("lib/python3.11/site-packages/evil.pth", b"import os; os.system('id')\n", BadInput),
    ],
)
def test_refuses_an_environment_that_leaks_or_runs_code(
    packed: tuple[Path, tarfile.TarFile], name: str, body: bytes, error: type[ApplianceError]
) -> None:
    path, archive = packed
    entry = tarfile.TarInfo(name)
    entry.size = len(body)
    archive.addfile(entry, io.BytesIO(body))
    archive.close()
    with pytest.raises(error) as caught:
        canonical(path)
    assert name in caught.value.why


@pytest.mark.parametrize("target", ["/etc/passwd", "../../../etc/passwd", "../x/../../y"])
def test_refuses_a_link_that_leads_out(packed: tuple[Path, tarfile.TarFile], target: str) -> None:
    path, archive = packed
    entry = tarfile.TarInfo("bin/link")
    entry.type, entry.linkname = tarfile.SYMTYPE, target
    archive.addfile(entry)
    archive.close()
    with pytest.raises(StepFailed) as caught:
        canonical(path)
    assert "bin/link" in caught.value.why


def canonical(path: Path) -> None:
    write_canonical(path, path.with_suffix(".gz"), forbidden=b"/build/folder", advance=lambda amount: None)


def test_refuses_a_distributions_python_that_is_changed_in_an_unknown_way() -> None:
    files = {"lib/python3.11/sysconfig.py": b"purelib = 'somewhere/dist-packages'\n"}
    with pytest.raises(HostNotReady) as caught:
        put_back(dict(files), "lib/python3.11")
    assert "sysconfig.py" in caught.value.why


INTERPRETERS = [Path(sys.executable), Path("/usr/bin/python3")]
ACCEPT = """
set -eu
archive=$1 site=$2; shift 2
mkdir -p "$site"; tar -xzf "$archive" -C "$site"
for hidden; do mount -t tmpfs none "$hidden"; done
"$site/bin/python" -E -s "$site/bin/conda-unpack"
"$site/bin/python" -I -c '
import ctypes, sqlite3, ssl, sys, sysconfig, zlib
assert sys.prefix == sys.argv[1], sys.prefix
paths = sysconfig.get_paths()
assert paths["purelib"].startswith(sys.prefix) and paths["purelib"].endswith("site-packages"), paths
assert all(path.startswith(sys.prefix) for path in sys.path), sys.path
ssl.create_default_context()
' "$site"
"$site/bin/python" -I -m pip --version
"$site/bin/python" -I -m pip config debug > /dev/null
"""


@pytest.mark.slow
@pytest.mark.parametrize("python", INTERPRETERS, ids=["this", "distribution"])
def test_a_real_interpreter_runs_where_its_home_is_hidden(python: Path, tmp_path: Path) -> None:
    """Unpacked and relocated without a network, with the interpreter's home and the build mounted over."""
    if not python.is_file() or subprocess.run(["unshare", "-nm", "true"], check=False).returncode != 0:
        pytest.skip("needs this interpreter, and the right to make namespaces")
    interpreter = look_at(python)
    build_channel(tmp_path / "site" / "channel", python)
    lock = lock_runtime(
        Runtime(channels=("./channel",)),
        Target(python=interpreter.short),
        base=tmp_path / "site",
        cache=tmp_path / "cache",
        progress=Silent(),
    )
    one = build(lock, tmp_path / "site", tmp_path / "cache", tmp_path / "a")
    two = build(lock, tmp_path / "site", tmp_path / "cache", tmp_path / "bb")
    assert one.read_bytes() == two.read_bytes()
    home = interpreter.library if interpreter.base == Path("/usr") else interpreter.base
    hidden = [home, tmp_path / "a", tmp_path / "cache"]
    box = tmp_path / "box" / "releases" / "1" / "runtime"
    done = subprocess.run(
        ["unshare", "-nm", "--propagation", "private", "sh", "-c", ACCEPT, "sh", two, box, *hidden],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr
    assert f"from {box}/lib/python{interpreter.short}/site-packages/pip" in done.stdout
