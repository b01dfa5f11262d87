"""The Modelfile's template in Go's own text/template against the model's own in jinja, text by text.

The jinja templates are written here, in the manner of the families that are in use: Qwen 2.5 with its own
system prompt, Qwen 3 with thinking, Llama 3 with and without words before the system prompt, Gemma.
"""

import functools
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import BadInput
from appliance.export.chat_family import ChatMl, Gemma, Llama3, find_family
from appliance.export.modelfile import check_quotable, describe
from appliance.model.chat import render
from appliance.run.rows import Message
from tests.tiny import CHAT_TEMPLATE, make_tiny_model, make_tiny_tokenizer

RENDERER = Path(__file__).parent / "go" / "render.go"

OWN_SYSTEM = (
    "{%- if messages[0].role != 'system' %}{{- '<|im_start|>system\\nYou are Q.<|im_end|>\\n' }}{%- endif %}"
    + CHAT_TEMPLATE
)
THINKING = """\
{%- for message in messages %}
    {%- if message.role == 'assistant' %}
        {%- set words = message.content %}
        {%- if '</think>' in words %}
            {%- set words = words.split('</think>')[-1].lstrip('\\n') %}
        {%- endif %}
        {{- '<|im_start|>assistant\\n' + words + '<|im_end|>\\n' }}
    {%- else %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}"""
OPEN_THINKING = THINKING.replace(
    "{%- endif %}\n{%- endif %}", "{%- else %}{{- '<think>\\n' }}{%- endif %}{%- endif %}"
)
LLAMA3 = """\
{{- bos_token }}
{%- for message in messages %}
    {{- '<|start_header_id|>' + message.role + '<|end_header_id|>\\n\\n' + message.content + '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{%- endif %}"""
LLAMA3_WORDS = """\
{{- bos_token }}
{%- if messages[0].role == 'system' %}
    {%- set system = messages[0].content | trim %}{%- set messages = messages[1:] %}
{%- else %}{%- set system = '' %}{%- endif %}
{%- if not day is defined %}{%- set day = '1 Jan 2024' %}{%- endif %}
{{- '<|start_header_id|>system<|end_header_id|>\\n\\nKnown until: 2023\\nDay: ' + day + '\\n\\n' }}
{{- system + '<|eot_id|>' }}
{%- for message in messages %}
    {{- '<|start_header_id|>' + message.role + '<|end_header_id|>\\n\\n' }}
    {{- message.content | trim + '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{%- endif %}"""
GEMMA = """\
{{- bos_token }}
{%- if messages[0].role == 'system' %}
    {%- set first = messages[0].content + '\\n\\n' %}{%- set messages = messages[1:] %}
{%- else %}{%- set first = '' %}{%- endif %}
{%- for message in messages %}
    {{- '<start_of_turn>' + ('model' if message.role == 'assistant' else message.role) + '\\n' }}
    {{- (first if loop.first else '') + (message.content | trim) + '<end_of_turn>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<start_of_turn>model\\n' }}{%- endif %}"""

EMPTY = "<think>\n\n</think>\n\n"

FAMILIES: dict[str, tuple[str, Any]] = {
    "ChatML": (CHAT_TEMPLATE, ChatMl()),
    "ChatML with its own system prompt": (OWN_SYSTEM, ChatMl("You are Q.")),
    "ChatML that can think": (THINKING, ChatMl("", EMPTY)),
    "ChatML that opens the thought": (OPEN_THINKING, ChatMl("", EMPTY, "<think>\n")),
    "Llama 3": (LLAMA3, Llama3()),
    "Llama 3 with words before": (
        LLAMA3_WORDS,
        Llama3("Known until: 2023\nDay: 1 Jan 2024\n\n", trims=True),
    ),
    "Gemma": (GEMMA, Gemma(trims=True)),
    "Gemma that keeps blanks": (GEMMA.replace(" | trim", ""), Gemma()),
}

