"""Locks: everything anew, one thing anew and all else as it was, parts only; and what cannot go together."""

import asyncio
import importlib.util
import runpy
from collections.abc import Collection, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from rattler.index.index import index_fs

from appliance.errors import BadInput
from appliance.progress import Silent
from bundler.cli import main
from bundler.diff import difference
from bundler.keeping import NO_LOCK, Old, without
from bundler.listing import read_listing
from bundler.lock import PARTS, Lock, Part, check_complete, read_lock, write_lock
from bundler.locking import lock, resolved
from bundler.manifest import Target, read_manifest
from bundler.room import estimate_room
from bundler.sources import cuda
from demo.channel import Package, write_package
from demo.hub_server import serve
from tests.bundles import Workshop
from tests.index_server import PackageIndex, serve_index
from tests.wheel_maker import write_wheel

MANIFEST = """
[bundle]
product = "islet-test"
[target]
python = "3.12"
[runtime]
channels = ["./channel"]
packages = ["tool"]
[wheels]
requirements = ["a"]
[[models]]
hub = "o/m"
[[models]]
hub = "o/n"
[[datasets]]
path = "rows.jsonl"
[tools]
converter = false
"""


@dataclass
class Shop:
    """Everything that a manifest can name, on this machine."""

    folder: Path
    index: PackageIndex
    stack: ExitStack
    hub: str = ""

    @property
    def manifest(self) -> Path:
        """The manifest; its lock lies beside it."""
        return self.folder / "m.toml"

    def conda(self, name: str, version: str, files: dict[str, bytes] | None = None, *depends: str) -> None:
        """Publish a conda package."""
        content = files or {f"share/{name}": version.encode()}
        write_package(self.folder / "channel", Package(name, version, "MIT", content, depends=depends))
        asyncio.run(index_fs(self.folder / "channel", write_zst=False, write_shards=False))

    def wheel(self, name: str, version: str, *needs: str) -> None:
        """Publish a wheel."""
        write_wheel(self.index.folder, name=name, version=version, needs=needs)

    def model(self, name: str, config: str) -> None:
        """Publish a model, or change it."""
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        (folder / "config.json").write_text(config)
        (folder / "model.safetensors").write_bytes(b"\x02\0\0\0\0\0\0\0{}")

    def open_hub(self) -> None:
        """Serve the models as they are now."""
        self.hub = self.stack.enter_context(serve({f"o/{name}": self.folder / name for name in ("m", "n")}))

    def lock(self, old: Lock = NO_LOCK, *upgrade: str, only: Collection[Part] = PARTS) -> Lock:
        """What `islet-bundle lock` makes."""
        return lock(
            read_manifest(self.manifest),
            self.manifest,
            hub_endpoint=self.hub,
            cache=self.folder / "cache",
            progress=Silent(),
            index=(self.index.url,),
            only=only,
            old=Old(old, frozenset(upgrade)),
        )

    def change(self, old: str, new: str) -> None:
        """Edit the manifest."""
        text = self.manifest.read_text()
        assert old in text
        self.manifest.write_text(text.replace(old, new))


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    (tmp_path / "index").mkdir()
    with ExitStack() as stack:
        made = Shop(tmp_path, stack.enter_context(serve_index(PackageIndex(tmp_path / "index"))), stack)
        made.conda("python", "3.12.4")
        made.conda("pip", "1.0")
        made.conda("tool", "1.0", None, "library")
        made.conda("library", "1.0")
        made.wheel("a", "1.0", "b", "c")
        made.wheel("b", "1.0")
        made.wheel("c", "1.0")
        made.model("m", "{}")
        made.model("n", "{}")
        made.open_hub()
        (tmp_path / "rows.jsonl").write_text("{}\n")
        made.manifest.write_text(MANIFEST)
        yield made


def publish_more(shop: Shop) -> None:
    """A newer one of everything."""
    for name in ("tool", "library"):
        shop.conda(name, "2.0", None, *(("library",) if name == "tool" else ()))
    for name in ("b", "c"):
        shop.wheel(name, "2.0")
    for name in ("m", "n"):
        shop.model(name, '{"newer": true}')
    shop.open_hub()
    (shop.folder / "rows.jsonl").write_text("{}\n{}\n")


