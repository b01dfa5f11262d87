"""The languages: every sentence can be said in both, and says the same."""

import copy
import json
import re
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest

import appliance
import appliance.locale
from appliance.data.canonical import Check, read_check, write_check
from appliance.errors import BadInput
from appliance.locale import SYSTEM_WORDS, Catalogue, catalogue, find_language, language_of
from appliance.run.events import read_events
from appliance.run.rows import Problem
from appliance.sentence import Sentence, from_document, listed, places, reason, say, to_document
from appliance.trace import keep_trace, trace_text
from appliance.training.control import train
from tests.runs import make_run
from tests.sentences import Module, Said, find_said, literals, modules

FOLDER = Path(appliance.locale.__file__).parent / "zh_CN"
FILES = {path.name: tomllib.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.toml"))}
ZH = catalogue("zh_CN")

CHINESE = re.compile(r"[\u4e00-\u9fff]")
LETTERS = re.compile(r"[A-Za-z]{2}")
SAME = {"GGUF", "Modelfile", "Ollama", "LoRA", "QLoRA", "BLEU", "ROUGE-L", "SHA-256", "{time} UTC"}
"""Names and units that Chinese says as English does."""

HALF_WIDTH = re.compile(r"[\u4e00-\u9fff][,;:?!()](?=\s|$|[\u4e00-\u9fff])|[\u4e00-\u9fff]\.(?=\s|$)")
"""Punctuation of Latin script behind a Chinese character."""


def said_everywhere() -> list[Said]:
    return [each for module in modules() for each in find_said(module)[0]]


def is_words(text: str, *, placed: bool) -> bool:
    """Whether there is something to translate: more than places, marks and single letters."""
    return bool(LETTERS.search(re.sub(r"\{[^{}]*\}", "", text) if placed else text))


@pytest.mark.parametrize("module", modules(), ids=lambda module: module.name)
def test_all_that_a_module_says_is_a_literal_and_has_words_in_chinese(module: Module) -> None:
    said, odd = find_said(module)
    assert odd == []
    missing = {
        f"{each.where}: {each.text!r}"
        for each in said
        if is_words(each.text, placed=each.placed) and each.text not in SAME and not ZH.knows(each.text)
    }
    assert sorted(missing) == []


def test_the_source_says_hundreds_of_sentences_and_all_are_found() -> None:
    # A walk that finds nothing would find nothing missing.
    said = {each.text for each in said_everywhere()}
    assert len(said) > 400
    assert {
        "{name} is damaged.",  # a template
        "a bundle holds plain files only",  # an argument of a helper of another module
        "it is not a JSON object",  # of the module's own
        "Run `islet doctor`; if that is clean, export again and keep this message.",  # a named constant
        "room for runs",
        "must be from 1 to 1024",
        "base weights",
    } <= said


@pytest.mark.parametrize("file", FILES)
def test_translations_keep_the_places_of_their_templates(file: str) -> None:
    placed = {each.text for each in said_everywhere() if each.placed}
    for template, translation in FILES[file].items():
        if template in placed:
            assert Counter(places(template)) == Counter(places(translation)), template


@pytest.mark.parametrize("file", FILES)
def test_translations_are_chinese(file: str) -> None:
    for template, translation in FILES[file].items():
        if template in SAME or CHINESE.search(template) or not is_words(template, placed=True):
            continue
        assert translation != template
        assert CHINESE.search(translation) or not is_words(translation, placed=True), template
        assert not HALF_WIDTH.search(re.sub(r"\[.*?\]|`.*?`", "", translation)), translation


@pytest.mark.parametrize("file", FILES)
def test_no_translation_is_left_over(file: str) -> None:
    used = set().union(*(literals(module) for module in modules()))
    assert sorted(FILES[file].keys() - used - SYSTEM_WORDS) == []


def test_what_the_system_says_of_a_failed_call_is_known() -> None:
    assert sorted(words for words in SYSTEM_WORDS if not ZH.knows(words)) == []
    assert ZH.say(say("it cannot be read: {error}", error="Permission denied")) == "无法读取：没有权限"


def test_no_two_files_translate_a_template_differently() -> None:
    said: dict[str, str] = {}
    # The report's words hold in the report alone; there a short one may mean something else.
    for table in (table for name, table in FILES.items() if name != "report.toml"):
        for template, translation in table.items():
            assert said.setdefault(template, translation) == translation, template


def test_a_full_stop_is_kept() -> None:
    for template, translation in FILES["engine.toml"].items():
        if template.endswith(".") and not template.endswith("..."):
            assert translation.endswith("。"), translation


def nested() -> Sentence:
    return say(
        "at most {share:.0%} may be refused:\n  {problems}",
        share=0.25,
        problems=listed(
            [Problem("a{b}.csv", 7, "prompt", say("is empty"), say("correct it")).sentence(), "x"]
        ),
    )


def test_a_sentence_is_its_english_text() -> None:
    assert nested() == ("at most 25% may be refused:\n  a{b}.csv, row 7, prompt: is empty (correct it), x")
    assert json.loads(json.dumps(nested())) == nested()
    assert copy.deepcopy(nested()).values == nested().values


def test_sentences_within_sentences_are_said_in_chinese_and_their_braces_stay() -> None:
    assert ZH.say(nested()) == ("最多允许 25% 的行无法使用：\n  a{b}.csv 第 7 行，prompt：为空（请改正），x")


def test_a_name_that_happens_to_be_a_word_of_the_house_stays_as_it_is() -> None:
    assert ZH.knows("none")
    for sentence in (
        say("{name} is missing.", name="none"),
        from_document(to_document(say("{name} is missing.", name="none"))),
    ):
        assert ZH.say(sentence) == "缺少 none。"
    inner = from_document(to_document(say("{where} is not valid", where=say("the document"))))
    assert ZH.say(inner) == "整个文档 无效"


def test_a_document_gives_the_sentence_back() -> None:
    document = json.loads(json.dumps(to_document(nested())))
    back = from_document(document)
    assert back == nested()
    assert ZH.say(back) == ZH.say(nested())


@pytest.mark.parametrize("text", ["plain", "with {braces}", "", "{"])
def test_plain_text_is_its_own_document(text: str) -> None:
    assert to_document(text) == text
    assert from_document(text) == text
    assert to_document(say("Training went astray.")) == "Training went astray."


def test_a_number_that_json_lacks_becomes_text() -> None:
    assert to_document(say("{loss:.1f} off", loss=float("inf"))) == "inf off"


@pytest.mark.parametrize(
    "document",
    [
        {"say": "{name} is damaged.", "with": {}},
        {"say": "{name} is damaged.", "with": {"nom": 1}},
        {"say": "{name:%Y} is damaged.", "with": {"name": 1}},
        {"say": "{name.__class__} is damaged.", "with": {"name": "x"}},
        {"say": "{name[0]} is damaged.", "with": {"name": "x"}},
        {"say": "{name!r} is damaged.", "with": {"name": "x"}},
        {"say": "{name:>9999999999} is damaged.", "with": {"name": "x"}},
        {"say": "{ is damaged.", "with": {"name": "x"}},
        {"say": "{} is damaged.", "with": {"name": "x"}},
    ],
)
def test_an_edited_document_is_still_read_and_reaches_into_nothing(document: dict[str, Any]) -> None:
    assert from_document(document) == document["say"]
    assert "{" in ZH.say(from_document(document))


@pytest.mark.parametrize("document", [{"say": 1}, {"with": {}}, {"say": "a", "with": []}, 5, None, [1]])
def test_what_is_no_document_is_shown_as_it_is(document: Any) -> None:
    assert from_document(document) == str(document)


def test_a_value_of_a_class_of_the_house_is_kept_as_text() -> None:
    assert say("{path} is missing", path=Path("/a")).values == {"path": "/a"}


def test_an_exception_that_was_given_a_sentence_gives_it_back() -> None:
    inner = reason(ValueError(say("{name} stands twice", name="x")))
    assert isinstance(inner, Sentence) and inner.values == {"name": "x"}
    assert reason(OSError(28, "No space left on device", "/a")) == "[Errno 28] No space left on device: '/a'"


@pytest.mark.parametrize(
    "text", ["[1 2]", "{1: 2}", "[", '{"a" 1}', '"abc', '"\\x"', '"\\u12"', '"\n"', "1 2", "{"]
)
def test_what_is_wrong_with_json_is_said_in_chinese_too(text: str) -> None:
    with pytest.raises(ValueError) as wrong:
        json.loads(text)
    assert reason(wrong.value) == str(wrong.value)
    said = ZH.say(reason(wrong.value))
    assert re.fullmatch("第 1 行第 [0-9]+ 列（第 [0-9]+ 个字符）：[^A-Za-z]+|.*\\\\uXXXX 转义无效", said)


def test_what_the_system_refused_is_said_in_chinese_too(tmp_path: Path) -> None:
    with pytest.raises(OSError) as wrong:
        (tmp_path / "none").read_text()
    assert (
        reason(wrong.value) == str(wrong.value) == f"[Errno 2] No such file or directory: '{tmp_path}/none'"
    )
    assert ZH.say(reason(wrong.value)) == f"[错误 2] 文件或文件夹不存在：'{tmp_path}/none'"


def test_an_error_is_three_lines_in_every_language() -> None:
    error = BadInput(say("{path} is not there.", path="/a"), why="it is empty", next_step="correct it")
    assert str(error) == "/a is not there.\nwhy: it is empty\nnext: correct it"
    assert ZH.say(error.sentence()) == "/a 不存在。\n原因：它是空的\n下一步：请改正"
    assert catalogue("en").say(error.sentence()) == str(error)


def test_the_check_of_the_data_keeps_sentences(tmp_path: Path) -> None:
    problem = Problem(
        "a.csv", 3, "row", say("is {there} tokens long, more than {most}", there=9, most=4), "cut"
    )
    check = Check(1, 0, 0, 1, (), (problem,))
    write_check(tmp_path / "check.json", check)
    back = read_check(tmp_path / "check.json")
    assert back == check
    assert ZH.say(back.problems[0].what) == "长 9 个词元，超过 4 个"


def test_a_check_of_plain_text_is_read(tmp_path: Path) -> None:
    old = {"file": "a.csv", "row": 3, "field": "row", "what": "is 9 tokens long", "fix": "cut"}
    check = {"rows_in": 1, "train_rows": 0, "held_out_rows": 0, "refused_rows": 1, "files": []}
    (tmp_path / "check.json").write_text(json.dumps({**check, "problems": [old]}))
    assert read_check(tmp_path / "check.json").problems == (Problem(**old),)  # type: ignore[arg-type]
    (tmp_path / "check.json").write_text(json.dumps({**check, "problems": [{**old, "row": "3"}]}))
    with pytest.raises(msgspec.ValidationError):
        read_check(tmp_path / "check.json")


def test_the_language_is_the_named_one_then_the_locale() -> None:
    assert language_of({}) == "en"
    assert language_of({"LANG": "zh_CN.UTF-8"}) == "zh_CN"
    assert language_of({"LANG": "zh_CN.UTF-8", "LC_ALL": "C"}) == "en"
    assert language_of({"LANG": "C", "ISLET_LANG": "zh"}) == "zh_CN"
    assert find_language("fr_FR") is None


def test_what_stopped_a_worker_is_said_in_chinese_by_whoever_reads_its_events(tmp_path: Path) -> None:
    run = make_run(tmp_path, steps=2)
    rows = json.loads((tmp_path / "rows.json").read_text())
    del rows[4]["output"]
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    with pytest.raises(BadInput) as refused:
        train(run)
    assert str(refused.value) == (
        "1 of 24 rows cannot be used.\n"
        "why: at most 0% may be refused:\n"
        "  rows.json, row 5, output: is missing (write it, or delete the row)\n"
        "next: Correct these rows, or allow a larger share in the plan (data.max_bad_share)."
    )
    assert ZH.say(refused.value.sentence()) == (
        "24 行数据中有 1 行无法使用。\n"
        "原因：最多允许 0% 的行无法使用：\n"
        "  rows.json 第 5 行，output：缺失（请填写，或删除该行）\n"
        "下一步：请改正这些行，或在方案中调高允许的比例（data.max_bad_share）。"
    )
    (line,) = (event for event in read_events(run.events) if event.kind == "failed")
    assert line.fields["what"] == {
        "say": "{count} of {total} rows cannot be used.",
        "with": {"count": 1, "total": 24},
    }


def test_the_wheel_carries_the_catalogues_and_reads_them_while_it_is_packed(tmp_path: Path) -> None:
    build = [
        sys.executable,
        "-m",
        "hatchling",
        "build",
        "-t",
        "wheel",
        "-d",
        str(tmp_path),
    ]  # as the bundler does
    root = Path(appliance.__file__).parents[1]
    subprocess.run(build, cwd=root, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    code = "from appliance import locale; print(locale.__file__, locale.catalogue('zh_CN').say('none'))"
    said = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(wheel), "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        encoding="utf-8",
    )
    place, words = said.stdout.split()
    assert place.startswith(str(wheel))
    assert words == "无"


def test_what_has_no_translation_stays_as_it_is() -> None:
    assert Catalogue("zh_CN", {}).say(say("{name} is damaged.", name="x")) == "x is damaged."


def islet(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    code = "from appliance.cli import main; main()"
    kept = {"PATH": "/usr/bin:/bin", "PYTHONIOENCODING": "utf-8", **environment}
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, encoding="utf-8", env=kept)


def missing_plan(tmp_path: Path) -> list[str]:
    return ["--prefix", str(tmp_path), "--state", str(tmp_path), "train", "--plan", str(tmp_path / "no.toml")]


def test_a_missing_plan_is_said_in_english(tmp_path: Path) -> None:
    for said in (
        islet(*missing_plan(tmp_path)),
        islet("--lang", "en", *missing_plan(tmp_path), LANG="zh_CN"),
    ):
        assert said.returncode == 6
        assert said.stderr == (
            f"islet: {tmp_path}/no.toml is no usable plan.\n"
            "why: it cannot be read: No such file or directory\n"
            "next: Correct that field in the plan and start again.\n"
        )


def test_a_missing_plan_is_said_in_chinese(tmp_path: Path) -> None:
    for said in (
        islet("--lang", "zh_CN", *missing_plan(tmp_path)),
        islet(*missing_plan(tmp_path), LANG="zh_CN"),
    ):
        assert said.returncode == 6
        assert said.stderr == (
            f"islet: {tmp_path}/no.toml 不是可用的方案。\n"
            "原因：无法读取：文件或文件夹不存在\n"
            "下一步：请改正方案中的该字段，然后重新开始。\n"
        )


def test_a_terminal_that_cannot_write_chinese_gets_english(tmp_path: Path) -> None:
    said = islet("--lang", "zh_CN", *missing_plan(tmp_path), PYTHONIOENCODING="ascii")
    assert said.returncode == 6
    assert said.stderr.splitlines()[1] == "why: it cannot be read: No such file or directory"


def test_an_unknown_language_is_usage() -> None:
    assert islet("--lang", "xx", "runs", "list").returncode == 2


SECRET = "身份证号 110101199003070000"
BROKEN = f"""
import click
from appliance.commands import Commands, language_option
@click.group(cls=Commands)
@language_option
def main(): pass
@main.command()
def fail():
    row = {SECRET!r}
    try:
        int(row)
    except ValueError as error:
        raise KeyError(row) from error
@main.command()
def leave(): raise KeyboardInterrupt
main(["fail"] if __import__("sys").argv[1] == "fail" else ["leave"])
"""


def fail(command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {"PATH": "/usr/bin:/bin", "PYTHONIOENCODING": "utf-8", **environment}
    code = [sys.executable, "-c", BROKEN, command]
    return subprocess.run(code, capture_output=True, encoding="utf-8", env=kept)


def test_a_failure_of_our_own_is_one_line_and_holds_nothing_of_the_data(tmp_path: Path) -> None:
    log = tmp_path / "islet.log"
    said = fail("fail", ISLET_LOG=str(log))
    assert said.returncode == 1
    assert said.stderr == f"islet: Islet itself failed: KeyError. Where it failed is written in {log}.\n"
    assert said.stdout == ""
    text = log.read_text()
    assert "ValueError" in text and "KeyError" in text and "line 13, in fail" in text
    assert "1101011990" not in text
    assert log.stat().st_mode & 0o777 == 0o600


def test_a_failure_of_our_own_is_said_in_chinese(tmp_path: Path) -> None:
    said = fail("fail", ISLET_LANG="zh_CN", TMPDIR=str(tmp_path))
    (log,) = tmp_path.glob("islet-*.log")
    assert said.stderr == f"islet: Islet 自身出错：KeyError。出错位置已写入 {log}。\n"
    assert log.stat().st_mode & 0o777 == 0o600


def test_an_interrupt_is_no_failure_of_our_own(tmp_path: Path) -> None:
    said = fail("leave", TMPDIR=str(tmp_path))
    assert said.returncode == 130
    assert said.stderr.strip() == "islet: Interrupted."
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_is_said_in_chinese(tmp_path: Path) -> None:
    assert fail("leave", ISLET_LANG="zh_CN").stderr.strip() == "islet: 已中断。"


def test_a_terminal_without_chinese_letters_gets_escapes_and_no_failure(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    command = [sys.executable, "-m", "appliance.cli", "--lang", "zh_CN", "--prefix", tmp_path]
    said = subprocess.run(
        [*command, "--state", tmp_path, "roles", "show"],
        capture_output=True,
        env={"PATH": "/usr/bin:/bin", "PYTHONIOENCODING": "latin-1"},
    )
    assert (said.returncode, said.stderr) == (0, b"")
    assert b"\\u5426" in said.stdout or b"\\u662f" in said.stdout


def test_a_trace_goes_into_the_sites_logs_before_the_temporary_folder(tmp_path: Path) -> None:
    try:
        raise RuntimeError(SECRET)
    except RuntimeError as error:
        kept = keep_trace(error, tmp_path / "logs", {})
        assert SECRET not in trace_text(error)
    assert kept is not None and kept.parent == tmp_path / "logs"


def test_a_trace_is_never_written_through_a_link(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("kept")
    link.symlink_to(target)
    kept = keep_trace(ValueError(), tmp_path / "logs", {"ISLET_LOG": str(link)})
    assert target.read_text() == "kept"
    assert kept is not None and kept.parent == tmp_path / "logs"
