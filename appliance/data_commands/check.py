"""`islet data check`: what is in files of rows, and what is wrong with them."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from appliance.data_commands.files import How, how_options
from appliance.data_commands.incoming import choose, inputs_argument
from appliance.data_commands.reading import Reader
from appliance.progress import Progress, Silent
from appliance.run.plan import is_path
from appliance.site_commands import json_option, site_of
from appliance.spoken_progress import spoken

if TYPE_CHECKING:
    from appliance.data.checks.tokens import Tokens

MUST_BE_MENDED = 6
"""Exit code; the same as for a file that cannot be used."""


validation_option = click.option(
    "--validation", multiple=True, metavar="FILE", help="Rows kept for validation: none may be trained."
)
model_option = click.option(
    "--model", metavar="BASE", help="Measure in the tokens of this model: an installed one, or a folder."
)
max_tokens_option = click.option(
    "--max-tokens",
    metavar="N",
    type=click.IntRange(16),
    default=2048,
    show_default=True,
    help="Longest row for --model.",
)


@click.command()
@inputs_argument
@how_options
@validation_option
@model_option
@max_tokens_option
@click.option(
    "--show", metavar="N", type=click.IntRange(0), default=12, show_default=True, help="Rows that are shown."
)
@click.option(
    "--annotate",
    type=click.Path(path_type=Path),
    metavar="OUT",
    help="Copy the one FILE to OUT, what is wrong with each row beside it.",
)
@click.option("--strict", is_flag=True, help="Exit with 6 for warnings too.")
@json_option
@click.pass_context
def check(
    context: click.Context,
    files: tuple[str, ...],
    how: How,
    validation: tuple[str, ...],
    model: str | None,
    max_tokens: int,
    show: int,
    annotate: Path | None,
    strict: bool,
    as_json: bool,
) -> None:
    """What is in FILES, and what is wrong with which rows.

    Exit code 6: a row must be mended before training takes it. No finding says a row's words.
    """
    from appliance.check_view import column_title, print_annotated, print_checked, remark, write_json
    from appliance.data.checks import annotate as copies
    from appliance.data.checks.check import check_rows

    chosen = choose(context, files, how)
    if annotate is not None:
        if len(files) > 1:
            raise click.UsageError("--annotate takes one FILE.")
        source = copies.check_annotatable(chosen[0], annotate)  # before all rows are looked at for nothing
    tokens = tokens_of(context, model, max_tokens) if model else None
    rows, held = Reader(chosen), Reader(choose(context, validation, how))
    checked = check_rows(rows, held if validation else None, tokens=tokens, progress=watched())
    reports = (*rows.reports, *held.reports)
    if as_json:
        write_json(checked, reports)
    else:
        print_checked(checked, reports, show=show)
    if annotate is not None:
        left = copies.annotate(source, annotate, checked, column_title(), remark)
        if not as_json:
            print_annotated(annotate, left)
    if checked.worst() in (("refused", "warning") if strict else ("refused",)):
        raise click.exceptions.Exit(MUST_BE_MENDED)


def watched() -> Progress:
    """Shows how far the work is to a person at a terminal, and nothing in a log."""
    return spoken() if sys.stderr.isatty() else Silent()


def tokens_of(context: click.Context, model: str, max_tokens: int) -> "Tokens":
    """The tokens of an installed model, or of the model in a folder.

    Raises: BadInput, when there is none, or its tokenizer cannot be used.
    """
    from appliance.model.base import resolve_base
    from appliance.model.offline import go_offline

    go_offline()
    from appliance.training.measure import RowTokens

    models = Path() if is_path(model) else site_of(context).models
    return RowTokens(resolve_base(model, models), limit=max_tokens)
