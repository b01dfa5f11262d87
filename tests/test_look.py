"""The look at rows through a model's eyes and the trial of training: what they find, and what they leave."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from appliance.data.checks.lengths import bounds_of
from appliance.data.read import FileReport
from appliance.errors import BadInput, HostNotReady, StepFailed
from appliance.run.plan import DataChoice, DataFile, ModelChoice, Plan, TrainingChoice
from appliance.sentence import Sentence
from appliance.training.findings import find, read_rows, to_look
from appliance.training.looked import (
    Look,
    Looking,
    LookState,
    estimate_packs,
    estimate_seconds,
    estimate_steps,
    estimate_tokens,
    look_document,
    look_of,
    start_look,
)
from appliance.training.memory import estimate_memory, find_shape
from tests.tiny import CHAT_TEMPLATE, make_tiny_model, tiny_model

MARKER = "王小明的身份证"
WAIT_S = 120.0


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """For the processes that look."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture
def looks() -> Iterator[list[Looking]]:
    """Looks that end with the test."""
    begun: list[Looking] = []
    yield begun
    for look in begun:
        look.close()


def make_plan(folder: Path, rows: list[tuple[str, str]], *, base: Path | None = None, **choices: Any) -> Plan:
    """A plan to learn `rows` (question, answer), with `choices` for data and training."""
    path = folder / "rows.json"
    path.write_text(json.dumps([{"instruction": q, "output": a} for q, a in rows], ensure_ascii=False))
    data = {name: choices.pop(name) for name in ("held_out_share", "max_bad_share") if name in choices}
    return Plan(
        format="islet-plan-1",
        name="",
        model=ModelChoice(str(base or tiny_model())),
        data=DataChoice((DataFile(str(path)),), **data),
        training=TrainingChoice(**{"pack_tokens": 256, "threads": 1, **choices}),
    )


def facts(count: int) -> list[tuple[str, str]]:
    """Rows of an invented clinic."""
    return [(f"星河医院第{n}科的分机号？", f"分机号是{7000 + n}。") for n in range(count)]


def until(looking: Looking, holds: Callable[[LookState], bool]) -> LookState:
    """Poll until `holds`; what was polled last."""
    deadline = time.monotonic() + WAIT_S
    while not holds(state := looking.poll()):
        assert time.monotonic() < deadline, state
        time.sleep(0.01)
    return state


def seen(plan: Plan, looks: list[Looking], **asked: Any) -> LookState:
    """The end of a look."""
    looks.append(start_look(plan, Path("/nowhere"), **asked))
    return until(looks[-1], lambda state: not state.running)


def seen_here(plan: Plan, *, rows_shown: int = 3) -> tuple[Look, BadInput | None]:
    """What a look finds, without a process; and why training would refuse it."""
    base = Path(plan.model.base)
    found = find(plan, base, read_rows(plan, ignore), ignore)
    look = to_look(found, plan, base, rows_shown=rows_shown, device="cpu", free_bytes=10**9)
    return look_of(msgspec.json.decode(msgspec.json.encode(look_document(look)))), found.refusal


def ignore(amount: int) -> None:
    """Nobody watches."""


def the_look(state: LookState) -> Look:
    assert state.error is None, state.error
    assert state.look is not None
    return state.look


def test_the_rows_are_counted_as_one_would_by_hand(tmp_path: Path) -> None:
    rows = [
        ("A?", "1"),
        ("A?", "1"),
        ("A?", "2"),
        ("B?", "3"),
        ("C?", "4"),
        ("C?", "5"),
        ("C?", "6"),
        ("D?", "7"),
        ("E?", ""),
        ("F?", "8 <|im_end|> 9"),
        ("G?", "x" * 2000),
    ]
    look, refusal = seen_here(make_plan(tmp_path, rows, held_out_share=0.2, max_bad_share=0.3))
    (file,) = look.files
    assert (file.format, file.detected, file.encoding) == ("alpaca", True, "utf-8")
    assert (file.rows_in, file.rows_out, look.rows_in) == (11, 10, 11)
    assert (look.rows, look.refused, look.problem_count, look.held_out) == (8, 3, 3, 1)
    assert [(each.row, each.field) for each in look.problems] == [
        (9, "output"),
        (10, "assistant"),
        (11, "row"),
    ]
    assert look.too_long == 1
    assert look.longest_refused_tokens > 256
    assert (look.duplicates, look.conflicts) == (1, 6)
    assert sum(count for _, count in look.lengths) == 8
    assert refusal is None


