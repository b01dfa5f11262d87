"""The wizard's core: pages, answers, what is kept. No model is loaded and no row is read."""

import dataclasses
import json
import re
import shutil
import stat
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from appliance.data.registry.add import Wish, add
from appliance.data.registry.record import Maker
from appliance.errors import ApplianceError, BadInput, HostNotReady, StepFailed
from appliance.locale import catalogue
from appliance.run.plan import DataFile, Plan, TrainingChoice, field_problem, read_plan, write_plan
from appliance.run.rows import Message, Row
from appliance.sentence import Sentence
from appliance.site.layout import Site
from appliance.training.looked import Look
from appliance.wizard.desk import RUNS_FRESH_S, Desk
from appliance.wizard.draft import Draft, draft_folder, read_draft, with_value, write_draft
from appliance.wizard.flow import AFTER_START, BEFORE_A_RUN, ORDER, STEPS
from appliance.wizard.page import Facts, Page
from appliance.wizard.presets import Fitted
from appliance.wizard.question import WrongAnswer
from appliance.wizard.session import Wizard
from appliance.wizard.step import Step, to_page
from appliance.wizard.steps.review import fingerprint
from appliance.wizard.titles import TITLES
from appliance.wizard.unattended import run_plan, take_further

ZH = catalogue("zh_CN")
RUN = "2026-11-21-ward-7-a1b2"
EVENTS: dict[str, list[dict[str, Any]]] = {
    "made": [],
    "finished": [{"kind": "state", "state": "finished", "pid": 1}],
    "stopped": [{"kind": "state", "state": "stopped", "pid": 1}],
    "interrupted": [{"kind": "state", "state": "training", "pid": 1, "step": 0}],
}
"""What a run of each state tells of itself; nobody is at work on any."""


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A site with one model, whose files have the right names and shapes and hold nothing."""
    prefix, state = tmp_path / "opt", tmp_path / "state"
    for folder in ("datasets", "runs", "exports"):
        (state / folder).mkdir(parents=True)
    model = prefix / "current" / "models" / "made-up" / "tiny"
    model.mkdir(parents=True)
    header = json.dumps({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
    (model / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(8))
    (model / "config.json").write_text('{"max_position_embeddings": 512}')
    (model / "tokenizer.json").write_text("{}")
    (prefix / "trust").mkdir()
    (state / "datasets" / "rows.json").write_text("[]")
    return Site(prefix, state)


@pytest.fixture
def desk(site: Site) -> Iterator[Desk]:
    """A desk on which what takes time is found out already."""
    desk = Desk(site)
    wait_for(desk)
    yield desk
    desk.close()


def wait_for(desk: Desk) -> None:
    """Come back when the box and the models are known."""
    while not (desk.health.done and desk.models.done):
        time.sleep(0.01)


def answered(desk: Desk) -> Draft:
    """A draft with a plan that every rule of the plan lets pass."""
    plan = with_value(desk.draft.plan, "data.train", (DataFile("/rows.json"),))
    for field, value in (("model.base", "made-up/tiny"), ("name", "ward-7"), ("export.name", "ward")):
        plan = with_value(plan, field, value)
    return desk.changed(plan=plan)


def open_run(desk: Desk, state: str) -> None:
    """Have the desk be about a run in this state."""
    root = desk.site.runs / RUN
    root.mkdir(exist_ok=True)
    write_plan(answered(desk).plan, root / "plan.toml")
    (root / "base").write_text("/model")
    lines = [json.dumps({"time": "2026-11-21T10:00:00.000+00:00", **event}) for event in EVENTS[state]]
    (root / "events.jsonl").write_text("".join(f"{line}\n" for line in lines))
    desk.open_run(RUN)
    assert desk.run.state == state


def all_pages(desk: Desk) -> Iterator[tuple[Step, Page]]:
    """Every page, as it is without any work; those about a run in every state of it."""
    for name in ("language", "home", *BEFORE_A_RUN):
        yield STEPS[name], to_page(STEPS[name], desk)
    for state in EVENTS:
        open_run(desk, state)
        for name in AFTER_START:
            yield STEPS[name], to_page(STEPS[name], desk)


# The journey


def test_every_page_has_its_place_a_title_and_help() -> None:
    assert [step.name for step in ORDER] == list(TITLES)
    assert all(step.title == TITLES[step.name] and step.help for step in ORDER)
    assert [step.number for step in ORDER if step.name in BEFORE_A_RUN] == [1, 2, 3, 3, 4, 5, 5, 6, 7]
    assert [step.number for step in ORDER if step.name in AFTER_START] == [8, 9, 10, 0]


def test_everything_that_a_page_offers_can_be_done(desk: Desk) -> None:
    for step, page in all_pages(desk):
        names = [action.name for action in page.actions]
        assert len(set(names)) == len(names), step.name
        assert set(names) <= {"back", "next", "leave", *step.takes}, step.name
        keys = [action.key for action in page.actions if action.key]
        assert len(set(keys)) == len(keys), step.name
        assert sum(action.default for action in page.actions) <= 1, step.name


def test_every_page_can_be_left_and_all_but_the_first_two_gone_back_from(desk: Desk) -> None:
    for step, page in all_pages(desk):
        offered = {action.name for action in page.actions if not action.why_not}
        assert "leave" in offered
        if step.name in ("language", "home"):
            assert "back" not in offered
        else:
            assert "back" in offered
            assert step.before is not None and step.before(desk) in STEPS


def test_what_cannot_be_done_yet_says_why(desk: Desk) -> None:
    for step, page in all_pages(desk):
        onward = next((action for action in page.actions if action.name == "next"), None)
        if onward is not None and onward.why_not:
            assert onward.why_not.endswith("."), step.name


def test_a_person_is_led_from_the_language_to_the_data(site: Site) -> None:
    wizard = Wizard(site)
    try:
        for name in ("language", "home", "health"):
            assert wizard.page().name == name
            deadline = time.monotonic() + 30
            while any(a.name == "next" and a.why_not for a in wizard.page().actions):
                assert time.monotonic() < deadline
                wizard.tick()
            assert wizard.act("next")
        assert wizard.act("next"), "locked: no model is chosen"
        assert wizard.page().name == "model"
        assert wizard.answer("model.base", "made-up/tiny") == ""
        assert wizard.act("next")
        assert wizard.page().name == "data"
        assert wizard.answer("nobody.asks", "x") == "This page does not ask for nobody.asks."
        wizard.switch_language()
        assert wizard.language == "zh_CN"
        assert wizard.act("back")
        assert wizard.page().fields[0].value == "made-up/tiny"
        assert not wizard.act("leave")
    finally:
        wizard.close()
    again = Wizard(site)
    assert again.language == "zh_CN"
    assert again.page().fields[0].value == "continue"
    assert again.act("next")
    assert again.page().name == "data", "the furthest page that was come to"
    again.close()


def test_a_terminal_without_chinese_is_not_asked_for_a_language(site: Site) -> None:
    wizard = Wizard(site, chinese=False)
    assert (wizard.page().name, wizard.language) == ("home", "en")
    wizard.switch_language()
    assert wizard.language == "en"
    wizard.close()


# Answers

WRONG = {
    "language": ("fr",),
    "go": ("nothing",),
    "model.base": ("other/model", ""),
    "data.train": ("/no/such/file.json",),
    "file": ("/other.json",),
    "dataset": ("rows",),
    "sheet": ("Sheet1",),
    "messages": ("chat",),
    "prompt": ("question",),
    "response": ("answer",),
    "data.max_bad_share": ("maybe",),
    "data.held_out_share": ("half", "51", "-1", "nan"),
    "preset": ("fast",),
    "training.method": ("full",),
    "training.epochs": ("0", "three", "nan", "inf", "20000"),
    "training.steps": ("-1", "1.5"),
    "training.learning_rate": ("0", "2", "", "2e"),
    "training.rank": ("0", "2000", "8.5", "x"),
    "training.alpha": ("0", "nan", "9999"),
    "training.pack_tokens": ("0", "-5", "many"),
    "training.packs_per_step": ("0", "x"),
    "training.recompute_activations": ("perhaps",),
    "name": ("", "Ward", "a b", "病区", "x" * 41, "-a", "../a"),
    "export.name": ("", "A", "a/b", "a b", "名"),
    "export.gguf": ("q4_0",),
}
"""Answers that nobody may give. By the question's name."""


