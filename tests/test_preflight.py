"""Whether a box can do the work: what is measured is true, and every finding says why and what next."""

import json
import os
import pwd
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.bundle.contents import Contents, Entry, parse_contents
from appliance.bundle.cuda import CAME_WITH, FAMILY_MINIMUM, is_older, oldest_driver
from appliance.bundle.release import parse_release
from appliance.errors import HostNotReady
from appliance.locale import catalogue
from appliance.site.health.disk import Wish, judge_room, look_at_mounts, look_at_room, nearest
from appliance.site.health.driver import NO_ANSWER, Driver, has_card, read_answer
from appliance.site.health.finding import Finding
from appliance.site.health.gpu import judge_gpu
from appliance.site.health.machine import (
    BASE_FLAGS,
    ENGINE_FLAGS,
    judge_libc,
    judge_memory,
    judge_processor,
    read_flags,
)
from appliance.site.health.needs import Needs, read_needs
from appliance.site.health.system import (
    look_at_clock,
    look_at_groups,
    look_at_ports,
    look_at_selinux,
    look_at_systemd,
)
from appliance.site.layout import Site
from appliance.site.preflight import check_box, is_brief, look_at_box, look_before, main
from tests.bundles import Workshop, make_workshop

SOURCE = Path(__file__).with_name("fake_nvml.c")
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  (only looked at)
CUDA_12_8 = Needs(torch=True, cuda="12.8", glibc=(2, 28), model_bytes=16_000_000_000)


# --- what a release asks for --------------------------------------------------------------------


def wheel(component: str, tag: str = "py3-none-any") -> Entry:
    name, version = component.split()
    return Entry(f"wheels/{name}-{version}-{tag}.whl", "wheel", component, "", 1, "0" * 64, 0o644, ())


def weights(name: str, size: int, part: int = 1) -> Entry:
    path = f"models/{name}/model-{part}.safetensors"
    return Entry(path, "model", name, "", size, "0" * 64, 0o644, ())


@pytest.mark.parametrize(
    ("wheels", "cuda"),
    [
        (("torch 2.10.0+cu128",), "12.8"),
        (("torch 2.11.0", "nvidia-cuda-runtime 13.0.48"), "13.0"),
        (("torch 2.9.0", "nvidia-cuda-runtime-cu12 12.6.77"), "12.6"),
        (("torch 2.13.0+cpu",), None),
        (("click 8.2.0",), None),
    ],
)
def test_the_cuda_of_a_release_is_read_from_its_wheels(wheels: tuple[str, ...], cuda: str | None) -> None:
    needs = read_needs(Contents((), tuple(map(wheel, wheels)), ()))
    assert (needs.cuda, needs.torch) == (cuda, any(each.startswith("torch") for each in wheels))


def test_the_newest_glibc_that_a_wheel_asks_for_counts_by_the_oldest_of_its_tags() -> None:
    entries = (
        wheel("a 1", "cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64"),
        wheel("b 1", "cp311-cp311-manylinux_2_28_x86_64"),
        wheel("c 1", "cp311-cp311-manylinux_2_34_x86_64.manylinux_2_12_x86_64"),
    )
    assert read_needs(Contents((), entries, ())).glibc == (2, 28)
    assert read_needs(Contents((), entries[:1], ())).glibc == (2, 17)


def test_room_for_runs_is_that_of_the_largest_model_merged_and_as_gguf() -> None:
    entries = (weights("org/big", 5_000), weights("org/big", 4_000, 2), weights("org/small", 6_000))
    needs = read_needs(Contents((), entries, ()))
    assert needs.model_bytes == 9_000
    assert needs.run_bytes == 18_000 + 1_000_000_000


# --- CUDA and drivers ---------------------------------------------------------------------------


def test_every_driver_that_came_with_a_toolkit_runs_its_family() -> None:
    for cuda, driver in CAME_WITH.items():
        assert not is_older(driver, FAMILY_MINIMUM[int(cuda.split(".")[0])]), cuda
    newest = [CAME_WITH[cuda] for cuda in sorted(CAME_WITH, key=lambda text: float(text))]
    assert all(is_older(before, after) for before, after in zip(newest, newest[1:], strict=False))


@pytest.mark.parametrize(
    ("cuda", "oldest"), [("12.8", "525.60.13"), ("13.1", "580.65.06"), ("11.8", "450.80.02"), ("14.0", None)]
)
def test_minor_versions_share_their_oldest_driver(cuda: str, oldest: str | None) -> None:
    assert oldest_driver(cuda) == oldest


