"""The audit log: whatever is done to it is seen, a power cut is told apart, and nothing private is in it."""

import hashlib
import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.errors import BadInput, UntrustedRecord
from appliance.site import audit
from appliance.site.audit_export import export_log

Lines = list[bytes]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A log of four entries."""
    path = tmp_path / "state" / "audit.jsonl"
    for number in range(4):
        audit.append(path, "train", run=f"r{number}")
    return path


def lines_of(log: Path) -> Lines:
    return log.read_bytes().splitlines(keepends=True)


def rechained(lines: Lines) -> Lines:
    """The same entries, with a chain that fits: what one does who can write the file."""
    made: Lines = []
    before = "0" * 64
    for line in lines:
        text = json.dumps({**json.loads(line), "before": before}, sort_keys=True, ensure_ascii=False).encode()
        before = hashlib.sha256(text).hexdigest()
        made.append(text + b"\n")
    return made


def test_a_log_that_was_only_appended_to_holds_and_is_signed_to_its_end(log: Path) -> None:
    checked = audit.check(log)
    assert [entry["run"] for entry in checked.entries] == ["r0", "r1", "r2", "r3"]
    assert checked.head == hashlib.sha256(lines_of(log)[-1].rstrip(b"\n")).hexdigest()
    assert (checked.torn, checked.unsigned) == (0, 0)
    assert checked.entries[0]["key"] == checked.key
    assert "key" not in checked.entries[1]


def test_an_entry_says_who_and_when(log: Path) -> None:
    entry = audit.check(log).entries[0]
    assert entry["uid"] == os.getuid()
    assert entry["user"] == audit.name_of(os.getuid())
    assert len(entry["time"]) == 20 and entry["time"].endswith("Z")


def test_who_is_behind_sudo_is_named() -> None:
    assert audit.person(0, None, "li.na") == audit.Who(0, audit.name_of(0), "li.na")
    assert audit.person(1234567, 0).login == audit.name_of(0)
    assert audit.person(1234567, None, "li.na").login == ""  # whoever is not root may set any environment


def test_files_have_their_modes_under_any_mask(tmp_path: Path) -> None:
    wanted = {"audit.jsonl": 0o640, "audit.key": 0o600, "audit.pub": 0o644, "audit.signed": 0o644}
    for mask in (0o077, 0o022, 0o000):
        folder = tmp_path / f"{mask:o}"
        was = os.umask(mask)
        try:
            audit.append(folder / "audit.jsonl", "install", number=1)
        finally:
            os.umask(was)
        assert {name: stat.S_IMODE((folder / name).stat().st_mode) for name in wanted} == wanted


CHANGES: dict[str, tuple[Callable[[Lines], Lines], str]] = {
    "edited": (lambda x: [x[0], x[1].replace(b"r1", b"r9"), x[2], x[3]], "line 3 does not follow"),
    "removed": (lambda x: [x[0], x[2], x[3]], "line 2 does not follow"),
    "removed at the front": (lambda x: x[1:], "line 1 does not follow"),
    "doubled": (lambda x: [x[0], x[1], x[1], x[2], x[3]], "line 3 does not follow"),
    "reordered": (lambda x: [x[1], x[0], x[2], x[3]], "line 1 does not follow"),
    "inserted": (lambda x: [x[0], b'{"event":"train"}\n', *x[1:]], "line 2 does not follow"),
    "an empty line": (lambda x: [x[0], b"\n", *x[1:]], "line 2 is no entry"),
    "a torn line that no entry tells of": (lambda x: [x[0], x[1][:9] + b"\n", *x[2:]], "line 2 is no entry"),
    "cut at the end": (lambda x: x[:3], "lines were cut off its end: 4 were signed, 3 are there"),
    "cut inside the last": (lambda x: [*x[:3], x[3][:20]], "lines were cut off its end"),
    "emptied": (lambda x: [], "lines were cut off its end: 4 were signed, 0 are there"),
    "edited, with a new chain": (
        lambda x: rechained([x[0], x[1].replace(b"r1", b"r9"), x[2], x[3]]),
        "it is not what was signed",
    ),
    "replaced at the end": (lambda x: [*x[:3], *rechained([*x[:3], x[0]])[3:]], "it is not what was signed"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_refuses_a_log_whose_lines_were_changed(log: Path, change: str) -> None:
    how, why = CHANGES[change]
    lines = how(lines_of(log))
    if change == "replaced at the end":  # an entry of another length would be a cut, or an addition
        lines[3] = lines[3].ljust(len(lines_of(log)[3]) + 1, b" ")
    log.write_bytes(b"".join(lines))
    with pytest.raises(UntrustedRecord) as caught:
        audit.check(log)
    assert caught.value.exit_code == 3
    assert why in caught.value.why


def test_every_byte_of_the_log_counts(log: Path) -> None:
    content = log.read_bytes()
    for place in range(len(content)):
        log.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(UntrustedRecord):
            audit.check(log)
    for length in range(0, len(content), 7):
        log.write_bytes(content[:length])
        with pytest.raises(UntrustedRecord):
            audit.check(log)


def test_every_byte_of_the_signature_counts(log: Path) -> None:
    signed = log.with_suffix(".signed")
    content = signed.read_bytes()
    for place in range(len(content)):
        signed.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(UntrustedRecord):
            audit.check(log)


def test_refuses_an_old_signature_over_an_old_log_where_the_newer_head_is_known(log: Path) -> None:
    old = log.read_bytes(), log.with_suffix(".signed").read_bytes()
    audit.append(log, "export", run="r3")
    head = audit.check(log).head
    log.write_bytes(old[0])
    log.with_suffix(".signed").write_bytes(old[1])
    assert audit.check(log).unsigned == 0  # by itself it is whole: why heads are printed elsewhere
    with pytest.raises(UntrustedRecord, match="which was printed as its head once"):
        audit.check(log, heads=[head])


def test_a_head_of_before_is_found(log: Path) -> None:
    head = audit.check(log).head
    audit.append(log, "export", run="r3")
    assert audit.check(log, heads=[head]).head != head


def test_refuses_a_log_made_anew_with_another_key_by_the_fingerprint(log: Path, tmp_path: Path) -> None:
    key = audit.check(log).key
    shutil.rmtree(log.parent)
    audit.append(log, "train", run="another past")
    audit.check(log)
    with pytest.raises(UntrustedRecord, match="not by the one that you named"):
        audit.check(log, key=key)


def test_a_key_that_was_replaced_is_told_until_somebody_vouches_for_it(log: Path) -> None:
    log.with_suffix(".key").unlink()
    audit.append(log, "export", run="r3")
    with pytest.raises(UntrustedRecord, match="it is signed by another key"):
        audit.check(log)
    now = audit.check(log, key=json.loads(lines_of(log)[-1])["key"])
    assert now.entries[-1]["key_was"] == now.entries[0]["key"]


def test_refuses_a_public_key_that_the_log_does_not_name(log: Path, tmp_path: Path) -> None:
    audit.append(tmp_path / "other" / "audit.jsonl", "train")
    shutil.copy(tmp_path / "other" / "audit.pub", log.with_suffix(".pub"))
    with pytest.raises(UntrustedRecord, match="not the one that the log names"):
        audit.check(log)


@pytest.mark.parametrize("name", [".signed", ".pub"])
def test_refuses_a_signed_log_without_its_signature_or_key(log: Path, name: str) -> None:
    log.with_suffix(name).unlink()
    with pytest.raises(UntrustedRecord, match="is missing"):
        audit.check(log)


@pytest.mark.parametrize("what", ["cut", "edited", "signature gone"])
def test_what_was_changed_is_not_vouched_for_by_the_next_entry(log: Path, what: str) -> None:
    lines = lines_of(log)
    if what == "cut":
        log.write_bytes(b"".join(lines[:2]))
    elif what == "edited":
        log.write_bytes(b"".join(rechained([lines[0], lines[2], lines[3]])))
    else:
        log.with_suffix(".signed").unlink()
    audit.append(log, "export", run="r3")
    audit.append(log, "export", run="r4")
    with pytest.raises(UntrustedRecord, match="says that it was found changed"):
        audit.check(log)


def test_an_entry_without_a_signature_is_counted_and_the_next_one_says_so(log: Path) -> None:
    lines = lines_of(log)
    before = hashlib.sha256(lines[-1].rstrip(b"\n")).hexdigest()
    with log.open("ab") as file:
        file.write(json.dumps({"event": "approve", "before": before}).encode() + b"\n")
    assert audit.check(log).unsigned == 1
    audit.append(log, "export", run="r3")
    checked = audit.check(log)
    assert checked.unsigned == 0
    assert [(e["event"], e.get("count")) for e in checked.entries[-2:]] == [("unsigned", 1), ("export", None)]


@pytest.mark.parametrize("tail", [b'{"before": "12', b"\0" * 300, b'"', b'{"event": "train"}\xff'])
def test_a_line_that_a_power_cut_tore_is_told_from_a_change_and_the_next_entry_says_so(
    log: Path, tail: bytes
) -> None:
    with log.open("ab") as file:
        file.write(tail)
    checked = audit.check(log)
    assert (checked.torn, checked.unsigned) == (1, 1)
    audit.append(log, "export", run="r3")
    checked = audit.check(log)
    assert (checked.torn, checked.unsigned) == (1, 0)
    assert [(e["event"], e.get("line")) for e in checked.entries[-2:]] == [("torn", 5), ("export", None)]
    audit.append(log, "export", run="r4")
    assert audit.check(log).entries[-1]["run"] == "r4"


def test_a_line_that_was_torn_while_it_told_of_a_torn_one_is_no_change(log: Path) -> None:
    """The power went twice, or a full disk took half of a line each time."""
    signed, whole = log.with_suffix(".signed").read_bytes(), log.read_bytes()
    torn = whole + b'{"before": "ab'
    log.write_bytes(torn)
    audit.append(log, "train", run="b")
    told = log.read_bytes().removeprefix(torn)
    for cut in (20, told.index(b"\n", 1) + 30):  # in the entry about the torn line, and in the one behind it
        log.write_bytes(torn + told[:cut])
        log.with_suffix(".signed").write_bytes(signed)
        audit.append(log, "train", run="c")
        checked = audit.check(log)
        assert (checked.torn, checked.unsigned, checked.entries[-1]["run"]) == (2, 0, "c")
    bad = log.read_bytes().replace(b'"torn"', b'"tore"', 1)
    log.write_bytes(bad)
    with pytest.raises(UntrustedRecord):
        audit.check(log)


def test_a_log_of_before_there_was_a_key_is_read_and_signed_from_now_on(tmp_path: Path) -> None:
    log = tmp_path / "audit.jsonl"
    first = json.dumps({"event": "install", "before": "0" * 64}).encode()
    log.write_bytes(first + b"\n")
    assert audit.check(log).key == ""
    audit.append(log, "train", run="r0")
    checked = audit.check(log)
    assert [entry["event"] for entry in checked.entries] == ["install", "train"]
    assert (checked.unsigned, checked.entries[-1]["key"]) == (0, checked.key)


APPENDER = """
import sys
from pathlib import Path
from appliance.site import audit
for number in range(10):
    audit.append(Path(sys.argv[1]), "train", run=f"{sys.argv[2]}-{number}")
