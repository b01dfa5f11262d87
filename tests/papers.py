"""A small lock with one of everything, and the folder that a build has before it writes its papers."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from appliance.bundle.contents import Contents
from appliance.bundle.release import Release
from bundler.advisories import NOT_GIVEN, Advisories
from bundler.converter import ConverterLock
from bundler.lock import Lock, LockedDataset
from bundler.manifest import Target
from bundler.pack import Item, lay_out
from bundler.sources.conda import LockedPackage, LockedRuntime
from bundler.sources.extras import LockedExtra
from bundler.sources.hub import LockedFile, LockedModel
from bundler.sources.wheels import LockedWheel
from tests.wheel_maker import write_wheel

COMMIT = "4620913ff1d4fffc4acd7e00bc184fb93ad84d81"
CONDA_SHA256 = "43268d0223b2d80be50d6d586a867f4137da39acf963cf637508ef6cd5abe1bd"
CONFIG = b'{"model_type": "qwen3", "architectures": ["Qwen3ForCausalLM"], "vocab_size": 4096}'


@dataclass(frozen=True)
class Papers:
    """What the SBOM and BUNDLE.md are made from."""

    lock: Lock
    release: Release
    contents: Contents
    sources: dict[str, Path]
    folder: Path
    """Has install.sh, the runtime, contents.json and the appliance's wheel."""


def sha256(path: Path) -> str:
    """The hash of a file's bytes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def make_papers(
    folder: Path,
    *,
    cuda: str = "none",
    left_out: tuple[str, ...] = (),
    advisories: Advisories | None = None,
) -> Papers:
    """One model with card and licence, one without; two wheels, a conda package, a tool, rows, an extra.

    left_out: files that the site has already, by their paths. advisories: None: none were given.
    """
    out, origin = folder / "out", folder / "origin"
    out.mkdir(parents=True)
    origin.mkdir()
    for name in ("install.sh", "runtime.tar.gz", "contents.json"):
        (out / name).write_text(name)
    own = write_wheel(
        out,
        name="islet",
        version="0.1.0",
        needs=("Some-Lib>=2", "torch; extra == 'train'"),
        summary="An appliance.",
    )
    assert own.name == "islet-0.1.0-py3-none-any.whl"
    first = write_wheel(
        origin, name="some_lib", version="2.0+cpu", needs=("tiny", "old; python_version < '3'")
    )
    second = write_wheel(origin, name="tiny", version="1.0")
    items: list[Item] = []

    def carry(path: str, kind: str, component: str, licence: str, body: bytes | Path) -> Path:
        source = body if isinstance(body, Path) else origin / path.replace("/", "_")
        if isinstance(body, bytes):
            source.write_bytes(body)
        items.append(Item(path, kind, component, licence, source, sha256(source), source.stat().st_size))
        return source

    with_card = {
        "config.json": CONFIG,
        "README.md": b"# card",
        "LICENSE-MODEL": b"Apache",
        "m.safetensors": b"w" * 900,
    }
    bare = {"config.json": b"{}", "m.safetensors": b"v" * 90}
    models = []
    for hub, licence, files in (("org/carded", "apache-2.0", with_card), ("org/bare", "unknown", bare)):
        locked = []
        for name, body in sorted(files.items()):
            path = carry(f"models/{hub}/{name}", "model", hub, licence, body)
            locked.append(LockedFile(name, len(body), sha256(path), "", lfs=False))
        models.append(LockedModel(hub, COMMIT, licence, tuple(locked)))
    wheels = []
    for wheel, name, version, licence in (
        (first, "Some_Lib", "2.0+cpu", "BSD License"),
        (second, "tiny", "1.0", "MIT OR 0BSD"),
    ):
        carry(f"wheels/{wheel.name}", "wheel", f"{name} {version}", licence, wheel)
        wheels.append(
            LockedWheel(name, version, wheel.name, sha256(wheel), wheel.stat().st_size, licence, "")
        )
    rows = carry("datasets/rows.jsonl", "dataset", "rows.jsonl", "CC-BY-4.0", b"{}\n")
    carry("tools/llama.cpp/convert.py", "tool", "llama.cpp converter", "MIT", b"pass\n")
    driver = carry("extras/gpu-driver/driver-570.run", "extra", "gpu-driver", "Own terms", b"#!/bin/sh\n")
    package = LockedPackage(
        "python", "3.12.1", "h1_0", "linux-64", "python-3.12.1-h1_0.conda", CONDA_SHA256, 1000, "PSF-2.0", ""
    )
    lock = Lock(
        format="islet-lock-1",
        created="2026-11-21T08:00:00Z",
        manifest_sha256="0" * 64,
        product="hospital-a",
        sender="Clinic IT, tel. 123",
        valid_days=400,
        target=Target(python="3.12", glibc="2.28", cuda=cuda),
        runtime=LockedRuntime(("python 3.12.*",), (), (package,)),
        wheels=tuple(wheels),
        models=tuple(models),
        datasets=(LockedDataset("data/rows.jsonl", sha256(rows), 3, "CC-BY-4.0"),),
        extras=(
            LockedExtra(
                "gpu-driver",
                "driver-570.run",
                "https://drivers.example/driver-570.run",
                "",
                sha256(driver),
                10,
                "Own terms",
                "For boxes without a driver; run by hand.",
            ),
        ),
        advisories=advisories or Advisories(not_checked=NOT_GIVEN),
        converter=ConverterLock("0.3.36", "llama_cpp_python-0.3.36.tar.gz", "8" * 64, 5),
    )
    held = {item.sha256: item.size for item in items if item.path in left_out}
    runtime = sha256(out / "runtime.tar.gz")
    if "runtime.tar.gz" in left_out:
        held[runtime] = 0
    contents = lay_out(items, 4_000_000, held, runtime)
    release = Release("hospital-a", 7, lock.created, "2027-12-26T08:00:00Z", 3, 5_000_000_000)
    return Papers(lock, release, contents, {item.path: item.source for item in items}, out)
