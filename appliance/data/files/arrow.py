"""Parquet and Arrow files: typed columns, a few thousand rows in memory at a time.

Values come out as JSON would hold them: dates, times and decimal numbers as text; a column of bytes as text
where it is UTF-8 (old writers mark no text as such). Pictures and other bytes stay bytes, which no field of
text takes.
"""

import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, BinaryIO

from appliance.data.files.columns import check_names
from appliance.data.files.content import Content
from appliance.data.judge import RowRefused
from appliance.errors import BadInput
from appliance.sentence import say

if TYPE_CHECKING:
    import pyarrow

BATCH_BYTES = 8 << 20
"""About how much of a Parquet file's columns is in memory at a time, unpacked."""

BATCH_ROWS = 4096

PIECE_LIMIT_BYTES = 1 << 30
"""What one batch of an Arrow file may hold: it is in memory as a whole."""

PARQUET, ARROW_FILE, ARROW_STREAM = b"PAR1", b"ARROW1", b"\xff\xff\xff\xff"
"""What such files begin with. Source: Parquet's and Arrow's format specifications."""

_NO_FRACTION = re.compile(r"\.0+(?=Z?$)")

Item = tuple[int, dict[str, Any] | RowRefused]


def parquet_items(content: Content) -> Iterator[Item]:
    """(row from 1, values by column) for every row.

    Raises: BadInput, when the file is damaged, or two columns have one name.
    """
    return _items(content, _parquet_batches)


def arrow_items(content: Content) -> Iterator[Item]:
    """The same of an Arrow file, in either of the two forms (file and stream)."""
    return _items(content, _arrow_batches)


def _items(content: Content, batches: Callable[[Any], Iterator["pyarrow.RecordBatch"]]) -> Iterator[Item]:
    number = 0
    with content.open() as stream, _damage_told(content):
        for batch in batches(_Bounded(stream, content)):
            names = batch.schema.names
            check_names(names, content.place)
            for values in _rows(batch):
                number += 1
                yield (
                    number,
                    values if isinstance(values, RowRefused) else dict(zip(names, values, strict=True)),
                )


def _parquet_batches(stream: Any) -> Iterator["pyarrow.RecordBatch"]:
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(stream, buffer_size=1 << 20, pre_buffer=False) as file:
        groups = [file.metadata.row_group(each) for each in range(file.num_row_groups)]
        size, rows = sum(group.total_byte_size for group in groups), max(1, file.metadata.num_rows)
        fitting = BATCH_BYTES * rows // max(size, 1)
        yield from file.iter_batches(batch_size=min(max(fitting, 1), BATCH_ROWS))


def _arrow_batches(stream: Any) -> Iterator["pyarrow.RecordBatch"]:
    import pyarrow.ipc

    head = stream.read(len(ARROW_FILE))
    stream.seek(0)
    if head == ARROW_FILE:
        reader = pyarrow.ipc.open_file(stream)
        batches = (reader.get_batch(each) for each in range(reader.num_record_batches))
    else:
        batches = iter(pyarrow.ipc.open_stream(stream))
    for batch in batches:
        batch.validate(full=True)  # the reader itself trusts offsets
        for start in range(0, batch.num_rows, BATCH_ROWS):
            yield batch.slice(start, BATCH_ROWS)


def _rows(batch: "pyarrow.RecordBatch") -> Iterator[tuple[Any, ...] | RowRefused]:
    try:
        values = [_as_json_holds(column) for column in batch.columns]
    except ValueError:
        yield from _one_by_one(batch.columns, batch.num_rows)
    else:
        yield from zip(*values, strict=True) if values else iter([()] * batch.num_rows)


def _one_by_one(columns: list[Any], rows: int) -> Iterator[tuple[Any, ...] | RowRefused]:
    """The same rows, where one of them cannot be read."""
    for row in range(rows):
        try:
            yield tuple(_as_json_holds(column.slice(row, 1))[0] for column in columns)
        except ValueError:
            yield RowRefused("row", "holds what is no text and no value that can be read", "delete the row")


def _as_json_holds(column: Any) -> list[Any]:
    """The values of a column.

    Raises: ValueError, when one of them is damaged.
    """
    import pyarrow
    from pyarrow import types

    kind = column.type
    if types.is_dictionary(kind):
        column, kind = column.dictionary_decode(), kind.value_type
    if types.is_temporal(kind):
        texts = column.cast(pyarrow.string()).to_pylist()
        return [text and _NO_FRACTION.sub("", text) for text in texts]
    if types.is_decimal(kind):
        column = column.cast(pyarrow.string())
    elif types.is_binary(kind) or types.is_large_binary(kind):
        with suppress(pyarrow.ArrowInvalid):
            column = column.cast(pyarrow.string())
    values: list[Any] = column.to_pylist()
    return values


class _Bounded(io.RawIOBase):
    """A stream of which no piece is read that would fill the memory."""

    def __init__(self, stream: BinaryIO, content: Content) -> None:
        self._stream, self._content = stream, content

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._stream.tell()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._stream.seek(offset, whence)

    def read(self, size: int = -1) -> bytes:
        if size > PIECE_LIMIT_BYTES:
            raise BadInput(
                say("{path} cannot be read piece by piece.", path=self._content.place),
                why=say("a piece of it has more than {limit} bytes", limit=PIECE_LIMIT_BYTES),
                next_step="Write it as Parquet, or in smaller batches.",
            )
        return self._stream.read(size)


@contextmanager
def _damage_told(content: Content) -> Iterator[None]:
    import pyarrow

    try:
        yield
    except (pyarrow.ArrowException, OSError, ValueError, MemoryError) as error:
        raise BadInput(
            say("{source} is damaged.", source=content.place),
            why=say("it cannot be read as Parquet or Arrow: {kind}", kind=type(error).__name__),
            next_step="Copy or export it again.",
        ) from None