def test_wrong_answers_are_refused_in_a_sentence_that_chinese_has(desk: Desk) -> None:
    questions = {question.name: question for step in ORDER for question in step.questions}
    asked_for_text = {"model.system"}  # any text will do
    assert set(WRONG) | asked_for_text == set(questions)
    for name, texts in WRONG.items():
        for text in texts:
            before = desk.draft
            with pytest.raises(WrongAnswer) as refused:
                questions[name].take(desk, text)
            assert desk.draft == before
            assert refused.value.why.endswith("."), (name, text)
            assert unknown_in(refused.value.why) == [], (name, text)


@pytest.mark.parametrize(
    ("field", "text", "value"),
    (
        ("training.rank", "１６", 16),
        ("training.rank", " 1,0 ", 10),
        ("training.learning_rate", "2e-4", 0.0002),
        ("training.epochs", "２．５", 2.5),
        ("data.held_out_share", "12.5 %", 0.125),
        ("data.held_out_share", "20％", 0.2),
        ("name", " ward-7 ", "ward-7"),
        ("model.system", "  请简短。 ", "请简短。"),
    ),
)
def test_answers_are_read_as_people_type_them(desk: Desk, field: str, text: str, value: object) -> None:
    question = next(each for step in ORDER for each in step.questions if each.name == field)
    plan = question.take(desk, text).plan
    found: Any = plan
    for part in field.split("."):
        found = getattr(found, part)
    assert found == value


