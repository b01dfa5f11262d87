"""Questions before and after: generation is the model's own greedy answer, and the counts are right."""

import hashlib
import json
import math
import shutil
import zipfile
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch

from appliance.errors import BadInput
from appliance.evaluation.ask import ask
from appliance.evaluation.ask import batches_of as ask_batches
from appliance.evaluation.compare import evaluate
from appliance.evaluation.judge import is_right
from appliance.evaluation.likelihood import batches_of as loss_batches
from appliance.evaluation.prompt import answer_of, expected_text, prompt_of
from appliance.evaluation.questions import read_questions, sample
from appliance.evaluation.results import read_answers, read_summary
from appliance.model.base import load_base, load_tokenizer, stop_ids
from appliance.run.folder import RunFolder
from appliance.run.plan import EvaluationChoice, QuestionSet, read_plan, write_plan
from appliance.run.rows import Message, Row
from appliance.training.encode import Encoder
from tests.runs import events_of, losses_of, make_run, write_rows
from tests.test_packing import THOUGHTFUL
from tests.test_tool_rows import ASKED, CALL, JSON_IN_TAGS, TALK, row
from tests.test_training import train_here
from tests.tiny import make_tiny_tokenizer, tiny_model

QUESTIONS = [
    [Message("user", "a")],
    [Message("system", "You are a helpful assistant."), Message("user", "请问儿科在几楼？" * 6)],
    [Message("user", "Where?"), Message("assistant", "There."), Message("user", "体温38.5℃？")],
]


@pytest.mark.parametrize(
    ("answer", "expected", "judge", "right"),
    [
        (" 7618 \n", "7618", "exact", True),
        ("分机号是7618。", "7618", "exact", False),
        ("分机号是7618。", "7618", "contains", True),
        ("7618", "分机号是7618。", "contains", False),
        ("<think>\n他说7619\n</think>\n\n7618", "<think>\n查表\n</think>\n\n7618", "exact", True),
        ("7618", "<think>\n查表\n</think>\n\n7618", "exact", True),
        ("<think>\n7618\n</think>\n\n7619", "7618", "contains", False),
        ("<think>\n也许是7618", "7618", "contains", False),
        ("7618", "", "contains", False),
    ],
)
def test_judges_an_answer(answer: str, expected: str, judge: Any, right: bool) -> None:
    assert is_right(answer, expected, judge) is right


def greedy_by_hand(model: Any, tokenizer: Any, conversation: list[Message], tokens: int) -> str:
    """The most likely next token again and again, with no cache, no padding and no generate()."""
    text = tokenizer.apply_chat_template(
        [{"role": each.role, "content": each.content} for each in conversation],
        tokenize=False,
        add_generation_prompt=True,
    )
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    written: list[int] = []
    with torch.no_grad():
        for _ in range(tokens):
            token = int(model(input_ids=torch.tensor([ids + written])).logits[0, -1].argmax())
            if token in (tokenizer.eos_token_id, tokenizer.pad_token_id):
                break
            written.append(token)
    return str(tokenizer.decode(written, skip_special_tokens=True))


def test_answers_in_a_padded_batch_are_those_of_each_question_alone() -> None:
    model, tokenizer = load_base(tiny_model()), load_tokenizer(tiny_model())
    stops = stop_ids(tiny_model(), tokenizer)
    assert stops == [597, 599]  # <|endoftext|> and <|im_end|>, after 597 tokens of text
    rows = [Row((*each, Message("assistant", "x")), "q.json", "0" * 64, 1) for each in QUESTIONS]
    answers = ask(model, tokenizer, rows, stop_ids=stops, max_new_tokens=12)
    assert answers == [greedy_by_hand(model, tokenizer, each, 12) for each in QUESTIONS]
    assert all(answers)


THOUGHTS = Row(
    (ASKED, Message("assistant", "<think>\n先看楼层表。\n</think>\n\n三楼")), "q.json", "0" * 64, 1
)


