"""The wizard in numbered lines, against a small flow of its own: exact text, typed as people type."""

import os
import pty
import re
import select
import signal
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from wcwidth import wcswidth

from appliance.errors import StepFailed
from appliance.locale import LANGUAGES, Language
from appliance.sentence import say
from appliance.wizard.files import list_folder, places
from appliance.wizard.lines import run
from appliance.wizard.listing import Listing
from appliance.wizard.page import (
    Action,
    Bar,
    Chart,
    Confirm,
    Fact,
    Facts,
    Field,
    Option,
    Page,
    Paragraph,
    Series,
)
from appliance.wizard.terminal import Display
from appliance.wizard.typed import command_of

LINE = Display("line", plain=True, chinese=True, colour=False, slow=False)
BACK, LEAVE = Action("back", "Back"), Action("leave", "Save and leave", key="f9")
CONFIRM = Confirm("Stop training?", ("Stopping keeps step 400.",), "Keep training", "Stop and keep")


@dataclass
class SmallFlow:
    """A flow of four pages: plan, data, training (live), done. The other side of `Flow`, for these tests."""

    language: Language = "en"
    at: str = "plan"
    answers: dict[str, str] = field(
        default_factory=lambda: {"preset": "balanced", "name": "run-1", "leak": "yes"}
    )
    folder: str = "/"
    acted: list[str] = field(default_factory=list)
    step: int = 0
    ends_at: int = 1000
    fails: bool = False
    known_at: int = 0

    def page(self) -> Page:
        return {
            "plan": self._plan,
            "data": self._data,
            "training": self._training,
            "done": self._done,
            "home": self._home,
        }[self.at]()

    def answer(self, field: str, value: str) -> str:
        if field == "name" and not value.isascii():
            return say("Use letters of the ASCII alphabet.")
        if field == "files" and not value:
            return say("Choose a file.")
        self.answers[field] = value
        return ""

    def act(self, action: str) -> bool:
        self.acted.append(action)
        if self.fails:
            self.fails = False
            raise StepFailed("The disk is full.", why="0 B are left.", next_step="Free some space.")
        if action == "stop":
            self.at = "done"
        order = ["home", "plan", "data", "training", "done"]
        move = {"next": 1, "back": -1}.get(action, 0)
        self.at = order[order.index(self.at) + move]
        return action != "leave"

    def tick(self) -> bool:
        if self.at != "training":
            return self.at == "home"
        self.step += 1
        if self.step >= self.ends_at:
            self.at = "done"
        return True

    def switch_language(self) -> None:
        self.language = "zh_CN" if self.language == "en" else "en"

    def close(self) -> None:
        self.acted.append("close")

    def _plan(self) -> Page:
        preset = Field(
            "preset",
            "Preset",
            "Balanced suits most.",
            "choice",
            self.answers["preset"],
            options=(
                Option("quick", "Quick look", "25 min"),
                Option("balanced", "Balanced", "1 h 40"),
                Option("best", "Best", problem="no room"),
            ),
        )
        fields = [preset, Field("name", "Name", "How the run is called.", "text", self.answers["name"])]
        if self.answers["preset"] == "quick":
            fields.append(Field("steps", "Steps", "", "number", self.answers.get("steps", "20")))
        fields.append(Field("leak", "Leak tests", "", "yesno", self.answers["leak"]))
        facts = Facts((Fact("Memory", f"as for {self.answers['preset']}", "ok"),))
        actions = (LEAVE, Action("next", "Next", default=True))
        return Page(
            "plan",
            "Plan",
            5,
            10,
            ("How it is tuned.",),
            (facts,),
            tuple(fields),
            actions,
            "This plan fits.",
            "ok",
        )

    def _data(self) -> Page:
        files = Field(
            "files", "Training data", "", "files", self.answers.get("files", ""), folder=self.folder
        )
        actions = (BACK, LEAVE, Action("next", "Next", default=True))
        blocks = (Paragraph("Choose files."),)
        return Page("data", "Data", 3, 10, (), blocks, (files,), actions, "Choose.", "info")

    def _training(self) -> Page:
        blocks = (
            Bar(f"Step {self.step} of 1,000", self.step, 1000, "ends 11:13"),
            Chart("Loss", (Series("loss", "*", ((1, 2.5), (2, 0.5)) if self.step else ()),)),
        )
        actions = (
            Action("stop", "Stop and keep", "f6", confirm=CONFIRM),
            LEAVE,
            Action("next", "Next", why_not="It runs."),
        )
        return Page("training", "Training", 8, 10, (), blocks, (), actions, "It runs.", "busy", live=True)

    def _home(self) -> Page:
        """Always live, and asks; what there is to choose from is known after some ticks."""
        self.step += 1
        options = (
            (Option("new", "A new model"), Option("old", "Last week's\trun"))
            if self.step > self.known_at
            else ()
        )
        go = Field("go", "What next", "", "choice", self.answers.get("go", "new"), options=options)
        actions = (LEAVE, Action("next", "Next", why_not="" if options else "Reading.", default=True))
        return Page("home", "Home", 0, 10, (), (), (go,), actions, "Choose.", "info", live=True)

    def _done(self) -> Page:
        return Page("done", "Done", 0, 10, (), (Paragraph("All done."),), (), (LEAVE,), "All done.", "ok")


