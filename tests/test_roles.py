"""A box that several people share: what each account may do, with real accounts and a real supervisor."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from appliance.run.folder import RunFolder
from appliance.run.lock import find_worker
from tests.runs import events_of, write_rows
from tests.shared import ACCOUNTS, SharedBox, shared_box, until

as_root = pytest.mark.skipif(os.getuid() != 0, reason="needs root: accounts of its own")
SECRET = "canary-7Q4-张三丰-病历号-889"

STARTER = """
import sys
from pathlib import Path
from appliance.supervisor import client
print(client.start(Path(sys.argv[1]), sys.argv[2]))
"""


def start_of(box: SharedBox, user: str, name: str) -> "subprocess.CompletedProcess[str]":
    """`user` asks the supervisor itself, without the commands' own checks."""
    return box.as_user(user, sys.executable, "-c", STARTER, box.site.state, name)


@as_root
@pytest.mark.slow
def test_on_a_shared_box_each_account_may_do_what_its_groups_say_and_no_more() -> None:
    with shared_box("shared") as box:
        write_rows(box.folder / "rows.json", 12)
        rows = (box.folder / "rows.json").read_text(encoding="utf-8")
        (box.folder / "rows.json").write_text(rows.replace("分机号是7003", SECRET), encoding="utf-8")
        plan = box.folder / "plan.toml"
        plan.write_text(
            f'format = "islet-plan-1"\nname = "clinic"\n[model]\nbase = "{box.model}"\n[data]\n'
            'held_out_share = 0.0\n[[data.train]]\npath = "rows.json"\n[training]\nsteps = 100000\n'
            "pack_tokens = 256\nthreads = 1\ncheckpoint_every_steps = 5\n",
            encoding="utf-8",
        )
        box.supervise()
        started = box.islet("li", "train", "--plan", plan, "--detach", "--json", env={"HF_TOKEN": SECRET})
        assert started.returncode == 0, started.stdout + started.stderr
        run = RunFolder(Path(json.loads(started.stdout)["run"]))
        check_process(run, box)
        check_strangers(run, box)
        check_log_and_queue(run, box)
        until(lambda: events_of(run, "checkpoint"), "a checkpoint")
        stopped = box.islet("zhao", "runs", "stop", run.root.name)
        assert (stopped.returncode, stopped.stdout) == (0, "stopped, with a checkpoint\n"), stopped.stderr
        ends = [e for e in box.audit().entries if e["event"] in ("override", "train-end")]
        assert [(e["event"], e.get("user"), e.get("run_tells")) for e in ends[-2:]] == [
            ("override", "zhao", None),
            ("train-end", "root", "stopped"),
        ]
        check_secret(run, box)


def check_process(run: RunFolder, box: SharedBox) -> None:
    """The worker is its trainer's, in a session of its own, and knows nothing of where it came from."""
    pid = find_worker(run.lock)
    assert pid is not None
    status = Path(f"/proc/{pid}/status").read_text()
    number = str(ACCOUNTS["li"])
    assert f"Uid:\t{number}\t{number}\t{number}\t{number}" in status
    groups = next(line for line in status.splitlines() if line.startswith("Groups:")).split()[1:]
    assert "0" not in groups
    assert os.getsid(pid) == pid
    assert SECRET.encode() not in Path(f"/proc/{pid}/environ").read_bytes()
    assert SECRET.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()
    assert stat.S_IMODE(run.root.stat().st_mode) == 0o2750


def check_strangers(run: RunFolder, box: SharedBox) -> None:
    """Another trainer cannot read or stop it, a reviewer reads and starts nothing, a guest does neither."""
    name = run.root.name
    assert box.as_user("wu", "ls", run.root).returncode != 0
    assert box.as_user("chen", "cat", run.plan).returncode == 0
    for user, what in (("wu", "This run is somebody else's."), ("guest", "This run is somebody else's.")):
        refused = box.islet(user, "runs", "stop", name)
        assert (refused.returncode, refused.stderr.splitlines()[0]) == (5, f"islet: {what}"), refused.stderr
    assert find_worker(run.lock) is not None
    for user in ("chen", "guest", "zhao"):
        assert "You may not train models on this box." in start_of(box, user, name).stderr
    assert box.islet("chen", "audit", "verify").returncode == 0
    for user in ("li", "guest"):
        assert "You may not read the audit log." in box.islet(user, "audit", "verify").stderr


def check_log_and_queue(run: RunFolder, box: SharedBox) -> None:
    """The trainer cannot write the log; a second run waits, and a link in place of a run leads nowhere."""
    log, state = box.site.audit, box.site.state
    for command in (
        f"echo x >>'{log}'",
        f"rm -f '{log}'",
        f"cat '{state}/audit.key'",
        f"ls '{state}/supervisor'",
    ):
        assert box.as_user("li", "sh", "-c", command).returncode != 0, command
    assert box.as_user("wu", "rm", "-rf", run.root).returncode != 0
    assert run.plan.exists()
    made = f"umask 000; cd '{box.site.runs}' && mkdir of-wu && ln -s '{run.root.name}' link"
    assert box.as_user("wu", "sh", "-c", made).returncode == 0
    assert "There is no run link." in start_of(box, "wu", "link").stderr
    assert "This run is somebody else's." in start_of(box, "li", "of-wu").stderr
    assert "state='queued'" in start_of(box, "wu", "of-wu").stdout
    assert box.islet("wu", "runs", "stop", "of-wu").returncode == 0
    ended = box.audit().entries[-1]
    assert (ended["event"], ended["user"], ended["run_tells"]) == ("train-end", "wu", "never begun")


def check_secret(run: RunFolder, box: SharedBox) -> None:
    """The secret of the rows and of the caller's environment stands where rows may stand alone."""
    (read,) = events_of(run, "data")
    assert (read["rows"], read["refused"]) == (12, 0)
    places = [*box.site.state.rglob("*"), box.folder / "supervisor.log"]
    leaked = [
        path
        for path in places
        if path.is_file() and path.parent != run.data and SECRET.encode() in path.read_bytes()
    ]
    assert leaked == []