@pytest.mark.parametrize(
    ("template", "row", "expected"),
    [
        (JSON_IN_TAGS, row(ASKED, Message("assistant", "", (CALL,))), None),
        (JSON_IN_TAGS, TALK, None),
        (THOUGHTFUL, THOUGHTS, THOUGHTS.answer),
    ],
)
def test_a_question_is_asked_with_the_tools_and_thoughts_that_it_was_taught_with(
    tmp_path: Path, template: str, row: Row, expected: str | None
) -> None:
    tokenizer = make_tiny_tokenizer(tmp_path, template=template)
    examples = Encoder(tokenizer, max_tokens=512).examples(row)
    assert isinstance(examples, list)
    example = examples[-1]
    begin = len(example.ids) - next(
        at for at, learned in enumerate([*reversed(example.learned), False]) if not learned
    )
    assert prompt_of(tokenizer, row) == tokenizer.decode(example.ids[:begin])
    taught = tokenizer.decode(example.ids[begin:])
    assert answer_of(tokenizer, row) == taught
    assert expected_text(tokenizer, row) == expected or taught == f"{expected_text(tokenizer, row)}<|im_end|>"


def test_a_question_that_the_template_refuses_is_named(tmp_path: Path) -> None:
    refusing = "{{- raise_exception('no such turn') }}"
    tokenizer = make_tiny_tokenizer(tmp_path, template=refusing)
    with pytest.raises(BadInput, match="q.json, row 1, cannot be asked"):
        prompt_of(tokenizer, THOUGHTS)


def test_what_goes_through_the_model_at_once_is_bounded_also_where_prompts_are_long() -> None:
    lengths = [2000] * 50 + [10] * 50
    batches = ask_batches(lengths, 128)
    assert sorted(index for batch in batches for index in batch) == list(range(100))
    assert max(len(batch) * (max(lengths[index] for index in batch) + 128) for batch in batches) <= 16_384
    assert max(map(len, batches)) == 32
    pairs = [([1] * length, [1, 2]) for length in lengths]
    by_tokens = loss_batches(pairs, 1024)
    assert sorted(index for batch in by_tokens for index in batch) == list(range(100))
    assert max(len(batch) * max(lengths[index] + 2 for index in batch) for batch in by_tokens) <= 16_384
    assert ask_batches([40_000], 128) == loss_batches([([1] * 40_000, [1])], 1024) == [[0]]


@pytest.mark.slow
def test_an_untrained_model_knows_nothing_and_the_trained_one_what_it_was_taught(tmp_path: Path) -> None:
    run = make_run(tmp_path, rows=6, steps=150, pack_tokens=512)
    assert train_here(run)
    summary = evaluate(run)
    (result,) = summary.sets
    assert (result.name, result.questions, result.right_before, result.right_after) == ("trained", 6, 0, 6)
    assert read_summary(run) == summary
    after = result.after
    assert (result.before.exact, after.exact, after.rouge_1, after.rouge_2, after.rouge_l) == (0, 1, 1, 1, 1)
    assert after.bleu == pytest.approx(100)
    assert result.before.perplexity is not None
    assert after.perplexity is not None
    # 600 tokens to choose from, all alike to random weights. The same rows were trained, one pack a step.
    assert 300 < result.before.perplexity < 1200
    assert math.log(after.perplexity) == pytest.approx(losses_of(run)[150], rel=0.01)
    for name, right in (("before.jsonl", False), ("after.jsonl", True)):
        lines = [json.loads(line) for line in (run.evaluation / name).read_text().splitlines()]
        assert [line["right"] for line in lines] == [right] * 6
        assert lines[0]["question"] == "星河医院第0科的分机号？"
        assert lines[0]["expected"] == "分机号是7000。"


def without_sets(run: RunFolder) -> None:
    plan = read_plan(run.plan)
    write_plan(msgspec.structs.replace(plan, evaluation=EvaluationChoice()), run.plan)