def test_answers_are_judged_by_the_rules_of_the_plan(desk: Desk) -> None:
    for step in ORDER:
        for question in step.questions:
            if question.name not in ("name", "export.name", "training.rank", "training.epochs"):
                continue
            for text in WRONG[question.name]:
                try:
                    value = int(text) if question.name == "training.rank" else text
                    value = float(text) if question.name == "training.epochs" else value
                except ValueError:
                    continue
                rule = field_problem(with_value(desk.draft.plan, question.name, value), question.name)
                with pytest.raises(WrongAnswer, match=re.escape(f"This {rule}.")):
                    question.take(desk, text)


def test_own_values_are_cut_to_what_another_model_can_read(desk: Desk) -> None:
    plan = with_value(desk.draft.plan, "training.pack_tokens", 4096)
    desk.keep(desk.changed(plan=with_value(plan, "training.rank", 7), preset="advanced"))
    question = next(each for each in STEPS["model"].questions if each.name == "model.base")
    training = question.take(desk, "made-up/tiny").plan.training
    assert (training.pack_tokens, training.rank) == (512, 7), "the model's config says 512"


def test_a_file_that_is_gone_is_left_out_when_others_are_taken(desk: Desk) -> None:
    gone, there = desk.site.state / "datasets" / "gone.json", desk.site.state / "datasets" / "rows.json"
    gone.write_text("[]")
    files = next(each for each in STEPS["data"].questions if each.name == "data.train")
    desk.keep(files.take(desk, f"{gone}"))
    gone.unlink()
    assert str(gone) in files.problem(desk)
    desk.keep(files.take(desk, f"{gone}\n{there}"))
    assert files.show(desk) == str(there)
    assert files.problem(desk) == ""


