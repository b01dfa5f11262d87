"""Writing a split: a file for each side in a new folder, a pass over the rows each, all of them or none."""

import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

from appliance.data.split import SIDES, Parted, Side
from appliance.data.written import write
from appliance.durable import sync_folder
from appliance.errors import BadInput, HostNotReady
from appliance.run.rows import Row
from appliance.sentence import reason, say


def check_folder(out: Path) -> None:
    """Pass if the folder `out` can be made. Raises: BadInput."""
    if out.exists():
        raise BadInput(
            say("{path} is there already.", path=out),
            why="nothing is written over",
            next_step="Give another name, or move the old folder away.",
        )
    if not out.absolute().parent.is_dir():
        raise BadInput(
            say("{path} cannot be written.", path=out),
            why=say("there is no folder {folder}", folder=out.absolute().parent),
            next_step="Make the folder, or give a name in one that is there.",
        )


def write_sides(
    out: Path, parted: Parted, sides: Iterable[Side], rows: Callable[[], Iterable[Row]], *, jsonl: bool
) -> tuple[Path, ...]:
    """The files that were written: `out`/train, and one for each of `sides`.

    rows: the rows that were parted, from the beginning, each time it is called

    Raises: BadInput, when they are not the same any more; HostNotReady, when the disk is full.
    """
    aside = out.with_name(f".{out.name}.{os.getpid()}.part")
    wanted = [side for side in SIDES if side == "train" or side in set(sides)]
    ending = ".jsonl" if jsonl else ".parquet"
    try:
        aside.mkdir(mode=0o700)
        try:
            for side in wanted:
                count = write(aside / f"{side}{ending}", _of(side, parted, rows()))
                if count != parted.rows[side]:
                    raise _changed()
            aside.rename(out)
            sync_folder(out.absolute().parent)
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)
            raise
    except OSError as error:
        raise HostNotReady(
            say("{path} cannot be written.", path=out),
            why=reason(error),
            next_step="Free some space, or choose another place.",
        ) from error
    return tuple(out / f"{side}{ending}" for side in wanted)


def _of(side: Side, parted: Parted, rows: Iterable[Row]) -> Iterable[Row]:
    for place, row in enumerate(rows):
        if place >= len(parted.sides):
            raise _changed()
        if parted.side_of(place) == side:
            yield row


def _changed() -> BadInput:
    return BadInput(
        "The files changed while they were split.",
        why=say("their rows are not those that were counted a moment ago"),
        next_step="Run the command again when nobody writes to them.",
    )
