"""A box that several people share: what each account may do, with real accounts and a real supervisor."""

import hashlib
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from appliance.run.folder import RunFolder, create_run
from appliance.run.lock import find_worker
from appliance.run.plan import DataChoice, DataFile, ModelChoice, Plan
from tests.runs import events_of, write_rows
from tests.shared import ACCOUNTS, FIRST_GROUP, GROUPS, SharedBox, shared_box
from tests.supervised import until

as_root = pytest.mark.skipif(os.getuid() != 0, reason="needs root: accounts of its own")
SECRET = "canary-7Q4-张三丰-病历号-889"

STARTER = """
import sys
from pathlib import Path
from appliance.supervisor import client
print(client.start(Path(sys.argv[1]), sys.argv[2]))
"""


RECORDER = """
import sys
from pathlib import Path
from appliance.supervisor import client
client.record(Path(sys.argv[1]), sys.argv[2], {"run": sys.argv[3]})
print("recorded")
"""


def told_by(box: SharedBox, user: str, event: str, run: str) -> str:
    """What `user` sees who has an event recorded, without the commands' own checks."""
    done = box.as_user(user, sys.executable, "-c", RECORDER, box.site.state, event, run)
    return done.stdout + done.stderr


def start_of(box: SharedBox, user: str, name: str) -> "subprocess.CompletedProcess[str]":
    """`user` asks the supervisor itself, without the commands' own checks."""
    return box.as_user(user, sys.executable, "-c", STARTER, box.site.state, name)


MODES = {
    "runs": ("islet-train", 0o1775),
    "datasets": ("islet-train", 0o3770),
    "exports": ("islet-train", 0o3775),
    "wizard": ("islet-train", 0o3770),
    "plans": ("islet-train", 0o3770),
    "logs": ("islet-train", 0o3770),
    "audit.jsonl": ("islet-review", 0o640),
    "audit.key": (None, 0o600),
    "audit.pub": (None, 0o644),
    "audit.signed": (None, 0o644),
}
"""What docs/roles.md says of the state folder."""


@pytest.mark.parametrize("mask", [0o077, 0o022, 0o000])
def test_a_new_run_is_its_makers_alone_under_any_mask(tmp_path: Path, mask: int) -> None:
    was = os.umask(mask)
    try:
        (tmp_path / "rows.json").write_text("[]", encoding="utf-8")
        data = DataChoice((DataFile(str(tmp_path / "rows.json")),))
        plan = Plan(format="islet-plan-1", name="first", model=ModelChoice("house/model"), data=data)
        run = create_run(plan, tmp_path / "runs", base=tmp_path)
    finally:
        os.umask(was)
    assert stat.S_IMODE(run.root.stat().st_mode) == 0o700


def check_modes(box: SharedBox) -> None:
    """The folders are as they are documented, also after the command was run again under another mask."""
    groups = {name: FIRST_GROUP + place for place, name in enumerate(GROUPS)}
    command = [sys.executable, "-m", "appliance.cli", "--prefix", box.site.prefix, "--state", box.site.state]
    for mask in ("077", "022"):
        script = f'umask {mask}; exec "$@"'
        again = box.as_user("root", "sh", "-c", script, "sh", *command, "roles", "create", "--yes")
        assert again.returncode == 0, again.stderr
        for name, (group, mode) in MODES.items():
            status = (box.site.state / name).stat()
            assert (status.st_uid, stat.S_IMODE(status.st_mode)) == (0, mode), name
            assert status.st_gid == groups.get(group or "", 0), name


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
        check_modes(box)
        box.supervise()
        check_datasets(box)
        started = box.islet("li", "train", "--plan", plan, "--detach", "--json", env={"HF_TOKEN": SECRET})
        assert started.returncode == 0, started.stdout + started.stderr
        run = RunFolder(Path(json.loads(started.stdout)["run"]))
        check_process(run, box)
        check_strangers(run, box)
        check_log_and_queue(run, box)
        check_record(run, box)
        until(lambda: events_of(run, "checkpoint"), "a checkpoint")
        stopped = box.islet("zhao", "runs", "stop", run.root.name)
        assert (stopped.returncode, stopped.stdout) == (0, "stopped, with a checkpoint\n"), stopped.stderr
        ends = [e for e in box.audit().entries if e["event"] in ("override", "train-end")]
        assert [(e["event"], e.get("user"), e.get("run_tells")) for e in ends[-2:]] == [
            ("override", "zhao", None),
            ("train-end", "root", "stopped"),
        ]
        check_approval(run, box)
        check_secret(run, box)


