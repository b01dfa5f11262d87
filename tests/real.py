"""Real bundles, made once a session by the bundler's own command line, and boxes to install them on.

The big bundle is the demonstration's (every wheel that trains, the converter) with the tests' tiny
model; the small one has the wheels of the commands only, and installs in seconds. Downloads stay in
build/cache, which the demonstration shares. What is called a box is a namespace without a network, where
this machine's Python, environment and caches are mounted over.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from demo import hub_server
from demo.box import ENTER
from demo.channel import build_channel
from demo.torch_wheel import fetch_torch, index_options
from demo.trace import CALLS
from tests.tiny import make_tiny_model

ROOT = Path(__file__).parents[1]
WORK = ROOT / "build" / "tests"
CACHE = ROOT / "build" / "cache"
BUNDLER = Path(sys.prefix) / "bin" / "islet-bundle"
MODEL = "islet-test/tiny"

SMALL_MANIFEST = """
[bundle]
product = "islet-small"
[target]
python = "local"
glibc = "2.28"
[runtime]
channels = ["./channel"]
[wheels]
requirements = ["click>=8.2", "cryptography>=45", "msgspec>=0.20", "rich>=14", "tomli-w>=1.2"]
[[models]]
hub = "islet-test/tiny"
[[datasets]]
path = "rows.jsonl"
[tools]
converter = false
"""


@dataclass(frozen=True)
class RealBundle:
    """A signed bundle and what it was made of."""

    folder: Path
    """The bundle."""
    manifest: Path
    """Its lock lies beside it, ending in .lock."""
    roots: Path
    key: Path
    """Private release key."""
    hub: str
    """Address of the loopback hub that serves its model, while the session lasts."""

    @property
    def anchor(self) -> str:
        """SHA-256 of root.1, as the anchor sheet shows it."""
        return hashlib.sha256((self.folder / "root.1").read_bytes()).hexdigest()

    def build(
        self, out: Path, number: int = 1, *, cache: Path = CACHE, env: Mapping[str, str] | None = None
    ) -> Path:
        """Build the lock again into `out`, unsigned; `out`."""
        self.start_build(out, number, cache=cache, env=env).check_returncode()
        return out

    def start_build(
        self, out: Path, number: int, *, cache: Path = CACHE, env: Mapping[str, str] | None = None
    ) -> "subprocess.CompletedProcess[str]":
        """The same, for builds that may fail."""
        command = self.build_command(out, number, cache)
        return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **(env or {})})

    def build_command(self, out: Path, number: int = 1, cache: Path = CACHE) -> list[str | Path]:
        """What is typed to build into `out`."""
        what: list[str | Path] = ["--out", out, "--number", str(number), "--roots", self.roots]
        return [BUNDLER, "build", self.manifest, *what, *index_options(), "--cache", cache, "--hub", self.hub]

    def release(self, out: Path, number: int) -> "RealBundle":
        """Another release of the same lock, built and signed."""
        self.build(out, number)
        bundler("sign", out, "--key", self.key, "--roots", self.roots, "--yes")
        return RealBundle(out, self.manifest, self.roots, self.key, self.hub)


@dataclass(frozen=True)
class InstalledSite:
    """What `sh install.sh` left."""

    prefix: Path
    state: Path
    bundle: RealBundle

    @property
    def islet(self) -> Path:
        """The command."""
        return self.prefix / "bin" / "islet"


def bundler(*arguments: str | Path) -> str:
    """Run one command of islet-bundle that must succeed; its stdout."""
    done = subprocess.run([BUNDLER, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


def hidden_paths() -> list[Path]:
    """What this machine has and an isolated box has not."""
    hidden = [Path(sys.prefix), CACHE, Path.home() / ".cache"]
    base, version = Path(sys.base_prefix), f"python{sys.version_info.major}.{sys.version_info.minor}"
    if base == Path("/usr"):
        hidden += [Path("/usr/lib") / version, Path("/usr/bin") / version]
    else:
        hidden.append(base)
    return [path for path in hidden if path.exists()]


def box_command(command: Sequence[str | Path], *, trace: Path | None = None) -> list[str | Path]:
    """`command` in namespaces of its own, without a network and without this machine's Python."""
    unshare = ["unshare", "-n", "-m"] if os.getuid() == 0 else ["unshare", "-r", "-n", "-m"]
    watch: list[str | Path] = []
    if trace is not None:
        options = ["-f", "--seccomp-bpf", "-qq", "-e", "signal=none", "-e", f"trace={CALLS}"]
        watch = ["strace", *options, "-o", trace]
    return [*watch, *unshare, "sh", "-c", ENTER, "enter", *hidden_paths(), "--", *command]


BOX_ENVIRONMENT = {
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/nonexistent",
    "TERM": "dumb",
    "OMP_WAIT_POLICY": "PASSIVE",
}


def in_box(command: Sequence[str | Path], *, trace: Path | None = None) -> "subprocess.CompletedProcess[str]":
    """Run `command` in a box to its end."""
    return subprocess.run(
        box_command(command, trace=trace),
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env=BOX_ENVIRONMENT,
    )


