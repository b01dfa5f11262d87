"""Files of rows with anything wrong in them: whatever it is, no traceback, and no row that nobody hears of.

    python -m tests.data_fuzz [--count 10000] [--first 0]     many of them, counted (`make campaign`)
    python -m tests.data_fuzz --first 4711 --count 1 --keep F  one of them, its bytes written to F

Every number is a file, the same one every time: a good one (`data_goods.py`) in which rows were spoilt before
they were written, or bytes afterwards. What must hold of it:

- it is read, or refused by an error for people, in bounded CPU time and memory;
- rows in = rows out + rows reported; and rows in is what another reader counts in it, where one can;
- rows that were not touched come out as they do from the good file;
- what comes out can be kept (canonical Parquet) and read back;
- it can be checked, and a copy with the findings beside each row is written or refused by such an error.
"""

import argparse
import io
import json
import random
import resource
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from appliance.data.canonical import stream_rows, write_rows
from appliance.data.checks.annotate import annotate, check_annotatable
from appliance.data.checks.check import check_rows
from appliance.data.read import Reading, read_file
from appliance.errors import ApplianceError, BadInput
from appliance.run.plan import DataFile
from appliance.run.rows import Row
from tests.data_goods import GOODS, TABLES, TEXTS, Good, Item

CPU_LIMIT_S = 30
"""More CPU seconds than this on one small file is no reading any more."""
MEMORY_LIMIT_BYTES = 400_000_000
"""What the process may grow by, over all files."""

ODD_TEXTS = (
    "", " ", "\t\n", "\0", "\ufffd", "\ud800", "\ufeff", "\u202e", "\u2028", "NaN", "null", "None", "true",
    "[]", "{}", '"', "'", "=1+1", "<think>", "</think>", "<|im_end|>", "{{content}}", "{0}", "%s",
    "\x1b[31m", "a" * 5000, "\r", "\r\n", "a,b;c", "😀",
)  # fmt: skip
ODD_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1.5, 10**40, float("nan"), float("inf"), [], {}, [[]], [None], {"a": None},
    [["q", "a"]], [["q"]], {"role": "assistant", "content": "x"}, {"from": "gpt", "value": "x"}, [{}],
)  # fmt: skip
ODD_NAMES = (
    "",
    " ",
    "messages",
    "conversations",
    "text",
    "output",
    "history",
    "system",
    "label",
    "chosen",
    "答案",
    "\0",
    "role",
)
SUFFIXES = (
    "",
    ".txt",
    ".csv",
    ".tsv",
    ".json",
    ".jsonl",
    ".xlsx",
    ".xls",
    ".parquet",
    ".arrow",
    ".zip",
    ".gz",
    ".docx",
)
ODD_BYTES = (
    b"\0", b"\xff", b"\xff\xfe", b"\xef\xbb\xbf", b'"', b"{", b"}", b"[", b"]", b",", b"\n", b"\r", b"\\",
    b"\\u", b"\\ud800", b"NaN", b"PK\x03\x04", b"PAR1", b"\xed\xa0\x80", b"\x81", b"\x1a", b"\x1f\x8b",
    b"1e999", b"[" * 3000, b'{"a":' * 2000,
)  # fmt: skip


@dataclass(frozen=True)
class Spoilt:
    """One file to read."""

    number: int
    good: Good
    content: bytes
    touched: frozenset[int] | None
    """Rows, from 0, that were changed; None where bytes were, and any may have been."""
    rows: int
    """Rows that were written; of no meaning where bytes were changed."""
    suffix: str | None = None
    """What the name ends with, where that is not what it should."""

    @property
    def name(self) -> str:
        """Name of the file."""
        name = f"{self.number}-{self.good.name}"
        return name if self.suffix is None else str(Path(name).with_suffix(self.suffix))


@dataclass(frozen=True)
class Verdict:
    """What became of one file."""

    outcome: str
    """`read`, `read with problems`, `refused`."""
    wrong: str = ""
    """What must not be; "" where nothing is."""


def spoil(number: int) -> Spoilt:
    """File `number`."""
    chance = random.Random(number)  # noqa: S311  (made-up files)
    good = GOODS[number % len(GOODS)]
    items = good.items()
    if chance.random() < 0.5:
        touched: set[int] = set()
        for _ in range(chance.randint(1, 3)):
            touched |= _spoil_row(items, chance)
        try:
            return Spoilt(number, good, good.write(items), frozenset(touched), good.count(items))
        except (AttributeError, TypeError, ValueError, OverflowError, NotImplementedError):
            items = good.items()  # this container cannot hold such a row
    content = bytearray(good.write(items))
    for _ in range(chance.randint(1, 4)):
        _spoil_bytes(content, chance)
    if good.container.partition(" ")[0] in TEXTS and chance.random() < 0.6:
        # As an editor saves it: other text, but text.
        content = bytearray(content.decode(good.encoding, "ignore").encode(good.encoding))
    suffix = chance.choice(SUFFIXES) if chance.random() < 0.1 else None
    return Spoilt(number, good, bytes(content), None, 0, suffix)


