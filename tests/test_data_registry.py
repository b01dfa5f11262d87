"""The site's data sets: there whole or not at all, never changed, known by hash, removed with a note."""

import datetime
import hashlib
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result

from appliance.cli import main
from appliance.data.canonical import read_rows, write_rows
from appliance.data.registry.add import Wish, add
from appliance.data.registry.record import Maker
from appliance.data.registry.reference import check_unchanged, place, read_reference
from appliance.data.registry.removal import plan_removal, remove
from appliance.data.registry.store import Version, check_rows, find, keep_until, list_all
from appliance.errors import ApplianceError, BadInput, HostNotReady, StepFailed
from appliance.model.base import load_tokenizer
from appliance.progress import Silent
from appliance.run.folder import RunFolder, read_base
from appliance.run.lock import worker_lock
from appliance.run.plan import (
    DataChoice,
    DataFile,
    EvaluationChoice,
    ModelChoice,
    Plan,
    QuestionSet,
    read_plan,
)
from appliance.run.removal import remove_folder
from appliance.run.retention import find_retention
from appliance.run.rows import Message, Problem, Row
from appliance.site.backup import make_backup
from appliance.site.collect import tidy
from appliance.site.layout import Site
from appliance.site.reach import Reach, find_reach, reach_sentences
from appliance.site.restore import plan_restoration, restore
from appliance.site.roles import share_datasets
from appliance.training.control import prepare_run
from appliance.training.prepare import prepare
from tests.test_site_backup import make_site
from tests.tiny import make_tiny_model

ME = Maker(1000, "li.na")
SECRET = "canary-张三丰-病历号-889"
PAST, COMING = datetime.date(2001, 2, 3), datetime.date(2999, 12, 31)


def rows(*answers: str, group: str = "") -> list[Row | Problem]:
    asked = [(Message("user", f"问{answer}"), Message("assistant", answer)) for answer in answers]
    return [
        Row(turns, "ward.csv", "a" * 64, at + 2, steps=("mapped",), group=group)
        for at, turns in enumerate(asked)
    ]


def wish(name: str = "ward", **fields: object) -> Wish:
    return Wish(name, ME, ("ward.csv",), **fields)  # type: ignore[arg-type]


@pytest.fixture
def datasets(tmp_path: Path) -> Path:
    folder = tmp_path / "state" / "datasets"
    folder.mkdir(parents=True)
    return folder


def test_a_version_holds_its_rows_and_says_what_they_are(datasets: Path) -> None:
    refused = Problem("ward.csv", 9, "output", "is empty", "fill it in")
    items = [*rows("一", "二", group="p1"), refused]
    version, tally = add(datasets, wish(note="first", until=COMING, max_bad_share=0.5), items)
    assert version.rows == datasets / "ward/1/rows.parquet"
    assert read_rows(version.rows) == tuple(items[:2])
    record = version.record
    assert record.reference == "ward@1"
    assert record.sha256 == hashlib.sha256(version.rows.read_bytes()).hexdigest()
    assert (record.rows, record.refused, record.kinds, record.groups) == (2, 1, {"chat": 2}, 1)
    assert (record.steps, record.made_by, record.note) == (("mapped",), ME, "first")
    assert [(each.file, each.sha256, each.rows) for each in record.origins] == [("ward.csv", "a" * 64, 2)]
    assert tally.problems == [refused]
    assert find(datasets, "ward") == version
    assert find_retention(version.folder).until == COMING  # type: ignore[union-attr]


def test_versions_count_up_and_a_number_never_comes_again(datasets: Path) -> None:
    for answer in ("一", "二", "三"):
        add(datasets, wish(), rows(answer))
    remove(plan_removal(find(datasets, "ward", 3), datasets.parent / "runs"), by=ME, why="expired")
    version, _ = add(datasets, wish(), rows("四"))
    assert version.record.version == 4
    with pytest.raises(BadInput, match="it was removed on .*: expired"):
        find(datasets, "ward", 3)
    with pytest.raises(BadInput, match="its versions are 1, 2, 4"):
        find(datasets, "ward", 9)