def install_command(bundle: RealBundle, prefix: Path, state: Path) -> list[str | Path]:
    """What the administrator types; install.sh is the copy that was compared with the sheet."""
    where: list[str | Path] = ["--prefix", prefix, "--state", state, "--anchor", bundle.anchor]
    return ["sh", ROOT / "install.sh", *where, bundle.folder]


@contextmanager
def scratch(name: str) -> Iterator[Path]:
    """A folder under build/tests that goes at the end: these trees are too large for /tmp.

    Tests that were killed leave theirs, some gigabytes each: whoever makes the next removes it.
    """
    WORK.mkdir(parents=True, exist_ok=True)
    with _held(WORK):  # nobody else looks between a folder's making and its holding
        for left in WORK.iterdir():
            with suppress(OSError), _held(left, wait=False):
                shutil.rmtree(left, ignore_errors=True)
        folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=WORK))
        folder.chmod(0o755)
        in_use = ExitStack()
        in_use.enter_context(_held(folder))
    with in_use:
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _held(folder: Path, *, wait: bool = True) -> Iterator[None]:
    """Holds `folder` for this process. Raises: BlockingIOError, when another does and it is not to `wait`."""
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(number, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
    finally:
        os.close(number)


def _make(folder: Path, manifest: str, hub: str) -> RealBundle:
    """Keys, root, lock, build, sign: through the command line, as a person does it."""
    file = folder / "bundle.toml"
    file.write_text(manifest, encoding="utf-8")
    (folder / "rows.jsonl").write_text('{"prompt": "1 + 1?", "completion": "2"}\n', encoding="utf-8")
    made = RealBundle(folder / "bundle", file, folder / "roots", folder / "release.pem", hub)
    for name in ("root", "release"):
        bundler("keygen", "--no-passphrase", folder / f"{name}.pem")
    pair = ("--root-key", folder / "root.pem.pub", "--release-key", folder / "release.pem.pub")
    bundler("root", "init", made.roots, *pair)
    bundler("root", "sign", made.roots, "--key", folder / "root.pem", "--yes")
    bundler("lock", file, "--cache", CACHE, "--hub", hub, *index_options())
    return made.release(made.folder, 1)


@pytest.fixture(scope="session")
def workshop() -> Iterator[tuple[Path, str]]:
    """A folder with a conda channel of this machine's Python, and a hub that serves the tiny model."""
    with scratch("workshop") as folder:
        build_channel(folder / "channel")
        make_tiny_model(folder / "model")
        with hub_server.serve({MODEL: folder / "model"}) as hub:
            yield folder, hub


@pytest.fixture(scope="session")
def real_bundle(workshop: tuple[Path, str]) -> RealBundle:
    """The demonstration's bundle, with the tests' tiny model."""
    folder, hub = workshop
    manifest = (ROOT / "manifests" / "demo.toml").read_text(encoding="utf-8")
    manifest = (
        manifest.replace("islet-demo/clinic-tiny", MODEL)
        .replace("./channel", "../channel")
        .replace("./torch", "../torch")
    )
    fetch_torch(folder / "torch", CACHE)
    place = folder / "real"
    place.mkdir()
    return _make(place, manifest, hub)


@pytest.fixture(scope="session")
def small_bundle(workshop: tuple[Path, str]) -> RealBundle:
    """Release 1 with the commands only: no torch, no converter."""
    folder, hub = workshop
    place = folder / "small"
    place.mkdir()
    return _make(place, SMALL_MANIFEST.replace("./channel", "../channel"), hub)


@pytest.fixture(scope="session")
def small_second(small_bundle: RealBundle) -> RealBundle:
    """Release 2 of the same lock: it shares every file of the store with release 1."""
    return small_bundle.release(small_bundle.folder.with_name("second"), 2)


@pytest.fixture(scope="session")
def small_delta(small_bundle: RealBundle) -> RealBundle:
    """Release 2 as a delta: other rows, everything else as in release 1."""
    folder = small_bundle.manifest.parent.with_name("rows")
    folder.mkdir()
    manifest, out = folder / "bundle.toml", folder / "delta"
    shutil.copyfile(small_bundle.manifest, manifest)
    (folder / "rows.jsonl").write_text('{"prompt": "1 + 2?", "completion": "3"}\n', encoding="utf-8")
    again = RealBundle(out, manifest, small_bundle.roots, small_bundle.key, small_bundle.hub)
    cache = again.build_command(out)[again.build_command(out).index("--cache") + 1]
    bundler("lock", manifest, "--cache", cache, "--hub", small_bundle.hub)
    bundler(*again.build_command(out, 2)[1:], "--base", small_bundle.folder)
    bundler("sign", out, "--key", small_bundle.key, "--roots", small_bundle.roots, "--yes")
    return again


@pytest.fixture(scope="session")
def installed_site(real_bundle: RealBundle) -> Iterator[InstalledSite]:
    """The big bundle, installed in a box; paths with a space and Chinese, as sites have them."""
    with scratch("site") as folder:
        site = InstalledSite(folder / "软件 opt", folder / "数据 state", real_bundle)
        done = in_box(install_command(real_bundle, site.prefix, site.state))
        assert done.returncode == 0, done.stderr
        yield site
