"""A run as the wizard sees it: what changes in its folder is news."""

import json
from pathlib import Path

from appliance.run.folder import RunFolder
from appliance.wizard.running import RunView


def test_a_job_that_works_and_ends_is_news_though_the_run_itself_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "jobs").mkdir()
    view = RunView(RunFolder(tmp_path))
    view.refresh()
    assert not view.refresh()
    for event in (
        {"kind": "started", "pid": 1},
        {"kind": "advance", "what": "asking the base", "done": 3, "total": 64, "unit": "answers"},
        {"kind": "finished"},
    ):
        with (tmp_path / "jobs" / "evaluate.jsonl").open("a") as events:
            events.write(json.dumps({"time": "2026-01-01T00:00:00Z", **event}) + "\n")
        assert view.refresh(), event
        assert not view.refresh()
    assert view.job("evaluate").state == "finished"
