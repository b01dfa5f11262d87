"""The Modelfile: its exact text, its template against the model's own, and every trap of Ollama's parser."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import BadInput
from appliance.export.chat_family import ChatMl, find_family
from appliance.export.modelfile import Modelfile, Sampling, check_quotable, describe, read_sampling
from appliance.model.chat import render
from appliance.run.rows import Message
from tests.tiny import CHAT_TEMPLATE, make_tiny_model, make_tiny_tokenizer, tiny_model

EXACT = '''FROM ./clinic-f16.gguf
TEMPLATE """{{ range .Messages }}<|im_start|>{{ .Role }}
{{ .Content }}<|im_end|>
{{ end }}<|im_start|>assistant
"""
SYSTEM """你是医院的助手。
Answer in "plain" words."""
PARAMETER num_ctx 4096
PARAMETER temperature 0.6
PARAMETER top_p 0.95
PARAMETER top_k 20
PARAMETER min_p 0.0
PARAMETER repeat_penalty 1.0
PARAMETER stop "<|im_end|>"
PARAMETER stop "<|endoftext|>"
LICENSE """Licence text,
second line."""
'''

EMPTY_THINKING = CHAT_TEMPLATE.replace(
    "{{- '<|im_start|>assistant\\n' }}",
    "{{- '<|im_start|>assistant\\n' }}"
    "{%- if enable_thinking is defined and enable_thinking is false %}"
    "{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}",
)
DEFAULT_SYSTEM = (
    "{%- if messages[0].role != 'system' %}{{- '<|im_start|>system\\nYou are Q.<|im_end|>\\n' }}{%- endif %}"
    + CHAT_TEMPLATE
)

CONVERSATIONS: dict[str, tuple[list[Message], str]] = {
    # What ChatML says by hand.
    "a question": (
        [Message("user", "几楼？")],
        "<|im_start|>user\n几楼？<|im_end|>\n<|im_start|>assistant\n",
    ),
    "with a system prompt": (
        [Message("system", "Be brief."), Message("user", "Hi\nthere ")],
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi\nthere <|im_end|>\n"
        "<|im_start|>assistant\n",
    ),
    "several turns": (
        [Message("user", "A"), Message("assistant", "B <b>&"), Message("user", "C")],
        "<|im_start|>user\nA<|im_end|>\n<|im_start|>assistant\nB <b>&<|im_end|>\n"
        "<|im_start|>user\nC<|im_end|>\n<|im_start|>assistant\n",
    ),
}


def parsed(text: str) -> list[tuple[str, str]]:
    """The file's commands as Ollama reads them: a port of parser.ParseFile's states for names and values."""

    def unquote(raw: str) -> str | None:
        if raw.startswith('"""'):
            return raw[3:-3] if len(raw) >= 6 and raw.endswith('"""') else None
        if raw.startswith('"'):
            return raw[1:-1] if len(raw) >= 2 and raw.endswith('"') else None
        return raw

    commands: list[tuple[str, str]] = []
    name, buffer, state = "", "", "nil"
    for rune in text + "\n":
        if state == "nil" and not rune.isspace():
            state = "name"
        elif state == "name" and rune == " ":
            name, buffer, state = buffer, "", "value"
            if name == "PARAMETER":
                state = "parameter"
            continue
        elif state == "parameter" and rune == " ":
            name, buffer, state = buffer, "", "value"
            continue
        elif state == "value" and rune in "\r\n":
            value = unquote(buffer.strip())
            if value is None:
                buffer += rune
                continue
            commands.append((name, value))
            buffer, state = "", "nil"
        if state != "nil" and rune.isprintable():
            buffer += rune
    assert state == "nil", "unexpected end"
    return commands


def test_says_exactly_this(tmp_path: Path) -> None:
    model = make_tiny_model(tmp_path / "model")
    (model / "LICENSE").write_text("Licence text,\r\nsecond line.\n")
    described = describe(
        model, gguf="clinic-f16.gguf", system='你是医院的助手。\nAnswer in "plain" words.', num_ctx=0
    )
    assert described.text() == EXACT


def test_an_end_token_that_the_tokenizer_does_not_have_is_no_stop(tmp_path: Path) -> None:
    model = make_tiny_model(tmp_path / "model")
    settings = json.loads((model / "generation_config.json").read_text())
    settings["eos_token_id"] = [*settings["eos_token_id"], 99_999]
    (model / "generation_config.json").write_text(json.dumps(settings))
    assert describe(model, gguf="m.gguf", system="", num_ctx=0).stops == ("<|im_end|>", "<|endoftext|>")


