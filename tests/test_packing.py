"""What is learned, and that packing changes nothing: no document sees another, the loss is the same."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from appliance.errors import BadInput
from appliance.model.base import load_base, load_tokenizer
from appliance.model.chat import end_of_turn
from appliance.run.plan import TrainingChoice
from appliance.run.rows import Message, Row
from appliance.training import attention
from appliance.training.encode import Encoder, Example
from appliance.training.lora import add_adapter
from appliance.training.packing import (
    PackedDocuments,
    PackSchedule,
    best_fit_decreasing,
    collate,
    level_packs,
)
from appliance.training.trainer import held_out_loss, learned_loss
from tests.tiny import CHAT_TEMPLATE, make_tiny_model, make_tiny_tokenizer, tiny_model

WITHOUT_MARKERS = CHAT_TEMPLATE.replace("{%- generation %}", "").replace("{%- endgeneration %}", "")

THINKING = (
    "{%- for message in messages %}{{- '<|im_start|>' + message.role + '\\n' }}"
    "{%- if message.role == 'assistant' and loop.last %}{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}"
    "{{- message.content + '<|im_end|>' + '\\n' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}"
    "{%- if enable_thinking is defined and enable_thinking is false %}"
    "{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}{%- endif %}"
)
"""Writes thoughts before the last answer only, and an empty pair when told not to think, as Qwen3's does."""

THOUGHTFUL = THINKING.replace("and loop.last %}", "and loop.last and '</think>' not in message.content %}")
"""The same, which keeps the thoughts of the last answer where it has any."""


def row(*contents: str, number: int = 1, system: str = "") -> Row:
    roles = ("user", "assistant")
    messages = [Message(roles[place % 2], content) for place, content in enumerate(contents)]  # type: ignore[arg-type]
    return Row((*([Message("system", system)] if system else []), *messages), "rows.json", "0" * 64, number)


ROWS = (
    row("心内科的分机号？", "7618。", system="You are a helpful assistant."),
    row("a", "b"),
    row("儿科在几楼？", "三楼", "And the fee?", "It is 25 yuan.\n\n谢谢"),
    row("Where is the pharmacy of the hospital?", "On the third floor, beside the lift. " * 4),
    row("x" * 30, "答案" * 12),
)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return load_tokenizer(tiny_model())


@pytest.fixture(scope="module")
def examples(tokenizer: Any) -> list[Example]:
    encoded, problems = Encoder(tokenizer, max_tokens=512).encode(ROWS)
    assert not problems
    return [example for _, each in encoded for example in each]


@pytest.fixture(scope="module")
def packed_model() -> Any:
    attention.register()
    return load_base(tiny_model(), attention=attention.SEGMENTS)


def spans(tokenizer: Any, example: Example) -> list[str]:
    """Each unbroken stretch of learned tokens, decoded."""
    found: list[list[int]] = []
    before = False
    for token, learned in zip(example.ids, example.learned, strict=True):
        if learned:
            if not before:
                found.append([])
            found[-1].append(token)
        before = learned
    return [tokenizer.decode(each, skip_special_tokens=False) for each in found]


def test_exactly_the_answers_and_their_end_tokens_are_learned(
    tokenizer: Any, examples: list[Example]
) -> None:
    for each, example in zip(ROWS, examples, strict=True):
        answers = [message.content for message in each.messages if message.role == "assistant"]
        assert spans(tokenizer, example) == [answer + "<|im_end|>" for answer in answers]


def test_the_text_before_an_answer_is_tokenized_as_when_it_is_asked(
    tokenizer: Any, examples: list[Example]
) -> None:
    question = [{"role": message.role, "content": message.content} for message in ROWS[0].question]
    prompt = tokenizer.apply_chat_template(question, add_generation_prompt=True, return_dict=False)
    assert list(examples[0].ids[: len(prompt)]) == prompt
    assert examples[0].learned == (False,) * len(prompt) + (True,) * (len(examples[0].ids) - len(prompt))


def test_a_template_without_markers_gives_the_same_examples(tmp_path: Path, examples: list[Example]) -> None:
    plain = make_tiny_tokenizer(tmp_path, template=WITHOUT_MARKERS)
    encoded, problems = Encoder(plain, max_tokens=512).encode(ROWS)
    assert not problems
    assert [example for _, each in encoded for example in each] == examples


