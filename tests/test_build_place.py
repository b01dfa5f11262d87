"""Where a bundle is made: one build at a time, room looked for before, everything gone when it ends badly."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from appliance.bundle import names
from appliance.errors import BadInput, DamagedBundle, HostNotReady, StepFailed
from appliance.progress import Silent
from bundler.build import build
from bundler.build_room import OTHER_BYTES, BuildRoom, build_room, check_room
from bundler.converter import SHA256, ConverterLock
from bundler.lock import Lock, LockedDataset
from bundler.manifest import Target, Wheels
from bundler.pack import Item, lay_out
from bundler.sources import place
from bundler.sources.conda import LockedRuntime
from bundler.sources.extras import LockedExtra, cached_extra
from bundler.sources.hub import LockedFile, LockedModel, cached_file
from bundler.sources.indexes import Indexes
from bundler.workplace import SCRATCH, workplace

UNSHARE = ["unshare", "-m"] if os.getuid() == 0 else ["unshare", "-r", "-m"]
SMALL_DISK = 'mount -t tmpfs -o size=1m small "$1" && shift && exec "$@"'


def on_a_small_disk(folder: Path, *command: str | Path) -> "subprocess.CompletedProcess[str]":
    """Run `command` where `folder` is a disk of 1 MiB."""
    script = [*UNSHARE, "sh", "-c", SMALL_DISK, "sh", folder, *command]
    return subprocess.run(script, capture_output=True, text=True)


def test_a_folder_gets_its_name_when_all_is_done(tmp_path: Path) -> None:
    out = tmp_path / "new" / "bundle"
    with workplace(out) as partial:
        (partial / "a").write_text("a")
        (partial / SCRATCH / "tmp").rmdir()
        (partial / SCRATCH).rmdir()
        assert not out.exists()
    assert [path.name for path in out.parent.iterdir()] == ["bundle"]
    assert [path.name for path in out.iterdir()] == ["a"]


def test_what_a_killed_build_left_is_not_mixed_in(tmp_path: Path) -> None:
    left = tmp_path / "bundle.partial"
    (left / SCRATCH / "deep").mkdir(parents=True)
    (left / "payload.007.tar").write_text("an older, longer build")
    (left / "link").symlink_to(tmp_path)
    with workplace(tmp_path / "bundle") as partial:
        assert [path.name for path in partial.iterdir()] == [SCRATCH]
    assert tmp_path.is_dir()


@pytest.mark.parametrize("error", [BadInput("a", why="b", next_step="c"), KeyboardInterrupt(), ValueError()])
def test_a_build_that_ends_badly_leaves_nothing(tmp_path: Path, error: BaseException) -> None:
    with pytest.raises(type(error)), workplace(tmp_path / "bundle") as partial:
        (partial / "payload.000.tar").write_text("half")
        raise error
    assert list(tmp_path.iterdir()) == []


def test_a_second_build_into_one_folder_refuses(tmp_path: Path) -> None:
    with workplace(tmp_path / "bundle") as partial:
        (partial / "mine").touch()
        with pytest.raises(StepFailed) as caught, workplace(tmp_path / "bundle"):
            pass
        assert "Another build" in caught.value.what
        assert (partial / "mine").exists()
    with pytest.raises(BadInput), workplace(tmp_path / "bundle"):
        pass


def test_a_folder_that_appears_in_the_meantime_is_not_replaced(tmp_path: Path) -> None:
    with pytest.raises(BadInput), workplace(tmp_path / "bundle"):
        (tmp_path / "bundle").mkdir()
        (tmp_path / "bundle" / "theirs").touch()
    assert [path.name for path in tmp_path.rglob("*")] == ["bundle", "theirs"]


def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "kept").touch()
    (tmp_path / "bundle.partial").symlink_to(tmp_path / "theirs")
    with pytest.raises(BadInput), workplace(tmp_path / "bundle"):
        pass
    assert (tmp_path / "theirs" / "kept").exists()


def test_temporary_files_go_below_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", "/nonexistent")
    with workplace(tmp_path / "bundle") as partial:
        with tempfile.NamedTemporaryFile() as file:
            assert Path(file.name).is_relative_to(partial)
        child = [sys.executable, "-c", "import tempfile; print(tempfile.gettempdir())"]
        said = subprocess.run(child, capture_output=True, text=True, check=True).stdout
        assert Path(said.strip()).is_relative_to(partial)
    assert os.environ["TMPDIR"] == "/nonexistent"


WORKER = """
import sys, time
from pathlib import Path
from bundler.workplace import workplace
with workplace(Path(sys.argv[1])) as partial:
    (partial / "payload.000.tar").write_bytes(bytes(int(sys.argv[2])))
    print("at work", flush=True)
    time.sleep(100)
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, -signal.SIGINT)])
def test_a_build_that_is_told_to_stop_leaves_nothing(tmp_path: Path, number: int, code: int) -> None:
    command = [sys.executable, "-c", WORKER, tmp_path / "bundle", "1000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"at work\n"
        child.send_signal(number)
        assert child.wait(60) == code
    assert list(tmp_path.iterdir()) == []


def test_the_lock_goes_with_a_killed_build(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WORKER, tmp_path / "bundle", "1000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        with pytest.raises(StepFailed), workplace(tmp_path / "bundle"):
            pass
        child.kill()
        child.wait(60)
    assert not (tmp_path / "bundle").exists()
    with workplace(tmp_path / "bundle") as partial:
        assert not (partial / "payload.000.tar").exists()


def test_a_disk_that_fills_up_is_said_and_left_as_it_was(tmp_path: Path) -> None:
    program = f"import os\ntry:\n {WORKER.strip().replace(chr(10), chr(10) + ' ')}\n"
    program += "except BaseException as error:\n print(type(error).__name__, error)\n"
    program += " print(os.listdir(os.path.dirname(sys.argv[1])))\n"
    disk = tmp_path / "disk"
    disk.mkdir()
    done = on_a_small_disk(disk, sys.executable, "-c", program, disk / "bundle", "4000000")
    assert done.stdout.startswith("HostNotReady There is no room left for"), done.stderr
    assert done.stdout.endswith("[]\n")


def a_lock(size: int) -> Lock:
    """A lock of one model of `size` bytes and the converter."""
    file = LockedFile("model.safetensors", size, "a" * 64, "b" * 40, lfs=True)
    return Lock(
        format="islet-lock-1",
        created="2026-11-21T08:00:00Z",
        manifest_sha256="0" * 64,
        product="islet-test",
        valid_days=400,
        target=Target("3.12"),
        runtime=LockedRuntime((), (), ()),
        wheels=(),
        models=(LockedModel("o/m", "c" * 40, "CC0-1.0", (file,)),),
        datasets=(),
        converter=ConverterLock("0", "x.tar.gz", SHA256, 1000),
    )


def test_the_room_is_counted_to_the_byte(tmp_path: Path) -> None:
    lock = a_lock(5_000_000)
    room = build_room(lock, {}, cache=tmp_path, volume_bytes=2_500_000)
    assert room.download == 5_000_000 + 1000
    # Three volumes: 5,000,000 bytes of the model in three parts, 2,000,000 of the converter in one or two.
    assert 7_000_000 < room.volumes < 7_000_000 + 16 * 512 + 3 * 10240
    part = cached_file(lock.models[0].files[0], tmp_path)
    part.parent.mkdir(parents=True)
    part.touch()
    assert build_room(lock, {}, cache=tmp_path, volume_bytes=2_500_000).download == 1000
    delta = build_room(lock, {"a" * 64: 5_000_000}, cache=tmp_path, volume_bytes=2_500_000)
    assert delta.volumes < 2_100_000


def test_extras_are_counted_as_what_has_to_be_fetched(tmp_path: Path) -> None:
    address = "https://drivers.example/x.run"
    extras = (
        LockedExtra("driver", "x.run", address, "", "d" * 64, 3_000_000, "", ""),
        LockedExtra("handbook", "x.pdf", "", "x.pdf", "e" * 64, 500, "", ""),
    )
    lock = msgspec.structs.replace(a_lock(5_000_000), extras=extras)
    assert build_room(lock, {}, cache=tmp_path, volume_bytes=1 << 30).download == 8_000_000 + 1000
    there = cached_extra(extras[0], tmp_path)
    there.parent.mkdir(parents=True)
    there.touch()
    assert build_room(lock, {}, cache=tmp_path, volume_bytes=1 << 30).download == 5_000_000 + 1000


@pytest.mark.parametrize("body", [None, b"changed"])
def test_a_data_set_that_changed_is_told_before_anything_is_fetched(
    tmp_path: Path, body: bytes | None
) -> None:
    if body is not None:
        (tmp_path / "rows.jsonl").write_bytes(body)
    lock = msgspec.structs.replace(
        a_lock(5_000_000), datasets=(LockedDataset("rows.jsonl", "d" * 64, 7, ""),), converter=None
    )
    with pytest.raises(DamagedBundle) as caught:
        build(
            lock,
            manifest_folder=tmp_path,
            number=1,
            root_version=1,
            out=tmp_path / "out",
            cache=tmp_path / "cache",
            volume_bytes=1 << 30,
            hub_endpoint="http://127.0.0.1:1",
            indexes=Indexes(Wheels(), tmp_path),
            progress=Silent(),
        )
    assert caught.value.what == "The data set rows.jsonl is not what was locked."
    assert f"expected {'d' * 64}, got" in caught.value.why
    assert "`islet-bundle lock --upgrade rows.jsonl MANIFEST`" in caught.value.next_step
    assert not (tmp_path / "cache").exists() and not list(tmp_path.glob("out*"))


def test_a_typing_mistake_in_the_size_of_volumes_is_told_before_anything_is_fetched(tmp_path: Path) -> None:
    lock = a_lock(16_000_000_000)
    with pytest.raises(BadInput) as caught:
        build_room(lock, {}, cache=tmp_path, volume_bytes=4_000_000)
    assert "1000 are the most" in caught.value.why and "--volume-size" in caught.value.next_step
    item = Item("models/o/m/a.safetensors", "model", "o/m", "", Path(), "a" * 64, 999 * 3_997_696)
    assert len(lay_out([item], 4_000_000).volumes) <= 1000


def test_the_environment_is_unfolded_before_the_volumes_are_written() -> None:
    room = BuildRoom(download=0, volumes=100, runtime=10, unfolded=60)
    assert room.out == OTHER_BYTES + 10 + 100
    assert BuildRoom(download=0, volumes=10, runtime=10, unfolded=60).out == OTHER_BYTES + 10 + 60


def test_too_little_room_is_said_for_each_disk_before_anything_is_written(tmp_path: Path) -> None:
    room = BuildRoom(download=1 << 62, volumes=1 << 62, runtime=0, unfolded=0)
    with pytest.raises(HostNotReady) as caught:
        check_room(room, out=tmp_path / "a" / "bundle", cache=tmp_path / "cache")
    # One disk: both are asked of it together.
    assert caught.value.why.count("needed") == 1
    assert (
        f"{1 << 62} bytes for the cache, {(1 << 62) + OTHER_BYTES} bytes for the bundle" in caught.value.why
    )
    assert list(tmp_path.iterdir()) == []


JUDGE = """
import sys
from pathlib import Path
from bundler.build_room import BuildRoom, check_room
from appliance.errors import HostNotReady
room = BuildRoom(download=int(sys.argv[3]), volumes=int(sys.argv[4]), runtime=0, unfolded=0)
try:
    check_room(room, out=Path(sys.argv[1]), cache=Path(sys.argv[2]))
    print("enough")
except HostNotReady as error:
    print(error.why)
"""


@pytest.mark.parametrize(
    ("out", "download", "volumes", "said"),
    [
        ("disk/bundle", 1000, 4_000_000, "disk: "),
        ("disk/bundle", 4_000_000, 0, "disk: "),  # the lists alone need more than 1 MiB
        ("elsewhere/bundle", 4_000_000, 4_000_000, "enough"),
    ],
)
def test_a_small_disk_is_refused_for_what_goes_there(
    tmp_path: Path, out: str, download: int, volumes: int, said: str
) -> None:
    for name in ("disk", "elsewhere"):
        (tmp_path / name).mkdir()
    command = [sys.executable, "-c", JUDGE, tmp_path / out, tmp_path / "cache", str(download), str(volumes)]
    done = on_a_small_disk(tmp_path / "disk", *command)
    assert said in done.stdout, done.stderr
    assert ("for the cache" in done.stdout) is False


def test_a_file_longer_than_a_tar_header_can_say_is_cut_into_parts() -> None:
    size = 20 * 1024**3
    item = Item("models/o/m/model.safetensors", "model", "o/m", "", Path(), "a" * 64, size)
    contents = lay_out([item], 1 << 40)
    assert len(contents.volumes) == 1
    lengths = [part.length for part in contents.entries[0].parts]
    assert sum(lengths) == size
    assert max(lengths) <= names.MEMBER_BYTES < size
    assert [path for _, path, _ in contents.members("payload.000.tar")][1].endswith(".part001")


def test_another_disk_than_the_caches_gets_no_copy(tmp_path: Path) -> None:
    source, disk = tmp_path / "cached", tmp_path / "disk"
    source.write_bytes(bytes(4_000_000))
    disk.mkdir()
    program = "import sys; from pathlib import Path; from bundler.sources import place\n"
    program += "source, target = map(Path, sys.argv[1:]); place(source, target)\n"
    program += "print(target.read_bytes() == source.read_bytes(), target.is_symlink())"
    done = on_a_small_disk(disk, sys.executable, "-c", program, source, disk / "a" / "b")
    assert done.stdout == "True True\n", done.stderr
    place(source, tmp_path / "same" / "b")
    assert (tmp_path / "same" / "b").stat().st_ino == source.stat().st_ino


@pytest.mark.parametrize("make", [Path.touch, Path.mkdir])
def test_a_bundle_that_exists_is_not_touched(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "bundle")
    with pytest.raises(BadInput), workplace(tmp_path / "bundle"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]
