"""The command lines: help, exit codes, and what they do not import."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.tiny import tiny_model

COMMANDS = {"islet": "from appliance.cli import main", "islet-bundle": "from bundler.cli import main"}


@pytest.mark.parametrize("name", COMMANDS)
def test_help_imports_neither_torch_nor_a_screen(name: str) -> None:
    code = f"import sys; {COMMANDS[name]}; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    heavy = {
        "torch",
        "transformers",
        "peft",
        "datasets",
        "numpy",
        "rich",
        "textual",
        "rattler",
        "huggingface_hub",
    }
    assert heavy.isdisjoint(loaded)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str) -> None:
    listed = run(name, "--help")
    assert listed.returncode == 0
    commands = [
        line.split()[0]
        for line in listed.stdout.split("Commands:\n")[1].splitlines()
        if line.startswith("  ") and line[2] != " "
    ]
    assert len(commands) >= 5
    for command in commands:
        assert run(name, command, "--help").returncode == 0


def test_a_wrong_option_is_usage() -> None:
    assert run("islet", "--no-such-option").returncode == 2


def test_without_a_site_islet_says_what_to_do(tmp_path: Path) -> None:
    result = run("islet", "runs", "list")
    assert result.returncode == 5
    lines = result.stderr.splitlines()
    assert lines[0] == "islet: This is not an installed site."
    assert lines[1].startswith("why: ") and lines[2].startswith("next: ")


def test_a_plan_with_an_unknown_field_is_refused_with_its_name(tmp_path: Path) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text('format = "islet-plan-1"\nname = "x"\nspeed = 9\n')
    result = run("islet", "--prefix", str(tmp_path), "--state", str(tmp_path), "train", "--plan", str(plan))
    assert result.returncode == 6
    assert "speed" in result.stderr
    assert list(tmp_path.glob("runs/*")) == []


def run(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    package = "appliance" if name == "islet" else "bundler"
    code = f"from {package}.cli import main; main()"
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)


def test_a_system_prompt_that_no_modelfile_can_hold_is_refused_before_training(tmp_path: Path) -> None:
    rows, plan = tmp_path / "rows.json", tmp_path / "plan.toml"
    rows.write_text('[{"instruction": "q", "output": "a"}]')
    plan.write_text(
        'format = "islet-plan-1"\nname = "x"\n'
        f'[model]\nbase = "{tiny_model()}"\nsystem = "5\u00a0mg"\n'
        '[data]\ntrain = [{ path = "rows.json" }]\n'
    )
    result = run("islet", "--prefix", str(tmp_path), "--state", str(tmp_path), "train", "--plan", str(plan))
    assert result.returncode == 6
    assert "U+00A0" in result.stderr
    assert list(tmp_path.glob("runs/*")) == []
