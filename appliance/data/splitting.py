"""Writing a split: a file for each side in a new folder, in one pass over the rows, all of them or none."""

import os
import shutil
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path

from appliance.data.split import SIDES, Parted, Side
from appliance.data.tally import files_changed
from appliance.data.written import WRITERS
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
    out: Path, parted: Parted, sides: Iterable[Side], rows: Iterable[Row], *, jsonl: bool
) -> tuple[Path, ...]:
    """The files that were written: `out`/train, and one for each of `sides`.

    rows: the rows that were parted, once more from the beginning

    Raises: BadInput, when they are not the same any more; HostNotReady, when the disk is full.
    """
    aside = out.with_name(f".{out.name}.{os.getpid()}.part")
    wanted = [side for side in SIDES if side == "train" or side in set(sides)]
    ending = ".jsonl" if jsonl else ".parquet"
    try:
        try:
            aside.mkdir(mode=0o700)
            _write(parted, {side: aside / f"{side}{ending}" for side in wanted}, rows)
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


def _write(parted: Parted, files: Mapping[Side, Path], rows: Iterable[Row]) -> None:
    """Every row to the file of its side. Raises: BadInput, when there are more or fewer than were parted."""
    place = 0
    with ExitStack() as stack:
        writers = {side: stack.enter_context(WRITERS[path.suffix](path)) for side, path in files.items()}
        for row in rows:
            if place == len(parted.sides):
                raise files_changed()
            writers[parted.side_of(place)](row)
            place += 1
        if place != len(parted.sides):
            raise files_changed()
    for path in files.values():
        path.chmod(0o600)