def check_datasets(box: SharedBox) -> None:
    """All trainers add versions and read them; none takes away another's, and nobody else looks."""
    state, rows = box.site.state, box.folder / "rows.json"
    for user in ("li", "wu"):
        added = box.islet(
            user, "data", "add", "ward", rows if user == "li" else "dataset:ward@1", "--note", user
        )
        # The same rows again are refused, by the one who may read what the other added.
        told = "dataset:ward@1" if user == "li" else "These rows are there already, as ward@1."
        assert told in added.stdout + added.stderr, added.stderr
    assert box.as_user("wu", "rm", "-rf", state / "datasets/ward/1").returncode != 0
    assert box.as_user("wu", "mv", state / "datasets/ward/1", state / "datasets/ward/7").returncode != 0
    refused = box.islet("wu", "data", "remove", "ward@1", "--reason", "mine now", "--yes")
    assert (refused.returncode, refused.stderr.splitlines()[0]) == (
        5,
        "islet: The data set ward@1 cannot be removed.",
    )
    for user in ("guest", "chen"):
        assert box.islet(user, "data", "list").returncode == 5
    entry = next(each for each in box.audit().entries if each["event"] == "dataset")
    assert (entry["user"], entry["dataset"], entry["rows"]) == ("li", "ward@1", 12)
    done = box.islet("li", "data", "remove", "ward@1", "--reason", "trial over", "--yes")
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (state / "datasets/ward").iterdir()) == ["1.removed.json"]


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


def check_record(run: RunFolder, box: SharedBox) -> None:
    """Each says of himself what he may do; no trainer releases a model, or speaks for another's run."""
    name = run.root.name
    refusals = {
        ("li", "approve"): "You may not approve models on this box.",
        ("wu", "export"): "This run is somebody else's.",
        ("chen", "export"): "You may not train models on this box.",
        ("guest", "report"): "You may not write reports on this box.",
        ("zhao", "approve"): "You may not approve models on this box.",
    }
    before = len(box.audit().entries)
    for (user, event), what in refusals.items():
        assert what in told_by(box, user, event, name), (user, event)
    assert len(box.audit().entries) == before
    for user, event in (("li", "export"), ("chen", "approve")):
        assert told_by(box, user, event, name) == "recorded\n"
        entry = box.audit().entries[-1]
        assert (entry["event"], entry["uid"], entry["user"]) == (event, ACCOUNTS[user], user)


def check_approval(run: RunFolder, box: SharedBox) -> None:
    """A reviewer approves what another exported, and nobody what is his own; the log says for which files."""
    name = run.root.name
    box.as_user("li", "sh", "-c", f"mkdir -p '{run.export}' && cd '{run.export}' && echo weights >m.gguf")
    sums = hashlib.sha256(b"weights\n").hexdigest() + "  m.gguf\n"
    assert box.as_user("li", "sh", "-c", f"printf %s '{sums}' >'{run.export}/SHA256SUMS'").returncode == 0
    refused = box.islet("li", "approve", name, "--yes")
    assert (refused.returncode, refused.stderr.splitlines()[0]) == (
        5,
        "islet: You may not approve models on this box.",
    )
    done = box.islet("chen", "approve", name, "--note", "triage", "--yes")
    assert done.returncode == 0, done.stderr
    entry = box.audit().entries[-1]
    assert (entry["event"], entry["user"], entry["decision"]) == ("approve", "chen", "approved")
    assert entry["sums_sha256"] == hashlib.sha256(sums.encode()).hexdigest()
    of_mei = (
        f"umask 000; mkdir '{box.site.runs}/of-mei'; cp '{run.plan}' '{run.base}' '{box.site.runs}/of-mei'"
    )
    assert box.as_user("mei", "sh", "-c", of_mei).returncode == 0
    own = "Who trained a model does not approve it."
    assert own in told_by(box, "mei", "approve", "of-mei")
    assert own in box.islet("mei", "approve", "of-mei", "--own-run", "in a hurry", "--yes").stderr
    assert box.audit().entries[-1] == entry


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
