"""The supervisor as a process: what it is asked is judged, who asks is known, one client hurts no other."""

import contextlib
import json
import os
import shutil
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from appliance.errors import BadInput, HostNotReady
from appliance.site import audit
from appliance.site.layout import Site
from appliance.site.service import remove_unit, unit_text, write_unit
from appliance.supervisor import client, guarded
from appliance.supervisor.protocol import MAX_BYTES, SOCKET, Start, read_request
from appliance.supervisor.server import AT_ONCE_EACH
from tests.supervised import answers, long_state, supervisor, until

state = pytest.fixture(long_state)


def connect(state: Path) -> socket.socket:
    folder = os.open(state, os.O_RDONLY)
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(60)
    connection.connect(f"/proc/self/fd/{folder}/{SOCKET}")
    os.close(folder)
    return connection


def say_to(state: Path, content: bytes) -> bytes:
    """What comes back to raw bytes."""
    with connect(state) as connection:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(content)
            connection.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionResetError):
            return connection.recv(100_000)
        return b""


ODD = {
    "nothing": b"\n",
    "no JSON": b"start run\n",
    "no object": b"[]\n",
    "no verb": b'{"run": "a"}\n',
    "another verb": b'{"do": "exec", "run": "a"}\n',
    "an unknown field": b'{"do": "start", "run": "a", "uid": 0}\n',
    "another type": b'{"do": "start", "run": 7}\n',
    "no name": b'{"do": "start", "run": ""}\n',
    "a path": b'{"do": "start", "run": "../../etc"}\n',
    "an absolute path": b'{"do": "start", "run": "/etc"}\n',
    "this folder": b'{"do": "start", "run": "."}\n',
    "a hidden name": b'{"do": "start", "run": ".part"}\n',
    "a fact called by": b'{"do": "record", "event": "report", "facts": {"by": "root"}}\n',
    "a NUL": b'{"do": "start", "run": "a\\u0000b"}\n',
    "a line in a name": b'{"do": "stop", "run": "a\\nb"}\n',
    "a long name": b'{"do": "start", "run": "' + b"a" * 200 + b'"}\n',
    "an option": b'{"do": "start", "run": "--prefix"}\n',
    "another event": b'{"do": "record", "event": "install", "facts": {}}\n',
    "a fact of ours": b'{"do": "record", "event": "export", "facts": {"uid": 0}}\n',
    "the time": b'{"do": "record", "event": "export", "facts": {"time": "then"}}\n',
    "a key": b'{"do": "record", "event": "export", "facts": {"key": "abc"}}\n',
    "a fact of two lines": b'{"do": "record", "event": "export", "facts": {"run": "a\\nb"}}\n',
    "a long fact": b'{"do": "record", "event": "export", "facts": {"run": "' + b"a" * 501 + b'"}}\n',
    "a path in a fact": b'{"do": "record", "event": "export", "facts": {"run": "a/../b"}}\n',
    "a nested fact": b'{"do": "record", "event": "export", "facts": {"run": {}}}\n',
    "many facts": json.dumps(
        {"do": "record", "event": "export", "facts": {f"f{n}": n for n in range(13)}}
    ).encode()
    + b"\n",
    "a deep one": b"[" * 4000 + b"\n",
    "no UTF-8": b'{"do": "start", "run": "\xff"}\n',
}


@pytest.mark.parametrize("what", ODD)
def test_refuses_a_request_that_is_odd(what: str) -> None:
    with pytest.raises(BadInput, match="does not understand"):
        read_request(ODD[what])


def test_reads_a_request_that_is_plain() -> None:
    assert read_request(b'{"do": "start", "run": "2026-11-21-a-b1c2"}\n') == Start("2026-11-21-a-b1c2")


def test_bad_clients_are_refused_and_hurt_nobody(state: Path) -> None:
    with supervisor(state) as process:
        for content in ODD.values():
            answer = json.loads(say_to(state, content))
            assert answer["error"]["exit_code"] == 6, content
        assert say_to(state, b"") == b""
        assert say_to(state, b'{"do": "status"') == b""  # and goes
        assert say_to(state, b"x" * (MAX_BYTES + 100)) == b""
        assert say_to(state, b'{"do": "status"}' + b" " * MAX_BYTES * 50 + b"\n") == b""
        assert client.status(state) == ()
        assert process.poll() is None
    assert "Traceback" not in (state / "supervisor.log").read_text()


