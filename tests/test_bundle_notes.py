"""BUNDLE.md: what the person at the gate reads, alone, and then does."""

import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.bundle.contents import parse_contents
from bundler.notes import bundle_notes
from bundler.policy import check_name, is_card, is_licence_text
from bundler.wrapping import cells
from tests.bundles import make_workshop
from tests.papers import COMMIT, Papers, make_papers
from tests.real import RealBundle


def page_of(papers: Papers) -> str:
    return bundle_notes(papers.lock, papers.release, papers.contents, papers.folder)


def parts(page: str) -> tuple[str, str, str]:
    """The English part, the Chinese one, the lists."""
    english, chinese, lists = re.split(r"^# ", page, flags=re.MULTILINE)[1:]
    return english, chinese, lists


def commands(part: str, title: str) -> list[str]:
    """The indented blocks of the section called `title`."""
    section = part.split(f"## {title}\n")[1].split("\n## ")[0]
    return [block for block in re.split(r"\n(?! {4})[^\n]*", section) if block.strip()]


@pytest.fixture
def papers(tmp_path: Path) -> Papers:
    return make_papers(tmp_path / "papers")


def test_answers_the_four_questions_in_both_languages(papers: Papers) -> None:
    english, chinese, _ = parts(page_of(papers))
    for title in ("What this is", "From whom", "What it changes on the box", "How to check it"):
        assert f"## {title}\n" in english
    for title in ("这是什么", "来自谁", "会改动主机的什么", "如何核验"):
        assert f"## {title}\n" in chinese


def test_both_languages_tell_the_same_facts(papers: Papers) -> None:
    facts = [
        "hospital-a",
        "2026-11-21T08:00:00Z",
        "2027-12-26T08:00:00Z",
        "Clinic IT, tel. 123",
        "5.0 GB",
        "root.3",
        "org/carded",
        "org/bare",
        "Apache-2.0",
        COMMIT,
        "models/org/carded/README.md",
        "models/org/carded/LICENSE-MODEL",
        "rows.jsonl",
        "CC-BY-4.0",
        "glibc 2.28",
        "3.12",
        "/opt/islet",
        "/var/lib/islet",
        "islet-0.1.0-py3-none-any.whl",
        "sbom.cdx.json",
        "contents.json",
        "rollback",
    ]
    english, chinese, _ = parts(page_of(papers))
    assert [fact for fact in facts if fact not in english] == []
    assert [fact for fact in facts if fact not in chinese] == []
    numbers = [sorted(re.findall(r"\d+\.\d [kMG]?B|\b\d+\b", part)) for part in (english, chinese)]
    assert numbers[0] == numbers[1]
    blocks = [
        re.findall(r"^ {4}(?:sh |sed |openssl |sha256sum |rm |cp )\S+.*?(?=  |$)", part, re.M)
        for part in parts(page_of(papers))[:2]
    ]
    assert [re.sub(r'".*"', "", one) for one in blocks[0]] == [re.sub(r'".*"', "", one) for one in blocks[1]]
    assert len(blocks[0]) >= 8


def test_says_what_has_no_licence_and_lists_it_first(papers: Papers) -> None:
    english, chinese, lists = parts(page_of(papers))
    assert "licence       not stated by its source" in english
    assert "licence text  none among its files" in english
    assert "许可证        来源未说明" in chinese
    assert "state one: 7; that state none: 1." in english
    first = lists.split("## Licences 许可证\n\n")[1].splitlines()[0]
    assert first == "- **not stated by its source 来源未说明** (1): org/bare"
    for one in ("Some_Lib 2.0+cpu", "tiny 1.0", "python 3.12.1", "llama.cpp converter", "rows.jsonl"):
        assert one in lists


def test_lists_the_twenty_biggest_files(papers: Papers) -> None:
    _, _, lists = parts(page_of(papers))
    listed = [line.split("  ")[-1] for line in lists.split(" 个文件\n\n")[1].splitlines()]
    wanted = sorted(papers.contents.entries, key=lambda entry: (-entry.size, entry.path))
    assert listed == [entry.path for entry in wanted][:20]


def test_says_which_one_file_of_a_delta_s_folder_is_absent_and_how_to_check_all_others(
    papers: Papers, tmp_path: Path
) -> None:
    english, chinese, _ = parts(page_of(make_papers(tmp_path / "delta", left_out=("runtime.tar.gz",))))
    for page in (english, chinese):
        assert "    grep -v '  runtime.tar.gz$' SHA256SUMS | sha256sum -c --strict -\n" in page
        assert "--ignore-missing" in page
        assert "--ignore-missing" not in page_of(papers)
    assert "delta: the box must already hold other files (1, " in english