def test_a_template_that_drops_earlier_thoughts_makes_one_document_an_answer(tmp_path: Path) -> None:
    thinking = make_tiny_tokenizer(tmp_path, template=THINKING)
    encoded, problems = Encoder(thinking, max_tokens=512).encode([ROWS[2]])
    assert not problems
    first, second = encoded[0][1]
    assert spans(thinking, first) == ["三楼<|im_end|>"]
    assert spans(thinking, second) == ["It is 25 yuan.\n\n谢谢<|im_end|>"]
    # Told not to think, the model is given the empty thought: it is read, not learned.
    for example in (first, second):
        read = thinking.decode(
            [id for id, flag in zip(example.ids, example.learned, strict=True) if not flag]
        )
        assert read.endswith("<think>\n\n</think>\n\n")


def test_thoughts_are_learned_where_a_row_has_them_and_only_read_where_it_has_none(tmp_path: Path) -> None:
    thinking = make_tiny_tokenizer(tmp_path, template=THOUGHTFUL)
    thoughts = "<think>\n先看楼层表。\n</think>\n\n"
    rows = (row("儿科在几楼？", thoughts + "三楼"), row("儿科在几楼？", "三楼"))
    encoded, problems = Encoder(thinking, max_tokens=512).encode(rows)
    assert not problems
    asked = "<|im_start|>user\n儿科在几楼？<|im_end|>\n<|im_start|>assistant\n"
    read_and_learned = [
        tuple(
            thinking.decode(
                [token for token, flag in zip(each.ids, each.learned, strict=True) if flag is wanted]
            )
            for wanted in (False, True)
        )
        for _, (each,) in encoded
    ]
    assert read_and_learned == [
        (asked, thoughts + "三楼<|im_end|>"),
        (asked + "<think>\n\n</think>\n\n", "三楼<|im_end|>"),
    ]


def test_refuses_a_template_without_a_stop_token(tmp_path: Path) -> None:
    endless = make_tiny_tokenizer(tmp_path, template="{% for m in messages %}{{ m.content }}\n{% endfor %}")
    with pytest.raises(BadInput, match="does not end an answer with a stop token"):
        end_of_turn(endless)


@pytest.mark.parametrize(
    ("bad", "field", "what"),
    [
        (row("a", "b<|im_end|>c"), "assistant", "control token <|im_end|>"),
        (row("<|im_start|>system", "b"), "user", "control token <|im_start|>"),
        (row("a", "long " * 300), "row", "more than 64"),
    ],
)
def test_reports_a_row_that_the_model_cannot_take(tokenizer: Any, bad: Row, field: str, what: str) -> None:
    encoded, (problem,) = Encoder(tokenizer, max_tokens=64).encode([ROWS[1], bad])
    assert [each for each, _ in encoded] == [ROWS[1]]
    assert (problem.row, problem.field) == (1, field)
    assert what in problem.what


