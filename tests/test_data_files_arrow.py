"""Parquet and Arrow files to items: values as JSON would hold them, damage told."""

import datetime
import decimal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.ipc
import pyarrow.parquet
import pytest

from appliance.data.files import open_sources
from appliance.data.judge import RowRefused
from appliance.data.read import read_file
from appliance.errors import BadInput

Write = Callable[[Path, pyarrow.Table], None]


def write_file(path: Path, table: pyarrow.Table) -> None:
    with pyarrow.OSFile(str(path), "wb") as sink, pyarrow.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)


def write_stream(path: Path, table: pyarrow.Table) -> None:
    with pyarrow.OSFile(str(path), "wb") as sink, pyarrow.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)


def write_parquet(path: Path, table: pyarrow.Table) -> None:
    pyarrow.parquet.write_table(table, path, row_group_size=3)


WRITERS = [
    pytest.param(write_parquet, "parquet", id="parquet"),
    pytest.param(write_file, "arrow", id="arrow file"),
    pytest.param(write_stream, "arrow", id="arrow stream"),
]

COLUMNS: dict[str, list[Any]] = {
    "messages": [[{"role": "user", "content": "门诊？"}, {"role": "assistant", "content": "一楼"}], None, []],
    "text": ["一", "", None],
    "number": [1, None, -3],
    "share": [0.5, None, 2.0],
    "good": [True, False, None],
    "when": [datetime.datetime(2023, 5, 1, 13, 30), None, datetime.datetime(2023, 5, 1, 13, 30, 0, 5)],
    "day": [datetime.date(2023, 5, 1), None, None],
    "price": [decimal.Decimal("1.50"), None, None],
    "bytes of text": ["二".encode(), None, b""],
    "bytes": [b"\xff\xfe", b"a", None],
}


@pytest.mark.parametrize(("write", "container"), WRITERS)
def test_values_come_out_as_json_would_hold_them(tmp_path: Path, write: Write, container: str) -> None:
    table = pyarrow.table(COLUMNS)
    table = table.append_column("kind", pyarrow.array(["k", "l", None]).dictionary_encode())
    path = tmp_path / "rows.bin"
    write(path, table)
    (source,) = open_sources(path)
    assert (source.container, source.encoding, source.size) == (container, "", path.stat().st_size)
    found = list(source.items())
    assert found == list(source.items())
    assert [number for number, _ in found] == [1, 2, 3]
    assert found[0][1] == {
        "messages": COLUMNS["messages"][0],
        "text": "一",
        "number": 1,
        "share": 0.5,
        "good": True,
        "when": "2023-05-01 13:30:00",
        "day": "2023-05-01",
        "price": "1.50",
        "bytes of text": "二",
        "bytes": b"\xff\xfe",
        "kind": "k",
    }
    assert found[2][1]["when"] == "2023-05-01 13:30:00.000005"
    assert {name for name, value in found[1][1].items() if value is None} >= {"messages", "number", "when"}


@pytest.mark.parametrize(("write", "container"), WRITERS)
def test_rows_keep_their_numbers_over_batches(tmp_path: Path, write: Write, container: str) -> None:
    write(tmp_path / "rows", pyarrow.table({"a": list(range(10_000)), "b": ["字" * 200] * 10_000}))
    (source,) = open_sources(tmp_path / "rows")
    assert all(item["a"] == number - 1 for number, item in source.items() if isinstance(item, dict))
    assert sum(1 for _ in source.items()) == 10_000


def test_a_table_without_rows_has_none(tmp_path: Path) -> None:
    write_parquet(tmp_path / "rows.parquet", pyarrow.table({"a": pyarrow.array([], pyarrow.string())}))
    (source,) = open_sources(tmp_path / "rows.parquet")
    assert list(source.items()) == []


def broken_text() -> pyarrow.Array:
    """Three texts, the second of them no UTF-8; nothing of Arrow checks it on the way."""
    offsets = pyarrow.py_buffer(b"".join(n.to_bytes(4, "little") for n in (0, 1, 2, 3)))
    return pyarrow.StringArray.from_buffers(3, offsets, pyarrow.py_buffer(b"a\xffc"))


def test_a_text_that_is_no_utf8_refuses_its_own_row_only(tmp_path: Path) -> None:
    write_parquet(tmp_path / "rows.parquet", pyarrow.table({"a": broken_text(), "b": [1, 2, 3]}))
    (source,) = open_sources(tmp_path / "rows.parquet")
    first, (number, second), third = source.items()
    assert (first, third) == ((1, {"a": "a", "b": 1}), (3, {"a": "c", "b": 3}))
    assert number == 2
    assert isinstance(second, RowRefused)
    assert "no text" in second.what


def test_an_arrow_file_whose_insides_do_not_fit_is_refused(tmp_path: Path) -> None:
    write_file(tmp_path / "rows.arrow", pyarrow.table({"a": broken_text()}))
    with pytest.raises(BadInput, match="is damaged"):
        open_sources(tmp_path / "rows.arrow")


@pytest.mark.parametrize(("write", "container"), WRITERS)
def test_damage_is_told_and_never_a_crash(tmp_path: Path, write: Write, container: str) -> None:
    path = tmp_path / "rows"
    write(path, pyarrow.table({"a": ["字" * 50] * 200, "b": list(range(200))}))
    good = path.read_bytes()
    assert container in ("parquet", "arrow")
    refused = 0
    for at in range(8, len(good), max(1, len(good) // 60)):
        for spoilt in (good[:at], good[:at] + bytes(8) + good[at + 8 :]):
            path.write_bytes(spoilt)
            try:
                (source,) = open_sources(path)
                rows = sum(1 for _ in source.items())
                assert rows <= 200
            except BadInput:
                refused += 1
    assert refused > 60


@pytest.mark.parametrize("name", ["a", ""])
def test_refuses_two_columns_of_one_name(tmp_path: Path, name: str) -> None:
    table = pyarrow.Table.from_arrays([pyarrow.array(["x"]), pyarrow.array(["y"])], names=[name, name])
    write_stream(tmp_path / "rows.arrow", table)
    with pytest.raises(BadInput, match="two columns of one name"):
        open_sources(tmp_path / "rows.arrow")


def test_refuses_a_batch_that_would_fill_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_file(tmp_path / "rows.arrow", pyarrow.table({"a": ["字" * 1000] * 100}))
    monkeypatch.setattr("appliance.data.files.arrow.PIECE_LIMIT_BYTES", 100_000)
    with pytest.raises(BadInput, match="cannot be read piece by piece"):
        open_sources(tmp_path / "rows.arrow")


def test_a_name_of_a_column_that_is_no_utf8_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    write_parquet(path, pyarrow.table({"prompt": ["a"], "completion": ["b"]}))
    path.write_bytes(path.read_bytes().replace(b"prompt", b"pr\xe8mpt"))
    for read in (open_sources, read_file):
        with pytest.raises(BadInput, match="is damaged"):
            read(path)
