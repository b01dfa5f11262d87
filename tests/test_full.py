"""The full screen: every field by keys alone, nothing lost, nothing leaked, every line as wide as it."""

import asyncio
import dataclasses
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import wcwidth

from appliance.errors import StepFailed
from appliance.locale import Language
from appliance.wizard.front import Flow
from appliance.wizard.page import (
    Action,
    Bar,
    Block,
    Chart,
    Confirm,
    Fact,
    Facts,
    Field,
    Heading,
    Option,
    Page,
    Paragraph,
    Piece,
    Preview,
    Series,
    Table,
    Verbatim,
)
from appliance.wizard.terminal import Display
from tests.screen import Screen

if TYPE_CHECKING:
    from textual.pilot import Pilot

    from appliance.wizard.full.program import Program

SECRET = "11010519491231002X"
"""Made up; planted where a fault could print it."""

BACK, NEXT = Action("back", "Back"), Action("next", "Next", default=True)
LEAVE = Action("leave", "Save and leave", key="f9")


class ScriptedFlow:
    """A small wizard with pages like those of the journey: judges answers, keeps them, counts its calls."""

    def __init__(self, folder: Path, language: Language = "en", at: str = "health") -> None:
        self.language: Language = language
        self.at = at
        self.answers = {
            "model": "small",
            "files": "",
            "system": "",
            "preset": "balanced",
            "share": "5",
            "name": "discharge-summary",
            "repeat": "no",
        }
        self.folder = folder
        self.taken: list[str] = []
        self.ticks = 0
        self.hidden: set[str] = set()
        self.verdict = "This machine is ready."
        self.live_step = 0
        self.on_act: Callable[[str], None] = lambda name: None
        self.on_page: Callable[[], None] = lambda: None

    def answer(self, field: str, value: str) -> str:
        if field == "share" and not value.isdecimal():
            return "Type a whole number, in digits."
        if field == "name" and " " in value:
            return "This is 3 to 40 lower-case letters, digits and `-`."
        self.answers[field] = value
        return ""

    def act(self, action: str) -> bool:
        self.taken.append(action)
        self.on_act(action)
        order = ["health", "model", "data", "plan", "review", "training"]
        here = order.index(self.at)
        if action == "fail":
            raise StepFailed(
                "The GPU ran out of memory at step 413.",
                why="The longest rows need 81.2 GB; 79.6 GB are free.",
                next_step="Go back and choose the preset quick look, or free the card.",
            )
        if action in ("next", "start"):
            self.at = order[min(here + 1, len(order) - 1)]
        elif action == "back":
            self.at = order[max(here - 1, 0)]
        return action != "leave"

    def tick(self) -> bool:
        self.ticks += 1
        if self.at == "training":
            self.live_step += 1
        return self.at in ("training", "plan")

    def switch_language(self) -> None:
        self.language = "zh_CN" if self.language == "en" else "en"

    def close(self) -> None:
        """Nothing to end."""

    def page(self) -> Page:
        self.on_page()
        return getattr(self, f"_{self.at}")()

    def _page(self, number: int, title: str, *blocks: Block, **more: object) -> Page:
        page = Page(
            name=self.at,
            title=title,
            step=number,
            steps=10,
            help=("What is seen here, and why.",),
            blocks=blocks,
            fields=(),
            actions=(BACK, LEAVE, NEXT),
            verdict=self.verdict,
            level="ok",
        )
        return dataclasses.replace(page, **more)  # type: ignore[arg-type]

    def _health(self) -> Page:
        rows = (
            Fact("Bundle", "2026.11, 214 files", "ok"),
            Fact("GPU 0", "NVIDIA H20 96 GB, driver 550.54, 95.1 GB free", "ok"),
            Fact("Memory", "251 GB", "ok"),
            Fact("Disk", "82 GB free", "warn", "A 14B model needs 200 GB.", "Free some room."),
            Fact("Clock", "2019-01-01 08:12", "fail", "Times would be wrong.", "Set the clock."),
        )
        lead = Paragraph("What this machine has for the work. Your answers are saved after every one.")
        actions = (
            Action("again", "Check again", key="f5"),
            LEAVE,
            Action("next", "Next", why_not="What is marked must be mended first.", default=True),
        )
        actions = tuple(each for each in actions if each.name not in self.hidden)
        return self._page(1, "Health check", lead, Facts(rows), actions=actions, level="fail")

    def _model(self) -> Page:
        options = (
            Option("small", "Qwen2.5-7B-Instruct\t7.6 B\t15.2 GB\tApache-2.0", "fits"),
            Option("large", "Qwen2.5-14B-Instruct\t14.8 B\t29.5 GB\tApache-2.0"),
            Option(
                "huge", "Qwen2.5-72B-Instruct\t72.7 B\t145 GB\tQwen", problem="It needs 180 GB of memory."
            ),
        )
        field = Field(
            "model",
            "Base model",
            "Begin with the smallest that fits, to see that everything works.",
            "choice",
            self.answers["model"],
            options=options,
            columns=("Model", "Size", "On disk", "Licence"),
        )
        about = Facts((Fact("Licence", "Apache-2.0"), Fact("Before use", "A clinician must review.")))
        return self._page(
            2, "Base model", Paragraph("Choose the model to start from."), about, fields=(field,)
        )

    def _data(self) -> Page:
        fields = (
            Field(
                "files",
                "Files",
                "Enter opens a folder.",
                "files",
                self.answers["files"],
                folder=str(self.folder),
            ),
            Field("system", "System prompt", "What the model is told first.", "text", self.answers["system"]),
        )
        return self._page(3, "Training data", Paragraph("Choose the files to learn from."), fields=fields)

    def _plan(self) -> Page:
        presets = ("quick", "Quick look"), ("balanced", "Balanced"), ("best", "Best")
        fields = (
            Field(
                "preset",
                "Settings",
                "Balanced suits most.",
                "choice",
                self.answers["preset"],
                options=tuple(Option(name, label, "about 1 h 40 min") for name, label in presets),
            ),
            Field(
                "share", "Keep for test (%)", "Rows the model never sees.", "number", self.answers["share"]
            ),
            Field("name", "Run name", "It names the folder of the run.", "text", self.answers["name"]),
            Field(
                "repeat",
                "Test whether it repeats training text",
                "Takes a minute.",
                "yesno",
                self.answers["repeat"],
            ),
        )
        memory = Bar("Memory", 22.2, 96.0, "22.2 of 96 GB")
        ticks = Fact("Looked", str(self.ticks))
        return self._page(
            5, "Plan", memory, Facts((ticks,)), fields=tuple(f for f in fields if f.name not in self.hidden)
        )

    def _review(self) -> Page:
        rows = tuple(Fact(f"Choice {number}", f"what was chosen {number}") for number in range(1, 31))
        confirm = Confirm("Start training?", ("It takes about 1 h 40 min.",), "Not yet", "Start training")
        start = Action("start", "Start training", confirm=confirm, default=True)
        actions = (
            BACK,
            Action("save", "Save as answer file", key="f6"),
            Action("fail", "Try it", key="f7"),
            LEAVE,
            start,
        )
        return self._page(7, "Review", Heading("Nothing has been changed yet."), Facts(rows), actions=actions)

    def _training(self) -> Page:
        points = tuple((float(step), 2.5 - step / 400) for step in range(0, 400, 5))
        blocks: tuple[Block, ...] = (
            Bar("Step", float(self.live_step), 1290.0, f"{self.live_step} of 1,290"),
            Chart("Loss", (Series("training", "*", points),), rows=5),
            Table(("Measure", "Before", "After"), (("Test loss", "1.92", "0.61"),), frozenset((1, 2))),
            Preview("Row 1", (Piece("出院小结：", False), Piece("诊断明确，予以出院。", True))),
            Verbatim(("10:09:04  saved step 400", "islet runs")),
        )
        stop = Confirm("Stop training?", ("Step 400 is kept.",), "Keep training", "Stop")
        actions = (Action("stop", "Stop and keep", key="f6", confirm=stop), LEAVE)
        return self._page(8, "Training", *blocks, actions=actions, live=True, level="busy")