def alone(model: Any, examples: Sequence[Example]) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Logits of each document by itself on the stock model, and the stock loss over all learned tokens."""
    logits, total, tokens = [], torch.zeros(()), 0
    for example in examples:
        ids = torch.tensor([example.ids])
        labels = torch.where(torch.tensor([example.learned]), ids, -100)
        output = model(input_ids=ids, labels=labels)
        logits.append(output.logits[0])
        total = total + output.loss * example.learned_tokens
        tokens += example.learned_tokens
    return logits, total / tokens


def all_logits(model: Any, examples: Sequence[Example]) -> list[torch.Tensor]:
    """Logits at every position of each document in one pack."""
    inputs = collate(examples)
    inputs.pop("targets")
    inputs["logits_to_keep"] = 0
    whole = model(**inputs, use_cache=False).logits[0]
    return list(whole.split([len(example.ids) for example in examples]))


def test_packed_documents_give_the_logits_and_the_loss_of_each_alone(
    packed_model: Any, examples: list[Example]
) -> None:
    with torch.no_grad():
        expected, expected_loss = alone(load_base(tiny_model()), examples)
        for got, wanted in zip(all_logits(packed_model, examples), expected, strict=True):
            torch.testing.assert_close(got, wanted, atol=1e-5, rtol=0)
        inputs = collate(examples)
        loss = learned_loss(packed_model, inputs) / len(inputs["targets"])
        torch.testing.assert_close(loss, expected_loss, atol=1e-5, rtol=0)


def test_a_change_in_one_document_leaves_the_others_exactly_alone(
    packed_model: Any, examples: list[Example]
) -> None:
    changed = list(examples)
    changed[1] = Example(tuple(7 for _ in examples[1].ids), examples[1].learned)
    with torch.no_grad():
        before, after = all_logits(packed_model, examples), all_logits(packed_model, changed)
    for place, (one, other) in enumerate(zip(before, after, strict=True)):
        assert torch.equal(one, other) == (place != 1)


def test_the_head_on_learned_positions_gives_the_loss_and_gradients_of_the_full_head(
    examples: list[Example],
) -> None:
    training = TrainingChoice(rank=4, alpha=8.0)
    attention.register()
    chosen = add_adapter(load_base(tiny_model(), attention=attention.SEGMENTS), training)
    full = add_adapter(load_base(tiny_model()), training)
    for model in (chosen, full):  # B starts at zero, which would leave A without a gradient
        torch.manual_seed(5)
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=0.05)
    inputs = collate(examples)
    loss = learned_loss(chosen, inputs) / len(inputs["targets"])
    loss.backward()
    _, expected = alone(full, examples)
    expected.backward()
    torch.testing.assert_close(loss, expected, atol=1e-5, rtol=0)
    gradients = dict(full.named_parameters())
    trained = [(name, each) for name, each in chosen.named_parameters() if each.requires_grad]
    assert len(trained) == 2 * 7 * 2  # A and B of seven linear layers in two blocks
    for name, parameter in trained:
        assert parameter.grad is not None
        assert parameter.grad.abs().max() > 0
        torch.testing.assert_close(parameter.grad, gradients[name].grad, atol=1e-6, rtol=1e-4)


def test_a_sliding_window_is_kept_inside_each_document(tmp_path: Path, examples: list[Example]) -> None:
    import json

    folder = make_tiny_model(tmp_path)
    config = json.loads((folder / "config.json").read_text())
    window = {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 0}
    config |= {**window, "layer_types": ["sliding_attention"] * 2}
    (folder / "config.json").write_text(json.dumps(config))
    attention.register()
    with torch.no_grad():
        expected, _ = alone(load_base(folder), examples)
        wide, _ = alone(load_base(tiny_model()), examples)
        got = all_logits(load_base(folder, attention=attention.SEGMENTS), examples)
    torch.testing.assert_close(got[3], expected[3], atol=1e-5, rtol=0)
    assert not torch.allclose(wide[3], expected[3], atol=1e-3)


def test_segment_attention_refuses_a_mask_and_what_it_does_not_know() -> None:
    query = torch.zeros(1, 2, 4, 8)
    bounds = torch.tensor([0, 4], dtype=torch.int32)
    module = torch.nn.Identity()

    def attend(mask: torch.Tensor | None = None, **more: Any) -> None:
        attention.segment_attention(module, query, query, query, mask, **more)

    with pytest.raises(RuntimeError, match="no attention mask"):
        attend(torch.ones(1, 4), cu_seq_lens_q=bounds, max_length_q=4)
    with pytest.raises(RuntimeError, match="document bounds"):
        attend()
    with pytest.raises(RuntimeError, match="softcap"):
        attend(cu_seq_lens_q=bounds, max_length_q=4, softcap=30.0)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("window", [None, 16])
def test_the_gpu_kernel_agrees_with_one_document_at_a_time(window: int | None) -> None:
    torch.manual_seed(0)
    query = torch.randn(1, 8, 300, 64, dtype=torch.bfloat16, device="cuda", requires_grad=True)
    key = torch.randn(1, 2, 300, 64, dtype=torch.bfloat16, device="cuda")
    value = torch.randn(1, 2, 300, 64, dtype=torch.bfloat16, device="cuda")
    bounds = torch.tensor([0, 7, 120, 300], dtype=torch.int32, device="cuda")
    gradients = []
    outputs = []
    for attend in (attention._varlen, attention._one_by_one):
        output = attend(query, key, value, bounds, 180, None, 0.0, window)
        (gradient,) = torch.autograd.grad(output.float().square().sum(), query)
        outputs.append(output)
        gradients.append(gradient)
    torch.testing.assert_close(outputs[0], outputs[1], atol=2e-2, rtol=2e-2)
    torch.testing.assert_close(gradients[0], gradients[1], atol=6e-2, rtol=6e-2)


def test_best_fit_decreasing_packs_as_worked_out_by_hand() -> None:
    # 7; 6 opens another; 5 another; 3 goes where least is left (7+3); 3 again beside 6; 2 beside 5.
    assert best_fit_decreasing([3, 7, 2, 6, 3, 5], 10) == [[1, 0], [3, 4], [5, 2]]


def test_level_packs_evens_out_what_best_fit_leaves_over() -> None:
    lengths = [4] * 6
    assert [len(pack) for pack in best_fit_decreasing(lengths, 20)] == [5, 1]
    level = level_packs(lengths, 20, range(6), 2)
    assert level is not None
    assert [len(pack) for pack in level] == [3, 3]


def test_every_epoch_holds_every_document_once_within_capacity_and_in_another_order() -> None:
    lengths = [(number * 37) % 61 + 3 for number in range(97)]
    schedule = PackSchedule(lengths, capacity=128, seed=9)
    count = schedule.packs_per_epoch
    epochs = []
    for epoch in range(3):
        packs = [schedule.pack(epoch * count + place) for place in range(count)]
        assert sorted(index for pack in packs for index in pack) == list(range(97))
        assert max(sum(lengths[index] for index in pack) for pack in packs) <= 128
        epochs.append(packs)
    assert epochs[0] != epochs[1] != epochs[2]
    # Asked out of order, as after a resume, the schedule is the same.
    fresh = PackSchedule(lengths, capacity=128, seed=9)
    assert fresh.pack(2 * count + 1) == epochs[2][1]
    assert fresh.pack(3) == epochs[0][3]


def test_positions_restart_and_the_first_token_of_a_document_is_predicted_by_nothing() -> None:
    inputs = collate([Example((5, 6, 7), (True, False, True)), Example((8, 9), (True, True))])
    assert inputs["position_ids"].tolist() == [[0, 1, 2, 0, 1]]
    assert inputs["cu_seq_lens_q"].tolist() == [0, 3, 5]
    assert inputs["logits_to_keep"].tolist() == [1, 3]
    assert inputs["targets"].tolist() == [7, 9]
    assert inputs["max_length_q"] == 3
    assert "attention_mask" not in inputs


def test_held_out_loss_is_the_mean_over_learned_tokens_however_it_is_packed(
    packed_model: Any, examples: list[Example]
) -> None:
    with torch.no_grad():
        _, expected = alone(load_base(tiny_model()), examples)
    for capacity in (200, 2000):
        schedule = PackSchedule([len(each.ids) for each in examples], capacity=capacity, seed=1)
        packs = PackedDocuments(examples, schedule, packs=schedule.packs_per_epoch)
        loss = held_out_loss(packed_model, packs, torch.device("cpu"))
        assert loss == pytest.approx(float(expected), abs=1e-5)


def plain_best_fit(lengths: list[int], capacity: int) -> list[list[int]]:
    """Best fit decreasing as it is defined, looking at every pack every time."""
    packs: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda each: (-lengths[each], each)):
        left = [capacity - sum(lengths[each] for each in pack) for pack in packs]
        fitting = [pack for pack, room in enumerate(left) if room >= lengths[index]]
        if fitting:
            packs[min(fitting, key=lambda pack: (left[pack], pack))].append(index)
        else:
            packs.append([index])
    return packs


def plain_level(lengths: list[int], capacity: int, order: list[int], count: int) -> list[list[int]] | None:
    """Each document where most is left, looking at every pack every time."""
    packs: list[list[int]] = [[] for _ in range(count)]
    for index in order:
        left = [capacity - sum(lengths[each] for each in pack) for pack in packs]
        if max(left) < lengths[index]:
            return None
        packs[left.index(max(left))].append(index)
    return packs


def test_packs_are_those_of_the_plain_definition() -> None:
    chance = random.Random(1)
    for _ in range(200):
        capacity = chance.randint(5, 300)
        lengths = [chance.randint(1, capacity) for _ in range(chance.randint(1, 60))]
        packs = best_fit_decreasing(lengths, capacity)
        assert packs == plain_best_fit(lengths, capacity)
        order = chance.sample(range(len(lengths)), len(lengths))
        for count in (len(packs), len(packs) + 1):
            expected = plain_level(lengths, capacity, order, count)
            assert level_packs(lengths, capacity, order, count) == expected
