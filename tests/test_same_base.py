"""The record of the base that a run is trained over, and what it tells apart."""

import subprocess
from pathlib import Path

import pytest

from appliance.errors import BadInput
from appliance.model.same_base import check_base_sums
from tests.runs import make_run
from tests.test_training import train_here
from tests.tiny import make_tiny_model


def test_training_records_its_base_and_never_goes_on_over_another(tmp_path: Path) -> None:
    base = make_tiny_model(tmp_path / "base")
    run = make_run(tmp_path, base=base, steps=2)
    assert train_here(run)
    subprocess.run(["sha256sum", "-c", "--strict", "--quiet", run.base_sums], cwd=base, check=True)
    make_tiny_model(base, seed=1)
    with pytest.raises(BadInput, match="model.safetensors is another file than it was then"):
        train_here(run)


def test_says_nothing_where_nothing_was_recorded(tmp_path: Path) -> None:
    check_base_sums(tmp_path, tmp_path / "base.sha256")


def test_a_file_more_or_less_is_another_base(tmp_path: Path) -> None:
    base = make_tiny_model(tmp_path / "base")
    run = make_run(tmp_path, base=base, steps=2)
    assert train_here(run)
    (base / "chat_template.jinja").unlink()
    with pytest.raises(BadInput, match="chat_template.jinja is another file"):
        check_base_sums(base, run.base_sums)
