"""The arguments that every command on files of rows has."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, get_args

import click

from appliance.run.plan import DataFile, FieldName, FormatName

FORMATS: tuple[FormatName, ...] = get_args(FormatName)
FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


@dataclass(frozen=True)
class How:
    """How FILES are read, as the options say it: the same for each of them."""

    format: FormatName
    sheet: str
    dataset: str
    columns: dict[FieldName, str]

    def file(self, path: Path) -> DataFile:
        """One of the files."""
        return DataFile(str(path.absolute()), self.format, self.sheet, self.dataset, self.columns)


def how_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Gives a command `--format`, `--sheet`, `--dataset` and `--column`, as one argument `how`."""

    @click.option(
        "--format",
        type=click.Choice(FORMATS),
        default="auto",
        show_default=True,
        help="How rows are written.",
    )
    @click.option("--sheet", default="", help="The sheet of a workbook that has several.")
    @click.option("--dataset", default="", help="The entry of a dataset_info.json.")
    @click.option(
        "--column",
        "columns",
        multiple=True,
        metavar="FIELD=NAME",
        callback=_columns,
        help=f"The column for a field; with nothing behind =, it is not read. Fields: "
        f"{', '.join(get_args(FieldName))}.",
    )
    @wraps(command)
    def with_how(
        *arguments: Any,
        format: FormatName,
        sheet: str,
        dataset: str,
        columns: dict[FieldName, str],
        **options: Any,
    ) -> Any:
        return command(*arguments, how=How(format, sheet, dataset, columns), **options)

    return with_how


def _columns(context: click.Context, option: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
    """FIELD=NAME, by field; a name may hold `=` itself."""
    columns = {}
    for each in given:
        field, equals, name = each.partition("=")
        if not equals or field not in get_args(FieldName):
            raise click.BadParameter(f"{each!r} is not FIELD=NAME with one of the fields.")
        columns[field] = name
    return columns
