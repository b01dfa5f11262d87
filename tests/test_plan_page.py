"""docs/plan.md against the plan: every field in its table, with its value when it is left out."""

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from appliance.run import plan as plans
from appliance.run.plan import read_plan
from tests.real import ROOT

PAGE = (ROOT / "docs" / "plan.md").read_text(encoding="utf-8")
TABLES: dict[str, Any] = {
    "## The run": plans.Plan,
    "## `[model]`": plans.ModelChoice,
    "## `[data]`": plans.DataChoice,
    "Of each entry of `train`:": plans.DataFile,
    "## `[training]`": plans.TrainingChoice,
    "## `[evaluation]`": plans.EvaluationChoice,
    "Of each entry of `sets`:": plans.QuestionSet,
    "## `[export]`": plans.ExportChoice,
}
ROW = re.compile(r"^\| `(\w+)` \| (?:must be there|`(.+?)`) \| .+ \|$", re.MULTILINE)


def documented(heading: str) -> dict[str, str]:
    """Field to its value when it is left out ("": it must be there), of the first table after `heading`."""
    table = PAGE.split(f"\n{heading}\n", 1)[1].lstrip("\n").split("\n\n", 1)[0]
    return dict(ROW.findall(table))


@pytest.mark.parametrize("heading", TABLES)
def test_the_page_names_every_field_with_what_it_is_when_it_is_left_out(heading: str) -> None:
    expected = {}
    for field in msgspec.structs.fields(TABLES[heading]):
        made = None if field.default_factory is msgspec.NODEFAULT else field.default_factory()
        if isinstance(made, msgspec.Struct) or field.type in TABLES.values():
            continue  # a table of its own
        default = made if field.default is msgspec.NODEFAULT else field.default
        expected[field.name] = "" if field.required else json.dumps(default)
    assert documented(heading) == expected


def test_the_shortest_plan_of_the_page_is_one(tmp_path: Path) -> None:
    (tmp_path / "plan.toml").write_text(PAGE.split("```toml\n")[1].split("```")[0], encoding="utf-8")
    assert read_plan(tmp_path / "plan.toml").training == plans.TrainingChoice()