def changed(before: Lock, after: Lock, folder: Path) -> list[str]:
    """What `islet-bundle diff` says of two locks."""
    paths = [folder / "before.lock", folder / "after.lock"]
    for each, path in zip((before, after), paths, strict=True):
        write_lock(each, path)
    rows = difference(read_listing(paths[0]), read_listing(paths[1])).rows
    return [f"{row.kind} {row.name} {row.words.split(';')[0]}" for row in rows if row.change == "changed"]


def test_a_plain_lock_takes_the_newest_of_everything(shop: Shop) -> None:
    before = shop.lock()
    publish_more(shop)
    found = changed(before, shop.lock(), shop.folder)
    assert [" ".join(line.split(" ")[:2]) for line in found if "→" in line] == [
        "conda library",
        "conda tool",
        "model o/m",
        "model o/n",
        "wheel b",
        "wheel c",
    ]
    assert found[-1].startswith("dataset rows.jsonl")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("b", ["wheel b 1.0 → 2.0"]),
        ("B", ["wheel b 1.0 → 2.0"]),
        ("library", ["conda library 1.0 islet_0 → 2.0 islet_0"]),
        ("o/n", ["model o/n "]),
        ("rows.jsonl", ["dataset rows.jsonl "]),
    ],
)
def test_upgrades_one_thing_and_keeps_all_else(shop: Shop, name: str, words: list[str]) -> None:
    before = shop.lock()
    publish_more(shop)
    after = shop.lock(before, name)
    found = changed(before, after, shop.folder)
    assert len(found) == len(words)
    assert all(line.startswith(start) for line, start in zip(found, words, strict=True))


def test_keeps_to_the_byte_what_needs_no_change(shop: Shop) -> None:
    before = shop.lock()
    publish_more(shop)
    shop.index.asked.clear()
    after = shop.lock(before)
    assert msgspec.structs.replace(after, created=before.created) == before
    assert shop.index.asked == []


def test_takes_what_is_new_in_the_manifest_and_keeps_the_rest(shop: Shop) -> None:
    before = shop.lock()
    publish_more(shop)
    shop.wheel("d", "1.0")
    shop.change('["a"]', '["a", "d"]')
    shop.change('[[models]]\nhub = "o/n"\n', "")
    after = shop.lock(before)
    assert [f"{wheel.name} {wheel.version}" for wheel in after.wheels] == ["a 1.0", "b 1.0", "c 1.0", "d 1.0"]
    assert after.models == before.models[:1]
    assert (after.runtime, after.datasets) == (before.runtime, before.datasets)


def test_an_upgrade_that_needs_another_says_so(shop: Shop) -> None:
    before = shop.lock()
    shop.wheel("a", "2.0", "b>=2", "c")
    shop.wheel("b", "2.0")
    shop.change('["a"]', '["a>=2"]')
    with pytest.raises(BadInput) as caught:
        shop.lock(before, "a")
    assert "b" in caught.value.why
    assert [w.version for w in shop.lock(before, "a", "b").wheels] == ["2.0", "2.0", "1.0"]


def test_says_that_there_is_nothing_of_that_name(shop: Shop) -> None:
    with pytest.raises(BadInput) as caught:
        shop.lock(shop.lock(), "torchh")
    assert caught.value.what == "There is no torchh to resolve anew."


def test_a_lock_may_lack_parts_and_is_completed_later(shop: Shop) -> None:
    part = shop.lock(only=("wheels", "datasets"))
    assert part.lacks == ("models", "runtime")
    assert sorted(part.asked) == ["datasets/rows.jsonl", "wheels"]
    assert len(part.wheels) == 3
    publish_more(shop)
    write_lock(part, shop.folder / "part.lock")
    assert read_lock(shop.folder / "part.lock", shop.manifest) == part
    with pytest.raises(BadInput) as caught:
        check_complete(part)
    assert caught.value.why == "it lacks: models, runtime"
    whole = shop.lock(part)
    check_complete(whole)
    assert (whole.wheels, whole.datasets) == (part.wheels, part.datasets)
    assert [package.version for package in whole.runtime.packages] == ["2.0", "1.0", "3.12.4", "2.0"]