@pytest.mark.slow
def test_clients_that_say_nothing_are_sent_away_when_their_time_is_over(state: Path) -> None:
    with supervisor(state):
        hanging = [connect(state) for _ in range(AT_ONCE_EACH)]
        until(lambda: b"too many visitors" in say_to(state, b""), "a refusal of one more")
        until(lambda: answers(state), "the end of those that hang")
        for connection in hanging:
            assert connection.recv(1) == b""  # closed by the other side, without a word
            connection.close()


def test_a_run_that_is_not_there_or_no_folder_is_refused(state: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (state / "runs" / "link").symlink_to(tmp_path / "elsewhere")
    (state / "runs" / "file").write_text("")
    with supervisor(state):
        for name in ("none", "link", "file"):
            with pytest.raises(BadInput, match=f"There is no run {name}"):
                client.start(state, name)
        assert not client.stop(state, "none")
        with pytest.raises(BadInput):
            client.start(state, "..")
    assert not (state / "audit.jsonl").exists()


def test_a_second_supervisor_leaves_the_first_one_alone(state: Path) -> None:
    with supervisor(state):
        command = [
            sys.executable,
            "-m",
            "appliance.supervisor",
            "--prefix",
            str(state),
            "--state",
            str(state),
        ]
        second = subprocess.run(command, capture_output=True, text=True)
        assert second.returncode == 5
        assert "Another supervisor is at work here." in second.stderr
        assert answers(state)


def test_a_supervisor_that_is_gone_is_told_with_what_to_do(state: Path) -> None:
    with supervisor(state):
        pass
    with pytest.raises(HostNotReady) as refused:
        client.start(state, "a")
    assert "systemctl restart islet" in refused.value.next_step


def test_an_entry_is_of_the_account_that_asks(state: Path) -> None:
    with supervisor(state):
        (state / "runs" / "a").mkdir()
        client.record(state, "export", {"run": "a", "sums_sha256": "0" * 64})
        with pytest.raises(BadInput, match="There is no run b"):
            client.record(state, "export", {"run": "b"})
    (entry,) = audit.check(state / "audit.jsonl").entries
    assert (entry["event"], entry["uid"], entry["run"]) == ("export", os.getuid(), "a")


def test_links_pipes_and_other_peoples_files_in_a_run_are_not_read(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "a"
    run.mkdir(parents=True)
    (tmp_path / "secret").write_text('{"kind": "state", "state": "finished"}\n')

    def told() -> str:
        with guarded.opened_run(tmp_path / "runs", "a") as folder:
            return guarded.told_state(folder)

    assert told() == ""
    (run / "events.jsonl").symlink_to(tmp_path / "secret")
    assert told() == ""
    (run / "events.jsonl").unlink()
    os.mkfifo(run / "events.jsonl")
    assert told() == ""
    (run / "events.jsonl").unlink()
    (run / "events.jsonl").write_bytes(
        b"x" * 1_000_000 + b'\n{"kind": "state", "state": "stopped"}\n\xff{"kind'
    )
    assert told() == "stopped"
    (run / "events.jsonl").write_text('{"kind": "state", "state": "owned\\u001b"}\n')
    assert told() == ""
    with (
        pytest.raises(HostNotReady, match="somebody else's"),
        guarded.opened_run(tmp_path / "runs", "a", 12345),
    ):
        pass


def test_the_unit_quotes_its_paths_and_is_not_put_over_another_sites(tmp_path: Path) -> None:
    site = Site(tmp_path / 'opt "100%" $x', tmp_path / "state")
    text = unit_text(site)
    assert '100%%\\" $$x/current/runtime/bin/python"' in text
    path = write_unit(site, tmp_path)
    assert write_unit(site, tmp_path) == path
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    with pytest.raises(HostNotReady, match="Another site"):
        write_unit(Site(tmp_path, tmp_path / "other"), tmp_path)
    assert not remove_unit(Site(tmp_path, tmp_path / "other"), tmp_path)
    assert path.is_file()
    assert remove_unit(site, tmp_path)
    assert not path.exists()


@pytest.mark.slow
def test_systemd_takes_the_unit_and_finds_it_narrow(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not here")
    site = Site(tmp_path / "a place", tmp_path / "state")
    python = site.current / "runtime" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\n")
    python.chmod(0o755)
    unit = write_unit(site, tmp_path)
    verified = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True)
    assert (verified.returncode, verified.stdout + verified.stderr) == (0, "")
    judged = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=35", unit],
        capture_output=True,
        text=True,
    )
    assert judged.returncode == 0, judged.stdout[-300:]  # 3.5 of 10, where 10 is the most exposed