def test_nothing_of_a_row_is_in_what_is_written_beside_it(datasets: Path) -> None:
    version, _ = add(datasets, wish(), rows(SECRET, group="p7"))
    gone = remove(plan_removal(version, datasets.parent / "runs"), by=ME, why="asked for")
    assert gone.rows == 1
    left = [path for path in datasets.rglob("*") if path.is_file()]
    assert [path.name for path in left] == ["1.removed.json"]
    assert SECRET.encode() not in left[0].read_bytes()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda: (wish(), []), "There are no rows"),
        (lambda: (wish(), [*rows("一"), Problem("w", 3, "f", "is odd", "mend it")]), "1 of 2 rows"),
        (lambda: (wish("Ward 1"), rows("一")), "cannot be called 'Ward 1'"),
        (lambda: (wish("../x"), rows("一")), "cannot be called"),
        (lambda: (wish(note="a\x1b[2Jb"), rows("一")), "no line of text"),
    ],
)
def test_refuses_to_add(change: "object", words: str, datasets: Path) -> None:
    wanted, items = change()  # type: ignore[operator]
    with pytest.raises(BadInput, match=words):
        add(datasets, wanted, items)
    assert list(datasets.iterdir()) == []


def test_the_same_rows_are_not_kept_twice(datasets: Path) -> None:
    add(datasets, wish(), rows("一"))
    with pytest.raises(BadInput, match="there already, as ward@1"):
        add(datasets, wish(), rows("一"))
    assert [path.name for path in (datasets / "ward").iterdir()] == ["1"]


def test_of_two_who_add_the_same_rows_at_once_one_is_told_so(datasets: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from appliance.errors import BadInput\n"
        "from appliance.data.registry.add import Wish, add\n"
        "from appliance.data.registry.record import Maker\n"
        "from appliance.run.rows import Row\n"
        "def items():\n"
        "    yield Row((), 'ward.csv', 'a' * 64, 1, text='一')\n"
        "    print('ready', flush=True); sys.stdin.readline()\n"
        "wish = Wish('ward', Maker(1, 'li.na'), ('ward.csv',))\n"
        "try: add(Path(sys.argv[1]), wish, items()); print('added')\n"
        "except BadInput: print('there')\n"
    )
    command = [sys.executable, "-c", code, str(datasets)]
    pipe = subprocess.PIPE
    adding = [subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) for _ in range(3)]
    try:
        for each in adding:
            assert each.stdout and each.stdout.readline() == "ready\n"
        for each in adding:  # all of them have read their rows, and go on at once
            assert each.stdin
            each.stdin.write("\n")
            each.stdin.flush()
        said = sorted(each.communicate(timeout=120)[0].strip() for each in adding)
    finally:
        for each in adding:
            each.kill()
            each.wait()
    assert said == ["added", "there", "there"]
    assert [path.name for path in (datasets / "ward").iterdir()] == ["1"]


def test_an_addition_that_fails_in_the_middle_leaves_nothing(datasets: Path) -> None:
    def broken() -> Iterator[Row | Problem]:
        yield from rows("一")
        raise StepFailed("The file ended.", why="it is damaged", next_step="Copy it again.")

    add(datasets, wish(), rows("零"))
    with pytest.raises(StepFailed):
        add(datasets, wish(), broken())
    assert [path.name for path in (datasets / "ward").iterdir()] == ["1"]


ENDLESS = """
import sys
from pathlib import Path
from tests.test_data_registry import add, rows, wish
def endless():
    yield from rows("一")
    print("writing", flush=True)
    sys.stdin.read()
add(Path(sys.argv[1]), wish(), endless())
"""


