"""One person's answers so far, on disk after every one: a kill or a lost line loses none of them.

`STATE/wizard/<user id>/draft.json`, readable by its owner only. It holds choices and paths, never a row.
"""

import os
from pathlib import Path
from typing import Any, Literal

import msgspec

from appliance.durable import write_whole
from appliance.errors import HostNotReady
from appliance.locale import Language
from appliance.run.plan import DataChoice, ModelChoice, Plan, TrainingChoice
from appliance.sentence import say

HELD_OUT_SHARE = 0.05
"""Of the rows; what a new draft keeps out of training, so that the curve can say whether it generalises."""

Preset = Literal["quick", "balanced", "best", "advanced"]
Asking = Literal["health", "model", "data", "columns", "check", "plan", "values", "result", "review"]
"""Names of the pages that fill the plan, in order."""


def empty_plan() -> Plan:
    """A plan that nobody has filled in: it names no model and no data, and would be refused."""
    return Plan(
        format="islet-plan-1",
        name="",
        model=ModelChoice(""),
        data=DataChoice((), held_out_share=HELD_OUT_SHARE),
        training=TrainingChoice(),
    )


class Draft(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where a person is, and what was answered."""

    format: Literal["islet-draft-1"] = "islet-draft-1"
    language: Language | None = None
    """None until the person has chosen one."""
    reached: Asking = "health"
    """The furthest page of the questions that was come to: where *continue* goes."""
    preset: Preset = "balanced"
    plan: Plan = msgspec.field(default_factory=empty_plan)
    run: str = ""
    """Name of the run that the later pages are about."""

    @property
    def is_begun(self) -> bool:
        """Whether something was answered that would be a pity to lose."""
        return bool(self.plan.model.base or self.plan.data.train)


def draft_folder(state: Path, user: int | None = None) -> Path:
    """Where the answers of `user` (this one, if None) are kept."""
    return state / "wizard" / str(os.getuid() if user is None else user)


def unattended_folder(state: Path) -> Path:
    """Where this process keeps answers that come from a file: beside the person's own, not in them."""
    return state / "wizard" / f"{os.getuid()}-plan-{os.getpid()}"


def read_draft(folder: Path) -> tuple[Draft, Path | None]:
    """The draft in `folder`, or a new one; and where an old one was set aside that cannot be read."""
    path = folder / "draft.json"
    try:
        return msgspec.json.decode(path.read_bytes(), type=Draft), None
    except FileNotFoundError:
        return Draft(), None
    except (OSError, msgspec.MsgspecError, ValueError):
        aside = path.with_suffix(".unreadable")
        try:
            path.replace(aside)
        except OSError:
            aside = path
        return Draft(), aside


def draft_stamp(folder: Path) -> tuple[int, int] | None:
    """What changes when a draft is written; None where there is none, or none that can be seen."""
    try:
        found = (folder / "draft.json").stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def share_as_runs(folder: Path) -> None:
    """Make `folder`, which is right under the state folder, writable for whoever may make runs.

    Raises: OSError.
    """
    if folder.is_dir():
        return
    folder.mkdir(parents=True, exist_ok=True)
    runs = folder.parent / "runs"
    if runs.is_dir():  # whatever the umask of who came first
        folder.chmod(runs.stat().st_mode & 0o7777)


def write_draft(draft: Draft, folder: Path) -> None:
    """Keep `draft`.

    Raises: HostNotReady, when it cannot be written.
    """
    try:
        share_as_runs(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)
        write_whole(
            folder / "draft.json", msgspec.json.format(msgspec.json.encode(draft), indent=1), mode=0o600
        )
    except OSError as error:
        raise HostNotReady(
            "Your answers could not be saved.",
            why=say("{folder}: {reason}", folder=folder, reason=error.strerror or str(error)),
            next_step="Free some space there, or have it made writable; nothing was started.",
        ) from error


def value_at(plan: Plan, field: str) -> Any:
    """The value of a plan's field by its dotted name: `training.rank`."""
    value: Any = plan
    for name in field.split("."):
        value = getattr(value, name)
    return value


def with_value(plan: Plan, field: str, value: Any) -> Plan:
    """`plan` with one field changed, by its dotted name."""
    changed: Plan = _replaced(plan, field.split("."), value)
    return changed


def _replaced(owner: Any, names: list[str], value: Any) -> Any:
    name, *inner = names
    return msgspec.structs.replace(
        owner, **{name: _replaced(getattr(owner, name), inner, value) if inner else value}
    )