"""


def test_entries_of_several_processes_at_once_all_stand_in_the_chain(tmp_path: Path) -> None:
    log = tmp_path / "audit.jsonl"
    writers = [subprocess.Popen([sys.executable, "-c", APPENDER, log, str(each)]) for each in range(3)]
    while any(writer.poll() is None for writer in writers):
        if log.exists():
            audit.check(log)  # whoever reads meanwhile sees a log that holds
    assert [writer.returncode for writer in writers] == [0] * 3
    checked = audit.check(log)
    assert sorted(e["run"] for e in checked.entries) == sorted(
        f"{w}-{n}" for w in range(3) for n in range(10)
    )
    assert sum("key" in entry for entry in checked.entries) == 1


def test_a_reason_is_one_line_of_bounded_length_whatever_was_typed(log: Path) -> None:
    audit.append(log, "override", reason="old\x1b[2J\nmedium" + "x" * 9000)
    reason = audit.check(log).entries[-1]["reason"]
    assert reason.startswith("old?[2J?medium")
    assert len(reason) == 500


def test_a_link_in_place_of_the_log_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("")
    (tmp_path / "audit.jsonl").symlink_to("elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        audit.append(tmp_path / "audit.jsonl", "train")
    assert (tmp_path / "elsewhere").read_text() == ""


def by_hand(folder: Path) -> list[str]:
    """What an auditor sees who types the lines of README.txt, those of the steps 1 to 4."""
    readme = (folder / "README.txt").read_text(encoding="utf-8").partition("5. ")[0]
    script = "\n".join(line.strip() for line in readme.splitlines() if line.startswith("     "))
    done = subprocess.run(["sh", "-c", script], cwd=folder, capture_output=True, text=True)
    return (done.stdout + done.stderr).splitlines()


def test_an_export_is_judged_by_hand_as_its_readme_says(log: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    checked = export_log(log, copy)
    assert by_hand(copy) == [f"{checked.key}  -", "Verified OK", "OK"]
    assert checked.head in (copy / "README.txt").read_text(encoding="utf-8")
    lines = lines_of(copy / "audit.jsonl")
    (copy / "audit.jsonl").write_bytes(b"".join([lines[0], lines[2], lines[3]]))
    assert by_hand(copy) == [f"{checked.key}  -", "Verified OK", "line 2 does not follow"]


def test_an_export_as_one_file_is_the_same_and_nothing_is_written_over(log: Path, tmp_path: Path) -> None:
    export_log(log, tmp_path / "copy")
    export_log(log, tmp_path / "copy.tar")
    subprocess.run(["tar", "-xf", tmp_path / "copy.tar", "-C", tmp_path], check=True)
    for name in ("audit.jsonl", "statement.txt", "statement.sig", "audit.pub", "README.txt"):
        assert (tmp_path / "islet-audit" / name).read_bytes() == (tmp_path / "copy" / name).read_bytes()
    for name in ("copy", "copy.tar"):
        with pytest.raises(BadInput, match="is there already"):
            export_log(log, tmp_path / name)


def test_the_private_key_is_in_no_export(log: Path, tmp_path: Path) -> None:
    export_log(log, tmp_path / "copy")
    assert not any(b"PRIVATE" in path.read_bytes() for path in (tmp_path / "copy").iterdir())


def islet(log: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run a command on the site whose log this is."""
    command = [sys.executable, "-m", "appliance.cli", "--prefix", str(log.parent), "--state", str(log.parent)]
    return subprocess.run([*command, *arguments], capture_output=True, text=True)


