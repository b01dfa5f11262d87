"""Backups of data, runs and the audit log: what is in them, what is refused; nothing is overwritten."""

import hashlib
import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from appliance.errors import ApplianceError, BadInput, DamagedBundle, HostNotReady
from appliance.progress import Silent
from appliance.run.lock import worker_lock
from appliance.site import audit
from appliance.site.backup import Made, make_backup
from appliance.site.layout import Site
from appliance.site.restore import Restoration, plan_restoration, restore
from appliance.site.state_format import migrate

ROWS = '{"question": "头孢过敏?"}\n'.encode()


def make_site(folder: Path) -> Site:
    """A site with a release in use and an empty state."""
    site = Site(folder / "opt", folder / "state")
    release = site.release(3)
    release.mkdir(parents=True)
    facts = {"number": 3, "product": "islet-test", "created": "2026-11-01T00:00:00Z", "sums-sha256": "0" * 64}
    (release / "installed.json").write_text(json.dumps(facts))
    site.current.symlink_to("releases/3")
    site.state.mkdir()
    migrate(site.state)
    return site


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A site with two runs, one that is at work now and then, data in Chinese, and an audit log."""
    made = make_site(tmp_path / "old")
    for name in ("2026-11-01-a-0000", "2026-11-02-b-1111"):
        run = made.runs / name
        (run / "checkpoints/10").mkdir(parents=True)
        (run / "checkpoints/10/adapter.safetensors").write_bytes(bytes(range(256)) * 400)
        (run / "plan.toml").write_text(f'name = "{name}"\n')
        (run / "base").write_text("/opt/islet/releases/1/models/x\n")
        (run / "empty").mkdir()
        run.chmod(0o750)
    (made.state / "datasets/护理 问答.jsonl").write_bytes(ROWS)
    (made.state / "datasets/护理 问答.jsonl").chmod(0o640)
    (made.state / "exports/run.sh").write_text("#!/bin/sh\n")
    (made.state / "exports/run.sh").chmod(0o755)
    audit.append(made.audit, "install", number=3)
    return made


def back_up(site: Site, folder: Path) -> Made:
    return make_backup(site, folder, Silent())


def put_back(site: Site, folder: Path) -> Restoration:
    plan = plan_restoration(site, folder, Silent())
    restore(site, folder, plan, Silent())
    return plan


def tree(state: Path) -> dict[str, tuple[int, bytes]]:
    """Path to mode and bytes of data and runs; an empty folder has none."""
    return {
        str(path.relative_to(state)): (
            stat.S_IMODE(path.stat().st_mode),
            path.read_bytes() if path.is_file() else b"",
        )
        for part in ("datasets", "runs", "exports")
        for path in sorted((state / part).rglob("*"))
    }


def test_a_backup_restored_on_another_box_gives_the_same_data_and_runs(site: Site, tmp_path: Path) -> None:
    made = back_up(site, tmp_path / "disk")
    other = make_site(tmp_path / "new 新")
    audit.append(other.audit, "install", number=3)
    plan = put_back(other, tmp_path / "disk")
    assert tree(other.state) == tree(site.state)
    assert (made.skipped, plan.sha256) == ((), made.sha256)
    assert made.sha256 == hashlib.sha256((tmp_path / "disk/backup.json").read_bytes()).hexdigest()
    events = [json.loads(line)["event"] for line in other.audit.read_text().splitlines()]
    assert events == ["install", "restore"]
    kept = list(other.state.glob("audit-restored-*-audit.jsonl"))
    assert len(kept) == 1
    assert site.audit.read_bytes().startswith(kept[0].read_bytes())
    assert [json.loads(line)["event"] for line in kept[0].read_text().splitlines()] == ["install", "backup"]


def test_stock_tools_check_a_backup(site: Site, tmp_path: Path) -> None:
    back_up(site, tmp_path / "disk")
    checked = subprocess.run(["sha256sum", "-c", "--strict", "backup.json.sha256"], cwd=tmp_path / "disk")
    assert checked.returncode == 0
    for file in (tmp_path / "disk/files").iterdir():
        assert hashlib.sha256(file.read_bytes()).hexdigest() == file.name
    # The two runs hold the same adapter: it is there once.
    assert len(list((tmp_path / "disk/files").iterdir())) < sum(
        1 for p in site.state.rglob("*") if p.is_file()
    )


def test_the_private_key_of_the_audit_log_is_in_no_backup(site: Site, tmp_path: Path) -> None:
    (site.state / "audit.key").write_bytes(b"SECRET KEY")
    back_up(site, tmp_path / "disk")
    assert all(b"SECRET KEY" not in path.read_bytes() for path in (tmp_path / "disk/files").iterdir())
    assert b"audit.key" not in (tmp_path / "disk/backup.json").read_bytes()


@pytest.mark.parametrize("lock", ["worker.lock", "jobs/export.lock"])
def test_a_run_at_work_is_left_out_whole_and_named(site: Site, tmp_path: Path, lock: str) -> None:
    (site.runs / "2026-11-02-b-1111/jobs").mkdir()
    with worker_lock(site.runs / "2026-11-02-b-1111" / lock):
        made = back_up(site, tmp_path / "disk")
    assert made.skipped == ("runs/2026-11-02-b-1111",)
    other = make_site(tmp_path / "new")
    plan = put_back(other, tmp_path / "disk")
    assert plan.backup.skipped == made.skipped
    assert [path.name for path in other.runs.iterdir()] == ["2026-11-01-a-0000"]


def test_what_is_no_plain_file_is_named_and_not_followed(site: Site, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("elsewhere")
    (site.state / "exports/link").symlink_to(tmp_path / "secret")
    os.mkfifo(site.state / "exports/pipe")
    made = back_up(site, tmp_path / "disk")
    assert made.skipped == ("exports/link", "exports/pipe")
    assert all(b"elsewhere" not in path.read_bytes() for path in (tmp_path / "disk/files").iterdir())


def test_a_backup_goes_only_where_nothing_is(site: Site, tmp_path: Path) -> None:
    back_up(site, tmp_path / "disk")
    (tmp_path / "file").write_text("")
    for folder, why in (
        (tmp_path / "disk", "something lies in it already"),
        (tmp_path / "file", "it is not a folder"),
        (site.state / "here", "it lies in what is backed up"),
        (site.prefix / "here", "it lies in what is backed up"),
    ):
        with pytest.raises(BadInput) as caught:
            back_up(site, folder)
        assert caught.value.why == why


@pytest.mark.parametrize("name", [".backup.json.sha256.99999999.part", "backup.json.sha256"])
def test_a_backup_that_was_cut_off_is_none_and_can_be_made_again(
    site: Site, tmp_path: Path, name: str
) -> None:
    disk = tmp_path / "disk"
    (disk / "files").mkdir(parents=True)
    (disk / "files/.part").write_bytes(b"half")
    (disk / "files" / ("0" * 64)).write_bytes(b"a row that is gone by now")
    (disk / name).write_bytes(b"half")
    with pytest.raises(BadInput, match="is no whole backup"):
        plan_restoration(site, disk, Silent())
    back_up(site, disk)
    put_back(make_site(tmp_path / "new"), disk)
    assert {path.name for path in disk.iterdir()} == {"files", "backup.json", "backup.json.sha256"}
    listed = {saved["sha256"] for saved in json.loads((disk / "backup.json").read_bytes())["saved"]} - {""}
    assert {path.name for path in (disk / "files").iterdir()} == listed


# --- damaged and hostile backups ----------------------------------------------------------------


@pytest.fixture
def disk(site: Site, tmp_path: Path) -> Path:
    back_up(site, tmp_path / "disk")
    return tmp_path / "disk"


def test_every_damaged_byte_is_found_before_anything_is_written(disk: Path, tmp_path: Path) -> None:
    other = make_site(tmp_path / "new")
    before = tree(other.state)
    tried = 0
    for path in sorted(path for path in disk.rglob("*") if path.is_file()):
        honest = path.read_bytes()
        for at in {0, len(honest) // 2, len(honest) - 1} if honest else ():
            path.write_bytes(honest[:at] + bytes([honest[at] ^ 0x20]) + honest[at + 1 :])
            with pytest.raises(DamagedBundle):
                put_back(other, disk)
            tried += 1
        for changed in (honest[:-1], honest + b"\n"):
            path.write_bytes(changed)
            with pytest.raises(DamagedBundle):
                put_back(other, disk)
            tried += 1
        path.unlink()
        with pytest.raises((DamagedBundle, BadInput)):
            put_back(other, disk)
        path.write_bytes(honest)
    assert tried > 30 and tree(other.state) == before
    put_back(other, disk)


def relist(disk: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """What whoever holds the medium can do: a list that says something else, with its hash."""
    document = json.loads((disk / "backup.json").read_text())
    change(document)
    data = json.dumps(document).encode()
    (disk / "backup.json").write_bytes(data)
    (disk / "backup.json.sha256").write_text(f"{hashlib.sha256(data).hexdigest()}  backup.json\n")


HOSTILE: dict[str, Callable[[dict[str, Any]], object]] = {
    "a path that leaves the state": lambda d: d["saved"][-1].update(path="../../outside"),
    "a path that leaves it in the middle": lambda d: d["saved"][-1].update(path="runs/../../outside"),
    "an absolute path": lambda d: d["saved"][-1].update(path="/outside"),
    "an empty path": lambda d: d["saved"][-1].update(path=""),
    "a path with NUL": lambda d: d["saved"][-1].update(path="runs/a\0b"),
    "a path twice": lambda d: d["saved"].append(d["saved"][-1]),
    "a hash that is a path": lambda d: d["saved"][-1].update(sha256="../../outside"),
    "a setuid bit": lambda d: d["saved"][-1].update(mode=0o4755),
    "a negative size": lambda d: d["saved"][-1].update(size=-1),
    "a size that is a boolean": lambda d: d["saved"][-1].update(size=True),
    "an unknown field": lambda d: d.update(extra=1),
    "a field of a file too many": lambda d: d["saved"][-1].update(extra=1),
    "a missing field": lambda d: d.pop("product"),
    "another format": lambda d: d.update(format="islet-backup-9"),
    "files that are no list": lambda d: d.update(saved={}),
    "a date that is none": lambda d: d.update(created="../../x"),
    "a size that is not that of the bytes": lambda d: d["saved"][-1].update(size=99),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_list_writes_nothing(name: str, disk: Path, tmp_path: Path) -> None:
    other = make_site(tmp_path / "new")
    relist(disk, HOSTILE[name])
    outside = set(tmp_path.rglob("*"))
    with pytest.raises(DamagedBundle) as caught:
        put_back(other, disk)
    assert caught.value.why
    assert set(tmp_path.rglob("*")) == outside


def test_a_file_of_the_backup_that_is_a_link_or_a_pipe_is_refused(disk: Path, tmp_path: Path) -> None:
    file = disk / "files" / hashlib.sha256(ROWS).hexdigest()
    file.rename(tmp_path / "aside")
    file.symlink_to(tmp_path / "aside")
    with pytest.raises(DamagedBundle):
        put_back(make_site(tmp_path / "new"), disk)
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(DamagedBundle):
        put_back(make_site(tmp_path / "newer"), disk)


def test_a_backup_of_a_newer_form_is_refused(disk: Path, tmp_path: Path) -> None:
    relist(disk, lambda d: d.update(state_format=2))
    with pytest.raises(HostNotReady, match="newer form"):
        put_back(make_site(tmp_path / "new"), disk)


# --- what is here -------------------------------------------------------------------------------


def test_what_is_here_with_other_bytes_is_named_and_nothing_is_written(disk: Path, tmp_path: Path) -> None:
    other = make_site(tmp_path / "new")
    (other.state / "datasets/护理 问答.jsonl").write_bytes(b"ours\n")
    before = tree(other.state)
    with pytest.raises(HostNotReady) as caught:
        put_back(other, disk)
    assert caught.value.why == "not the same here: datasets/护理 问答.jsonl"
    assert tree(other.state) == before


def test_restoring_twice_changes_nothing(disk: Path, site: Site, tmp_path: Path) -> None:
    other = make_site(tmp_path / "new")
    put_back(other, disk)
    before = tree(other.state)
    plan = put_back(other, disk)
    assert ([each.path for each in plan.new], tree(other.state)) == ([], before)


def test_rights_come_back_also_those_that_forbid_writing(site: Site, tmp_path: Path) -> None:
    kept = site.runs / "2026-11-01-a-0000/checkpoints"
    (kept / "10/adapter.safetensors").chmod(0o440)
    (kept / "10").chmod(0o550)
    kept.chmod(0o500)
    back_up(site, tmp_path / "disk")
    other = make_site(tmp_path / "new")
    put_back(other, tmp_path / "disk")
    assert tree(other.state) == tree(site.state)
    for folder in (kept, other.runs / kept.relative_to(site.runs)):
        folder.chmod(0o700)


def test_what_was_lost_here_comes_back_and_the_rest_stays(disk: Path, site: Site) -> None:
    wanted = tree(site.state)
    shutil.rmtree(site.runs / "2026-11-01-a-0000")
    plan = put_back(site, disk)
    assert tree(site.state) == wanted
    assert all(each.path.startswith(("runs/2026-11-01-a-0000", "audit-restored-")) for each in plan.new)


KILLED = """
import os, sys
from pathlib import Path
from appliance.progress import Silent
from appliance.site.layout import Site
from appliance.site.restore import plan_restoration, restore
site, disk, left = Site(Path(sys.argv[1]), Path(sys.argv[2])), Path(sys.argv[3]), int(sys.argv[4])
plan = plan_restoration(site, disk, Silent())
def hook(event, arguments):
    global left
    if event in ("os.link", "os.mkdir", "os.rename", "os.chmod", "open"):
        left -= 1
        if left < 0:
            os._exit(9)