def test_driver_numbers_are_compared_as_numbers() -> None:
    assert is_older("525.60.13", "525.105.17")
    assert not is_older("580.65.06", "580.65.06")
    assert not is_older("unknown", "580.65.06")


# --- graphics cards -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a shared library that answers as the driver's would."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler: the stand-in for libnvidia-ml cannot be made")
    folder = tmp_path_factory.mktemp("nvml")
    command = [compiler, "-shared", "-fPIC", "-Wall", "-Werror", "-o", folder / "libnvidia-ml.so.1", SOURCE]
    subprocess.run(command, check=True)
    return folder


def run_with(library: Path, scene: str, *arguments: str) -> str:
    """What Python prints that finds the library where a driver would have put it."""
    environment = os.environ | {"LD_LIBRARY_PATH": str(library), "FAKE_NVML": scene}
    command = [sys.executable, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout


def ask(library: Path, scene: str) -> Driver:
    return read_answer(json.loads(run_with(library, scene, "-m", "appliance.site.health.nvml")))


ASK = "from appliance.site.health.driver import ask_driver; print(ask_driver({patience}).error)"


@pytest.mark.parametrize(
    ("scene", "patience", "error"),
    [("", 60, 0), ("mismatch", 60, 18), ("hangs", 1, NO_ANSWER), ("crashes", 60, NO_ANSWER)],
)
def test_a_driver_that_hangs_or_crashes_does_not_take_islet_with_it(
    library: Path, scene: str, patience: int, error: int
) -> None:
    assert run_with(library, scene, "-c", ASK.format(patience=patience)) == f"{error}\n"
    if error == NO_ANSWER:
        found = judge_gpu(Driver(error), CUDA_12_8, is_on_bus=True)[0]
        assert (found.good, found.what) == (False, "the driver does not answer")
        assert "repair the driver" in found.next_step


def findings(library: Path, scene: str, needs: Needs | None = CUDA_12_8) -> list[Finding]:
    return judge_gpu(ask(library, scene), needs, is_on_bus=True)


def test_cards_are_read_through_the_drivers_own_library(library: Path) -> None:
    driver = ask(library, "")
    assert (driver.error, driver.version, driver.cuda) == (0, "570.124.06", "12.8")
    big, small = driver.cards
    assert (big.name, big.total_bytes, big.free_bytes) == ("NVIDIA H20", 96_000_000_000, 48_000_000_000)
    assert (big.capability, big.ecc, big.uncorrected, big.slices) == ("9.0", True, 0, None)
    assert (small.name, small.capability, small.ecc) == ("NVIDIA L4", "8.9", None)
    found = judge_gpu(driver, CUDA_12_8, is_on_bus=True)
    assert all(finding.good for finding in found)
    assert [finding.name for finding in found] == ["GPU", "GPU 0", "GPU 1"]
    assert found[0].what == "driver 570.124.06, CUDA 12.8, cards: 2; the release needs 12.8"
    assert found[1].what == "NVIDIA H20, 48.0 GB of 96.0 GB free; error correction on"
    assert found[2].what.endswith("; no error correction")


@pytest.mark.parametrize(
    ("scene", "what", "next_step"),
    [
        ("not loaded", "the driver is installed and not loaded", "modprobe nvidia"),
        ("mismatch", "the driver was replaced and the old one is still loaded", "Restart the box."),
        ("no permission", "this account may not ask the driver", "/dev/nvidia*"),
        ("blocked", "the card is kept from this account", "/dev/nvidia*"),
        ("no card", "driver 570.124.06 finds no card", "Restart the box."),
        ("old", "driver 470.256.02 is older than 525.60.13", "Install driver 570.86.10 or newer"),
    ],
)
def test_a_driver_that_cannot_be_used_is_said_with_the_way_out(
    library: Path, scene: str, what: str, next_step: str
) -> None:
    found = findings(library, scene)[0]
    assert (found.good, found.what, found.blocking) == (False, what, False)
    assert found.why and next_step in found.next_step


@pytest.mark.parametrize(
    ("scene", "index", "what"),
    [
        ("lost", 2, "the card does not answer any more"),
        ("ecc", 1, "NVIDIA H20, 48.0 GB of 96.0 GB free; 5 memory errors that could not be corrected"),
        ("mig", 1, "NVIDIA H20 is divided (MIG): 12.0 GB, 12.0 GB"),
        ("mig empty", 1, "NVIDIA H20 is set to be divided (MIG), and has no slice"),
    ],
)
def test_a_card_with_a_fault_is_named_and_the_others_are_still_read(
    library: Path, scene: str, index: int, what: str
) -> None:
    found = findings(library, scene)
    assert (found[index].name, found[index].good) == (f"GPU {index - 1}", False)
    assert found[index].what == what
    assert found[index].why and found[index].next_step
    assert [each.good for each in found if each.name.startswith("GPU ")].count(True) == 1


def test_who_holds_a_cards_memory_is_named_with_the_owner(library: Path) -> None:
    driver = ask(library, "held")
    mine, hidden = driver.cards[0].holders
    assert (mine.used_bytes, hidden.used_bytes) == (61_000_000_000, None)
    ours = replace(mine, pid=os.getpid())
    card = replace(driver.cards[0], holders=(ours, hidden))
    found = judge_gpu(replace(driver, cards=(card,)), CUDA_12_8, is_on_bus=True)[2]
    program = Path("/proc/self/comm").read_text().strip()
    owner = pwd.getpwuid(os.getuid()).pw_name
    assert found.what == (
        f"{program} (process {os.getpid()}, {owner}): 61.0 GB, process {hidden.pid}, not seen from here: ?"
    )
    assert found.why == "61.0 GB of its memory is not free for training"
    assert "user" not in found.facts and "owner" not in found.facts


def test_more_programs_than_one_question_has_room_for_are_all_counted(library: Path) -> None:
    assert len(ask(library, "many").cards[0].holders) == 100


def test_a_card_without_a_driver_is_told_from_a_box_without_a_card(tmp_path: Path) -> None:
    nothing, lost = (judge_gpu(Driver(12), CUDA_12_8, there)[0] for there in (False, True))
    assert (nothing.good, lost.good) == (True, False)
    assert lost.what == "an NVIDIA card is in this box, and its driver is not"
    for number, (vendor, kind) in enumerate([("0x8086", "0x030000"), ("0x10de", "0x040300")]):
        device = tmp_path / f"0000:00:0{number}.0"
        device.mkdir()
        (device / "vendor").write_text(f"{vendor}\n")
        (device / "class").write_text(f"{kind}\n")
    assert not has_card(tmp_path)
    (device / "class").write_text("0x030200\n")
    assert has_card(tmp_path)


def test_a_family_of_cuda_that_is_not_in_the_table_is_judged_by_what_the_driver_knows() -> None:
    driver = Driver(0, "580.65.06", "13.0", ())
    with_card = replace(driver, cards=read_answer(answer()).cards)
    needs = replace(CUDA_12_8, cuda="14.0")
    found = judge_gpu(with_card, needs, is_on_bus=True)[0]
    assert (found.good, found.what) == (False, "driver 580.65.06 knows CUDA 13.0 and nothing newer")
    assert judge_gpu(replace(with_card, cuda="14.1"), needs, is_on_bus=True)[0].good


def test_a_release_for_the_processor_says_that_the_card_is_not_used() -> None:
    found = judge_gpu(read_answer(answer()), replace(CUDA_12_8, cuda=None), is_on_bus=True)[0]
    assert found.good and found.what.endswith("this release trains on the processor only")


def answer() -> dict[str, object]:
    card = {
        "index": 0,
        "error": 0,
        "name": "NVIDIA L4",
        "total": 24_000_000_000,
        "free": 23_000_000_000,
        "capability": [8, 9],
        "ecc": [0, 0],
        "uncorrected": None,
        "slices": None,
        "processes": [],
    }
    return {"error": 0, "call": "", "driver": "570.86.10", "cuda": 12080, "cards": [card]}


@pytest.mark.parametrize("spoiled", [{"cards": None}, {"cuda": "12"}, {"cards": [{"index": 0}]}])
def test_an_answer_that_is_none_is_not_believed(spoiled: dict[str, object]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        read_answer({**answer(), **spoiled})


# --- processor, memory, C library ---------------------------------------------------------------


def test_flags_are_those_of_the_kernel() -> None:
    text = "processor\t: 0\nflags\t\t: fpu cx16 popcnt\nbugs\t\t: none\n\nflags\t\t: other\n"
    assert read_flags(text) == {"fpu", "cx16", "popcnt"}
    assert read_flags("Features : fp asimd\n") == frozenset()


def test_a_processor_without_what_the_programs_were_built_with_is_told_before_they_crash() -> None:
    every = frozenset(BASE_FLAGS + ENGINE_FLAGS)
    assert judge_processor("x86_64", every).good
    slow = judge_processor("x86_64", every - {"avx2"})
    assert (slow.good, slow.blocking, slow.what) == (False, False, "the processor lacks avx2")
    old = judge_processor("x86_64", every - {"sse4_2", "avx2"})
    assert (old.blocking, old.what) == (True, "the processor lacks sse4_2")
    assert judge_processor("aarch64", frozenset()).blocking


def test_the_wheels_here_were_built_with_the_flags_that_are_asked_for() -> None:
    """What the table of flags says of NumPy and of llama.cpp, asked of themselves."""
    umath = pytest.importorskip("numpy._core._multiarray_umath")
    assert umath.__cpu_baseline__ == ["X86_V2"]
    engine = pytest.importorskip("xllamacpp")
    said = engine.get_system_info()
    assert [flag for flag in ENGINE_FLAGS if f"{flag.upper()} = 1" not in said] == []


@pytest.mark.parametrize(
    ("found", "good", "what"),
    [
        ("glibc 2.28", True, "glibc 2.28, kernel "),
        ("glibc 2.40.9000", True, "glibc 2.40, kernel "),
        ("glibc 2.17", False, "glibc 2.17 is older than 2.28"),
        ("", False, "the C library is not glibc: ?"),
    ],
)
def test_the_c_library_is_compared_with_what_the_wheels_ask_for(found: str, good: bool, what: str) -> None:
    finding = judge_libc(found, CUDA_12_8)
    assert (finding.good, finding.blocking) == (good, not good)
    assert finding.what.startswith(what)


def test_memory_is_compared_with_the_largest_model() -> None:
    assert not judge_memory(16_000_000_000, 8, CUDA_12_8).good  # 16 GB of weights and the programs
    assert judge_memory(24_000_000_000, 8, CUDA_12_8).good
    assert judge_memory(9_000_000_000, 8, None).good


# --- disks --------------------------------------------------------------------------------------


def test_what_lies_on_one_file_system_is_added_up(tmp_path: Path) -> None:
    wishes = [
        Wish("room for software", tmp_path / "opt/islet", 6_000, must=True),
        Wish("room for runs", tmp_path / "var/islet", 5_000, must=False),
    ]
    (finding,) = look_at_room(wishes)
    assert finding.facts["needed_bytes"] == 11_000
    short, none = judge_room(wishes, 10_999), judge_room(wishes, 5_999)
    assert (short.good, short.blocking) == (False, False)
    assert (none.good, none.blocking) == (False, True)
    assert "6.0 kB at" in short.why and "5.0 kB at" in short.why
    assert judge_room(wishes, 11_000).good
    assert nearest(tmp_path / "opt/islet") == tmp_path


def test_room_that_an_installation_has_taken_already_is_not_asked_for_twice(
    shop: Workshop, tmp_path: Path
) -> None:
    shop.release(disk_bytes=100_000_000)
    release = parse_release((shop.bundle / "RELEASE").read_bytes())
    contents = parse_contents((shop.bundle / "contents.json").read_bytes())
    site = Site(tmp_path / "opt", tmp_path / "state")
    begun = tmp_path / "begun"
    (begun / "runtime").mkdir(parents=True)
    (begun / "runtime/file").write_bytes(b"x" * 40_960_000)
    asked = [
        look_before(site, release, contents, folders)[0].facts["must_bytes"] for folders in ([], [begun])
    ]
    assert asked[0] == 100_000_000 and 58_000_000 < int(asked[1]) < 60_000_000


def test_places_on_two_file_systems_are_judged_apart(tmp_path: Path) -> None:
    if SHARED_MEMORY.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("one file system only")
    wishes = [
        Wish("room for software", tmp_path, 1, must=True),
        Wish("room for runs", SHARED_MEMORY, 2, must=True),
    ]
    assert [finding.facts["needed_bytes"] for finding in look_at_room(wishes)] == [1, 2]


def test_an_ordinary_folder_may_run_programs(tmp_path: Path) -> None:
    (finding,) = look_at_mounts(tmp_path / "opt", tmp_path / "state")
    assert finding.good


# --- clock, groups, SELinux, ports --------------------------------------------------------------


def test_a_clock_before_the_newest_signed_date_is_wrong(tmp_path: Path) -> None:
    newest = "2026-11-01T00:00:00Z"
    rtc = tmp_path / "rtc"
    rtc.write_text("1793491200\n")  # 2026-11-01T00:00:00Z
    assert [each.good for each in look_at_clock(newest, "2026-11-21T08:00:00Z", rtc)] == [True]
    assert [each.good for each in look_at_clock(newest, "2019-01-01T00:00:00Z", rtc)] == [False]
    rtc.write_text("946684800\n")
    clock, hardware = look_at_clock(newest, "2026-11-21T08:00:00Z", rtc)
    assert (clock.good, hardware.good, hardware.what) == (True, False, "2000-01-01T00:00:00Z")
    assert [each.good for each in look_at_clock(newest, "2026-11-21T08:00:00Z", tmp_path / "none")] == [True]


def test_roles_are_groups_and_a_missing_one_is_named() -> None:
    assert look_at_groups(("no-such-group-1", "no-such-group-2")).good
    found = look_at_groups(("root", "no-such-group"))
    assert (found.good, found.why) == (False, "these are missing: no-such-group")


def test_a_supervisor_that_is_set_up_and_not_at_work_is_told(tmp_path: Path) -> None:
    assert look_at_systemd(tmp_path / "none", tmp_path).good
    assert look_at_systemd(tmp_path, tmp_path).what.startswith("systemd runs here; no supervisor")
    (tmp_path / "islet.service").touch()
    found = look_at_systemd(tmp_path, tmp_path)
    assert found.good == found.facts["supervisor"]
    assert found.good or "systemctl restart islet" in found.next_step


def test_selinux_is_silent_where_it_does_not_enforce(tmp_path: Path) -> None:
    (tmp_path / "enforce").write_text("0")
    assert look_at_selinux(tmp_path, tmp_path / "enforce") == []
    assert look_at_selinux(tmp_path, tmp_path / "none") == []


@pytest.mark.parametrize(
    ("address", "good", "listens"),
    [("0100007F:2CAA", True, True), ("00000000:2CAA", False, True), ("00000000:1F90", True, False)],
)
def test_a_model_server_that_others_can_reach_is_told(
    address: str, good: bool, listens: bool, tmp_path: Path
) -> None:
    line = f"   0: {address} 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 0\n"
    (tmp_path / "tcp").write_text("  sl  local_address rem_address   st\n" + line)
    found = look_at_ports(tmp_path)
    assert (found.good, found.facts["ollama"]) == (good, listens)


# --- all of it ----------------------------------------------------------------------------------


def test_every_finding_can_be_read_by_scripts_and_said_in_chinese(tmp_path: Path) -> None:
    (tmp_path / "state/runs").mkdir(parents=True)
    (tmp_path / "opt").mkdir()
    found = look_at_box(Site(tmp_path / "opt", tmp_path / "state"))
    assert len({finding.code for finding in found}) >= 11
    chinese = catalogue("zh_CN")
    for finding in found:
        assert finding.code and finding.why or finding.good
        assert json.loads(json.dumps(dict(finding.facts))) == finding.facts
        assert any("\u4e00" <= char <= "\u9fff" for char in chinese.say(finding.name)), finding.name
    assert {"disk.room", "memory", "gpu.driver", "clock", "rights"} <= {
        each.code for each in found if is_brief(each)
    }
    assert all(is_brief(replace(finding, good=False)) for finding in found)


# --- before an installation ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return make_workshop(tmp_path_factory.mktemp("preflight") / "shop")


def papers(shop: Workshop, place: Path, **changes: object) -> list[str]:
    """What `install.sh --check` hands on, of a release with these fields changed."""
    shop.release(**changes)
    return [
        str(path)
        for path in (place / "opt", place / "state", shop.bundle / "RELEASE", shop.bundle / "contents.json")
    ]


def test_the_look_before_an_installation_tells_all_and_ends_well(
    shop: Workshop, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(papers(shop, tmp_path)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith(("good   ", "WRONG  ")) for line in lines) >= 11
    assert any(line.startswith("good   room on the disk: ") for line in lines)
    assert list(tmp_path.iterdir()) == []


def test_a_box_that_nothing_can_be_installed_on_is_told_all_the_same(
    shop: Workshop, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = 10**15
    arguments = papers(shop, tmp_path, disk_bytes=needed - 1)
    assert main(arguments) == 5
    out = capsys.readouterr().out
    assert "WRONG  room on the disk: " in out and "1000.0 TB at" in out
    assert "next: Free space there, or move the folder to a larger disk." in out and "network: " in out
    site, bundle = Site(tmp_path / "opt", tmp_path / "state"), shop.bundle
    release = parse_release((bundle / "RELEASE").read_bytes())
    with pytest.raises(HostNotReady, match="This box is not ready: .* free at"):
        check_box(site, release, parse_contents((bundle / "contents.json").read_bytes()), [])
    assert "WRONG  room on the disk" in capsys.readouterr().err
    monkeypatch.setenv("ISLET_LANG", "zh_CN")
    main(arguments)
    assert "异常  磁盘空间" in capsys.readouterr().out