def test_tokens_are_those_of_the_models_own_tokenizer(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    look, _ = seen_here(make_plan(tmp_path, facts(7)))
    tokenizer = AutoTokenizer.from_pretrained(tiny_model())
    asked = [f"<|im_start|>user\n{q}<|im_end|>\n<|im_start|>assistant\n" for q, _ in facts(7)]
    taught = [f"{a}<|im_end|>" for _, a in facts(7)]
    count = [len(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in (*asked, *taught)]
    assert look.tokens == sum(count)
    assert look.learned_tokens == sum(count[7:])
    assert look.longest_tokens == max(map(int.__add__, count[:7], count[7:]))


def test_a_row_is_shown_as_the_model_sees_it_and_what_is_learned_is_the_answer(tmp_path: Path) -> None:
    rows = [("血压？🩺", "偏高👩‍⚕️é"), ("b", "c"), ("心率 ECG?", " 𠮷野家\n第二行 ")]
    look, _ = seen_here(make_plan(tmp_path, rows))
    assert [(each.file, each.row) for each in look.shown] == [("rows.json", row) for row in (1, 2, 3)]
    for shown, (question, answer) in zip(look.shown, rows, strict=True):
        assert [each.learned for each in shown.pieces] == [False, True]
        assert shown.pieces[0].text == f"<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n"
        assert shown.pieces[1].text == f"{answer.strip()}<|im_end|>"


@pytest.mark.parametrize(("asked", "shown"), [(3, [1, 11, 21]), (1, [1]), (0, [])])
def test_of_many_rows_the_first_the_middle_and_the_last_are_shown(
    tmp_path: Path, asked: int, shown: list[int]
) -> None:
    look, _ = seen_here(make_plan(tmp_path, facts(21)), rows_shown=asked)
    assert [each.row for each in look.shown] == shown


def test_every_turn_of_a_conversation_that_is_learned_is_marked(tmp_path: Path) -> None:
    turns = [("user", "问一"), ("assistant", "答一"), ("user", "问二"), ("assistant", "答二")]
    path = tmp_path / "chat.jsonl"
    path.write_text(json.dumps({"messages": [{"role": r, "content": c} for r, c in turns]}))
    plan = make_plan(tmp_path, facts(1))
    plan = msgspec.structs.replace(plan, data=DataChoice((DataFile(str(path)),)))
    (shown,) = seen_here(plan)[0].shown
    assert [each.text for each in shown.pieces if each.learned] == ["答一<|im_end|>", "答二<|im_end|>"]


@pytest.mark.parametrize(
    ("rows", "choices", "what"),
    [
        ([("A?", "")] * 2 + facts(4), {}, "2 of 6 rows cannot be used."),
        ([], {}, "There are no rows."),
        (facts(1), {"held_out_share": 0.3}, "No row can be held out."),
    ],
)
def test_what_training_would_refuse_is_found_beside_what_was_found(
    tmp_path: Path, rows: list[tuple[str, str]], choices: dict[str, Any], what: str
) -> None:
    look, refusal = seen_here(make_plan(tmp_path, rows, **choices))
    assert look.rows_in == len(rows)
    assert refusal is not None
    assert refusal.what == what


def test_rows_that_training_would_refuse_are_not_tried(tmp_path: Path, looks: list[Looking]) -> None:
    state = seen(make_plan(tmp_path, [("A?", ""), *facts(4)]), looks, trial=True)
    assert the_look(state).rows == 4
    assert state.trial is None
    assert isinstance(state.refusal, BadInput)
    assert state.refusal.what == "1 of 5 rows cannot be used."


def test_a_file_or_a_model_that_cannot_be_used_is_an_error_of_three_lines(
    tmp_path: Path, looks: list[Looking]
) -> None:
    plan = make_plan(tmp_path, facts(2))
    (tmp_path / "rows.json").write_text("12")
    broken = seen(plan, looks)
    assert isinstance(broken.error, BadInput)
    assert isinstance(broken.error.what, Sentence)
    absent = seen(msgspec.structs.replace(plan, model=ModelChoice("some/model")), looks)
    assert isinstance(absent.error, BadInput)
    assert (absent.look, absent.running) == (None, False)


SLOWLY = {"recompute_activations": True, "packs_per_step": 3}


@pytest.mark.parametrize("settings", [{}, pytest.param(SLOWLY, marks=pytest.mark.slow)])
def test_a_trial_measures_and_writes_no_file(
    tmp_path: Path, looks: list[Looking], monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]
) -> None:
    base = make_tiny_model(tmp_path / "base")
    plan = make_plan(tmp_path, [*facts(12), (MARKER, MARKER)], base=base, **settings)
    homes = {name: tmp_path / name for name in ("TMPDIR", "HOME", "HF_HOME", "XDG_CACHE_HOME")}
    for name, home in homes.items():
        home.mkdir()
        monkeypatch.setenv(name, str(home))
    monkeypatch.chdir(homes["HOME"])
    before = sorted(tmp_path.rglob("*"))
    state = seen(plan, looks, trial=True)
    assert sorted(tmp_path.rglob("*")) == before
    look, trial = the_look(state), state.trial
    assert trial is not None
    assert (trial.steps, trial.device, trial.fits) == (2, look.device, True)
    assert trial.step_s > 0
    assert trial.tokens_per_s > 0
    assert 50_000_000 < trial.peak_bytes < trial.free_bytes
    assert trial.recomputed is bool(settings)
    shape = find_shape(base)
    assert shape is not None
    fullest = min(256, look.tokens)
    said = estimate_memory(plan.training, shape, tokens=fullest, learned_tokens=look.most_learned)
    assert trial.estimated_bytes == said.total_bytes
    assert look.estimated == tuple((line.name, line.bytes) for line in said.lines)


@pytest.mark.parametrize(
    "number", [signal.SIGSEGV, *(pytest.param(each, marks=pytest.mark.slow) for each in (9, 15))]
)
def test_a_look_that_dies_leaves_nothing_and_is_told(
    tmp_path: Path, looks: list[Looking], monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.chdir(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))  # else a core is never written, whatever we do
    try:
        plan = make_plan(tmp_path, [(f"{MARKER}{n}", MARKER) for n in range(4000)])
        before = sorted(tmp_path.iterdir())
        looks.append(start_look(plan, tmp_path))
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, (soft, hard))
    until(looks[-1], lambda state: state.done > 0)
    os.kill(looks[-1].pid, number)
    state = until(looks[-1], lambda state: not state.running)
    assert sorted(tmp_path.iterdir()) == before
    assert state.look is None
    assert isinstance(state.error, HostNotReady if number == signal.SIGKILL else StepFailed)


