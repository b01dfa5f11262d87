"""Writing rows where a person said: Parquet or JSON lines by the name's ending, never over what is there."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from appliance.data.canonical import row_writer
from appliance.data.jsonl import line_writer
from appliance.errors import BadInput, HostNotReady
from appliance.run.rows import Row
from appliance.sentence import reason, say

WRITERS = {".parquet": row_writer, ".jsonl": line_writer}


def check_free(out: Path) -> None:
    """Pass if rows can be written to `out`.

    Raises: BadInput, when its name has another ending, something is there, or its folder is not.
    """
    if out.suffix not in WRITERS:
        raise BadInput(
            say("{path} cannot be written.", path=out),
            why=say("its name ends with neither .parquet nor .jsonl"),
            next_step="End it with .parquet, which keeps where rows came from, or with .jsonl.",
        )
    check_place(out)


def check_place(out: Path) -> None:
    """Pass if a file can be written to `out`, whatever its name.

    Raises: BadInput, when something is there, or its folder is not.
    """
    if out.exists():
        raise BadInput(
            say("{path} is there already.", path=out),
            why="nothing is written over",
            next_step="Give another name, or move the old file away.",
        )
    if not out.absolute().parent.is_dir():
        raise BadInput(
            say("{path} cannot be written.", path=out),
            why=say("there is no folder {folder}", folder=out.absolute().parent),
            next_step="Make the folder, or give a name in one that is there.",
        )


def write(out: Path, rows: Iterable[Row]) -> int:
    """Write rows to `out`, for this account alone; how many there were.

    Raises: BadInput, as `check_free`, and when there are none; HostNotReady, when the disk is full.
    """
    check_free(out)
    count = 0
    try:
        with WRITERS[out.suffix](out) as add:
            for row in rows:
                add(row)
                count += 1
            if not count:
                raise BadInput(
                    "No row is left to write.",
                    why="the files have none, or none that can be used",
                    next_step="Look at what is wrong with them: `islet data check FILES`.",
                )
        out.chmod(0o600)
    except OSError as error:
        raise _unwritten(out, error) from error
    return count


@contextmanager
def with_report(out: Path) -> Iterator[None]:
    """For writing the report on the rows at `out`: where that fails, the rows do not stay without it.

    Raises: HostNotReady, when the disk is full.
    """
    try:
        yield
    except BaseException as error:
        out.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise _unwritten(out, error) from error
        raise


def _unwritten(out: Path, error: OSError) -> HostNotReady:
    return HostNotReady(
        say("{path} cannot be written.", path=out),
        why=reason(error),
        next_step="Free some space, or choose another place.",
    )
