"""Canonical rows on disk: Parquet with provenance, and the report of the check, both in the run's folder."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from appliance.data.read import FileReport, RowStream, report_of
from appliance.durable import whole_file, write_whole
from appliance.errors import StepFailed
from appliance.run.rows import Message, Problem, Row, ToolCall
from appliance.sentence import from_document, reason, say, to_document

if TYPE_CHECKING:
    import pyarrow

ROWS_PER_GROUP = 4096
"""Rows that are in memory at a time."""


class Check(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`check.json`: what was read, what is trained, what is held out, what was refused and why."""

    rows_in: int
    train_rows: int
    held_out_rows: int
    refused_rows: int
    files: tuple[FileReport, ...]
    problems: tuple[Problem, ...]


def write_rows(path: Path, rows: Iterable[Row]) -> int:
    """Write rows as Parquet, a few thousand in memory at a time, whole or not at all; how many there were.

    Columns: `messages` (list of role, content, calls, learned), `tools`, `rejected`, `label`, `text`, `file`,
    `source_sha256`, `row`, `steps`, `group`: the same for every method.

    Raises: OSError, when the disk is full.
    """
    count = 0
    with row_writer(path) as add:
        for row in rows:
            add(row)
            count += 1
    return count


@contextmanager
def row_writer(path: Path) -> Iterator[Callable[[Row], None]]:
    """What takes one row after another for the file at `path`, which is there once the block has ended well.

    Raises: OSError, when the disk is full.
    """
    import pyarrow
    import pyarrow.parquet

    schema = _schema()
    batch: list[dict[str, Any]] = []
    with whole_file(path, mode=0o640) as sink, pyarrow.parquet.ParquetWriter(sink, schema) as writer:

        def write() -> None:
            if batch:
                writer.write_table(pyarrow.Table.from_pylist(batch, schema=schema))
            batch.clear()

        def add(row: Row) -> None:
            batch.append(_document(row))
            if len(batch) == ROWS_PER_GROUP:
                write()

        yield add
        write()


def is_canonical(path: Path) -> bool:
    """Whether the file at `path` holds rows as `write_rows` writes them; its end alone is looked at."""
    import pyarrow
    import pyarrow.parquet

    try:
        if not path.is_file():  # a pipe would be waited for
            return False
        with path.open("rb") as file:
            if file.read(4) != b"PAR1":
                return False
        found = pyarrow.parquet.read_schema(path)
    except (OSError, ValueError, pyarrow.ArrowException):  # a name may be no UTF-8
        return False
    return set(_schema().names) - {"group"} <= set(found.names)


def read_rows(path: Path) -> tuple[Row, ...]:
    """The rows that `write_rows` wrote.

    Raises: StepFailed, when the file is damaged.
    """
    return tuple(stream_rows(path))


def stream_rows(path: Path) -> Iterator[Row]:
    """The same, a few thousand in memory at a time.

    Raises: StepFailed, when the file is damaged.
    """
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=ROWS_PER_GROUP):
                for document in batch.to_pylist():
                    yield _row(document)
    except (OSError, KeyError, ValueError, pyarrow.ArrowException) as error:
        raise StepFailed(
            say("{path} cannot be read.", path=path),
            why=reason(error),
            next_step="Make a new run from the same plan.",
        ) from error


class KeptRows(RowStream):
    """Canonical rows as `appliance.data.read.stream` gives those of any file, with all that they keep."""

    def __init__(self, path: Path, system: str, name: str) -> None:
        """name: how reports call the file: of a data set of the site, `NAME@VERSION`"""
        self._path, self._system, self._name = path, system, name
        self.reports: list[FileReport] = []

    def __iter__(self) -> Iterator[Row | Problem]:
        """The rows in their order. Raises: StepFailed, when the file is damaged."""
        self.reports.clear()
        kinds = Counter[str]()
        for row in stream_rows(self._path):
            kinds[row.kind] += 1
            yield opened_row(row, self._system)
        with self._path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        total = sum(kinds.values())
        self.reports.append(
            FileReport(
                str(self._path),
                sha256,
                "messages",
                True,
                "",
                total,
                total,
                (),
                self._name,
                "parquet",
                why=say("it holds rows as they are kept here"),
                kinds=tuple(sorted(kinds.items())),
            )
        )


def opened_row(row: Row, system: str) -> Row:
    """`row` with `system` before a conversation that has no system prompt of its own."""
    if not system or not row.messages or row.messages[0].role == "system":
        return row
    return replace(row, messages=(Message("system", system), *row.messages))


def _schema() -> "pyarrow.Schema":
    import pyarrow

    text = pyarrow.string()
    call = pyarrow.struct([("name", text), ("arguments", text)])
    turn = pyarrow.struct(
        [("role", text), ("content", text), ("calls", pyarrow.list_(call)), ("learned", pyarrow.bool_())]
    )
    return pyarrow.schema(
        [
            ("messages", pyarrow.list_(turn)),
            ("tools", text),
            ("rejected", turn),
            ("label", pyarrow.bool_()),
            ("text", text),
            ("file", text),
            ("source_sha256", text),
            ("row", pyarrow.int64()),
            ("steps", pyarrow.list_(text)),
            ("group", text),
        ]
    )


def _document(row: Row) -> dict[str, Any]:
    return {
        "messages": [_turn(message) for message in row.messages],
        "tools": row.tools,
        "rejected": _turn(row.rejected) if row.rejected else None,
        "label": row.label,
        "text": row.text,
        "file": row.file,
        "source_sha256": row.source_sha256,
        "row": row.row,
        "steps": list(row.steps),
        "group": row.group,
    }


def _turn(message: Message) -> dict[str, Any]:
    calls = [{"name": call.name, "arguments": call.arguments} for call in message.calls]
    return {"role": message.role, "content": message.content, "calls": calls, "learned": message.learned}


def _row(document: dict[str, Any]) -> Row:
    return Row(
        tuple(_message(turn) for turn in document["messages"]),
        document["file"],
        document["source_sha256"],
        document["row"],
        document["tools"],
        _message(document["rejected"]) if document["rejected"] else None,
        document["label"],
        document["text"],
        tuple(document["steps"]),
        document.get("group", ""),  # rows of a run that was made before there were groups have none
    )


def _message(turn: dict[str, Any]) -> Message:
    calls = tuple(ToolCall(call["name"], call["arguments"]) for call in turn["calls"])
    return Message(turn["role"], turn["content"], calls, turn["learned"])


def write_check(path: Path, check: Check) -> None:
    """Write the report as readable JSON; what is wrong with a row so that any language can be made of it."""
    document = msgspec.json.encode(check, enc_hook=to_document)
    write_whole(path, msgspec.json.format(document, indent=2) + b"\n", mode=0o640)


def read_check(path: Path) -> Check:
    """The report that `write_check` wrote."""
    document = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    problems = tuple(_problem(each) for each in document.get("problems", ()))
    files = tuple(report_of(each) for each in document.get("files", ()))
    plain = msgspec.convert({**document, "problems": (), "files": ()}, type=Check)
    return msgspec.structs.replace(plain, problems=problems, files=files)


def _problem(stored: dict[str, Any]) -> Problem:
    """A problem as it was written; its words may be plain text."""
    what, fix = from_document(stored.get("what", "")), from_document(stored.get("fix", ""))
    return replace(msgspec.convert({**stored, "what": "", "fix": ""}, type=Problem), what=what, fix=fix)