def test_says_of_a_delta_what_the_box_must_have(papers: Papers, tmp_path: Path) -> None:
    delta = make_papers(tmp_path / "delta", left_out=("models/org/carded/m.safetensors",))
    english, chinese, _ = parts(page_of(delta))
    assert "delta: the box must already hold other files (1, 900 B)" in english
    assert "增量：主机上须已有其他文件（1 个，900 B）" in chinese
    assert "complete: installs on a box that has nothing" in page_of(papers)


@pytest.mark.parametrize(
    ("cuda", "driver"),
    [
        ("12.8", "; driver 570.86.10 is advised, 525.60.13 the oldest"),
        ("13.0", "; driver 580.65.06 is advised, 580.65.06 the oldest"),
        ("14.0", ""),
    ],
)
def test_says_which_driver_a_gpu_needs(cuda: str, driver: str, tmp_path: Path) -> None:
    english, chinese, _ = parts(page_of(make_papers(tmp_path, cuda=cuda)))
    assert f"NVIDIA, with a driver for CUDA {cuda}{driver}\n" in english
    assert f"NVIDIA，驱动须支持 CUDA {cuda}" in chinese


def test_fits_eighty_columns_but_for_names_of_files(papers: Papers) -> None:
    english, chinese, lists = parts(page_of(papers))
    assert [line for line in (english + chinese).splitlines() if cells(line) > 80] == []
    assert [line for line in lists.split("##")[1].splitlines() if cells(line) > 80] == []


def test_leaves_no_place_unfilled(papers: Papers) -> None:
    assert re.findall(r"\{\w*\}", page_of(papers)) == []


def test_the_commands_it_gives_check_a_bundle(papers: Papers, tmp_path: Path) -> None:
    shop = make_workshop(tmp_path / "shop")
    before = sorted(shop.bundle.iterdir())
    page = page_of(replace(papers, release=replace(papers.release, root_version=1)))
    blocks = commands(parts(page)[0], "How to check it")
    keyid = next(shop.bundle.glob("SHA256SUMS.sig.*")).name.rpartition(".")[2]
    look, keys, stock = (block.replace("KEYID", keyid) for block in blocks[:3])
    home = tmp_path / "home"
    home.mkdir()

    def judged() -> "subprocess.CompletedProcess[str]":
        script = "set -e\n" + "\n".join([look, keys, stock])
        return subprocess.run(
            ["sh", "-c", script],
            cwd=shop.bundle,
            capture_output=True,
            text=True,
            env={"HOME": str(home), "PATH": "/usr/bin:/bin"},
        )

    done = judged()
    assert done.returncode == 0, done.stderr
    assert "Verified OK" in done.stdout
    assert "payload.000.tar: OK" in done.stdout
    assert shop.anchor() in done.stdout
    assert sorted(shop.bundle.iterdir()) == before
    with (shop.bundle / "payload.000.tar").open("r+b") as file:
        file.seek(2000)
        file.write(b"x")
    done = judged()
    assert done.returncode != 0
    assert "payload.000.tar: FAILED" in done.stdout
    with (shop.bundle / "SHA256SUMS").open("ab") as file:
        file.write(b"\n")
    assert "Verified OK" not in judged().stdout


@pytest.mark.parametrize(
    "path",
    [
        *("LICENSE", "LICENSE.txt", "license.md", "LICENSE-MODEL", "LICENSE_CODE", "MODEL_LICENSE"),
        *("NOTICE", "Notice.txt", "COPYING", "USE_POLICY.md", "en/LICENCE.rst"),
    ],
)
def test_texts_of_licences_are_carried_and_known_as_such(path: str) -> None:
    check_name("org/name", path)
    assert is_licence_text(path)


@pytest.mark.parametrize(
    "path", ["config.json", "README.md", "licensed.txt", "sublicense.json", "LICENSE.json"]
)
def test_other_files_are_not_taken_for_licences(path: str) -> None:
    assert not is_licence_text(path)


def test_the_card_of_a_model_is_carried() -> None:
    check_name("org/name", "README.md")
    assert is_card("README.md")
    assert not is_card("docs/README.md")


@pytest.mark.slow
def test_that_of_a_real_bundle_is_true(real_bundle: RealBundle) -> None:
    page = (real_bundle.folder / "BUNDLE.md").read_text(encoding="utf-8")
    english, _, lists = parts(page)
    contents = parse_contents((real_bundle.folder / "contents.json").read_bytes())
    assert (real_bundle.folder / "runtime.tar.gz").exists()
    assert "islet-test/tiny" in english
    wheels = sum(entry.kind == "wheel" for entry in contents.entries)
    assert re.search(rf"^\| Python wheels +\| +{wheels} \| +{wheels} \|", english, re.MULTILINE)
    assert "torch 2.13.0" in lists
    biggest = max(contents.entries, key=lambda entry: entry.size)
    assert biggest.path in lists
