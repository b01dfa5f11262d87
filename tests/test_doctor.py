"""The doctor: what time and people did to an installed site is found, named, and mended from the medium."""

import getpass
import hashlib
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from appliance.bundle.contents import format_contents, parse_contents
from appliance.bundle.medium import Medium
from appliance.bundle.sums import parse_sums
from appliance.doctor.examine import examine
from appliance.doctor.stored import look_at_files
from appliance.doctor.support import support_text, write_support
from appliance.errors import BadInput, DamagedBundle
from appliance.progress import Silent
from appliance.run.events import EventLog
from appliance.run.folder import RunFolder
from appliance.sentence import say, to_document
from appliance.site import audit
from appliance.site.damage import mend_links
from appliance.site.health.finding import Finding
from appliance.site.layout import RUNTIME_SUMS, Site
from appliance.site.marks import RUNTIME_MARK, STORE_MARK, is_marked
from appliance.site.rehash import Item, Round, file_sha256, rehash
from appliance.site.releases import current_release, installed_releases
from appliance.site.runtime_sums import read_runtime_sums, record_runtime
from appliance.site.store import fill_store, link_release
from tests.bundles import Workshop, make_workshop
from tests.runs import make_run


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return make_workshop(tmp_path_factory.mktemp("doctor") / "shop")


@pytest.fixture
def site(shop: Workshop, tmp_path: Path) -> Site:
    """Two releases of the same files with a small runtime each, the second in use."""
    site = Site(tmp_path / "opt", tmp_path / "state")
    contents = parse_contents((shop.bundle / "contents.json").read_bytes())
    hashes = parse_sums((shop.bundle / "SHA256SUMS").read_bytes())
    quarantine = tmp_path / "quarantine"
    quarantine.mkdir()
    site.runs.mkdir(parents=True)
    for number in (1, 2):
        fill_store(site, Medium(shop.bundle), contents, hashes, quarantine, Silent())
        folder = site.release(number)
        folder.mkdir(parents=True)
        link_release(site, contents, folder)
        (folder / "contents.json").write_bytes(format_contents(contents))
        make_runtime(folder / "runtime")
        record_runtime(folder, Silent())
        facts = {"number": number, "product": "islet-test", "created": "2026-11-01T00:00:00Z"}
        sums = str(number) * 64
        (folder / "installed.json").write_text(json.dumps(facts | {"sums-sha256": sums}))
        runtime_sums = file_sha256(folder / RUNTIME_SUMS)[0]
        audit.append(site.audit, "install", sums_sha256=sums, runtime_sums_sha256=runtime_sums)
    site.current.symlink_to("releases/2")
    return site


def make_runtime(folder: Path) -> None:
    (folder / "bin").mkdir(parents=True)
    (folder / "bin/python3.12").write_bytes(b"\x7fELF" + bytes(5000))
    (folder / "bin/python").symlink_to("python3.12")
    (folder / "lib/__pycache__").mkdir(parents=True)
    (folder / "lib/engine.py").write_text("steps = 2\n")
    (folder / "lib/__pycache__/engine.cpython-312.pyc").write_bytes(b"compiled")
    (folder / "lib/a back\\slash 中文.txt").write_text("named oddly\n")


def flip(path: Path, at: int = 0) -> None:
    """Another bit in a file that nobody may write, its time kept as it was."""
    times, data = path.stat(), bytearray(path.read_bytes())
    data[at] ^= 4
    path.chmod(0o644)
    path.write_bytes(data)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def by_code(found: list[Finding]) -> dict[str, Finding]:
    return {f"{finding.code} {finding.facts.get('release', '')}".strip(): finding for finding in found}


# --- the store and the runtimes -----------------------------------------------------------------


def test_what_was_installed_is_found_whole_and_a_hash_of_every_file_was_made(site: Site) -> None:
    found = by_code(look_at_files(site, Silent(), "ordinary"))
    assert set(found) == {"files.store", "files.runtime 1", "files.runtime 2"}
    assert all(finding.good for finding in found.values())
    assert found["files.store"].what == "4 files have the hashes that were signed (2.5 MB)"
    assert found["files.runtime 2"].facts["files"] == 4