def test_a_part_that_the_manifest_says_otherwise_by_now_is_not_taken_over(shop: Shop) -> None:
    whole = shop.lock()
    shop.change('hub = "o/n"', 'hub = "o/n"\nlicence = "MIT"')
    again = shop.lock(without(whole, ("wheels",)), only=("wheels",))
    assert again.lacks == ("models",)
    assert (again.models, again.runtime, again.wheels) == ((), whole.runtime, whole.wheels)


def test_an_environment_that_brings_a_locked_wheel_is_refused_without_the_wheels(shop: Shop) -> None:
    whole = shop.lock()
    shop.conda("library", "3.0", {"lib/python3.12/site-packages/b-7.0.dist-info/RECORD": b""})
    with pytest.raises(BadInput) as caught:
        shop.lock(without(whole, ("runtime",)), only=("runtime",))
    assert "b-1.0-py3-none-any.whl is locked" in caught.value.why
    assert "b" not in [wheel.name for wheel in shop.lock(without(whole, ("runtime",))).wheels]


def test_two_locks_are_compared_in_what_both_have(shop: Shop) -> None:
    whole, part = shop.lock(), shop.lock(only=("wheels",))
    for name, each in (("whole", whole), ("part", part)):
        write_lock(each, shop.folder / f"{name}.lock")
    found = difference(read_listing(shop.folder / "whole.lock"), read_listing(shop.folder / "part.lock"))
    assert found.rows == ()
    assert "model" in found.not_compared
    assert "wheel" not in found.not_compared


def test_what_conda_brings_is_not_a_wheel_too_also_when_the_lock_is_completed(shop: Shop) -> None:
    shop.wheel("a", "1.1", "setuptools>=70", "c")
    shop.wheel("setuptools", "84.0")
    part = shop.lock(only=("wheels",))
    assert "setuptools" in [wheel.name for wheel in part.wheels]
    installed = "lib/python3.12/site-packages/setuptools-80.9.0.dist-info/METADATA"
    shop.conda("library", "3.0", {installed: b"Name: setuptools\n"})
    whole = shop.lock(part)
    assert whole.provided == {"setuptools": "80.9.0"}
    assert [wheel.name for wheel in whole.wheels] == ["a", "c"]
    shop.change('["a"]', '["a", "setuptools"]')
    with pytest.raises(BadInput) as caught:
        shop.lock(part)
    assert "the conda environment brings setuptools 80.9.0" in caught.value.why
    assert "runtime.packages" in caught.value.next_step


def test_refuses_what_the_conda_environment_has_too_old(shop: Shop) -> None:
    shop.wheel("a", "1.1", "numpy>=2")
    shop.wheel("numpy", "2.4")
    shop.conda("library", "3.0", {"lib/python3.12/site-packages/numpy-1.26.4.dist-info/RECORD": b""})
    shop.change('["a"]', '["a==1.1"]')
    with pytest.raises(BadInput) as caught:
        shop.lock()
    assert caught.value.why.startswith("the conda environment brings numpy 1.26.4;")


def test_refuses_a_wheel_that_needs_another_python_than_condas(shop: Shop) -> None:
    metadata = b"Metadata-Version: 2.4\nName: a\nVersion: 1.5\nRequires-Python: >=3.12.9\n"
    write_wheel(shop.index.folder, {"a-1.5.dist-info/METADATA": metadata}, name="a", version="1.5")
    shop.change('["a"]', '["a==1.5"]')
    with pytest.raises(BadInput) as caught:
        shop.lock()
    assert "Python" in caught.value.why
    assert "3.12.4" in caught.value.why


def test_a_kernel_that_the_target_has_not_is_told(shop: Shop) -> None:
    shop.conda("library", "3.0", None, "__linux >=6", "__archspec 1 x86_64")
    shop.change('["tool"]', '["library >=3"]')
    with pytest.raises(BadInput) as caught:
        shop.lock(only=("runtime",))
    assert "__linux" in caught.value.why


def test_local_is_what_this_torch_was_built_for() -> None:
    torch = importlib.util.find_spec("torch")
    if torch is None or torch.origin is None:
        pytest.skip("there is no torch here")
    said = runpy.run_path(str(Path(torch.origin).with_name("version.py")))["cuda"]  # torch takes seconds
    built = "none" if said is None else ".".join(said.split(".")[:2])
    assert resolved(Target(python="3.12", cuda="local")).cuda == built == cuda.of_this_python()
    assert resolved(Target(python="3.12", cuda="12.8")).cuda == "12.8"


