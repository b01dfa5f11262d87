"""Rows that a command takes in: files, and data sets of the site by their names, one row at a time."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path

import click

from appliance.data_commands.files import How
from appliance.run.plan import DataFile
from appliance.run.rows import Problem, Row
from appliance.sentence import say
from appliance.site.layout import Site
from appliance.site_commands import site_of

inputs_argument = click.argument("files", nargs=-1, required=True, metavar="FILES")
group_option = click.option(
    "--group", metavar="COLUMN", help="Rows with the same value there are never parted: a patient's number."
)
bad_share_option = click.option(
    "--max-bad-share",
    type=click.FloatRange(0, 1),
    default=0.0,
    show_default=True,
    help="Share of rows that may be refused.",
)
out_option = click.option("--out", type=click.Path(path_type=Path), required=True)
seed_option = click.option("--seed", type=click.IntRange(0), default=1, show_default=True)
model_option = click.option(
    "--model", metavar="BASE", help="Count in the tokens of this model: an installed one, or a folder."
)


def choose(context: click.Context, files: Sequence[str], how: How) -> list[DataFile]:
    """The files that were named; `dataset:NAME@VERSION` is looked up among the site's.

    Raises: BadInput, when one is not there; StepFailed, when the rows of a data set were changed.
    """
    return [_chosen(context, file, how) for file in files]


def _chosen(context: click.Context, file: str, how: How) -> DataFile:
    from appliance.data.registry.reference import is_reference, resolve

    if not is_reference(file):
        _check_not_a_name(file)
        return how.file(Path(file))
    version = resolve(file, site_of(context).datasets)
    return DataFile(
        str(version.rows), "auto", registered=version.record.reference, sha256=version.record.sha256
    )


def _check_not_a_name(file: str) -> None:
    """Pass unless `file` is there by no such path, and can only be a data set's name.

    Raises: BadInput.
    """
    from appliance.data.registry.record import NAME
    from appliance.errors import BadInput

    if NAME.fullmatch(file.partition("@")[0]) and not Path(file).exists():
        raise BadInput(
            say("There is no file {file}.", file=file),
            why="a name alone is a file's; before a data set's name stands dataset:",
            next_step=say("If it is a data set, write dataset:{name}; else correct the path.", name=file),
        )


def shown_name(file: DataFile) -> str:
    """How a file is named in tables and records: never by its whole path."""
    return f"dataset:{file.registered}" if file.registered else Path(file.path).name


def stream_all(files: Sequence[DataFile], group: str | None = None) -> Iterator[Row | Problem]:
    """All rows of the files in order, and what is wrong with those that are none.

    group: the column by whose values rows must not be parted

    Raises: BadInput, when a file cannot be read as a whole, or has no such column.
    """
    from appliance.data.read import stream

    yield from grouped(chain.from_iterable(map(stream, files)), files, group)


def grouped(
    items: Iterable[Row | Problem], files: Sequence[DataFile], group: str | None
) -> Iterator[Row | Problem]:
    """Rows that were read of the files in order, each with its group; as they are where there is no `group`.

    Raises: BadInput, when a file has no such column.
    """
    from appliance.data.beside import Column, Groups

    if group is None:
        yield from items
        return
    column = Column(group)
    for file in files:
        column.open(file)
    yield from Groups(column).through(items)


def check_trainer(site: Site) -> None:
    """Pass if this account may work with data sets. Raises: HostNotReady."""
    import os

    from appliance.site.roles import check_may, owner_of

    check_may(os.getuid(), "train", owner_of(site))


def tokens_in(context: click.Context, model: str | None) -> Callable[[Row], int] | None:
    """How many tokens a row is to a model, 0 for one that its template refuses; None for no model.

    Raises: BadInput, when there is no such model, or its tokenizer cannot be used.
    """
    if model is None:
        return None
    from appliance.data.checks.tokens import Measure
    from appliance.data_commands.check import tokens_of

    measured = tokens_of(context, model, sys.maxsize)

    def count(row: Row) -> int:
        measure = measured.measure(row)
        return measure.total if isinstance(measure, Measure) else 0

    return count