FULL = Display("full", plain=False, chinese=True, colour=True, slow=False)
PLAIN = dataclasses.replace(FULL, plain=True, colour=False)
PAGES = ("health", "model", "data", "plan", "review", "training")
Script = Callable[["Program", "Pilot[None]"], Awaitable[None]]


def drive(flow: Flow, script: Script, *, size: tuple[int, int] = (80, 24), display: Display = FULL) -> None:
    """Run `script` before a screen of `size`."""
    from appliance.wizard.full.program import Program

    async def play() -> None:
        program = Program(flow, display)
        async with program.run_test(size=size) as pilot:
            await settle(program, pilot)
            await script(program, pilot)

    asyncio.run(play())


async def settle(program: "Program", pilot: "Pilot[None]") -> None:
    """Wait until nothing is being done and all of it is drawn."""
    await pilot.pause()
    while program._tasks:
        await asyncio.sleep(0.005)
    await pilot.pause()


async def press(program: "Program", pilot: "Pilot[None]", *keys: str) -> None:
    for key in keys:
        await pilot.press(key)
        if len(key) > 1:  # what is typed needs nothing but to be drawn
            await settle(program, pilot)
    await settle(program, pilot)


def seen(program: "Program") -> list[str]:
    """The lines on the screen."""
    return ["".join(part.text for part in strip) for strip in program.screen._compositor.render_strips()]


