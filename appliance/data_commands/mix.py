"""`islet data mix`: several sets of rows as one, by shares, with what comes out shown first."""

import math
from pathlib import Path
from typing import TYPE_CHECKING

import click

from appliance.data_commands.files import How, how_options
from appliance.data_commands.incoming import bad_share_option, inputs_argument, model_option, seed_option
from appliance.site_commands import json_option

if TYPE_CHECKING:
    from collections.abc import Iterable

    from appliance.run.plan import DataFile
    from appliance.run.rows import Problem, Row

STRATEGIES = ("concat", "under", "over", "once")
MEASURES = ("rows", "tokens")


@click.command()
@inputs_argument
@how_options
@click.option("--out", type=click.Path(path_type=Path), help="The new file: .parquet or .jsonl.")
@click.option("--shares", metavar="N,N,…", default="", help="A share for each of FILES: 25,75.")
@click.option("--caps", metavar="N,N,…", default="", help="At most so many rows of each; 0: all.")
@click.option(
    "--strategy",
    type=click.Choice(STRATEGIES),
    default="concat",
    show_default=True,
    help="One after another; or in turns until the first is used up (under), or the last, by beginning "
    "again (over) or without (once).",
)
@click.option(
    "--by",
    "measure",
    type=click.Choice(MEASURES),
    default="rows",
    show_default=True,
    help="What shares are of.",
)
@seed_option
@model_option
@click.option("--check", "check_only", is_flag=True, help="Show what would come out; write nothing.")
@bad_share_option
@json_option
@click.pass_context
def mix(
    context: click.Context,
    files: tuple[str, ...],
    how: How,
    out: Path | None,
    shares: str,
    caps: str,
    strategy: str,
    measure: str,
    seed: int,
    model: str | None,
    check_only: bool,
    max_bad_share: float,
    as_json: bool,
) -> None:
    """Mix the rows of FILES by shares; the same command gives the same file.

    A quarter of reasoning, three of dialogue, and a tenth of general rows against forgetting:
    --shares 22.5,67.5,10.
    """
    from appliance.data.mix import Recipe, look_through, mixed, plan_mix
    from appliance.data.tally import BY_OPTION, check_bad_share
    from appliance.data.written import check_free, write
    from appliance.data_commands.incoming import choose, shown_name, tokens_in
    from appliance.data_view import mix_document, print_json, print_mix, print_mixed

    if out is None and not check_only:
        raise click.UsageError("Give --out, or --check.")
    if measure == "tokens" and model is None:
        raise click.UsageError("--by tokens needs --model.")
    if out is not None:
        check_free(out)
    chosen, tokens = choose(context, files, how), tokens_in(context, model)
    parts = [look_through(shown_name(file), _rows(file), tokens) for file in chosen]
    for part in parts:
        check_bad_share(len(part.lengths), part.refused, part.problems, max_bad_share, remedy=BY_OPTION)
    numbers = _numbers(shares, "--shares"), _whole(_numbers(caps, "--caps"))
    recipe = Recipe(strategy, *numbers, measure=measure, seed=seed)  # type: ignore[arg-type]
    plan = plan_mix(parts, recipe)
    counted = model is not None
    if as_json:
        print_json(mix_document(plan, parts, recipe, counted=counted))
    else:
        print_mix(plan, parts, recipe, counted=counted)
    if out is not None and not check_only:
        write(out, mixed(plan, parts, [lambda file=file: _rows(file) for file in chosen]))  # type: ignore[misc]
    if not as_json:
        print_mixed(None if check_only else out)


def _rows(file: "DataFile") -> "Iterable[Row | Problem]":
    from appliance.data.read import stream

    return stream(file)


def _whole(caps: tuple[float, ...]) -> tuple[int, ...]:
    if not all(cap.is_integer() for cap in caps):
        raise click.UsageError("--caps takes numbers of rows: 0,500.")
    return tuple(map(int, caps))


def _numbers(text: str, option: str) -> tuple[float, ...]:
    try:
        numbers = tuple(float(each) for each in text.split(",")) if text.strip() else ()
    except ValueError:
        numbers = (math.nan,)
    if not all(math.isfinite(number) for number in numbers):
        raise click.UsageError(f"{option} takes numbers with commas between them: 25,75.")
    return numbers
