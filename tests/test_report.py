"""The report: what it says is what the run holds, what is missing is said, and data is never markup."""

import hashlib
import json
import re
import shutil
import stat
import subprocess
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest

from appliance.bundle.contents import Contents, Entry, Part, Volume, format_contents
from appliance.data.canonical import read_rows
from appliance.errors import BadInput
from appliance.evaluation.compare import evaluate
from appliance.evaluation.results import Answer
from appliance.export.parity import Comparison, ParityReport, report_json
from appliance.locale import catalogue
from appliance.locale.voice import Voice
from appliance.model.same_base import keep_base_sums
from appliance.report.answers import SHOWN_ROWS, worst_first
from appliance.report.blocks import Curve, shortened, visible
from appliance.report.curve import curve_svg
from appliance.report.figures import flattened, number
from appliance.report.markdown import plain
from appliance.report.site_facts import SiteFacts, gather
from appliance.report.story import read_story
from appliance.report.write import write_report
from appliance.run.events import EventLog
from appliance.run.folder import RunFolder
from appliance.run.plan import DataChoice, read_plan, write_plan
from appliance.sentence import say, to_document
from appliance.site import audit
from appliance.site.layout import Site
from tests.runs import events_of, losses_of, make_run
from tests.test_training import train_here
from tests.tiny import make_tiny_model, tiny_model

ENGLISH = Voice("en")
NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
MARKUP = (
    "<script>alert('1')</script> <img src=x onerror=alert(2)> | ![p](http://evil.example/p.png) \u202e8167"
)
OUTSIDE = re.compile(r"https?://|\bsrc\s*=|\bhref\s*=|url\(|@import|<(script|link|img|iframe|object)", re.I)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run that was trained, evaluated and put through the parity gate; one of its rows holds markup."""
    folder = tmp_path_factory.mktemp("finished")
    run = make_run(folder, rows=30, held_out_share=0.2, epochs=2.0, checkpoint_every_steps=2)
    rows = json.loads((folder / "rows.json").read_text())
    rows.append({"instruction": f"What is {MARKUP}?", "input": "", "output": f"It is {MARKUP}."})
    (folder / "rows.json").write_text(json.dumps(rows))
    assert train_here(run)
    evaluate(run)
    write_parity(run.export, passed=True)
    gguf = hashlib.sha256(b"weights").hexdigest()
    (run.export / "m.gguf").write_bytes(b"weights")
    (run.export / "SHA256SUMS").write_text(f"{gguf}  m.gguf\n{'0' * 64}  parity.json\n")
    return run


def write_parity(folder: Path, *, passed: bool) -> None:
    difference = 0.25 if passed else 7.5
    comparison = Comparison(
        "gguf", "merged folder, m.gguf", 85, difference, 0.5, 18.0, 0, "" if passed else "a <b> c"
    )
    folder.mkdir(exist_ok=True)
    report = ParityReport((comparison,), None if passed else "gguf", "llama.cpp", "not present", 8, 12)
    (folder / "parity.json").write_text(report_json(report))


def page_of(run: RunFolder, site: SiteFacts | None = None) -> str:
    return write_report(run, site, language="en", now=NOW).read_text(encoding="utf-8")


class Elements(HTMLParser):
    """Names of all elements and attributes of a page, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data


def test_markup_in_an_answer_stays_text(finished: RunFolder) -> None:
    page = Elements(page_of(finished))
    assert "<script>alert('1')</script> <img src=x onerror=alert(2)>" in page.text
    assert "⟨U+202E⟩8167" in page.text
    assert "\u202e" not in page.text
    assert not page.names & {"script", "img", "link", "iframe", "object", "base", "form", "a"}
    assert not {name for name in page.attributes if name.startswith("on")} | page.attributes & {"src", "href"}
    markdown = (finished.root / "report" / "report.md").read_text(encoding="utf-8")
    assert r"\<script\>alert('1')\</script\>" in markdown
    assert r"\| \!\[p\](http://evil.example/p.png)" in markdown


def test_the_page_refers_to_nothing_outside_itself(tmp_path: Path) -> None:
    run = make_run(tmp_path, rows=4, steps=2)
    assert train_here(run)
    evaluate(run)
    page = page_of(run)
    assert not OUTSIDE.search(page)
    assert "default-src 'none'" in page
    assert "<svg" in page


