"""`islet data split`: rows to train on, to validate on and to test with, nothing of one side on another."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from appliance.data_commands.files import How, how_options
from appliance.data_commands.incoming import (
    bad_share_option,
    group_option,
    inputs_argument,
    model_option,
    out_option,
    seed_option,
)
from appliance.site_commands import json_option

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from appliance.data.split import Side, Wanted
    from appliance.run.plan import DataFile
    from appliance.run.rows import Row

AMOUNT = "How many: 10%, 0.1, or a number of rows."
BY = re.compile(r"kind|file|answer|column:.+", re.DOTALL)


@click.command()
@inputs_argument
@how_options
@out_option
@click.option("--validation", metavar="AMOUNT", help=AMOUNT)
@click.option("--test", "test_rows", metavar="AMOUNT", help=AMOUNT)
@group_option
@click.option(
    "--by", metavar="WHAT", help="Give each side its share of every kind, file, answer or column:NAME."
)
@click.option("--jsonl", is_flag=True, help="Write JSON lines instead of Parquet.")
@seed_option
@model_option
@click.option("--check", "check_only", is_flag=True, help="Show what would come out; write nothing.")
@bad_share_option
@json_option
@click.pass_context
def split(
    context: click.Context,
    files: tuple[str, ...],
    how: How,
    out: Path,
    validation: str | None,
    test_rows: str | None,
    group: str | None,
    by: str | None,
    jsonl: bool,
    seed: int,
    model: str | None,
    check_only: bool,
    max_bad_share: float,
    as_json: bool,
) -> None:
    """Split the rows of FILES into train, validation and test in the new folder --out.

    Never the same question on two sides, nor the same value of --group (a patient).
    """
    from appliance.data.split import Index, part
    from appliance.data.splitting import check_folder, write_sides
    from appliance.data.tally import Tally
    from appliance.data_commands.incoming import choose, stream_all, tokens_in
    from appliance.data_view import SplitShown, print_split

    wanted = _wanted(validation, test_rows)
    check_folder(out)
    chosen, tally = choose(context, files, how), Tally()
    index = Index(seed, _stratum(by, chosen), tokens_in(context, model) or (lambda row: 0))
    for row in tally.checked(stream_all(chosen, group), max_bad_share):
        index.add(row)
    parted = part(index, wanted)
    if not check_only:
        write_sides(out, parted, wanted, tally.again(stream_all(chosen, group)), jsonl=jsonl)
    shown = SplitShown(
        out,
        parted,
        index.groups,
        tally,
        counted=model is not None,
        written=not check_only,
        by_words=by not in (None, "kind", "file"),
    )
    print_split(shown, as_json=as_json)


def _wanted(validation: str | None, test_rows: str | None) -> "dict[Side, Wanted]":
    wanted: dict[Side, Wanted] = {}
    if validation is not None:
        wanted["validation"] = _amount(validation)
    if test_rows is not None:
        wanted["test"] = _amount(test_rows)
    if not wanted:
        raise click.UsageError("Give --validation, --test, or both.")
    if sum(each.share for each in wanted.values()) >= 1:
        raise click.UsageError("Nothing would be left to train.")
    return wanted


def _amount(text: str) -> "Wanted":
    from appliance.data.split import Wanted

    try:
        value = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        value = 0.0
    if 0 < value < 1:
        return Wanted(share=value)
    if value >= 1 and value.is_integer() and not text.endswith("%"):
        return Wanted(rows=int(value))
    raise click.UsageError(f"{text!r} is no number of rows and no share between 0 and 1.")


def _stratum(by: str | None, files: "Sequence[DataFile]") -> "Callable[[Row], str]":
    """What tells rows apart of which each side gets its share."""
    from appliance.data.beside import Column

    if by is None:
        return lambda row: ""
    if not BY.fullmatch(by):
        raise click.UsageError("--by takes kind, file, answer or column:NAME.")
    if by.startswith("column:"):
        column = Column(by.removeprefix("column:"))
        for file in files:
            column.open(file)
        return column.of
    return {"kind": lambda row: row.kind, "file": lambda row: row.file, "answer": lambda row: row.answer}[by]