def _spoil_row(items: list[Item], chance: random.Random) -> set[int]:
    """Change one row in place; the numbers of the rows that are not what they were."""
    at = chance.randrange(len(items))
    item = items[at]
    if not item or not isinstance(item, dict):
        return {at}  # spoilt before
    kind = chance.randrange(7)
    if kind == 0:
        items[at] = dict(list(item.items())[: chance.randrange(len(item))])
    elif kind == 1:
        item[chance.choice(ODD_NAMES)] = chance.choice((*ODD_TEXTS, *ODD_VALUES))
    elif kind == 2:
        name = chance.choice(list(item))
        item[chance.choice(ODD_NAMES)] = item.pop(name)
    elif kind == 3:
        items[at] = chance.choice(({}, [], "text", 1, None))  # type: ignore[call-overload]
    else:
        _spoil_inside(item, chance)
    return {at}


def _spoil_inside(owner: Any, chance: random.Random) -> None:
    """Change something at any depth of an object or a list."""
    while True:
        keys = list(owner) if isinstance(owner, dict) else list(range(len(owner)))
        if not keys:
            return
        key = chance.choice(keys)
        inner = owner[key]
        if isinstance(inner, dict | list) and inner and chance.random() < 0.7:
            owner = inner
            continue
        if isinstance(owner, list) and chance.random() < 0.5:
            spoilt = ([*owner, inner], owner[::-1], [], owner[:-1])
            owner[:] = chance.choice(spoilt)
        elif chance.random() < 0.2:
            del owner[key]
        else:
            owner[key] = chance.choice((*ODD_TEXTS, *ODD_VALUES))
        return


def _spoil_bytes(content: bytearray, chance: random.Random) -> None:
    """Change a file as bad copies, bad programs and bad people do."""
    size = len(content)
    at = chance.randrange(size + 1)
    length = min(size - at, 1 << chance.randrange(9))
    kind = chance.randrange(8)
    if kind == 0 and at < size:
        content[at] ^= 1 << chance.randrange(8)
    elif kind == 1:
        del content[at : at + length]
    elif kind == 2:
        content[at:at] = content[at : at + length] * chance.choice((1, 3))
    elif kind == 3:
        content[at : at + length] = chance.randbytes(length)
    elif kind == 4:
        del content[at:]
    elif kind == 5:
        other = GOODS[chance.randrange(len(GOODS))]
        held = other.write(other.items())
        content[at : at + length] = held[: chance.randrange(1, len(held))]
    else:
        content[at : at + (length if kind == 6 else 0)] = chance.choice(ODD_BYTES)


def judge(spoilt: Spoilt, folder: Path) -> Verdict:
    """Read the file, and say what is wrong with what came of it."""
    path = folder / spoilt.name
    path.write_bytes(spoilt.content)
    try:
        with _bounded():
            reading = read_file(path)
            wrong = _lost(spoilt, reading) or _changed(spoilt, reading) or _not_kept(reading, folder)
            _check(reading, path)
    except ApplianceError as error:
        lines = (error.what, error.why, error.next_step)
        return Verdict("refused", "" if all(lines) else f"an error without a line: {lines}")
    except (Exception, RecursionError) as error:  # noqa: BLE001  (any of them is what is looked for)
        return Verdict("crashed", f"{type(error).__name__}: {error}"[:300])
    finally:
        path.unlink()
    return Verdict("read with problems" if reading.problems else "read", wrong)


def _lost(spoilt: Spoilt, reading: Reading) -> str:
    """Rows that were neither read nor reported."""
    rows_in = sum(report.rows_in for report in reading.files)
    rows_out = sum(report.rows_out for report in reading.files)
    told = len(reading.rows) + len(reading.problems)
    if rows_in != told or rows_out != len(reading.rows):
        return f"{rows_in} rows in by the report, {len(reading.rows)} out, {len(reading.problems)} reported"
    there = spoilt.rows if spoilt.touched is not None else _counted(spoilt)
    return f"{there} rows in the file, {told} read or reported" if there not in (None, told) else ""