def test_what_a_killed_addition_left_is_taken_by_the_next(datasets: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", ENDLESS, str(datasets)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None and child.stdout.readline() == b"writing\n"
        child.send_signal(signal.SIGKILL)
    left = list((datasets / "ward").iterdir())
    assert [path.name for path in left] == [f".new.{child.pid}"]
    assert list_all(datasets).versions == ()
    version, _ = add(datasets, wish(), rows("二"))
    assert list((datasets / "ward").iterdir()) == [version.folder]


def test_folders_are_ones_own_or_shared_as_the_folder_above_says(datasets: Path) -> None:
    def modes(version: Version) -> tuple[int, int, int]:
        return (
            stat.S_IMODE(version.folder.parent.stat().st_mode),
            stat.S_IMODE(version.folder.stat().st_mode),
            stat.S_IMODE(version.rows.stat().st_mode),
        )

    before = os.umask(0o077)
    try:
        assert modes(add(datasets, wish("own"), rows("一"))[0]) == (0o700, 0o700, 0o640)
        datasets.chmod(0o3770)
        assert modes(add(datasets, wish("shared"), rows("一"))[0]) == (0o3770, 0o2750, 0o640)
    finally:
        os.umask(before)


def test_changed_rows_are_never_trained_on(datasets: Path) -> None:
    version, _ = add(datasets, wish(), rows("一"))
    check_rows(version)
    write_rows(version.rows, [each for each in rows("二") if isinstance(each, Row)])
    with pytest.raises(StepFailed, match="ward@1 are not what was added"):
        check_rows(version)


def test_rows_that_are_gone_are_told_and_not_a_failure_of_ours(site: Site) -> None:
    version, _ = add(site.datasets, wish(), rows("一"))
    version.rows.unlink()
    result = islet(site, "data", "check", "dataset:ward")
    assert result.exit_code == 5 and "The data set ward@1 cannot be read." in result.output


@pytest.mark.parametrize("name", ["²", "③", "1.5", "x"])
def test_a_folder_whose_name_only_looks_like_a_number_is_no_version(name: str, datasets: Path) -> None:
    version, _ = add(datasets, wish(), rows("一"))
    version.folder.with_name(name).mkdir()
    assert find(datasets, "ward").record == version.record
    assert [each.record.version for each in list_all(datasets).versions] == [1]
    assert add(datasets, wish(), rows("二"))[0].record.version == 2


def test_a_damaged_record_is_listed_and_refused(datasets: Path) -> None:
    version, _ = add(datasets, wish(), rows("一"))
    (version.folder / "dataset.json").write_text("{}")
    assert list_all(datasets).unreadable == ("ward/1",)
    with pytest.raises(StepFailed, match="dataset.json"):
        find(datasets, "ward", 1)


@pytest.mark.parametrize("text", ["ward@0", "ward@-1", "ward@", "ward@x", "ward@²"])
def test_refuses_a_reference_without_a_version(text: str) -> None:
    with pytest.raises(BadInput, match="names no version"):
        read_reference(f"dataset:{text}")


def plan(*paths: str) -> Plan:
    files = tuple(DataFile(path) for path in paths)
    return Plan(format="islet-plan-1", name="x", model=ModelChoice("org/base"), data=DataChoice(files))


def test_a_plan_names_a_version_and_keeps_its_hash(datasets: Path) -> None:
    add(datasets, wish(), rows("一"))
    second, _ = add(datasets, wish(), rows("二"))
    wanted = plan("dataset:ward@1", "other.json", "dataset:ward")
    sets = QuestionSet("known", "dataset:ward"), QuestionSet("new", "questions.json", "contains")
    wanted = msgspec.structs.replace(wanted, evaluation=EvaluationChoice(sets))
    placed, used = place(wanted, datasets, datasets.parent)
    assert [version.record.reference for version in used] == ["ward@1", "ward@2", "ward@2"]
    first, other, newest = placed.data.train
    assert (first.path, first.registered) == (str(datasets / "ward/1/rows.parquet"), "ward@1")
    assert other == DataFile("other.json")
    assert newest.sha256 == second.record.sha256
    known, new = placed.evaluation.sets
    assert (known.path, known.registered) == (str(second.rows), "ward@2")
    assert (known.sha256, new) == (second.record.sha256, sets[1])
    for files in (placed.data.train, placed.evaluation.sets):
        check_unchanged(files)
    remove(plan_removal(second, datasets.parent / "runs"), by=ME, why="over")
    for files in (placed.data.train, placed.evaluation.sets):
        with pytest.raises(BadInput, match="ward@2 is not what the run was made from"):
            check_unchanged(files)


def test_rows_of_the_site_that_are_named_by_their_path_are_the_data_set(datasets: Path) -> None:
    version, _ = add(datasets, wish(), rows("一"))
    shutil.copyfile(version.rows, datasets.parent / "rows.parquet")
    named = ("ward/1/rows.parquet", "../datasets/ward/../ward/1/rows.parquet", "../rows.parquet")
    placed, used = place(plan(*named), datasets, datasets)
    assert [each.registered for each in placed.data.train] == ["ward@1", "ward@1", ""]
    assert [each.record.reference for each in used] == ["ward@1", "ward@1"]


def test_a_removal_names_the_runs_that_hold_copies(datasets: Path) -> None:
    version, _ = add(datasets, wish(), rows("一"))
    runs = datasets.parent / "runs"
    for name, text in (
        ("b-made-from-it", f'[[data.train]]\npath = "/old/place"\nsha256 = "{version.record.sha256}"\n'),
        ("a-by-path", f'[[data.train]]\npath = "{version.rows}"\n'),
        ("b-asked", f'[data]\n[[evaluation.sets]]\nname = "q"\npath = "{version.rows}"\n'),
        ("c-other", '[[data.train]]\npath = "x.json"\n'),
        ("d-no-plan", "nonsense"),
    ):
        (runs / name).mkdir(parents=True)
        (runs / name / "plan.toml").write_text(text)
    assert plan_removal(version, runs).runs == ("a-by-path", "b-asked", "b-made-from-it")


def test_a_removal_overwrites_what_it_removes(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "rows").write_text(SECRET * 1000)
    (folder / "data" / "rows").chmod(0o400)
    kept = tmp_path / "elsewhere"
    kept.write_text("stays")
    os.link(kept, folder / "data" / "linked")
    (folder / "out").symlink_to(kept)
    with (folder / "data" / "rows").open("rb") as before:  # its blocks, after its name is gone
        assert remove_folder(folder) == len(SECRET.encode()) * 1000
        assert set(before.read()) == {0}
    assert kept.read_text() == "stays"
    assert [path.name for path in tmp_path.iterdir()] == ["elsewhere"]


def test_a_removal_that_was_cut_off_is_finished_by_the_next(tmp_path: Path) -> None:
    dead, alive = "4194305", str(os.getpid())  # the first is more than any process has; proc(5), pid_max
    for name in (f".run-a.{dead}.gone", f".new.{dead}", f".run-c.{alive}.gone", "run-b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "rows").write_text(SECRET)
    (tmp_path / ".keep.gone").mkdir()
    remove_folder(tmp_path / "run-b")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".keep.gone", f".run-c.{alive}.gone"]


def test_gc_takes_what_was_cut_off_among_data_sets_and_runs(site: Site) -> None:
    add(site.datasets, wish(), rows("一"))
    site.store.mkdir()
    for left in (site.datasets / "ward" / ".2.4194305.gone", site.runs / ".x.4194305.gone"):
        left.mkdir()
        (left / "rows").write_text(SECRET)
    tidy(site)
    assert [path.name for path in (site.datasets / "ward").iterdir()] == ["1"]
    assert list(site.runs.iterdir()) == []


def test_a_day_may_be_set_again(datasets: Path) -> None:
    version, _ = add(datasets, wish(until=PAST), rows("一"))
    assert version.retention is not None and version.retention.is_overdue(datetime.date(2001, 2, 4))
    assert not version.retention.is_overdue(PAST)
    keep_until(version, COMING, by="wang.lei")
    found = find(datasets, "ward").retention
    assert found is not None and (found.until, found.set_by) == (COMING, "wang.lei")


def test_what_another_wrote_into_a_record_does_nothing_to_the_terminal(site: Site) -> None:
    version, _ = add(site.datasets, wish(), rows("一"))
    document = json.loads((version.folder / "dataset.json").read_text())
    hostile = "[red]\x1b[2J\x07"
    changed = {**document, "made_by": {"uid": 1, "user": hostile}, "created": hostile, "sha256": hostile}
    (version.folder / "dataset.json").write_text(json.dumps(changed))
    for words in (["list"], ["remove", "ward@1", "--reason", "x"]):
        shown = islet(site, "data", *words).output
        assert "ward@1" in shown and "[red]" in shown and not set(shown) & set("\x1b\x07")
    (version.folder / "dataset.json").write_text(json.dumps({**document, "name": "other"}))
    assert list_all(site.datasets).unreadable == ("ward/1",)


# --- what the disk below is ---------------------------------------------------------------------


def made_up_devices(folder: Path, number: int, below: "list[tuple[str, str, str]]") -> Path:
    """A `/sys` where the device `number` lies on the others: (name, UUID of device mapper, rotational)."""
    sys_folder = folder / "sys"
    blocks = sys_folder / "devices"
    for at, (name, uuid, spins) in enumerate(below):
        (blocks / name / "dm").mkdir(parents=True)
        (blocks / name / "dm" / "uuid").write_text(f"{uuid}\n")
        (blocks / name / "queue").mkdir()
        (blocks / name / "queue" / "rotational").write_text(f"{spins}\n")
        (blocks / name / "slaves").mkdir()
        if at:
            (blocks / below[at - 1][0] / "slaves" / name).symlink_to(blocks / name)
    names = sys_folder / "dev" / "block"
    names.mkdir(parents=True)
    (names / f"{os.major(number)}:{os.minor(number)}").symlink_to(blocks / below[0][0])
    return sys_folder


@pytest.mark.parametrize(
    ("below", "expected"),
    [
        ([("sda", "", "0")], Reach("none", "sda", False)),
        ([("sdb", "", "1")], Reach("none", "sdb", True)),
        ([("dm-0", "CRYPT-LUKS2-abc", "1"), ("sda2", "", "0")], Reach("disk", "dm-0", False)),
        (
            [("dm-1", "LVM-abc", "0"), ("dm-0", "CRYPT-LUKS2-abc", "0"), ("nvme0n1p3", "", "0")],
            Reach("disk", "dm-1", False),
        ),
    ],
)
def test_says_how_the_disk_is_encrypted(
    below: "list[tuple[str, str, str]]", expected: Reach, tmp_path: Path
) -> None:
    found = find_reach(tmp_path, sys=made_up_devices(tmp_path, tmp_path.stat().st_dev, below))
    assert found == expected


def test_a_disk_that_cannot_be_known_counts_as_one_that_is_not_encrypted(tmp_path: Path) -> None:
    found = find_reach(tmp_path, sys=tmp_path / "nothing")
    assert found == Reach("unknown")
    assert any("think of it as one that is not" in sentence for sentence in reach_sentences(found))
    assert any("solid-state" in sentence for sentence in reach_sentences(found))
    assert not any("solid-state" in sentence for sentence in reach_sentences(Reach("none", "sda", True)))


# --- the commands -------------------------------------------------------------------------------


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = Site(tmp_path / "opt", tmp_path / "state")
    for folder in (site.prefix, site.datasets, site.runs):
        folder.mkdir(parents=True)
    return site


def islet(site: Site, *words: str) -> Result:
    return CliRunner().invoke(main, ["--prefix", str(site.prefix), "--state", str(site.state), *words])


def entries(site: Site) -> list[dict[str, object]]:
    return [json.loads(line) for line in site.audit.read_text(encoding="utf-8").splitlines()]


def test_added_listed_kept_and_removed_by_commands(site: Site, tmp_path: Path) -> None:
    file = tmp_path / "ward.json"
    file.write_text(json.dumps([{"instruction": "问", "output": SECRET}]), encoding="utf-8")
    added = islet(site, "data", "add", "ward", str(file), "--keep-until", "2001-02-03", "--note", "trial")
    assert added.exit_code == 0, added.output
    assert "dataset:ward@1" in added.output and SECRET not in added.output
    again = islet(site, "data", "add", "all", "dataset:ward@1", str(file))
    assert again.exit_code == 0, again.output
    assert find(site.datasets, "all").record.made_from == ("dataset:ward@1", "ward.json")
    # Where rows came from outlives a second version: the file that was read first.
    assert [each.file for each in find(site.datasets, "all").record.origins] == ["ward.json"]

    checked = islet(site, "data", "check", "dataset:ward@1")
    assert "ward@1" in checked.output and SECRET not in checked.output
    assert islet(site, "data", "check", "dataset:ward@7").exit_code == 6

    listed = islet(site, "data", "list")
    assert "2001-02-03 OVERDUE" in listed.output and "Overdue: 1" in listed.output
    assert max(map(len, listed.output.splitlines())) <= 80
    assert islet(site, "data", "keep", "ward@1", "--until", "2999-12-31").exit_code == 0
    (ward,) = [
        each
        for each in json.loads(islet(site, "data", "list", "--json").output)["datasets"]
        if each["name"] == "ward"
    ]
    assert (ward["keep_until"], ward["overdue"]) == ("2999-12-31", False)
    assert ward["sha256"] == find(site.datasets, "ward").record.sha256

    unasked = islet(site, "data", "remove", "ward@1", "--reason", "over")
    assert unasked.exit_code == 2 and "Not reached: backups" in unasked.output
    gone = islet(site, "data", "remove", "ward@1", "--reason", "study over", "--yes")
    assert gone.exit_code == 0, gone.output
    assert "study over" in islet(site, "data", "list", "--removed").output
    events = [(each["event"], each.get("dataset")) for each in entries(site)]
    assert events == [
        ("dataset", "ward@1"),
        ("dataset", "all@1"),
        ("retention", "ward@1"),
        ("removal", "ward@1"),
    ]
    assert (entries(site)[3]["sha256"], entries(site)[3]["reason"]) == (ward["sha256"], "study over")
    assert SECRET not in site.audit.read_text(encoding="utf-8")


def test_what_the_audit_log_cannot_tell_of_is_not_added(site: Site, tmp_path: Path) -> None:
    site.audit.mkdir()  # in the place of the log
    (tmp_path / "a.json").write_text(json.dumps([{"instruction": "q", "output": SECRET}]), encoding="utf-8")
    assert islet(site, "data", "add", "ward", str(tmp_path / "a.json")).exit_code != 0
    assert list_all(site.datasets).versions == ()
    assert [path for path in site.datasets.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["add", "ward", "dataset:none@1"], 6),
        (["add", "ward", "none.json"], 6),
        (["add", "ward", "dataset:ward@1", "--keep-until", "soon"], 6),
        (["keep", "none@1", "--until", "2999-12-31"], 6),
        (["remove", "none@1", "--reason", "x", "--yes"], 6),
        (["remove", "none", "--reason", "x", "--yes"], 2),
        (["remove", "none@1", "--reason", " ", "--yes"], 2),
    ],
)
def test_a_command_that_cannot_be_done_says_so(words: list[str], code: int, site: Site) -> None:
    result = islet(site, "data", *words)
    assert result.exit_code == code, result.output
    assert isinstance(result.exception, SystemExit)


