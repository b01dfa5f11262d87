"""Canonical rows on disk: Parquet with provenance, and the report of the check, both in the run's folder."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from appliance.data.read import FileReport
from appliance.durable import write_whole
from appliance.errors import StepFailed
from appliance.run.rows import Message, Problem, Row
from appliance.sentence import from_document, reason, say, to_document


class Check(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`check.json`: what was read, what is trained, what is held out, what was refused and why."""

    rows_in: int
    train_rows: int
    held_out_rows: int
    refused_rows: int
    files: tuple[FileReport, ...]
    problems: tuple[Problem, ...]


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """Write rows as Parquet: `messages` (list of role and content), `file`, `source_sha256`, `row`.

    Raises: OSError, when the disk is full.
    """
    import pyarrow
    import pyarrow.parquet

    turn = pyarrow.struct([("role", pyarrow.string()), ("content", pyarrow.string())])
    schema = pyarrow.schema(
        [
            ("messages", pyarrow.list_(turn)),
            ("file", pyarrow.string()),
            ("source_sha256", pyarrow.string()),
            ("row", pyarrow.int64()),
        ]
    )
    documents = [
        {
            "messages": [{"role": message.role, "content": message.content} for message in row.messages],
            "file": row.file,
            "source_sha256": row.source_sha256,
            "row": row.row,
        }
        for row in rows
    ]
    table = pyarrow.Table.from_pylist(documents, schema=schema)
    sink = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(table, sink)
    write_whole(path, sink.getvalue().to_pybytes(), mode=0o640)


def read_rows(path: Path) -> tuple[Row, ...]:
    """The rows that `write_rows` wrote.

    Raises: StepFailed, when the file is damaged.
    """
    import pyarrow
    import pyarrow.parquet

    try:
        documents: list[dict[str, Any]] = pyarrow.parquet.read_table(path).to_pylist()
    except (OSError, pyarrow.ArrowException) as error:
        raise StepFailed(
            say("{path} cannot be read.", path=path),
            why=reason(error),
            next_step="Make a new run from the same plan.",
        ) from error
    return tuple(
        Row(
            tuple(Message(turn["role"], turn["content"]) for turn in document["messages"]),
            document["file"],
            document["source_sha256"],
            document["row"],
        )
        for document in documents
    )


def write_check(path: Path, check: Check) -> None:
    """Write the report as readable JSON; what is wrong with a row so that any language can be made of it."""
    document = msgspec.json.encode(check, enc_hook=to_document)
    write_whole(path, msgspec.json.format(document, indent=2) + b"\n", mode=0o640)


def read_check(path: Path) -> Check:
    """The report that `write_check` wrote."""
    document = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    problems = tuple(_problem(each) for each in document.get("problems", ()))
    return msgspec.structs.replace(
        msgspec.convert({**document, "problems": ()}, type=Check), problems=problems
    )


def _problem(stored: dict[str, Any]) -> Problem:
    """A problem as it was written; its words may be plain text."""
    what, fix = from_document(stored.get("what", "")), from_document(stored.get("fix", ""))
    return replace(msgspec.convert({**stored, "what": "", "fix": ""}, type=Problem), what=what, fix=fix)