def test_is_read_back_as_it_was_meant(tmp_path: Path) -> None:
    commands = parsed(EXACT)
    assert [name for name, _ in commands] == [
        *[
            "FROM",
            "TEMPLATE",
            "SYSTEM",
            "num_ctx",
            "temperature",
            "top_p",
            "top_k",
            "min_p",
            "repeat_penalty",
        ],
        *["stop", "stop", "LICENSE"],
    ]
    assert dict(commands)["SYSTEM"] == '你是医院的助手。\nAnswer in "plain" words.'
    assert dict(commands)["TEMPLATE"].endswith("<|im_start|>assistant\n")


def is_refused_or_read_back(system: str) -> bool:
    try:
        check_quotable(system, "the system prompt")
    except BadInput:
        return True
    written = dataclasses.replace(simple(), system=system).text()
    return dict(parsed(written)).get("SYSTEM", "") == system


@given(st.text(st.characters(codec="utf-8")))
def test_any_text_is_refused_or_read_back_exactly(system: str) -> None:
    assert is_refused_or_read_back(system)


@given(st.text(st.sampled_from('" \n\ta"')))
def test_quotes_and_line_ends_are_refused_or_read_back_exactly(system: str) -> None:
    assert is_refused_or_read_back(system)


@pytest.mark.parametrize(
    "system",
    [
        "# no comment\nFROM elsewhere\nPARAMETER num_ctx 1",
        "\n a line end first, blanks around \n",
        '"Hello" he said',
        'ends with a quote "',
        '"',
        '""',
        "   ",
        "{{ .Prompt }} {{",
        "C:\\new\\table \\u00a0",
        "<｜end▁of▁sentence｜>",
    ],
)
def test_reads_back_exactly(system: str) -> None:
    written = dataclasses.replace(simple(), system=system).text()
    assert [value for name, value in parsed(written) if name == "SYSTEM"] == [system]


def test_gives_each_instruction_that_every_ollama_knows_and_no_other() -> None:
    full = dataclasses.replace(simple(), system="S", licence="L").text()
    instructions = [line.split(" ")[0] for line in full.splitlines()]
    assert instructions == ["FROM", "TEMPLATE", "SYSTEM", *["PARAMETER"] * 7, "LICENSE"]
    assert "\r" not in full
    assert not full.startswith("\ufeff")


def simple() -> Modelfile:
    return Modelfile("m.gguf", "{{ .Prompt }}", ("<|im_end|>",), Sampling(), 2048)


@pytest.mark.parametrize("conversation", CONVERSATIONS)
def test_family_and_model_render_what_is_written_by_hand(conversation: str, tmp_path: Path) -> None:
    messages, expected = CONVERSATIONS[conversation]
    tokenizer = make_tiny_tokenizer(tmp_path)
    family = find_family(tokenizer)
    assert render(tokenizer, messages, answer_next=True) == expected
    assert family.render(messages) == expected


@pytest.mark.parametrize("conversation", CONVERSATIONS)
def test_writes_the_empty_thinking_block_where_the_template_has_it(conversation: str, tmp_path: Path) -> None:
    messages, expected = CONVERSATIONS[conversation]
    tokenizer = make_tiny_tokenizer(tmp_path, template=EMPTY_THINKING)
    expected += "<think>\n\n</think>\n\n"
    assert render(tokenizer, messages, answer_next=True) == expected
    assert find_family(tokenizer).render(messages) == expected


@pytest.mark.parametrize("conversation", CONVERSATIONS)
def test_puts_the_models_own_system_prompt_first_where_none_is_given(
    conversation: str, tmp_path: Path
) -> None:
    messages, expected = CONVERSATIONS[conversation]
    tokenizer = make_tiny_tokenizer(tmp_path, template=DEFAULT_SYSTEM)
    if messages[0].role != "system":
        expected = "<|im_start|>system\nYou are Q.<|im_end|>\n" + expected
    assert find_family(tokenizer) == ChatMl("You are Q.", "")
    assert render(tokenizer, messages, answer_next=True) == expected
    assert find_family(tokenizer).render(messages) == expected