@pytest.mark.parametrize("how", ["ordinary", "full"])
def test_a_flipped_bit_in_the_store_is_found_with_releases_and_way_out(site: Site, how: str) -> None:
    flip(site.release(1) / "models/islet/tiny/model.safetensors", at=1_234_567)
    found = by_code(look_at_files(site, Silent(), how))["files.store"]
    assert (found.good, found.what) == (False, "damaged: models/islet/tiny/model.safetensors")
    assert found.why == "release 1, 2 uses them; they are not what was installed"
    assert found.next_step == (
        "Run install.sh with the medium of release 1, 2: only what is damaged is copied again."
    )
    assert [is_marked(site.release(n), STORE_MARK) for n in (1, 2)] == [True, True]
    assert not is_marked(site.release(2), RUNTIME_MARK)


def test_a_quick_look_finds_what_is_gone_or_cut_and_says_that_it_hashed_nothing(site: Site) -> None:
    flip(site.release(2) / "models/islet/tiny/model.safetensors")
    found = by_code(look_at_files(site, Silent(), "quick"))
    assert found["files.store"].good and found["files.store"].what.endswith("none was hashed")
    stored = (site.release(2) / "models/islet/tiny/config.json").stat()
    entry = next(
        path for path in site.store.rglob("*") if path.is_file() and path.stat().st_ino == stored.st_ino
    )
    entry.unlink()
    found = by_code(look_at_files(site, Silent(), "quick"))
    assert found["files.store"].what == "damaged: models/islet/tiny/config.json"


def test_a_name_of_a_release_that_is_not_the_stores_file_is_hashed_itself(site: Site) -> None:
    path = site.release(1) / "tools/llama.cpp/convert_hf_to_gguf.py"
    path.unlink()
    path.write_bytes(b"x" * 512)
    found = by_code(look_at_files(site, Silent(), "ordinary"))["files.store"]
    assert found.what == "damaged: tools/llama.cpp/convert_hf_to_gguf.py"
    mend_links(site)
    assert path.samefile(site.stored(hashlib.sha256(path.read_bytes()).hexdigest()))
    assert by_code(look_at_files(site, Silent(), "ordinary"))["files.store"].good