def text_of(program: "Program") -> str:
    return "\n".join(seen(program))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files to choose from."""
    (tmp_path / "2025-Q3").mkdir()
    (tmp_path / "2025-Q3" / "出院小结.jsonl").write_text('{"a": 1}\n')
    (tmp_path / "discharge.jsonl").write_text('{"a": 1}\n')
    (tmp_path / "scan.pdf").write_bytes(b"%PDF-1.7")
    return tmp_path


# Answers by keys alone


def test_moving_over_a_choice_chooses_nothing_and_space_chooses(folder: Path) -> None:
    flow = ScriptedFlow(folder, at="model")

    async def script(program: "Program", pilot: "Pilot[None]") -> None:
        await press(program, pilot, "down")
        assert flow.answers["model"] == "small"
        assert any(line.startswith(">( ) Qwen2.5-14B") for line in seen(program))
        await press(program, pilot, "space")
        assert flow.answers["model"] == "large"
        assert any(line.startswith(">(*) Qwen2.5-14B") for line in seen(program))

    drive(flow, script)


def test_an_option_that_cannot_be_had_says_why_and_is_not_taken(folder: Path) -> None:
    flow = ScriptedFlow(folder, at="model")

    async def script(program: "Program", pilot: "Pilot[None]") -> None:
        assert "It needs 180 GB of memory." in text_of(program)
        await press(program, pilot, "down", "down", "enter")
        assert flow.answers["model"] == "small"
        assert "! It needs 180 GB of memory." in text_of(program)

    drive(flow, script)


def test_columns_of_a_choice_stand_under_their_header(folder: Path) -> None:
    async def script(program: "Program", pilot: "Pilot[None]") -> None:
        lines = seen(program)
        header = next(line for line in lines if "On disk" in line)
        for size in ("15.2 GB", "29.5 GB", "145 GB"):
            assert next(line for line in lines if size in line).index(size) == header.index("On disk")

    drive(ScriptedFlow(folder, at="model"), script)


def test_enter_goes_through_all_fields_to_the_action_that_leads_on(folder: Path) -> None:
    flow = ScriptedFlow(folder, at="plan")

    async def script(program: "Program", pilot: "Pilot[None]") -> None:
        await press(program, pilot, "enter", *["end", "backspace", "1", "2"], "enter")
        assert flow.answers["share"] == "12"
        await press(program, pilot, "-", "v", "1", "enter", "space", "enter")
        assert flow.answers["name"] == "discharge-summary-v1"
        assert flow.answers["repeat"] == "yes"
        assert "[x] Test whether" in text_of(program)
        assert ">[ Next > ]<" in text_of(program)
        assert flow.taken == []
        await press(program, pilot, "enter")
        assert flow.taken == ["next"]

    drive(flow, script)


def test_arrows_move_between_fields_too(folder: Path) -> None:
    async def script(program: "Program", pilot: "Pilot[None]") -> None:
        await press(program, pilot, "down", "down")
        assert program.board.focused_view().field.name == "share"
        await press(program, pilot, "down", "down")
        assert program.board.focused_view().field.name == "repeat"
        await press(program, pilot, "up", "up", "up")
        assert program.board.focused_view().field.name == "preset"

    drive(ScriptedFlow(folder, at="plan"), script)


def test_full_width_figures_count_in_a_number(folder: Path) -> None:
    flow = ScriptedFlow(folder, at="plan")

    async def script(program: "Program", pilot: "Pilot[None]") -> None:
        await press(program, pilot, "tab", "backspace", "１", "５", "tab")
        assert flow.answers["share"] == "15"
        assert "[15 " in text_of(program)

    drive(flow, script)


def test_chinese_can_be_typed_and_taken_back(folder: Path) -> None:
    flow = ScriptedFlow(folder, at="data")

    async def script(program: "Program", pilot: "Pilot[None]") -> None:
        program.board.view("system").widget().focus()
        await press(program, pilot, *"出院小结", "backspace", *"v1?", "enter")
        assert flow.answers["system"] == "出院小v1?"

    drive(flow, script)


def test_a_wrong_answer_is_told_under_its_field_and_holds_next_but_not_back(folder: Path) -> None:
    flow = ScriptedFlow(folder, at="plan")

    async def script(program: "Program", pilot: "Pilot[None]") -> None:
        await press(program, pilot, "tab", "x", "enter")
        assert flow.answers["share"] == "5"
        assert "! Type a whole number, in digits." in text_of(program)
        program.board.focus_onward()
        await press(program, pilot, "enter")
        assert flow.taken == []
        assert program.board.focused_view().field.name == "share"
        assert "[FAIL] An answer on this page is wrong." in text_of(program)
        assert "[5x " in text_of(program)
        await press(program, pilot, "escape")
        assert flow.taken == ["back"]

    drive(flow, script)


def test_what_is_typed_counts_also_when_an_action_is_taken_from_within_the_line(folder: Path) -> None:
    flow = ScriptedFlow(folder, at="plan")

    async def script(program: "Program", pilot: "Pilot[None]") -> None:
        await press(program, pilot, "tab", "0", "f9")
        assert flow.answers["share"] == "50"
        assert flow.taken == ["leave"]
        assert program.return_code == 0

    drive(flow, script)


def test_files_are_chosen_by_keys_and_left_out_again(folder: Path) -> None:
    flow = ScriptedFlow(folder, at="data")
    inner, outer = folder / "2025-Q3" / "出院小结.jsonl", folder / "discharge.jsonl"

    async def script(program: "Program", pilot: "Pilot[None]") -> None:
        assert any(line.startswith("> [dir ] ../") for line in seen(program))
        await press(program, pilot, "down", "enter")
        assert re.search(r"Folder /\S+/2025-Q3 ", text_of(program))
        await press(program, pilot, "down", "enter")
        assert flow.answers["files"] == str(inner)
        assert "[ x  ] 出院小结.jsonl" in text_of(program)
        await press(program, pilot, "backspace")
        assert any(line.startswith("> [dir ] 2025-Q3/") for line in seen(program))
        await press(program, pilot, "down", "enter")
        assert flow.answers["files"] == f"{inner}\n{outer}"
        assert "Chosen: 2" in text_of(program)
        await press(program, pilot, "down", "enter")
        assert "! scan.pdf: not a text format" in text_of(program)
        await press(program, pilot, "up", "space")
        assert flow.answers["files"] == str(inner)

    drive(flow, script)


def test_a_path_can_be_typed(folder: Path) -> None:
    flow = ScriptedFlow(folder, at="data")

    async def script(program: "Program", pilot: "Pilot[None]") -> None:
        await press(program, pilot, "tab")
        assert any(line.startswith("> or type a path") for line in seen(program))
        await press(program, pilot, *"2025-Q3", "enter")
        assert re.search(r"Folder /\S+/2025-Q3 ", text_of(program))
        program.board.view("files").entry.insert_text_at_cursor(str(folder / "discharge.jsonl"))
        await press(program, pilot, "enter")
        assert flow.answers["files"] == str(folder / "discharge.jsonl")

    drive(flow, script)


def test_a_typed_path_counts_when_the_line_is_left_and_a_wrong_one_stays_to_be_mended(folder: Path) -> None:
    flow = ScriptedFlow(folder, at="data")

    async def script(program: "Program", pilot: "Pilot[None]") -> None:
        view = program.board.view("files")
        entry = view.entry

        async def leave_line() -> None:
            await press(program, pilot, "tab")
            await asyncio.gather(*view._tasks)
            await settle(program, pilot)

        await press(program, pilot, "tab", *"discharge.json")
        await leave_line()
        assert "! discharge.json: there is no such file or folder" in text_of(program)
        assert entry.value == "discharge.json"
        await press(program, pilot, "shift+tab", "l")
        assert "there is no such file" not in text_of(program)
        await leave_line()
        assert (flow.answers["files"], entry.value) == (str(folder / "discharge.jsonl"), "")
        await press(program, pilot, "shift+tab", *"2025-Q3/出院小结.jsonl", "f9")
        chosen = [folder / "discharge.jsonl", folder / "2025-Q3" / "出院小结.jsonl"]
        assert flow.answers["files"] == "\n".join(map(str, chosen))
        assert flow.taken == ["leave"]

    drive(flow, script)


def test_of_several_lines_that_are_pasted_none_is_lost(folder: Path) -> None:
    from textual.events import Paste

    flow = ScriptedFlow(folder, at="data")

    async def script(program: "Program", pilot: "Pilot[None]") -> None:
        entry = program.board.view("system").entry
        entry.focus()
        entry.post_message(Paste("你是住院部助手。\r\n\n  Answer\tbriefly.\n"))
        await settle(program, pilot)
        await press(program, pilot, "f9")
        assert flow.answers["system"] == "你是住院部助手。 Answer briefly."

    drive(flow, script)


def test_what_is_shown_in_place_of_a_character_is_that_character_again_when_it_is_edited(
    folder: Path,
) -> None:
    flow = ScriptedFlow(folder, at="data")
    flow.answers["system"] = "Ward 7 \u2764\ufe0f\nbriefly"

    async def script(program: "Program", pilot: "Pilot[None]") -> None:
        program.board.view("system").entry.focus()
        await settle(program, pilot)
        assert "<U+FE0F>\\nbriefly" in text_of(program)
        await press(program, pilot, ".", "f9")
        assert flow.answers["system"] == "Ward 7 \u2764\ufe0f\nbriefly."

    drive(flow, script)


# Keys of the page


def test_escape_goes_back_and_the_answers_stay(folder: Path) -> None:
    flow = ScriptedFlow(folder, at="model")

    async def script(program: "Program", pilot: "Pilot[None]") -> None:
        await press(program, pilot, "down", "space", "escape")
        assert program.board.page.name == "health"
        flow.at = "model"
        program.begin(program._switch_language())
        await settle(program, pilot)
        assert "(*) Qwen2.5-14B" in text_of(program)

    drive(flow, script)


@pytest.mark.parametrize("key", ["f1", "question_mark", "？"])
def test_help_tells_of_the_page_the_field_and_the_keys(folder: Path, key: str) -> None:
    async def script(program: "Program", pilot: "Pilot[None]") -> None:
        await press(program, pilot, key)
        for text in ("What is seen here, and why.", "Balanced suits most.", "Ctrl+L", "[ Close ]"):
            assert text in text_of(program)
        await press(program, pilot, "escape")
        assert program.board.focused_view().field.name == "preset"

    drive(ScriptedFlow(folder, at="plan"), script)


def test_the_language_changes_with_what_is_typed_and_the_focus_in_place(folder: Path) -> None:
    flow = ScriptedFlow(folder, at="plan")

    async def script(program: "Program", pilot: "Pilot[None]") -> None:
        await press(program, pilot, "tab", "tab", "end", "-", "x")
        await press(program, pilot, "f2")
        assert flow.answers["name"] == "discharge-summary"
        assert "[discharge-summary-x " in text_of(program)
        assert "第 5 步，共 10 步" in text_of(program)
        await press(program, pilot, "y")
        assert "[discharge-summary-xy " in text_of(program)
        await press(program, pilot, "f2")
        assert "Step 5 of 10" in text_of(program)

    drive(flow, script)


def test_a_terminal_without_chinese_stays_in_english_and_says_why(folder: Path) -> None:
    flow = ScriptedFlow(folder, at="plan", language="zh_CN")

    async def script(program: "Program", pilot: "Pilot[None]") -> None:
        assert "Step 5 of 10" in text_of(program)
        await press(program, pilot, "f2")
        assert "This console cannot draw Chinese." in text_of(program)
        assert text_of(program).isascii()

    drive(flow, script, display=dataclasses.replace(PLAIN, chinese=False))


def test_an_action_that_cannot_be_taken_says_why(folder: Path) -> None:
    flow = ScriptedFlow(folder)

    async def script(program: "Program", pilot: "Pilot[None]") -> None:
        assert ">[ Next > (locked) ]<" in text_of(program)
        assert "What is marked must be mended first." in text_of(program)
        await press(program, pilot, "enter")
        assert flow.taken == []
        await press(program, pilot, "f5")
        assert flow.taken == ["again"]

    drive(flow, script)


def test_a_question_before_an_action_is_answered_with_what_changes_nothing_by_default(folder: Path) -> None:
    flow = ScriptedFlow(folder, at="training")

    async def script(program: "Program", pilot: "Pilot[None]") -> None:
        for answer in ("enter", "escape", "space"):
            await press(program, pilot, "f6")
            assert ">[ Keep training ]< [ Stop ]" in text_of(program)
            await press(program, pilot, answer)
            assert flow.taken == []
        await press(program, pilot, "f6", "right", "enter")
        assert flow.taken == ["stop"]

    drive(flow, script)


def test_ctrl_c_asks_and_stays_by_default(folder: Path) -> None:
    flow = ScriptedFlow(folder, at="plan")

    async def script(program: "Program", pilot: "Pilot[None]") -> None:
        await press(program, pilot, "tab", "ctrl+c")
        assert ">[ Stay ]< [ Leave ]" in text_of(program)
        await press(program, pilot, "enter")
        assert flow.taken == []
        await press(program, pilot, "0", "ctrl+c", "tab", "enter")
        assert flow.taken == ["leave"]
        assert flow.answers["share"] == "50", "also what was being typed is kept"

    drive(flow, script)


def test_a_failure_says_what_why_and_what_to_do_and_the_page_stays(folder: Path) -> None:
    flow = ScriptedFlow(folder, at="review")

    async def script(program: "Program", pilot: "Pilot[None]") -> None:
        for close in ("escape", "enter"):
            await press(program, pilot, "f7")
            for text in ("What happened", "at step 413.", "Why", "81.2 GB", "What to do", "quick look"):
                assert text in text_of(program)
            await press(program, pilot, close)
            assert program.board.page.name == "review"
            assert program.screen is program.board

    drive(flow, script)


def test_no_key_is_lost_and_no_action_is_taken_twice_while_one_takes_time(folder: Path) -> None:
    flow = ScriptedFlow(folder, at="plan")
    go_on = threading.Event()
    flow.on_act = lambda name: go_on.wait(10) and None

    async def script(program: "Program", pilot: "Pilot[None]") -> None:
        await pilot.press("tab")
        await settle(program, pilot)
        await pilot.press("f9", "f9", "backspace", "7")
        assert "[ .. ] Working: Save and leave" in text_of(program)
        assert "[7 " in text_of(program)
        go_on.set()
        await settle(program, pilot)
        assert flow.taken == ["leave"]

    drive(flow, script)


# Live pages


def test_a_page_that_changes_by_itself_leaves_focus_and_typing_alone(folder: Path) -> None:
    flow = ScriptedFlow(folder, at="plan")

    async def script(program: "Program", pilot: "Pilot[None]") -> None:
        await press(program, pilot, "tab", "tab", "end", "-", "x")
        widget = program.focused
        for _ in range(3):
            program._tick_later()
            await settle(program, pilot)
            await press(program, pilot, "y")
        assert program.focused is widget
        assert "[discharge-summary-xyyy " in text_of(program)
        assert f"Looked  {flow.ticks}" in text_of(program)
        assert flow.ticks >= 3

    drive(flow, script)


def test_a_button_that_goes_leaves_the_focus_on_what_leads_on(folder: Path) -> None:
    flow = ScriptedFlow(folder, at="health")
    flow.on_act = lambda name: flow.hidden.add(name)

    async def script(program: "Program", pilot: "Pilot[None]") -> None:
        program.board.bar.buttons["again"].focus()
        await press(program, pilot, "enter")
        assert "again" not in program.board.bar.buttons
        assert program.board.bar.buttons["next"].has_focus

    drive(flow, script)


def test_a_field_that_comes_or_goes_leaves_the_others_alone(folder: Path) -> None:
    flow = ScriptedFlow(folder, at="plan")

    async def script(program: "Program", pilot: "Pilot[None]") -> None:
        await press(program, pilot, "tab", "tab", "end", "z")
        widget = program.focused
        for hidden in ({"share"}, set(), {"preset", "repeat"}, set()):
            flow.hidden = hidden
            program._tick_later()
            await settle(program, pilot)
            names = [view.field.name for view in program.board.views]
            assert names == [n for n in ("preset", "share", "name", "repeat") if n not in hidden]
            assert program.focused is widget
            assert "[discharge-summaryz " in text_of(program)

    drive(flow, script)


# What it looks like


async def turn_to(program: "Program", pilot: "Pilot[None]", at: str) -> None:
    """Have the flow stand on the page `at`."""
    program.flow.at = at
    program.begin(program._show_page())
    await settle(program, pilot)


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
@pytest.mark.parametrize("language", ["en", "zh_CN"])
def test_every_line_is_as_wide_as_the_screen(folder: Path, language: Language, size: tuple[int, int]) -> None:
    async def script(program: "Program", pilot: "Pilot[None]") -> None:
        for at in PAGES:
            await turn_to(program, pilot, at)
            for key in ("tab", "f1", "escape") if at == PAGES[-1] else ("tab",):
                await press(program, pilot, key)
                lines = seen(program)
                assert len(lines) == size[1]
                assert {wcwidth.wcswidth(line) for line in lines} == {size[0]}

    drive(ScriptedFlow(folder, language, "review"), script, size=size)


@pytest.mark.parametrize("language", ["en", "zh_CN"])
def test_plain_screens_are_ascii_beside_chinese(folder: Path, language: Language) -> None:
    chinese = re.compile(r"[\u4e00-\u9fff，。、；：？！（）《》“”「」％]")

    async def script(program: "Program", pilot: "Pilot[None]") -> None:
        for at in PAGES:
            await turn_to(program, pilot, at)
            for key in ("tab", "f1", "escape", "ctrl+c") if at == PAGES[-1] else ("tab",):
                await press(program, pilot, key)
                assert chinese.sub("", text_of(program)).isascii()

    drive(ScriptedFlow(folder, language, "review"), script, display=PLAIN)


def test_what_leads_on_and_how_the_page_stands_is_seen_without_scrolling(folder: Path) -> None:
    async def script(program: "Program", pilot: "Pilot[None]") -> None:
        for at in PAGES:
            await turn_to(program, pilot, at)
            lines = seen(program)
            assert lines[0].startswith(" Islet") and lines[0].endswith("OFFLINE ")
            assert "This machine is ready." in lines[22]
            assert lines[23].startswith(" Tab/Arrows Move")
            assert all(action.label in "".join(lines[18:21]) for action in program.board.page.actions)

    drive(ScriptedFlow(folder, at="review"), script)


def test_a_long_page_says_that_there_is_more_and_shows_it(folder: Path) -> None:
    async def script(program: "Program", pilot: "Pilot[None]") -> None:
        assert "more below: PgDn" in text_of(program)
        assert "Choice 30" not in text_of(program)
        await press(program, pilot, "pagedown", "pagedown")
        assert "Choice 30" in text_of(program)
        assert "more above: PgUp" in text_of(program)
        assert "more below" not in text_of(program)

    drive(ScriptedFlow(folder, at="review"), script)


def test_a_window_that_is_too_small_says_so_and_recovers(folder: Path) -> None:
    async def script(program: "Program", pilot: "Pilot[None]") -> None:
        await press(program, pilot, "tab", "7")
        await pilot.resize_terminal(60, 20)
        await settle(program, pilot)
        assert "This window is 60 x 20." in text_of(program)
        assert "Settings" not in text_of(program)
        await press(program, pilot, "8")
        await pilot.resize_terminal(80, 24)
        await settle(program, pilot)
        assert "[57 " in text_of(program)
        assert program.board.focused_view().field.name == "share"

    drive(ScriptedFlow(folder, at="plan"), script)


def test_markup_and_control_characters_in_texts_are_shown_not_obeyed(folder: Path) -> None:
    flow = ScriptedFlow(folder, at="plan")
    flow.answers["name"] = "[red]x[/red]\x1b[31m\u202ey"

    async def script(program: "Program", pilot: "Pilot[None]") -> None:
        assert "[red]x[/red]<U+001B>[31m<U+202E>y" in text_of(program)
        await press(program, pilot, "tab", "tab", "tab")
        assert flow.answers["name"] == "[red]x[/red]\x1b[31m\u202ey"

    drive(flow, script)


# What Textual could do, and must not


def test_nothing_reaches_a_clipboard_a_picture_or_a_palette(folder: Path) -> None:
    flow = ScriptedFlow(folder, at="plan")

    async def script(program: "Program", pilot: "Pilot[None]") -> None:
        written: list[str] = []
        program._driver.write = written.append  # the terminal, listened to
        await press(program, pilot, "tab", "tab", "home", "shift+end", "ctrl+x", "ctrl+p")
        program.copy_to_clipboard("x")
        program.save_screenshot()
        program.deliver_screenshot()
        assert not any("\x1b]52" in text for text in written)
        assert program.screen is program.board
        assert "[discharge-summary " in text_of(program)

    drive(flow, script)
    assert not list(folder.glob("*.svg"))


# In a real terminal


class Unsayable(str):
    """A text that nobody can show: whoever looks it up fails, with a secret at hand."""

    def __hash__(self) -> int:
        secret = SECRET
        raise ValueError(secret)


def open_full(folder: Path, at: str, *, language: str = "en", fault: str = "", **env: str) -> Screen:
    """The full screen with the scripted flow, as a process of its own."""
    (folder / "tmp").mkdir()
    environment = {
        **{name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "ACCESSIBLE")},
        "TERM": "xterm-256color",
        "LANG": "C.UTF-8",
        "TMPDIR": str(folder / "tmp"),
        "ISLET_LOG": str(folder / "trace.log"),
        **env,
    }
    command = [sys.executable, "-m", "tests.test_full", str(folder), at, language, fault]
    return Screen(command, env=environment, cwd=Path(__file__).parents[1])


def serve_as_program(folder: str, at: str, language: Language, fault: str) -> int:
    """What the process of `open_full` does."""
    from appliance.wizard.full.app import run
    from appliance.wizard.terminal import look_at_terminal

    def listen(event: str, arguments: tuple[object, ...]) -> None:
        if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
            (Path(folder) / "connected").write_text(event)

    sys.addaudithook(listen)
    flow = ScriptedFlow(Path(folder), language, at)

    def fail(name: str = "") -> None:
        patient = f"{SECRET} {name}"
        raise RuntimeError(patient)

    if fault == "act":
        flow.on_act = fail
    elif fault == "page":
        flow.on_act = lambda name: setattr(flow, "on_page", fail)
    elif fault == "draw":
        flow.on_act = lambda name: setattr(flow, "verdict", Unsayable("x"))
    return run(flow, look_at_terminal())


def all_kept(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


@pytest.mark.slow
def test_a_terminal_is_left_as_it_was_found_and_the_code_is_0(folder: Path) -> None:
    with open_full(folder, "plan") as screen:
        before = screen.settings()
        screen.wait_for("Step 5 of 10")
        assert screen.settings() != before
        screen.press("f9")
        assert screen.wait() == 0
        assert screen.settings() == before
        assert screen.raw.rindex(b"\x1b[?1049l") > screen.raw.rindex(b"\x1b[?1049h")
        assert screen.raw.rindex(b"\x1b[?25h") > screen.raw.rindex(b"\x1b[?25l")
        assert b"\x1b]" not in screen.raw  # no title, no clipboard, nothing of that kind
    assert not (folder / "connected").exists()
    assert not (folder / "trace.log").exists()


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["act", "page", "draw"])
@pytest.mark.parametrize("language", ["en", "zh_CN"])
def test_a_fault_of_ours_shows_one_sentence_and_keeps_no_secret(
    folder: Path, fault: str, language: str
) -> None:
    with open_full(folder, "plan", fault=fault, language=language) as screen:
        before = screen.settings()
        screen.wait_for("Step 5 of 10" if language == "en" else "第 5 步，共 10 步")
        screen.press("tab", "tab", "tab", "tab", "tab", "tab", "enter")
        assert screen.wait() == 1
        assert screen.settings() == before
        assert "E-UI-900" in screen.text()[0] and screen.shows("islet")
        assert SECRET.encode() not in screen.raw
        assert b"Traceback" not in screen.raw
    log = folder / "trace.log"
    assert log.stat().st_mode & 0o777 == 0o600
    assert b"test_full.py" in log.read_bytes()
    assert SECRET.encode() not in all_kept(folder)


@pytest.mark.slow
def test_a_fault_leaves_nothing_of_a_page_with_rows_behind(folder: Path) -> None:
    with open_full(folder, "training", fault="page") as screen:
        screen.wait_for("出院小结")
        screen.press("f6")
        screen.wait_for("Keep training")
        screen.press("tab", "enter")
        assert screen.wait() == 1
        after = screen.raw[screen.raw.rindex(b"\x1b[?1049l") :].decode()
        assert "E-UI-900" in after
        assert "出院" not in after
        assert not screen.shows("出院")
    assert "出院".encode() not in all_kept(folder / "tmp") + (folder / "trace.log").read_bytes()


@pytest.mark.slow
def test_a_lost_line_ends_it_with_0(folder: Path) -> None:
    with open_full(folder, "plan") as screen:
        screen.wait_for("Step 5 of 10")
        screen.hang_up()
        assert screen.process.wait(10) == 0
    assert not list((folder / "tmp").iterdir())


@pytest.mark.slow
def test_being_told_to_end_restores_the_terminal(folder: Path) -> None:
    with open_full(folder, "plan") as screen:
        before = screen.settings()
        screen.wait_for("Step 5 of 10")
        assert screen.kill(signal.SIGTERM) == 0
        screen.wait()
        assert screen.settings() == before
        assert screen.raw.rindex(b"\x1b[?1049l") > screen.raw.rindex(b"\x1b[?1049h")


@pytest.mark.slow
def test_without_colour_no_colour_code_is_sent(folder: Path) -> None:
    with open_full(folder, "model", NO_COLOR="1") as screen:
        screen.wait_for("Step 2 of 10")
        screen.press("down", "tab", "f1")
        screen.wait_for("Help: Base model")
        screen.press("esc", "f9")
        assert screen.wait() == 0
        sent = {code for codes in re.findall(rb"\x1b\[([\d;]*)m", screen.raw) for code in codes.split(b";")}
    assert sent <= {b"", b"0", b"1", b"2", b"3", b"4", b"7", b"22", b"23", b"24", b"27", b"39", b"49"}


@pytest.mark.slow
def test_a_console_gets_english_in_ascii_and_no_questions(folder: Path) -> None:
    with open_full(folder, "plan", language="zh_CN", TERM="linux") as screen:
        screen.wait_for("Step 5 of 10")
        screen.press("f2")
        screen.wait_for("This console cannot draw Chinese.")
        assert "\n".join(screen.text()).isascii()
        screen.press("enter", "f9")
        assert screen.wait() == 0
        for question in (b"\x1b[?2026$p", b"\x1b[?2048$p", b"\x1b[>", b"\x1b[?1000h"):
            assert question not in screen.raw


@pytest.mark.slow
def test_what_is_typed_ahead_meets_the_focus_that_the_keys_before_it_set(folder: Path) -> None:
    with open_full(folder, "plan") as screen:
        screen.wait_for(">(*) Balanced")
        screen.press("tab", "7", "down", "end", "-", "v", "1", "enter", "space", "up", "2")
        screen.wait_for("[discharge-summary-v12 ")
        assert screen.shows("[57 ") and screen.shows("[x] Test whether")
        screen.press("3", "f9")
        assert screen.wait() == 0


@pytest.mark.slow
def test_the_question_mark_of_an_input_method_is_help(folder: Path) -> None:
    with open_full(folder, "plan", language="zh_CN") as screen:
        screen.wait_for("第 5 步，共 10 步")
        screen.press("？")
        screen.wait_for("帮助：训练方案")
        assert screen.shows("帮助：训练方案")
        screen.press("esc", "tab", "３", "tab")
        screen.wait_for("[53 ")
        assert screen.shows("[53 ") and not screen.shows("帮助：训练方案")


@pytest.mark.slow
def test_variables_for_developers_of_textual_change_nothing(folder: Path) -> None:
    names = {"TEXTUAL": "debug,devtools", "TEXTUAL_LOG": str(folder / "log"), "TEXTUAL_SCREENSHOT": "1"}
    names["TEXTUAL_SCREENSHOT_LOCATION"] = str(folder)
    with open_full(folder, "plan", **names) as screen:
        screen.wait_for("Step 5 of 10")
        screen.wait_for("Looked  2")
        screen.press("f9")
        assert screen.wait() == 0
    assert {path.name for path in folder.iterdir()} == {"2025-Q3", "discharge.jsonl", "scan.pdf", "tmp"}


@pytest.mark.slow
def test_the_screen_imports_nothing_heavy() -> None:
    program = "import sys, appliance.wizard.full.program; print(*sys.modules)"
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    heavy = {"torch", "transformers", "peft", "numpy", "pyarrow", "datasets", "httpx", "aiohttp"}
    assert not heavy & set(told.stdout.split())


if __name__ == "__main__":
    sys.exit(serve_as_program(*sys.argv[1:]))