TRAPS = {
    "5\u00a0mg": "U+00A0 at line 1, character 2",
    "a\n全角\u3000空格": "U+3000 at line 2, character 3",
    "zero\u200bwidth": "U+200B at line 1, character 5",
    "soft\u00adhyphen": "U+00AD",
    "narrow\u202fspace": "U+202F",
    "\ufeffmark": "U+FEFF at line 1, character 1",
    "joined\u200demoji": "U+200D",
    "a\tb": "U+0009",
    "bell\x07": "U+0007",
    "line\u2028end": "U+2028",
    "first\r\nsecond": "carriage return at line 1, character 6",
    'say """no"""': "three quotes, which end the value, at line 1, character 5",
    'ends with """\nand goes on': "three quotes",
}


@pytest.mark.parametrize("system", TRAPS)
def test_refuses_a_system_prompt_that_the_parser_would_change(system: str) -> None:
    with pytest.raises(BadInput) as caught:
        dataclasses.replace(simple(), system=system).text()
    assert TRAPS[system] in str(caught.value)
    assert "the system prompt" in str(caught.value)


def test_refuses_a_template_whose_own_words_the_parser_would_change(tmp_path: Path) -> None:
    own = DEFAULT_SYSTEM.replace("You are Q.", "5\u00a0mg")
    model = make_tiny_model(tmp_path / "model", template=own)
    with pytest.raises(BadInput, match=r"because of the chat template(.|\n)*U\+00A0 at line 2"):
        describe(model, gguf="m.gguf", system="", num_ctx=0).text()


def test_keeps_a_licence_that_has_what_the_parser_drops(tmp_path: Path) -> None:
    model = make_tiny_model(tmp_path / "model")
    (model / "LICENSE.txt").write_text('\ufeff1.\tTerms\u00a0of "use"\r\n\fsay """no"""\u00ad.\n')
    described = describe(model, gguf="m.gguf", system="", num_ctx=0)
    assert dict(parsed(described.text()))["LICENSE"] == " 1. Terms of \"use\"\n\nsay '''no''' ."


def test_writes_small_numbers_as_go_reads_them(tmp_path: Path) -> None:
    text = dataclasses.replace(simple(), sampling=Sampling(temperature=1e-5, top_p=1)).text()
    values = dict(parsed(text))
    assert (values["temperature"], values["top_p"], values["top_k"]) == ("1e-05", "1", "50")


@pytest.mark.parametrize("stop", ["", 'a"b', "a\nb", "a\u00a0b"])
def test_refuses_a_stop_token_that_cannot_be_quoted(stop: str) -> None:
    with pytest.raises(BadInput, match="a stop token"):
        dataclasses.replace(simple(), stops=(stop,)).text()


@pytest.mark.parametrize("name", ["", "../m.gguf", "a b.gguf", "m.bin", "/m.gguf", "-m.gguf\n"])
def test_refuses_a_file_name_that_is_no_file_beside_it(name: str) -> None:
    with pytest.raises(BadInput, match="the file name"):
        dataclasses.replace(simple(), gguf=name).text()


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({}, Sampling(temperature=0.0)),
        ({"do_sample": False, "temperature": 0.7}, Sampling(temperature=0.0)),
        ({"do_sample": True}, Sampling(temperature=1.0)),
        (
            {
                "do_sample": True,
                "temperature": 0.7,
                "top_k": 0,
                "top_p": 0.8,
                "min_p": 0.1,
                "repetition_penalty": 1.05,
            },
            Sampling(0.7, 0.8, 0, 0.1, 1.05),
        ),
    ],
)
def test_samples_as_the_models_own_settings_say(
    document: dict[str, Any], expected: Sampling, tmp_path: Path
) -> None:
    path = tmp_path / "generation_config.json"
    path.write_text(json.dumps(document))
    assert read_sampling(path) == expected


@pytest.mark.parametrize("value", ["0.9", True, -1, 2, [1]])
def test_refuses_a_sampling_value_that_is_no_number_in_its_range(value: Any, tmp_path: Path) -> None:
    path = tmp_path / "generation_config.json"
    path.write_text(json.dumps({"do_sample": True, "top_p": value}))
    with pytest.raises(BadInput, match="top_p"):
        read_sampling(path)


def test_takes_the_context_that_is_asked_for_and_at_most_8192_of_the_models_own(tmp_path: Path) -> None:
    assert describe(tiny_model(), gguf="m.gguf", system="", num_ctx=1024).num_ctx == 1024
    model = make_tiny_model(tmp_path / "model")
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 131_072}))
    assert describe(model, gguf="m.gguf", system="", num_ctx=0).num_ctx == 8192
