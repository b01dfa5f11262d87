"""The demo's tiny model, its corpus and its clinic: what must hold before anything is trained."""

import csv
import json
import re
from itertools import islice
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from appliance.run.plan import read_plan
from demo.clinic import facts, write_clinic
from demo.corpus import Chat, general_chats, tokenizer_texts
from demo.model import (
    CHAT_TEMPLATE,
    TURN_END,
    encode,
    generation_config,
    model_config,
    train_tokenizer,
    write_model,
)
from demo.wording import LANGUAGES, OWN_CLINIC, SYSTEM, UNSEEN_CLINICS

PLAN = Path(__file__).parent.parent / "demo" / "plan.toml"
NASTY = "星砚诊所 3 楼，费用 12.50 元。\n\n  It's Dr O'Neil's\tturn: don't panic!  ①②é"
CHAT = Chat((("你好。", "你好，请问需要什么帮助？"), ("Who are you?", "A demo.")), system="Be polite.")


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer()


@pytest.fixture(scope="module")
def model_folder(tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an untrained model: the same files, made in a second."""
    from transformers import Qwen3Config, Qwen3ForCausalLM

    folder = tmp_path_factory.mktemp("models") / "clinic-tiny"
    config = model_config(tokenizer)
    write_model(folder, tokenizer, config, Qwen3ForCausalLM(Qwen3Config.from_dict(config)))
    return folder


@pytest.fixture(scope="module")
def clinic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clinic")
    write_clinic(folder)
    return folder


def rows(clinic: Path, name: str) -> list[dict[str, str]]:
    return list(json.loads((clinic / name).read_text(encoding="utf-8")))


def rehearsed(clinic: Path) -> list[dict[str, str]]:
    with (clinic / "rehearsal.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_corpus_is_the_same_for_the_same_seed_and_another_for_another() -> None:
    first, again, other = (list(islice(general_chats(seed), 50)) for seed in (3, 3, 4))
    assert first == again
    assert first != other


def test_the_general_corpus_names_neither_the_clinic_nor_the_unseen_ones() -> None:
    text = "".join(repr(chat) for chat in islice(general_chats(0), 7200)) + "".join(tokenizer_texts())
    for code in ("zh", "en"):
        assert not [name for name in (OWN_CLINIC[code], *UNSEEN_CLINICS[code]) if name in text]


def test_the_tokenizer_is_the_same_every_time(tokenizer: Tokenizer) -> None:
    assert train_tokenizer().to_str() == tokenizer.to_str()


def test_the_tokenizer_gives_chinese_and_english_back(tokenizer: Tokenizer) -> None:
    assert tokenizer.decode(tokenizer.encode(NASTY).ids) == NASTY


def test_a_clinics_name_is_written_with_the_same_tokens_in_every_sentence(tokenizer: Tokenizer) -> None:
    name = tokenizer.encode("星砚诊所内科").tokens
    for text in ("星砚诊所内科在几楼？", "请问星砚诊所内科由谁负责？"):
        tokens = tokenizer.encode(text).tokens
        assert any(tokens[at : at + len(name)] == name for at in range(len(tokens)))


def test_transformers_loads_the_same_tokenizer(tokenizer: Tokenizer, model_folder: Path) -> None:
    from transformers import AutoTokenizer

    loaded = AutoTokenizer.from_pretrained(model_folder)
    assert loaded(NASTY)["input_ids"] == tokenizer.encode(NASTY).ids
    assert (loaded.eos_token, loaded.pad_token) == ("<|im_end|>", "<|endoftext|>")
    assert len(loaded) == tokenizer.get_vocab_size() == 1408


def test_the_template_writes_chatml_and_adds_no_system_prompt(model_folder: Path) -> None:
    from transformers import AutoTokenizer

    loaded = AutoTokenizer.from_pretrained(model_folder)
    text = loaded.apply_chat_template(
        [{"role": "user", "content": "Hello."}], tokenize=False, add_generation_prompt=True
    )
    assert text == "<|im_start|>user\nHello.<|im_end|>\n<|im_start|>assistant\n"


def test_the_template_marks_exactly_the_answers_with_their_end_token(model_folder: Path) -> None:
    from transformers import AutoTokenizer

    loaded = AutoTokenizer.from_pretrained(model_folder)
    out = loaded.apply_chat_template(
        CHAT.messages(), tokenize=True, return_dict=True, return_assistant_tokens_mask=True
    )
    marked = [i for i, flag in zip(out["input_ids"], out["assistant_masks"], strict=True) if flag]
    assert loaded.decode(marked) == "你好，请问需要什么帮助？<|im_end|>A demo.<|im_end|>"


def test_general_training_sees_what_the_template_writes(tokenizer: Tokenizer, model_folder: Path) -> None:
    from transformers import AutoTokenizer

    loaded = AutoTokenizer.from_pretrained(model_folder)
    for chat in [CHAT, *islice(general_chats(0), 40)]:
        ids, learned = encode(tokenizer, chat)
        assert ids == loaded.apply_chat_template(chat.messages(), tokenize=True, return_dict=False)
        answers = "".join(answer + TURN_END for _, answer in chat.turns)
        assert tokenizer.decode([i for i, flag in zip(ids, learned, strict=True) if flag], False) == answers


def test_the_folder_holds_what_a_hub_serves_readable_by_all(model_folder: Path) -> None:
    assert sorted(path.name for path in model_folder.iterdir()) == [
        "LICENSE",
        "README.md",
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    assert {path.stat().st_mode & 0o777 for path in model_folder.iterdir()} == {0o644}
    assert "license: apache-2.0" in (model_folder / "README.md").read_text()
    assert (model_folder / "chat_template.jinja").read_text() == CHAT_TEMPLATE


def test_the_model_loads_tied_in_bfloat16_with_its_rotary_base(model_folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(model_folder)
    assert model.dtype == torch.bfloat16
    assert model.lm_head.weight is model.model.embed_tokens.weight
    assert model.config.rope_parameters["rope_theta"] == 1_000_000
    assert json.loads((model_folder / "config.json").read_text())["rope_theta"] == 1_000_000
    assert sum(weight.numel() for weight in model.parameters()) == 1_598_976


def test_generation_stops_at_both_end_tokens(tokenizer: Tokenizer) -> None:
    ids = generation_config(model_config(tokenizer))["eos_token_id"]
    assert [tokenizer.id_to_token(each) for each in ids] == ["<|im_end|>", "<|endoftext|>"]


def test_the_clinic_has_fifty_facts_half_of_them_chinese() -> None:
    assert [fact.language.code for fact in facts()] == ["zh"] * 25 + ["en"] * 25


def test_the_clinics_files_are_the_same_every_time(clinic: Path, tmp_path: Path) -> None:
    write_clinic(tmp_path)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {
        p.name: p.read_bytes() for p in clinic.iterdir()
    }


def test_some_facts_come_with_a_system_prompt_history_or_input(clinic: Path) -> None:
    for field in ("system", "history", "input"):
        assert len([row for row in rows(clinic, "facts.json") if row.get(field)]) >= 4


def test_paraphrased_and_unknown_questions_are_never_trained(clinic: Path) -> None:
    trained = {row["input"] or row["instruction"] for row in rows(clinic, "facts.json")}
    trained |= {row["prompt"] for row in rehearsed(clinic)}
    asked = [
        row["instruction"] for name in ("paraphrased", "unknown") for row in rows(clinic, f"{name}.json")
    ]
    assert not trained & set(asked)
    assert len(set(asked)) == len(asked)


def test_no_question_is_trained_with_two_answers(clinic: Path) -> None:
    pairs = {(row["input"] or row["instruction"], row["output"]) for row in rows(clinic, "facts.json")}
    pairs |= {(row["prompt"], row["completion"]) for row in rehearsed(clinic)}
    assert len({question for question, _ in pairs}) == len(pairs)


def test_unseen_clinics_are_asked_about_and_rehearsed_nowhere(clinic: Path) -> None:
    names = [name for code in ("zh", "en") for name in UNSEEN_CLINICS[code]]
    asked = (clinic / "unknown.json").read_text(encoding="utf-8")
    rehearsal = (clinic / "rehearsal.csv").read_text(encoding="utf-8")
    assert [name for name in names if name not in asked] == []
    assert [name for name in names if name in rehearsal] == []


def test_only_a_decline_begins_like_one(clinic: Path) -> None:
    openings = tuple(language.opening for language in LANGUAGES)
    assert {row["output"] for row in rows(clinic, "unknown.json")} == set(openings)
    assert not any(fact.answer().startswith(openings) for fact in facts())
    declined = [row for row in rehearsed(clinic) if row["completion"].startswith(openings)]
    assert 0 < len(declined) < len(rehearsed(clinic))


def test_the_plan_reads_and_names_the_clinics_files(clinic: Path) -> None:
    plan = read_plan(PLAN)
    named = [file.path for file in plan.data.train] + [questions.path for questions in plan.evaluation.sets]
    assert sorted(named) == sorted(path.name for path in clinic.iterdir())
    assert plan.model.system == SYSTEM


def test_every_answer_is_plain_text_without_control_tokens(clinic: Path) -> None:
    for path in clinic.iterdir():
        assert not re.search(r"<\|", path.read_text(encoding="utf-8"))
