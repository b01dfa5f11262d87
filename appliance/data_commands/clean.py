"""`islet data clean`: the same rows without the faults that the check finds."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from appliance.data_commands.check import (
    max_tokens_option,
    model_option,
    tokens_of,
    validation_option,
    watched,
)
from appliance.data_commands.files import How, how_options
from appliance.data_commands.incoming import choose, group_option, grouped, inputs_argument
from appliance.data_commands.reading import Reader
from appliance.site_commands import json_option

if TYPE_CHECKING:
    from appliance.run.rows import Problem, Row


def _codes(allowed: "tuple[str, ...]", given: str) -> tuple[str, ...]:
    """The codes in a list with commas.

    Raises: click.BadParameter, for one that is none.
    """
    codes = tuple(filter(None, (code.strip() for code in given.split(","))))
    unknown = [code for code in codes if code not in allowed]
    if unknown:
        raise click.BadParameter(f"{', '.join(unknown)}: choose of {', '.join(allowed)}.")
    return codes


def _droppable(context: click.Context, option: click.Parameter, given: str) -> tuple[str, ...]:
    from appliance.data.checks.clean import DROPPABLE

    return _codes(DROPPABLE, given)


def _mendable(context: click.Context, option: click.Parameter, given: str) -> tuple[str, ...]:
    from appliance.data.checks.clean import MENDABLE

    return _codes(MENDABLE, given)


def _check_found(codes: tuple[str, ...], named: tuple[str, ...], option: str, given: object) -> None:
    """Pass if what is named can be found at all.

    Raises: click.UsageError, when it takes an option that is not given.
    """
    needing = [code for code in named if code in codes]
    if needing and not given:
        raise click.UsageError(f"{', '.join(needing)}: found only with {option}.")


@click.command()
@inputs_argument
@how_options
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="Write them here: .parquet or .jsonl."
)
@click.option(
    "--drop",
    default="exact-duplicates,empty",
    show_default=True,
    metavar="CODES",
    callback=_droppable,
    help="Leave out rows with these findings of `islet data check`: a list with commas.",
)
@click.option(
    "--mend",
    default="",
    metavar="CODES",
    callback=_mendable,
    help="Mend these instead: control-tokens, template-marks, thinking-mixed.",
)
@group_option
@validation_option
@model_option
@max_tokens_option
@json_option
@click.pass_context
def clean(
    context: click.Context,
    files: tuple[str, ...],
    how: How,
    out: Path,
    drop: tuple[str, ...],
    mend: tuple[str, ...],
    group: str | None,
    validation: tuple[str, ...],
    model: str | None,
    max_tokens: int,
    as_json: bool,
) -> None:
    """Write the rows of FILES without the findings named; FILES stay as they are.

    Every row that is left out is listed beside OUT, by file and row. Of rows that are the same, the first
    stays.
    """
    from appliance.check_view import print_cleaned
    from appliance.data.checks.check import check_rows
    from appliance.data.checks.clean import (
        AMONG_THEMSELVES,
        OF_A_MODEL,
        OF_A_VALIDATION,
        Wishes,
        check_out,
        write_clean,
    )

    _check_found(OF_A_MODEL, (*drop, *mend), "--model", model)
    _check_found(OF_A_VALIDATION, drop, "--validation", validation)
    check_out(out)  # before all rows are looked at for nothing
    tokens = tokens_of(context, model, max_tokens) if model else None
    chosen = choose(context, files, how)
    reader, held = Reader(chosen), Reader(choose(context, validation, how))

    def rows() -> "Iterator[Row | Problem]":
        return grouped(reader(), chosen, group)

    # The validation comes first: what is told of a row that was seen before is then told of the trained one.
    sides = (held, rows) if validation else (rows,)
    checked = check_rows(*sides, tokens=tokens, progress=watched())
    first = checked.validation_from if validation else 0
    again = bool(validation) and not set(AMONG_THEMSELVES).isdisjoint(drop)
    alone = check_rows(rows, progress=watched()) if again else None
    wishes = Wishes(drop, mend, tokens.controls if tokens else ())
    print_cleaned(write_clean(out, rows, checked, first, wishes, alone), out, as_json=as_json)