def test_the_list_is_said_in_chinese_too(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    add(site.datasets, wish(until=PAST), rows("一"))
    monkeypatch.setenv("ISLET_LANG", "zh_CN")
    assert "已过期" in islet(site, "data", "list").output


def test_errors_name_what_to_do(datasets: Path) -> None:
    datasets.rmdir()
    with pytest.raises(HostNotReady) as caught:
        add(datasets, wish(), rows("一"))
    error: ApplianceError = caught.value
    assert error.exit_code == 5


def test_a_record_with_an_unknown_field_is_refused(datasets: Path) -> None:
    version, _ = add(datasets, wish(), rows("一"))
    document = msgspec.json.decode((version.folder / "dataset.json").read_bytes())
    (version.folder / "dataset.json").write_bytes(msgspec.json.encode({**document, "extra": 1}))
    with pytest.raises(StepFailed, match=r"extra"):
        find(datasets, "ward")


# --- runs ---------------------------------------------------------------------------------------


@pytest.fixture
def run(site: Site, tmp_path: Path) -> RunFolder:
    """A run of rows that may be kept until a day that is over, made from a plan that names them."""
    add(site.datasets, wish(until=PAST), rows("一", SECRET))
    add(site.datasets, wish("other", until=COMING), rows("二"))
    model = make_tiny_model(tmp_path / "model")
    plan = tmp_path / "plan.toml"
    files = "".join(f'[[data.train]]\npath = "{name}"\n' for name in ("dataset:ward@1", "dataset:other"))
    plan.write_text(
        f'format = "islet-plan-1"\nname = "x"\n[model]\nbase = "{model}"\n[data]\n{files}', encoding="utf-8"
    )
    return prepare_run(plan, site.runs, tmp_path)


def test_a_run_keeps_which_rows_it_was_made_from_and_for_how_long(run: RunFolder, site: Site) -> None:
    files = read_plan(run.plan).data.train
    assert [file.registered for file in files] == ["ward@1", "other@1"]
    assert [file.sha256 for file in files] == [
        find(site.datasets, n).record.sha256 for n in ("ward", "other")
    ]
    kept = find_retention(run.root)
    assert kept is not None and kept.until == PAST  # the earlier of the two: their rows are in it
    listed = islet(site, "runs", "list")
    assert "2001-02-03 OVERDUE" in listed.output and "Overdue: 1" in listed.output
    assert json.loads(islet(site, "runs", "list", "--json").output)[0]["overdue"] is True


def test_a_run_trains_on_the_rows_of_its_data_sets(run: RunFolder, site: Site) -> None:
    prepared = prepare(run, read_plan(run.plan), load_tokenizer(read_base(run)))
    assert (prepared.check.rows_in, prepared.check.train_rows, len(prepared.train)) == (3, 3, 3)
    assert [file.name for file in prepared.check.files] == ["ward@1", "other@1"]
    kept = read_rows(run.data / "train.parquet")
    # Where each came from first, before it was a data set.
    assert [(row.file, row.row, row.answer) for row in kept] == [
        ("ward.csv", 2, "一"),
        ("ward.csv", 3, SECRET),
        ("ward.csv", 2, "二"),
    ]
    assert [file.sha256 for file in prepared.check.files] == [
        f.sha256 for f in read_plan(run.plan).data.train
    ]


def test_a_removed_version_stops_a_run_that_has_not_read_it_yet(run: RunFolder, site: Site) -> None:
    remove(plan_removal(find(site.datasets, "other"), site.runs), by=ME, why="over")
    with pytest.raises(BadInput, match="other@1 is not what the run was made from"):
        prepare(run, read_plan(run.plan), load_tokenizer(read_base(run)))


def test_a_run_is_kept_longer_and_then_removed_by_commands(run: RunFolder, site: Site) -> None:
    name = run.root.name
    kept = islet(site, "runs", "keep", name, "--until", "2999-12-31")
    assert kept.exit_code == 0, kept.output
    assert "OVERDUE" not in islet(site, "runs", "list").output
    shown = islet(site, "runs", "remove", name, "--reason", "study over")
    assert shown.exit_code == 2 and "Not reached: backups" in shown.output and run.root.is_dir()
    with worker_lock(run.lock):
        assert islet(site, "runs", "remove", name, "--reason", "study over", "--yes").exit_code == 5
    assert islet(site, "runs", "remove", name, "--reason", "study over", "--yes").exit_code == 0
    assert list(site.runs.iterdir()) == []
    gone = entries(site)[-1]
    assert (gone["event"], gone["run"], gone["reason"]) == ("removal", name, "study over")
    for wrong in (name, "../runs", f"./{name}"):
        assert islet(site, "runs", "remove", wrong, "--reason", "x", "--yes").exit_code in (2, 6)


def test_a_backup_leaves_out_what_comes_and_goes_and_brings_data_sets_back(
    site: Site, tmp_path: Path
) -> None:
    made = make_site(tmp_path / "box")
    version, _ = add(made.datasets, wish(until=COMING), rows("一"))
    for half in (".new.77", ".1.77.gone"):
        (made.datasets / "ward" / half).mkdir()
        (made.datasets / "ward" / half / "rows.parquet").write_text(SECRET)
    make_backup(made, tmp_path / "disk", Silent())
    assert SECRET not in (tmp_path / "disk" / "backup.json").read_text()
    assert all(SECRET.encode() not in path.read_bytes() for path in (tmp_path / "disk" / "files").iterdir())
    other = make_site(tmp_path / "other")
    restore(other, tmp_path / "disk", plan_restoration(other, tmp_path / "disk", Silent()), Silent())
    found = find(other.datasets, "ward", 1)
    check_rows(found)
    assert (found.record, found.retention) == (version.record, version.retention)


@pytest.mark.skipif(os.getuid() != 0, reason="needs root: owners of files")
def test_sharing_the_box_lets_trainers_read_what_was_there_and_touches_nothing_else(datasets: Path) -> None:
    version, _ = add(datasets, wish(), rows("一"))
    outside = datasets.parent / "outside"
    outside.write_text("mine")
    outside.chmod(0o600)
    (version.folder / "link").symlink_to(outside)
    os.link(outside, version.folder / "other-name")
    (datasets / "away").symlink_to(datasets.parent)
    share_datasets(datasets, 70101)
    for path, mode in ((version.folder.parent, 0o3770), (version.folder, 0o2750), (version.rows, 0o640)):
        assert (path.stat().st_gid, stat.S_IMODE(path.stat().st_mode)) == (70101, mode)
    assert (outside.stat().st_gid, stat.S_IMODE(outside.stat().st_mode)) == (0, 0o600)
    assert datasets.parent.stat().st_gid == 0