def drive(
    flow: SmallFlow, *typed: str | type[BaseException] | None, display: Display = LINE, width: int = 79
) -> tuple[int, str]:
    """Exit code and all that was written, when these lines are typed; None: nobody typed for a while."""
    left: Iterator[str | type[BaseException] | None] = iter(typed)
    written: list[str] = []
    now = iter(range(36_000, 10**9, 5))

    def read(timeout_s: float | None) -> str | None:
        try:
            line = next(left)
        except StopIteration:
            raise EOFError from None
        if isinstance(line, type):
            raise line
        return line

    code = run(
        flow,
        display,
        read=read,
        write=written.append,
        clock=lambda: float(next(now)),
        pause=lambda seconds: None,
        width=width,
    )
    return code, "".join(written)


def test_a_page_is_asked_line_by_line() -> None:
    flow = SmallFlow()
    code, text = drive(flow, "", "ward-7", "n", "1")
    assert code == 0
    assert text == textwrap.dedent("""
        [5/10] Plan
        [ OK ] Memory  as for balanced
        [ OK ] This plan fits.
        Preset
          1) Quick look  25 min
          2) Balanced  1 h 40
          3) Best  (not now: no room)
        Choose 1-3 [2]. b back, ? help, q leave (saved), l language: 
        Name [run-1]: ward-7
        Leak tests (yes or no) [yes]: n

          1) Save and leave
          2) Next
          3) Change an answer above
        Choose 1-3 [2]: 1
        Everything is saved. To come back, type islet.
        """)
    assert flow.answers == {"preset": "balanced", "name": "ward-7", "leak": "no"}
    assert flow.acted == ["leave"]


def test_a_page_is_asked_in_chinese() -> None:
    _, text = drive(SmallFlow(language="zh_CN"), "９", "１", "", "", "否", "离开")
    shown = [line.rstrip() for line in text.splitlines()]
    assert "请选择 1-3 [2]。b 返回，? 帮助，q 离开（已保存），l 语言： ９" in shown
    assert "  ! 「9」不在 1-3 之内。" in shown
    assert "  3) 修改上面的回答" in shown
    assert shown[-1] == "所有内容已保存。要回来，请输入 islet。"


def test_what_is_wrong_is_said_in_a_line_and_asked_again() -> None:
    flow = SmallFlow()
    _, text = drive(flow, "9", "3", "best", "balanced", "名", "ward", "maybe", "yes", "2", "q")
    wrong = [line for line in text.splitlines() if line.startswith("  !")]
    assert wrong == [
        '  ! "9" is not one of 1-3.',
        "  ! no room",
        "  ! no room",
        "  ! Use letters of the ASCII alphabet.",
        "  ! Type yes or no.",
    ]
    assert flow.at == "data"


def test_a_name_in_full_width_letters_is_taken_as_ordinary_ones() -> None:
    flow = SmallFlow()
    drive(flow, "", "ｗａｒｄ－７", "q")
    assert flow.answers["name"] == "ward-7"


def test_answers_may_bring_other_questions_and_new_facts() -> None:
    flow = SmallFlow()
    _, text = drive(flow, "1", "", "３０", "", "q")
    assert flow.answers["steps"] == "30"
    assert "Steps [20]: ３０" in text
    assert text.count("[ OK ] Memory  as for quick") == 1
    assert "This plan fits." in text and text.count("This plan fits.") == 1