def look_with(rows: int, bad: int) -> Look:
    """A look at so many usable rows, and so many that cannot be used."""
    figures = {field.name: 0 for field in msgspec.structs.fields(Look)}
    none = {name: () for name in ("files", "problems", "lengths", "remarks", "shown")}
    told = {"device": "cpu", "estimated": None, "rows": rows, "problem_count": bad}
    return msgspec.convert({**figures, **none, **told}, Look)


class LookedDesk(Desk):
    """A desk whose rows were looked at already."""

    seen: Look | None = None

    def found(self) -> Look | None:
        return self.seen


def test_going_on_without_bad_rows_is_asked_again_when_there_are_more_of_them(site: Site) -> None:
    desk = LookedDesk(site)
    question = next(each for each in STEPS["check"].questions if each.name == "data.max_bad_share")
    desk.seen = look_with(97, 3)
    desk.keep(question.take(desk, "yes"))
    assert (question.show(desk), desk.draft.plan.data.max_bad_share) == ("yes", 0.03)
    desk.seen = look_with(90, 10)
    assert question.show(desk) == "no", "of these nobody has said so"
    desk.keep(question.take(desk, "yes"))
    assert (question.show(desk), desk.draft.plan.data.max_bad_share) == ("yes", 0.1)
    for bad in range(1, 100):
        desk.seen = look_with(100 - bad, bad)
        desk.keep(question.take(desk, "yes"))
        assert question.show(desk) == "yes", bad
    desk.close()


# After a run


def test_what_was_made_is_called_done_only_where_it_is(desk: Desk) -> None:
    def verdict(name: str) -> tuple[str, str]:
        page = to_page(STEPS[name], desk)
        return page.level, page.verdict

    open_run(desk, "finished")
    run = desk.run.run
    for folder in (run.export, run.root / "report"):
        folder.mkdir()
    (run.export / "Modelfile").write_text("FROM x.gguf")
    names = {"stage": "merge", "compared": "a and b", "first": "", "positions": 9, "other_choices": 0}
    figures = {"largest_difference": 0.0, "allowed_difference": 0.1}
    told = {"first_difference": None, "engine": "llama.cpp", "ollama": ""}
    for passed, level in ((None, "warn"), (False, "warn"), (True, "ok")):
        comparisons = [{**names, **figures, "passed": passed}]
        content = "" if passed is None else json.dumps({"comparisons": comparisons, **told})
        (run.export / "parity.json").write_text(content)
        assert verdict("export")[0] == level, content
    assert verdict("done") == ("warn", "The model is exported; its report is not written yet.")
    (run.root / "report" / "report.html").write_text("")
    assert verdict("done") == ("ok", "All done. Nothing left this machine.")


# What is kept


def a_draft() -> Draft:
    """A draft with no value as it comes."""
    draft = Draft(language="zh_CN", reached="review", preset="best", run=RUN)
    plan = with_value(draft.plan, "training.rank", 7)
    plan = with_value(plan, "data.train", (DataFile("/数据/rows 1.json", "alpaca"),))
    return msgspec.structs.replace(draft, plan=with_value(plan, "model.system", 'a"b\n请'))