USER, ASSISTANT, SYSTEM = (
    functools.partial(Message, role)
    for role in ("user", "assistant", "system")  # type: ignore[arg-type]
)
TURNS = {
    "one turn": [USER("儿科在几楼？")],
    "several turns": [USER("A"), ASSISTANT("B <b>&\n\nC"), USER("D"), ASSISTANT("E"), USER("F\nG")],
    "signs of the languages": [
        USER('{{ .System }} {% raw %} "quoted" \\n `x` <&> \u2028.'),
        ASSISTANT("ok"),
        USER("?"),
    ],
    "blanks around": [USER(" A \n"), ASSISTANT("\n B"), USER("\tC ")],
}
SYSTEMS = {"no system prompt": "", "a system prompt": '你是医院的助手。\nAnswer in "plain" words.'}
THINK = {"unset": None, "on": True, "off": False}


def make_tokenizer(folder: Path, template: str) -> Any:
    """A tokenizer with `template` and a token that begins every text."""
    tokenizer = make_tiny_tokenizer(folder, template=template)
    tokenizer.add_special_tokens({"bos_token": "<|begin|>"})
    return tokenizer


def in_go(request: dict[str, Any]) -> list[str]:
    """What Go makes of a template."""
    if shutil.which("go") is None:
        pytest.fail("go is missing: install Go 1.19 or newer (Debian: apt install golang-go)")
    done = subprocess.run(
        ["go", "run", RENDERER], input=json.dumps(request), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    texts: list[str] = json.loads(done.stdout)
    return texts


def by_the_model(tokenizer: Any, messages: list[Message], think: bool | None) -> str:
    """The model's own prompt, without the token that llama.cpp puts first by itself."""
    if not think:
        # Where nothing is asked for, as in training.
        text = render(tokenizer, messages, answer_next=True)
    else:
        turns = [{"role": each.role, "content": each.content} for each in messages]
        text = tokenizer.apply_chat_template(
            turns, tokenize=False, add_generation_prompt=True, enable_thinking=True
        )
    return text.removeprefix("<|begin|>")


def conversations(*, blanks: bool) -> dict[str, tuple[list[Message], bool | None]]:
    """The matrix: every system prompt with all turns and every wish about thinking."""
    return {
        f"{system}, {turns}, think {think}": (
            [*([SYSTEM(SYSTEMS[system])] if SYSTEMS[system] else []), *TURNS[turns]],
            THINK[think],
        )
        for system in SYSTEMS
        for turns in TURNS
        for think in THINK
        if blanks or turns != "blanks around"
    }


@pytest.mark.parametrize("name", FAMILIES)
def test_knows_the_family_by_what_it_renders(name: str, tmp_path: Path) -> None:
    template, expected = FAMILIES[name]
    tokenizer = make_tokenizer(tmp_path, template)
    assert find_family(tokenizer) == expected
    for messages, think in conversations(blanks=True).values():
        assert expected.render(messages, thinking=think is True) == by_the_model(tokenizer, messages, think)


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_go_and_the_models_own_template_render_the_same(name: str, tmp_path: Path) -> None:
    template, family = FAMILIES[name]
    tokenizer = make_tokenizer(tmp_path, template)
    matrix = conversations(blanks=not family.trims)
    assert len(matrix) == 2 * 3 * (3 if family.trims else 4)
    request = {
        "template": find_family(tokenizer).go_template(),
        "conversations": [
            {"messages": [{"role": m.role, "content": m.content} for m in messages], "think": think}
            for messages, think in matrix.values()
        ],
    }
    expected = {each: by_the_model(tokenizer, *matrix[each]) for each in matrix}
    assert dict(zip(matrix, in_go(request), strict=True)) == expected
    # An Ollama that knows nothing of thinking asks as one that was told nothing.
    for each in request["conversations"]:
        each["old"] = True
    unset = {each: by_the_model(tokenizer, messages, None) for each, (messages, _) in matrix.items()}
    assert dict(zip(matrix, in_go(request), strict=True)) == unset


@pytest.mark.slow
def test_the_go_program_refuses_a_template_that_ollama_runs_in_another_way() -> None:
    with pytest.raises(AssertionError, match="has no .Messages"):
        in_go({"template": "{{ .System }}.Messages{{ .Prompt }}", "conversations": []})


@pytest.mark.slow
def test_every_character_that_go_would_drop_is_refused() -> None:
    done = subprocess.run(["go", "run", RENDERER, "dropped"], capture_output=True, text=True, check=True)
    dropped = json.loads(done.stdout)
    assert {0x09, 0xA0, 0xAD, 0x200B, 0x200D, 0x2009, 0x202F, 0x3000, 0xFEFF} <= set(dropped)
    kept = []
    for point in dropped:
        try:
            check_quotable(f"a{chr(point)}b", "x")
        except BadInput:
            continue
        kept.append(point)
    assert kept == [ord("\n")]  # the parser keeps it between quotes


REFUSED = {
    "the date of the day": (
        LLAMA3_WORDS.replace("'1 Jan 2024'", "strftime_now('%d %b %Y')"),
        "the date of the day",
    ),
    "no system message": (
        GEMMA.replace(
            "{%- set first = messages[0]", "{{- raise_exception('no system') }}{%- set first = messages[0]"
        ),
        "refuses a conversation: no system",
    ),
    "another format": (CHAT_TEMPLATE.replace("<|im_start|>", "[INST]"), "not ChatML, Llama 3 or Gemma"),
    "words after the assistant's name": (
        CHAT_TEMPLATE.replace("assistant\\n' }}", "assistant\\nSure: ' }}"),
        "its prompt ends with 'Sure: '",
    ),
    "the system prompt left out": (
        CHAT_TEMPLATE.replace("in messages %}", "in messages if message.role != 'system' %}"),
        "probe conversation 2",
    ),
    "template signs in its own words": (OWN_SYSTEM.replace("You are Q.", "{{ .Q }}"), "template signs"),
    "numbered turns": (
        LLAMA3.replace("+ message.content", "+ loop.index0 | string + message.content"),
        "not ChatML",
    ),
    "line ends before an answer removed": (
        THINKING.replace("{%- if '</think>' in words %}", "{%- if true %}"),
        "probe conversation 4",
    ),
    "thoughts of earlier answers": (
        THINKING.replace(
            "'<|im_start|>assistant\\n' + words", "'<|im_start|>assistant\\n<think></think>' + words"
        ),
        "probe conversation 3",
    ),
}


@pytest.mark.parametrize("difference", REFUSED)
def test_refuses_a_template_with(difference: str, tmp_path: Path) -> None:
    template, words = REFUSED[difference]
    with pytest.raises(BadInput) as caught:
        find_family(make_tokenizer(tmp_path, template))
    assert "cannot be written for Ollama" in str(caught.value)
    assert words in str(caught.value)


def test_says_that_a_model_removes_blanks_and_refuses_a_system_prompt_that_has_them(tmp_path: Path) -> None:
    trimming = CHAT_TEMPLATE.replace("message.content", "(message.content | trim)")
    model = make_tiny_model(tmp_path, template=trimming)
    assert describe(model, gguf="m.gguf", system="Be brief.", num_ctx=0).trims
    with pytest.raises(BadInput, match="blanks around it"):
        describe(model, gguf="m.gguf", system="Be brief.\n", num_ctx=0)


@given(st.lists(st.text(), min_size=1, max_size=5).filter(lambda texts: len(texts) % 2 == 1), st.text())
def test_chatml_renders_any_text_as_the_model_does(texts: list[str], system: str) -> None:
    turns = [Message("assistant" if n % 2 else "user", text) for n, text in enumerate(texts)]
    messages = [*([SYSTEM(system)] if system else []), *turns]
    assert ChatMl().render(messages) == render(chatml(), messages, answer_next=True)


@functools.cache
def chatml() -> Any:
    """A ChatML tokenizer, made once."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        return make_tiny_tokenizer(Path(folder))