def test_the_commands_show_judge_and_copy(log: Path, tmp_path: Path) -> None:
    checked = audit.check(log)
    shown = islet(log, "audit", "show")
    assert shown.returncode == 0, shown.stderr
    assert [line.split()[-1] for line in shown.stdout.splitlines()[:4]] == [f"run=r{n}" for n in range(4)]
    head = " ".join(checked.head[i : i + 8].upper() for i in range(0, 64, 8))
    good = islet(log, "audit", "verify", "--head", head, "--key", checked.key)
    assert (good.returncode, good.stdout.splitlines()) == (
        0,
        [f"4 entries, the chain holds; head {checked.head}", f"signed by the key {checked.key}"],
    )
    copied = islet(log, "audit", "export", str(tmp_path / "copy"))
    assert (copied.returncode, copied.stdout.split()[-1]) == (0, checked.head)
    bad = islet(log, "audit", "verify", "--key", "0" * 64)
    assert (bad.returncode, bad.stderr.splitlines()) == (
        3,
        [
            "islet: The audit log does not hold together.",
            f"why: it is signed by the key {checked.key}, not by the one that you named",
            "next: Keep the file as it is and show it to the security officer.",
        ],
    )
    assert islet(log, "audit", "verify", "--head", "abc").returncode == 2


def test_refuses_lines_at_the_end_that_nobody_signed(log: Path) -> None:
    with log.open("ab") as file:
        before = audit.check(log).head
        file.write(json.dumps({"event": "approve", "before": before}).encode() + b"\n")
    refused = islet(log, "audit", "verify")
    assert refused.returncode == 3
    assert "The last 1 lines of the audit log are not signed." in refused.stderr