def test_the_figures_are_those_of_the_run(finished: RunFolder) -> None:
    text = Elements(page_of(finished)).text
    check = json.loads((finished.data / "check.json").read_text())
    assert (check["train_rows"], check["held_out_rows"]) == (25, 6)
    assert "31 rows read = 25 trained + 6 held out + 0 refused, in reading" in text
    summary = json.loads((finished.evaluation / "summary.json").read_text())["sets"]
    assert [each["questions"] for each in summary] == [31, 6]
    for each in summary:
        assert f"{each['before']['bleu']:.1f} → {each['after']['bleu']:.1f}" in text
        assert f"{each['before']['perplexity']:.3g} → {each['after']['perplexity']:.3g}" in text
    assert f"{SHOWN_ROWS} of 31 rows shown" in text
    last = events_of(finished, "held_out")[-1]
    assert f"{last['loss']:.3g} at step {last['step']}" in text
    assert f"{losses_of(finished)[1]:.3g}" in text
    assert "training.max_grad_norm" in text


def test_hashes_are_those_of_sha256sum(finished: RunFolder) -> None:
    text = Elements(page_of(finished)).text
    paths = [*tiny_model().iterdir(), *finished.adapter.iterdir(), *finished.data.iterdir(), finished.plan]
    listed = subprocess.run(["sha256sum", *paths], capture_output=True, text=True, check=True).stdout
    assert len(listed.splitlines()) > 8
    for line in listed.splitlines():
        assert line.split()[0] in text


def test_a_file_that_is_not_what_the_export_listed_is_shown(finished: RunFolder) -> None:
    text = " ".join(Elements(page_of(finished)).text.split())
    gguf = hashlib.sha256(b"weights").hexdigest()
    assert f"m.gguf7{gguf}as in its SHA256SUMS" in text
    assert "NOT as in its SHA256SUMS" in text


def test_a_run_that_never_began_gets_a_report_that_says_what_is_missing(tmp_path: Path) -> None:
    text = Elements(page_of(make_run(tmp_path))).text
    for name in (
        "the check of the data (check.json is not there)",
        "the adapter (adapter/ is not there)",
        "the evaluation (",
        "the merged model (merged/ is not there)",
        "the export (export/ is not there)",
        "the parity report (parity.json is not there)",
        "the installed release (no installed site was asked)",
        "the audit log (no installed site was asked)",
    ):
        assert f"Missing: {name}" in text
    assert "never began, 0 of 0 steps" in text
    assert "No step was reported." in text
    assert "Released by" in text


def test_every_refused_row_is_listed_with_its_reason(tmp_path: Path) -> None:
    run = make_run(tmp_path, rows=6, steps=1)
    rows = json.loads((tmp_path / "rows.json").read_text())
    rows += [{"instruction": "no answer"}, {"instruction": "x " * 400, "input": "", "output": "too long"}]
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    plan = read_plan(run.plan)
    write_plan(msgspec.structs.replace(plan, data=DataChoice(plan.data.train, max_bad_share=0.5)), run.plan)
    assert train_here(run)
    text = Elements(page_of(run)).text
    assert "8 rows read = 6 trained + 0 held out + 2 refused, in reading" in text
    assert "Refused rows, 2 of 2 shown:" in text
    assert "rows.json7output" in text
    assert re.search(r"rows\.json8rowis \d+ tokens long, more than 256", text)