sys.addaudithook(hook)
restore(site, disk, plan, Silent())
"""


@pytest.mark.slow
def test_a_restore_killed_anywhere_is_finished_by_the_same_command(
    disk: Path, site: Site, tmp_path: Path
) -> None:
    killed = 0
    for at in range(0, 400, 12):
        other = make_site(tmp_path / f"new-{at}")
        command = [sys.executable, "-c", KILLED, other.prefix, other.state, disk, str(at)]
        done = subprocess.run(command, capture_output=True)
        if done.returncode == 0:
            break
        assert done.returncode == 9, done.stderr
        killed += 1
        wanted = tree(site.state)
        for run in other.runs.iterdir():  # one that is back is back whole
            start = f"runs/{run.name}/"
            found = {path: facts for path, facts in tree(other.state).items() if path.startswith(start)}
            assert found == {path: facts for path, facts in wanted.items() if path.startswith(start)}, at
        put_back(other, disk)
        assert tree(other.state) == wanted, at
        assert list(other.state.glob(".restore.*")) == []
    assert killed >= 5 and done.returncode == 0


def test_every_refusal_says_why_and_next(disk: Path, tmp_path: Path) -> None:
    shutil.rmtree(disk / "files")
    with pytest.raises(ApplianceError) as caught:
        put_back(make_site(tmp_path / "new"), disk)
    assert caught.value.why and caught.value.next_step


def test_a_place_where_nobody_may_write_is_not_said_to_be_the_prefix(site: Site, tmp_path: Path) -> None:
    def refuse(event: str, arguments: tuple[object, ...]) -> None:
        if refusing and event == "os.mkdir" and str(arguments[0]) == str(tmp_path / "disk 3"):
            raise PermissionError(13, "Permission denied", str(arguments[0]))

    refusing = [True]
    sys.addaudithook(refuse)
    with pytest.raises(HostNotReady) as caught:
        back_up(site, tmp_path / "disk 3")
    refusing.clear()
    assert caught.value.what == f"No backup can be made in {tmp_path}/disk 3."
    assert "Permission denied" in caught.value.why


# --- links that somebody puts in the way --------------------------------------------------------

SWAPPED = """
import os, sys
from pathlib import Path
from appliance.progress import Silent
from appliance.run.removal import finish_removals
from appliance.site.backup import make_backup
from appliance.site.layout import Site
from appliance.site.restore import plan_restoration, restore
site, disk = Site(Path(sys.argv[1]), Path(sys.argv[2])), Path(sys.argv[3])
elsewhere, deed = sys.argv[4:]
run = site.runs / "2026-11-01-a-0000"
def swap(path, target):
    os.rename(path, f"{path}.moved")
    os.symlink(target, path)