def test_a_draft_comes_back_as_it_was_kept_for_its_owner_only(tmp_path: Path) -> None:
    folder = draft_folder(tmp_path, 1234)
    write_draft(a_draft(), folder)
    assert read_draft(folder) == (a_draft(), None)
    assert folder == tmp_path / "wizard" / "1234"
    assert stat.S_IMODE((folder / "draft.json").stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert [path.name for path in folder.iterdir()] == ["draft.json"]


@pytest.mark.parametrize(
    "content",
    (
        "",
        "{",
        "[]",
        '{"format": "islet-draft-9"}',
        '{"format": "islet-draft-1", "other": 1}',
        '{"format": "islet-draft-1", "reached": "nowhere"}',
        "\udcff",
    ),
)
def test_a_draft_that_cannot_be_read_is_set_aside_and_home_says_so(site: Site, content: str) -> None:
    folder = draft_folder(site.state)
    folder.mkdir(parents=True)
    (folder / "draft.json").write_text(content, errors="surrogateescape")
    desk = Desk(site)
    assert desk.draft == Draft()
    assert desk.set_aside == folder / "draft.unreadable"
    assert desk.set_aside.read_text(errors="surrogateescape") == content
    assert str(desk.set_aside) in str(to_page(STEPS["home"], desk).blocks)
    desk.close()


def test_a_draft_about_a_run_that_is_gone_opens_at_home(site: Site) -> None:
    write_draft(a_draft(), draft_folder(site.state))
    wizard = Wizard(site)
    assert wizard.page().name == "home"
    wizard.close()


def close_disk(site: Site) -> None:
    """From now on no answer can be written down, as on a disk that is full or another's."""
    shutil.rmtree(site.state / "wizard", ignore_errors=True)
    (site.state / "wizard").write_text("")


def put_run(site: Site) -> None:
    """A run in the site's folder."""
    desk = Desk(site)
    open_run(desk, "finished")
    desk.close()


def test_where_no_answer_can_be_kept_runs_can_be_looked_at_in_either_language(site: Site) -> None:
    put_run(site)
    close_disk(site)
    wizard = Wizard(site)
    assert wizard.answer("language", "zh_CN") == ""
    assert wizard.act("next")
    wizard.switch_language()
    assert (wizard.page().name, wizard.language) == ("home", "en")
    assert wizard.answer("go", RUN) == ""
    assert wizard.act("next")
    assert wizard.page().name == "compare"
    wizard.close()
    Wizard(site, language="zh_CN").close()


def test_a_new_plan_is_not_begun_where_no_answer_can_be_kept(desk: Desk) -> None:
    close_disk(desk.site)
    with pytest.raises(HostNotReady, match="could not be saved"):
        desk.keep(answered(desk))
    assert not desk.draft.is_begun


def test_a_wizard_that_was_left_open_takes_nothing_from_what_another_one_kept(site: Site) -> None:
    forgotten, other = Wizard(site, language="en"), Desk(site)
    wait_for(other)
    other.keep(answered(other))
    forgotten.switch_language()
    there, _ = read_draft(draft_folder(site.state))
    assert (there.language, there.plan) == ("zh_CN", other.draft.plan)
    forgotten.close()
    other.close()


def test_home_offers_the_answers_that_another_wizard_kept_and_asks_before_they_are_dropped(
    site: Site,
) -> None:
    forgotten, other = Wizard(site, language="en"), Desk(site)
    wait_for(other)
    assert [option.value for option in forgotten.page().fields[0].options] == ["new"]
    other.keep(answered(other))
    assert forgotten.tick()
    assert forgotten.answer("go", "new") == ""
    page = forgotten.page()
    assert [option.value for option in page.fields[0].options] == ["continue", "new"]
    assert next(action for action in page.actions if action.name == "next").confirm is not None
    forgotten.close()
    other.close()


def test_next_on_the_page_of_a_run_that_has_gone_shows_home_and_begins_nothing(site: Site) -> None:
    put_run(site)
    wizard = Wizard(site, language="en")
    wizard.answer("go", RUN)
    assert wizard.act("next")
    assert wizard.page().name == "compare"
    shutil.rmtree(site.runs / RUN)
    time.sleep(RUNS_FRESH_S)
    assert wizard.act("next")
    page = wizard.page()
    assert page.name == "home"
    assert f"the folder of the run {RUN} is gone" in str(page.blocks)
    wizard.close()


def test_home_says_how_many_older_runs_it_does_not_show(desk: Desk) -> None:
    for day in range(1, 23):
        folder = desk.site.runs / f"2026-11-{day:02}-ward-a1b2"
        folder.mkdir()
        (folder / "plan.toml").write_text("")
    page = to_page(STEPS["home"], desk)
    assert [option.value[8:10] for option in page.fields[0].options[1:]] == [
        f"{day:02}" for day in range(22, 2, -1)
    ]
    assert "2 older ones are not shown: `islet runs list`" in str(page.blocks)


def test_home_names_the_data_sets_of_the_site_and_the_files_beside_them(desk: Desk) -> None:
    row = Row((Message("user", "几楼？"), Message("assistant", "三楼")), "ward.csv", "a" * 64, 2)
    add(desk.site.datasets, Wish("ward", Maker(1000, "li.na"), ("ward.csv",)), [row])
    (desk.site.datasets / "readme").write_text("called like a data set\n")
    facts = [fact for block in STEPS["home"].blocks(desk) if isinstance(block, Facts) for fact in block.rows]
    assert [str(fact.value) for fact in facts if fact.label == "Data"] == ["ward@1, readme, rows.json"]


# The fingerprint


def leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every field of a plan that has no fields of its own, by its dotted name."""
    for field in msgspec.structs.fields(value):
        inner = getattr(value, field.name)
        path = f"{name}.{field.name}".strip(".")
        if isinstance(inner, msgspec.Struct):
            yield from leaves(inner, path)
        else:
            yield path, inner


def other(value: Any) -> Any:
    """Another value of the same kind."""
    match value:
        case bool():
            return not value
        case int() | float():
            return value + 1
        case str():
            return value + "x"
    return (*value, "x") if value else ("x",)


def test_the_fingerprint_changes_with_every_choice_and_every_byte_of_the_data(desk: Desk) -> None:
    plan, sums = answered(desk).plan, ("a" * 64, "b" * 64)
    fields = list(leaves(plan))
    assert len(fields) > 25
    plans: list[Plan] = [with_value(plan, name, other(value)) for name, value in fields]
    seen = {fingerprint(each, sums) for each in plans} | {fingerprint(plan, sums)}
    for changed in ((), sums[:1], sums[::-1], ("a" * 64, "c" * 64)):
        seen.add(fingerprint(plan, changed))
    assert len(seen) == len(fields) + 1 + 4
    assert fingerprint(plan, sums) == fingerprint(msgspec.convert(msgspec.to_builtins(plan), Plan), sums)
    assert all(re.fullmatch(r"[A-Z2-7]{4}-[A-Z2-7]{4}-[A-Z2-7]{4}", each) for each in seen)


class SmallBox(Desk):
    """A desk on a box where only a narrower adapter fits than the answers say."""

    def settings(self, training: TrainingChoice | None = None) -> Fitted | None:
        narrow = msgspec.structs.replace(training or self.draft.plan.training, rank=4)
        return Fitted(narrow, changed=True, estimate=None, fits=True)


def test_the_review_shows_and_saves_the_plan_that_start_will_take(site: Site) -> None:
    desk = SmallBox(site)
    wait_for(desk)
    desk.keep(answered(desk))
    taken = with_value(desk.draft.plan, "training.rank", 4)
    page = to_page(STEPS["review"], desk)
    assert "rank 4," in str(page.blocks)
    assert fingerprint(taken, ()) in str(page.blocks)
    STEPS["review"].takes["save"](desk)
    assert read_plan(desk.answer_file()) == taken
    desk.close()


# Chinese


def texts(value: Any) -> Iterator[str]:
    """Every text in a page."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (tuple, list, frozenset)):
        for each in value:
            yield from texts(each)
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            if field.name not in CODES:
                yield from texts(getattr(value, field.name))


CODES = {"name", "kind", "value_", "level", "key", "mark", "folder", "points", "lines_"}
"""Fields that hold no words for a person."""


def unknown_in(text: str) -> list[str]:
    """What of a text Chinese has no words for."""
    template = text.template if isinstance(text, Sentence) else text
    inner = [
        each
        for value in (text.values.values() if isinstance(text, Sentence) else ())
        if isinstance(value, Sentence)
        for each in unknown_in(value)
    ]
    words = re.sub(r"\{[^{}]*\}", "", template)
    is_said = not re.search(r"[A-Za-z]{2}", words) or ZH.knows(template)
    return inner if is_said else [template, *inner]


def test_everything_on_every_page_is_known_in_chinese(desk: Desk) -> None:
    names = {"English", "made-up/tiny", RUN, "GGUF", "f16", "ward", "qlora", "lora", "balanced", "advanced"}
    missing: set[str] = set()
    for _, page in all_pages(desk):
        for field in page.fields:
            names |= {field.value, *(option.value for option in field.options)}
        for text in texts(page):
            missing |= {each for each in unknown_in(text) if each not in names}
    paths = {each for each in missing if "/" in each or each.startswith(("cd ", "ollama ", "sha256sum "))}
    assert sorted(missing - paths) == []


# What is imported


def test_the_wizard_and_its_fronts_import_nothing_heavy() -> None:
    code = (
        "import appliance.cli, appliance.wizard.open, appliance.wizard.lines, appliance.wizard.unattended, "
        "appliance.wizard.full.app, appliance.wizard.full.program, sys; "
        "heavy = {'torch', 'transformers', 'peft', 'numpy', 'pyarrow', 'datasets', 'safetensors'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(("content", "problem"), ((b"", "empty"), (b"%PDF-1.7\n", "not a text format")))
def test_a_typed_path_to_what_is_no_data_is_refused(desk: Desk, content: bytes, problem: str) -> None:
    file = desk.site.state / "scan.json"
    file.write_bytes(content)
    files = next(each for each in STEPS["data"].questions if each.name == "data.train")
    with pytest.raises(WrongAnswer) as refused:
        files.take(desk, str(file))
    assert refused.value.why == f"{file} cannot be taken: {problem}."


# An answer file, and sites of several people


def write_answer_file(site: Site, rows: str) -> Path:
    """An answer file beside the state folder that learns from `rows`."""
    desk = Desk(site)
    wait_for(desk)
    plan = with_value(answered(desk).plan, "data.train", (DataFile(rows),))
    desk.close()
    write_plan(plan, site.state / "answers.toml")
    return site.state / "answers.toml"


def test_an_answer_file_ends_with_the_error_itself_and_leaves_the_folder_of_answers_open_to_others(
    site: Site,
) -> None:
    site.runs.chmod(0o1777)
    file = write_answer_file(site, "datasets/rows.json")
    with pytest.raises(BadInput, match="asks for more than the model can read") as refused:
        run_plan(site, file)
    assert refused.value.next_step.startswith("Set training.pack_tokens to 512 or less")
    assert stat.S_IMODE((site.state / "wizard").stat().st_mode) == 0o1777
    assert list((site.state / "wizard").iterdir()) == []


def test_an_answer_file_whose_run_was_removed_begins_no_other_one(site: Site) -> None:
    put_run(site)
    wizard = Wizard(site, language="en")
    wizard.answer("go", RUN)
    wizard.act("next")
    shutil.rmtree(site.runs / RUN)
    with pytest.raises(StepFailed, match=f"the folder of the run {RUN} is gone"):
        take_further(wizard, lambda page: None, {"review"})
    wizard.close()


def test_an_answer_file_may_name_a_data_set_of_the_site(
    site: Site, capfd: pytest.CaptureFixture[str]
) -> None:
    row = Row((Message("user", "几楼？"), Message("assistant", "三楼")), "ward.csv", "a" * 64, 2)
    add(site.datasets, Wish("ward", Maker(1000, "li.na"), ("ward.csv",)), [row])
    with pytest.raises(ApplianceError):  # the model has no tokenizer to read the rows with
        run_plan(site, write_answer_file(site, "dataset:ward@1"))
    assert "Training data: Files chosen: 1." in capfd.readouterr().err
    with pytest.raises(BadInput, match="ward"):
        run_plan(site, write_answer_file(site, "dataset:ward@2"))