def test_back_goes_one_question_back_and_from_the_first_to_the_page_before() -> None:
    flow = SmallFlow(at="data", answers={"preset": "quick", "name": "kept", "leak": "yes"})
    _, text = drive(flow, "b", "", "", "返回", "back", "other", "q")
    assert flow.acted == ["back", "leave"]
    assert re.findall(r"(?m)^(\w+) \[", text) == ["Name", "Steps", "Name"]
    assert flow.answers["name"] == "kept"


def test_before_the_first_page_there_is_nothing() -> None:
    _, text = drive(SmallFlow(), "b", "q")
    assert "  ! There is nothing before this page.\n" in text


def test_help_tells_about_the_question_the_page_and_every_prompt() -> None:
    for mark in ("?", "？", "帮助"):
        _, text = drive(SmallFlow(), mark, "q")
        assert (
            "  Balanced suits most.\n  How it is tuned.\n  At every prompt: b goes back one question" in text
        )


def test_the_language_changes_at_any_prompt_and_answers_stay() -> None:
    flow = SmallFlow()
    _, text = drive(flow, "1", "l", "ward", "L", "25", "q")
    assert flow.language == "en"
    assert text.count("[5/10]") == 3
    assert " [run-1]： ward\n" in text
    assert flow.answers == {"preset": "quick", "name": "ward", "leak": "yes", "steps": "25"}


def test_a_terminal_that_cannot_draw_chinese_gets_english() -> None:
    flow = SmallFlow(language="zh_CN")
    _, text = drive(flow, "l", "q", display=replace(LINE, chinese=False))
    assert text.isascii()
    assert "! This terminal cannot draw Chinese" in text
    assert flow.language == "zh_CN"


def test_answers_can_be_changed_before_going_on() -> None:
    flow = SmallFlow()
    drive(flow, "", "", "", "3", "1", "", "", "", "next", "q")
    assert flow.answers["preset"] == "quick" and flow.at == "data"


def test_a_failure_says_three_things_and_the_page_comes_again() -> None:
    flow = SmallFlow(fails=True)
    _, text = drive(flow, "", "", "", "", "", "q")
    assert (
        textwrap.dedent("""
        [FAIL] What happened  The disk is full.
               Why            0 B are left.
               What to do     Free some space.

        [5/10] Plan
        [ OK ] Memory  as for balanced
        Preset      Balanced
        Name        run-1
        Leak tests  yes
        [ OK ] This plan fits.
        """)
        in text
    )
    assert flow.acted == ["next", "next", "leave"] and flow.at == "data"


def test_an_answer_that_cannot_be_kept_says_why_and_is_asked_again() -> None:
    flow = SmallFlow()
    kept, full = (
        flow.answer,
        [StepFailed("The disk is full.", why="0 B are left.", next_step="Free some space.")],
    )

    def answer(field: str, value: str) -> str:
        if full:
            raise full.pop()
        return kept(field, value)

    flow.answer = answer  # type: ignore[method-assign]
    _, text = drive(flow, "1", "1", "q")
    assert "[FAIL] What happened  The disk is full." in text
    assert flow.answers["preset"] == "quick"


def test_ending_something_is_asked_about_and_staying_is_the_default() -> None:
    flow = SmallFlow(at="training")
    _, text = drive(flow, "1", "", "stop", "2", "q")
    assert (
        text.count(
            "Stop training?\nStopping keeps step 400.\n  1) Keep training\n  2) Stop and keep\nChoose 1-2 [1]"
        )
        == 2
    )
    assert flow.acted == ["stop", "leave"] and flow.at == "done"


def test_input_that_ends_inside_a_warning_changes_nothing() -> None:
    flow = SmallFlow(at="training")
    assert drive(flow, "1")[0] == 0
    assert flow.acted == []


def test_a_running_page_prints_a_line_now_and_then_and_ends_by_itself() -> None:
    flow = SmallFlow(at="training", ends_at=11)
    code, text = drive(flow, *[None] * 20, "q")
    assert code == 0
    lines = [line for line in text.splitlines() if re.match(r"\d\d:\d\d ", line)]
    # The clock of this test goes on by 5 s whenever it is looked at; a line needs 15.
    assert 1 <= len(lines) <= 4
    assert re.fullmatch(r"\d\d:\d\d Step \d of 1,000  0 %  ends 11:13; loss 0.500", lines[0])
    assert text.index("[8/10] Training") < text.index("All done.")