def hook(event, arguments):
    global left
    if left and event == left[0] and str(arguments[0]).rpartition("/")[2] == left[1]:
        where, left = left[2:], ()
        swap(*where)
left = ()
sys.addaudithook(hook)
if deed == "restore":
    plan = plan_restoration(site, disk, Silent())
    left = ("os.link", "plan.toml", run, elsewhere)
    restore(site, disk, plan, Silent())
elif deed == "backup":
    left = ("open", "plan.toml", run, elsewhere)
    make_backup(site, disk, Silent())
else:
    run = run.rename(site.runs / ".a.99999999.gone")
    left = ("open", "plan.toml", run / "plan.toml", f"{elsewhere}/plan.toml")
    finish_removals(site.runs)
assert left == (), "nothing was swapped"
"""


@pytest.mark.parametrize("deed", ["backup", "remove", "restore"])
def test_a_link_that_is_put_in_the_way_leads_nobody_elsewhere(
    disk: Path, site: Site, tmp_path: Path, deed: str
) -> None:
    """Root works in run folders, whose owners may put a link there between a look and what follows it."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    if deed == "restore":
        (site.runs / "2026-11-01-a-0000/plan.toml").unlink()
    else:
        (elsewhere / "plan.toml").write_text("root's own")
    place = disk if deed == "restore" else tmp_path / "disk 2"
    command = [sys.executable, "-c", SWAPPED, site.prefix, site.state, place, elsewhere, deed]
    done = subprocess.run(command, capture_output=True, text=True)
    assert "nothing was swapped" not in done.stderr, done.stderr
    assert [path.read_text() for path in elsewhere.iterdir()] == (["root's own"] * (deed != "restore"))
    if deed == "backup":
        assert b"root's own" not in b"".join(path.read_bytes() for path in (place / "files").iterdir())