@pytest.mark.parametrize("method", ["lora", "qlora"])
@pytest.mark.slow
def test_trained_and_held_out_rows_are_asked_by_themselves_when_the_plan_names_none(
    tmp_path: Path, method: str
) -> None:
    run = make_run(tmp_path, rows=12, held_out_share=0.25, steps=4, method=f'"{method}"')
    without_sets(run)
    assert train_here(run)
    summary = evaluate(run)
    assert [(each.name, each.file, each.rows, each.questions) for each in summary.sets] == [
        ("trained", "train.parquet", 9, 9),
        ("held-out", "held_out.parquet", 3, 3),
    ]
    held_out = summary.sets[1].after.perplexity
    assert held_out is not None
    # Training measured the same rows with the same adapter over the same base, in packs.
    assert math.log(held_out) == pytest.approx(events_of(run, "held_out")[-1]["loss"], rel=1e-4)
    pairs = read_answers(run)
    assert [after.set for _, after in pairs] == ["trained"] * 9 + ["held-out"] * 3
    assert {before.file for before, _ in pairs} == {"rows.json"}


def test_held_out_rows_are_asked_beside_the_sets_of_the_plan(tmp_path: Path) -> None:
    run = make_run(tmp_path, rows=12, held_out_share=0.25, steps=1)
    assert train_here(run)
    summary = evaluate(run)
    assert [(each.name, each.file, each.questions) for each in summary.sets] == [
        ("trained", "rows.json", 12),
        ("held-out", "held_out.parquet", 3),
    ]


def test_a_sample_is_the_same_rows_every_time_in_their_order() -> None:
    rows = [Row((Message("user", "q"), Message("assistant", "a")), "f", "0" * 64, n) for n in range(1000)]
    chosen = sample(rows, 50)
    assert len(chosen) == 50
    assert chosen == sample(rows, 50)
    assert [row.row for row in chosen] == sorted({row.row for row in chosen})
    assert 300 < sum(row.row for row in chosen) / 50 < 700
    assert sample(rows, 1000) == tuple(rows)


def test_answers_of_two_evaluations_are_not_taken_for_one(tmp_path: Path) -> None:
    run = make_run(tmp_path, rows=2, steps=1)
    assert train_here(run)
    evaluate(run)
    lines = (run.evaluation / "after.jsonl").read_text().splitlines(keepends=True)
    (run.evaluation / "after.jsonl").write_text("".join(reversed(lines)))
    with pytest.raises(BadInput, match="hold different rows"):
        read_answers(run)


def test_the_hash_of_a_set_is_that_of_the_file_that_the_plan_names(tmp_path: Path) -> None:
    run = make_run(tmp_path, rows=3, steps=1)
    folder, archive = tmp_path / "folder", tmp_path / "rows.zip"
    folder.mkdir()
    shutil.copy(tmp_path / "rows.json", folder / "a.json")
    write_rows(folder / "b.json", 5)
    with zipfile.ZipFile(archive, "w") as packed:
        packed.write(folder / "a.json", "a.json")
        packed.write(folder / "b.json", "b.json")
    plan = read_plan(run.plan)
    sets = (QuestionSet("plain", str(tmp_path / "rows.json")), QuestionSet("packed", str(archive)))
    sets = (*sets, QuestionSet("folder", str(folder)))
    plan = msgspec.structs.replace(plan, evaluation=EvaluationChoice(sets))
    found = {each.name: each.sha256 for each in read_questions(run, plan)}
    for name, path in (("plain", tmp_path / "rows.json"), ("packed", archive)):
        assert found[name] == hashlib.sha256(path.read_bytes()).hexdigest()
    write_rows(folder / "b.json", 6)
    assert {each.name: each.sha256 for each in read_questions(run, plan)}["folder"] != found["folder"]


def test_a_set_without_rows_is_refused(tmp_path: Path) -> None:
    run = make_run(tmp_path, rows=2, steps=1)
    assert train_here(run)
    (tmp_path / "rows.json").write_text("[]")
    with pytest.raises(BadInput, match="no rows"):
        evaluate(run)


def test_refuses_to_compare_before_there_is_an_adapter(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no adapter yet"):
        evaluate(make_run(tmp_path))


def test_a_bad_row_among_the_questions_is_refused_not_skipped(tmp_path: Path) -> None:
    run = make_run(tmp_path, steps=1)
    assert train_here(run)
    (tmp_path / "rows.json").write_text('[{"instruction": "a", "output": "b"}, {"instruction": "a"}]')
    with pytest.raises(BadInput, match="1 of 2 rows cannot be used"):
        evaluate(run)
