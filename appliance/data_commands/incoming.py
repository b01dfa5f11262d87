"""Rows that a command takes in: files, and data sets of the site by their names, one row at a time."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from appliance.data_commands.files import How
from appliance.run.plan import DataFile
from appliance.run.rows import Problem, Row
from appliance.site.layout import Site
from appliance.site_commands import site_of

inputs_argument = click.argument("files", nargs=-1, required=True, metavar="FILES")


def choose(context: click.Context, files: Sequence[str], how: How) -> list[DataFile]:
    """The files that were named; `dataset:NAME@VERSION` is looked up among the site's.

    Raises: BadInput, when one is not there; StepFailed, when the rows of a data set were changed.
    """
    return [_chosen(context, file, how) for file in files]


def _chosen(context: click.Context, file: str, how: How) -> DataFile:
    from appliance.data.registry.reference import is_reference, resolve

    if not is_reference(file):
        return how.file(Path(file))
    version = resolve(file, site_of(context).datasets)
    return DataFile(
        str(version.rows), "auto", registered=version.record.reference, sha256=version.record.sha256
    )


def shown_name(file: DataFile) -> str:
    """How a file is named in tables and records: never by its whole path."""
    return f"dataset:{file.registered}" if file.registered else Path(file.path).name


def stream_all(files: Sequence[DataFile]) -> Iterator[Row | Problem]:
    """All rows of the files in order, and what is wrong with those that are none.

    Raises: BadInput, when a file cannot be read as a whole.
    """
    for file in files:
        yield from stream_one(file)


def stream_one(file: DataFile) -> Iterator[Row | Problem]:
    """The rows of one file. Raises: BadInput, when it cannot be read as a whole."""
    from appliance.data.canonical import is_canonical, stream_rows
    from appliance.data.read import stream

    path = Path(file.path)
    yield from stream_rows(path) if is_canonical(path) else stream(file)


def check_trainer(site: Site) -> None:
    """Pass if this account may work with data sets. Raises: HostNotReady."""
    import os

    from appliance.site.roles import check_may, owner_of

    check_may(os.getuid(), "train", owner_of(site))
