"""Removing a version: what would go, where its rows are besides, and doing it with a note of what it was."""

import tomllib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from appliance.data.registry.add import now
from appliance.data.registry.record import GONE, Maker, Removed, check_words, write_document
from appliance.data.registry.store import Version
from appliance.errors import BadInput, HostNotReady
from appliance.run.folder import RunFolder
from appliance.run.removal import folder_bytes, remove_folder
from appliance.sentence import reason, say


@dataclass(frozen=True)
class RemovalPlan:
    """What would be removed."""

    version: Version
    size: int
    """Bytes."""
    runs: tuple[str, ...]
    """Runs that were made from it, as far as this account may see: each holds a copy of its rows."""


def plan_removal(version: Version, runs: Path) -> RemovalPlan:
    """What removing `version` would do; `runs` is the folder of all runs.

    Raises: HostNotReady, when this account may not look into the version.
    """
    try:
        size = folder_bytes(version.folder)
    except OSError as error:
        raise _not_ours(version, error) from error
    return RemovalPlan(version, size, runs_of(version, runs))


def runs_of(version: Version, runs: Path) -> tuple[str, ...]:
    """Names of the runs whose plan names this version's rows."""
    return tuple(run.name for run in sorted(runs.glob("*")) if _is_made_from(RunFolder(run), version))


def _is_made_from(run: RunFolder, version: Version) -> bool:
    """By the hash that the run's plan keeps, or by the path: whoever moved the state moved it for both."""
    with suppress(OSError, ValueError, AttributeError, TypeError):
        plan = tomllib.loads(run.plan.read_text(encoding="utf-8"))
        named = [*plan["data"].get("train", ()), *plan.get("evaluation", {}).get("sets", ())]
        return any(
            file.get("sha256") == version.record.sha256 or file.get("path") == str(version.rows)
            for file in named
        )
    return False


def remove(plan: RemovalPlan, *, by: Maker, why: str) -> Removed:
    """Remove what was shown; what stays is a note of what it was, and its number is never given again.

    Raises: BadInput, when no reason is given; HostNotReady, when it cannot be removed.
    """
    version, record = plan.version, plan.version.record
    words = check_words(why)
    if not words:
        raise BadInput(
            "A removal needs a reason.",
            why=say("the audit log and the note that stays name it"),
            next_step="Give it with --reason.",
        )
    gone = Removed(record.name, record.version, record.sha256, record.rows, record.created, now(), by, words)
    try:
        write_document(version.folder.with_name(f"{record.version}{GONE}"), gone)
        remove_folder(version.folder)
    except OSError as error:
        raise _not_ours(version, error) from error
    return gone


def _not_ours(version: Version, error: OSError) -> HostNotReady:
    return HostNotReady(
        say("The data set {reference} cannot be removed.", reference=version.record.reference),
        why=reason(error),
        next_step="Ask who added it, or an administrator; run the same command again where it was cut off.",
    )