@pytest.mark.parametrize(
    ("version", "needs", "built"),
    [
        ("2.13.0", "cuda-toolkit[cublas]==13.0.3; platform_system == 'Linux'", "13.0"),
        ("2.10.0", "nvidia-cuda-runtime-cu12==12.8.90", "12.8"),
        ("2.10.0+cu126", "nvidia-cuda-runtime-cu12==12.6.77", "12.6"),
        ("2.13.0+cpu", "sympy>=1.13.3", "none"),
        ("2.13.0", "optree; extra == 'nvidia-x'", "none"),
        ("2.13.0", "nvidia-cublas", None),
    ],
)
def test_local_is_read_from_what_torch_says_of_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, needs: str, built: str | None
) -> None:
    info = tmp_path / f"torch-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.4\nName: torch\nVersion: {version}\nRequires-Dist: {needs}\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    if built is None:
        with pytest.raises(BadInput) as caught:
            cuda.of_this_python()
        assert "target.cuda" in caught.value.what
    else:
        assert resolved(Target(python="3.12", cuda="local")).cuda == built


def test_estimates_volumes_and_room(shop: Shop) -> None:
    made = shop.lock()
    room = estimate_room(made, 4_000_000_000)
    files = sum(file.size for model in made.models for file in model.files)
    wheels = sum(wheel.size for wheel in made.wheels)
    conda = sum(package.size for package in made.runtime.packages)
    assert (room.volumes, room.download) == (1, files + wheels + conda)
    assert room.site > room.store > 0
    large = msgspec.structs.replace(made.wheels[0], size=9_000_000_000, sha256="9" * 64)
    assert estimate_room(msgspec.structs.replace(made, wheels=(large,)), 4_000_000_000).volumes == 3


def test_the_command_locks_keeps_upgrades_and_shows(shop: Shop) -> None:
    def run(*more: str) -> str:
        where = ["--cache", str(shop.folder / "cache"), "--hub", shop.hub, "--index", shop.index.url]
        done = CliRunner().invoke(main, ["lock", str(shop.manifest), *where, *more], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.output

    shown = run("--only", "wheels")
    assert "NOT COMPLETE" in shown
    where = ["--out", str(shop.folder / "out"), "--roots", str(shop.folder / "roots"), "--number", "1"]
    done = CliRunner().invoke(main, ["build", str(shop.manifest), *where])
    assert done.exit_code == 6
    assert "there is no root.N in it" in done.output
    Workshop(shop.folder).add_root(root=["root"], release=["release"], signers=["root"])
    done = CliRunner().invoke(main, ["build", str(shop.manifest), *where])
    assert done.exit_code == 6
    assert "it lacks: datasets, models, runtime" in done.output
    shown = run("--keep")
    assert "NOT COMPLETE" not in shown
    for words in (
        "download cache: about",
        "1 volume of at most 4000000000 bytes",
        "unfolded runtime: about",
    ):
        assert words in shown
    publish_more(shop)
    first = read_lock(shop.manifest.with_suffix(".lock"))
    run("--upgrade", "c")
    second = read_lock(shop.manifest.with_suffix(".lock"))
    assert [wheel.version for wheel in second.wheels] == ["1.0", "1.0", "2.0"]
    assert second.runtime == first.runtime
    run("--only", "wheels")
    third = read_lock(shop.manifest.with_suffix(".lock"))
    assert [wheel.version for wheel in third.wheels] == ["1.0", "2.0", "2.0"]
    assert (third.runtime, third.models, third.lacks) == (first.runtime, first.models, ())


def test_a_place_where_no_lock_can_be_written_is_told_before_anything_is_resolved(shop: Shop) -> None:
    out = shop.folder / "not there" / "m.lock"
    done = CliRunner().invoke(
        main, ["lock", str(shop.manifest), "--out", str(out), "--hub", "http://127.0.0.1:1"]
    )
    assert done.exit_code == 6
    assert f"{out} cannot be written." in done.output