def _counted(spoilt: Spoilt) -> int | None:
    """How many rows another reader finds in the file; None where it finds none or cannot tell."""
    try:
        if spoilt.suffix is None and spoilt.good.container in ("json", "jsonl"):
            return _counted_json(spoilt.content.decode(spoilt.good.encoding))
        if spoilt.good.container == "parquet":
            import pyarrow.parquet

            return int(pyarrow.parquet.read_table(io.BytesIO(spoilt.content)).num_rows)
    except (ValueError, RecursionError, OSError, ArithmeticError):
        return None
    return None


def _counted_json(text: str) -> int | None:
    if text.lstrip().startswith("["):
        return len(json.loads(text))
    return sum(bool(line.strip()) for line in text.replace("\r", "\n").split("\n"))


@cache
def _good_rows(good: Good) -> dict[int, tuple[Any, ...]]:
    """What the rows of a good file are read as, by number from 0."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / good.name
        path.write_bytes(good.write(good.items()))
        reading = read_file(path)
    first = min(row.row for row in reading.rows)
    return {row.row - first: _said(row) for row in reading.rows}


def _said(row: Row) -> tuple[Any, ...]:
    return (row.messages, row.tools, row.rejected, row.label, row.text)


def _changed(spoilt: Spoilt, reading: Reading) -> str:
    """Rows that nobody touched, and that mean another thing."""
    if spoilt.touched is None:
        return ""
    good = _good_rows(spoilt.good)
    first = 2 if spoilt.good.container in TABLES else 1
    there = {row.row - first: _said(row) for row in reading.rows}
    lost = [at + 1 for at, said in good.items() if at not in spoilt.touched and there.get(at) != said]
    return (
        f"rows {lost} are other rows, though only {sorted(spoilt.touched)} (from 0) were touched"
        if lost
        else ""
    )


def _not_kept(reading: Reading, folder: Path) -> str:
    """Rows that cannot be kept."""
    kept = folder / "kept.parquet"
    write_rows(kept, reading.rows)
    return "" if tuple(stream_rows(kept)) == reading.rows else "the rows that were kept are others"


def _check(reading: Reading, path: Path) -> None:
    """Have the checks look at the rows, and write a copy with what they found."""
    checked = check_rows(lambda: [*reading.rows, *reading.problems])
    copy = path.with_name("copy" + path.suffix)
    try:
        source = check_annotatable(DataFile(str(path)), copy)
        annotate(source, copy, checked, "check", lambda found: " ".join(each.code for each in found))
    except BadInput:  # of a kind that has no room for remarks, or damaged where no row is
        return
    copy.unlink()


@contextmanager
def _bounded() -> Iterator[None]:
    """Stop what takes too much CPU time."""

    def late(*_: object) -> None:
        raise TimeoutError(f"more than {CPU_LIMIT_S} CPU seconds")

    before = signal.signal(signal.SIGPROF, late)
    signal.setitimer(signal.ITIMER_PROF, CPU_LIMIT_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def spoilt_files(first: int, count: int) -> tuple[Counter[str], list[str]]:
    """Judge so many files; how they ended, and what was wrong, a line each."""
    outcomes: Counter[str] = Counter()
    wrong = []
    before = _peak_bytes()
    with tempfile.TemporaryDirectory(prefix="islet-fuzz-") as folder:
        for number in range(first, first + count):
            spoilt = spoil(number)
            verdict = judge(spoilt, Path(folder))
            outcomes[verdict.outcome] += 1
            if verdict.wrong:
                wrong.append(f"file {spoilt.name}: {verdict.wrong}")
    if (grown := _peak_bytes() - before) > MEMORY_LIMIT_BYTES:
        wrong.append(f"the process grew by {grown / 1e6:.0f} MB")
    return outcomes, wrong


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main(arguments: Sequence[str] | None = None) -> int:
    """Print how the files ended; how many were answered wrongly."""
    parser = argparse.ArgumentParser(prog="python -m tests.data_fuzz")
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--keep", type=Path)
    given = parser.parse_args(arguments)
    if given.keep:
        given.keep.write_bytes(spoil(given.first).content)
    began = time.process_time()
    outcomes, wrong = spoilt_files(given.first, given.count)
    for line in wrong:
        print(line)
    counts = ", ".join(f"{outcomes[name]:,} {name}" for name in sorted(outcomes))
    took = f"{time.process_time() - began:.0f} CPU s"
    print(f"{given.count:,} spoilt files of rows: {counts}; {len(wrong)} wrong; {took}")
    return len(wrong)


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