CHANGES = {
    "a changed byte": (lambda lib: flip(lib / "engine.py"), "damaged: runtime/lib/engine.py"),
    "a file that is gone": (lambda lib: (lib / "engine.py").unlink(), "damaged: runtime/lib/engine.py"),
    "a file in another's place": (
        lambda lib: ((lib / "engine.py").unlink(), (lib / "engine.py").mkdir()),
        "damaged: runtime/lib/engine.py",
    ),
    "a file that nobody brought": (
        lambda lib: (lib / "sitecustomize.py").write_text("import os\n"),
        "not of this release: runtime/lib/sitecustomize.py",
    ),
    "a changed compiled module": (
        lambda lib: flip(lib / "__pycache__/engine.cpython-312.pyc"),
        "damaged: runtime/lib/__pycache__/engine.cpython-312.pyc",
    ),
    "a link that says something else": (
        lambda lib: ((lib.parent / "bin/python").unlink(), (lib.parent / "bin/python").symlink_to("/bin/sh")),
        "not of this release: runtime/bin/python",
    ),
    "a link where a file was": (
        lambda lib: ((lib / "engine.py").unlink(), (lib / "engine.py").symlink_to("/etc/hostname")),
        "damaged: runtime/lib/engine.py; not of this release: runtime/lib/engine.py",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_runtime_is_found(change: str, site: Site) -> None:
    spoil, what = CHANGES[change]
    spoil(site.release(2) / "runtime/lib")
    found = by_code(look_at_files(site, Silent(), "ordinary"))
    assert (found["files.runtime 2"].good, found["files.runtime 2"].what) == (False, what)
    assert "the runtime is made anew" in found["files.runtime 2"].next_step
    assert is_marked(site.release(2), RUNTIME_MARK) and not is_marked(site.release(1), RUNTIME_MARK)
    assert found["files.runtime 1"].good and found["files.store"].good


@pytest.mark.parametrize("rubbish", [b"rubbish\n", None], ids=["rubbish", "nothing"])
def test_a_runtime_whose_list_cannot_be_read_is_not_said_to_be_sound(
    site: Site, rubbish: bytes | None
) -> None:
    path = site.release(2) / "runtime.sums"
    path.unlink()
    if rubbish is not None:
        path.write_bytes(rubbish)
    found = by_code(look_at_files(site, Silent(), "quick"))
    assert found["files.runtime 1"].good and found["files.store"].good
    assert (found["files.runtime 2"].good, found["files.runtime 2"].what) == (False, "damaged: runtime.sums")
    assert is_marked(site.release(2), RUNTIME_MARK)


def test_a_module_that_was_compiled_later_is_no_damage(site: Site) -> None:
    (site.release(2) / "runtime/lib/__pycache__/other.cpython-312.pyc").write_bytes(b"compiled later")
    assert all(finding.good for finding in look_at_files(site, Silent(), "ordinary"))


def test_the_list_of_the_runtime_is_checked_by_sha256sum_too(site: Site) -> None:
    check = ["sha256sum", "-c", "--strict", "--quiet", RUNTIME_SUMS]
    assert subprocess.run(check, cwd=site.release(2)).returncode == 0
    flip(site.release(2) / "runtime/lib/engine.py")
    done = subprocess.run(check, cwd=site.release(2), capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "runtime/lib/engine.py: FAILED\n")
    assert read_runtime_sums(site.release(2)).links == {"runtime/bin/python": "python3.12"}


def test_who_may_not_write_to_the_software_is_told_who_must(site: Site) -> None:
    flip(site.release(2) / "runtime/lib/engine.py")
    (site.release(2) / RUNTIME_MARK).mkdir()  # nothing can be written there, whoever tries
    found = by_code(look_at_files(site, Silent(), "ordinary"))["files.runtime 2"]
    assert found.next_step.startswith("As the account that installed Islet here, run islet doctor again")


# --- hashing again ------------------------------------------------------------------------------


def make_items(folder: Path, count: int = 8) -> list[Item]:
    items = []
    for number in range(count):
        path = folder / f"file-{number}"
        path.write_bytes(bytes([number]) * (1000 * number))
        items.append(
            Item(path.name, path, hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_size)
        )
    return items


class Cut(Exception):
    """The plug."""


def cut_after(count: int) -> object:
    left = [count]

    def advance(amount: int) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise Cut

    return advance


def test_a_round_that_was_cut_off_goes_on_where_it_was(tmp_path: Path) -> None:
    items = make_items(tmp_path)
    with pytest.raises(Cut):
        rehash(items, Round(tmp_path / "state/round", items), cut_after(5))  # type: ignore[arg-type]
    again = Round(tmp_path / "state/round", items)
    assert len(again.good) == 6
    found = rehash(items, again)
    assert (found.remembered, found.damaged, found.missing) == (6, (), ())
    assert found.hashed_bytes == sum(sorted(item.size for item in items)[:2])
    assert not (tmp_path / "state/round").exists()


def test_a_round_begins_anew_when_asked_when_old_and_when_other_files_are_meant(tmp_path: Path) -> None:
    items, path = make_items(tmp_path), tmp_path / "round"
    with pytest.raises(Cut):
        rehash(items, Round(path, items), cut_after(5))  # type: ignore[arg-type]
    kept = path.read_text()
    assert Round(path, items, anew=True).good == set()
    path.write_text(kept)
    assert Round(path, items[1:]).good == set()
    path.write_text(re.sub(r" \d+\n", f" {int(time.time()) - 8 * 24 * 3600}\n", kept, count=1))
    assert Round(path, items).good == set()
    path.write_text(kept + "3")  # torn
    assert 3 not in Round(path, items).good or "3\n" in kept
    path.write_bytes(b"\xff\xfe nonsense")
    assert Round(path, items).good == set()


def test_a_round_that_was_through_is_not_believed_by_the_next(tmp_path: Path) -> None:
    items = make_items(tmp_path)
    content = items[4].path.read_bytes()
    items[4].path.write_bytes(content[:-1] + b"!")
    found = rehash(items, Round(tmp_path / "round", items))
    assert [item.name for item in found.damaged] == ["file-4"]
    items[4].path.write_bytes(content)
    items[5].path.write_bytes(b"spoiled since")
    found = rehash(items, Round(tmp_path / "round", items))
    assert (found.remembered, [item.name for item in found.damaged]) == (0, ["file-5"])


def test_a_folder_where_nothing_can_be_remembered_is_no_hindrance(tmp_path: Path) -> None:
    items = make_items(tmp_path)
    (tmp_path / "state").write_text("a file, where a folder should be")
    found = rehash(items, Round(tmp_path / "state/round", items))
    assert (found.damaged, found.missing) == ((), ())


def test_links_pipes_and_folders_are_not_read(tmp_path: Path) -> None:
    items = make_items(tmp_path, 4)
    items[1].path.unlink()
    items[1].path.symlink_to(items[2].path)
    items[2].path.unlink()
    os.mkfifo(items[2].path)
    items[3].path.unlink()
    found = rehash(items, Round(None, items))
    assert sorted(item.name for item in found.damaged) == ["file-1", "file-2"]
    assert [item.name for item in found.missing] == ["file-3"]


def test_a_hash_read_from_the_disk_is_that_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(os.urandom(3_000_001))
    wanted = (hashlib.sha256(path.read_bytes()).hexdigest(), 3_000_001)
    assert file_sha256(path) == file_sha256(path, from_disk=True) == wanted


POLITE = """
import os, threading
from appliance.site.rehash import be_polite
found = []
def work():
    be_polite()
    found.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
thread = threading.Thread(target=work)
thread.start()
thread.join()
print(found[0], os.getpriority(os.PRIO_PROCESS, 0))
"""


def test_only_the_threads_that_hash_step_back() -> None:
    done = subprocess.run([sys.executable, "-c", POLITE], capture_output=True, text=True, check=True)
    hashing, others = map(int, done.stdout.split())
    assert hashing == 19
    assert others == os.getpriority(os.PRIO_PROCESS, 0)


# --- all of it ----------------------------------------------------------------------------------


def test_a_check_that_cannot_be_made_is_a_finding_and_the_others_are_made(site: Site) -> None:
    (site.release(2) / "contents.json").unlink()
    found = {finding.code: finding for finding in examine(site, Silent(), "quick")}
    assert not found["files"].good
    assert "contents.json" in found["files"].why and found["files"].next_step
    assert found["memory"].code and found["audit"].good
    assert not found["imports"].good
    assert "training" not in found


NOT_WHOLE = (
    b"",
    b"[]",
    b"{}",
    b'{"number": 1',
    b'{"number": 1, "product": 7, "created": "", "sums-sha256": ""}',
)


@pytest.mark.parametrize("content", NOT_WHOLE)
def test_what_vouches_for_a_release_and_was_spoiled_is_a_finding(site: Site, content: bytes) -> None:
    (site.release(1) / "installed.json").write_bytes(content)
    found = {finding.code: finding for finding in examine(site, Silent(), "quick")}
    assert found["files"].what == f"{site.release(1)}/installed.json is damaged on this box."
    assert found["files"].next_step == "When no training runs, run install.sh with the medium of release 1."
    assert current_release(site).number == 2
    with pytest.raises(DamagedBundle):
        installed_releases(site)


def test_a_spoiled_memory_of_releases_is_a_finding(site: Site) -> None:
    (site.prefix / "trust").mkdir()
    (site.prefix / "trust/state").write_bytes(b"number: 7")
    found = {finding.code: finding for finding in examine(site, Silent(), "quick")}
    assert (found["trust"].good, found["files.store"].good) == (False, True)
    assert found["trust"].what == "This site's memory of its releases is damaged."


def test_a_log_that_does_not_tell_of_what_is_installed_is_a_finding(site: Site) -> None:
    for file in site.state.glob("*audit*"):
        file.unlink()
    audit.append(site.audit, "train", run="r")
    found = {finding.code: finding for finding in examine(site, Silent(), "quick")}
    assert found["audit"].what == "The audit log does not tell of what is installed."
    assert found["audit"].why == "release 2 is in use, and no entry tells of its coming"


def test_a_list_of_the_runtime_that_was_written_anew_is_found_by_the_log(site: Site) -> None:
    (site.release(1) / "runtime/lib/engine.py").write_text("steps = 3\n")
    record_runtime(site.release(1), Silent())
    found = {finding.code: finding for finding in examine(site, Silent(), "ordinary")}
    assert found["files.runtime"].good
    assert found["audit"].why == "runtime.sums of release 1 is not the one that it names"


# --- the support file ---------------------------------------------------------------------------

CANARIES = ("张伟", "110101199003074514", "zhangwei", "13800138000", "cardiology-zhangwei", "geheim.csv")


@pytest.fixture
def private(site: Site) -> Site:
    """A site into which private words were put wherever a site has words of its own."""
    run = make_run(site.runs)
    renamed = RunFolder(run.root.rename(site.runs / "2026-11-21-cardiology-zhangwei-a1b2"))
    log = EventLog(renamed.events)
    log.append("state", state="training", pid=4711, note="张伟")
    log.append("progress", step=1, steps=2, loss=0.5, patient="110101199003074514")
    file = say("{path} could not be written.", path="/home/zhangwei/geheim.csv")
    log.append("warning", what=to_document(file), why="张伟 110101199003074514")
    log.append(
        "failed",
        what=to_document(say("{file} is not a table", file="geheim.csv")),
        why="13800138000",
        next_step="",
        exit_code=6,
    )
    log.append("zhangwei 13800138000", step=1)
    log.close()
    audit.append(site.audit, "train", run=renamed.root.name, who="zhangwei")
    (site.state / "logs").mkdir()
    trace = 'File "/home/zhangwei/site-packages/appliance/cli.py", line 7, in main\n    x = "张伟"\n'
    own = '  File "/home/zhangwei/geheim.csv", line 9, in 张伟\n'
    (site.state / "logs/islet-20261121T080000Z-x.log").write_text(
        f"head zhangwei\n  {trace}{own}builtins.ValueError: 13800138000\ntorch.OutOfMemoryError: 张伟\n"
    )
    return site


def test_the_support_file_has_no_private_word(private: Site) -> None:
    finding = Finding(
        say("runtime of release {number}", number=1),
        False,
        say("damaged: {files}", files="models/zhangwei/张伟.safetensors"),
        "张伟 13800138000",
        "Restart the box.",
        code="files.store",
        facts={"files": 3, "card": "张伟", "secret": "zhangwei", "uid": 13800138000},
    )
    text = support_text(private, [*examine(private, Silent(), "quick"), finding])
    for canary in (*CANARIES, str(private.prefix), os.uname().nodename, f'"{getpass.getuser()}"'):
        assert canary not in text, canary


def test_the_support_file_says_what_helps(private: Site) -> None:
    found = examine(private, Silent(), "quick")
    text = support_text(private, found)
    parts = dict(re.findall(r"==== (\w+) ====\n\n(.*?)(?=\n====|\Z)", text, re.DOTALL))
    read = {name: json.loads(part) for name, part in parts.items()}
    assert set(read) == {"versions", "findings", "runs", "audit", "traces"}
    assert read["versions"]["releases"][1]["number"] == 2
    memory = next(each for each in read["findings"] if each["code"] == "memory")
    assert memory["facts"]["cores"] == len(os.sched_getaffinity(0))
    assert memory["what"]["say"] == "{total} of memory, {cores} cores"
    (run,) = read["runs"]
    events = {event["kind"]: event for event in run["events"]}
    assert (events["progress"]["step"], events["progress"]["loss"]) == (1, 0.5)
    assert events["warning"]["what"]["say"] == "{path} could not be written."
    assert re.fullmatch(r"#[0-9a-f]{8}", events["warning"]["what"]["with"]["path"])
    assert events["failed"]["exit_code"] == 6
    assert read["audit"]["entries"] == {"install": 2, "train": 1}
    assert read["traces"][0][0] == "appliance/cli.py:7 main"
    assert read["traces"][0][-2:] == ["builtins.ValueError", "torch.OutOfMemoryError"]


def test_the_first_page_says_in_both_languages_what_is_inside(private: Site) -> None:
    found = [Finding("GPU", True, "no driver found: training runs on the processor", code="gpu.driver")]
    page = support_text(private, found).split("\n==== versions")[0]
    assert page.startswith("ISLET SUPPORT FILE\n")
    assert "findings   1 results of `islet doctor`" in page and "的 1 项结果" in page
    assert "runs       1 training runs" in page and "runs       1 个训练任务" in page
    assert "{" not in page


def test_the_support_file_takes_nothing_from_elsewhere_by_links_and_pipes(
    private: Site, tmp_path: Path
) -> None:
    logs = private.state / "logs"
    logs.mkdir(exist_ok=True)
    (tmp_path / "elsewhere").write_text("a\nzhangwei\n")
    (logs / "islet-20991121T000000Z-a.log").symlink_to(tmp_path / "elsewhere")
    os.mkfifo(logs / "islet-20991121T000000Z-b.log")
    assert "zhangwei" not in support_text(private, [])


def test_marks_of_two_files_cannot_be_compared(private: Site) -> None:
    first, second = (set(re.findall(r'"run": "(#\w+)"', support_text(private, []))) for _ in range(2))
    assert len(first) == 1 and first != second


def test_a_support_file_is_for_its_maker_alone_and_overwrites_nothing(private: Site, tmp_path: Path) -> None:
    path = tmp_path / "support.txt"
    write_support(private, [], path)
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(BadInput, match=r"support\.txt could not be written"):
        write_support(private, [], path)