def test_a_page_that_is_always_live_asks_all_the_same() -> None:
    for known_at in (0, 5, 100):
        flow = SmallFlow(at="home", known_at=known_at)
        _, text = drive(flow, "2", "", "q")
        assert flow.answers["go"] == "old"
        assert flow.acted == ["next", "leave"]
        assert text.count("\nHome\n") == (2 if known_at == 100 else 1)


def test_a_slow_line_gets_fewer_words() -> None:
    counts = []
    for slow in (False, True):
        flow = SmallFlow(at="training", ends_at=200)
        _, text = drive(flow, *[None] * 250, "q", display=replace(LINE, slow=slow))
        counts.append(len(re.findall(r"(?m)^\d\d:\d\d Step", text)))
    assert counts[0] > 3 * counts[1] > 0


def test_a_scripts_answer_waits_until_the_running_page_is_done() -> None:
    flow = SmallFlow(at="training", ends_at=50)
    code, _ = drive(flow, "Save and leave now", "leave")
    assert (code, flow.at, flow.step) == (0, "done", 50)


def test_a_scripts_answer_that_a_running_page_offers_is_taken_at_once() -> None:
    flow = SmallFlow(at="training")
    assert drive(flow, "leave")[0] == 0
    assert flow.acted == ["leave"] and flow.step <= 1


def test_answers_that_end_too_early_are_an_error_with_the_page_named() -> None:
    code, text = drive(SmallFlow(), "1")
    assert code == 6
    assert '[FAIL] What happened  The answers ended at the page "Plan".' in text
    assert drive(SmallFlow(at="done"))[0] == 0
    assert drive(SmallFlow(at="training"), None)[0] == 0


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("width", (40, 79))
def test_nothing_but_text_is_written_and_lines_fit(language: Language, width: int, tmp_path: Path) -> None:
    (tmp_path / "rows\x1b[31m.json").write_text("[]")
    flow = SmallFlow(language=language, folder=str(tmp_path), ends_at=30)
    _, text = drive(flow, "?", "1", "x", "5", "", "", "2", ".", "", *[None] * 40, "?", "q", width=width)
    assert flow.at == "done"
    assert not [each for each in text if (each < " " and each != "\n") or each == "\x7f"]
    assert all(wcswidth(line) <= width for line in text.splitlines() if not line.startswith("Folder"))


def test_keys_that_move_a_cursor_leave_nothing_in_an_answer() -> None:
    flow = SmallFlow()
    drive(flow, "", "war\x1b[D\x1bOAd", "q")
    assert flow.answers["name"] == "ward"
    drive(flow, "", "ward\tseven", "q")
    assert flow.answers["name"] == "ward seven", "a tab parts words"


def test_free_text_keeps_its_characters() -> None:
    flow = SmallFlow()
    flow.answer = lambda field, value: flow.answers.update({field: value}) or ""  # type: ignore[method-assign]
    drive(flow, "", "　只写草稿（１）", "q")
    assert flow.answers["name"] == "只写草稿（１）"


def test_output_that_goes_nowhere_is_a_hang_up() -> None:
    def gone(text: str) -> None:
        raise BrokenPipeError

    assert run(SmallFlow(at="training"), LINE, read=lambda timeout: "", write=gone) == 0


@pytest.mark.parametrize(
    ("typed", "command"),
    (
        ("Ｂ", "back"),
        ("上一步", "back"),
        (" Q ", "leave"),
        ("？", "help"),
        ("语言", "language"),
        ("bb", None),
        ("", None),
    ),
)
def test_commands_are_words_of_both_languages(typed: str, command: str | None) -> None:
    assert command_of(typed) == command