def test_an_unforeseen_error_is_told_by_kind_and_place_alone(tmp_path: Path, looks: list[Looking]) -> None:
    template = (
        "{%- for m in messages %}{%- if '张三' in m.content %}{{ '%d' % m.content }}{%- endif %}{%- endfor %}"
    )
    base = make_tiny_model(tmp_path / "base", template=template + CHAT_TEMPLATE)
    state = seen(make_plan(tmp_path, [*facts(2), ("张三?", "x")], base=base), looks)
    assert state.error is not None
    assert state.error.exit_code == 1
    kind, _, place = state.error.why.partition(" at ")
    assert kind == "TypeError"
    assert place.partition(":")[2].isdecimal()
    assert "张三" not in str(state.error)


def test_it_ends_when_whoever_asked_is_killed(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, [(f"q{n}", "a") for n in range(20_000)])
    (tmp_path / "plan.json").write_bytes(msgspec.json.encode(plan))
    entry = """
import sys, time
from pathlib import Path
import msgspec
from appliance.run.plan import Plan
from appliance.training.looked import start_look
plan = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Plan)
looking = start_look(plan, Path("/nowhere"))
while not looking.poll().done:
    time.sleep(0.01)
print(looking.pid, flush=True)
time.sleep(600)
"""
    command = [sys.executable, "-c", entry, tmp_path / "plan.json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as asking:
        assert asking.stdout is not None
        pid = int(asking.stdout.readline())
        assert is_alive(pid)
        asking.kill()
    deadline = time.monotonic() + WAIT_S
    while is_alive(pid):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_closing_ends_it_at_once(tmp_path: Path) -> None:
    looking = start_look(make_plan(tmp_path, [(f"q{n}", "a") for n in range(20_000)]), tmp_path)
    until(looking, lambda state: state.done > 0)
    looking.close()
    assert not is_alive(looking.pid)
    state = looking.poll()
    assert (state.running, state.error, state.look) == (False, None, None)


def test_running_out_of_memory_is_known_by_what_the_allocator_says() -> None:
    import torch

    from appliance.model.memory import is_out_of_memory

    with pytest.raises(RuntimeError) as allocator:
        torch.empty(2**50)
    assert is_out_of_memory(allocator.value)
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory."))
    assert is_out_of_memory(
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate`")
    )
    assert not is_out_of_memory(RuntimeError("shapes do not agree"))


def test_the_packs_of_a_trial_are_the_fullest_there_are() -> None:
    from appliance.training.encode import Example
    from appliance.training.trial import heaviest_packs

    def example(tokens: int, learned: int) -> Example:
        return Example((1,) * tokens, (False,) * (tokens - learned) + (True,) * learned)

    rows = [example(10, 1), example(60, 1), example(30, 29), example(50, 2), example(8, 2)]
    longest, densest = heaviest_packs(rows, 100)
    assert longest == [1, 2, 0]
    assert densest == [2, 4, 0, 3]


@pytest.mark.slow
def test_a_trial_that_gets_no_more_memory_says_so(tmp_path: Path, looks: list[Looking]) -> None:
    plan = make_plan(tmp_path, [(f"{n}?" * 40, "x" * 40) for n in range(200)], pack_tokens=4096, rank=64)
    looks.append(start_look(plan, tmp_path, trial=True))
    until(looks[-1], lambda state: state.stage == "trying three steps on the longest rows")
    pages = int(Path(f"/proc/{looks[-1].pid}/statm").read_text().split()[0])
    limit = pages * os.sysconf("SC_PAGE_SIZE") + 20_000_000
    resource.prlimit(looks[-1].pid, resource.RLIMIT_AS, (limit, limit))
    state = until(looks[-1], lambda state: not state.running)
    assert isinstance(state.error, HostNotReady)
    assert state.error.what == "The trial ran out of memory."
    assert state.look is not None


def test_the_client_imports_nothing_heavy() -> None:
    entry = "import sys, appliance.training.looked, appliance.job; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", entry], stdout=subprocess.PIPE, text=True, check=True)
    heavy = {"torch", "transformers", "peft", "numpy", "pyarrow", "tokenizers"}
    assert not heavy & set(loaded.stdout.split())


LOOK = Look(
    files=(FileReport("/rows.json", "0" * 64, "alpaca", False, "gb18030", 100, 99, ("note",)),),
    rows_in=100,
    rows=98,
    refused=2,
    held_out=8,
    problems=(),
    problem_count=2,
    too_long=1,
    longest_refused_tokens=900,
    tokens=9_000,
    learned_tokens=3_000,
    longest_tokens=400,
    lengths=((64, 50), (128, 48)),
    duplicates=3,
    conflicts=4,
    remarks=(("near-duplicates", 5),),
    shown=(),
    device="cuda",
    free_bytes=10**9,
    pack_tokens=1_000,
    packs_per_epoch=10,
    most_learned=500,
    estimated=(("adapter", 5),),
)


def test_what_was_found_comes_through_the_pipe_whole() -> None:
    from appliance.run.rows import Problem
    from appliance.sentence import say

    problem = Problem("rows.json", 7, "output", say("is {tokens} tokens long", tokens=9), say("shorten it"))
    look = msgspec.structs.replace(LOOK, problems=(problem,))
    back = look_of(msgspec.json.decode(msgspec.json.encode(look_document(look))))
    assert back == look
    assert isinstance(back.problems[0].what, Sentence)
    assert back.problems[0].what.values == {"tokens": 9}


def test_lengths_are_counted_under_bounds_that_double() -> None:
    assert bounds_of([3, 4, 5, 9, 16, 17]) == ((4, 2), (8, 1), (16, 2), (32, 1))
    assert bounds_of([100]) == ((128, 1),)
    assert bounds_of([]) == ()


def test_time_is_told_from_one_rate_for_any_settings() -> None:
    as_counted = TrainingChoice(pack_tokens=1_000, epochs=3.0)
    assert (estimate_packs(LOOK, 1_000), estimate_steps(LOOK, as_counted)) == (10, 30)
    assert estimate_tokens(LOOK, as_counted) == 27_000
    assert estimate_seconds(LOOK, as_counted, 100.0) == 270.0
    # Half as long and nine tenths full again: twice as many, and the same tokens in an epoch.
    halved = TrainingChoice(pack_tokens=500, epochs=2.0, packs_per_step=4)
    assert (estimate_packs(LOOK, 500), estimate_steps(LOOK, halved)) == (20, 10)
    assert estimate_tokens(LOOK, halved) == 18_000
    counted = TrainingChoice(pack_tokens=1_000, steps=5, packs_per_step=2)
    assert estimate_tokens(LOOK, counted) == 9_000
    recomputing = TrainingChoice(pack_tokens=1_000, recompute_activations=True)
    assert estimate_seconds(LOOK, recomputing, 100.0, recomputed=False) == 405.0
    assert estimate_seconds(LOOK, recomputing, 100.0, recomputed=True) == 270.0
    assert estimate_seconds(LOOK, as_counted, 100.0, recomputed=True) == 180.0


def is_alive(pid: int) -> bool:
    """Whether the process `pid` still works; one that nobody has waited for does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"