def test_a_blocked_export_says_so_and_where(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    write_parity(run.root / "export.blocked", passed=False)
    text = Elements(page_of(run)).text
    assert "no: blocked at stage “gguf”" in text
    assert "First that is off in gguf: a <b> c." in text
    assert "DIFFERS" in text


def test_a_base_that_was_exchanged_since_is_not_shown_as_what_went_in(tmp_path: Path) -> None:
    base = make_tiny_model(tmp_path / "base")
    run = make_run(tmp_path, base=base)
    keep_base_sums(base, run.base_sums)
    assert "NOT as when training began" not in page_of(run)
    (base / "config.json").write_text((base / "config.json").read_text() + " ")
    text = Elements(page_of(run)).text
    assert "others now than when training began, or came or went since: config.json. The hashes" in text
    assert text.count("NOT as when training began") == 1


@pytest.mark.parametrize("into", ["dequantised", "original"])
def test_files_that_are_not_what_was_evaluated_are_not_called_the_trained_model(
    tmp_path: Path, into: str
) -> None:
    run = make_run(tmp_path, method='"qlora"')
    plan = run.plan.read_text()
    run.plan.write_text(plan.replace('merge_into = "dequantised"', f'merge_into = "{into}"'))
    write_parity(run.export, passed=True)
    text = Elements(page_of(run)).text
    assert ("yes, in every comparison" in text) is (into == "dequantised")
    assert ("They may answer otherwise than the model that was evaluated" in text) is (into == "original")


def test_questions_that_were_trained_on_are_told(finished: RunFolder) -> None:
    # 31 rows in the set, of which one in five was held out and never trained on.
    trained = len(read_rows(finished.data / "train.parquet"))
    assert 20 < trained < 31
    text = Elements(page_of(finished)).text
    assert f"Of the questions in “trained” {trained} of 31 were trained on" in text
    assert "Of the questions in “held-out”" not in text


def test_two_reports_differ_in_their_time_alone(finished: RunFolder) -> None:
    first = page_of(finished)
    assert page_of(finished) == first
    later = write_report(finished, language="en", now=NOW.replace(hour=11)).read_text(encoding="utf-8")
    assert later == first.replace("09:30:00", "11:30:00")


def test_the_report_is_not_for_everybody(finished: RunFolder) -> None:
    page = write_report(finished, language="en", now=NOW)
    for path in (page, page.with_name("report.md")):
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
        assert "shows rows of the training data" in path.read_text(encoding="utf-8")
    assert stat.S_IMODE(page.parent.stat().st_mode) == 0o750


def make_site(folder: Path, run: RunFolder) -> Site:
    """A site whose release 7 lists one file of the base, and whose log has two entries, one on the run."""
    site = Site(folder / "opt", folder / "state")
    config = (tiny_model() / "config.json").read_bytes()
    entry = Entry(
        path="models/a/b/config.json",
        kind="model",
        component="a/b",
        licence="Apache-2.0",
        size=len(config),
        sha256=hashlib.sha256(config).hexdigest(),
        mode=0o644,
        parts=(Part("payload.000.tar", 512, len(config)),),
    )
    # A tar: a header of 512 bytes, the file in blocks of 512, two empty blocks.
    volume = Volume("payload.000.tar", 512 + -(-len(config) // 512) * 512 + 1024)
    contents = Contents((volume,), (entry,), ())
    release = site.release(7)
    release.mkdir(parents=True)
    (release / "contents.json").write_bytes(format_contents(contents))
    facts = {"number": 7, "product": "p", "created": "2026-11-01T00:00:00Z", "sums-sha256": "a" * 64}
    (release / "installed.json").write_text(json.dumps(facts))
    site.current.symlink_to("releases/7")
    audit.append(site.audit, "install", number=7)
    audit.append(site.audit, "train", run=run.root.name)
    return site


def test_worse_rows_come_first_and_the_rest_in_their_order() -> None:
    def pair(row: int, right: tuple[bool, bool], overlap: tuple[float, float]) -> tuple[Answer, Answer]:
        before, after = (
            Answer("s", "f", row, "q", "e", "a", each, 0.0, 0.0, 0.0, part, 2.0)
            for each, part in zip(right, overlap, strict=True)
        )
        return before, after

    pairs = [
        pair(1, (False, True), (0.0, 1.0)),
        pair(2, (False, False), (0.5, 0.5)),
        pair(3, (False, False), (0.9, 0.1)),
        pair(4, (True, False), (1.0, 0.9)),
        pair(5, (True, True), (1.0, 1.0)),
    ]
    assert [after.row for _, after in worst_first(pairs)] == [4, 3, 2, 5, 1]
    likely = [Answer("s", "f", 1, "q", "e", "a", True, 0.0, 0.0, 0.0, 1.0, each) for each in (2.0, 9.0, None)]
    before, worse, broken = likely
    assert worst_first([(before, before), (before, worse), (before, broken)]) == [
        (before, broken),
        (before, worse),
        (before, before),
    ]


def test_a_long_answer_is_cut_and_what_is_left_out_counted() -> None:
    assert shortened("好" * 250, 200, ENGLISH) == "好" * 200 + "… (+50 characters)"
    assert shortened(" short ", 200, ENGLISH) == "short"


def test_a_step_done_twice_after_a_kill_counts_once(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    common = {"steps": 4, "tokens_per_s": 10.0, "memory_bytes": 5}
    events = [
        {"kind": "progress", "step": 2, "losses": [4.0, 3.0], **common},
        {"kind": "progress", "step": 3, "losses": [9.0], **common},
        {"kind": "resumed", "step": 2},
        {"kind": "progress", "step": 4, "losses": [2.0, 1.0], **common, "tokens_per_s": 40.0},
        {"kind": "state", "state": "finished"},
    ]
    lines = [
        json.dumps({"time": f"2026-11-21T09:0{place}:00.000+00:00", **e}) for place, e in enumerate(events)
    ]
    run.events.write_text("\n".join(lines) + "\n")
    story = read_story(run)
    assert story.losses == ((1, 4.0), (2, 3.0), (3, 2.0), (4, 1.0))
    assert (story.state, story.step, story.resumed, story.tokens_per_s) == ("finished", 4, (2,), 20.0)


@pytest.mark.parametrize(
    "line", ['"kind":"progress"}', '"kind":"progress","step":"x","losses":[]}', '"kind":"data"}']
)
def test_a_record_that_somebody_changed_is_refused_in_words(tmp_path: Path, line: str) -> None:
    run = make_run(tmp_path, rows=2, steps=1)
    run.events.write_text('{"time":"2026-11-21T09:30:00+00:00",' + line + "\n")
    with pytest.raises(BadInput, match="What the run tells of its training cannot be read"):
        page_of(run)


def test_files_that_are_no_text_are_told_in_words(finished: RunFolder, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    shutil.copytree(finished.root, run.root)
    (run.export / "SHA256SUMS").write_bytes(b"\xff  m.gguf\n")
    run.base_sums.write_bytes(b"\xff  config.json\n")
    assert "m.gguf" in page_of(run)
    run.base.write_bytes(b"\xff")
    with pytest.raises(BadInput, match="is no run folder"):
        page_of(run)


def test_the_curve_puts_points_where_they_belong() -> None:
    curve = Curve(((1, 4.0), (2, 1.0)), ((2, 3.0),), "Step", "<Loss>", "each", "mean", "held out")
    svg = curve_svg(curve)
    # 720 by 270 with room of 52, 14, 34 and 40 around: step 2 of 2 is at x = 706, loss 4 of 4 at y = 34.
    assert 'class="raw" points="379.0,34.0 706.0,181.0"' in svg
    assert '<circle class="held" cx="706.0" cy="83.0"' in svg
    assert "&lt;Loss&gt;" in svg


def test_a_long_run_is_drawn_with_few_points() -> None:
    losses = tuple((step, 1.0) for step in range(1, 100_001))
    svg = curve_svg(Curve(losses, (), "s", "l", "r", "m", "h"))
    assert len(svg) < 30_000


def test_markdown_shows_text_as_it_is() -> None:
    assert plain("a|b `c` <d> [e](f)\n- g") == r"a\|b \`c\` \<d\> \[e\](f) ⏎ - g"
    assert plain("# h") == r"\# h"
    assert plain("- g") == r"\- g"
    assert plain("1. g") == r"\1. g"


def test_characters_that_hide_or_turn_are_written_as_codes() -> None:
    assert visible("a\u202eb\u200bc\x1b[0m\td\n") == "a⟨U+202E⟩b⟨U+200B⟩c⟨U+001B⟩[0m\td\n"
    assert visible("星河 Größe 38.5℃") == "星河 Größe 38.5℃"


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.027771, "0.0278"), (5.245, "5.25"), (525.0, "525"), (1234.5, "1,234"), (None, "not recorded")],
)
def test_figures_are_rounded_alike(value: float | None, shown: str) -> None:
    assert number(value, ENGLISH) == shown


def test_every_value_of_a_plan_has_a_name() -> None:
    assert list(flattened({"a": {"b": [{"c": 1}, {"c": "x"}]}, "d": [], "e": ["f16"]})) == [
        ("a.b[1].c", "1"),
        ("a.b[2].c", '"x"'),
        ("d", "[]"),
        ("e", '["f16"]'),
    ]


def chinese_of(run: RunFolder, site: SiteFacts | None = None) -> str:
    return write_report(run, site, language="zh_CN", now=NOW).read_text(encoding="utf-8")


def test_a_report_in_chinese_says_every_sentence_in_chinese(finished: RunFolder, tmp_path: Path) -> None:
    never = make_run(tmp_path / "never")
    write_parity(never.root / "export.blocked", passed=False)
    for english, chinese in (
        (page_of(finished), chinese_of(finished)),
        (page_of(never), chinese_of(never)),
    ):
        assert '<html lang="zh-CN">' in chinese
        cells = set(re.findall(r">([^<]+)<", english.partition("</style>")[2]))
        said = {cell for cell in cells if re.search(r"[A-Za-z]{3,} [a-z]{2}", cell)}
        assert len(said) > 20
        # What stays is the software's own names, the data's own text, and what the tests made up.
        kept = re.compile(r"^Python |script|^merged folder, m.gguf$")
        assert {cell for cell in said if f">{cell}<" in chinese and not kept.search(cell)} == set()


def test_a_report_in_chinese_shows_the_data_to_the_letter(tmp_path: Path) -> None:
    run = make_run(tmp_path, rows=4, steps=1)
    rows = [{"instruction": "right", "input": "", "output": "none"}]
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    assert train_here(run)
    evaluate(run)
    page = chinese_of(run)
    assert '<td class="prose">right</td><td class="prose">none</td>' in page
    assert "rows.json" in page


def test_what_other_parts_found_is_said_in_the_language_of_the_report(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    events = EventLog(run.events)
    damage = say("The checkpoint {name} was passed over.", name="step-4")
    events.append("warning", what=to_document(damage), why="<b>")
    events.append("failed", what="The disk is full.", why="no room", next_step="", exit_code=5)
    events.close()
    assert "The checkpoint step-4 was passed over." in page_of(run)
    page = chinese_of(run)
    catalogued = catalogue("zh_CN")
    for each in (damage, "The disk is full."):
        assert catalogued.say(each) != each
        assert catalogued.say(each) in page
    assert "&lt;b&gt;" in page


def test_the_report_is_in_the_language_that_the_environment_asks_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tmp_path)
    monkeypatch.setenv("ISLET_LANG", "zh_CN")
    assert 'lang="zh-CN"' in write_report(run, now=NOW).read_text(encoding="utf-8")
    assert 'lang="en"' in write_report(run, language="en", now=NOW).read_text(encoding="utf-8")


def test_the_site_says_release_signed_files_and_the_head_of_its_log(
    finished: RunFolder, tmp_path: Path
) -> None:
    site = make_site(tmp_path, finished)
    text = Elements(page_of(finished, gather(site, finished))).text
    assert hashlib.sha256(site.audit.read_bytes().splitlines()[-1]).hexdigest() in text
    assert "p 7, made 2026-11-01 00:00:00 UTC" in text
    assert "a" * 64 in text
    assert text.count("signed in release 7") == 1
    assert text.count("in no signed release here") == len(list(tiny_model().iterdir())) - 1


def test_the_approval_of_the_log_counts_for_the_files_that_lie_there_now(
    finished: RunFolder, tmp_path: Path
) -> None:
    run = RunFolder(tmp_path / finished.root.name)
    shutil.copytree(finished.root, run.root)
    site = make_site(tmp_path, run)
    assert "not approved when this was written" in page_of(run, gather(site, run))
    sums = hashlib.sha256((run.export / "SHA256SUMS").read_bytes()).hexdigest()
    audit.append(site.audit, "approve", run=run.root.name, decision="approved", sums_sha256=sums, note="ok")
    assert re.search(r"approved by \w+, [\d: -]+ UTC: ok", page_of(run, gather(site, run)))
    (run.export / "SHA256SUMS").write_text(f"{'0' * 64}  m.gguf\n")
    assert "not approved when this was written" in page_of(run, gather(site, run))


def test_a_log_that_was_changed_is_no_head(finished: RunFolder, tmp_path: Path) -> None:
    site = make_site(tmp_path, finished)
    site.audit.write_bytes(site.audit.read_bytes().replace(b'"uid": 0', b'"uid": 9', 1))
    text = Elements(page_of(finished, gather(site, finished))).text
    assert "Missing: the audit log (The audit log does not hold together." in text
    assert "head of the chain" not in text
