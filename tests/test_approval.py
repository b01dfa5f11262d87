"""Approving an export: what is judged, what the log says of it, and that another export is not approved."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from appliance.errors import ApplianceError, BadInput, HostNotReady, UntrustedRecord
from appliance.locale.voice import Voice
from appliance.progress import Silent
from appliance.site import audit
from appliance.site.approval import (
    check_other_person,
    decision_sentence,
    is_own,
    judge_export,
    newest_decision,
)
from appliance.site.audit import Who

RUN = "2026-11-22-clinic-0a1b"


@dataclass(frozen=True)
class Place:
    """A state folder of this account with one run that was exported."""

    state: Path

    @property
    def export(self) -> Path:
        return self.state / "runs" / RUN / "export"

    @property
    def log(self) -> Path:
        return self.state / "audit.jsonl"

    def islet(self, *words: str, language: str = "en") -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "appliance.cli", "--lang", language, "--prefix", str(self.state)]
        return subprocess.run(
            [*command, "--state", str(self.state), "approve", RUN, *words], capture_output=True, text=True
        )

    def verdicts(self) -> list[tuple[str, str]]:
        """Event and verdict, or reason, of every entry."""
        entries = audit.check(self.log).entries
        return [(e["event"], e.get("decision") or e.get("reason", "")) for e in entries if "run" in e]


def write_export(folder: Path, weights: bytes) -> str:
    """An export as `islet export` leaves it; SHA-256 of its list."""
    folder.mkdir(exist_ok=True)
    files = {"clinic-f16.gguf": weights, "Modelfile": b"FROM clinic-f16.gguf\n"}
    for name, content in files.items():
        (folder / name).write_bytes(content)
    sums = "".join(f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in files.items())
    (folder / "SHA256SUMS").write_text(sums)
    return hashlib.sha256(sums.encode()).hexdigest()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    made = Place(tmp_path / "state")
    made.export.parent.mkdir(parents=True)
    for name in ("plan.toml", "base"):
        (made.export.parent / name).touch()
    write_export(made.export, b"weights")
    audit.append(made.log, "install", number=1)
    return made


def test_an_approval_is_shown_asked_written_down_and_taken_back(place: Place) -> None:
    sums = hashlib.sha256((place.export / "SHA256SUMS").read_bytes()).hexdigest()
    unasked = place.islet("--own-run", "nobody else here")
    assert (unasked.returncode, sums in unasked.stdout) == (2, True)
    assert "2 files, 28 B, each as its SHA256SUMS lists it" in unasked.stdout
    assert "nobody has decided on it" in unasked.stdout
    assert place.verdicts() == []
    done = place.islet("--own-run", "nobody else here", "--note", "triage drafts only", "--yes")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (
        0,
        f"Approved: {RUN}, with the files of this SHA256SUMS and no others.",
    )
    entry = audit.check(place.log).entries[-1]
    assert (entry["sums_sha256"], entry["note"]) == (sums, "triage drafts only")
    again = place.islet("--own-run", "nobody else here", "--yes")
    assert (again.returncode, "triage drafts only" in again.stdout) == (0, True)
    assert place.islet("--withdraw", "--yes").returncode == 2
    back = place.islet("--withdraw", "--note", "invents doses", "--yes")
    assert (back.returncode, back.stdout.splitlines()[-1]) == (
        0,
        f"Withdrawn: {RUN}. Tell those who use the model.",
    )
    expected = [("override", "nobody else here"), ("approve", "approved"), ("approve", "withdrawn")]
    assert place.verdicts() == expected


def test_what_is_taken_back_may_be_gone_from_the_disk(place: Place) -> None:
    assert place.islet("--own-run", "alone", "--yes").returncode == 0
    (place.export / "SHA256SUMS").unlink()
    assert place.islet("--withdraw", "--note", "faulty", "--yes").returncode == 0
    assert place.verdicts()[-1] == ("approve", "withdrawn")
    none = place.islet("--withdraw", "--note", "faulty", "--yes")
    assert (none.returncode, none.stdout) == (0, f"Nothing of {RUN} is approved.\n")


def test_an_export_made_anew_is_not_approved(place: Place) -> None:
    entries = [{"event": "approve", "run": RUN, "decision": "approved", "sums_sha256": "a" * 64, "uid": 7}]
    assert newest_decision(entries, RUN, "b" * 64) is None
    assert newest_decision(entries, "another", "a" * 64) is None
    found = newest_decision(entries, RUN, "a" * 64)
    assert found is not None
    assert (found.verdict, found.user) == ("approved", "7")
    assert place.islet("--own-run", "alone", "--yes").returncode == 0
    write_export(place.export, b"other weights")
    assert "nobody has decided on it" in place.islet("--own-run", "alone").stdout


def test_who_trained_alone_on_the_box_gives_a_reason(place: Place) -> None:
    refused = place.islet("--yes")
    assert (refused.returncode, refused.stderr.splitlines()[0]) == (
        5,
        "islet: Who trained a model does not approve it without a reason.",
    )
    assert place.verdicts() == []
    chinese = place.islet("--yes", language="zh_CN")
    assert chinese.stderr.splitlines()[0] == "islet: 训练模型者不得无理由自行批准。"


def test_a_site_without_a_log_is_told_so(place: Place) -> None:
    for name in ("audit.jsonl", "audit.signed", "audit.pub", "audit.key"):
        (place.state / name).unlink(missing_ok=True)
    for words in (("--own-run", "alone"), ("--withdraw", "--note", "faulty")):
        refused = place.islet(*words, "--yes")
        assert (refused.returncode, refused.stderr.splitlines()[-3]) == (
            5,
            "islet: There is no audit log here.",
        )


def flip(export: Path) -> None:
    (export / "clinic-f16.gguf").write_bytes(b"Weights")


def add(export: Path) -> None:
    (export / "template.bin").write_bytes(b"")


def remove(export: Path) -> None:
    (export / "Modelfile").unlink()


def link(export: Path) -> None:
    (export / "Modelfile").rename(export.parent / "Modelfile")
    (export / "Modelfile").symlink_to("../Modelfile")


def pipe(export: Path) -> None:
    (export / "SHA256SUMS").unlink()
    os.mkfifo(export / "SHA256SUMS")


def climb(export: Path) -> None:
    with (export / "SHA256SUMS").open("a") as file:
        file.write(f"{'0' * 64}  ../plan.toml\n")


def garble(export: Path) -> None:
    (export / "SHA256SUMS").write_bytes(b"\xff\n")


def never(export: Path) -> None:
    (export / "SHA256SUMS").unlink()


@pytest.mark.parametrize(
    ("spoil", "error", "why"),
    [
        (flip, UntrustedRecord, "clinic-f16.gguf is another file than was exported"),
        (add, UntrustedRecord, "template.bin is listed and not there, or there and not listed"),
        (remove, UntrustedRecord, "Modelfile is listed and not there, or there and not listed"),
        (link, HostNotReady, "Too many levels of symbolic links"),
        (pipe, HostNotReady, "Invalid argument"),
        (climb, UntrustedRecord, "SHA256SUMS is no list of hashes"),
        (garble, UntrustedRecord, "SHA256SUMS is no list of hashes"),
        (never, BadInput, "SHA256SUMS is not there"),
    ],
)
def test_refuses_an_export_that_is_not_what_was_exported(
    place: Place, spoil: Callable[[Path], None], error: type[ApplianceError], why: str
) -> None:
    judge_export(place.export, Silent())
    spoil(place.export)
    with pytest.raises(error) as refused:
        judge_export(place.export, Silent())
    assert why in str(refused.value.why)


def test_the_person_behind_sudo_is_who_trained_too() -> None:
    me = audit.name_of(os.getuid())
    assert is_own(os.getuid(), Who(os.getuid(), me))
    assert is_own(os.getuid(), Who(0 if os.getuid() else 1, "x", login=me))
    assert not is_own(os.getuid(), Who(os.getuid() + 1, "chen"))
    with pytest.raises(HostNotReady, match="Who trained a model does not approve it"):
        check_other_person(RUN, os.getuid(), Who(os.getuid() + 1, "root", login=me))
    check_other_person(RUN, os.getuid(), Who(os.getuid() + 1, "chen"))


def test_a_decision_is_said_with_who_when_and_why() -> None:
    entry = {
        "event": "approve",
        "run": RUN,
        "decision": "withdrawn",
        "sums_sha256": "a" * 64,
        "time": "2026-11-22T09:30:00+00:00",
        "user": "root",
        "login": "chen",
        "note": "invents doses",
    }
    found = newest_decision([entry], RUN, "a" * 64)
    assert found is not None
    said = Voice("en").again(decision_sentence(found))
    assert said == "withdrawn by root (chen), 2026-11-22 09:30 UTC: invents doses"
