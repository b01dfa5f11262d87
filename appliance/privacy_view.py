"""How findings about patients' data are shown: kinds and counts. Standard library and rich."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from appliance.locale import language_of
from appliance.locale.voice import Voice
from appliance.sentence import Sentence, say

if TYPE_CHECKING:
    from appliance.data.privacy.clean import Cleaned
    from appliance.run.rows import Message, Row

ACTIONS: dict[str, Sentence] = {
    "mask": say("placeholder"),
    "replace": say("false value"),
    "keep": say("kept"),
}


def print_cleaned(cleaned: "Cleaned", *, as_json: bool) -> None:
    """What was found, by kind."""
    from appliance.data.privacy.kinds import TITLES

    if as_json:
        facts = {
            "rows": cleaned.rows,
            "rows_refused": cleaned.refused,
            "rows_with_identifiers": cleaned.touched,
            "identifiers": [asdict(kind) for kind in cleaned.kinds],
        }
        print(json.dumps(facts, ensure_ascii=False, indent=1))
        return
    tell = Voice(language_of())
    print(
        tell(
            "Found in {touched} of {rows} rows. Rules cannot find everything.",
            touched=cleaned.touched,
            rows=cleaned.rows,
        )
    )
    if cleaned.refused:
        print(
            tell(
                "Rows that cannot be used and were left out: {count}. `islet data check` lists them.",
                count=cleaned.refused,
            )
        )
    columns = tell("kind"), tell("found"), tell("rows"), tell("becomes"), tell("left after it")
    view = Table(*columns, box=None, header_style="bold")
    for one in cleaned.kinds:
        counts = (str(one.found), str(one.rows))
        view.add_row(tell.again(TITLES[one.kind]), *counts, tell.again(ACTIONS[one.action]), str(one.left))
    if cleaned.kinds:
        Console().print(view)


def print_written(out: Path) -> None:
    """Where the new rows are."""
    from appliance.data.privacy.clean import report_of

    print(
        Voice(language_of())("Written: {out}, and the report {report}", out=out, report=report_of(out).name)
    )


def asks_about(number: int, row: "Row") -> str:
    """A new row in full, and the question about it."""
    tell = Voice(language_of())
    turns = [line for message in row.messages for line in _lines(message)]
    if row.rejected:
        turns += [f"{tell('rejected answer')}: {line}" for line in _lines(row.rejected)]
    turns += [text for text in (row.text, row.tools) if text]
    return "\n".join([tell("Row {number}", number=number), *turns, tell("Does it still name a person?")])


def _lines(message: "Message") -> list[str]:
    """A turn and what it calls."""
    calls = [f"{message.role}: {call.name}({call.arguments})" for call in message.calls]
    return [f"{message.role}: {message.content}", *calls] if message.content or not calls else calls


def print_measured(document: dict[str, Any], *, as_json: bool) -> None:
    """Recall and precision by kind, and what they do not show."""
    from appliance.data.privacy.kinds import TITLES, Kind

    if as_json:
        print(json.dumps(document, ensure_ascii=False, indent=1))
        return
    tell = Voice(language_of())
    columns = (
        tell("kind"),
        tell("there"),
        tell("found"),
        tell("found with a list of names"),
        tell("of findings, right"),
    )
    view = Table(*columns, box=None, header_style="bold")
    for one in document["kinds"]:
        shares = [f"{one[name]:.1%}" for name in ("recall", "recall_with_name_list", "precision")]
        view.add_row(tell.again(TITLES[Kind(one["kind"])]), str(one["there"]), *shares)
    Console().print(view)
    print(tell.again(document["does_not_show"]))