# Files


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two files that can be data, one that cannot, a hidden one, and a folder."""
    (tmp_path / "b.csv").write_text("prompt,completion\n")
    (tmp_path / "a.json").write_text("[]")
    (tmp_path / "scan.pdf").write_bytes(b"%PDF-1.7 text")
    (tmp_path / ".hidden").write_text("x")
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "病历.jsonl").write_text("{}", encoding="utf-16")
    return tmp_path


def test_a_folder_is_listed_folders_first_without_what_is_hidden(folder: Path) -> None:
    (folder / "zero").write_bytes(b"")
    (folder / "model").write_bytes(b"GGUF\x03\x00\x00\x00")
    (folder / "gone").symlink_to("nowhere")
    os.mkfifo(folder / "pipe")
    assert [(each.name, each.is_folder, each.problem) for each in list_folder(folder)] == [
        ("more", True, ""),
        ("a.json", False, ""),
        ("b.csv", False, ""),
        ("gone", False, "cannot be read"),
        ("model", False, "not a text format"),
        ("pipe", False, "not a file"),
        ("scan.pdf", False, "not a text format"),
        ("zero", False, "empty"),
    ]
    assert [each.problem for each in list_folder(folder / "more")] == [""]


def test_refuses_to_list_a_folder_that_is_none(folder: Path) -> None:
    with pytest.raises(Exception, match="cannot be opened") as caught:
        list_folder(folder / "a.json")
    assert caught.value.why == "Not a directory"  # type: ignore[attr-defined]


def test_names_of_files_cannot_act_on_the_terminal(tmp_path: Path) -> None:
    (tmp_path / "a\x1b[2J\n.json").write_text("[]")
    os.close(os.open(os.fsencode(tmp_path) + b"/\xff.json", os.O_CREAT))
    assert [each.name for each in list_folder(tmp_path)] == ["<U+DCFF>.json", "a<U+001B>[2J .json"]


def test_looking_begins_at_the_sites_data_sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert places(tmp_path / "state")[0] == tmp_path
    (tmp_path / "state" / "datasets").mkdir(parents=True)
    assert places(tmp_path / "state")[:2] == (tmp_path / "state" / "datasets", tmp_path)


def test_files_are_chosen_by_number_path_and_folder(folder: Path) -> None:
    flow = SmallFlow(at="data", folder=str(folder))
    _, text = drive(flow, "3,4", "5", "2", "1", "３", "more", "病历.jsonl", "nothing.csv", ".", "q")
    assert flow.answers["files"].splitlines() == [str(folder / "b.csv"), str(folder / "more" / "病历.jsonl")]
    assert "  ! scan.pdf cannot be chosen: not a text format.\n" in text
    assert "  ! There is no file or folder nothing.csv.\n" in text


@pytest.mark.parametrize("then", ("q", "b", "l"))
def test_files_that_were_chosen_are_kept_whatever_is_typed_next(folder: Path, then: str) -> None:
    file = next(path for path in folder.iterdir() if path.suffix == ".json")
    flow = SmallFlow(at="data", folder=str(folder))
    drive(flow, str(file), then, "q")
    assert flow.answers["files"] == str(file)


def test_a_listing_says_what_can_be_chosen_and_what_is(folder: Path) -> None:
    flow = SmallFlow(at="data", folder=str(folder))
    _, text = drive(flow, "3", "q", width=118)
    shown = [re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d", "DATE", line).rstrip() for line in text.splitlines()]
    start = shown.index(f"Folder: {folder}")
    assert [re.sub(" +", " ", line) for line in shown[start : start + 7]] == [
        f"Folder: {folder}",
        "1) [folder] ..",
        "2) [folder] more/ DATE",
        "3) [ ] a.json 2 B DATE",
        "4) [ ] b.csv 18 B DATE",
        " scan.pdf 13 B not a text format".replace(" scan", "5) scan"),
        "Nothing is chosen yet.",
    ]
    assert "Chosen files: 1" in shown and f"  {folder / 'a.json'}" in shown


def test_a_long_folder_is_listed_in_parts(tmp_path: Path) -> None:
    for number in range(45):
        (tmp_path / f"{number:02}.json").write_text("[]")
    listing = Listing(tmp_path, (), most=20)
    assert listing.open(tmp_path) == ""
    assert listing.take("46") == "" and listing.chosen == (str(tmp_path / "44.json"),)
    assert listing.take("46") == "" and listing.chosen == ()
    assert listing.take("2-4、6") == "" and len(listing.chosen) == 4
    assert [listing.take("+") or listing.start for _ in range(3)] == [20, 40, 0]
    for typed in ("0", "47", "1,2", "99999999999999999999", "9" * 5000):
        assert listing.take(typed) != ""


# A real terminal


PROGRAM = """
import sys
sys.path.insert(0, {root!r})
from tests.test_lines import LINE, SmallFlow
from appliance.wizard.lines import run
flow = SmallFlow(at={at!r})
code = run(flow, LINE)
print("acted", flow.acted, flow.answers["name"])
sys.exit(code)
"""


def in_terminal(
    at: str, talk: Callable[[Callable[[str], None], Callable[[str], str]], None], **environ: str
) -> tuple[int, str]:
    """Exit code and screen text of the lines in a pseudo-terminal, led by `talk(send, until)`."""
    program = PROGRAM.format(root=str(Path(__file__).parent.parent), at=at)
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(sys.executable, [sys.executable, "-c", program], {**os.environ, "TERM": "dumb", **environ})  # noqa: S606
    seen = b""
    patience_ends = time.monotonic() + 120

    def until(wanted: str) -> str:
        nonlocal seen
        while wanted.encode() not in seen:
            if not select.select([terminal], [], [], max(patience_ends - time.monotonic(), 0))[0]:
                pytest.fail(f"no {wanted!r} in {seen!r}")
            try:
                piece = os.read(terminal, 4096)
            except OSError:
                piece = b""
            if not piece:
                pytest.fail(f"ended without {wanted!r}: {seen!r}")
            seen += piece
        before, _, seen = seen.partition(wanted.encode())
        return before.decode(errors="replace")

    everything: list[str] = []

    def keeping(wanted: str) -> str:
        text = until(wanted)
        everything.append(text)
        return text

    talk(lambda text: os.write(terminal, text.encode()) and None, keeping)  # type: ignore[func-returns-value]
    _, status = os.waitpid(pid, 0)
    os.close(terminal)
    return os.waitstatus_to_exitcode(status), "".join(everything)


def test_a_person_at_a_terminal_is_led_without_escape_codes() -> None:
    def talk(send: Callable[[str], None], until: Callable[[str], str]) -> None:
        until("language: ")
        send("2\n")
        until("Name [run-1]: ")
        send("病房\n")
        until("! Use letters")
        until("Name [run-1]: ")
        send("ward\n")
        until("[yes]: ")
        send("\x03")  # Ctrl+C
        until("  1) Stay\r\n  2) Leave; everything is saved\r\n")
        until("[1]: ")
        send("\n")
        until("[yes]: ")
        send("q\n")
        until("acted ['leave'] ward")

    code, text = in_terminal("plan", talk)
    assert code == 0
    assert "\x1b" not in text


def test_a_line_whose_end_the_terminal_dropped_is_not_kept() -> None:
    def talk(send: Callable[[str], None], until: Callable[[str], str]) -> None:
        until("language: ")
        send("\n")
        until("Name [run-1]: ")
        send("n" * 3000)
        until("n" * 3000)  # a terminal takes so much at once
        send("n" * 3000 + "\n")
        until("! Only 4,095 bytes of that line arrived here")
        until("Name [run-1]: ")
        send("ward\n")
        until("[yes]: ")
        send("q\n")
        until("acted ['leave'] ward")

    assert in_terminal("plan", talk)[0] == 0


def test_enter_shows_a_running_page_anew_and_ctrl_d_leaves_it() -> None:
    def talk(send: Callable[[str], None], until: Callable[[str], str]) -> None:
        until("beside it.")
        send("\n")
        until("[8/10] Training")
        until("beside it.")
        send("3\n")
        until("! It runs.")
        send("\x04")
        until("Everything is saved.")
        until("acted []")

    assert in_terminal("training", talk)[0] == 0


def test_a_terminal_of_another_encoding_is_no_reason_to_crash() -> None:
    def talk(send: Callable[[str], None], until: Callable[[str], str]) -> None:
        until("language: ")
        send("l\n")
        until("[5/10] ")
        send("q\n")
        until("acted ['leave']")

    assert in_terminal("plan", talk, PYTHONIOENCODING="ascii:strict", PYTHONUTF8="0")[0] == 0


def test_a_hang_up_leaves_everything_saved() -> None:
    program = PROGRAM.format(root=str(Path(__file__).parent.parent), at="plan")
    reads, writes = os.pipe()
    master, slave = os.openpty()
    pid = os.posix_spawn(
        sys.executable,
        [sys.executable, "-c", program],
        dict(os.environ),
        file_actions=[
            (os.POSIX_SPAWN_DUP2, slave, 0),
            (os.POSIX_SPAWN_DUP2, writes, 1),
            (os.POSIX_SPAWN_CLOSE, master),
        ],
    )
    os.close(writes)
    seen = b""
    while b"language: " not in seen:
        seen += os.read(reads, 4096)
    os.kill(pid, signal.SIGHUP)
    while piece := os.read(reads, 4096):
        seen += piece
    _, status = os.waitpid(pid, 0)
    for descriptor in (reads, master, slave):
        os.close(descriptor)
    assert os.waitstatus_to_exitcode(status) == 0
    assert b"acted [] run-1" in seen
